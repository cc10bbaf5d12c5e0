/* SPDX-License-Identifier: MIT
 * The oracle is right: its methods, played packet by packet against the NAT model, meet as often as
 * it says and cost as many packets, and where it says that punching alone cannot meet, it never
 * does. `bodkin sim oracle --prove` is the long version. */
#include "../unit/test.h"

#include "sim/oracle_prove.h"

#include <inttypes.h>
#include <stdlib.h>

/* BODKIN_SEEDS=100 at night: that many times as many tries. */
static uint32_t tries(uint32_t few) {
    const char *text = getenv("BODKIN_SEEDS");
    uint32_t times = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 1;
    return few * (times > 0 ? times : 1);
}

static struct oracle_proof prove(const struct oracle_cell *cell, uint64_t seed, uint32_t count) {
    struct oracle_proof p;
    assert_int_equal(oracle_prove(cell, seed, count, &test_alloc, &p), BK_OK);
    if (!p.agrees || p.one_way > 0)
        fail_msg("%s, %s, seeds from %" PRIu64 ": %u of %u met, %u one way, expected %.4f; "
                 "packets %.2f, %.2f, expected %.2f, %.2f",
                 cell->name, bk_oracle_method_name(p.verdict.method), seed, p.met, p.tries,
                 p.one_way, p.p, p.packets[0], p.packets[1], p.verdict.side[0].packets_mean,
                 p.verdict.side[1].packets_mean);
    return p;
}

/* Each pair a few times, and all pairs of a method together. */
static void test_all_pairs_of_types(void **state) {
    (void)state;
    double expected[BK_ORACLE_METHODS] = {0}, variance[BK_ORACLE_METHODS] = {0};
    uint32_t met[BK_ORACLE_METHODS] = {0}, played[BK_ORACLE_METHODS] = {0};
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        for (size_t j = i; j < NAT_TYPES27; j++) {
            struct oracle_cell cell = oracle_cell_type27(i, j);
            struct oracle_proof p = prove(&cell, 1000 * (27 * i + j), tries(2));
            enum bk_oracle_method m = p.verdict.method;
            expected[m] += p.tries * p.p;
            variance[m] += p.tries * p.p * (1 - p.p);
            met[m] += p.met;
            played[m] += p.tries;
        }
    }
    for (int m = 0; m < BK_ORACLE_METHODS; m++) {
        double off = expected[m] - met[m];
        off = off > 0 ? off : -off;
        if (played[m] > 0)
            print_message("%-14s %5u of %5u met, expected %.1f\n",
                          bk_oracle_method_name((enum bk_oracle_method)m), met[m], played[m],
                          expected[m]);
        if (off > 1 && (off - 1) * (off - 1) > 16 * variance[m])
            fail_msg("%s: %u met, expected %.1f", bk_oracle_method_name((enum bk_oracle_method)m),
                     met[m], expected[m]);
    }
}

/* Exhaustive over the types: a port that STUN showed is in use, so no other mapping can get it,
 * and a filter that asks for it is never satisfied. */
static void test_punching_alone_meets_where_it_can_and_nowhere_else(void **state) {
    (void)state;
    uint32_t cannot = 0;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        for (size_t j = i; j < NAT_TYPES27; j++) {
            struct oracle_cell cell = oracle_cell_type27(i, j);
            cell.plainly = true;
            cannot += prove(&cell, 1000 * (27 * i + j), tries(1)).met == 0 ? 1 : 0;
        }
    }
    assert_int_equal(cannot, 114);
}

static void test_blocks_rates_budgets_and_delicate_boxes(void **state) {
    (void)state;
    struct oracle_cell cell;
    for (size_t i = 0; oracle_cell_special(i, &cell); i++) {
        if (!cell.dear)
            (void)prove(&cell, 100000 * i, tries(60));
    }
}

/* The same seed is the same try. */
static void test_tries_repeat(void **state) {
    (void)state;
    struct oracle_cell cell = oracle_cell_type27(2, 26);
    struct oracle_proof a = prove(&cell, 7, 5), b = prove(&cell, 7, 5), c = prove(&cell, 70, 5);
    assert_true(a.packets[0] >= b.packets[0] && a.packets[0] <= b.packets[0]);
    assert_true(a.packets[0] < c.packets[0] || a.packets[0] > c.packets[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs_of_types),
        cmocka_unit_test(test_punching_alone_meets_where_it_can_and_nowhere_else),
        cmocka_unit_test(test_blocks_rates_budgets_and_delicate_boxes),
        cmocka_unit_test(test_tries_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
