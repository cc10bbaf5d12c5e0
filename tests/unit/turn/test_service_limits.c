/* SPDX-License-Identifier: MIT
 * Quotas, bandwidth, flows, several workers with one ledger, and memory. */
#include "ask.h"

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};
static const struct bk_addr other = {{.family = BK_IPV4, .bytes = {8, 8, 8, 8}}, 80};

static void expect_refusal(struct asker *a, enum turn_rule rule) {
    struct turn_refusal r;
    assert_true(turn_service_next_refusal(a->service, &r));
    assert_int_equal(r.rule, rule);
    assert_true(bk_addr_equal(&r.client, &a->client));
    assert_string_not_equal(turn_rule_name(rule), "");
    assert_false(turn_service_next_refusal(a->service, &r));
    assert_true(ask_info(a).refused[rule] > 0);
}

/* RFC 8656 section 7.2, point 10: 486. */
static void quotas_of_users_and_addresses(void **state) {
    static const struct {
        const char *name;
        uint32_t user_perms, address_perms, user_chans, address_chans;
        enum turn_rule rule;
        bool channel;
    } rows[] = {
        {"user permissions", 1, 9, 9, 9, TURN_RULE_USER_PERMISSIONS, false},
        {"address permissions", 9, 1, 9, 9, TURN_RULE_ADDRESS_PERMISSIONS, false},
        {"user channels", 9, 9, 1, 9, TURN_RULE_USER_CHANNELS, true},
        {"address channels", 9, 9, 9, 1, TURN_RULE_ADDRESS_CHANNELS, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct asker a;
        ask_init(&a);
        a.config.permissions_per_user = rows[i].user_perms;
        a.config.permissions_per_address = rows[i].address_perms;
        a.config.channels_per_user = rows[i].user_chans;
        a.config.channels_per_address = rows[i].address_chans;
        ask_start(&a);
        (void)ask_allocate(&a, 1);
        ask_bind(&a, 0x4000, &peer);
        ask_expect(&a, 0);
        ask_bind(&a, 0x4000, &peer); /* again costs nothing */
        ask_expect(&a, 0);
        if (rows[i].channel)
            ask_bind(&a, 0x4001, &other);
        else
            ask_permission(&a, &other);
        ask_expect(&a, 486);
        expect_refusal(&a, rows[i].rule);
        ask_refresh(&a, 0); /* given back with the allocation */
        ask_expect(&a, 0);
        (void)ask_allocate(&a, 2);
        ask_bind(&a, 0x4001, &other);
        ask_expect(&a, 0);
        ask_fini(&a);
    }
}

static void an_address_has_a_quota(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.per_address_max = 1;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    struct bk_addr first = a.client;
    a.client.port = 4711;
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 486);
    expect_refusal(&a, TURN_RULE_ADDRESS_ALLOCATIONS);
    a.client = first;
    ask_learn(&a);
    ask_refresh(&a, 0);
    a.client.port = 4711;
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 0);
    ask_fini(&a);
}

static void bandwidth_is_a_bucket(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.bytes_per_s = 2000;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    ask_bind(&a, 0x4000, &peer);
    int sent = 0;
    for (int i = 0; i < 100; i++) {
        ask_channel(&a, 0x4000, "0123456789012345678901234567890123456789");
        sent += a.answered;
    }
    assert_int_equal(sent, 50); /* 2000 bytes at once */
    assert_int_equal(a.err, BK_ERR_FULL);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_DROP_BANDWIDTH], 50);
    assert_int_equal(ask_info(&a).bytes[0], 2000);
    expect_refusal(&a, TURN_RULE_ALLOCATION_BANDWIDTH); /* once */
    a.now = bk_after(a.now, BK_US_PER_S / 2);
    for (int i = 0; i < 100; i++) {
        ask_channel(&a, 0x4000, "0123456789012345678901234567890123456789");
        sent += a.answered;
    }
    assert_int_equal(sent, 75);
    /* what was sent elsewhere counts as well */
    a.now = bk_after(a.now, 10 * BK_US_PER_S);
    const struct turn_sent train = {.packets = 100, .bytes = 100000};
    turn_service_sent(a.service, &train, a.now);
    a.now = bk_after(a.now, 40 * BK_US_PER_S);
    ask_channel(&a, 0x4000, "x");
    assert_false(a.answered);
    a.now = bk_after(a.now, 11 * BK_US_PER_S);
    ask_channel(&a, 0x4000, "x");
    assert_true(a.answered);
    ask_fini(&a);
}

