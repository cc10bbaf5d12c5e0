/* SPDX-License-Identifier: MIT
 * bodkin sim matrix: whole sessions between all pairs of NAT types, beside what the oracle says is
 * possible. The work is divided by pair; a pair's runs depend on nothing but its number. */
#define _GNU_SOURCE
#include "cli/command.h"
#include "cli/options.h"
#include "cli/sim.h"
#include "cli/sim_types.h"
#include "net/alloc.h"
#include "sim/meeting.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Example:\n"
    "  bodkin sim matrix\n"
    "  bodkin sim matrix --types EI-PP-APD,APD-RD-APD --seeds 100 --json\n"
    "\n"
    "Whole sessions (relay, ICE, the methods for hard NATs, QUIC) between all pairs of\n"
    "NAT types in virtual time, 40 ms from home to home, beside what the oracle says\n"
    "is possible (bodkin sim oracle). Each side knows what its own NAT does.\n"
    "Default types: the 27 of NATCracker, MAPPING-PORTS-FILTERING.\n"
    "      --types A,B,...    presets or types instead of these; at most 64\n"
    "      --seeds N          runs of each cell (10)\n"
    "      --skews A,B,...    ms that A starts later: signalling to it is held back (0)\n"
    "      --loss A,B,...     of each link, in per cent (0)\n"
    "      --workers N        threads (one per core)\n"
    "      --json             one JSON object per pair and line, then the sums\n"
    "      --plain-ice        only what plain ICE does; bodkin sim matrix --plain-ice --help\n"
    "\n"
    "Exit status 1: a pair that must meet (P = 1) did not in some run.\n";

enum { WORKERS_MAX = 64 };

/* One unordered pair. */
struct cell {
    size_t a, b;
    struct bk_oracle_verdict verdict;
    uint32_t runs, direct, wrong; /* wrong: relayed, and still not over */
    uint32_t by[BK_ORACLE_METHODS];
    int64_t *us;      /* of the direct ones */
    uint64_t *probes; /* of the side that sent more, of all runs */
    int64_t first_byte_max_us;
};

struct matrix {
    struct sim_types list;
    int64_t skews[SIM_VALUES_MAX], losses[SIM_VALUES_MAX]; /* us; ppm */
    size_t skew_count, loss_count;
    uint32_t seeds, workers;
    bool json;
    struct cell *cells;
    size_t cell_count;
    atomic_size_t next;
    atomic_bool failed; /* no memory */
};

static size_t runs_of(const struct matrix *m) {
    return m->skew_count * m->loss_count * m->seeds;
}

/* --- work --- */

static void ask_oracle(const struct matrix *m, struct cell *c) {
    struct bk_nat_traits a, b;
    nat_traits_of(&m->list.types[c->a].config, &a);
    nat_traits_of(&m->list.types[c->b].config, &b);
    a.port_mapping = b.port_mapping = BK_NO; /* the boxes here have no such service, ... */
    a.ipv6 = b.ipv6 = BK_NO;
    a.external = bk_ipv4(203, 0, 113, 1);
    b.external = bk_ipv4(203, 0, 113, 2);
    if (bk_oracle(&a, &b, NULL, &c->verdict) != BK_OK)
        c->verdict = (struct bk_oracle_verdict){.method = BK_ORACLE_RELAY, .why = ""};
}

static void add_run(struct cell *c, const struct meeting_outcome *o) {
    c->probes[c->runs++] = o->probes[0] > o->probes[1] ? o->probes[0] : o->probes[1];
    if (o->first_byte_us > c->first_byte_max_us)
        c->first_byte_max_us = o->first_byte_us;
    if (!o->direct) {
        c->wrong += !o->over;
        return;
    }
    c->by[o->method]++;
    c->us[c->direct++] = o->direct_us;
}

static bool run_cell(const struct matrix *m, struct cell *c) {
    struct meeting_config config = meeting_config_default;
    struct meeting_outcome outcome;
    config.nat[0] = m->list.types[c->a].config;
    config.nat[1] = m->list.types[c->b].config;
    c->us = calloc(runs_of(m), sizeof *c->us);
    c->probes = calloc(runs_of(m), sizeof *c->probes);
    if (c->us == NULL || c->probes == NULL)
        return false;
    for (size_t i = 0; i < runs_of(m); i++) {
        size_t skew = i / m->seeds % m->skew_count, loss = i / m->seeds / m->skew_count;
        config.seed = (i + 1) * UINT64_C(1000003) + c->a * SIM_TYPES_MAX + c->b;
        config.skew_us = m->skews[skew];
        config.loss_ppm = (uint32_t)m->losses[loss];
        if (meeting_run(&config, net_alloc(), &outcome) != BK_OK)
            return false;
        add_run(c, &outcome);
    }
    return true;
}

