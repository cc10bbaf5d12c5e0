/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "punch/chance.h"

#include <stdio.h>

static void near(double got, double wanted, double within) {
    double off = got > wanted ? got - wanted : wanted - got;
    if (off > within)
        fail_msg("%.9f instead of %.9f", got, wanted);
}

static void test_exponential(void **state) {
    (void)state;
    near(chance_exp_minus(0), 1, 0);
    near(chance_exp_minus(1), 0.36787944117144233, 1e-15);
    near(chance_exp_minus(0.001), 0.99900049983337502, 1e-15);
    near(chance_exp_minus(20) * 1e9, 2.0611536224385578, 1e-12);
    near(chance_exp_minus(700) * 1e304, 0.98596765437597713, 1e-10);
    near(chance_exp_minus(1e9), 0, 0);
}

/* Measured on Linux with nftables' `fully-random`, whose ports are 1024..65535: hits in 15 of 20,
 * 18 of 30, 30 of 30, 20 of 20, 20 of 20 tries; the three small blocks 20 of 20 each. */
static void test_birthday(void **state) {
    (void)state;
    static const struct {
        uint32_t space, k, n;
        double p, within;
    } rows[] = {
        {64512, 64, 1024, 0.641, 0.0005},
        {64512, 256, 256, 0.639, 0.0005},
        {64512, 256, 1024, 0.9835, 5e-5},
        {64512, 256, 2048, 0.9997, 5e-5},
        {64512, 512, 1024, 0.9997, 5e-5},
        {64512, 512, 512, 0.983, 0.0005},
        {1024, 128, 64, 0.9999, 2e-4},
        {1024, 32, 256, 0.9999, 5e-5},
        {64, 16, 64, 1, 0},
        {10, 3, 8, 1, 0},
        {10, 1, 1, 0.1, 1e-15},
        {10, 0, 5, 0, 0},
        {10, 20, 1, 1, 0},
        {1, 1, 1, 1, 0},
        {64512, 1, 64512, 1, 0},
        {64512, 1, 1, 1.0 / 64512, 1e-15},
        {64512, 1, 64511, 64511.0 / 64512, 1e-12},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        near(chance_common(rows[i].space, rows[i].k, rows[i].n), rows[i].p, rows[i].within);
        near(chance_common(rows[i].space, rows[i].n, rows[i].k), rows[i].p, rows[i].within);
    }
}

static void test_windows(void **state) {
    (void)state;
    static const struct {
        double mean;
        uint32_t window;
    } rows[] = {{0, 1}, {0.1, 2}, {1, 5}, {5, 12}, {20, 32}, {50, 68}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(chance_window(rows[i].mean, 0.99, 1000), rows[i].window);
        assert_true(chance_fewer(rows[i].mean, rows[i].window) >= 0.99);
        assert_true(rows[i].window == 1 || chance_fewer(rows[i].mean, rows[i].window - 1) < 0.99);
    }
    near(chance_fewer(1, 1), 0.36787944117144233, 1e-15);
    near(chance_fewer(3, 2), 4 * 0.049787068367863944, 1e-14);
    near(chance_fewer(5, 0), 0, 0);
    near(chance_fewer(500, 100000), 1, 1e-9);
    near(chance_fewer(1e6, 100000), 0, 0);
    assert_int_equal(chance_window(50, 0.99, 10), 10); /* no wider than allowed */
    assert_int_equal(chance_window(1e6, 0.99, 10), 10);
}

/* One socket a side is the textbook; all mappings aimed at one port are the most one can have. */
static void test_both_guess(void **state) {
    (void)state;
    const uint32_t all = 64512;
    near(chance_meet(all, 54000, all, 54000, 54000), 0.504, 0.001);
    near(chance_meet(all, 4096, all, 4096, 4096), 0.004, 0.0001);
    near(chance_meet(1024, 1024, 1024, 1024, 1024), 0.632, 0.001);
    near(chance_meet(1024, 1024, all, 1024, 1), 1024.0 / all, 1e-9);
    near(chance_meet(1024, 1024, 1024, 1024, 1), 1, 0);
    near(chance_meet(1024, 1024, 1024, 1024, 4), 1 - 0.75 * 0.75 * 0.75 * 0.75, 1e-12);
    near(chance_meet(all, 54000, all, 54000, 1), 54000.0 / all * 54000 / all, 1e-12);
    for (uint32_t targets = 1; targets < 512; targets *= 2) /* fewer targets are never worse */
        assert_true(chance_meet(1024, 512, 2048, 512, targets) >=
                    chance_meet(1024, 512, 2048, 512, targets * 2));
}

/* The textbook's 170 000 probes each for 99.9 %, 2048 for 98 % of two blocks: with ports that are
 * given again to other destinations, every one of n * m pairs is a draw of its own. */
static void test_textbook(void **state) {
    (void)state;
    const double all = 64512;
    near(1 - chance_exp_minus(170000.0 / all * 170000 / all), 0.999, 0.0005);
    near(1 - chance_exp_minus(1), 0.632, 0.0005);
    near(1 - chance_exp_minus(2048.0 / 1024 * 2048 / 1024), 0.98, 0.002);
    near(1 - chance_exp_minus(1024.0 / 512 * 1024 / 512), 0.98, 0.002);
    near(1 - chance_exp_minus(2048 / all), 0.03, 0.002);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exponential), cmocka_unit_test(test_birthday),
        cmocka_unit_test(test_windows),     cmocka_unit_test(test_both_guess),
        cmocka_unit_test(test_textbook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
