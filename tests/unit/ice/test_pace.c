/* SPDX-License-Identifier: MIT
 * How long connecting takes, over many seeds, as percentiles. Virtual time, so the bounds are exact
 * statements about packets, not about this machine. `MINI_PRINT=1` prints the table. */
#include "mini.h"

enum { SEEDS = 200 };

static struct mini m;
static struct bk_rng rng[2];

struct figures {
    int64_t usable[SEEDS], selected[SEEDS]; /* slower side, us */
    size_t sent;                            /* by both sides, until both had selected */
};

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t slower(enum bk_checker_event_kind kind, struct bk_time start) {
    int64_t a = mini_when_us(&m, 0, kind, start), b = mini_when_us(&m, 1, kind, start);
    assert_true(a >= 0 && b >= 0);
    return a > b ? a : b;
}

static void measure(struct figures *f, uint32_t loss_permille, struct bk_checker_config config) {
    memset(f, 0, sizeof *f);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        mini_two_nats(&m, seed, rng, config);
        struct bk_time start = m.now;
        m.loss_permille = loss_permille;
        for (int ms = 0; ms < 30000; ms += 10) {
            mini_run(&m, 10);
            if (mini_count(&m, 0, BK_CHECKER_SELECTED) > 0 &&
                mini_count(&m, 1, BK_CHECKER_SELECTED) > 0)
                break;
        }
        f->usable[seed] = slower(BK_CHECKER_PAIR_VALID, start);
        f->selected[seed] = slower(BK_CHECKER_SELECTED, start);
        f->sent += m.side[0].sent + m.side[1].sent;
        mini_fini(&m);
    }
    qsort(f->usable, SEEDS, sizeof f->usable[0], by_value);
    qsort(f->selected, SEEDS, sizeof f->selected[0], by_value);
    if (getenv("MINI_PRINT") != NULL)
        print_message("loss %u.%u %%: usable p50 %.1f p95 %.1f max %.1f ms, selected p50 %.1f "
                      "p95 %.1f max %.1f ms, %.1f packets a side\n",
                      loss_permille / 10, loss_permille % 10, (double)f->usable[SEEDS / 2] / 1e3,
                      (double)f->usable[SEEDS * 95 / 100] / 1e3, (double)f->usable[SEEDS - 1] / 1e3,
                      (double)f->selected[SEEDS / 2] / 1e3,
                      (double)f->selected[SEEDS * 95 / 100] / 1e3,
                      (double)f->selected[SEEDS - 1] / 1e3, (double)f->sent / 2 / SEEDS);
}

static struct figures f;

static void without_loss_it_is_one_and_a_half_round_trips(void **state) {
    (void)state;
    measure(&f, 0, mini_config());
    assert_in_range(f.usable[SEEDS - 1], 80000, 82000);
    assert_in_range(f.selected[SEEDS - 1], 80000, 122000);
    assert_in_range(f.sent, 0, 12 * 2 * SEEDS);
}

static void with_loss_it_grows_by_retransmissions_only(void **state) {
    (void)state;
    measure(&f, 10, mini_config());
    measure(&f, 50, mini_config());
    assert_in_range(f.usable[SEEDS / 2], 80000, 125000);
    assert_in_range(f.selected[SEEDS / 2], 80000, 125000);
    assert_in_range(f.selected[SEEDS * 95 / 100], 80000, 250000);
    measure(&f, 300, mini_config());
    assert_in_range(f.selected[SEEDS * 95 / 100], 80000, 2000000);
}

static void the_defaults_of_the_rfc_are_not_slower_without_loss(void **state) {
    (void)state;
    measure(&f, 0, bk_checker_config_default);
    assert_in_range(f.selected[SEEDS - 1], 80000, 122000);
    measure(&f, 50, bk_checker_config_default);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss_it_is_one_and_a_half_round_trips),
        cmocka_unit_test(with_loss_it_grows_by_retransmissions_only),
        cmocka_unit_test(the_defaults_of_the_rfc_are_not_slower_without_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
