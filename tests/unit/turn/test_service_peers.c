/* SPDX-License-Identifier: MIT
 * Permissions, channels, data and errors through the service. */
#include "ask.h"

static const struct bk_addr out_there = {{.family = BK_IPV4, .bytes = {8, 8, 4, 4}}, 53};

static void start(struct asker *a, struct bk_addr *relayed) {
    ask_init(a);
    ask_start(a);
    *relayed = ask_allocate(a, 1);
}

static void expect_to_peer(const struct asker *a, const struct bk_addr *relayed,
                           const struct bk_addr *peer, const char *text) {
    assert_true(a->answered);
    assert_true(bk_addr_equal(&a->d.local, relayed));
    assert_true(bk_addr_equal(&a->d.remote, peer));
    assert_int_equal(a->d.len, strlen(text));
    assert_memory_equal(a->d.data, text, strlen(text));
}

static void nothing_passes_without_a_permission(void **state) {
    struct asker a;
    struct bk_addr relayed, wrong_port = out_there, said;
    struct wire_span data;
    (void)state;
    start(&a, &relayed);
    ask_indicate(&a, &out_there, "hello");
    assert_false(a.answered);
    ask_bytes(&a, &out_there, &relayed, "hi", 2);
    assert_false(a.answered);
    ask_permission(&a, &out_there);
    ask_expect(&a, 0);
    ask_indicate(&a, &out_there, "hello");
    expect_to_peer(&a, &relayed, &out_there, "hello");
    wrong_port.port = 54; /* section 9: ports play no part */
    ask_bytes(&a, &wrong_port, &relayed, "hi", 2);
    assert_true(a.answered);
    assert_int_equal(a.msg.cls, STUN_INDICATION);
    assert_int_equal(a.msg.method, TURN_DATA);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_PEER_ADDRESS, &said), BK_OK);
    assert_true(bk_addr_equal(&said, &wrong_port));
    assert_int_equal(stun_get_bytes(&a.msg, TURN_DATA_ATTR, &data), BK_OK);
    assert_int_equal(data.len, 2);
    assert_true(bk_addr_equal(&a.d.remote, &a.client));
    assert_true(bk_addr_equal(&a.d.local, &a.server));
    a.now = bk_after(a.now, 300 * BK_US_PER_S); /* section 9: MUST be 5 minutes */
    ask_indicate(&a, &out_there, "hello");
    assert_false(a.answered); /* even before the timer ran */
    turn_service_advance(a.service, a.now);
    assert_int_equal(ask_info(&a).permissions, 0);
    ask_bytes(&a, &out_there, &relayed, "hi", 2);
    assert_false(a.answered);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_DROP_PEER], 4);
    ask_fini(&a);
}

static void channels_carry_data_both_ways(void **state) {
    struct asker a;
    struct bk_addr relayed, other = out_there;
    (void)state;
    start(&a, &relayed);
    ask_bind(&a, 0x4001, &out_there);
    ask_expect(&a, 0);
    ask_channel(&a, 0x4001, "hello");
    expect_to_peer(&a, &relayed, &out_there, "hello");
    ask_channel(&a, 0x4002, "hello");
    assert_false(a.answered);
    a.out[3] = 200; /* claims more than there is */
    ask_again(&a);
    assert_int_equal(a.err, BK_ERR_MALFORMED);
    ask_channel(&a, 0x4001, ""); /* section 12.6: empty ones are sent, too */
    expect_to_peer(&a, &relayed, &out_there, "");
    ask_bytes(&a, &out_there, &relayed, "there", 5);
    assert_true(a.answered);
    assert_int_equal(a.d.len, 9);
    assert_memory_equal(a.d.data, "\x40\x01\x00\x05there", 9);
    other.port++; /* its permission came with the channel, but not the channel */
    ask_bytes(&a, &other, &relayed, "there", 5);
    assert_int_equal(a.msg.method, TURN_DATA);
    /* sections 9 and 12: the permission lasts 5 minutes, the channel 10 */
    a.now = bk_after(a.now, 301 * BK_US_PER_S);
    turn_service_advance(a.service, a.now);
    ask_bytes(&a, &out_there, &relayed, "there", 5);
    assert_false(a.answered);
    ask_channel(&a, 0x4001, "hello");
    assert_true(a.answered);
    ask_refresh(&a, 3600);
    a.now = bk_after(a.now, 300 * BK_US_PER_S);
    turn_service_advance(a.service, a.now);
    ask_channel(&a, 0x4001, "hello");
    assert_false(a.answered);
    assert_int_equal(ask_info(&a).channels, 0);
    ask_fini(&a);
}

