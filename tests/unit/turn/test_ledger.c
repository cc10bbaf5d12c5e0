/* SPDX-License-Identifier: MIT
 * Limits of a user over several services with one ledger: permissions, channels, bandwidth. */
#include "ask.h"

enum { WORKERS = 2, USERS_MAX = 4, DATA = 500 };

static const struct bk_addr peers[3] = {{{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80},
                                        {{.family = BK_IPV4, .bytes = {8, 8, 8, 8}}, 80},
                                        {{.family = BK_IPV4, .bytes = {7, 7, 7, 7}}, 80}};

struct fleet {
    struct asker a[WORKERS];
    struct turn_book *book;
    struct turn_ledger ledger;
};

static void fleet_init(struct fleet *f) {
    assert_int_equal(turn_book_new(WORKERS, USERS_MAX, &test_alloc, &f->book), BK_OK);
    f->ledger = turn_book_ledger(f->book);
    for (uint16_t i = 0; i < WORKERS; i++) {
        ask_init(&f->a[i]);
        f->a[i].config.ledger = &f->ledger;
        f->a[i].config.worker = i;
        f->a[i].config.workers = WORKERS;
        memset(f->a[i].config.secret, 7, sizeof f->a[i].config.secret);
    }
}

/* An allocation of the same user at each. */
static void fleet_start(struct fleet *f) {
    for (uint16_t i = 0; i < WORKERS; i++) {
        ask_start(&f->a[i]);
        (void)ask_allocate(&f->a[i], i + 1u);
    }
}

static void fleet_fini(struct fleet *f) {
    for (uint16_t i = 0; i < WORKERS; i++)
        ask_fini(&f->a[i]);
    turn_book_free(f->book);
}

static void permissions_and_channels_are_counted_in_all(void **state) {
    struct fleet f;
    (void)state;
    fleet_init(&f);
    for (uint16_t i = 0; i < WORKERS; i++) {
        f.a[i].config.permissions_per_user = 3;
        f.a[i].config.channels_per_user = 2;
    }
    fleet_start(&f);
    for (uint16_t i = 0; i < WORKERS; i++) {
        ask_bind(&f.a[i], 0x4000, &peers[0]);
        ask_expect(&f.a[i], 0);
    }
    ask_bind(&f.a[1], 0x4001, &peers[1]);
    ask_expect(&f.a[1], 486);
    ask_permission(&f.a[1], &peers[1]);
    ask_expect(&f.a[1], 0);
    ask_permission(&f.a[0], &peers[1]);
    ask_expect(&f.a[0], 486);
    ask_refresh(&f.a[1], 0); /* what ends there is free here */
    ask_bind(&f.a[0], 0x4001, &peers[1]);
    ask_expect(&f.a[0], 0);
    ask_permission(&f.a[0], &peers[2]);
    ask_expect(&f.a[0], 0);
    fleet_fini(&f);
}

/* How many of `count` datagrams of DATA bytes get through at worker `i`, now. */
static int spend(struct fleet *f, uint16_t i, int count) {
    char text[DATA + 1];
    int through = 0;
    memset(text, 'x', DATA);
    text[DATA] = '\0';
    for (int n = 0; n < count; n++) {
        ask_channel(&f->a[i], 0x4000, text);
        through += f->a[i].answered;
    }
    return through;
}

static void pass(struct fleet *f, int64_t us) {
    for (uint16_t i = 0; i < WORKERS; i++)
        f->a[i].now = bk_after(f->a[i].now, us);
}

static void fleet_bind(struct fleet *f) {
    for (uint16_t i = 0; i < WORKERS; i++) {
        ask_bind(&f->a[i], 0x4000, &peers[0]);
        ask_expect(&f->a[i], 0);
    }
}

enum { RATE = 20000 };

static void fleet_limit(struct fleet *f) {
    fleet_init(f);
    for (uint16_t i = 0; i < WORKERS; i++)
        f->a[i].config.user_bytes_per_s = RATE;
    fleet_start(f);
    fleet_bind(f);
}

static void bandwidth_is_shared(void **state) {
    struct fleet f;
    (void)state;
    fleet_limit(&f);
    int through = 0;
    for (int n = 0; n < 100; n++) /* turn by turn, each far more than it may */
        for (uint16_t i = 0; i < WORKERS; i++)
            through += spend(&f, i, 1);
    assert_in_range(through, RATE / DATA, RATE / DATA + 2); /* one second's worth in all */
    through = 0;
    for (int ms = 0; ms < 1000; ms += 10) {
        pass(&f, 10000);
        for (uint16_t i = 0; i < WORKERS; i++)
            through += spend(&f, i, 4);
    }
    assert_in_range(through, RATE / DATA - 4, RATE / DATA + 4);
    /* one of them may have all of it */
    pass(&f, 2 * BK_US_PER_S);
    assert_in_range(spend(&f, 1, 100), RATE / DATA - 3, RATE / DATA + 1);
    fleet_fini(&f);
}

static void coming_back_fills_no_bucket(void **state) {
    struct fleet f;
    (void)state;
    fleet_limit(&f);
    assert_in_range(spend(&f, 0, 100), RATE / DATA, RATE / DATA + 1);
    /* a train, or a fast path, may have sent more than there was */
    const struct turn_sent train = {.packets = 100, .bytes = RATE};
    turn_service_sent(f.a[0].service, &train, f.a[0].now);
    for (uint16_t i = 0; i < WORKERS; i++)
        ask_refresh(&f.a[i], 0);
    (void)ask_allocate(&f.a[0], 3);
    ask_bind(&f.a[0], 0x4000, &peers[0]);
    assert_int_equal(spend(&f, 0, 10), 0);
    pass(&f, BK_US_PER_S * 9 / 10);
    assert_int_equal(spend(&f, 0, 10), 0);
    pass(&f, BK_US_PER_S / 2);
    assert_int_not_equal(spend(&f, 0, 10), 0);
    fleet_fini(&f);
}

/* Who waits with a debt makes room for who comes. */
static void debts_use_up_no_room(void **state) {
    struct turn_book *book;
    (void)state;
    assert_int_equal(turn_book_new(1, USERS_MAX, &test_alloc, &book), BK_OK);
    const struct turn_ledger l = turn_book_ledger(book);
    const struct bk_time now = test_at_ms(1000);
    for (uint64_t user = 1; user < 100; user++) {
        assert_true(l.enter(l.ctx, user, 1));
        assert_int_equal(l.lease(l.ctx, user, 1000, 5000, now), 1000);
        l.settle(l.ctx, user, -100000);
        l.leave(l.ctx, user);
    }
    for (uint64_t user = 200; user < 200 + USERS_MAX; user++)
        assert_true(l.enter(l.ctx, user, 1));
    assert_false(l.enter(l.ctx, 300, 1));
    turn_book_free(book);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permissions_and_channels_are_counted_in_all),
        cmocka_unit_test(bandwidth_is_shared),
        cmocka_unit_test(coming_back_fills_no_bucket),
        cmocka_unit_test(debts_use_up_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
