/* SPDX-License-Identifier: MIT
 * On a local network nothing waits for a timer: whatever the role and whoever hears first, both
 * sides can send within a few round trips of the last signalling message. The default pace. */
#include "mini.h"

enum { DELAY_US = 200, LIMIT_US = 2000 };

static struct mini m;
static struct bk_rng rng[2];

static void set_up(size_t interfaces, bool first_controls) {
    struct bk_checker_config config = bk_checker_config_default;
    mini_init(&m, 3);
    m.delay_us = DELAY_US;
    for (int i = 0; i < 2; i++) {
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, (i == 0) == first_controls);
        for (size_t k = 0; k < interfaces; k++) {
            char text[32];
            (void)snprintf(text, sizeof text, "192.0.%d.%d:5000", (int)(2 + k), i + 1);
            mini_socket(&m, i, text);
        }
    }
}

static void run_us(int64_t us) {
    struct bk_time end = bk_after(m.now, us);
    mini_run(&m, 0);
    while (m.now.us < end.us) {
        struct mini_packet *p = mini_first_packet(&m);
        m.now = p == NULL || p->at.us > end.us ? end : p->at;
        mini_run(&m, 0);
    }
}

static void assert_quick(struct bk_time since) {
    run_us(20000);
    for (int i = 0; i < 2; i++) {
        assert_non_null(mini_event(&m, i, BK_CHECKER_PAIR_VALID, 0));
        /* less than nothing: who heard first may have had its answer before */
        assert_true(mini_when_us(&m, i, BK_CHECKER_PAIR_VALID, since) <= LIMIT_US);
    }
}

/* `first` hears of the other one first, `gap_us` before. */
static void trickle(size_t interfaces, bool first_controls, int first, int64_t gap_us) {
    set_up(interfaces, first_controls);
    mini_signal_credentials(&m, 1 - first);
    mini_signal_candidates(&m, 1 - first);
    run_us(gap_us);
    mini_signal_credentials(&m, first);
    mini_signal_candidates(&m, first);
    struct bk_time since = m.now;
    assert_quick(since);
    mini_fini(&m);
}

static void trickled_candidates_connect_in_two_milliseconds(void **state) {
    (void)state;
    static const int64_t gaps[] = {0, 500, 20000, 300000};
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        for (int n = 0; n < 4; n++)
            trickle(1, (n & 1) != 0, n >> 1, gaps[g]);
    }
}

static void several_interfaces_are_no_slower(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++)
        trickle(3, (n & 1) != 0, n >> 1, 500);
}

/* Candidates one by one, 300 us apart, both sides at once; the credentials came before. */
static void candidates_one_by_one(void **state) {
    (void)state;
    for (int n = 0; n < 2; n++) {
        set_up(2, n == 0);
        for (int i = 0; i < 2; i++)
            mini_signal_credentials(&m, i);
        run_us(1000);
        struct bk_time since = m.now;
        for (size_t k = 0; k < 2; k++) {
            for (int i = 0; i < 2; i++) {
                enum bk_err err =
                    bk_checker_add_remote_candidate(m.side[1 - i].ice, &m.side[i].cands[k], m.now);
                assert_true(err == BK_OK || err == BK_ERR_EXISTS);
            }
            run_us(300);
        }
        assert_quick(since);
        mini_fini(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trickled_candidates_connect_in_two_milliseconds),
        cmocka_unit_test(several_interfaces_are_no_slower),
        cmocka_unit_test(candidates_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
