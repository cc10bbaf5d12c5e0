/* SPDX-License-Identifier: MIT
 * The punch's methods through two NAT models: all pairs of the 27 types, and the oracle's special
 * cells, against what the oracle says. Loss in per cent and seeds per pair may be given:
 *
 *     bench-punch [LOSS [SEEDS [FIRST-TYPE SECOND-TYPE]]] */
#include "sim/oracle_prove.h"
#include "sim/punch_duel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}
static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}
static const struct bk_alloc memory = {get, put, NULL};

enum { PAIRS = 378, SPECIALS = 64, SAMPLES_MAX = 65536 };

struct cell {
    struct oracle_cell cell;
    struct bk_oracle_verdict verdict;
    uint32_t runs, met, wrong; /* wrong: neither met nor given up */
    uint64_t packets[2], refused;
    uint32_t packets_max[2], sockets_max;
    int64_t *us;
};

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static long ms(int64_t *us, uint32_t count, uint32_t per_mille) {
    if (count == 0)
        return -1;
    qsort(us, count, sizeof *us, by_value);
    return (long)(us[(uint64_t)(count - 1) * per_mille / 1000] / 1000);
}

static void run(struct cell *c, uint32_t loss_percent, uint32_t seeds, bool unknown) {
    struct punch_duel duel = punch_duel_default;
    const struct oracle_side_play turned[2] = {c->cell.sides[1], c->cell.sides[0]};
    duel.config = punch_config_default;
    duel.loss = loss_percent * 10000;
    duel.unknown = unknown;
    c->us = calloc(seeds, sizeof *c->us);
    if (bk_oracle(&c->cell.sides[0].traits, &c->cell.sides[1].traits, NULL, &c->verdict) != BK_OK ||
        c->us == NULL)
        exit(1);
    for (uint32_t i = 0; i < seeds; i++) {
        struct punch_duel_result r;
        duel.sides = i / 2 % 2 == 0 ? c->cell.sides : turned; /* either may lead */
        duel.late = (int)(i % 2);
        duel.skew_us = (int64_t)(i % 8) * 10000;
        if (punch_duel_run(&duel, 1000 + i, &memory, &r) != BK_OK) {
            printf("%s: no such box\n", c->cell.name);
            exit(1);
        }
        c->runs++;
        if (r.met)
            c->us[c->met++] = r.us;
        c->wrong += !r.met && !r.over ? 1 : 0;
        c->refused += r.refused;
        for (int s = 0; s < 2; s++) {
            int from = duel.sides == turned ? 1 - s : s;
            uint32_t all = r.packets[from] + r.checks[from];
            c->packets[s] += all;
            c->packets_max[s] = all > c->packets_max[s] ? all : c->packets_max[s];
            c->sockets_max = r.sockets_max[s] > c->sockets_max ? r.sockets_max[s] : c->sockets_max;
        }
    }
}

/* Beyond what the oracle's cells have. */
static bool extra(size_t index, struct oracle_cell *out) {
    static const struct {
        const char *name;
        enum nat_port_choice ports;
        enum nat_port_space space;
        uint32_t rate;
        bool delicate;
    } rows[] = {
        {"cone x ports by the clock, 100/s", NAT_PORT_TIME, NAT_SPACE_RANGE, 100, false},
        {"cone x ports by the clock, 2000/s", NAT_PORT_TIME, NAT_SPACE_RANGE, 2000, false},
        {"cone x MAP-E, 240 ports", NAT_PORT_RANDOM, NAT_SPACE_PSID, 0, false},
        {"cone x a block of 1024, unknown which", NAT_PORT_RANDOM, NAT_SPACE_BLOCKS, 0, false},
        {"delicate cone x a block of 1024", NAT_PORT_RANDOM, NAT_SPACE_BLOCKS, 0, true},
    };
    if (index >= sizeof rows / sizeof *rows)
        return false;
    struct nat_config box[2] = {nat_config_default, nat_config_default};
    *out = (struct oracle_cell){.budget = bk_oracle_budget_default};
    memcpy(out->name, rows[index].name, strlen(rows[index].name));
    box[0].inbound_first = rows[index].delicate;
    box[0].overload = rows[index].delicate ? NAT_OVERLOAD_REMOTE : NAT_OVERLOAD_OFF;
    box[1].mapping = box[1].filtering = NAT_APD;
    box[1].ports = rows[index].ports;
    if (rows[index].rate != 0)
        box[1].port_rate = rows[index].rate;
    box[1].port_space = rows[index].space;
    box[1].block_size = 1024;
    box[1].overload = NAT_OVERLOAD_OFF;
    if (rows[index].space == NAT_SPACE_PSID) {
        box[1].psid_offset = 4;
        box[1].psid_len = 8;
        box[1].psid = 77;
    }
    out->sides[0] = oracle_side_of(&box[0], 1);
    out->sides[1] = oracle_side_of(&box[1], 2);
    return true;
}