/* Section 12.2. */
static void channel_bind_checks_its_attributes(void **state) {
    struct asker a;
    struct bk_addr relayed, other = out_there, no_port = out_there;
    const uint8_t six[16] = {0x26, 0x00, [15] = 1};
    struct bk_addr v6 = bk_addr(bk_ipv6(six), 1), inside = bk_addr(bk_ipv4(10, 0, 0, 1), 1);
    (void)state;
    start(&a, &relayed);
    other.port++;
    no_port.port = 0;
    ask_bind(&a, 0x3fff, &out_there);
    ask_expect(&a, 400);
    ask_bind(&a, 0x8000, &out_there);
    ask_expect(&a, 400);
    ask_bind(&a, 0x4000, &no_port);
    ask_expect(&a, 400);
    ask_new(&a, STUN_REQUEST, TURN_CHANNEL_BIND);
    stun_put_port(&a.b, TURN_CHANNEL_NUMBER, 0x4000);
    ask_send(&a);
    ask_expect(&a, 400);
    ask_bind(&a, 0x4000, &v6);
    ask_expect(&a, 443);
    ask_bind(&a, 0x4000, &inside);
    ask_expect(&a, 403);
    ask_bind(&a, 0x4000, &out_there);
    ask_expect(&a, 0);
    ask_bind(&a, 0x4000, &out_there);
    ask_expect(&a, 0); /* again is a refresh */
    ask_bind(&a, 0x4000, &other);
    ask_expect(&a, 400);
    ask_bind(&a, 0x4fff, &out_there);
    ask_expect(&a, 400);
    ask_bind(&a, 0x7fff, &other); /* as clients of RFC 5766 do */
    ask_expect(&a, 0);
    ask_channel(&a, 0x7fff, "hello");
    assert_true(a.answered);
    assert_int_equal(ask_info(&a).channels, 2);
    assert_int_equal(ask_info(&a).permissions, 1);
    ask_fini(&a);
}

/* Section 10.2: all or nothing. */
static void create_permission_checks_all_its_peers(void **state) {
    struct asker a;
    struct bk_addr relayed, inside = bk_addr(bk_ipv4(169, 254, 169, 254), 80);
    (void)state;
    start(&a, &relayed);
    ask_new(&a, STUN_REQUEST, TURN_CREATE_PERMISSION);
    ask_send(&a);
    ask_expect(&a, 400);
    ask_new(&a, STUN_REQUEST, TURN_CREATE_PERMISSION);
    stun_put_addr(&a.b, TURN_XOR_PEER_ADDRESS, &out_there);
    stun_put_addr(&a.b, TURN_XOR_PEER_ADDRESS, &inside);
    ask_send(&a);
    ask_expect(&a, 403);
    assert_int_equal(ask_info(&a).permissions, 0);
    ask_fini(&a);
}

static void limits_are_508(void **state) {
    struct asker a;
    struct bk_addr peer = out_there;
    (void)state;
    ask_init(&a);
    a.config.permissions_max = 3;
    a.config.channels_max = 2;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    for (unsigned i = 0; i < 5; i++) {
        peer.ip.bytes[3] = (uint8_t)i;
        ask_permission(&a, &peer);
        ask_expect(&a, i < 3 ? 0 : 508);
    }
    for (unsigned i = 0; i < 4; i++) {
        peer.ip.bytes[3] = 0;
        peer.port = (uint16_t)(i + 1);
        ask_bind(&a, (uint16_t)(0x4000 + i), &peer);
        ask_expect(&a, i < 2 ? 0 : 508);
    }
    peer.ip.bytes[3] = 9;
    ask_refresh(&a, 0);
    (void)ask_allocate(&a, 1);
    ask_permission(&a, &peer);
    ask_expect(&a, 0); /* all came back */
    ask_fini(&a);
}

/* Two clients of one server meet at its address; what else listens there stays out of reach. */
static void the_servers_own_address_is_for_relays_only(void **state) {
    struct asker a;
    struct bk_addr one, two, service;
    (void)state;
    ask_init(&a);
    a.config.relay[0] = bk_ipv4(10, 0, 0, 5); /* behind a NAT that maps one to one */
    a.config.public[0] = bk_ipv4(8, 8, 8, 8);
    a.server = bk_addr(bk_ipv4(10, 0, 0, 5), 3478);
    ask_start(&a);
    one = ask_allocate(&a, 1);
    assert_true(bk_ip_equal(&one.ip, &a.config.public[0]));
    two = ask_allocate(&a, 2);
    service = bk_addr(two.ip, 3478);
    ask_bind(&a, 0x4000, &service);
    ask_expect(&a, 403);
    ask_permission(&a, &one);
    ask_expect(&a, 0);
    ask_indicate(&a, &service, "x");
    assert_false(a.answered);
    ask_bind(&a, 0x4000, &one);
    ask_expect(&a, 0);
    ask_channel(&a, 0x4000, "hello");
    assert_true(a.answered); /* it goes straight to the relay port, not around the NAT */
    assert_true(bk_ip_equal(&a.d.remote.ip, &a.config.relay[0]));
    assert_int_equal(a.d.remote.port, one.port);
    /* and comes from the address that the other one permitted */
    struct bk_addr from = a.d.local, to = a.d.remote, said;
    a.client = ask_client(1);
    ask_learn(&a);
    ask_permission(&a, &two);
    ask_expect(&a, 0);
    ask_bytes(&a, &from, &to, "hello", 5);
    assert_true(a.answered);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_PEER_ADDRESS, &said), BK_OK);
    assert_true(bk_addr_equal(&said, &two));
    ask_fini(&a);
}