static void channels_are_flows(void **state) {
    struct asker a;
    static int door;
    (void)state;
    ask_init(&a);
    a.config.flows = true;
    ask_start(&a);
    turn_service_from(a.service, &door);
    struct bk_addr relay = ask_allocate(&a, 1);
    (void)ask_action(&a, TURN_OPEN);
    ask_bind(&a, 0x4000, &peer);
    struct turn_action action = ask_action(&a, TURN_FLOW);
    uint32_t id = action.flow.id;
    assert_ptr_equal(action.via, &door);
    assert_true(bk_addr_equal(&action.flow.peer, &peer));
    assert_true(bk_addr_equal(&action.flow.client, &a.client));
    assert_true(bk_addr_equal(&action.flow.server, &a.server));
    assert_true(bk_addr_equal(&action.flow.relay, &relay));
    assert_int_equal(action.flow.channel, 0x4000);
    assert_int_equal(action.flow.expires.us - a.now.us, 300 * BK_US_PER_S); /* the permission */
    ask_no_action(&a);
    ask_wait(&a, 200);
    ask_permission(&a, &peer); /* lives longer: told again */
    action = ask_action(&a, TURN_FLOW);
    assert_int_equal(action.flow.id, id);
    assert_int_equal(action.flow.expires.us - a.now.us, 300 * BK_US_PER_S);
    const struct turn_sent sent = {
        .alloc = action.flow.alloc, .chan = id, .packets = 3, .bytes = 9};
    turn_service_sent(a.service, &sent, a.now);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_TO_PEER], 3);
    assert_int_equal(ask_info(&a).flows, 1);
    ask_refresh(&a, 0);
    assert_int_equal(ask_action(&a, TURN_FLOW_END).flow.id, id);
    (void)ask_action(&a, TURN_CLOSE);
    ask_no_action(&a);
    turn_service_sent(a.service, &sent, a.now); /* late: nobody's any more */
    assert_int_equal(ask_info(&a).flows, 0);
    ask_fini(&a);
}

static void who_is_over_loses_its_flows(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.flows = true;
    a.config.user_bytes_per_s = 2000;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    (void)ask_action(&a, TURN_OPEN);
    ask_bind(&a, 0x4000, &peer);
    struct turn_action action = ask_action(&a, TURN_FLOW);
    uint32_t id = action.flow.id;
    struct turn_sent sent = {.alloc = action.flow.alloc, .chan = id, .packets = 1, .bytes = 1000};
    turn_service_sent(a.service, &sent, a.now);
    ask_no_action(&a);
    sent.bytes = 5000;
    turn_service_sent(a.service, &sent, a.now);
    assert_int_equal(ask_action(&a, TURN_FLOW_END).flow.id, id);
    ask_no_action(&a);
    ask_channel(&a, 0x4000, "x"); /* held by the sockets */
    assert_false(a.answered);
    ask_wait(&a, 10);
    ask_channel(&a, 0x4000, "x");
    assert_true(a.answered);
    ask_bind(&a, 0x4000, &peer);
    (void)ask_action(&a, TURN_FLOW);
    ask_fini(&a);
}

