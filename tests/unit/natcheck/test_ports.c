/* SPDX-License-Identifier: MIT
 * Which rule gave these ports: every rule is recognised under random local ports, foreign mappings
 * and retransmissions, and a random allocation is never taken for a rule. */
#include "../test.h"

#include "base/rng.h"
#include "natcheck/verdict.h"

enum { SAMPLES = 9, RUNS = 4000, LOST_PPM = 50000 };

/* When the samples are taken: as in ports.c. */
static const int64_t times_ms[SAMPLES] = {0, 40, 40, 40, 150, 300, 300, 300, 340};

struct box {
    const char *name;
    int32_t step;      /* counting: not 0 */
    double per_s;      /* clock: not 0 */
    double foreign;    /* counting: others' mappings a second */
    uint16_t min, max; /* random */
    bool preserves, parity;
};

static uint16_t wrap(int64_t port) {
    return (uint16_t)(1024 + ((port - 1024) % 64512 + 64512) % 64512);
}

static uint16_t external(const struct box *b, const struct bk_rng *rng, uint16_t local, int i,
                         int64_t base) {
    double t = (double)times_ms[i] / 1e3;
    if (b->preserves)
        return local;
    if (b->step != 0)
        return wrap(base + b->step * (i + (int64_t)(b->foreign * t)));
    if (b->per_s > 0) /* of three at once the later ones make way */
        return wrap(base + (int64_t)(b->per_s * t) + (i > 0 && times_ms[i] == times_ms[i - 1]) +
                    (i > 1 && times_ms[i] == times_ms[i - 2]));
    uint16_t port = (uint16_t)(b->min + rng_below(rng, (uint32_t)(b->max - b->min) + 1));
    return b->parity ? (uint16_t)((port & ~1) | (local & 1)) : port;
}

static struct port_verdict ask(const struct box *b, const struct bk_rng *rng, uint32_t lost_ppm) {
    struct port_sample s[SAMPLES];
    /* a clock that turns round while one looks is told as random; that is not tested */
    int64_t base = 1024 + rng_below(rng, b->per_s > 0 ? 50000 : 64512);
    for (int i = 0; i < SAMPLES; i++) {
        bool lost = rng_below(rng, 1000000) < lost_ppm;
        uint16_t local = (uint16_t)(32768 + rng_below(rng, 28000));
        s[i] = (struct port_sample){.local = local,
                                    .external = external(b, rng, local, i, base),
                                    .exact = !lost,
                                    .order = (uint32_t)i,
                                    .t_us = times_ms[i] * 1000,
                                    .last_us = (times_ms[i] + (lost ? 110 : 0)) * 1000};
    }
    return ports_judge(s, SAMPLES);
}

static unsigned count(const struct box *b, enum bk_nat_ports ports, uint32_t lost_ppm) {
    struct rng_seeded seed;
    unsigned right = 0;
    rng_seed(&seed, 11);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (int i = 0; i < RUNS; i++) {
        struct port_verdict v = ask(b, &rng, lost_ppm);
        bool good = v.ports == ports;
        if (ports == BK_NAT_PORTS_SEQUENTIAL)
            good = good && v.step == b->step;
        right += good ? 1 : 0;
    }
    return right;
}

static void test_counting_boxes(void **state) {
    (void)state;
    static const struct box boxes[] = {
        {.step = 1},
        {.step = -1},
        {.step = 2},
        {.step = -7},
        {.step = 1024},
        {.step = 1, .foreign = 20},
        {.step = 2, .foreign = 11},
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        assert_int_equal(count(&boxes[i], BK_NAT_PORTS_SEQUENTIAL, 0), RUNS);
        /* at 5 % loss of samples one run in a thousand keeps too few neighbours */
        assert_true(count(&boxes[i], BK_NAT_PORTS_SEQUENTIAL, LOST_PPM) > RUNS - RUNS / 100);
    }
}

static void test_foreign_rate(void **state) {
    (void)state;
    struct rng_seeded seed;
    rng_seed(&seed, 3);
    struct bk_rng rng = rng_from_seeded(&seed);
    const struct box quiet = {.step = 1}, busy = {.step = 1, .foreign = 50};
    for (int i = 0; i < 100; i++) {
        assert_true(ask(&quiet, &rng, 0).foreign_per_s < 0.01);
        double rate = ask(&busy, &rng, 0).foreign_per_s;
        assert_true(rate > 40 && rate < 60);
    }
}

static void test_the_clock(void **state) {
    (void)state;
    static const double rates[] = {100, 400, 3000, 20000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const struct box b = {.per_s = rates[i]};
        assert_int_equal(count(&b, BK_NAT_PORTS_TIME, 0), RUNS);
    }
}

