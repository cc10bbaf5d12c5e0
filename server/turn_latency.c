/* SPDX-License-Identifier: MIT */
#include "server/turn_latency.h"

/* The last place of a histogram is the sum, the one before it is what was longer. */
enum { PLACES = TURN_LATENCY_STEPS + 2, SUM = TURN_LATENCY_STEPS + 1 };

static const struct step {
    int64_t us;
    const char *le; /* seconds */
} steps[TURN_LATENCY_STEPS] = {
    {10, "0.00001"},  {25, "0.000025"}, {50, "0.00005"}, {100, "0.0001"},
    {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"}, {2500, "0.0025"},
    {5000, "0.005"},  {10000, "0.01"},  {50000, "0.05"}, {250000, "0.25"},
};

static void note(struct metrics *m, enum turn_latency kind, int64_t us) {
    unsigned first = METRIC_TURN_LATENCY + (unsigned)kind * PLACES, i = 0;
    while (i < TURN_LATENCY_STEPS && us > steps[i].us)
        i++;
    metric_add(m, (enum metric)(first + i), 1);
    metric_add(m, (enum metric)(first + SUM), us < 0 ? 0 : (uint64_t)us);
}

static void on_sent(void *ctx) {
    struct turn_probe *p = ctx;
    p->timing = false;
    note(p->metrics, p->kind, net_clock().us - p->since.us);
}

void turn_probe_init(struct turn_probe *p, struct net_loop *loop, struct metrics *metrics,
                     enum turn_latency kind) {
    *p = (struct turn_probe){.metrics = metrics, .kind = kind};
    net_deferred_init(&p->sent, loop, on_sent, p);
}

void turn_probe_fini(struct turn_probe *p) {
    if (p->timing)
        net_defer_cancel(&p->sent);
    p->timing = false;
}

void turn_probe_start(struct turn_probe *p, struct bk_time now) {
    if (p->timing)
        return;
    p->timing = true;
    p->since = now;
    net_defer(&p->sent);
}

/* ---- As text --------------------------------------------------------------------------------- */

static const char *const kinds[TURN_LATENCIES] = {
    [TURN_LATENCY_DATA] = "kind=\"data\"",
    [TURN_LATENCY_REQUEST] = "kind=\"request\"",
};

#define NAME "bodkin_turn_latency_seconds"

static void put_seconds(struct text *out, uint64_t us) {
    char digits[6];
    text_u64(out, us / 1000000);
    text_char(out, '.');
    us %= 1000000;
    for (size_t i = sizeof digits; i > 0; i--, us /= 10)
        digits[i - 1] = (char)('0' + us % 10);
    text_bytes(out, digits, sizeof digits);
}

static void print_kind(struct text *out, struct metrics *const *sets, size_t count, unsigned kind) {
    unsigned first = METRIC_TURN_LATENCY + kind * PLACES;
    uint64_t all = 0;
    for (unsigned i = 0; i <= TURN_LATENCY_STEPS; i++) {
        char labels[96];
        struct text l = text_in(labels, sizeof labels);
        text_str(&l, kinds[kind]);
        text_str(&l, ",le=\"");
        text_str(&l, i < TURN_LATENCY_STEPS ? steps[i].le : "+Inf");
        text_char(&l, '"');
        all += metrics_sum(sets, count, first + i);
        metrics_print_value(out, NAME "_bucket", labels, all);
    }
    text_str(out, NAME "_sum{");
    text_str(out, kinds[kind]);
    text_str(out, "} ");
    put_seconds(out, metrics_sum(sets, count, first + SUM));
    text_char(out, '\n');
    metrics_print_value(out, NAME "_count", kinds[kind], all);
}

void turn_latency_print(struct text *out, struct metrics *const *sets, size_t count) {
    text_str(out, "# HELP " NAME " Time in a worker, from waking up to sent, of a sample.\n"
                  "# TYPE " NAME " histogram\n");
    for (unsigned kind = 0; kind < TURN_LATENCIES; kind++)
        print_kind(out, sets, count, kind);
}
