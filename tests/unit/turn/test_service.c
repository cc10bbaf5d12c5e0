/* SPDX-License-Identifier: MIT */
#include "ask.h"

static const struct bk_addr nobody;

static void learns_allocates_refreshes_ends(void **state) {
    struct asker a;
    struct turn_action action;
    uint32_t lifetime;
    struct bk_addr mapped;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    struct bk_addr relayed = ask_allocate(&a, 1);
    assert_true(bk_ip_equal(&relayed.ip, &a.config.relay[0]));
    assert_in_range(relayed.port, 50000, 50009);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 600);
    assert_int_equal(stun_get_addr(&a.msg, STUN_XOR_MAPPED_ADDRESS, &mapped), BK_OK);
    assert_true(bk_addr_equal(&mapped, &a.client));
    assert_true(turn_service_next_action(a.service, &action));
    assert_int_equal(action.kind, TURN_OPEN);
    assert_true(bk_addr_equal(&action.addr, &relayed));
    a.now = bk_after(a.now, 599 * BK_US_PER_S);
    turn_service_advance(a.service, a.now);
    ask_refresh(&a, 1800);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 1800);
    ask_refresh(&a, 5); /* less than the default is the default, section 8.2 */
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 600);
    ask_refresh(&a, 0);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_LIFETIME, &lifetime), BK_OK);
    assert_int_equal(lifetime, 0);
    assert_true(turn_service_next_action(a.service, &action));
    assert_int_equal(action.kind, TURN_CLOSE);
    assert_false(turn_service_next_action(a.service, &action));
    assert_int_equal(ask_info(&a).allocations, 0);
    assert_true(bk_is_never(turn_service_deadline(a.service)));
    ask_refresh(&a, 600);
    ask_expect(&a, 437);
    (void)ask_allocate(&a, 1); /* the same 5-tuple, at once */
    ask_fini(&a);
}

struct allocate_row {
    const char *name;
    struct {
        uint16_t type;
        uint32_t value;
    } put[3];
    uint16_t code;
};

static void put_row(struct asker *a, const struct allocate_row *row) {
    for (size_t j = 0; j < 3 && row->put[j].type != 0; j++) {
        uint16_t type = row->put[j].type;
        uint8_t byte = (uint8_t)row->put[j].value;
        if (type == TURN_RESERVATION_TOKEN)
            stun_put_u64(&a->b, type, row->put[j].value);
        else if (type == TURN_EVEN_PORT)
            stun_put_bytes(&a->b, type, &byte, 1);
        else if (type == TURN_DONT_FRAGMENT)
            stun_put_flag(&a->b, type);
        else
            stun_put_u32(&a->b, type, row->put[j].value);
    }
}

static void try_row(const struct allocate_row *row) {
    struct asker a;
    struct stun_types unknown;
    ask_init(&a);
    ask_start(&a);
    ask_learn(&a);
    ask_new(&a, STUN_REQUEST, TURN_ALLOCATE);
    put_row(&a, row);
    ask_send(&a);
    if (a.code != row->code)
        fail_msg("%s: %u", row->name, a.code);
    ask_expect(&a, row->code);
    if (row->code == 420) {
        assert_int_equal(stun_get_unknown(&a.msg, &unknown), BK_OK);
        assert_int_equal(unknown.types[0], row->put[1].type);
    }
    assert_int_equal(ask_info(&a).allocations, row->code == 0);
    ask_fini(&a);
}

/* RFC 8656 section 7.2, point by point. */
static void allocate_checks_its_attributes(void **state) {
    static const struct allocate_row rows[] = {
        {"no transport", {{0, 0}}, 400},
        {"TCP", {{TURN_REQUESTED_TRANSPORT, 6u << 24}}, 442},
        {"IPv4",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_REQUESTED_ADDRESS_FAMILY, 1u << 24}},
         0},
        {"IPv6",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_REQUESTED_ADDRESS_FAMILY, 2u << 24}},
         440},
        {"no family",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_REQUESTED_ADDRESS_FAMILY, 3u << 24}},
         440},
        {"two families",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24},
          {TURN_REQUESTED_ADDRESS_FAMILY, 1u << 24},
          {TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24}},
         400},
        {"additional IPv4",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_ADDITIONAL_ADDRESS_FAMILY, 1u << 24}},
         400},
        {"token and even",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_RESERVATION_TOKEN, 1}, {TURN_EVEN_PORT, 0}},
         400},
        {"token and family",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24},
          {TURN_RESERVATION_TOKEN, 1},
          {TURN_REQUESTED_ADDRESS_FAMILY, 1u << 24}},
         400},
        {"token and additional",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24},
          {TURN_RESERVATION_TOKEN, 1},
          {TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24}},
         400},
        {"pair and additional",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24},
          {TURN_EVEN_PORT, 0x80},
          {TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24}},
         400},
        {"no such token",
         {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_RESERVATION_TOKEN, 7}},
         508},
        {"DONT-FRAGMENT", {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {TURN_DONT_FRAGMENT, 0}}, 420},
        {"unknown", {{TURN_REQUESTED_TRANSPORT, 17u << 24}, {0x7f01, 0}}, 420},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        try_row(&rows[i]);
}

