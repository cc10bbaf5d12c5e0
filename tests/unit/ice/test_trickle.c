/* SPDX-License-Identifier: MIT
 * Host candidates are told at once, the server-reflexive ones a round trip later, as agents do; the
 * default pace. What comes late must not queue behind what came first. */
#include "mini.h"

enum { STUN_US = 20000, ROUND_TRIP_US = 80000, SLACK_US = 5000 };

static struct mini m;
static struct bk_rng rng[2];

static void tell_last(int from) {
    struct mini_side *s = &m.side[from];
    assert_int_equal(
        bk_checker_add_remote_candidate(m.side[1 - from].ice, &s->cands[s->cand_count - 1], m.now),
        BK_OK);
}

static void add_host(int side, const char *text) {
    size_t i = mini_base(&m, side, text);
    mini_cand(&m, side, BK_ICE_HOST, m.side[side].base[i], m.side[side].base[i]);
    tell_last(side);
}

/* Two NATs, `dead` interfaces a side that are preferred to the one that works. The second side
 * hears of the first one's server-reflexive candidate before it knows its own. */
static struct bk_time set_up_seed(struct bk_checker_config config, size_t dead, uint64_t seed,
                                  uint32_t loss_permille) {
    mini_init(&m, seed);
    m.loss_permille = loss_permille;
    mini_nat(&m, 0, "198.51.100.1", false);
    mini_nat(&m, 1, "203.0.113.1", false);
    for (int i = 0; i < 2; i++) {
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, i == 0);
    }
    struct bk_time start = m.now;
    for (int i = 0; i < 2; i++)
        mini_signal_credentials(&m, i);
    for (size_t k = 0; k < dead; k++) {
        for (int i = 0; i < 2; i++) {
            char text[32];
            (void)snprintf(text, sizeof text, "192.168.%d.1:5000", (int)k + 100 * i);
            m.side[i].dead[k] = true;
            add_host(i, text);
        }
    }
    add_host(0, "10.0.0.2:5000");
    add_host(1, "10.0.1.2:5000");
    mini_run(&m, STUN_US / 1000);
    for (int i = 0; i < 2; i++) {
        mini_cand(&m, i, BK_ICE_SRFLX, mini_stun(&m, i, dead), m.side[i].base[dead]);
        tell_last(i);
        mini_run(&m, 1);
    }
    return start;
}

static struct bk_time set_up(struct bk_checker_config config, size_t dead) {
    return set_up_seed(config, dead, 21, 0);
}

static void assert_told_within(enum bk_checker_event_kind kind, struct bk_time start, int64_t us) {
    for (int i = 0; i < 2; i++)
        assert_in_range(mini_when_us(&m, i, kind, start), 0, us + SLACK_US);
}

static void dead_interfaces_delay_nothing(void **state) {
    (void)state;
    for (size_t dead = 0; dead <= 10; dead += 5) { /* 10: more pairs than there is room for */
        struct bk_time start = set_up(bk_checker_config_default, dead);
        mini_run(&m, 2000);
        assert_told_within(BK_CHECKER_PAIR_VALID, start, STUN_US + ROUND_TRIP_US);
        mini_fini(&m);
    }
}

/* Nomination is final, so it waits for better pairs; but not longer than one would need that is as
 * slow as the one that works. */
static void strict_nomination_takes_one_more_round_trip(void **state) {
    (void)state;
    struct bk_checker_config config = bk_checker_config_default;
    config.renominate = false;
    struct bk_time start = set_up(config, 0);
    mini_run(&m, 2000);
    assert_told_within(BK_CHECKER_SELECTED, start, STUN_US + 2 * ROUND_TRIP_US);
    mini_fini(&m);
}

/* Over a path that loses 36 % each way (20 % on each of two hops), every session is decided within
 * ten seconds: a round trip that was measured over retransmissions is no reason to be slow. */
static void loss_never_takes_ten_seconds(void **state) {
    (void)state;
    struct bk_checker_config config = bk_checker_config_default;
    config.renominate = false;
    int late = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct bk_time start = set_up_seed(config, 0, seed, 360);
        mini_run(&m, 10000);
        for (int i = 0; i < 2; i++)
            late += mini_when_us(&m, i, BK_CHECKER_SELECTED, start) < 0;
        mini_fini(&m);
    }
    assert_int_equal(late, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_interfaces_delay_nothing),
        cmocka_unit_test(strict_nomination_takes_one_more_round_trip),
        cmocka_unit_test(loss_never_takes_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
