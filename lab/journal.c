/* SPDX-License-Identifier: MIT */
#include "lab/journal.h"

#include "lab/sight.h"
#include <string.h>

void journal_init(struct journal *j, const struct topology *topology, journal_tell *tell,
                  void *ctx) {
    memset(j, 0, sizeof *j);
    j->topology = topology;
    j->tell = tell;
    j->ctx = ctx;
    j->window_end = BK_NEVER;
}

static const char *proto_text(enum nat_proto proto) {
    static const char *const names[NAT_PROTOS] = {"udp", "tcp", "icmp"};
    return names[proto];
}

static struct lab_flow flow_of(const struct transit *t) {
    struct lab_flow flow = {.proto = "", .to.ip = t->dst};
    const uint8_t *ip = t->bytes + FABRIC_VNET_LEN;
    if (t->parsed) {
        flow.proto = proto_text(t->packet.header.flow.proto);
        flow.from = t->packet.header.flow.src;
        flow.to = t->packet.header.flow.dst;
    } else {
        flow.from.ip =
            t->dst.family == BK_IPV4 ? bk_ipv4(ip[12], ip[13], ip[14], ip[15]) : bk_ipv6(ip + 8);
    }
    return flow;
}

static void tell_drop(struct journal *j, const struct journal_flow *f, uint64_t count) {
    char text[SIGHT_TEXT_MAX];
    struct fabric_sight sight = {
        .link = f->link, .direction = f->direction, .drop = f->drop, .by = f->by, .nat = f->nat};
    const char *host = f->by == TOPOLOGY_NOWHERE ? "internet" : j->topology->nodes[f->by].name;
    struct lab_event event = {.kind = LAB_DROPPED,
                              .host = host,
                              .text = sight_describe(j->topology, &sight, text),
                              .reason = sight_reason(&sight),
                              .flow = &f->flow,
                              .count = count};
    j->tell(j->ctx, &event);
}

static bool same_flow(const struct journal_flow *a, const struct journal_flow *b) {
    return a->link == b->link && a->by == b->by && a->drop == b->drop && a->nat == b->nat &&
           a->flow.proto == b->flow.proto && bk_addr_equal(&a->flow.from, &b->flow.from) &&
           bk_addr_equal(&a->flow.to, &b->flow.to);
}

static struct journal_flow *find(struct journal *j, const struct journal_flow *want) {
    struct journal_flow *free_one = NULL;
    for (size_t i = 0; i < JOURNAL_FLOWS_MAX; i++) {
        if (!j->flows[i].used)
            free_one = &j->flows[i];
        else if (same_flow(&j->flows[i], want))
            return &j->flows[i];
    }
    return free_one;
}

static void open_window(struct journal *j, struct bk_time now) {
    if (bk_is_never(j->window_end))
        j->window_end = bk_after(now, JOURNAL_WINDOW_US);
}

void journal_sight(struct journal *j, const struct fabric_sight *sight, struct bk_time now) {
    if (sight->drop == LAB_DROP_NONE)
        return;
    struct journal_flow want = {.used = true,
                                .link = sight->link,
                                .by = sight->by,
                                .direction = sight->direction,
                                .drop = sight->drop,
                                .nat = sight->nat,
                                .flow = flow_of(sight->packet),
                                .tell_at = bk_after(now, JOURNAL_WINDOW_US)};
    struct journal_flow *f = find(j, &want);
    if (f == NULL) {
        j->others++;
        open_window(j, now);
    } else if (f->used) {
        f->count++;
    } else {
        *f = want;
        tell_drop(j, f, 1);
    }
}

void journal_mapping(struct journal *j, int box, const struct nat_mapping_view *mapping, bool made,
                     struct bk_time now) {
    open_window(j, now);
    if (j->mappings == JOURNAL_MAPPINGS_MAX) {
        j->mappings_more++;
        return;
    }
    j->mappings++;
    struct lab_flow flow = {.proto = proto_text(mapping->proto),
                            .from = mapping->internal,
                            .outside = mapping->external,
                            .to = mapping->remote};
    struct lab_event event = {.kind = made ? LAB_MAPPED : LAB_UNMAPPED,
                              .host = j->topology->nodes[box].name,
                              .flow = &flow};
    j->tell(j->ctx, &event);
}

static void tell_skipped(struct journal *j, uint64_t *count, const char *what) {
    struct lab_event event = {.kind = LAB_SKIPPED, .text = what, .count = *count};
    if (*count > 0)
        j->tell(j->ctx, &event);
    *count = 0;
}

static void close_window(struct journal *j) {
    j->window_end = BK_NEVER;
    j->mappings = 0;
    tell_skipped(j, &j->mappings_more, "mappings made or ended");
    tell_skipped(j, &j->others, "packets dropped, of other flows");
}

/* A flow that was quiet for a window gives up its place. */
static void advance_flow(struct journal *j, struct journal_flow *f, struct bk_time now) {
    if (f->count == 0) {
        f->used = false;
        return;
    }
    tell_drop(j, f, f->count);
    f->count = 0;
    f->tell_at = bk_after(now, JOURNAL_WINDOW_US);
}

void journal_advance(struct journal *j, struct bk_time now) {
    for (size_t i = 0; i < JOURNAL_FLOWS_MAX; i++)
        if (j->flows[i].used && bk_due(j->flows[i].tell_at, now))
            advance_flow(j, &j->flows[i], now);
    if (bk_due(j->window_end, now))
        close_window(j);
}

struct bk_time journal_deadline(const struct journal *j) {
    struct bk_time when = j->window_end;
    for (size_t i = 0; i < JOURNAL_FLOWS_MAX; i++)
        if (j->flows[i].used)
            when = bk_earlier(when, j->flows[i].tell_at);
    return when;
}

void journal_finish(struct journal *j, struct bk_time now) {
    for (size_t i = 0; i < JOURNAL_FLOWS_MAX; i++)
        if (j->flows[i].used)
            advance_flow(j, &j->flows[i], now);
    close_window(j);
}
