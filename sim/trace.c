/* SPDX-License-Identifier: MIT
 * The run's fingerprint, and the last packets in words. */
#include "sim/state.h"

#include "base/text.h"

#include <string.h>

void hash_word(struct world *w, uint64_t word) {
    uint64_t h = (w->hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    w->hash = h ^ h >> 32;
}

/* Byte by byte into words, so that the hash is the same on machines of either byte order. */
void hash_bytes(struct world *w, const void *data, size_t len) {
    const uint8_t *p = data;
    for (; len >= 8; len -= 8, p += 8) {
        hash_word(w, (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
                         (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
                         (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56);
    }
    uint64_t word = len;
    for (size_t i = 0; i < len; i++)
        word = word << 8 | p[i];
    hash_word(w, word);
}

void hash_payload(struct world *w, const void *data, size_t len) {
    hash_word(w, len);
    if (!w->config.foreign_keys)
        hash_bytes(w, data, len);
}

static void hash_addr(struct world *w, const struct bk_addr *a) {
    hash_bytes(w, a->ip.bytes, a->ip.family == BK_IPV6 ? 16 : 4);
    hash_word(w, (uint64_t)a->ip.family << 16 | a->port);
}

static const char *kind_text(enum trace_kind kind) {
    static const char *const text[] = {
        [TRACE_SEND] = "send",
        [TRACE_NAT] = "nat",
        [TRACE_DELIVER] = "deliver",
        [TRACE_LOST] = "LOST",
        [TRACE_CUT] = "CUT",
        [TRACE_QUEUE_FULL] = "QUEUE FULL",
        [TRACE_NAT_DROP] = "NAT DROP",
        [TRACE_NO_ROUTE] = "NO ROUTE",
        [TRACE_NO_SOCKET] = "NO SOCKET",
        [TRACE_TTL] = "TTL",
        [TRACE_RESEND] = "resend",
        [TRACE_NOTE] = "--",
        [TRACE_TOO_BIG] = "TOO BIG",
    };
    return text[kind];
}

static const char *proto_text(enum nat_proto proto) {
    static const char *const text[NAT_PROTOS] = {
        [NAT_UDP] = "udp", [NAT_TCP] = "tcp", [NAT_ICMP] = "icmp"};
    return text[proto];
}

/* "12.3 ms  alice  send  udp 192.168.1.2:50000 > 198.51.100.1:3478, 28 bytes, 0001" */
static void format_record(const struct world *w, const struct trace_record *r, struct text *t) {
    text_ms(t, r->at.us);
    text_str(t, " ms  ");
    if (r->kind == TRACE_NOTE) {
        text_str(t, "-- ");
        text_str(t, r->note);
        return;
    }
    text_str(t, w->nodes[r->node].name);
    text_str(t, "  ");
    text_str(t, kind_text(r->kind));
    if (r->kind == TRACE_NAT_DROP) {
        text_str(t, " ");
        text_str(t, nat_drop_text(r->drop));
    }
    text_str(t, "  ");
    text_str(t, proto_text(r->flow.proto));
    text_str(t, " ");
    text_addr(t, &r->flow.src);
    text_str(t, " > ");
    text_addr(t, &r->flow.dst);
    text_str(t, ", ");
    text_u64(t, r->len);
    text_str(t, " bytes, ");
    text_hex(t, r->head, sizeof r->head);
}

static void tell_watcher(const struct world *w, const struct trace_record *r) {
    char buffer[256];
    if (w->watch == NULL)
        return;
    struct text t = text_in(buffer, sizeof buffer);
    format_record(w, r, &t);
    w->watch(w->watch_ctx, buffer);
}

void world_watch(struct world *w, void (*line)(void *ctx, const char *text), void *ctx) {
    w->watch = line;
    w->watch_ctx = ctx;
}

/* RFC 8489 section 5: the first two bits are 0. STUN is not encrypted, so its bytes come from the
 * seed even where others do not. */
static bool is_stun(const struct sim_packet *p) {
    return p->kind == PACKET_DATAGRAM && p->data[0] < 0x40;
}

static struct trace_record *next_record(struct world *w, enum trace_kind kind) {
    struct trace_record *r = &w->trace[w->trace_count % w->config.trace_max];
    w->trace_count++;
    r->at = w->now;
    r->kind = kind;
    hash_word(w, (uint64_t)w->now.us);
    hash_word(w, kind);
    return r;
}

void trace_packet(struct world *w, enum trace_kind kind, node_id node, const struct sim_packet *p,
                  enum nat_drop drop) {
    struct trace_record *r = next_record(w, kind);
    r->drop = drop;
    r->node = node;
    r->flow = p->header.flow;
    r->len = p->len;
    bool show = p->len > 1 && (!w->config.foreign_keys || is_stun(p));
    r->head[0] = show ? p->data[0] : 0;
    r->head[1] = show ? p->data[1] : 0;
    hash_word(w, (uint64_t)node << 32 | (uint64_t)drop << 16 | p->len);
    hash_addr(w, &p->header.flow.src);
    hash_addr(w, &p->header.flow.dst);
    tell_watcher(w, r);
}

void world_note(struct world *w, const char *text) {
    struct trace_record *r = next_record(w, TRACE_NOTE);
    struct text t = text_in(r->note, sizeof r->note);
    text_str(&t, text);
    hash_bytes(w, text, strlen(text));
    tell_watcher(w, r);
}

uint64_t world_hash(const struct world *w) {
    return w->hash;
}

uint64_t world_seed(const struct world *w) {
    return w->config.seed;
}

const struct world_counters *world_get_counters(const struct world *w) {
    return &w->counters;
}

static void dump_counters(const struct world *w, void (*line)(void *ctx, const char *text),
                          void *ctx) {
    const struct world_counters *c = &w->counters;
    const struct {
        const char *name;
        uint64_t value;
    } shown[] = {
        {"seed ", w->config.seed},
        {", events ", c->events},
        {", sent ", c->sent},
        {", delivered ", c->delivered},
        {", lost ", c->lost},
        {", cut ", c->cut},
        {", queue full ", c->queue_full},
        {", dropped by NATs ", c->nat_dropped},
        {", no route ", c->no_route},
        {", no socket ", c->no_socket},
        {", ttl ", c->ttl_expired},
        {", overflow ", c->overflow},
        {", too big ", c->too_big},
    };
    char buffer[512];
    struct text t = text_in(buffer, sizeof buffer);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        text_str(&t, shown[i].name);
        text_u64(&t, shown[i].value);
    }
    line(ctx, buffer);
}

void world_dump(const struct world *w, void (*line)(void *ctx, const char *text), void *ctx) {
    dump_counters(w, line, ctx);
    uint64_t kept = w->config.trace_max;
    uint64_t first = w->trace_count > kept ? w->trace_count - kept : 0;
    for (uint64_t i = first; i < w->trace_count; i++) {
        char buffer[256];
        struct text t = text_in(buffer, sizeof buffer);
        format_record(w, &w->trace[i % kept], &t);
        line(ctx, buffer);
    }
}
