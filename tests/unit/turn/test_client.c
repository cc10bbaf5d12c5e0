/* SPDX-License-Identifier: MIT */
#include "peer.h"

static void allocates_after_the_challenge(void **state) {
    struct bench b;
    uint32_t transport = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    assert_int_equal(b.auth, 401); /* bare: it knows no realm yet */
    assert_int_equal(stun_get_u32(&b.msg, TURN_REQUESTED_TRANSPORT, &transport), BK_OK);
    assert_int_equal(transport, 17u << 24);
    bench_challenge(&b, 401);
    b.now = bk_after(b.now, 20 * BK_US_PER_MS);
    bench_expect(&b, TURN_ALLOCATE);
    assert_int_equal(b.auth, 0);
    assert_int_equal(b.claim.algorithm, STUN_ALGORITHM_SHA256);
    b.now = bk_after(b.now, 30 * BK_US_PER_MS);
    bench_say_allocated(&b, 600);
    struct bk_turn_event e = bench_event(&b, BK_TURN_ALLOCATED);
    assert_int_equal(e.relayed.port, 50000);
    assert_int_equal(e.mapped.port, 1234);
    assert_int_equal(e.lifetime_s, 600);
    assert_int_equal(e.rtt_us, 50000); /* the request was made when the challenge came */
    struct bk_addr relayed = bk_turn_relayed(b.turn);
    assert_true(bk_addr_equal(&relayed, &e.relayed));
    bench_quiet(&b);
    bench_fini(&b);
}

static void a_wrong_password_is_not_tried_twice(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    b.config.password = "wrong";
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    assert_int_equal(b.auth, 401);
    bench_challenge(&b, 401);
    /* once more from the beginning, as the challenge might have been another server's, then no more
     */
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    struct bk_turn_event e = bench_event(&b, BK_TURN_FAILED);
    assert_int_equal(e.err, BK_ERR_AUTH);
    assert_int_equal(e.code, 401);
    bench_quiet(&b);
    assert_true(bk_is_never(bk_turn_deadline(b.turn)));
    bench_fini(&b);
}

static void silence_fails_after_seven_requests(void **state) {
    struct bench b;
    int requests = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    do
        while (bench_request(&b))
            requests++;
    while (bench_step(&b, test_at_ms(200000)));
    assert_int_equal(requests, 7);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).err, BK_ERR_TIMEOUT);
    bench_fini(&b);
}

/* RFC 8656 section 7.4, and 300 of RFC 8489 section 10. */
static void errors_of_allocate_are_final(void **state) {
    static const uint16_t codes[] = {400, 403, 440, 441, 442, 486, 508};
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct bench b;
        bench_init(&b);
        bench_start(&b);
        bench_expect(&b, TURN_ALLOCATE);
        bench_challenge(&b, 401);
        bench_expect(&b, TURN_ALLOCATE);
        bench_say(&b, codes[i]);
        struct bk_turn_event e = bench_event(&b, BK_TURN_FAILED);
        assert_int_equal(e.code, codes[i]);
        assert_int_equal(e.err, BK_ERR_REFUSED);
        bench_quiet(&b);
        bench_fini(&b);
    }
}

/* RFC 8489 section 6.3.4: 500 may be tried again, a limited number of times, and not at once. */
static void a_server_error_is_retried_twice(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    for (int i = 0; i < 3; i++) {
        bench_expect(&b, TURN_ALLOCATE);
        bench_say(&b, 500);
        if (i < 2)
            assert_int_equal(bk_elapsed_us(b.now, bk_turn_deadline(b.turn)), BK_US_PER_S);
        (void)bench_step(&b, bk_after(b.now, 2 * BK_US_PER_S));
    }
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).code, 500);
    bench_fini(&b);
}