static void print(const struct cell *c) {
    printf("%-44s %-14s %6.4f %6.4f %4u/%-4u %6ld %6ld %6ld  %6.1f %6.1f %5u %5u %4u%s\n",
           c->cell.name, bk_oracle_method_name(c->verdict.method), c->verdict.p_low,
           (double)c->met / c->runs, c->met, c->runs, ms(c->us, c->met, 500),
           ms(c->us, c->met, 980), ms(c->us, c->met, 1000), (double)c->packets[0] / c->runs,
           (double)c->packets[1] / c->runs, c->packets_max[0], c->packets_max[1], c->sockets_max,
           c->wrong + c->refused > 0 ? " !" : "");
    if (c->wrong > 0 || c->refused > 0)
        printf("    neither met nor over: %u, refused notes: %u\n", c->wrong, (unsigned)c->refused);
}

int main(int argc, char **argv) {
    uint32_t loss = argc > 1 ? (uint32_t)strtol(argv[1], NULL, 10) : 0;
    uint32_t seeds = argc > 2 ? (uint32_t)strtol(argv[2], NULL, 10) : 10;
    bool unknown = getenv("PUNCH_UNKNOWN") != NULL;
    int only_a = argc > 3 ? (int)strtol(argv[3], NULL, 10) : -1,
        only_b = argc > 4 ? (int)strtol(argv[4], NULL, 10) : -1;
    static struct cell by_method[BK_ORACLE_METHODS];
    static int64_t samples[BK_ORACLE_METHODS][SAMPLES_MAX];
    static uint32_t pairs[BK_ORACLE_METHODS], low[BK_ORACLE_METHODS];
    bool beyond = only_a < 0 || only_a >= NAT_TYPES27; /* 27: nothing else */
    printf("%-44s %-14s %6s %6s %9s %6s %6s %6s  %6s %6s %5s %5s %4s\n", "pair", "oracle", "P",
           "direct", "", "p50", "p98", "max ms", "pkt A", "pkt B", "max", "max", "sock");
    for (size_t a = 0; a < NAT_TYPES27; a++) {
        for (size_t b = a; b < NAT_TYPES27; b++) {
            if ((only_a >= 0 && only_a != (int)a) || (only_b >= 0 && only_b != (int)b))
                continue;
            struct cell c = {.cell = oracle_cell_type27(a, b)};
            run(&c, loss, seeds, unknown);
            print(&c);
            struct cell *m = &by_method[c.verdict.method];
            pairs[c.verdict.method]++;
            low[c.verdict.method] +=
                (double)c.met / c.runs < (c.verdict.p_low < 0.98 ? c.verdict.p_low : 0.98) ? 1 : 0;
            for (uint32_t i = 0; i < c.met && m->met < SAMPLES_MAX; i++)
                samples[c.verdict.method][m->met++] = c.us[i];
            m->runs += c.runs;
            for (int s = 0; s < 2; s++) {
                m->packets[s] += c.packets[s];
                m->packets_max[s] =
                    c.packets_max[s] > m->packets_max[s] ? c.packets_max[s] : m->packets_max[s];
            }
            free(c.us);
        }
    }
    for (size_t i = 0; beyond && i < SPECIALS; i++) {
        struct cell c = {.wrong = 0};
        if (!oracle_cell_special(i, &c.cell))
            break;
        run(&c, loss, seeds, unknown);
        print(&c);
        free(c.us);
    }
    for (size_t i = 0; beyond; i++) {
        struct cell c = {.wrong = 0};
        if (!extra(i, &c.cell))
            break;
        run(&c, loss, seeds, unknown);
        print(&c);
        free(c.us);
    }
    printf("\n%-15s %5s %7s %8s %5s %6s %6s %6s %6s  %7s %7s %5s %5s\n", "oracle says", "pairs",
           "runs", "direct", "below", "p50", "p95", "p99", "max ms", "pkt A", "pkt B", "max",
           "max");
    for (int m = 0; m < BK_ORACLE_METHODS; m++) {
        struct cell *c = &by_method[m];
        if (c->runs == 0)
            continue;
        printf("%-15s %5u %7u %7.3f%% %5u %6ld %6ld %6ld %6ld  %7.1f %7.1f %5u %5u\n",
               bk_oracle_method_name((enum bk_oracle_method)m), pairs[m], c->runs,
               100.0 * c->met / c->runs, low[m], ms(samples[m], c->met, 500),
               ms(samples[m], c->met, 950), ms(samples[m], c->met, 990),
               ms(samples[m], c->met, 1000), (double)c->packets[0] / c->runs,
               (double)c->packets[1] / c->runs, c->packets_max[0], c->packets_max[1]);
    }
    return 0;
}