/* Section 5: the same request again gets the same answer; another one gets 437. */
static void a_retransmission_gets_the_same_answer(void **state) {
    struct asker a;
    struct bk_addr again;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    struct bk_addr relayed = ask_allocate(&a, 1);
    ask_again(&a);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_RELAYED_ADDRESS, &again), BK_OK);
    assert_true(bk_addr_equal(&again, &relayed));
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 437);
    ask_fini(&a);
}

static void wrong_credentials_get_nothing(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    ask_learn(&a);
    a.login.key.bytes[3] ^= 1;
    ask_allocate_start(&a);
    ask_send(&a);
    assert_true(a.answered);
    assert_int_equal(a.code, 401);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_UNAUTHORIZED], 1);
    a.login.key.bytes[3] ^= 1;
    memcpy(a.login.user, "harald", 6);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 401);
    assert_int_equal(ask_info(&a).allocations, 0);
    /* a nonce of an hour ago, and one of another client */
    ask_learn(&a);
    a.now = bk_after(a.now, 3601 * BK_US_PER_S);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 438);
    assert_int_equal(stun_login_check(&a.login, &a.msg), STUN_LOGIN_RETRY);
    a.client = ask_client(2);
    ask_allocate_start(&a);
    ask_send(&a);
    assert_int_equal(a.code, 438);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_STALE], 2);
    ask_fini(&a);
}

static enum turn_found find_two(void *ctx, const struct stun_claim *claim, struct turn_user *out) {
    (void)ctx;
    if (claim->user.data == NULL || claim->user.len != 6)
        return TURN_USER_UNKNOWN;
    bool george = memcmp(claim->user.data, "george", 6) == 0;
    out->id = george ? 1 : 2;
    assert_int_equal(stun_key_long(george ? "george" : "harald", "bodkin", "secret",
                                   claim->algorithm, &out->key),
                     BK_OK);
    return TURN_USER_FOUND;
}

static void the_wrong_user_gets_441(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.users.find = find_two;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    a.user.name = "harald";
    ask_learn(&a);
    ask_refresh(&a, 0);
    ask_expect(&a, 441);
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_fini(&a);
}

static void quotas_are_by_user(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.users.find = find_two;
    a.config.per_user_max = 2;
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    (void)ask_allocate(&a, 2);
    a.client = ask_client(3);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 486);
    a.user.name = "harald";
    (void)ask_allocate(&a, 3);
    (void)ask_allocate(&a, 4);
    ask_refresh(&a, 0);
    ask_expect(&a, 0);
    (void)ask_allocate(&a, 4); /* given back is free again */
    ask_fini(&a);
}

static void a_full_service_says_508(void **state) {
    struct asker a;
    struct turn_action action;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    for (unsigned i = 1; i <= 4; i++)
        (void)ask_allocate(&a, i);
    a.client = ask_client(5);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 508);
    ask_fini(&a);

    ask_init(&a);
    a.config.port_max = 50001; /* two ports */
    ask_start(&a);
    (void)ask_allocate(&a, 1);
    (void)ask_allocate(&a, 2);
    a.client = ask_client(3);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 508);
    a.now = bk_after(a.now, 600 * BK_US_PER_S);
    turn_service_advance(a.service, a.now);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_EXPIRED], 2);
    ask_again(&a); /* a port is free when its caller was told to close it, not before */
    ask_expect(&a, 508);
    for (int i = 0; i < 4; i++)
        assert_true(turn_service_next_action(a.service, &action));
    ask_again(&a);
    ask_expect(&a, 0);
    ask_fini(&a);
}