static void another_server_is_named(void **state) {
    struct bench b;
    struct bk_addr other = bench_addr(7, 3478);
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    bench_answer(&b, 300);
    stun_put_addr(&b.b, STUN_ALTERNATE_SERVER, &other);
    assert_int_equal(bench_send(&b), BK_OK);
    struct bk_turn_event e = bench_event(&b, BK_TURN_REDIRECT);
    assert_true(bk_addr_equal(&e.alternate, &other));
    bench_quiet(&b);
    bench_fini(&b);
}

static void dont_fragment_is_dropped_when_unknown(void **state) {
    struct bench b;
    const struct stun_types types = {.types = {TURN_DONT_FRAGMENT}, .count = 1};
    (void)state;
    bench_init(&b);
    b.config.dont_fragment = true;
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    assert_true(stun_has(&b.msg, TURN_DONT_FRAGMENT));
    bench_answer(&b, 420);
    stun_put_unknown(&b.b, &types);
    assert_int_equal(bench_send(&b), BK_OK);
    bench_expect(&b, TURN_ALLOCATE);
    assert_false(stun_has(&b.msg, TURN_DONT_FRAGMENT));
    bench_say_allocated(&b, 600);
    (void)bench_event(&b, BK_TURN_ALLOCATED);
    bench_fini(&b);
}

static void an_old_allocation_is_released_first(void **state) {
    struct bench b;
    uint32_t lifetime = 9;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    bench_say(&b, 437);
    bench_expect(&b, TURN_REFRESH);
    assert_int_equal(stun_get_u32(&b.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 0);
    bench_say_lifetime(&b, 0);
    bench_allocate(&b, 600);
    bench_fini(&b);
}

static void a_mismatch_that_stays_is_given_up(void **state) {
    struct bench b;
    int allocates = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    do {
        while (bench_request(&b)) {
            allocates += b.msg.method == TURN_ALLOCATE;
            bench_say(&b, 437);
        }
    } while (bench_step(&b, test_at_ms(60000)));
    assert_int_equal(allocates, 5);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).code, 437);
    bench_fini(&b);
}

static void the_wrong_family_is_given_back(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    b.config.family = BK_IPV6;
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    uint32_t family = 0;
    assert_int_equal(stun_get_u32(&b.msg, TURN_REQUESTED_ADDRESS_FAMILY, &family), BK_OK);
    assert_int_equal(family, 2u << 24);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    bench_say_allocated(&b, 600); /* an IPv4 address */
    bench_expect(&b, TURN_REFRESH);
    bench_say_lifetime(&b, 0);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).err, BK_ERR_MALFORMED);
    bench_fini(&b);
}

static void both_families_in_one_allocation(void **state) {
    struct bk_addr v4 = bench_addr(1, 50000), v6 = bench_addr6(1, 50002), peer = bench_addr6(8, 9);
    (void)state;
    for (int only_v6 = 0; only_v6 < 2; only_v6++) { /* section 7.2 point 9: what there is */
        struct bench b;
        bench_init(&b);
        b.config.both = true;
        bench_start(&b);
        bench_expect(&b, TURN_ALLOCATE);
        bench_challenge(&b, 401);
        bench_expect(&b, TURN_ALLOCATE);
        assert_true(stun_has(&b.msg, TURN_ADDITIONAL_ADDRESS_FAMILY));
        bench_answer(&b, 0);
        if (only_v6 == 0)
            stun_put_addr(&b.b, TURN_XOR_RELAYED_ADDRESS, &v4);
        stun_put_addr(&b.b, TURN_XOR_RELAYED_ADDRESS, &v6);
        stun_put_addr(&b.b, STUN_XOR_MAPPED_ADDRESS, &v4);
        stun_put_u32(&b.b, TURN_LIFETIME, 600);
        assert_int_equal(bench_send(&b), BK_OK);
        struct bk_turn_event e = bench_event(&b, BK_TURN_ALLOCATED);
        assert_true(bk_addr_equal(&e.relayed, only_v6 == 0 ? &v4 : &v6));
        assert_int_equal(e.relayed6.ip.family, only_v6 == 0 ? BK_IPV6 : BK_FAMILY_NONE);
        assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
        bench_expect(&b, TURN_CHANNEL_BIND);
        bench_fini(&b);
    }
}

