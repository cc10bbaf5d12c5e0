/* SPDX-License-Identifier: MIT */
#include "peer/gather.h"

#include <string.h>

enum { ASK_EVERY_S = 20 /* a third of the shortest common mapping lifetime, RFC 4787 REQ-5 */ };

void gather_init(struct gather *g, const struct bk_rng *rng) {
    memset(g, 0, sizeof *g);
    g->rng = *rng;
}

static void add_query(struct gather *g, size_t base, size_t server, struct bk_time now) {
    struct stun_client_config config = stun_client_config_default;
    struct gather_query *q = &g->queries[g->query_count];
    config.local = g->bases[base];
    config.server = g->servers[server];
    config.txn.rto_us = 100 * BK_US_PER_MS; /* candidates are worth haste: one packet each */
    config.txn.rc = 5;
    config.txn.rm = 4;
    config.every_us = ASK_EVERY_S * BK_US_PER_S;
    config.tailnode = true; /* derper answers only to this */
    memset(q, 0, sizeof *q);
    q->base = base;
    if (stun_client_init(&q->client, &config, &g->rng, now) == BK_OK)
        g->query_count++;
}

static void start(struct gather *g, struct bk_time now) {
    g->query_count = 0;
    g->dirty = true;
    for (size_t b = 0; b < g->base_count; b++)
        for (size_t s = 0; s < g->server_count; s++)
            if (g->bases[b].ip.family == g->servers[s].ip.family)
                add_query(g, b, s, now);
}

void gather_set_bases(struct gather *g, const struct bk_addr *bases, size_t count,
                      struct bk_time now) {
    g->base_count = count < GATHER_BASES_MAX ? count : GATHER_BASES_MAX;
    memcpy(g->bases, bases, g->base_count * sizeof *bases);
    start(g, now);
}

void gather_set_servers(struct gather *g, const struct bk_addr *servers, size_t count,
                        struct bk_time now) {
    g->server_count = count < GATHER_SERVERS_MAX ? count : GATHER_SERVERS_MAX;
    memcpy(g->servers, servers, g->server_count * sizeof *servers);
    start(g, now);
}

void gather_ask_now(struct gather *g, struct bk_time now) {
    for (size_t i = 0; i < g->query_count; i++)
        stun_client_ask_now(&g->queries[i].client, now);
}

static void read_events(struct gather *g, struct gather_query *q) {
    struct stun_client_event event;
    while (stun_client_next_event(&q->client, &event)) {
        bool answered = event.kind == STUN_CLIENT_MAPPED;
        g->dirty = g->dirty || !q->over || answered != q->answered || (answered && event.changed);
        q->answered = answered;
        q->over = true;
    }
}

enum bk_err gather_recv(struct gather *g, const struct bk_datagram *in, struct bk_time now) {
    for (size_t i = 0; i < g->query_count; i++) {
        enum bk_err err = stun_client_recv(&g->queries[i].client, in, now);
        if (err == BK_ERR_NOT_OURS)
            continue;
        read_events(g, &g->queries[i]);
        return err;
    }
    return BK_ERR_NOT_OURS;
}

void gather_advance(struct gather *g, struct bk_time now) {
    for (size_t i = 0; i < g->query_count; i++) {
        stun_client_advance(&g->queries[i].client, now);
        read_events(g, &g->queries[i]);
    }
}

struct bk_time gather_deadline(const struct gather *g) {
    struct bk_time t = BK_NEVER;
    for (size_t i = 0; i < g->query_count; i++)
        t = bk_earlier(t, stun_client_deadline(&g->queries[i].client));
    return t;
}

bool gather_next_datagram(struct gather *g, struct bk_datagram *out) {
    for (size_t i = 0; i < g->query_count; i++)
        if (stun_client_next_datagram(&g->queries[i].client, out))
            return true;
    return false;
}

size_t gather_mapped_count(const struct gather *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->query_count; i++)
        n += g->queries[i].answered;
    return n;
}

void gather_mapped(const struct gather *g, size_t index, struct bk_ice_candidate *out) {
    for (size_t i = 0; i < g->query_count; i++) {
        const struct gather_query *q = &g->queries[i];
        if (!q->answered || index-- > 0)
            continue;
        *out = (struct bk_ice_candidate){
            .kind = BK_ICE_SRFLX,
            .addr = q->client.mapped,
            .base = q->client.config.local,
            .server = q->client.config.server,
        };
        return;
    }
}

bool gather_take_change(struct gather *g) {
    bool dirty = g->dirty;
    g->dirty = false;
    return dirty;
}

bool gather_is_complete(const struct gather *g) {
    for (size_t i = 0; i < g->query_count; i++)
        if (!g->queries[i].over)
            return false;
    return g->server_count > 0;
}

enum signal_udp gather_udp(const struct gather *g) {
    if (gather_mapped_count(g) > 0)
        return SIGNAL_UDP_WORKS;
    return gather_is_complete(g) && g->query_count > 0 ? SIGNAL_UDP_BLOCKED : SIGNAL_UDP_UNKNOWN;
}

enum signal_mapping gather_mapping(const struct gather *g) {
    enum signal_mapping mapping = SIGNAL_MAPPING_UNKNOWN;
    for (size_t i = 0; i < g->query_count; i++)
        for (size_t j = i + 1; j < g->query_count; j++) {
            const struct gather_query *a = &g->queries[i], *b = &g->queries[j];
            if (a->base != b->base || !a->answered || !b->answered ||
                a->client.mapped.ip.family != b->client.mapped.ip.family)
                continue; /* the last: seen through a NAT64 and past it */
            if (!bk_addr_equal(&a->client.mapped, &b->client.mapped))
                return SIGNAL_MAPPING_VARIES;
            mapping = SIGNAL_MAPPING_SAME;
        }
    return mapping;
}
