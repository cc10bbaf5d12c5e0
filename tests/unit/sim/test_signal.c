/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "sim/habitat.h"
#include "sim/names.h"
#include "sim/signal.h"

#include <string.h>

struct listener {
    struct sim_signal inbox;
    char heard[64];
    size_t count;
    struct bk_time at[16];
};

static void on_message(void *ctx, struct world *w, const uint8_t *data, size_t len) {
    struct listener *l = ctx;
    struct sim_signal_message m;
    if (!sim_signal_take(&l->inbox, data, len, &m))
        return;
    assert_int_equal(m.len, 1);
    l->at[l->count] = world_now(w);
    l->heard[l->count++] = m.text[0];
}

static struct world *listen(struct listener *l, const struct sim_signal_config *config) {
    struct world_config c = world_config_default;
    struct world *w;
    c.packets_max = 64;
    memset(l, 0, sizeof *l);
    assert_int_equal(world_new(&c, &test_alloc, &w), BK_OK);
    node_id host = world_add_host(w, "host", WORLD_CORE, bk_ipv4(192, 0, 2, 1), NULL);
    const struct world_actor calls = {.ctx = l, .on_message = on_message};
    actor_id actor = world_add_actor(w, host, &calls);
    struct bk_rng rng = world_rng(w, "signal");
    sim_signal_init(&l->inbox, w, actor, config, &rng, &test_alloc);
    return w;
}

static void say(struct listener *l, const char *letters) {
    for (const char *p = letters; *p != '\0'; p++) {
        const struct sim_signal_message m = {
            .kind = SIM_SIGNAL_CANDIDATE, .stream = 2, .text = p, .len = 1};
        sim_signal_send(&l->inbox, &m);
    }
}

static void test_messages_come_in_order_and_late(void **state) {
    (void)state;
    const struct sim_signal_config config = {
        .delay_us = 40000, .jitter_us = 30000, .keep_order = true};
    struct listener l;
    struct world *w = listen(&l, &config);
    say(&l, "abcdefghij");
    world_run(w, BK_US_PER_S);
    assert_string_equal(l.heard, "abcdefghij");
    for (size_t i = 0; i < l.count; i++) {
        int64_t us = l.at[i].us - BK_US_PER_S;
        assert_true(us >= 40000 && us <= 70000);
    }
    sim_signal_fini(&l.inbox);
    world_free(w);
}

static void test_without_order_they_overtake(void **state) {
    (void)state;
    const struct sim_signal_config config = {.delay_us = 1000, .jitter_us = 30000};
    struct listener l;
    struct world *w = listen(&l, &config);
    say(&l, "abcdefghij");
    world_run(w, BK_US_PER_S);
    assert_int_equal(l.count, 10);
    assert_string_not_equal(l.heard, "abcdefghij");
    sim_signal_fini(&l.inbox);
    world_free(w);
}

static void test_what_is_under_way_dies_with_the_inbox(void **state) {
    (void)state;
    const struct sim_signal_config config = {.delay_us = 1000};
    struct listener l;
    struct world *w = listen(&l, &config);
    say(&l, "abc");
    sim_signal_fini(&l.inbox);
    world_run(w, BK_US_PER_S);
    assert_int_equal(l.count, 0);
    world_free(w);
}

static void test_names_of_a_link_stay_on_it(void **state) {
    (void)state;
    static struct sim_names names;
    struct bk_ip ip[4];
    memset(&names, 0, sizeof names);
    sim_names_add(&names, "turn.example", bk_ipv4(198, 51, 100, 1), WORLD_CORE);
    sim_names_add(&names, "turn.example", bk_ipv4(198, 51, 100, 2), WORLD_CORE);
    sim_names_add(&names, "x.local", bk_ipv4(192, 168, 1, 2), 7);
    assert_int_equal(sim_names_find(&names, "turn.example", 7, ip, 4), 2);
    assert_int_equal(sim_names_find(&names, "turn.example", 8, ip, 1), 1);
    assert_int_equal(sim_names_find(&names, "x.local", 7, ip, 4), 1);
    assert_int_equal(sim_names_find(&names, "x.local", 8, ip, 4), 0);
    assert_int_equal(sim_names_find(&names, "y.local", 7, ip, 4), 0);
}

/* ---- habitats ---- */

static struct sim_habitat draw(uint64_t seed) {
    const struct sim_habitat_limits limits = {
        .loss_ppm = 300000, .delay_us = 40000, .second_ways = true};
    struct rng_seeded seeded;
    rng_seed(&seeded, seed);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct sim_habitat h;
    sim_habitat_draw(&h, &rng, &limits);
    return h;
}

static void test_habitats_repeat_build_and_vary(void **state) {
    (void)state;
    unsigned meet = 0, doubles = 0, shared = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct sim_habitat h = draw(seed), again = draw(seed);
        struct world_config c = world_config_default;
        node_id host[2][SIM_HABITAT_WAYS];
        struct world *w;
        char text[512], same[512];
        c.packets_max = 16;
        assert_string_equal(sim_habitat_text(&h, text, sizeof text),
                            sim_habitat_text(&again, same, sizeof same));
        assert_int_equal(world_new(&c, &test_alloc, &w), BK_OK);
        sim_habitat_build(&h, w, host);
        world_free(w);
        meet += sim_habitat_can_meet(&h) ? 1 : 0;
        doubles += h.home[0].way[0].boxes == 2 ? 1 : 0;
        shared += h.shared ? 1 : 0;
    }
    assert_in_range(meet, 60, 240);
    assert_in_range(doubles, 20, 120);
    assert_in_range(shared, 5, 60);
}

static struct sim_habitat behind(const char *a, const char *b) {
    struct sim_habitat h;
    const char *const names[] = {a, b};
    memset(&h, 0, sizeof h);
    for (size_t i = 0; i < 2; i++) {
        struct sim_way *way = &h.home[i].way[0];
        h.home[i].ways = way->boxes = 1;
        assert_int_equal(nat_preset(names[i], &way->box[0]), BK_OK);
    }
    return h;
}

static void test_the_oracle_judges(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool meet;
    } cases[] = {
        {"home", "home", true},
        {"home", "symmetric", false},
        {"restricted", "symmetric", true},
        {"symmetric", "symmetric", false},
        {"full-cone", "symmetric", true},
        {"home", "udp-blocked", false},
        {"linux-accept", "linux-accept", false}, /* without priming it may fail */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sim_habitat h = behind(cases[i].a, cases[i].b);
        assert_true(sim_habitat_can_meet(&h) == cases[i].meet);
        assert_true(sim_habitat_has_udp(&h, 1) == (strcmp(cases[i].b, "udp-blocked") != 0));
    }
    struct sim_habitat h = behind("home", "home");
    h.home[0].way[0].boxes = 2;
    assert_int_equal(nat_preset("symmetric", &h.home[0].way[0].box[1]), BK_OK);
    assert_false(sim_habitat_can_meet(&h));
    h.shared = true;
    assert_true(sim_habitat_can_meet(&h));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_in_order_and_late),
        cmocka_unit_test(test_without_order_they_overtake),
        cmocka_unit_test(test_what_is_under_way_dies_with_the_inbox),
        cmocka_unit_test(test_names_of_a_link_stay_on_it),
        cmocka_unit_test(test_habitats_repeat_build_and_vary),
        cmocka_unit_test(test_the_oracle_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
