/* SPDX-License-Identifier: MIT
 * Two whole ICE agents are connected and talk, a datagram every 20 ms each way; then something
 * changes. How long does no data arrive, when is it noticed, and do both ends see it alike? In
 * virtual time, so the figures are exact.
 *
 *                      core
 *          ┌─────────────┼─────────────┐
 *   server 198.51.100.1  a 203.0.113.1 b 203.0.113.2      10 ms each: 40 ms between the peers
 *                        │             │
 *              alice 192.168.1.2   bob 192.168.2.2        signalling takes 50 ms */
#include "agent_scene.h"

enum { ALICE, BOB, RTT_US = 40000, DATA_US = 20000, SIGNAL_US = 50000, SEEDS = 5 };

struct place {
    const char *nat[2]; /* NULL: a public address */
    bool second;        /* alice has a second way out, her telephone's */
    bool relay;         /* the server is a TURN server */
    bool relay_only;
    int64_t nonce_us; /* of the TURN server; 0: an hour */
    int64_t data_us;  /* 0: DATA_US */
    uint32_t loss_ppm;
    uint32_t consent_us; /* 0: the usual 5 s */
};

static node_id add_way(struct scene *s, const struct place *p, size_t who, size_t way) {
    static const char *const hosts[2][2] = {{"alice", "alice2"}, {"bob", "bob2"}};
    static const char *const boxes[2][2] = {{"a", "a2"}, {"b", "b2"}};
    const struct world_link link = {.delay_us = 10000, .loss_ppm = p->loss_ppm};
    uint8_t outside = (uint8_t)(1 + who + 8 * way), net = (uint8_t)(1 + who + 16 * way);
    if (p->nat[who] == NULL)
        return world_add_host(s->w, hosts[who][way], WORLD_CORE, bk_ipv4(203, 0, 113, outside),
                              &link);
    struct nat_config c;
    assert_int_equal(nat_preset(p->nat[who], &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, outside);
    c.external_count = 1;
    c.mappings_max = c.sessions_max = 256;
    node_id box = world_add_nat(s->w, boxes[who][way], WORLD_CORE, &c, &link);
    return world_add_host(s->w, hosts[who][way], box, bk_ipv4(192, 168, net, 2), NULL);
}

static bool is_talking(void *ctx) {
    struct scene *s = ctx;
    return sim_agent_is_selected(&s->agent[ALICE]) && sim_agent_is_selected(&s->agent[BOB]) &&
           sim_agent_has_heard(&s->agent[ALICE]) && sim_agent_has_heard(&s->agent[BOB]) &&
           sim_agent_agree(&s->agent[ALICE], &s->agent[BOB]);
}

static void give_up(struct scene *s, const char *what) {
    print_error("%s, seed %llu\n", what, (unsigned long long)world_seed(s->w));
    scene_tell(s);
    fail();
}

static void set_up(struct scene *s, const struct place *p, uint64_t seed) {
    memset(s, 0, sizeof *s);
    s->loud = getenv("BODKIN_LOUD") != NULL;
    (void)scene_world(s, seed, NULL);
    if (p->nonce_us > 0) {
        sim_turn_stop(&s->server);
        s->server.config.nonce_us = p->nonce_us;
        assert_int_equal(sim_turn_start(&s->server), BK_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        struct sim_agent_config c =
            sim_agent_config(i == ALICE ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED);
        if (seed % 2 == 0)
            c.ice.role = i == ALICE ? BK_ICE_CONTROLLED : BK_ICE_CONTROLLING;
        c.signal = (struct sim_signal_config){.delay_us = SIGNAL_US, .keep_order = true};
        c.data_us = p->data_us > 0 ? p->data_us : DATA_US;
        c.host[c.hosts++] = add_way(s, p, i, 0);
        if (i == ALICE && p->second)
            c.host[c.hosts++] = add_way(s, p, i, 1);
        c.ice.consent_us = p->consent_us > 0 ? p->consent_us : c.ice.consent_us;
        scene_ask(&c, p->relay ? "turn:198.51.100.1" : "stun:198.51.100.1");
        c.ice.policy = p->relay_only ? BK_ICE_RELAYED_ONLY : BK_ICE_ALL;
        scene_add(s, i, &c);
    }
    sim_agent_join(&s->agent[ALICE], &s->agent[BOB]);
    if (!world_run_until(s->w, is_talking, s, 10 * BK_US_PER_S))
        give_up(s, "did not connect at all");
    world_run(s->w, 20 * BK_US_PER_S); /* spare paths are proven, too */
}

static struct sim_agent_path *path(struct scene *s, size_t who) {
    return sim_agent_path_at(&s->agent[who], 0);
}

/* ---- what is measured, since a moment ---- */

struct moment {
    struct bk_time at;
    uint32_t disconnects[2], failures[2];
};

static struct moment mark(struct scene *s) {
    struct moment m = {.at = world_now(s->w)};
    for (size_t i = 0; i < 2; i++) {
        path(s, i)->longest_gap_us = 0;
        m.disconnects[i] = path(s, i)->disconnects;
        m.failures[i] = path(s, i)->failures;
    }
    return m;
}

/* Runs until data flows again both ways on one path, then on: the longest time without data, in the
 * worse direction, from when the last came to when the next did. */
static int64_t gap_us(struct scene *s, const char *what, int64_t limit_us) {
    world_run(s->w, limit_us);
    if (!world_run_until(s->w, is_talking, s, 60 * BK_US_PER_S))
        give_up(s, what);
    world_run(s->w, BK_US_PER_S);
    int64_t most_silence_us = 10 * s->agent[ALICE].config.data_us;
    int64_t most = 0;
    for (size_t i = 0; i < 2; i++) {
        int64_t us = path(s, i)->longest_gap_us;
        if (bk_elapsed_us(path(s, i)->heard_at, world_now(s->w)) > most_silence_us)
            give_up(s, what);
        most = us > most ? us : most;
    }
    return most;
}

static void nothing_failed(struct scene *s, const struct moment *since, const char *what) {
    for (size_t i = 0; i < 2; i++) {
        if (path(s, i)->failures != since->failures[i])
            give_up(s, what);
    }
}

static void tell_us(const char *what, int64_t us) {
    print_message("%-62s %7.1f ms\n", what, (double)us / 1000);
}

/* What happens to a connected pair, and how long no data may arrive. */
struct story {
    const char *what;
    struct place place;
    void (*change)(struct scene *s);
    int64_t most_us;
};

static void play(const struct story *story) {
    static struct scene s;
    int64_t most = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        set_up(&s, &story->place, seed);
        world_run(s.w, (int64_t)seed * 1234567); /* anywhere between two consent checks */
        struct moment m = mark(&s);
        story->change(&s);
        int64_t us = gap_us(&s, story->what, 10 * BK_US_PER_S);
        nothing_failed(&s, &m, story->what);
        most = us > most ? us : most;
        scene_fini(&s);
    }
    tell_us(story->what, most);
    assert_true(most <= story->most_us);
}

/* ---- the public address changes ---- */

static void move_a(struct scene *s) {
    world_readdress_nat(s->w, world_find(s->w, "a"), bk_ipv4(203, 0, 113, 77));
}

static void move_a_and_know(struct scene *s) {
    move_a(s);
    sim_agent_network_changed(&s->agent[ALICE]);
}

static void reboot_a(struct scene *s) {
    world_reboot_nat(s->w, world_find(s->w, "a"));
}

/* The gap holds up to a datagram's distance before the change as well, and the path's 20 ms. */
static const int64_t AROUND_US = DATA_US + RTT_US / 2;

static void test_a_new_public_address(void **state) {
    (void)state;
    const struct story stories[] = {
        {"new address, peer reachable, told by the system",
         {.nat = {"home", NULL}},
         move_a_and_know,
         AROUND_US + INT64_C(2) * RTT_US},
        {"new address, peer behind full cone, told by the system",
         {.nat = {"home", "full-cone"}},
         move_a_and_know,
         AROUND_US + INT64_C(2) * RTT_US},
        {"new address, peer behind a filter, told by the system",
         {.nat = {"home", "home"}},
         move_a_and_know,
         BK_US_PER_S},
        {"new address, peer reachable, nobody knows",
         {.nat = {"home", NULL}},
         move_a,
         2 * BK_US_PER_S + AROUND_US + INT64_C(2) * RTT_US},
        {"new address, peer behind a filter, nobody knows",
         {.nat = {"home", "home"}},
         move_a,
         3 * BK_US_PER_S},
        {"the box forgot everything, peer behind a filter",
         {.nat = {"home", "home"}},
         reboot_a,
         3 * BK_US_PER_S},
        {"the box forgot everything, ports are random",
         {.nat = {"carrier", "home"}},
         reboot_a,
         3 * BK_US_PER_S},
    };
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        play(&stories[i]);
}

/* ---- a way dies, another is there ---- */

static void cut_first_way(struct scene *s) {
    world_cut_link(s->w, world_find(s->w, "a"), WORLD_CUT_ALL);
}

static void cut_and_know(struct scene *s) {
    cut_first_way(s);
    sim_agent_interface(&s->agent[ALICE], 0, false);
}

static void cut_second_way(struct scene *s) {
    sim_agent_interface(&s->agent[ALICE], 1, false);
}

static void cut_direct(struct scene *s) {
    world_cut_hosts(s->w, world_find(s->w, "alice"), world_find(s->w, "bob"), WORLD_CUT_ALL);
}

static void test_failover_to_a_warm_path(void **state) {
    (void)state;
    const struct story stories[] = {
        {"first interface down, another warm",
         {.nat = {"home", "home"}, .second = true},
         cut_and_know,
         500000}, /* at once by the controlling side; the other has to be asked */
        {"second interface down, or unused",
         {.nat = {"home", "home"}, .second = true},
         cut_second_way,
         AROUND_US + RTT_US},
        {"first way silently dead, another warm",
         {.nat = {"home", "home"}, .second = true},
         cut_first_way,
         2 * BK_US_PER_S + 500000},
        {"direct path silently dead, relay warm",
         {.nat = {"home", "home"}, .relay = true},
         cut_direct,
         2 * BK_US_PER_S + 500000},
    };
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        play(&stories[i]);
}

/* ---- a break ---- */

static void test_a_break_is_seen_by_both_within_two_seconds(void **state) {
    (void)state;
    static struct scene s;
    int64_t most = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        set_up(&s, &(struct place){.nat = {"home", "home"}}, seed);
        world_run(s.w, (int64_t)seed * 1234567);
        struct moment m = mark(&s);
        world_cut_link(s.w, world_find(s.w, "a"), WORLD_CUT_ALL);
        world_run(s.w, 3 * BK_US_PER_S);
        for (size_t i = 0; i < 2; i++) {
            if (path(&s, i)->disconnects != m.disconnects[i] + 1)
                give_up(&s, "the break was not seen");
            int64_t us = bk_elapsed_us(m.at, path(&s, i)->disconnected_at);
            most = us > most ? us : most;
            assert_false(path(&s, i)->connected);
        }
        world_cut_link(s.w, world_find(s.w, "a"), WORLD_CUT_NONE);
        (void)gap_us(&s, "did not come back", 5 * BK_US_PER_S);
        for (size_t i = 0; i < 2; i++)
            assert_true(path(&s, i)->connected);
        scene_fini(&s);
    }
    tell_us("a break is seen by both", most);
    assert_true(most <= 2 * BK_US_PER_S + RTT_US);
}

