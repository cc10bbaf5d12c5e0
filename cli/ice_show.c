/* SPDX-License-Identifier: MIT */
#include "cli/ice_show.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* SDP's word, RFC 8839 section 5.1. */
static const char *kind_word(enum bk_ice_kind kind) {
    return kind == BK_ICE_RELAYED ? "relay" : bk_ice_kind_text(kind);
}

static const char *transport_word(enum bk_ice_transport transport) {
    switch (transport) {
    case BK_ICE_UDP:
        return "udp";
    case BK_ICE_TCP_ACTIVE:
        return "tcp-active";
    case BK_ICE_TCP_PASSIVE:
        return "tcp-passive";
    case BK_ICE_TCP_SO:
        return "tcp-so";
    }
    return "";
}

char *ice_end_text(const struct bk_ice_candidate *c, char *out) {
    char ip[BK_ADDR_TEXT_MAX];
    snprintf(out, ICE_END_MAX, "%s/%s/%s/%u", kind_word(c->kind),
             c->transport == BK_ICE_UDP ? "udp" : "tcp", bk_ip_format(&c->addr.ip, ip),
             c->addr.port);
    return out;
}

/* "srflx udp 203.0.113.1:5000" */
static char *end_words(const struct bk_ice_candidate *c, char *out) {
    char addr[BK_ADDR_TEXT_MAX];
    snprintf(out, ICE_END_MAX, "%s %s %s", kind_word(c->kind), transport_word(c->transport),
             bk_addr_format(&c->addr, addr));
    return out;
}

static void add_ms(cJSON *event, const char *name, int64_t us) {
    if (us >= 0)
        cJSON_AddNumberToObject(event, name, (double)((us + 50) / 100) / 10);
}

static void add_candidate(cJSON *event, const char *name, const struct bk_ice_candidate *c) {
    char addr[BK_ADDR_TEXT_MAX];
    if (event == NULL || c->addr.ip.family == BK_FAMILY_NONE)
        return;
    cJSON *object = cJSON_AddObjectToObject(event, name);
    cJSON_AddStringToObject(object, "kind", kind_word(c->kind));
    cJSON_AddStringToObject(object, "transport", transport_word(c->transport));
    cJSON_AddStringToObject(object, "address", bk_addr_format(&c->addr, addr));
}

static const char *event_name(enum bk_ice_event_kind kind) {
    switch (kind) {
    case BK_ICE_ON_CANDIDATE:
        return "candidate";
    case BK_ICE_ON_GATHERED:
        return "gathered";
    case BK_ICE_ON_CONNECTED:
        return "connected";
    case BK_ICE_ON_SELECTED:
        return "selected";
    case BK_ICE_ON_DISCONNECTED:
        return "disconnected";
    case BK_ICE_ON_RECONNECTED:
        return "reconnected";
    case BK_ICE_ON_FAILED:
        return "failed";
    case BK_ICE_ON_RESTART:
        return "restart";
    case BK_ICE_ON_CLOSED:
        return "closed";
    }
    return "";
}

static void show_json(struct ice_cli *i, const struct bk_ice_event *e) {
    cJSON *event = report_event(&i->report, event_name(e->kind), net_now(i->loop));
    switch (e->kind) {
    case BK_ICE_ON_CANDIDATE:
        cJSON_AddStringToObject(event, "line", e->text);
        add_candidate(event, "local", &e->local);
        break;
    case BK_ICE_ON_CONNECTED:
    case BK_ICE_ON_SELECTED:
    case BK_ICE_ON_RECONNECTED:
        cJSON_AddNumberToObject(event, "component", e->component);
        add_candidate(event, "local", &e->local);
        add_candidate(event, "remote", &e->remote);
        add_ms(event, "rtt_ms", e->rtt_us);
        break;
    case BK_ICE_ON_DISCONNECTED:
    case BK_ICE_ON_FAILED:
    case BK_ICE_ON_RESTART:
        cJSON_AddStringToObject(event, "why", e->text);
        break;
    case BK_ICE_ON_GATHERED:
    case BK_ICE_ON_CLOSED:
        break;
    }
    report_send(&i->report, event);
}

