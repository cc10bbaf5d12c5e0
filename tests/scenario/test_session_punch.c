/* SPDX-License-Identifier: MIT
 * Whole sessions between hard NATs: relay, signalling, ICE, QUIC and the methods of src/punch
 * together, over the NAT model. What each pair allows is docs/oracle.md's affair; here it is done.
 * PUNCH_PRINT=1 prints a line for each run. */
#include "../unit/test.h"

#include "sim/duo.h"

#include <stdio.h>

struct cell {
    const char *a, *b; /* types of nat_type27() */
    int64_t within_ms; /* of the moment both knew each other's candidates */
};

static char alice[] = "alice", bob[] = "bob";

static void trace(void *ctx, const char *line) {
    printf("  %s: %s\n", (char *)ctx, line);
}

static bool run(const struct cell *cell, uint64_t seed, uint32_t loss_ppm, int64_t *took_us) {
    struct duo_config config = duo_config_default;
    struct nat_config box[2];
    struct duo d;
    assert_int_equal(nat_preset(cell->a, &box[0]), BK_OK);
    assert_int_equal(nat_preset(cell->b, &box[1]), BK_OK);
    config.seed = seed;
    config.box_a = &box[0];
    config.box_b = &box[1];
    config.surveyed = true;
    config.link.loss_ppm = loss_ppm;
    if (getenv("PUNCH_TRACE") != NULL) {
        config.trace[0] = (struct bk_trace){.line = trace, .ctx = alice};
        config.trace[1] = (struct bk_trace){.line = trace, .ctx = bob};
    }
    assert_int_equal(duo_init(&d, &config, &test_alloc), BK_OK);
    bool direct = duo_run_until_direct(&d, 20 * BK_US_PER_S);
    *took_us = direct ? bk_elapsed_us(bk_later(d.a.exchanged, d.b.exchanged),
                                      bk_later(d.a.direct, d.b.direct))
                      : -1;
    if (getenv("PUNCH_PRINT") != NULL)
        printf("%-12s %-12s seed %u: %s after %lld ms, %llu+%llu bytes\n", cell->a, cell->b,
               (unsigned)seed, direct ? "direct" : "relayed", (long long)*took_us / 1000,
               (unsigned long long)d.a.peer.direct_bytes,
               (unsigned long long)d.b.peer.direct_bytes);
    duo_fini(&d);
    return direct;
}

static void hard_pairs_meet(void **state) {
    static const struct cell cells[] = {
        {"EI-PP-APD", "EI-PP-APD", 1000}, /* punching */
        {"APD-PP-APD", "APD-PP-APD", 3000},
        {"EI-PP-APD", "APD-PP-APD", 2000}, /* prediction: the port is kept */
        {"EI-PP-APD", "APD-PC-APD", 3000}, /* prediction: the port counts */
        {"APD-PC-APD", "APD-PC-APD", 3000},
        {"APD-PP-APD", "APD-PC-APD", 3000},
        {"EI-PP-APD", "APD-RD-APD", 12000}, /* birthday */
        {"APD-RD-APD", "EI-RD-APD", 12000},
        {"AD-RD-AD", "APD-RD-APD", 12000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        for (uint64_t seed = 1; seed <= 2; seed++) {
            int64_t took_us;
            bool met = run(&cells[i], seed, 0, &took_us);
            if (!met || took_us > cells[i].within_ms * 1000)
                fail_msg("%s, %s, seed %d: %s, %d ms", cells[i].a, cells[i].b, (int)seed,
                         met ? "met" : "did not meet", (int)(took_us / 1000));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(hard_pairs_meet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
