/* SPDX-License-Identifier: MIT
 * Plain ICE between two NAT types: it connects where it can, and the same seed does it again. */
#include "../test.h"

#include "sim/encounter.h"

static struct encounter_outcome run(const char *a, const char *b, uint64_t seed, int64_t skew_us,
                                    uint32_t loss_ppm) {
    struct encounter_config config = encounter_config_default;
    struct encounter_outcome out;
    assert_int_equal(nat_preset(a, &config.nat[0]), BK_OK);
    assert_int_equal(nat_preset(b, &config.nat[1]), BK_OK);
    config.seed = seed;
    config.skew_us = skew_us;
    config.loss_ppm = loss_ppm;
    assert_int_equal(encounter_run(&config, &test_alloc, &out), BK_OK);
    return out;
}

static const struct {
    const char *a, *b;
    bool direct;
} cases[] = {
    {"EI-PP-APD", "EI-PP-APD", true},   {"APD-RD-EI", "APD-RD-APD", true},
    {"EI-RD-AD", "APD-RD-APD", true},   {"APD-RD-APD", "EI-RD-AD", true},
    {"EI-PP-APD", "APD-PC-APD", false}, {"APD-RD-APD", "APD-RD-APD", false},
    {"udp-blocked", "home", false},
};

static void test_direct_where_plain_ice_can(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            assert_int_equal(run(cases[i].a, cases[i].b, seed, 0, 10000).direct, cases[i].direct);
}

static void test_skew_is_of_either_side(void **state) {
    (void)state;
    for (int64_t skew = -1000000; skew <= 1000000; skew += 1000000) {
        struct encounter_outcome o = run("home", "home", 1, skew, 0);
        assert_true(o.direct && o.direct_us <= 200000);
    }
}

static void test_a_seed_replays(void **state) {
    (void)state;
    struct encounter_outcome first = run("home", "cgn", 1, 100000, 50000);
    assert_true(run("home", "cgn", 1, 100000, 50000).hash == first.hash);
    assert_true(run("home", "cgn", 2, 100000, 50000).hash != first.hash);
    assert_true(run("home", "cgn", 1, 100001, 50000).hash != first.hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_where_plain_ice_can),
        cmocka_unit_test(test_skew_is_of_either_side),
        cmocka_unit_test(test_a_seed_replays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
