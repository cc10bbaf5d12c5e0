/* SPDX-License-Identifier: MIT
 * Networks without UDP, on virtual time: waiting for it must not keep the first byte waiting. */
#include "../unit/test.h"

#include "sim/duo.h"

#include <stdio.h>

static const struct {
    const char *nat_a, *nat_b;
} networks[] = {
    {"udp-blocked", "home"},
    {"home", "udp-blocked"},
    {"udp-blocked", "udp-blocked"},
    {"udp-blocked", "symmetric"},
};

/* 20 ms links: 40 ms to the home server and back, on each side. */
static void the_first_byte_takes_two_round_trips_to_the_relay(void **state) {
    int64_t worst_a = 0, worst_b = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct duo_config config = duo_config_default;
        struct duo *d = calloc(1, sizeof *d);
        config.seed = seed;
        config.nat_a = networks[seed % 4].nat_a;
        config.nat_b = networks[seed % 4].nat_b;
        config.bytes = 20000;
        config.bytes_back = 20000;
        assert_non_null(d);
        assert_int_equal(duo_init(d, &config, &test_alloc), BK_OK);
        assert_true(duo_run_until_done(d, 20 * BK_US_PER_S));
        int64_t a = bk_elapsed_us(d->a.started, d->a.first_byte);
        int64_t b = bk_elapsed_us(d->a.started, d->b.first_byte);
        if (a > 2 * 40000 + 1000)
            fail_msg("seed %d: %s with %s: the first byte took %d us", (int)seed, config.nat_a,
                     config.nat_b, (int)a);
        worst_a = a > worst_a ? a : worst_a;
        worst_b = b > worst_b ? b : worst_b;
        duo_fini(d);
        free(d);
    }
    print_message("first byte after at most %d us at the one who called, %d us at the other\n",
                  (int)worst_a, (int)worst_b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_byte_takes_two_round_trips_to_the_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