/* It is said once for all, and both say it; a restart through signalling brings it back. */
static void test_both_give_up_and_both_come_back(void **state) {
    (void)state;
    static struct scene s;
    set_up(&s, &(struct place){.nat = {"home", "home"}}, 3);
    struct moment m = mark(&s);
    world_cut_link(s.w, world_find(s.w, "a"), WORLD_CUT_ALL);
    world_run(s.w, 100 * BK_US_PER_S);
    for (size_t i = 0; i < 2; i++) {
        if (path(&s, i)->failures != m.failures[i] + 1)
            give_up(&s, "FAILED was not said once");
        assert_true(strlen(s.agent[i].why) > 10);
    }
    print_message("FAILED says: %s\n", s.agent[ALICE].why);
    world_cut_link(s.w, world_find(s.w, "a"), WORLD_CUT_NONE);
    sim_agent_restart(&s.agent[BOB]);
    struct bk_time start = world_now(s.w);
    if (!world_run_until(s.w, is_talking, &s, 10 * BK_US_PER_S))
        give_up(&s, "a restart did not bring it back");
    tell_us("after FAILED a restart brings it back within", bk_elapsed_us(start, world_now(s.w)));
    assert_true(bk_elapsed_us(start, world_now(s.w)) <= BK_US_PER_S);
    scene_fini(&s);
}

