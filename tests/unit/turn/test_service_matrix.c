/* SPDX-License-Identifier: MIT
 * Whom a relay talks to: every special-purpose range, in every spelling, by every way to name a
 * peer, is refused by default (RFC 8656 section 21.2); one line opens a LAN. filter.c is tested
 * alone in test_filter.c; here is what a client can do. */
#include "ask.h"

/* One of each row of IANA's special-purpose registries, the edges of the large ones, and what
 * clouds answer at. */
static const char *const inside_v4[] = {
    "0.0.0.0",         "10.0.0.1",       "10.255.255.254", "100.64.0.1",      "100.100.100.200",
    "127.0.0.1",       "168.63.129.16",  "169.254.0.1",    "169.254.169.254", "172.16.0.1",
    "172.31.255.254",  "192.0.0.1",      "192.0.2.200",    "192.88.99.1",     "192.168.0.1",
    "192.168.255.254", "198.18.0.1",     "198.51.100.1",   "203.0.113.1",     "224.0.0.1",
    "240.0.0.1",       "255.255.255.255"};

static const char *const inside_v6[] = {
    "::",      "::1",     "100::1",  "2001::1", "2001:2::1",     "2001:db8::1", "3fff::1",
    "5f00::1", "fc00::1", "fe80::1", "fec0::1", "fd00:ec2::254", "ff02::1"};

static struct bk_ip ip(const char *text) {
    struct bk_ip out;
    assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

enum { SPELLINGS = 7 };

static struct bk_ip spell(const char *v4, unsigned how) {
    static const uint8_t prefix[SPELLINGS][12] = {
        {0},                         /* as it is */
        {[10] = 0xff, [11] = 0xff},  /* mapped */
        {0},                         /* compatible */
        {0, 0x64, 0xff, 0x9b},       /* NAT64 */
        {0, 0x64, 0xff, 0x9b, 0, 1}, /* NAT64 of a site */
        {0x20, 0x02},                /* 6to4 */
        {0x20, 0x01},                /* Teredo */
    };
    struct bk_ip four = ip(v4);
    uint8_t bytes[16] = {0};
    if (how == 0)
        return four;
    memcpy(bytes, prefix[how], 12);
    if (how == 5)
        memcpy(bytes + 2, four.bytes, 4);
    for (size_t i = 0; how != 5 && i < 4; i++)
        bytes[12 + i] = how == 6 ? (uint8_t)~four.bytes[i] : four.bytes[i];
    return bk_ipv6(bytes);
}

/* A TCP allocation for Connect, one of datagrams for the rest; of both families. */
static void start(struct asker *a, bool tcp, const struct turn_range *allow) {
    static const uint8_t six[16] = {0x26, 0x20, [15] = 1};
    ask_init(a);
    a->config.tcp = tcp;
    a->protocol = tcp ? BK_TCP : BK_UDP;
    a->config.relay[1] = bk_ipv6(six);
    a->config.filter.allow = allow;
    a->config.filter.allow_count = allow != NULL;
    ask_start(a);
    ask_learn(a);
    ask_new(a, STUN_REQUEST, TURN_ALLOCATE);
    stun_put_u32(&a->b, TURN_REQUESTED_TRANSPORT, (tcp ? 6u : 17u) << 24);
    stun_put_u32(&a->b, TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    ask_send(a);
    ask_expect(a, 0);
}

static void check_refused(struct asker *udp, struct asker *tcp, const struct bk_ip *peer) {
    char text[BK_ADDR_TEXT_MAX];
    const struct bk_addr addr = bk_addr(*peer, 80);
    ask_permission(udp, &addr);
    if (udp->code != 403)
        fail_msg("CreatePermission %s: %u", bk_ip_format(peer, text), udp->code);
    ask_bind(udp, 0x4000, &addr);
    if (udp->code != 403)
        fail_msg("ChannelBind %s: %u", bk_ip_format(peer, text), udp->code);
    ask_indicate(udp, &addr, "x");
    if (udp->answered)
        fail_msg("Send %s", bk_ip_format(peer, text));
    ask_new(tcp, STUN_REQUEST, TURN_METHOD_CONNECT);
    stun_put_addr(&tcp->b, TURN_XOR_PEER_ADDRESS, &addr);
    ask_send(tcp);
    if (!tcp->answered || tcp->code != 403)
        fail_msg("Connect %s: %u", bk_ip_format(peer, text), tcp->code);
}

static void nothing_inside_is_reached(void **state) {
    struct asker udp, tcp;
    (void)state;
    start(&udp, false, NULL);
    start(&tcp, true, NULL);
    for (size_t i = 0; i < sizeof inside_v4 / sizeof *inside_v4; i++) {
        for (unsigned how = 0; how < SPELLINGS; how++) {
            struct bk_ip peer = spell(inside_v4[i], how);
            check_refused(&udp, &tcp, &peer);
        }
    }
    for (size_t i = 0; i < sizeof inside_v6 / sizeof *inside_v6; i++) {
        struct bk_ip peer = ip(inside_v6[i]);
        check_refused(&udp, &tcp, &peer);
    }
    assert_int_equal(ask_info(&udp).permissions, 0);
    assert_int_equal(ask_info(&udp).channels, 0);
    struct bk_addr outside = bk_addr(ip("9.9.9.9"), 80);
    ask_permission(&udp, &outside);
    ask_expect(&udp, 0);
    /* our own address, but for relay ports: not the service itself, nor what else runs there */
    struct bk_addr self = bk_addr(udp.config.relay[0], 3478);
    ask_bind(&udp, 0x4001, &self);
    ask_expect(&udp, 403);
    ask_fini(&udp);
    ask_fini(&tcp);
}

static void one_line_opens_a_lan(void **state) {
    const struct turn_range lan = {ip("192.168.7.0"), 24};
    struct asker udp;
    (void)state;
    start(&udp, false, &lan);
    const struct bk_addr printer = bk_addr(ip("192.168.7.9"), 80);
    ask_bind(&udp, 0x4000, &printer);
    ask_expect(&udp, 0);
    const char *const still[] = {"192.168.8.9", "::ffff:192.168.7.9", "10.0.0.1"};
    for (size_t i = 0; i < 3; i++) {
        const struct bk_addr other = bk_addr(ip(still[i]), 80);
        ask_permission(&udp, &other);
        ask_expect(&udp, 403);
    }
    ask_fini(&udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_inside_is_reached),
        cmocka_unit_test(one_line_opens_a_lan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