/* A client that fetches no actions cannot make the ring run over. */
static void announcements_yield_to_ends(void **state) {
    struct asker a;
    struct turn_action action;
    unsigned ends = 0;
    (void)state;
    ask_init(&a);
    a.config.flows = true;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    ask_bind(&a, 0x4000, &peer);
    for (int i = 0; i < 500; i++)
        ask_permission(&a, &peer);
    ask_wait(&a, 3600);
    while (turn_service_next_action(a.service, &action))
        ends += action.kind == TURN_CLOSE || action.kind == TURN_FLOW_END;
    assert_int_equal(ends, 2);
    ask_fini(&a);
}

static enum turn_found find_later(void *ctx, const struct stun_claim *claim,
                                  struct turn_user *out) {
    struct asker *a = ctx;
    if (a->code == 1)
        return TURN_USER_LATER;
    out->id = 7;
    out->allocations_max = 1;
    out->lifetime_s = 90;
    assert_int_equal(stun_key_long("george", "bodkin", "secret", claim->algorithm, &out->key),
                     BK_OK);
    return TURN_USER_FOUND;
}

static void users_may_be_looked_up(void **state) {
    struct asker a;
    uint32_t lifetime;
    (void)state;
    ask_init(&a);
    a.config.users = (struct turn_users){.find = find_later, .ctx = &a};
    ask_start(&a);
    ask_learn(&a);
    a.code = 1;
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.err, BK_ERR_UNREACHABLE);
    assert_false(a.answered);
    assert_int_equal(ask_info(&a).allocations, 0);
    a.code = 0;
    ask_again(&a); /* the same datagram, handed in again */
    ask_expect(&a, 0);
    /* RFC 7635 section 4.1.2: no longer than the credentials */
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 90);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 486); /* the user's own limit */
    ask_fini(&a);
}

/* Answers to who has proved nothing are limited for each network, others are not. */
static void challenges_are_throttled(void **state) {
    struct asker a;
    struct throttle throttle;
    int answers = 0;
    (void)state;
    ask_init(&a);
    assert_int_equal(throttle_init(&throttle, 64, 10, 20, &a.rng, &test_alloc), BK_OK);
    throttle_by_network(&throttle);
    a.config.throttle = &throttle;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    struct bk_addr first = a.client;
    for (unsigned i = 0; i < 100; i++) {
        uint8_t txid[STUN_TXID_LEN] = {0};
        size_t len;
        struct stun_builder b = stun_start(a.out, sizeof a.out, STUN_REQUEST, TURN_ALLOCATE, txid);
        stun_put_u32(&b, TURN_REQUESTED_TRANSPORT, 17u << 24);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        a.client = ask_client(100 + i);
        ask_bytes(&a, &a.client, &a.server, a.out, len);
        answers += a.answered;
    }
    assert_int_equal(answers, 20); /* the allocation's was given back when it logged in */
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_DROP_THROTTLED], 80);
    a.client = first;
    ask_refresh(&a, 600);
    ask_expect(&a, 0);
    ask_fini(&a);
    throttle_fini(&throttle);
}

/* ---- Workers ------------------------------------------------------------------------------ */

static void make_pair(struct asker a[2], struct turn_book **book, struct turn_ledger *ledger) {
    assert_int_equal(turn_book_new(2, 100, &test_alloc, book), BK_OK);
    *ledger = turn_book_ledger(*book);
    for (uint16_t i = 0; i < 2; i++) {
        ask_init(&a[i]);
        a[i].config.ledger = ledger;
        a[i].config.worker = i;
        a[i].config.workers = 2;
        a[i].config.per_user_max = 3;
        ask_start(&a[i]);
    }
}

static uint64_t reserve(struct asker *a, unsigned n, struct bk_addr *relay) {
    const uint8_t pair = 0x80;
    uint64_t token;
    a->client = ask_client(n);
    ask_learn(a);
    ask_allocate_start(a);
    stun_put_bytes(&a->b, TURN_EVEN_PORT, &pair, 1);
    ask_send(a);
    ask_expect(a, 0);
    assert_int_equal(stun_get_addr(&a->msg, TURN_XOR_RELAYED_ADDRESS, relay), BK_OK);
    assert_int_equal(stun_get_u64(&a->msg, TURN_RESERVATION_TOKEN, &token), BK_OK);
    return token;
}