/* An hour with every third refresh answered: the relay lives. */
static void lost_refreshes_never_end_it(void **state) {
    struct bench b;
    struct bk_turn_event e;
    int requests = 0, refreshes = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    do {
        while (bench_request(&b)) {
            assert_int_equal(b.msg.method, TURN_REFRESH);
            if (++requests % 9 == 0) { /* the first round of seven times out as a whole */
                if (b.auth == 438)
                    bench_challenge(&b, 438);
                else
                    bench_say_lifetime(&b, 600);
                refreshes++;
            }
        }
    } while (bench_step(&b, test_at_ms(3600 * 1000)));
    assert_false(bk_turn_next_event(b.turn, &e));
    assert_true(refreshes >= 6);
    assert_int_equal(bk_turn_relayed(b.turn).port, 50000);
    bench_fini(&b);
}

static void a_silent_server_loses_it_at_its_end_and_not_before(void **state) {
    struct bench b;
    struct bk_turn_event e;
    (void)state;
    bench_init(&b);
    b.config.again = false;
    bench_start(&b);
    struct bk_time start = b.now;
    bench_allocate(&b, 600);
    while (!bk_turn_next_event(b.turn, &e)) {
        while (bench_request(&b))
            ;
        assert_true(bench_step(&b, bk_after(start, 700 * BK_US_PER_S)));
    }
    assert_int_equal(e.kind, BK_TURN_LOST);
    assert_int_equal(e.err, BK_ERR_TIMEOUT);
    assert_int_equal(bk_elapsed_us(start, b.now), 600 * BK_US_PER_S);
    assert_true(bk_is_never(bk_turn_deadline(b.turn)));
    bench_fini(&b);
}

static void a_new_nonce_is_taken(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    b.realm.secret[5] ^= 1; /* every nonce so far is void */
    assert_int_equal(bk_turn_permit(b.turn, &peer, false, b.now), BK_OK);
    bench_expect(&b, TURN_CREATE_PERMISSION);
    assert_int_equal(b.auth, 438);
    bench_challenge(&b, 438);
    bench_expect(&b, TURN_CREATE_PERMISSION);
    assert_int_equal(b.auth, 0);
    bench_say(&b, 0);
    (void)bench_event(&b, BK_TURN_PERMITTED);
    bench_fini(&b);
}

/* Three requests under way when the nonce changes are three times 438, and one change. */
static void one_stale_nonce_counts_once(void **state) {
    struct bench b;
    struct bench copies[4];
    size_t n = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    for (unsigned round = 0; round < 8; round++) {
        struct bk_addr peers[3];
        b.realm.secret[5] ^= (uint8_t)(round + 1);
        for (unsigned i = 0; i < 3; i++) {
            peers[i] = bench_addr(round * 3 + i + 1, 9);
            assert_int_equal(bk_turn_permit(b.turn, &peers[i], true, b.now), BK_OK);
        }
        for (n = 0; bench_request(&b); n++)
            copies[n] = b;
        assert_int_equal(n, 3);
        for (size_t i = 0; i < 3; i++) {
            memcpy(b.request, copies[i].request, sizeof b.request);
            assert_int_equal(stun_parse(&b.msg, b.request, copies[i].out.len), BK_OK);
            bench_challenge(&b, 438);
        }
        for (n = 0; bench_request(&b); n++) {
            assert_int_equal(b.auth, 0);
            bench_say(&b, 0);
        }
        assert_int_equal(n, 3);
        for (unsigned i = 0; i < 3; i++)
            (void)bench_event(&b, BK_TURN_PERMITTED);
    }
    bench_quiet(&b);
    bench_fini(&b);
}

