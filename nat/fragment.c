/* SPDX-License-Identifier: MIT
 * Two rings: packets whose first fragment was seen, and copies of fragments that came before it.
 * Both live equally long, so each is in the order of its ends, and the oldest makes room. */
#include "nat/fragment.h"

#include "base/assert.h"
#include "base/table.h"

#include <string.h>

enum {
    PROTO_TCP_NUMBER = 6,
    KEY_LEN = 1 + 1 + 4 + 2 * 17 /* side, protocol, identification, addresses */
};

struct known {
    uint8_t key[KEY_LEN];
    bool passes;
    enum nat_side to;
    struct bk_ip src, dst; /* as it leaves */
    struct bk_time until;
};

struct held {
    uint8_t key[KEY_LEN];
    bool used, ready;
    enum nat_side to;
    struct bk_time until;
    size_t len;
    uint8_t data[FRAGMENT_LEN_MAX];
};

struct fragments {
    enum nat_fragments mode;
    uint32_t max;
    struct table by_key; /* -> known */
    struct known *known;
    uint32_t first, count;
    struct held *held;
    uint32_t held_next; /* the slot to use next, also the oldest one */
    uint32_t ready;     /* how many held ones are */
    struct bk_alloc alloc;
    struct fragments_counters counters;
};

enum bk_err fragments_new(enum nat_fragments mode, uint32_t max, const struct bk_rng *rng,
                          const struct bk_alloc *alloc, struct fragments **out) {
    if (max == 0 || max > NAT_FRAGMENTS_MAX)
        return BK_ERR_ARGUMENT;
    struct fragments *f = alloc->get(alloc->ctx, sizeof *f);
    if (f == NULL)
        return BK_ERR_NO_MEMORY;
    memset(f, 0, sizeof *f);
    f->mode = mode;
    f->max = max;
    f->alloc = *alloc;
    bool holds = mode == NAT_FRAGMENTS_ANY_ORDER;
    f->known = alloc->get(alloc->ctx, max * sizeof *f->known);
    f->held = holds ? alloc->get(alloc->ctx, max * sizeof *f->held) : NULL;
    enum bk_err e = f->known == NULL || (holds && f->held == NULL) ? BK_ERR_NO_MEMORY : BK_OK;
    if (e == BK_OK)
        e = table_init(&f->by_key, KEY_LEN, max, rng, alloc);
    if (e != BK_OK) {
        fragments_free(f);
        return e;
    }
    for (uint32_t i = 0; holds && i < max; i++)
        f->held[i].used = f->held[i].ready = false;
    *out = f;
    return BK_OK;
}

void fragments_free(struct fragments *f) {
    if (f == NULL)
        return;
    struct bk_alloc alloc = f->alloc;
    table_fini(&f->by_key);
    alloc.put(alloc.ctx, f->known);
    alloc.put(alloc.ctx, f->held);
    alloc.put(alloc.ctx, f);
}

static void put_ip(uint8_t *at, const struct bk_ip *ip) {
    at[0] = ip->family;
    memcpy(at + 1, ip->bytes, sizeof ip->bytes);
}

/* RFC 791 section 3.2: source, destination, protocol and identification name a packet; `from`, as
 * both sides of a box choose their numbers alone. */
static void make_key(uint8_t key[KEY_LEN], enum nat_side from, const struct packet *p,
                     const struct bk_ip *src, const struct bk_ip *dst) {
    key[0] = (uint8_t)from;
    key[1] = p->ip_proto;
    memcpy(key + 2, &p->ip_id, 4);
    put_ip(key + 6, src);
    put_ip(key + 6 + 17, dst);
}

static void forget_oldest(struct fragments *f) {
    uint32_t index = NAT_FRAGMENTS_MAX;
    bk_assert(f->count > 0 && f->max > 0);
    const struct known *k = &f->known[f->first];
    if (table_get(&f->by_key, k->key, &index) && index == f->first)
        (void)table_remove(&f->by_key, k->key); /* otherwise a later packet has the same key */
    f->first = (f->first + 1) % f->max;
    f->count--;
}

