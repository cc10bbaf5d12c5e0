/* SPDX-License-Identifier: MIT
 * How fast a session starts, in virtual time: two "home" NATs, 20 ms links, so 40 ms to the home
 * server and back, 80 ms between the peers and back. 100 seeds for each loss rate. Times in
 * milliseconds:
 *
 *   first byte   from the start of the session (the connection to the home server stands) to the
 *                first byte of the other side's stream, measured on each side from its own start.
 *                Goal: 2 round trips to the home server, 80 ms
 *   direct       from the moment both sides know each other's candidates to the last of the two
 *                using the direct path. Goal: 1.5 round trips between the peers + 100 ms, 220 ms */
#include "sim/duo.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 100, MEASURES = 3, PATIENCE_S = 60 };

static const char *const names[MEASURES] = {"first byte, connecting side",
                                            "first byte, listening side", "direct, both sides"};
static const double goals[MEASURES] = {80, 80, 220};

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ms_between(struct bk_time from, struct bk_time to) {
    return bk_is_never(to) ? PATIENCE_S * 1000.0 : (double)bk_elapsed_us(from, to) / 1000;
}

static void run(uint64_t seed, uint32_t loss_ppm, double out[MEASURES]) {
    static const struct bk_alloc alloc = {get, put, NULL};
    struct duo_config config = duo_config_default;
    struct duo *d = calloc(1, sizeof *d);
    config.seed = seed;
    config.link.loss_ppm = loss_ppm;
    config.bytes = 1000;
    if (d == NULL || duo_init(d, &config, &alloc) != BK_OK)
        abort();
    (void)duo_run_until_direct(d, PATIENCE_S * BK_US_PER_S);
    struct bk_time direct = bk_later(d->a.direct, d->b.direct);
    (void)duo_run_until_done(d, PATIENCE_S * BK_US_PER_S);
    out[0] = ms_between(d->a.started, d->a.first_byte);
    out[1] = ms_between(d->b.started, d->b.first_byte);
    out[2] = ms_between(d->a.exchanged, direct);
    duo_fini(d);
    free(d);
}

int main(void) {
    static const uint32_t losses[] = {0, 10000, 50000};
    static double values[MEASURES][RUNS];
    printf("session start, %d runs each, 20 ms links (40 ms one way between the peers), ms\n",
           RUNS);
    printf("%-6s %-30s %8s %8s %8s %8s\n", "loss", "", "p50", "p95", "worst", "goal");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        for (uint64_t seed = 0; seed < RUNS; seed++) {
            double out[MEASURES];
            run(seed + 1, losses[i], out);
            for (int m = 0; m < MEASURES; m++)
                values[m][seed] = out[m];
        }
        for (int m = 0; m < MEASURES; m++) {
            qsort(values[m], RUNS, sizeof(double), compare);
            printf("%4.0f %% %-30s %8.1f %8.1f %8.1f %8.0f\n", losses[i] / 1e4, names[m],
                   values[m][RUNS / 2], values[m][RUNS * 95 / 100], values[m][RUNS - 1], goals[m]);
        }
    }
    return 0;
}