static void a_restarted_server_is_asked_anew(void **state) {
    struct bench b;
    struct bk_addr one = bench_addr(1, 9), two = bench_addr(2, 9);
    struct bk_datagram out;
    uint16_t method = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    assert_int_equal(bk_turn_permit(b.turn, &one, true, b.now), BK_OK);
    bench_expect(&b, TURN_CHANNEL_BIND);
    bench_say(&b, 0);
    (void)bench_event(&b, BK_TURN_PERMITTED);
    assert_int_equal(bk_turn_permit(b.turn, &two, false, b.now), BK_OK);
    bench_expect(&b, TURN_CREATE_PERMISSION);
    bk_turn_refresh(b.turn, b.now); /* found out at once */
    bench_expect(&b, TURN_REFRESH);
    bench_say(&b, 437);
    struct bk_turn_event e = bench_event(&b, BK_TURN_LOST);
    assert_int_equal(e.code, 437);
    assert_int_equal(bk_turn_relayed(b.turn).ip.family, BK_FAMILY_NONE);
    assert_int_equal(bk_turn_send(b.turn, &one, "x", 1, &out), BK_ERR_STATE);
    bench_allocate(&b, 600);
    for (int i = 0; i < 2; i++) { /* both are installed again */
        assert_true(bench_request(&b));
        assert_int_not_equal(b.msg.method, method);
        method = b.msg.method;
        bench_say(&b, 0);
        (void)bench_event(&b, BK_TURN_PERMITTED);
    }
    bench_quiet(&b);
    bench_fini(&b);
}

