/* SPDX-License-Identifier: MIT
 * Whatever happened before: once the network is calm, both sides use the same pair, the best one.
 * Random deaths of sockets, loss, probes, restarts with slow signalling, lost and new addresses. A
 * failure names its seed; MINI_SEED=n MINI_TRACE=1 replays it with traces. */
#include "mini.h"

enum { SEEDS = 80, STREAM_SEEDS = 8, LITE_SEEDS = 30, STEPS = 60 };

static struct mini m;
static struct bk_rng rng[2];
static uint64_t playing;   /* SEEDS: all done */
static const char *played; /* which test */

/* Signalling that takes its time, as after a restart. */
static void restart_both(struct mini *w) {
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bk_checker_restart(w->side[i].ice, NULL, NULL, w->now), BK_OK);
        mini_run(w, rng_below(&w->rng, 500));
    }
    mini_run(w, rng_below(&w->rng, 3000));
    mini_signal(w);
}

static void disturb(struct mini *w) {
    int side = (int)rng_below(&w->rng, 2);
    struct mini_side *s = &w->side[side];
    if (rng_below(&w->rng, 3) == 0)
        bk_checker_settle(s->ice, w->now);
    switch (rng_below(&w->rng, 8)) {
    case 0:
    case 1:
        s->dead[rng_below(&w->rng, (uint32_t)s->base_count)] ^= true;
        break;
    case 2:
        w->loss_permille = rng_below(&w->rng, 3) * 200;
        break;
    case 3:
    case 4:
        (void)bk_checker_probe(s->ice, w->now);
        break;
    case 5:
        bk_checker_retry(s->ice, w->now);
        break;
    case 6:
        restart_both(w);
        break;
    default:
        if (bk_checker_test_mtu(s->ice, w->now) == BK_OK)
            mini_run(w, 10);
        break;
    }
}

static void calm(struct mini *w, bool without_ipv6) {
    w->loss_permille = 0;
    for (int i = 0; i < 2; i++)
        memset(w->side[i].dead, 0, sizeof w->side[i].dead);
    w->side[0].dead[1] = without_ipv6;
}

static void play(uint64_t seed) {
    mini_two_public(&m, seed, rng, mini_config(), true, (seed & 1) != 0);
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_socket(&m, 0, "192.0.2.17:5001");
    mini_socket(&m, 1, "192.0.2.18:6001");
    mini_signal(&m);
    for (int step = 0; step < STEPS; step++) {
        disturb(&m);
        mini_run(&m, rng_below(&m.rng, 4) == 0 ? 40000 : rng_below(&m.rng, 2000));
        mini_forget_events(&m);
    }
    bool without_ipv6 = seed % 3 == 0; /* the best pair must not be the answer every time */
    calm(&m, without_ipv6);
    for (int i = 0; i < 8; i++) { /* retries once a minute; a pair that died often is held 64 s */
        mini_run(&m, 30000);
        mini_forget_events(&m);
    }
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_pair_info info = mini_selected(&m, i);
        assert_int_equal(info.remote.addr.ip.family, without_ipv6 ? BK_IPV4 : BK_IPV6);
        assert_false(info.old);
    }
    mini_fini(&m);
}

static void disturb_for_long(struct mini *w) {
    for (int step = 0; step < STEPS; step++) {
        disturb(w);
        mini_run(w, rng_below(&w->rng, 4) == 0 ? 40000 : rng_below(&w->rng, 2000));
        mini_forget_events(w);
    }
}

static void rest(struct mini *w) {
    for (int i = 0; i < 8; i++) {
        mini_run(w, 30000);
        mini_forget_events(w);
    }
}

/* Two streams of two components, each with IPv4 and IPv6. */
static void play_streams(uint64_t seed) {
    struct bk_checker_config config = mini_config();
    config.streams = config.components = 2;
    config.doubt_us = (seed & 1) != 0 ? 1000000 : 0;
    config.silent_us = (seed & 2) != 0 ? 2000000 : 0;
    mini_init(&m, seed);
    for (int i = 0; i < 2; i++) {
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, i == 0 || (seed & 2) != 0);
        for (uint16_t c = 0; c < 4; c++) {
            char text[40];
            (void)snprintf(text, sizeof text, "192.0.2.%d:%d", i + 1, 5000 + c);
            mini_socket_of(&m, i, text, c / 2, (uint16_t)(c % 2 + 1));
            (void)snprintf(text, sizeof text, "[2001:db8::%d]:%d", i + 1, 5000 + c);
            mini_socket_of(&m, i, text, c / 2, (uint16_t)(c % 2 + 1));
        }
    }
    mini_signal(&m);
    disturb_for_long(&m);
    calm(&m, false);
    rest(&m);
    for (uint16_t c = 0; c < 4; c++) {
        struct bk_ice_pair_info a = {.size = sizeof a}, b = a;
        uint16_t stream = c / 2, component = (uint16_t)(c % 2 + 1);
        assert_int_equal(bk_checker_selected_of(m.side[0].ice, stream, component, &a), BK_OK);
        assert_int_equal(bk_checker_selected_of(m.side[1].ice, stream, component, &b), BK_OK);
        assert_true(bk_addr_equal(&a.remote.addr, &b.local.addr));
        assert_true(bk_addr_equal(&b.remote.addr, &a.local.addr));
        assert_int_equal(a.remote.addr.ip.family, BK_IPV6);
        assert_false(a.old || b.old);
    }
    mini_fini(&m);
}

/* A full agent and a lite one. */
static void play_lite(uint64_t seed) {
    mini_init(&m, seed);
    for (int i = 0; i < 2; i++) {
        struct bk_checker_config config = mini_config();
        config.lite = i == 1;
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, (seed & 1) != 0);
    }
    bk_checker_set_remote_lite(m.side[0].ice, true, m.now);
    mini_socket(&m, 0, "198.51.100.7:5000");
    mini_socket(&m, 1, "203.0.113.7:6000");
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_signal(&m);
    disturb_for_long(&m);
    calm(&m, false);
    rest(&m);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV6);
    assert_int_equal(bk_checker_stats(m.side[1].ice)->requests_sent, 0);
    mini_fini(&m);
}

static void play_all(const char *name, void (*one)(uint64_t seed), uint64_t seeds) {
    const char *chosen = getenv("MINI_SEED");
    played = name;
    for (playing = chosen != NULL ? strtoull(chosen, NULL, 10) : 0; playing < seeds; playing++) {
        one(playing);
        if (chosen != NULL)
            break;
    }
    playing = SEEDS;
}

static void calm_after_chaos_means_one_pair_the_best(void **state) {
    (void)state;
    play_all("one component", play, SEEDS);
}

static void calm_after_chaos_means_one_pair_for_each_component(void **state) {
    (void)state;
    play_all("streams", play_streams, STREAM_SEEDS);
}

static void calm_after_chaos_means_one_pair_with_a_lite_agent(void **state) {
    (void)state;
    play_all("lite", play_lite, LITE_SEEDS);
}

/* Runs after failures too, and names what to replay. */
static int name_seed(void **state) {
    (void)state;
    if (playing != SEEDS)
        print_error("%s: replay with MINI_SEED=%llu\n", played, (unsigned long long)playing);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(calm_after_chaos_means_one_pair_the_best, name_seed),
        cmocka_unit_test_teardown(calm_after_chaos_means_one_pair_for_each_component, name_seed),
        cmocka_unit_test_teardown(calm_after_chaos_means_one_pair_with_a_lite_agent, name_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