/* ---- interfaces come and go ---- */

static void swap_interfaces(struct scene *s) {
    sim_agent_interface(&s->agent[ALICE], 1, true);
    sim_agent_interface(&s->agent[ALICE], 0, false);
    world_cut_link(s->w, world_find(s->w, "a"), WORLD_CUT_ALL);
}

/* The second way is not there at first: no warm path. */
static void prepare_swap(struct scene *s) {
    sim_agent_interface(&s->agent[ALICE], 1, false);
    world_run(s->w, 2 * BK_US_PER_S);
    (void)mark(s);
    swap_interfaces(s);
}

static void restart_bob(struct scene *s) {
    sim_agent_restart(&s->agent[BOB]);
}

static void test_interfaces_change_at_run_time(void **state) {
    (void)state;
    const struct story stories[] = {
        {"one interface replaced by another, peer reachable",
         {.nat = {"home", NULL}, .second = true},
         prepare_swap,
         AROUND_US + INT64_C(2) * RTT_US},
        {"one interface replaced by another, peer behind a filter",
         {.nat = {"home", "home"}, .second = true},
         prepare_swap,
         BK_US_PER_S},
        {"a restart", {.nat = {"home", "home"}}, restart_bob, AROUND_US + RTT_US},
    };
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        play(&stories[i]);
}

