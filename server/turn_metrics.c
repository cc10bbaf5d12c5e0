/* SPDX-License-Identifier: MIT */
#include "server/turn_metrics.h"

#include "server/log.h"
#include "server/turn_int.h"

enum { REFUSALS_A_SECOND = 256 };

static void log_refusal(const struct turn_refusal *r) {
    struct log_line l;
    log_begin(&l, LOG_WARN, (enum log_topic)(LOG_TURN_REFUSED + r->rule), "turn_refused");
    log_addr(&l, "remote", &r->client);
    log_text(&l, "rule", turn_rule_name(r->rule));
    if (r->code != 0)
        log_number(&l, "code", r->code);
    if (r->peer.ip.family != BK_FAMILY_NONE)
        log_addr(&l, "peer", &r->peer);
    if (r->name[0] != '\0')
        log_text(&l, "user", r->name);
    log_end(&l);
}

void turn_metrics_collect(struct server_turn *t, struct metrics *m) {
    struct turn_service_info info;
    struct turn_refusal refusal;
    struct turn_top top;
    if (t == NULL)
        return;
    turn_service_info(t->service, &info);
    for (unsigned i = 0; i < TURN_COUNTS; i++)
        metric_set(m, METRIC_TURN + i, info.counts[i]);
    for (unsigned i = 0; i < TURN_RULES; i++)
        metric_set(m, METRIC_TURN_REFUSED + i, info.refused[i]);
    metric_set(m, METRIC_TURN_ALLOCATIONS, info.allocations);
    metric_set(m, METRIC_TURN_PERMISSIONS, info.permissions);
    metric_set(m, METRIC_TURN_CHANNELS, info.channels);
    metric_set(m, METRIC_TURN_FLOWS, info.flows);
    metric_set(m, METRIC_TURN_BYTES_TO_PEER, info.bytes[0]);
    metric_set(m, METRIC_TURN_BYTES_TO_CLIENT, info.bytes[1]);
    if (turn_service_top(t->service, &top))
        turn_board_put(&t->board, &top);
    for (int i = 0; i < REFUSALS_A_SECOND && turn_service_next_refusal(t->service, &refusal); i++)
        log_refusal(&refusal);
}

/* A metric with one label, which has a value for each number of an enum. */
struct family {
    const char *name, *label, *help;
    unsigned first, rows;
    const char *(*value)(unsigned number);
};

static void print_family(struct text *out, struct metrics *const *sets, size_t count,
                         const struct family *f) {
    metrics_print_head(out, f->name, f->help, false);
    for (unsigned i = 0; i < f->rows; i++) {
        char labels[96];
        struct text l = text_in(labels, sizeof labels);
        text_str(&l, f->label);
        text_str(&l, "=\"");
        text_str(&l, f->value(i));
        text_char(&l, '"');
        metrics_print_value(out, f->name, labels, metrics_sum(sets, count, f->first + i));
    }
}

static const char *event_name(unsigned i) {
    return turn_count_name((enum turn_count)i);
}

static const char *rule_name(unsigned i) {
    return turn_rule_name((enum turn_rule)i);
}

void turn_metrics_print(struct text *out, struct metrics *const *sets, size_t count) {
    static const struct family families[] = {
        {"bodkin_turn_events_total", "event", "TURN requests and data, by what became of them.",
         METRIC_TURN, TURN_COUNTS, event_name},
        {"bodkin_turn_refused_total", "rule", "TURN requests refused, by rule.",
         METRIC_TURN_REFUSED, TURN_RULES, rule_name},
    };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        print_family(out, sets, count, &families[i]);
    turn_latency_print(out, sets, count);
    turn_board_print(out, sets, count);
}
