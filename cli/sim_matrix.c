/* SPDX-License-Identifier: MIT
 * bodkin sim matrix --plain-ice: plain ICE between all ordered pairs of NAT types, beside what the
 * oracle says is needed. The work is divided by pair; every pair's runs depend on nothing but its
 * number, so the output is the same for any number of workers. */
#define _GNU_SOURCE
#include "cli/command.h"
#include "cli/options.h"
#include "cli/sim.h"
#include "cli/sim_types.h"
#include "net/alloc.h"
#include "sim/encounter.h"

#include <bodkin/oracle.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Example:\n"
    "  bodkin sim matrix --plain-ice\n"
    "  bodkin sim matrix --plain-ice --types EI-PP-APD,APD-RD-APD --seeds 100 --json\n"
    "\n"
    "Plain ICE, as real agents do it, between all pairs of NAT types in virtual\n"
    "time, with the method that each pair needs at least (bodkin/oracle.h) beside it.\n"
    "Default types: the 27 of NATCracker, MAPPING-PORTS-FILTERING.\n"
    "      --types A,B,...    presets or types instead of these; at most 64\n"
    "      --seeds N          runs of each cell (10)\n"
    "      --skews A,B,...    ms the second side starts later (0,100,1000)\n"
    "      --loss A,B,...     of each link, in per cent (0,1,5)\n"
    "      --workers N        threads (one per core)\n"
    "      --json             one JSON object per pair and line, then one per method\n"
    "\n"
    "Exit status 1: a pair that plain ICE should join was not joined in some run.\n";

enum {
    WORKERS_MAX = 64,
    SEED_ROW = 32 * 32, /* part of every run's seed */
    BUCKET_US = 1000,
    BUCKETS = 12001 /* of times to connect */
};

struct cell {
    enum bk_oracle_method method;
    uint32_t runs, direct;
    uint64_t sent, events, hash;
};

struct matrix {
    struct sim_types list;
    int64_t skews[SIM_VALUES_MAX], losses[SIM_VALUES_MAX]; /* us; ppm */
    size_t skew_count, loss_count;
    uint32_t seeds, workers;
    bool json;
    struct cell *cells;         /* as many as types, squared */
    uint32_t (*times)[BUCKETS]; /* by method; BK_ORACLE_METHODS rows for each worker */
    atomic_size_t next, done;
    atomic_bool failed; /* no memory */
};

struct worker {
    struct matrix *m;
    pthread_t thread;
    uint32_t (*times)[BUCKETS];
};

/* --- work --- */

static uint64_t seed_of(const struct matrix *m, size_t pair, size_t skew, size_t loss,
                        uint32_t seed) {
    size_t row = (skew * SIM_VALUES_MAX + loss) * SEED_ROW + pair;
    (void)m;
    return (uint64_t)(seed + 1) * UINT64_C(1000003) + row;
}

static void add_run(struct worker *w, struct cell *cell, const struct encounter_outcome *o) {
    cell->runs++;
    cell->sent += o->sent;
    cell->events += o->events;
    cell->hash = (cell->hash ^ o->hash) * UINT64_C(0x9e3779b97f4a7c15);
    if (!o->direct)
        return;
    cell->direct++;
    int64_t bucket = o->direct_us / BUCKET_US;
    w->times[cell->method][bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket]++;
}

static enum bk_oracle_method method_for(const struct nat_config *a, const struct nat_config *b) {
    struct bk_nat_traits ta, tb;
    struct bk_oracle_verdict verdict;
    nat_traits_of(a, &ta);
    nat_traits_of(b, &tb);
    ta.port_mapping = tb.port_mapping = BK_NO; /* the boxes here have no such service, ... */
    ta.ipv6 = tb.ipv6 = BK_NO;
    return bk_oracle(&ta, &tb, NULL, &verdict) == BK_OK ? verdict.method : BK_ORACLE_RELAY;
}

static bool run_pair(struct worker *w, size_t pair) {
    struct matrix *m = w->m;
    struct cell *cell = &m->cells[pair];
    struct encounter_config config = encounter_config_default;
    struct encounter_outcome outcome;
    config.nat[0] = m->list.types[pair / m->list.count].config;
    config.nat[1] = m->list.types[pair % m->list.count].config;
    cell->method = method_for(&config.nat[0], &config.nat[1]);
    for (size_t skew = 0; skew < m->skew_count; skew++)
        for (size_t loss = 0; loss < m->loss_count; loss++)
            for (uint32_t seed = 0; seed < m->seeds; seed++) {
                config.seed = seed_of(m, pair, skew, loss, seed);
                config.skew_us = m->skews[skew];
                config.loss_ppm = (uint32_t)m->losses[loss];
                if (encounter_run(&config, net_alloc(), &outcome) != BK_OK)
                    return false;
                add_run(w, cell, &outcome);
            }
    return true;
}