static void even_ports_and_their_neighbours(void **state) {
    struct asker a;
    const uint8_t pair = 0x80;
    struct bk_addr even, odd;
    uint64_t token = 0;
    (void)state;
    ask_init(&a);
    ask_start(&a);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_bytes(&a.b, TURN_EVEN_PORT, &pair, 1);
    ask_send(&a);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_RELAYED_ADDRESS, &even), BK_OK);
    assert_int_equal(even.port % 2, 0);
    assert_int_equal(stun_get_u64(&a.msg, TURN_RESERVATION_TOKEN, &token), BK_OK);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_u64(&a.b, TURN_RESERVATION_TOKEN, token);
    ask_send(&a);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_RELAYED_ADDRESS, &odd), BK_OK);
    assert_int_equal(odd.port, even.port + 1);
    a.client = ask_client(3);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_u64(&a.b, TURN_RESERVATION_TOKEN, token); /* used up */
    ask_send(&a);
    ask_expect(&a, 508);
    ask_fini(&a);

    ask_init(&a); /* nobody comes: free again after 30 seconds */
    a.config.port_max = 50001;
    ask_start(&a);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_bytes(&a.b, TURN_EVEN_PORT, &pair, 1);
    ask_send(&a);
    ask_expect(&a, 0);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 508);
    a.now = bk_after(a.now, 30 * BK_US_PER_S);
    assert_false(bk_before(a.now, turn_service_deadline(a.service)));
    turn_service_advance(a.service, a.now);
    ask_again(&a);
    ask_expect(&a, 0);
    ask_fini(&a);
}

static void both_families_or_what_there_is(void **state) {
    const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct asker a;
    struct wire_span error;
    (void)state;
    for (unsigned kinds = 1; kinds <= 3; kinds++) {
        size_t addresses = 0;
        ask_init(&a);
        if ((kinds & 1) == 0)
            a.config.relay[0].family = BK_FAMILY_NONE;
        if ((kinds & 2) != 0)
            a.config.relay[1] = bk_ipv6(six);
        ask_start(&a);
        ask_learn(&a);
        ask_allocate_start(&a);
        uint16_t type = kinds == 2 ? 0x8032 : TURN_ADDITIONAL_ADDRESS_FAMILY; /* a draft's */
        stun_put_u32(&a.b, type, 2u << 24);
        ask_send(&a);
        ask_expect(&a, 0);
        struct stun_iter it = stun_attrs(&a.msg);
        struct stun_attr attr;
        while (stun_next_attr(&it, &attr))
            addresses += attr.type == TURN_XOR_RELAYED_ADDRESS;
        assert_int_equal(addresses, kinds == 3 ? 2 : 1);
        bool partly = stun_get_bytes(&a.msg, TURN_ADDRESS_ERROR_CODE, &error) == BK_OK;
        assert_int_equal(partly, kinds != 3);
        if (partly) {
            assert_int_equal(error.data[0], kinds == 1 ? 2 : 1);
            assert_int_equal(error.data[2] * 100 + error.data[3], 440);
        }
        if (kinds == 3) { /* section 8.2: one of them may end alone */
            ask_new(&a, STUN_REQUEST, TURN_REFRESH);
            stun_put_u32(&a.b, TURN_LIFETIME, 0);
            stun_put_u32(&a.b, TURN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
            ask_send(&a);
            ask_expect(&a, 0);
            assert_int_equal(ask_info(&a).allocations, 1);
            ask_again(&a);
            ask_expect(&a, 443);
        }
        ask_fini(&a);
    }
}

/* Measured, as packets: what anybody can have sent to somebody else by forging a source. */
static void challenges_do_not_amplify(void **state) {
    struct asker a;
    char realm[] = "abcdefghijklmnopqrstuvwxyz01";
    double worst = 0;
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        ask_init(&a);
        a.config.realm = realm;
        a.user.realm = realm;
        static const struct turn_token_key key = {"kid", {0}, 32};
        a.config.tokens = (struct turn_tokens){"turn.example", &key, 1, 0};
        a.config.tcp = a.config.mobility = true;
        ask_start(&a);
        if (v6 == 1) {
            const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
            a.client = bk_addr(bk_ipv6(six), 1);
            a.server = bk_addr(bk_ipv6(six), 3478);
        }
        size_t headers = v6 == 1 ? 48 : 28;
        for (unsigned pad = 0; pad < 3; pad++) {
            for (unsigned method = 3; method <= 0xb; method++) {
                ask_new(&a, STUN_REQUEST, (uint16_t)method);
                if (pad > 0)
                    stun_put_u32(&a.b, TURN_REQUESTED_TRANSPORT, 17u << 24);
                if (pad > 1)
                    stun_put_fingerprint(&a.b);
                assert_int_equal(stun_finish(&a.b, &a.len), BK_OK);
                ask_again(&a);
                if (!a.answered) {
                    assert_true(pad == 0 || method == TURN_SEND || method == TURN_DATA ||
                                method == 5);
                    continue;
                }
                double ratio = (double)(a.d.len + headers) / (double)(a.len + headers);
                worst = ratio > worst ? ratio : worst;
                assert_true(ratio <= 2.6);
            }
        }
        ask_fini(&a);
    }
    print_message("at most %.2f\n", worst);
    a.config.realm = "abcdefghijklmnopqrstuvwxyz012";
    assert_string_equal(turn_service_config_check(&a.config), "realm");
}