static void redeem(struct asker *a, unsigned n, uint64_t token) {
    a->client = ask_client(n);
    ask_learn(a);
    ask_allocate_start(a);
    stun_put_u64(&a->b, TURN_RESERVATION_TOKEN, token);
    ask_send(a);
}

/* Ports 50000..50009 are five pairs, of which worker 0 has three and worker 1 two. */
static void a_reserved_port_is_redeemed_elsewhere(void **state) {
    struct asker a[2];
    struct turn_book *book;
    struct turn_ledger ledger;
    struct bk_addr relay, next;
    (void)state;
    make_pair(a, &book, &ledger);
    for (int round = 0; round < 5; round++) { /* it comes home each time */
        uint64_t token = reserve(&a[0], 1, &relay);
        assert_int_equal(relay.port % 4, 0); /* pairs of worker 0 */
        redeem(&a[1], 2, token);
        ask_expect(&a[1], 0);
        assert_int_equal(stun_get_addr(&a[1].msg, TURN_XOR_RELAYED_ADDRESS, &next), BK_OK);
        assert_int_equal(next.port, relay.port + 1);
        (void)ask_action(&a[1], TURN_OPEN);
        redeem(&a[1], 3, token); /* once */
        ask_expect(&a[1], 508);
        a[1].client = ask_client(2);
        ask_learn(&a[1]);
        ask_refresh(&a[1], 0);
        ask_expect(&a[1], 0);
        (void)ask_action(&a[1], TURN_CLOSE);
        ask_refresh(&a[0], 0);
        (void)ask_action(&a[0], TURN_OPEN);
        (void)ask_action(&a[0], TURN_CLOSE);
        ask_wait(&a[0], 31);
        a[1].now = a[0].now;
        assert_true(bk_is_never(turn_service_deadline(a[0].service)));
    }
    uint64_t token = reserve(&a[0], 1, &relay);
    ask_wait(&a[1], 30); /* nobody came */
    redeem(&a[1], 2, token);
    ask_expect(&a[1], 508);
    for (int i = 0; i < 2; i++)
        ask_fini(&a[i]);
    turn_book_free(book);
}

