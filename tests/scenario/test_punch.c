/* SPDX-License-Identifier: MIT
 * Two planners against two NAT boxes: a sample of what bench/punch.c counts. */
#include "../unit/test.h"

#include "sim/oracle_prove.h"
#include "sim/punch_duel.h"

#include <stdio.h>

enum { PLAIN_MOST = 6 };

static struct punch_duel duel_of(const struct oracle_cell *cell, uint32_t loss) {
    struct punch_duel d = punch_duel_default;
    d.sides = cell->sides;
    d.config = punch_config_default;
    d.loss = loss;
    return d;
}

static struct punch_duel_result play(const struct punch_duel *d, uint64_t seed) {
    struct punch_duel_result r;
    assert_int_equal(punch_duel_run(d, seed, &test_alloc, &r), BK_OK);
    assert_int_equal(r.refused, 0);
    assert_true(r.met || r.over);
    return r;
}

static uint32_t packets_most(const struct bk_oracle_verdict *v) {
    if (v->method <= BK_ORACLE_PRFLX)
        return PLAIN_MOST;
    return v->window + 8 + PLAIN_MOST; /* the checker's, too */
}

/* Every seventh pair of the 27 types, the sides in both orders. */
static void test_what_is_certain_is_reached(void **state) {
    (void)state;
    uint32_t tried = 0;
    for (size_t i = 0; i < NAT_TYPES27 * NAT_TYPES27; i += 7) {
        struct oracle_cell c = oracle_cell_type27(i / NAT_TYPES27, i % NAT_TYPES27);
        struct bk_oracle_verdict v;
        assert_int_equal(bk_oracle(&c.sides[0].traits, &c.sides[1].traits, NULL, &v), BK_OK);
        if (v.method > BK_ORACLE_PREDICT)
            continue;
        struct punch_duel d = duel_of(&c, 0);
        d.skew_us = (int64_t)(i % 5) * 10000;
        struct punch_duel_result r = play(&d, i);
        if (!r.met || r.packets[0] + r.checks[0] > packets_most(&v) ||
            r.packets[1] + r.checks[1] > packets_most(&v))
            fail_msg("%s, seed %zu: met %d, packets %u %u", c.name, i, r.met, r.packets[0],
                     r.packets[1]);
        tried++;
    }
    assert_true(tried > 60);
}

/* A cell of sim/oracle_cells.c by its name. */
static struct oracle_cell special(const char *name) {
    struct oracle_cell c;
    for (size_t i = 0; oracle_cell_special(i, &c); i++) {
        if (strcmp(c.name, name) == 0)
            return c;
    }
    fail_msg("no cell \"%s\"", name);
    return c;
}

static void meets(const char *name, uint32_t loss, uint64_t seeds, int64_t within_us) {
    struct oracle_cell c = special(name);
    struct punch_duel d = duel_of(&c, loss);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct punch_duel_result r = play(&d, seed);
        if (!r.met || r.us > within_us)
            fail_msg("%s, seed %u: met %d after %ld ms", name, (unsigned)seed, r.met,
                     (long)(r.us / 1000));
    }
}

static void test_blocks_and_predictions_meet_in_time(void **state) {
    (void)state;
    meets("block of 64, 16 x 64", 20000, 5, 300000);
    meets("block of 1024, 128 x 64", 20000, 5, 300000);
    meets("predict 1, window 5", 20000, 10, 3000000);
    meets("predict 20, window 32", 20000, 10, 3000000);
    meets("fan 0.8, all of the window", 20000, 5, 3000000);
    meets("256 x 1024", 0, 2, 6000000);
}

static void test_delicate_boxes_meet_at_any_skew(void **state) {
    (void)state;
    struct oracle_cell c = special("both delicate, first packet of low TTL");
    for (int64_t ms = 0; ms <= 1000; ms += 125) {
        struct punch_duel d = duel_of(&c, 0);
        d.skew_us = ms * 1000;
        struct punch_duel_result r = play(&d, (uint64_t)ms);
        if (!r.met)
            fail_msg("both delicate, %d ms apart", (int)ms);
    }
}

static void test_what_nobody_can_reach_costs_nothing(void **state) {
    (void)state;
    struct oracle_cell c = special("hard x hard, 16384 sockets");
    struct punch_duel d = duel_of(&c, 0);
    struct punch_duel_result r = play(&d, 1);
    assert_true(r.over);
    assert_int_equal(r.packets[0] + r.packets[1], 0);
    assert_int_equal(r.sockets_max[0] + r.sockets_max[1], 0);
}

static void test_without_knowledge_the_cheap_methods_come_first(void **state) {
    (void)state;
    struct oracle_cell c = special("both delicate, first packet of low TTL");
    struct punch_duel d = duel_of(&c, 0);
    d.unknown = true;
    d.plain = false;
    struct punch_duel_result r = play(&d, 3);
    assert_true(r.met && r.stepped);
    assert_int_equal(r.steps, 1);
    assert_true(r.packets[0] <= PLAIN_MOST && r.packets[1] <= PLAIN_MOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_certain_is_reached),
        cmocka_unit_test(test_blocks_and_predictions_meet_in_time),
        cmocka_unit_test(test_delicate_boxes_meet_at_any_skew),
        cmocka_unit_test(test_what_nobody_can_reach_costs_nothing),
        cmocka_unit_test(test_without_knowledge_the_cheap_methods_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