static void what_is_not_turn_is_left_alone(void **state) {
    struct asker a;
    const uint8_t txid[STUN_TXID_LEN] = {0};
    (void)state;
    ask_init(&a);
    ask_start(&a);
    ask_new(&a, STUN_REQUEST, STUN_BINDING);
    assert_int_equal(stun_finish(&a.b, &a.len), BK_OK);
    ask_again(&a);
    assert_false(a.answered);
    assert_int_equal(a.err, BK_ERR_NOT_OURS);
    ask_bytes(&a, &a.client, &a.server, "\xff\xd8\xff\xe0--------------JFIF", 22);
    assert_int_equal(a.err, BK_ERR_NOT_OURS);
    ask_bytes(&a, &nobody, &a.server, txid, 0);
    assert_false(a.answered);
    ask_channel(&a, CHANNEL_MIN, "x");
    assert_int_equal(a.err, BK_ERR_NOT_OURS);
    assert_false(a.answered);
    ask_fini(&a);
}

static size_t budget;
static void *scarce_get(void *ctx, size_t size) {
    (void)ctx;
    return budget-- == 0 ? NULL : calloc(1, size);
}

static void no_memory_is_an_error_and_no_leak(void **state) {
    const struct bk_alloc alloc = {scarce_get, test_put, NULL};
    const struct turn_range all = {bk_ipv4(0, 0, 0, 0), 0};
    struct asker a;
    size_t tries = 0;
    enum bk_err err = BK_ERR_NO_MEMORY;
    (void)state;
    ask_init(&a);
    a.config.filter.allow = &all;
    a.config.filter.allow_count = 1;
    for (; err != BK_OK; tries++) {
        budget = tries;
        err = turn_service_new(&a.config, &alloc, &a.rng, a.now, &a.service);
        assert_true(err == BK_OK || err == BK_ERR_NO_MEMORY);
    }
    assert_true(tries > 10);
    ask_fini(&a);
}

static size_t taken;
static void *count_get(void *ctx, size_t size) {
    (void)ctx;
    taken += size;
    return calloc(1, size);
}

static void an_allocation_is_small(void **state) {
    const struct bk_alloc alloc = {count_get, test_put, NULL};
    struct asker a;
    size_t one;
    (void)state;
    ask_init(&a);
    a.config.allocations_max = 1 << 14;
    assert_int_equal(turn_service_new(&a.config, &alloc, &a.rng, a.now, &a.service), BK_OK);
    one = taken;
    turn_service_free(a.service);
    taken = 0;
    a.config.allocations_max = 1 << 15;
    assert_int_equal(turn_service_new(&a.config, &alloc, &a.rng, a.now, &a.service), BK_OK);
    print_message("%u bytes with 4 permissions and 4 channels\n", (unsigned)((taken - one) >> 14));
    assert_true((taken - one) >> 14 <= 2048);
    ask_fini(&a);
}

static void every_count_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < TURN_COUNTS; i++)
        assert_non_null(turn_count_name((enum turn_count)i));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_allocates_refreshes_ends),
        cmocka_unit_test(allocate_checks_its_attributes),
        cmocka_unit_test(a_retransmission_gets_the_same_answer),
        cmocka_unit_test(wrong_credentials_get_nothing),
        cmocka_unit_test(the_wrong_user_gets_441),
        cmocka_unit_test(quotas_are_by_user),
        cmocka_unit_test(a_full_service_says_508),
        cmocka_unit_test(even_ports_and_their_neighbours),
        cmocka_unit_test(both_families_or_what_there_is),
        cmocka_unit_test(challenges_do_not_amplify),
        cmocka_unit_test(what_is_not_turn_is_left_alone),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
        cmocka_unit_test(an_allocation_is_small),
        cmocka_unit_test(every_count_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