static void users_are_counted_in_all_workers(void **state) {
    struct asker a[2];
    struct turn_book *book;
    struct turn_ledger ledger;
    (void)state;
    make_pair(a, &book, &ledger);
    struct bk_addr first = ask_allocate(&a[0], 1);
    (void)ask_allocate(&a[0], 2);
    struct bk_addr third = ask_allocate(&a[1], 3);
    assert_int_equal(first.port / 2 % 2, 0);
    assert_int_equal(third.port / 2 % 2, 1);
    a[1].client = ask_client(4);
    ask_learn(&a[1]);
    ask_allocate_start(&a[1]);
    ask_send(&a[1]);
    ask_expect(&a[1], 486);
    expect_refusal(&a[1], TURN_RULE_USER_ALLOCATIONS);
    /* a client may reach one of another worker's, by its relayed address, while that is open */
    a[1].client = ask_client(3);
    ask_learn(&a[1]);
    ask_bind(&a[1], 0x4000, &first);
    ask_expect(&a[1], 0);
    ask_channel(&a[1], 0x4000, "x");
    assert_true(a[1].answered);
    assert_true(bk_addr_equal(&a[1].d.remote, &first));
    a[0].client = ask_client(1);
    ask_learn(&a[0]);
    ask_refresh(&a[0], 0);
    ask_channel(&a[1], 0x4000, "x");
    assert_false(a[1].answered);
    (void)ask_allocate(&a[1], 4); /* given back there is free here */
    for (int i = 0; i < 2; i++)
        ask_fini(&a[i]);
    turn_book_free(book);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static size_t held;

static void *counting_get(void *ctx, size_t size) {
    (void)ctx;
    size_t *p = calloc(1, size + 2 * sizeof *p);
    if (p == NULL)
        return NULL;
    p[0] = size;
    held += size;
    return p + 2;
}

static void counting_put(void *ctx, void *memory) {
    (void)ctx;
    size_t *p = memory;
    if (p == NULL)
        return;
    held -= p[-2];
    free(p - 2);
}

/* Memory comes with the allocations, and goes with them. */
static void an_idle_allocation_is_small(void **state) {
    enum { MANY = 2000 };
    static const struct bk_alloc counting = {counting_get, counting_put, NULL};
    struct asker a;
    struct turn_action action;
    (void)state;
    ask_init(&a);
    a.config.allocations_max = 100000;
    a.config.per_user_max = a.config.per_address_max = 100000;
    a.config.port_min = 10000;
    a.config.port_max = 65535;
    held = 0;
    assert_int_equal(turn_service_new(&a.config, &counting, &a.rng, a.now, &a.service), BK_OK);
    size_t before = held;
    for (unsigned i = 0; i < MANY; i++) {
        a.client = bk_addr(bk_ipv4(100, 100, (uint8_t)(i >> 8), (uint8_t)i), 4000);
        ask_learn(&a);
        ask_allocate_start(&a);
        ask_send(&a);
        ask_expect(&a, 0);
    }
    size_t each = (held - before) / MANY;
    print_message("%zu bytes each\n", each);
    assert_true(each <= 1024);
    ask_wait(&a, 3600);
    while (turn_service_next_action(a.service, &action))
        continue;
    assert_int_equal(ask_info(&a).allocations, 0);
    print_message("%zu bytes stay\n", held - before);
    assert_true(held - before <= 512 * 1024);
    turn_service_free(a.service);
    assert_int_equal(held, 0);
    stun_login_fini(&a.login);
}

/* ---- Without memory ----------------------------------------------------------------------- */

static unsigned gets_left;

static void *scarce_get(void *ctx, size_t size) {
    (void)ctx;
    if (gets_left == 0)
        return NULL;
    gets_left--;
    return calloc(1, size == 0 ? 1 : size);
}

/* As if a limit were reached: 486 or 508, and when there is memory again, all is well. */
static void no_memory_is_no_room(void **state) {
    static const struct bk_alloc scarce = {scarce_get, test_put, NULL};
    (void)state;
    for (unsigned gets = 0; gets < 12; gets++) {
        struct asker a;
        unsigned refused = 0;
        ask_init(&a);
        a.config.shared = gets % 2 == 1;
        a.config.flows = true;
        gets_left = UINT32_MAX;
        assert_int_equal(turn_service_new(&a.config, &scarce, &a.rng, a.now, &a.service), BK_OK);
        ask_learn(&a);
        gets_left = gets;
        for (int again = 0; again < 2; again++) {
            ask_allocate_start(&a);
            ask_send(&a);
            refused += a.code == 486 || a.code == 508;
            ask_permission(&a, &other);
            refused += a.code == 508;
            ask_bind(&a, 0x4000, &peer);
            refused += a.code == 508;
            gets_left = UINT32_MAX;
        }
        assert_int_equal(a.code, 0);
        assert_true(refused > 0 || gets > 5);
        assert_int_equal(ask_info(&a).channels, 1);
        assert_int_equal(ask_info(&a).permissions, 2);
        ask_fini(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas_of_users_and_addresses),
        cmocka_unit_test(an_address_has_a_quota),
        cmocka_unit_test(bandwidth_is_a_bucket),
        cmocka_unit_test(channels_are_flows),
        cmocka_unit_test(announcements_yield_to_ends),
        cmocka_unit_test(who_is_over_loses_its_flows),
        cmocka_unit_test(users_may_be_looked_up),
        cmocka_unit_test(challenges_are_throttled),
        cmocka_unit_test(a_reserved_port_is_redeemed_elsewhere),
        cmocka_unit_test(users_are_counted_in_all_workers),
        cmocka_unit_test(an_idle_allocation_is_small),
        cmocka_unit_test(no_memory_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
