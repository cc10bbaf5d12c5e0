/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <base/rng.h>
#include <punch/forecast.h>
#include <punch/ports.h>

static const struct port_set sets[] = {
    {1024, 65535, 0, 0}, /* as RFC 4787 section 4.2.1 */
    {1, 65535, 0, 0},
    {40000, 40000, 0, 0},
    {40000, 40001, 0, 0},
    {20480, 21503, 0, 0},
    {4096, 61455, 16, 4096}, /* MAP-E, 240 ports: RFC 7597 */
    {1024 + 64, 64512 + 79, 16, 1024},
};

static bool is_in(const struct port_set *s, uint16_t port) {
    if (port < s->min || port > s->max)
        return false;
    return s->run == 0 || (port - s->min) % s->gap < s->run;
}

/* Every port once, all of the set, none beyond it. */
static void test_a_walk_visits_each_port_once(void **state) {
    (void)state;
    static uint8_t seen[65536];
    struct rng_seeded seeded;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct port_walk w;
        port_walk_init(&w, &sets[i], &rng);
        memset(seen, 0, sizeof seen);
        for (uint32_t j = 0; j < w.count; j++) {
            uint16_t port = port_walk_at(&w, j);
            assert_true(is_in(&sets[i], port));
            assert_int_equal(seen[port]++, 0);
        }
        for (uint32_t port = 0; port < 65536; port++)
            assert_int_equal(seen[port], is_in(&sets[i], (uint16_t)port));
    }
}

static void test_sets_are_counted(void **state) {
    (void)state;
    assert_int_equal(port_set_count(&sets[0]), 64512);
    assert_int_equal(port_set_count(&sets[5]), 240);
    assert_int_equal(port_set_count(&sets[6]), 63 * 16);
    struct port_set cut = {1000, 1104, 10, 50}; /* the last run is cut off */
    assert_int_equal(port_set_count(&cut), 25);
    assert_int_equal(port_set_at(&cut, 24), 1104);
}

/* The first 64 of walks with different keys share few ports: 64 * 64 / 64512 of 64 by chance. */
static void test_walks_differ(void **state) {
    (void)state;
    static uint8_t seen[65536];
    struct rng_seeded seeded;
    rng_seed(&seeded, 2);
    struct bk_rng rng = rng_from_seeded(&seeded);
    uint32_t common = 0;
    for (int walk = 0; walk < 20; walk++) {
        struct port_walk w;
        port_walk_init(&w, &sets[0], &rng);
        for (uint32_t j = 0; j < 64; j++)
            common += seen[port_walk_at(&w, j)]++ > 0 ? 1 : 0;
    }
    assert_true(common < 40); /* 12 are expected */
}

static void test_ports_to_come_go_round(void **state) {
    (void)state;
    static const struct {
        struct forecast forecast;
        uint32_t j;
        uint16_t port;
    } rows[] = {
        {{40000, 1, 1024, 65535}, 0, 40000},
        {{40000, 1, 1024, 65535}, 5, 40005},
        {{65534, 1, 1024, 65535}, 2, 1024},
        {{1025, -2, 1024, 65535}, 1, 65535},
        {{20500, 7, 20480, 20511}, 2, 20482},
        {{65535, 1, 0, 0}, 1, 1},
        {{1, -1, 0, 0}, 1, 65535},
        {{40000, 0, 1024, 65535}, 9, 40000},
        {{500, 1, 1024, 65535}, 3, 503}, /* not in the range, so that is wrong */
        {{40000, 32767, 1024, 65535}, 2048, 54336},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(forecast_at(&rows[i].forecast, rows[i].j), rows[i].port);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_walk_visits_each_port_once),
        cmocka_unit_test(test_sets_are_counted),
        cmocka_unit_test(test_walks_differ),
        cmocka_unit_test(test_ports_to_come_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