static void show_text(struct ice_cli *i, const struct bk_ice_event *e) {
    char local[ICE_END_MAX], remote[ICE_END_MAX], rtt[48] = "";
    double ms = (double)bk_elapsed_us(i->report.start, net_now(i->loop)) / 1000;
    const char *name = event_name(e->kind);
    switch (e->kind) {
    case BK_ICE_ON_CANDIDATE:
        report_note(&i->report, "%9.1f ms  %-12s %s", ms, name, end_words(&e->local, local));
        break;
    case BK_ICE_ON_CONNECTED:
    case BK_ICE_ON_SELECTED:
    case BK_ICE_ON_RECONNECTED:
        if (e->rtt_us >= 0)
            snprintf(rtt, sizeof rtt, ", round trip %.1f ms", (double)e->rtt_us / 1000);
        report_note(&i->report, "%9.1f ms  %-12s %s - %s%s", ms, name, end_words(&e->local, local),
                    end_words(&e->remote, remote), rtt);
        break;
    case BK_ICE_ON_DISCONNECTED:
    case BK_ICE_ON_FAILED:
    case BK_ICE_ON_RESTART:
    case BK_ICE_ON_GATHERED:
        report_note(&i->report, "%9.1f ms  %-12s %s", ms, name, e->text != NULL ? e->text : "");
        break;
    case BK_ICE_ON_CLOSED:
        break;
    }
}

void ice_show_event(struct ice_cli *i, const struct bk_ice_event *e) {
    if (i->report.json)
        show_json(i, e);
    else
        show_text(i, e);
}

void ice_show_trace(void *ctx, const char *text) {
    struct ice_cli *i = ctx;
    cJSON *event = report_event(&i->report, "trace", net_clock());
    if (event == NULL)
        fprintf(stderr, "%s\n", text);
    cJSON_AddStringToObject(event, "text", text);
    report_send(&i->report, event);
}

static void show_pair(struct ice_cli *i, const struct bk_ice_pair_info *p) {
    char local[ICE_END_MAX], remote[ICE_END_MAX];
    cJSON *event = report_event(&i->report, "pair", net_now(i->loop));
    if (event == NULL) {
        report_note(&i->report, "  %-11s %-40s %-40s %3" PRIu32 " sent %3" PRIu32 " answered%s",
                    bk_ice_pair_state_text(p->state), end_words(&p->local, local),
                    end_words(&p->remote, remote), p->checks_sent, p->answers_received,
                    p->selected ? "  selected" : "");
        return;
    }
    cJSON_AddStringToObject(event, "state", bk_ice_pair_state_text(p->state));
    if (p->last_failure != BK_ICE_FAILURE_NONE)
        cJSON_AddStringToObject(event, "failure", bk_ice_failure_text(p->last_failure));
    cJSON_AddBoolToObject(event, "nominated", p->nominated);
    cJSON_AddBoolToObject(event, "selected", p->selected);
    add_candidate(event, "local", &p->local);
    add_candidate(event, "remote", &p->remote);
    add_ms(event, "rtt_ms", p->rtt_us);
    cJSON_AddNumberToObject(event, "checks_sent", p->checks_sent);
    cJSON_AddNumberToObject(event, "checks_received", p->checks_received);
    cJSON_AddNumberToObject(event, "answers_received", p->answers_received);
    report_send(&i->report, event);
}

void ice_show_result(struct ice_cli *i) {
    struct bk_ice_pair_info pair = {.size = sizeof pair};
    for (size_t n = 0; i->ice != NULL && bk_ice_pair_at(i->ice, n, &pair) == BK_OK; n++)
        show_pair(i, &pair);
    cJSON *event = report_event(&i->report, "done", net_now(i->loop));
    cJSON_AddNumberToObject(event, "sent", (double)i->pipe.sent);
    cJSON_AddNumberToObject(event, "received", (double)i->pipe.received);
    cJSON_AddNumberToObject(event, "sent_bytes", (double)i->pipe.sent_bytes);
    cJSON_AddNumberToObject(event, "received_bytes", (double)i->pipe.received_bytes);
    cJSON_AddNumberToObject(event, "dropped", (double)i->pipe.dropped);
    report_send(&i->report, event);
}