static void *work(void *ctx) {
    struct matrix *m = ctx;
    size_t i;
    while (!atomic_load(&m->failed) && (i = atomic_fetch_add(&m->next, 1)) < m->cell_count) {
        if (!run_cell(m, &m->cells[i]))
            atomic_store(&m->failed, true);
        if (isatty(STDERR_FILENO) == 1)
            fprintf(stderr, "\r%zu of %zu pairs\033[K", i + 1, m->cell_count);
    }
    return NULL;
}

static bool run_all(struct matrix *m) {
    pthread_t threads[WORKERS_MAX];
    uint32_t started = 0;
    while (started < m->workers && pthread_create(&threads[started], NULL, work, m) == 0)
        started++;
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (isatty(STDERR_FILENO) == 1)
        fputs("\r\033[K", stderr);
    return started > 0 && !atomic_load(&m->failed);
}

/* --- output --- */

static int by_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int by_count(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int64_t at_share(uint32_t count, uint32_t percent) {
    return count == 0 ? -1 : (int64_t)(((uint64_t)count - 1) * percent / 100);
}

static int64_t us_at(const struct cell *c, uint32_t percent) {
    return c->direct == 0 ? 0 : c->us[at_share(c->direct, percent)];
}

/* Two in a thousand beyond chance is what a few seeds cannot tell; so three standard deviations. */
static bool is_below(const struct cell *c) {
    double p = c->verdict.p_low, n = c->runs, lacking = p * n - c->direct;
    return lacking > 0 && lacking * lacking > 9 * n * p * (1 - p) + 1e-9;
}

static bool is_certain(const struct cell *c) {
    return c->verdict.p_low > 0.9999;
}

static enum bk_oracle_method most_used(const struct cell *c) {
    int best = BK_ORACLE_RELAY;
    for (int i = 0; i < BK_ORACLE_METHODS; i++)
        if (c->by[i] > 0 && (best == BK_ORACLE_RELAY || c->by[i] > c->by[best]))
            best = i;
    return (enum bk_oracle_method)best;
}

static void print_cell(const struct matrix *m, const struct cell *c) {
    const char *a = m->list.types[c->a].name, *b = m->list.types[c->b].name;
    uint64_t packets = c->probes[at_share(c->runs, 95)];
    if (m->json) {
        printf("{\"a\":\"%s\",\"b\":\"%s\",\"oracle\":\"%s\",\"p\":%.4f,\"runs\":%u,\"direct\":%u,"
               "\"unfinished\":%u,\"method\":\"%s\",\"p50_ms\":%" PRId64 ",\"p95_ms\":%" PRId64
               ",\"p99_ms\":%" PRId64 ",\"probes_p95\":%" PRIu64 ",\"first_byte_ms\":%" PRId64
               "}\n",
               a, b, bk_oracle_method_name(c->verdict.method), c->verdict.p_low, c->runs, c->direct,
               c->wrong, bk_oracle_method_name(most_used(c)), us_at(c, 50) / 1000,
               us_at(c, 95) / 1000, us_at(c, 99) / 1000, packets, c->first_byte_max_us / 1000);
        return;
    }
    printf("%-11s %-11s %-14s %.4f %5u/%-5u %-14s %5" PRId64 " %6" PRId64 " %6" PRId64 " %6" PRIu64
           "%s\n",
           a, b, bk_oracle_method_name(c->verdict.method), c->verdict.p_low, c->direct, c->runs,
           bk_oracle_method_name(most_used(c)), us_at(c, 50) / 1000, us_at(c, 95) / 1000,
           us_at(c, 99) / 1000, packets, is_below(c) ? "  below" : "");
}

struct sum {
    size_t certain, certain_missed, good, below, wrong;
    uint64_t runs, direct;
    int64_t first_byte_us;
};

static struct sum sum_of(const struct matrix *m) {
    struct sum s = {0};
    for (size_t i = 0; i < m->cell_count; i++) {
        const struct cell *c = &m->cells[i];
        s.runs += c->runs;
        s.direct += c->direct;
        s.certain += is_certain(c);
        s.certain_missed += is_certain(c) && c->direct < c->runs;
        s.good += (double)c->direct >= 0.98 * c->runs;
        s.below += is_below(c);
        s.wrong += c->wrong;
        if (c->first_byte_max_us > s.first_byte_us)
            s.first_byte_us = c->first_byte_max_us;
    }
    return s;
}

static int print_all(struct matrix *m) {
    if (!m->json)
        puts("A           B           oracle         P      direct      found by          p50    "
             "p95    p99 probes\n"
             "                                                                              ms     "
             "ms     ms    p95");
    for (size_t i = 0; i < m->cell_count; i++) {
        qsort(m->cells[i].us, m->cells[i].direct, sizeof *m->cells[i].us, by_us);
        qsort(m->cells[i].probes, m->cells[i].runs, sizeof *m->cells[i].probes, by_count);
        print_cell(m, &m->cells[i]);
    }
    struct sum s = sum_of(m);
    if (m->json)
        printf("{\"pairs\":%zu,\"runs\":%" PRIu64 ",\"direct\":%" PRIu64
               ",\"certain\":%zu,\"certain_missed\":%zu,\"at_98\":%zu,\"below\":%zu,"
               "\"unfinished\":%zu,\"first_byte_ms\":%" PRId64 "}\n",
               m->cell_count, s.runs, s.direct, s.certain, s.certain_missed, s.good, s.below,
               s.wrong, s.first_byte_us / 1000);
    else
        printf("\n%zu pairs, %" PRIu64 " of %" PRIu64 " runs direct; %zu pairs in 98 %% of runs or "
               "more;\n%zu must always meet, %zu of them missed a run; %zu below what the oracle "
               "says;\nfirst byte after %" PRId64 " ms at most\n",
               m->cell_count, s.direct, s.runs, s.good, s.certain, s.certain_missed, s.below,
               s.first_byte_us / 1000);
    return s.certain_missed > 0 ? EXIT_OTHER : EXIT_FINE;
}

/* --- options --- */

static void lay_out(struct matrix *m) {
    size_t n = m->list.count;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a; b < n; b++) {
            struct cell *c = &m->cells[m->cell_count++];
            c->a = a;
            c->b = b;
            ask_oracle(m, c);
        }
}