static void *work(void *ctx) {
    struct worker *w = ctx;
    struct matrix *m = w->m;
    size_t pairs = m->list.count * m->list.count;
    for (size_t pair = atomic_fetch_add(&m->next, 1); pair < pairs && !atomic_load(&m->failed);
         pair = atomic_fetch_add(&m->next, 1)) {
        if (!run_pair(w, pair))
            atomic_store(&m->failed, true);
        atomic_fetch_add(&m->done, 1);
    }
    return NULL;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_progress(struct matrix *m, double begin) {
    size_t pairs = m->list.count * m->list.count;
    struct timespec nap = {0, 200000000};
    if (isatty(STDERR_FILENO) != 1)
        return;
    for (size_t done = 0; done < pairs && !atomic_load(&m->failed);) {
        done = atomic_load(&m->done);
        fprintf(stderr, "\r%zu of %zu pairs, %.0f s\033[K", done, pairs, now_s() - begin);
        nanosleep(&nap, NULL);
    }
    fputs("\r\033[K", stderr);
}

static bool run_all(struct matrix *m, double begin) {
    struct worker workers[WORKERS_MAX];
    size_t started = 0;
    for (; started < m->workers; started++) {
        struct worker *w = &workers[started];
        *w = (struct worker){.m = m, .times = m->times + started * BK_ORACLE_METHODS};
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break;
    }
    if (started == 0)
        return false;
    show_progress(m, begin);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (size_t i = 1; i < m->workers; i++)
        for (size_t method = 0; method < BK_ORACLE_METHODS; method++)
            for (size_t b = 0; b < BUCKETS; b++)
                m->times[method][b] += m->times[i * BK_ORACLE_METHODS + method][b];
    return !atomic_load(&m->failed);
}

/* --- output: integers only, so that every machine prints the same --- */

static bool is_plain(enum bk_oracle_method method) {
    return method <= BK_ORACLE_PRFLX;
}

/* The time within which `share` per cent of the successful runs connected, in ms. */
static unsigned percentile(const uint32_t *times, uint32_t count, uint32_t share) {
    uint64_t want = ((uint64_t)count * share + 99) / 100, seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += times[b];
        if (seen >= want && seen > 0)
            return b * (BUCKET_US / 1000);
    }
    return 0;
}

struct sum {
    uint32_t pairs, runs, direct;
    uint64_t sent;
};

static struct sum sum_of(const struct matrix *m, enum bk_oracle_method method) {
    struct sum s = {0};
    for (size_t i = 0; i < m->list.count * m->list.count; i++) {
        const struct cell *c = &m->cells[i];
        if (c->method != method)
            continue;
        s.pairs++;
        s.runs += c->runs;
        s.direct += c->direct;
        s.sent += c->sent;
    }
    return s;
}

static uint32_t permille(const struct sum *s) {
    return s->runs == 0 ? 0 : (uint32_t)((uint64_t)s->direct * 1000 / s->runs);
}

static void print_method(const struct matrix *m, enum bk_oracle_method method) {
    struct sum s = sum_of(m, method);
    if (s.pairs == 0)
        return;
    uint32_t share = permille(&s);
    unsigned p50 = percentile(m->times[method], s.direct, 50);
    unsigned p95 = percentile(m->times[method], s.direct, 95);
    if (m->json) {
        printf("{\"method\":\"%s\",\"plain_ice\":%s,\"pairs\":%u,\"runs\":%u,\"direct\":%u,"
               "\"p50_ms\":%u,\"p95_ms\":%u}\n",
               bk_oracle_method_name(method), is_plain(method) ? "true" : "false", s.pairs, s.runs,
               s.direct, p50, p95);
        return;
    }
    printf("%-15s %5u %7u   %3u.%u %%", bk_oracle_method_name(method), s.pairs, s.runs, share / 10,
           share % 10);
    if (s.direct > 0)
        printf("  %5u %6u %6u\n", p50, p95, (unsigned)(s.sent / s.runs));
    else
        puts("      -      -      -   plain ICE does not try it");
}