static void close_gives_it_back(void **state) {
    struct bench b;
    uint32_t lifetime = 9;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    bk_turn_close(b.turn, b.now);
    bench_expect(&b, TURN_REFRESH);
    assert_int_equal(stun_get_u32(&b.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 0);
    bench_say(&b, 437); /* gone already: as good, section 8.3 */
    (void)bench_event(&b, BK_TURN_CLOSED);
    bench_quiet(&b);
    bench_fini(&b);

    bench_init(&b);
    bench_start(&b);
    bk_turn_close(b.turn, b.now);
    (void)bench_event(&b, BK_TURN_CLOSED); /* there was nothing to give back */
    bench_fini(&b);

    bench_init(&b);
    bench_start(&b);
    bench_allocate(&b, 600);
    bk_turn_close(b.turn, b.now);
    while (bench_step(&b, test_at_ms(10000)))
        while (bench_request(&b))
            ;
    (void)bench_event(&b, BK_TURN_CLOSED); /* the server is silent */
    bench_fini(&b);
}

static void forged_answers_change_nothing(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    bench_challenge(&b, 401);
    bench_expect(&b, TURN_ALLOCATE);
    b.key.bytes[0] ^= 1;
    bench_answer(&b, 403);
    assert_int_equal(bench_send(&b), BK_ERR_AUTH);
    b.key.bytes[0] ^= 1;
    b.reply[8] ^= 1; /* another transaction */
    bench_answer(&b, 0);
    b.reply[8] ^= 1;
    assert_int_equal(bench_send(&b), BK_ERR_NOT_OURS);
    struct bk_datagram in = {.remote = bench_addr(3, 3478), .data = b.reply, .len = 20};
    assert_int_equal(bk_turn_recv(b.turn, &in, b.now, &b.data), BK_ERR_NOT_OURS);
    bench_quiet(&b);
    bench_say_allocated(&b, 600);
    (void)bench_event(&b, BK_TURN_ALLOCATED);
    bench_fini(&b);
}

static void revoked_credentials_last_until_the_end(void **state) {
    struct bench b;
    struct bk_turn_event e;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    struct bk_time start = b.now;
    bench_allocate(&b, 600);
    while (!bench_request(&b))
        assert_true(bench_step(&b, test_at_ms(700 * 1000)));
    assert_int_equal(b.msg.method, TURN_REFRESH);
    b.auth = 401;
    bench_challenge(&b, 401);
    while (!bk_turn_next_event(b.turn, &e)) {
        struct bk_datagram d;
        assert_false(bk_turn_next_datagram(b.turn, &d)); /* not asked again */
        assert_true(bench_step(&b, test_at_ms(700 * 1000)));
    }
    assert_int_equal(e.kind, BK_TURN_LOST);
    assert_int_equal(e.err, BK_ERR_AUTH);
    assert_int_equal(bk_elapsed_us(start, b.now), 600 * BK_US_PER_S);
    bench_fini(&b);
}

static void config_names_the_bad_field(void **state) {
    struct bk_turn_config c = bk_turn_config_default;
    (void)state;
    assert_string_equal(bk_turn_config_check(&c), "server");
    c.server = bench_addr(1, 3478);
    assert_string_equal(bk_turn_config_check(&c), "user");
    c.user = "u";
    assert_string_equal(bk_turn_config_check(&c), "password");
    c.password = "p";
    assert_null(bk_turn_config_check(&c));
    c.peers_max = 4097;
    assert_string_equal(bk_turn_config_check(&c), "peers_max");
    c.peers_max = 1;
    c.size = offsetof(struct bk_turn_config, both); /* a caller built before `both` */
    c.data_max = 1;
    assert_null(bk_turn_config_check(&c));
}

/* Memory: bodkin/turn.h promises about 1.7 KB with a shared workspace. */
static size_t taken;
static void *count_get(void *ctx, size_t size) {
    (void)ctx;
    taken += size;
    return calloc(1, size);
}

static void an_idle_client_is_small(void **state) {
    const struct bk_alloc alloc = {count_get, test_put, NULL};
    static uint8_t work[4096];
    struct bench b;
    (void)state;
    bench_init(&b);
    b.config.peers_max = 4;
    b.config.work = work;
    assert_true(bk_turn_work_size(&b.config) <= sizeof work);
    assert_int_equal(bk_turn_new(&b.config, &alloc, &b.rng, b.now, &b.turn), BK_OK);
    bench_allocate(&b, 600);
    print_message("%u bytes\n", (unsigned)taken);
    assert_true(taken <= 1750);
    bench_fini(&b);
}

static size_t budget;
static void *scarce_get(void *ctx, size_t size) {
    (void)ctx;
    return budget-- == 0 ? NULL : calloc(1, size);
}

static void no_memory_is_an_error_and_no_leak(void **state) {
    const struct bk_alloc alloc = {scarce_get, test_put, NULL};
    struct bench b;
    size_t tries = 0;
    enum bk_err err = BK_ERR_NO_MEMORY;
    (void)state;
    bench_init(&b);
    b.config.stream = true;
    for (; err != BK_OK; tries++) {
        budget = tries;
        err = bk_turn_new(&b.config, &alloc, &b.rng, b.now, &b.turn);
        assert_true(err == BK_OK || err == BK_ERR_NO_MEMORY);
    }
    assert_true(tries > 5);
    bench_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocates_after_the_challenge),
        cmocka_unit_test(a_wrong_password_is_not_tried_twice),
        cmocka_unit_test(silence_fails_after_seven_requests),
        cmocka_unit_test(errors_of_allocate_are_final),
        cmocka_unit_test(a_server_error_is_retried_twice),
        cmocka_unit_test(another_server_is_named),
        cmocka_unit_test(dont_fragment_is_dropped_when_unknown),
        cmocka_unit_test(an_old_allocation_is_released_first),
        cmocka_unit_test(a_mismatch_that_stays_is_given_up),
        cmocka_unit_test(the_wrong_family_is_given_back),
        cmocka_unit_test(both_families_in_one_allocation),
        cmocka_unit_test(lost_refreshes_never_end_it),
        cmocka_unit_test(a_silent_server_loses_it_at_its_end_and_not_before),
        cmocka_unit_test(a_new_nonce_is_taken),
        cmocka_unit_test(one_stale_nonce_counts_once),
        cmocka_unit_test(a_restarted_server_is_asked_anew),
        cmocka_unit_test(close_gives_it_back),
        cmocka_unit_test(forged_answers_change_nothing),
        cmocka_unit_test(revoked_credentials_last_until_the_end),
        cmocka_unit_test(config_names_the_bad_field),
        cmocka_unit_test(an_idle_client_is_small),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