static int run_matrix(struct matrix *m) {
    size_t n = m->list.count;
    int status = EXIT_OTHER;
    m->cells = calloc(n * (n + 1) / 2, sizeof *m->cells);
    if (m->cells == NULL) {
        fputs("bodkin sim: not enough memory\n", stderr);
        return EXIT_OTHER;
    }
    lay_out(m);
    if (run_all(m))
        status = print_all(m);
    else
        fputs("bodkin sim: not enough memory\n", stderr);
    for (size_t i = 0; i < m->cell_count; i++) {
        free(m->cells[i].us);
        free(m->cells[i].probes);
    }
    free(m->cells);
    return status;
}

static int sim_sessions(int argc, char **argv) {
    static struct matrix m; /* large */
    const char *types = NULL, *skews = "0", *losses = "0";
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    m.seeds = 10;
    m.workers = cores > 0 ? (uint32_t)cores : 1;
    const struct option_row rows[] = {{"types", '\0', OPTION_TEXT, &types},
                                      {"seeds", '\0', OPTION_NUMBER, &m.seeds},
                                      {"skews", '\0', OPTION_TEXT, &skews},
                                      {"loss", '\0', OPTION_TEXT, &losses},
                                      {"workers", '\0', OPTION_NUMBER, &m.workers},
                                      {"json", '\0', OPTION_FLAG, &m.json},
                                      {NULL, '\0', OPTION_FLAG, NULL}};
    struct option_words words = {.max = 0};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    m.seeds = m.seeds == 0 ? 1 : m.seeds;
    m.workers = m.workers == 0 ? 1 : m.workers > WORKERS_MAX ? WORKERS_MAX : m.workers;
    char *list = types == NULL ? NULL : strdup(types);
    int status = sim_types_read(&m.list, list);
    if (status == EXIT_FINE)
        status =
            sim_values_read("skews", skews, BK_US_PER_MS, 60 * BK_US_PER_S, m.skews, &m.skew_count);
    if (status == EXIT_FINE)
        status = sim_values_read("loss", losses, 10000, 1000000, m.losses, &m.loss_count);
    if (status == EXIT_FINE)
        status = run_matrix(&m);
    free(list);
    return status;
}

int sim_matrix(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--plain-ice") == 0)
            return sim_matrix_plain(argc, argv);
    return sim_sessions(argc, argv);
}