/* Those that waited for this packet may go, or are no longer needed. */
static void release(struct fragments *f, const struct known *k, struct bk_time now) {
    for (uint32_t i = 0; f->mode == NAT_FRAGMENTS_ANY_ORDER && i < f->max; i++) {
        struct held *h = &f->held[i];
        if (!h->used || h->ready || memcmp(h->key, k->key, KEY_LEN) != 0)
            continue;
        struct packet p;
        bool fresh = !bk_due(h->until, now);
        bool right = packet_parse_any(&p, h->data, h->len, false) == BK_OK;
        if (!fresh || !right || !k->passes) {
            h->used = false;
            f->counters.dropped++;
            continue;
        }
        packet_rewrite_addresses(&p, &k->src, &k->dst);
        h->to = k->to;
        h->ready = true;
        f->ready++;
    }
}

void fragments_learn(struct fragments *f, enum nat_side from, const struct packet *first,
                     const struct nat_header *before, const struct nat_verdict *v,
                     struct bk_time now) {
    if (f->mode == NAT_FRAGMENTS_DROP)
        return;
    while (f->count > 0 && bk_due(f->known[f->first].until, now))
        forget_oldest(f);
    if (f->count == f->max)
        forget_oldest(f);
    uint32_t index = (f->first + f->count) % f->max;
    struct known *k = &f->known[index];
    *k = (struct known){.passes = v->action == NAT_FORWARD || v->action == NAT_HAIRPIN,
                        .to = v->to,
                        .src = v->header.flow.src.ip,
                        .dst = v->header.flow.dst.ip,
                        .until = bk_after(now, FRAGMENT_LIFE_S * BK_US_PER_S)};
    make_key(k->key, from, first, &before->flow.src.ip, &before->flow.dst.ip);
    f->count++;
    enum bk_err e = table_put(&f->by_key, k->key, index);
    bk_assert(e == BK_OK); /* no more entries than the ring has */
    release(f, k, now);
}

/* The oldest one makes room: a flood pushes out its own. */
static enum fragment_fate hold(struct fragments *f, const uint8_t key[KEY_LEN],
                               const struct packet *p, struct bk_time now) {
    if (f->mode != NAT_FRAGMENTS_ANY_ORDER || p->len > FRAGMENT_LEN_MAX) {
        f->counters.dropped++;
        return FRAGMENT_DROPPED;
    }
    struct held *h = &f->held[f->held_next];
    f->held_next = (f->held_next + 1) % f->max;
    if (h->used)
        f->counters.dropped++;
    if (h->ready)
        f->ready--;
    h->used = true;
    h->ready = false;
    h->until = bk_after(now, FRAGMENT_LIFE_S * BK_US_PER_S);
    h->len = p->len;
    memcpy(h->key, key, KEY_LEN);
    memcpy(h->data, p->data, p->len);
    f->counters.held++;
    return FRAGMENT_WAITS;
}

enum fragment_fate fragments_pass(struct fragments *f, enum nat_side from, struct packet *p,
                                  struct bk_time now, enum nat_side *to) {
    uint8_t key[KEY_LEN];
    uint32_t index;
    bool overwrites = p->ip_proto == PROTO_TCP_NUMBER && p->ip_offset < 3;
    if (f->mode == NAT_FRAGMENTS_DROP || overwrites) {
        f->counters.dropped++;
        return FRAGMENT_DROPPED;
    }
    make_key(key, from, p, &p->header.flow.src.ip, &p->header.flow.dst.ip);
    if (!table_get(&f->by_key, key, &index) || bk_due(f->known[index].until, now))
        return hold(f, key, p, now);
    const struct known *k = &f->known[index];
    if (!k->passes) {
        f->counters.dropped++;
        return FRAGMENT_DROPPED;
    }
    packet_rewrite_addresses(p, &k->src, &k->dst);
    *to = k->to;
    f->counters.passed++;
    return FRAGMENT_PASSES;
}

bool fragments_next(struct fragments *f, struct packet *out, enum nat_side *to) {
    for (uint32_t i = 0; f->ready > 0 && i < f->max; i++) {
        uint32_t slot = (f->held_next + i) % f->max; /* in the order in which they came */
        struct held *h = &f->held[slot];
        if (!h->ready)
            continue;
        enum bk_err e = packet_parse_any(out, h->data, h->len, false);
        bk_assert(e == BK_OK); /* it parsed before, and only addresses changed */
        *to = h->to;
        h->used = h->ready = false;
        f->ready--;
        f->counters.passed++;
        return true;
    }
    return false;
}

const struct fragments_counters *fragments_get_counters(const struct fragments *f) {
    return &f->counters;
}