/* A letter per pair: large when every run connected, small when none did, '?' in between. */
static char letter(const struct cell *c) {
    static const char letters[] = "DPXIHVMGFBOTCWR"; /* by method */
    static const char small[] = "dpxihvmgfbotcwr";
    if (c->direct == 0)
        return small[c->method];
    if (c->direct == c->runs)
        return letters[c->method];
    return '?';
}

static void print_grid(const struct matrix *m) {
    puts("\nFrom (row) to (column, in the same order). Large: every run was direct; small: none.\n"
         "D direct, P punch, X prflx; needs G prediction, F fan, B block, O birthday-one,\n"
         "C birthday-mixed, W birthday-two, T TCP; R relay\n");
    for (size_t a = 0; a < m->list.count; a++) {
        printf("%-15s ", m->list.types[a].name);
        for (size_t b = 0; b < m->list.count; b++)
            printf("%c%s", letter(&m->cells[a * m->list.count + b]),
                   b + 1 == m->list.count ? "\n"
                   : b % 9 == 8           ? "  "
                   : b % 3 == 2           ? " "
                                          : "");
    }
}

static void print_pairs(const struct matrix *m) {
    for (size_t i = 0; i < m->list.count * m->list.count; i++) {
        const struct cell *c = &m->cells[i];
        printf("{\"a\":\"%s\",\"b\":\"%s\",\"method\":\"%s\",\"runs\":%u,\"direct\":%u,"
               "\"packets\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\"}\n",
               m->list.types[i / m->list.count].name, m->list.types[i % m->list.count].name,
               bk_oracle_method_name(c->method), c->runs, c->direct, c->sent, c->hash);
    }
}

static int print_all(const struct matrix *m) {
    bool missed = false;
    uint64_t hash = 0;
    for (size_t i = 0; i < m->list.count * m->list.count; i++) {
        const struct cell *c = &m->cells[i];
        missed = missed || (is_plain(c->method) && c->direct < c->runs);
        hash = (hash ^ c->hash) * UINT64_C(0x9e3779b97f4a7c15);
    }
    if (m->json)
        print_pairs(m);
    else
        puts("needs at least  pairs    runs    direct    p50    p95  packets\n"
             "                                         ms     ms  a run");
    for (int method = 0; method < BK_ORACLE_METHODS; method++)
        print_method(m, (enum bk_oracle_method)method);
    if (!m->json) {
        print_grid(m);
        printf("\nhash %016" PRIx64 "\n", hash);
    }
    return missed ? EXIT_OTHER : EXIT_FINE;
}

static void print_speed(const struct matrix *m, double took) {
    uint64_t runs = 0, events = 0;
    for (size_t i = 0; i < m->list.count * m->list.count; i++) {
        runs += m->cells[i].runs;
        events += m->cells[i].events;
    }
    fprintf(stderr, "%" PRIu64 " runs, %" PRIu64 " events in %.1f s of real time with %u threads\n",
            runs, events, took, m->workers);
}

/* --- options --- */

static int run_matrix(struct matrix *m) {
    double begin = now_s();
    size_t pairs = m->list.count * m->list.count;
    m->cells = calloc(pairs, sizeof *m->cells);
    m->times = calloc((size_t)m->workers * BK_ORACLE_METHODS, sizeof *m->times);
    int status = EXIT_OTHER;
    if (m->cells != NULL && m->times != NULL && run_all(m, begin)) {
        status = print_all(m);
        print_speed(m, now_s() - begin);
    } else {
        fputs("bodkin sim: not enough memory\n", stderr);
    }
    free(m->cells);
    free(m->times);
    return status;
}

int sim_matrix_plain(int argc, char **argv) {
    static struct matrix m; /* large */
    const char *types = NULL, *skews = "0,100,1000", *losses = "0,1,5";
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    m.seeds = 10;
    m.workers = cores > 0 ? (uint32_t)cores : 1;
    bool plain; /* which was looked for by the caller */
    const struct option_row rows[] = {
        {"plain-ice", '\0', OPTION_FLAG, &plain}, {"types", '\0', OPTION_TEXT, &types},
        {"seeds", '\0', OPTION_NUMBER, &m.seeds}, {"skews", '\0', OPTION_TEXT, &skews},
        {"loss", '\0', OPTION_TEXT, &losses},     {"workers", '\0', OPTION_NUMBER, &m.workers},
        {"json", '\0', OPTION_FLAG, &m.json},     {NULL, '\0', OPTION_FLAG, NULL}};
    struct option_words words = {.max = 0};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
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