static void test_preserving(void **state) {
    (void)state;
    const struct box b = {.preserves = true};
    assert_int_equal(count(&b, BK_NAT_PORTS_PRESERVE, 0), RUNS);
    assert_int_equal(count(&b, BK_NAT_PORTS_PRESERVE, LOST_PPM), RUNS);
}

/* One socket's port was taken by another host: still a preserving box. */
static void test_preserving_with_a_clash(void **state) {
    (void)state;
    struct port_sample s[8];
    for (int i = 0; i < 8; i++)
        s[i] = (struct port_sample){.local = (uint16_t)(40000 + 13 * i),
                                    .external = (uint16_t)(i == 3 ? 14909 : 40000 + 13 * i),
                                    .exact = true,
                                    .order = (uint32_t)i};
    assert_int_equal(ports_judge(s, 8).ports, BK_NAT_PORTS_PRESERVE);
}

static void test_random_is_never_a_rule(void **state) {
    (void)state;
    static const struct box boxes[] = {
        {.min = 1024, .max = 65535},  {.min = 32768, .max = 60999}, {.min = 20480, .max = 21503},
        {.min = 20000, .max = 20063}, {.min = 5000, .max = 5511},
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++)
        assert_int_equal(count(&boxes[i], BK_NAT_PORTS_RANDOM, 0), RUNS);
}

static void test_block_bounds(void **state) {
    (void)state;
    static const struct box boxes[] = {
        {.min = 20480, .max = 21503}, {.min = 1024, .max = 1535},   {.min = 20000, .max = 20063},
        {.min = 30000, .max = 30999}, {.min = 40960, .max = 45055},
    };
    struct rng_seeded seed;
    rng_seed(&seed, 7);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        uint32_t width = (uint32_t)(boxes[i].max - boxes[i].min) + 1;
        unsigned near = 0;
        for (int run = 0; run < 1000; run++) {
            struct port_verdict v = ask(&boxes[i], &rng, 0);
            assert_true(v.port_min > 0 && v.port_max > v.port_min);
            near += v.port_count * 2 >= width && v.port_count <= width * 2 ? 1 : 0;
        }
        assert_true(near > 950);
    }
}

static void test_full_range_has_no_bounds(void **state) {
    (void)state;
    const struct box b = {.min = 1024, .max = 65535};
    struct rng_seeded seed;
    rng_seed(&seed, 9);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (int run = 0; run < RUNS; run++)
        assert_int_equal(ask(&b, &rng, 0).port_count, 0);
}

/* 15 runs of 16 ports: MAP-E with a 4, k 8, m 4. RFC 7597 section 5.1. */
static void test_scattered_set(void **state) {
    (void)state;
    struct rng_seeded seed;
    rng_seed(&seed, 13);
    struct bk_rng rng = rng_from_seeded(&seed);
    unsigned exact = 0;
    for (int run = 0; run < 1000; run++) {
        struct port_sample s[8];
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t port = (1 + rng_below(&rng, 15)) << 12 | 0x5a << 4 | rng_below(&rng, 16);
            s[i] = (struct port_sample){.local = (uint16_t)(50000 + i),
                                        .external = (uint16_t)port,
                                        .exact = true,
                                        .order = i};
        }
        struct port_verdict v = ports_judge(s, 8);
        assert_int_equal(v.ports, BK_NAT_PORTS_RANDOM);
        assert_true(v.port_count > 0 && v.port_count <= 240);
        exact += v.port_count == 240 ? 1 : 0;
    }
    assert_true(exact > 900);
}

static void test_parity(void **state) {
    (void)state;
    const struct box with = {.min = 1024, .max = 65535, .parity = true};
    const struct box without = {.min = 1024, .max = 65535};
    struct rng_seeded seed;
    rng_seed(&seed, 17);
    struct bk_rng rng = rng_from_seeded(&seed);
    unsigned wrong = 0;
    for (int run = 0; run < RUNS; run++) {
        assert_int_equal(ask(&with, &rng, 0).parity, BK_YES);
        wrong += ask(&without, &rng, 0).parity == BK_YES ? 1 : 0;
    }
    assert_true(wrong < RUNS / 100); /* 2^-9 of them */
}

static void test_too_few(void **state) {
    (void)state;
    const struct port_sample s[3] = {{.local = 1, .external = 1}, {.local = 2, .external = 2}};
    for (size_t n = 0; n <= 3; n++)
        assert_int_equal(ports_judge(s, n).ports, BK_NAT_PORTS_UNKNOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counting_boxes),
        cmocka_unit_test(test_foreign_rate),
        cmocka_unit_test(test_the_clock),
        cmocka_unit_test(test_preserving),
        cmocka_unit_test(test_preserving_with_a_clash),
        cmocka_unit_test(test_random_is_never_a_rule),
        cmocka_unit_test(test_block_bounds),
        cmocka_unit_test(test_full_range_has_no_bounds),
        cmocka_unit_test(test_scattered_set),
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