/* ---- relays ---- */

static void restart_server(struct scene *s) {
    sim_turn_stop(&s->server);
    world_run(s->w, BK_US_PER_S);
    assert_int_equal(sim_turn_start(&s->server), BK_OK);
}

static void test_a_relay_server_restarts(void **state) {
    (void)state;
    const struct story stories[] = {
        {"TURN server restarts, relay only",
         {.nat = {"home", "home"}, .relay = true, .relay_only = true},
         restart_server,
         5 * BK_US_PER_S},
        {"the box of a relayed agent forgot everything",
         {.nat = {"symmetric", "symmetric"}, .relay = true, .relay_only = true},
         reboot_a,
         5 * BK_US_PER_S},
    };
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
        play(&stories[i]);
}

/* Half an hour over relays: allocations, permissions and channels have to be kept alive. */
static void hold_half_an_hour(const char *what, const struct place *p, int64_t most_us) {
    static struct scene s;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        set_up(&s, p, seed);
        struct moment m = mark(&s);
        int64_t us = gap_us(&s, what, 1800 * BK_US_PER_S);
        nothing_failed(&s, &m, what);
        tell_us(what, us);
        assert_true(us <= most_us);
        scene_fini(&s);
    }
}

static void test_relays_are_kept(void **state) {
    (void)state;
    enum { SLOW_US = 500000 };
    hold_half_an_hour("half an hour of relay, no loss",
                      &(struct place){.nat = {"symmetric", "symmetric"},
                                      .relay = true,
                                      .relay_only = true,
                                      .data_us = SLOW_US},
                      SLOW_US + 1000);
    hold_half_an_hour("half an hour of relay, a nonce lives for a minute",
                      &(struct place){.nat = {"symmetric", "symmetric"},
                                      .relay = true,
                                      .relay_only = true,
                                      .nonce_us = 60 * BK_US_PER_S,
                                      .data_us = SLOW_US},
                      SLOW_US + 1000);
    /* RFC 7675 section 5.1 sends six checks in 30 s, each once. Over a relay that loses a third of
     * them six in a row are lost once in an hour; it is the relay that is tried here. */
    hold_half_an_hour("half an hour of relay, 10 % loss on each link",
                      &(struct place){.nat = {"symmetric", "symmetric"},
                                      .relay = true,
                                      .relay_only = true,
                                      .data_us = SLOW_US,
                                      .loss_ppm = 100000,
                                      .consent_us = BK_US_PER_S},
                      INT64_C(12) * SLOW_US);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_public_address),
        cmocka_unit_test(test_failover_to_a_warm_path),
        cmocka_unit_test(test_a_break_is_seen_by_both_within_two_seconds),
        cmocka_unit_test(test_both_give_up_and_both_come_back),
        cmocka_unit_test(test_interfaces_change_at_run_time),
        cmocka_unit_test(test_a_relay_server_restarts),
        cmocka_unit_test(test_relays_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