static void icmp_errors_are_told(void **state) {
    struct asker a;
    struct bk_addr relayed, other = bk_addr(bk_ipv4(8, 8, 8, 8), 53), said;
    uint64_t icmp;
    (void)state;
    start(&a, &relayed);
    ask_permission(&a, &out_there);
    struct turn_icmp error = {relayed, out_there, 3, 4, 1280};
    assert_int_equal(turn_service_icmp(a.service, &error, a.now), BK_OK);
    assert_true(turn_service_next_datagram(a.service, &a.d));
    assert_int_equal(stun_parse(&a.msg, a.d.data, a.d.len), BK_OK);
    assert_int_equal(a.msg.method, TURN_DATA);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_PEER_ADDRESS, &said), BK_OK);
    assert_true(bk_addr_equal(&said, &out_there));
    assert_int_equal(stun_get_u64(&a.msg, TURN_ICMP, &icmp), BK_OK);
    assert_int_equal(icmp, (uint64_t)(3 << 9 | 4) << 32 | 1280);
    assert_false(stun_has(&a.msg, TURN_DATA_ATTR));
    error.peer = other;
    assert_int_equal(turn_service_icmp(a.service, &error, a.now), BK_ERR_NOT_OURS);
    error.peer = out_there;
    error.type = 8; /* section 11.5: only these types */
    assert_int_equal(turn_service_icmp(a.service, &error, a.now), BK_ERR_NOT_OURS);
    ask_fini(&a);
}

/* Random lives of many allocations: the tables never disagree, and all comes back. */
static void a_thousand_lives_leave_nothing_behind(void **state) {
    struct asker a;
    struct turn_action action;
    int open = 0;
    (void)state;
    ask_init(&a);
    a.config.allocations_max = 8;
    a.config.permissions_all = 20;
    a.config.channels_all = 10;
    ask_start(&a);
    for (int i = 0; i < 4000; i++) {
        struct bk_addr peer = out_there;
        peer.ip.bytes[3] = (uint8_t)rng_below(&a.rng, 8);
        a.client = ask_client(rng_below(&a.rng, 12));
        ask_learn(&a);
        switch (rng_below(&a.rng, 6)) {
        case 0:
        case 1:
            ask_allocate_start(&a);
            ask_send(&a);
            break;
        case 2:
            ask_permission(&a, &peer);
            break;
        case 3:
            ask_bind(&a, (uint16_t)(0x4000 + rng_below(&a.rng, 3)), &peer);
            break;
        case 4:
            ask_refresh(&a, rng_below(&a.rng, 2) * 600);
            break;
        default:
            a.now = bk_after(a.now, (int64_t)rng_below(&a.rng, 200) * BK_US_PER_S);
            turn_service_advance(a.service, a.now);
        }
        while (turn_service_next_action(a.service, &action))
            open += action.kind == TURN_OPEN ? 1 : -1;
        assert_int_equal(open, ask_info(&a).allocations);
    }
    assert_true(ask_info(&a).counts[TURN_COUNT_ALLOCATED] > 500);
    a.now = bk_after(a.now, 3600 * BK_US_PER_S);
    turn_service_advance(a.service, a.now);
    while (turn_service_next_action(a.service, &action))
        open--;
    assert_int_equal(open, 0);
    assert_int_equal(ask_info(&a).permissions, 0);
    assert_int_equal(ask_info(&a).channels, 0);
    assert_true(bk_is_never(turn_service_deadline(a.service)));
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_passes_without_a_permission),
        cmocka_unit_test(channels_carry_data_both_ways),
        cmocka_unit_test(channel_bind_checks_its_attributes),
        cmocka_unit_test(create_permission_checks_all_its_peers),
        cmocka_unit_test(limits_are_508),
        cmocka_unit_test(the_servers_own_address_is_for_relays_only),
        cmocka_unit_test(icmp_errors_are_told),
        cmocka_unit_test(a_thousand_lives_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
