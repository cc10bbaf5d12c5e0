/* SPDX-License-Identifier: MIT
 * How long two whole ICE agents need, in virtual time, so that every figure is exact: 20 ms round
 * trip to the server, 40 ms between the peers, signalling that takes no time.
 *
 *                      core
 *          ┌─────────────┼─────────────┐
 *     stun 198.51.100.1  a 203.0.113.1 b 203.0.113.2      0 ms; 10 ms; 10 ms
 *                        │             │
 *              alice 192.168.1.2   bob 192.168.2.2
 *
 * The least there can be: one round trip to the server and one to the peer, 60 ms. */
#include "agent_scene.h"

enum { DEAD_MAX = 16 };

struct place {
    const char *nat; /* NULL: both on one switch, 0.4 ms apart */
    enum bk_ice_trickle trickle;
    size_t dead; /* interfaces per host that lead nowhere */
    uint32_t loss_ppm;
    bool relay; /* the server is a TURN server */
    enum bk_ice_policy policy;
};

static node_id add_home(struct scene *s, const struct place *p, uint8_t number) {
    const struct world_link link = {.delay_us = 10000, .loss_ppm = p->loss_ppm};
    struct nat_config c;
    assert_int_equal(nat_preset(p->nat, &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, number);
    c.external_count = 1;
    c.mappings_max = c.sessions_max = 256;
    node_id box = world_add_nat(s->w, number == 1 ? "a" : "b", WORLD_CORE, &c, &link);
    return world_add_host(s->w, number == 1 ? "alice" : "bob", box, bk_ipv4(192, 168, number, 2),
                          NULL);
}

static node_id add_to_switch(struct scene *s, const struct place *p, uint8_t number) {
    const struct world_link link = {.delay_us = 100, .loss_ppm = p->loss_ppm};
    return world_add_host(s->w, number == 1 ? "alice" : "bob", WORLD_CORE,
                          bk_ipv4(192, 168, 1, number), &link);
}

static void add_dead(struct scene *s, const struct place *p, size_t who,
                     struct sim_agent_config *config) {
    for (size_t i = 0; i < p->dead; i++) {
        char name[8] = {'x', (char)('a' + who), (char)('a' + i)};
        node_id host =
            world_add_host(s->w, name, WORLD_CORE, bk_ipv4(10, (uint8_t)who, (uint8_t)i, 2), NULL);
        world_cut_link(s->w, host, WORLD_CUT_ALL);
        config->host[config->hosts++] = host;
    }
}

static void set_up(struct scene *s, const struct place *p, uint64_t seed) {
    memset(s, 0, sizeof *s);
    s->loud = getenv("BODKIN_LOUD") != NULL;
    (void)scene_world(s, seed, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct sim_agent_config c =
            sim_agent_config(i == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED);
        uint8_t number = (uint8_t)(i + 1);
        c.signal = (struct sim_signal_config){.keep_order = true};
        c.data_us = 20 * BK_US_PER_MS;
        c.ice.trickle = p->trickle;
        c.host[c.hosts++] = p->nat != NULL ? add_home(s, p, number) : add_to_switch(s, p, number);
        add_dead(s, p, i, &c);
        if (p->nat != NULL)
            scene_ask(&c, p->relay ? "turn:198.51.100.1" : "stun:198.51.100.1");
        c.ice.policy = p->policy;
        scene_add(s, i, &c);
    }
    sim_agent_join(&s->agent[0], &s->agent[1]);
}

static bool is_settled(void *ctx) {
    struct scene *s = ctx;
    return sim_agent_is_selected(&s->agent[0]) && sim_agent_is_selected(&s->agent[1]);
}

/* Of the slower side. */
struct took {
    int64_t connected_us, selected_us;
};

static int64_t slower(struct bk_time start, struct bk_time a, struct bk_time b) {
    return bk_elapsed_us(start, bk_later(a, b));
}

static struct took run(const struct place *p, uint64_t seed, int64_t limit_us) {
    static struct scene s;
    set_up(&s, p, seed);
    struct bk_time start = world_now(s.w);
    struct took t = {-1, -1};
    if (world_run_until(s.w, is_settled, &s, limit_us)) {
        const struct sim_agent_path *a = sim_agent_path_at(&s.agent[0], 0),
                                    *b = sim_agent_path_at(&s.agent[1], 0);
        t.connected_us = slower(start, a->connected_at, b->connected_at);
        t.selected_us = slower(start, a->selected_at, b->selected_at);
    } else {
        print_error("seed %llu: not within %lld ms\n", (unsigned long long)seed,
                    (long long)limit_us / 1000);
        scene_tell(&s);
    }
    scene_fini(&s);
    return t;
}

static void expect(const char *what, const struct place *p, int64_t connected_ms,
                   int64_t selected_ms) {
    struct took most = {0, 0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct took t = run(p, seed, 10 * BK_US_PER_S);
        assert_true(t.connected_us >= 0);
        most.connected_us = t.connected_us > most.connected_us ? t.connected_us : most.connected_us;
        most.selected_us = t.selected_us > most.selected_us ? t.selected_us : most.selected_us;
    }
    print_message("%-34s connected after %5.1f ms, selected after %5.1f ms, at most\n", what,
                  (double)most.connected_us / 1000, (double)most.selected_us / 1000);
    assert_true(most.connected_us <= connected_ms * 1000);
    assert_true(most.selected_us <= selected_ms * 1000);
}

static void test_on_one_switch(void **state) {
    (void)state;
    expect("one switch, trickle", &(struct place){.trickle = BK_ICE_TRICKLE}, 2, 2);
    expect("one switch, full", &(struct place){.trickle = BK_ICE_NO_TRICKLE}, 2, 2);
}

static void test_between_nats(void **state) {
    (void)state;
    expect("home x home, trickle", &(struct place){.nat = "home", .trickle = BK_ICE_TRICKLE}, 65,
           110);
    expect("home x home, half trickle",
           &(struct place){.nat = "home", .trickle = BK_ICE_HALF_TRICKLE}, 65, 110);
    expect("home x home, full", &(struct place){.nat = "home", .trickle = BK_ICE_NO_TRICKLE}, 65,
           110);
    expect("full cone x full cone, trickle",
           &(struct place){.nat = "full-cone", .trickle = BK_ICE_TRICKLE}, 65, 110);
}

/* 20 ms each for the challenge, the allocation, the permission; 40 ms for the check. */
static void test_over_a_relay(void **state) {
    (void)state;
    expect("relay only, trickle",
           &(struct place){.nat = "home", .relay = true, .policy = BK_ICE_RELAYED_ONLY}, 110, 150);
    expect("relay only, full",
           &(struct place){.nat = "home",
                           .trickle = BK_ICE_NO_TRICKLE,
                           .relay = true,
                           .policy = BK_ICE_RELAYED_ONLY},
           110, 150);
    expect("symmetric x symmetric, trickle", &(struct place){.nat = "symmetric", .relay = true},
           110, 150);
    expect("home x home with a relay, trickle", &(struct place){.nat = "home", .relay = true}, 65,
           110);
}

static void test_dead_interfaces_cost_little(void **state) {
    (void)state;
    expect("home x home, 4 dead, trickle", &(struct place){.nat = "home", .dead = 4}, 100, 140);
    expect("home x home, 16 dead, trickle", &(struct place){.nat = "home", .dead = DEAD_MAX}, 100,
           140);
    expect("one switch, 16 dead, trickle", &(struct place){.dead = DEAD_MAX}, 10, 10);
}

static int compare_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum { LOSSY_RUNS = 200 };

/* Connected, of the slower side. Loss is per link and direction: a path passes two. */
static void expect_in_loss(uint32_t loss_ppm, int64_t p95_ms, int64_t most_ms) {
    const struct place p = {.nat = "home", .loss_ppm = loss_ppm};
    int64_t took[LOSSY_RUNS];
    for (uint64_t i = 0; i < LOSSY_RUNS; i++) {
        took[i] = run(&p, 1 + i, 60 * BK_US_PER_S).connected_us;
        assert_true(took[i] >= 0);
    }
    qsort(took, LOSSY_RUNS, sizeof took[0], compare_us);
    print_message(
        "home x home, %2u %% loss on each link   connected after p50 %lld ms, p95 %lld ms, "
        "most %lld ms\n",
        loss_ppm / 10000, (long long)took[LOSSY_RUNS / 2] / 1000,
        (long long)took[LOSSY_RUNS * 95 / 100] / 1000, (long long)took[LOSSY_RUNS - 1] / 1000);
    assert_true(took[LOSSY_RUNS * 95 / 100] <= p95_ms * 1000);
    assert_true(took[LOSSY_RUNS - 1] <= most_ms * 1000);
}

static void test_losses(void **state) {
    (void)state;
    expect_in_loss(0, 65, 65);
    expect_in_loss(50000, 1000, 10000);
    expect_in_loss(200000, 10000, 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_one_switch), cmocka_unit_test(test_between_nats),
        cmocka_unit_test(test_over_a_relay),  cmocka_unit_test(test_dead_interfaces_cost_little),
        cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
