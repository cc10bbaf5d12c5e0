/* SPDX-License-Identifier: MIT
 * Three multimaps from hashes: names to agents, transaction ids to agents (a ring forgets the
 * oldest), address pairs to routes. */
#include "run/demux.h"

#include "base/table.h"
#include "wire/stun.h"
#include <bodkin/ice_io.h>
#include <string.h>

enum { RING_MIN = 1024, ROUTE_KEY_LEN = 2 * (1 + 16 + 2), ROUTES_FIRST = 4 };

void demux_init(struct demux *d, const struct bk_rng *rng, const struct bk_alloc *alloc) {
    *d = (struct demux){.alloc = *alloc};
    rng->fill(rng->ctx, d->seed, sizeof d->seed);
    multimap_init(&d->names, alloc);
    multimap_init(&d->txns, alloc);
    multimap_init(&d->route_map, alloc);
}

void demux_fini(struct demux *d) {
    for (uint32_t i = 0; i < d->agent_cap; i++)
        d->alloc.put(d->alloc.ctx, d->agents[i].routes);
    d->alloc.put(d->alloc.ctx, d->agents);
    d->alloc.put(d->alloc.ctx, d->routes);
    d->alloc.put(d->alloc.ctx, d->ring);
    multimap_fini(&d->names);
    multimap_fini(&d->txns);
    multimap_fini(&d->route_map);
}

/* More room for an array of `old` elements. NULL: no memory, the old one stays as it is. */
static void *resized(struct demux *d, void *array, size_t size, size_t old, size_t cap) {
    void *bigger = d->alloc.get(d->alloc.ctx, size * cap);
    if (bigger == NULL)
        return NULL;
    if (old > 0)
        memcpy(bigger, array, size * old);
    d->alloc.put(d->alloc.ctx, array);
    return bigger;
}

static enum bk_err grow_agents(struct demux *d, uint32_t agent) {
    uint32_t cap = d->agent_cap == 0 ? 16 : d->agent_cap;
    while (cap <= agent)
        cap *= 2;
    if (cap == d->agent_cap)
        return BK_OK;
    struct demux_agent *agents = resized(d, d->agents, sizeof *agents, d->agent_cap, cap);
    if (agents == NULL)
        return BK_ERR_NO_MEMORY;
    d->agents = agents;
    d->agent_cap = cap;
    return BK_OK;
}

/* The ring holds two requests for each agent: with consent every five seconds and both directions
 * that is more than the round trip of any network. */
static enum bk_err grow_ring(struct demux *d) {
    uint32_t len = d->ring_len == 0 ? RING_MIN : d->ring_len;
    while (len < d->joined * 2)
        len *= 2;
    if (len == d->ring_len)
        return BK_OK;
    struct demux_txn *ring = resized(d, d->ring, sizeof *ring, d->ring_len, len);
    if (ring == NULL)
        return BK_ERR_NO_MEMORY;
    if (d->ring_next == 0)
        d->ring_next = d->ring_len; /* it has just wrapped, or was empty: the new part is free */
    d->ring = ring;
    d->ring_len = len;
    return BK_OK;
}

enum bk_err demux_join(struct demux *d, uint32_t agent) {
    enum bk_err err = grow_agents(d, agent);
    d->joined++;
    if (err == BK_OK)
        err = grow_ring(d);
    if (err != BK_OK)
        d->joined--;
    return err;
}

/* --- routes --- */

static uint8_t *put_addr(uint8_t *at, const struct bk_addr *addr) {
    *at++ = addr->ip.family;
    memcpy(at, addr->ip.bytes, 16);
    at[16] = (uint8_t)(addr->port >> 8);
    at[17] = (uint8_t)addr->port;
    return at + 18;
}

static uint64_t hash_route(const struct demux *d, const struct bk_addr *local,
                           const struct bk_addr *remote) {
    uint8_t key[ROUTE_KEY_LEN];
    put_addr(put_addr(key, local), remote);
    return siphash24(d->seed, key, sizeof key);
}

static struct demux_route *find_route(const struct demux *d, uint64_t hash,
                                      const struct bk_addr *local, const struct bk_addr *remote) {
    size_t at = 0;
    uint32_t i;
    while (multimap_next(&d->route_map, hash, &at, &i)) {
        struct demux_route *r = &d->routes[i];
        if (bk_addr_equal(&r->local, local) && bk_addr_equal(&r->remote, remote))
            return r;
    }
    return NULL;
}

static enum bk_err grow_routes(struct demux *d) {
    if (d->route_free != d->route_cap)
        return BK_OK;
    uint32_t cap = d->route_cap == 0 ? 16 : d->route_cap * 2;
    struct demux_route *routes = resized(d, d->routes, sizeof *routes, d->route_cap, cap);
    if (routes == NULL)
        return BK_ERR_NO_MEMORY;
    for (uint32_t i = d->route_cap; i < cap; i++)
        routes[i].owner = i + 1;
    d->routes = routes;
    d->route_cap = cap;
    return BK_OK;
}

static struct demux_route *new_route(struct demux *d, uint64_t hash, const struct bk_addr *local,
                                     const struct bk_addr *remote) {
    if (grow_routes(d) != BK_OK)
        return NULL;
    uint32_t i = d->route_free;
    if (multimap_add(&d->route_map, hash, i) != BK_OK)
        return NULL;
    d->route_free = d->routes[i].owner;
    d->routes[i] = (struct demux_route){.local = *local, .remote = *remote, .hash = hash};
    return &d->routes[i];
}

static void release_route(struct demux *d, uint32_t i, uint32_t agent) {
    struct demux_route *r = &d->routes[i];
    if (r->owner == agent)
        r->owned = false;
    if (--r->users > 0)
        return;
    (void)multimap_remove(&d->route_map, r->hash, i);
    r->owner = d->route_free;
    d->route_free = i;
}

static bool has_route(const struct demux_agent *a, uint32_t route) {
    for (uint32_t i = a->route_count; i > 0; i--)
        if (a->routes[i - 1] == route)
            return true;
    return false;
}

/* Where a full list loses one: the oldest on which nothing came in since it was last looked at. */
static uint32_t pick_victim(struct demux *d, const struct demux_agent *a) {
    for (uint32_t i = 0; i < a->route_count; i++) {
        struct demux_route *r = &d->routes[a->routes[i]];
        if (!r->heard)
            return i;
        r->heard = false;
    }
    return 0;
}

static enum bk_err make_room(struct demux *d, uint32_t agent) {
    struct demux_agent *a = &d->agents[agent];
    if (a->route_count < a->route_cap)
        return BK_OK;
    if (a->route_cap < DEMUX_ROUTES) {
        uint32_t cap = a->route_cap == 0 ? ROUTES_FIRST : a->route_cap * 2;
        uint32_t *routes = resized(d, a->routes, sizeof *routes, a->route_count, cap);
        if (routes == NULL)
            return BK_ERR_NO_MEMORY;
        a->routes = routes;
        a->route_cap = cap;
        return BK_OK;
    }
    uint32_t victim = pick_victim(d, a);
    release_route(d, a->routes[victim], agent);
    a->route_count--;
    memmove(&a->routes[victim], &a->routes[victim + 1],
            (a->route_count - victim) * sizeof *a->routes);
    return BK_OK;
}

static void learn_route(struct demux *d, uint32_t agent, const struct bk_datagram *out) {
    struct demux_agent *a = &d->agents[agent];
    uint64_t hash = hash_route(d, &out->local, &out->remote);
    struct demux_route *r = find_route(d, hash, &out->local, &out->remote);
    if (r != NULL && r->owned && r->owner == agent)
        return;
    if (r == NULL || !has_route(a, (uint32_t)(r - d->routes))) {
        if (make_room(d, agent) != BK_OK)
            return;
        r = find_route(d, hash, &out->local, &out->remote); /* it may just have made room */
        if (r == NULL)
            r = new_route(d, hash, &out->local, &out->remote);
        if (r == NULL)
            return;
        r->users++;
        a->routes[a->route_count++] = (uint32_t)(r - d->routes);
    }
    r->owner = agent;
    r->owned = true;
}

/* --- names --- */

enum bk_err demux_name(struct demux *d, uint32_t agent, const char *ufrag, size_t len) {
    struct demux_agent *a = &d->agents[agent];
    uint64_t hash = siphash24(d->seed, ufrag, len);
    if (a->name_count > 0 && a->names[0] == hash)
        return BK_OK;
    enum bk_err err = multimap_add(&d->names, hash, agent);
    if (err != BK_OK)
        return err;
    if (a->name_count == DEMUX_NAMES)
        (void)multimap_remove(&d->names, a->names[--a->name_count], agent);
    memmove(&a->names[1], &a->names[0], a->name_count * sizeof a->names[0]);
    a->names[0] = hash;
    a->name_count++;
    return BK_OK;
}

void demux_leave(struct demux *d, uint32_t agent) {
    struct demux_agent *a = &d->agents[agent];
    for (uint32_t i = 0; i < a->name_count; i++)
        (void)multimap_remove(&d->names, a->names[i], agent);
    for (uint32_t i = 0; i < a->route_count; i++)
        release_route(d, a->routes[i], agent);
    d->alloc.put(d->alloc.ctx, a->routes);
    *a = (struct demux_agent){.name_count = 0};
    d->joined--; /* its transactions leave the ring in time: what they name refuses the answers */
}

/* --- transactions --- */

static void learn_txn(struct demux *d, uint32_t agent, const uint8_t *txid) {
    uint64_t hash = siphash24(d->seed, txid, STUN_TXID_LEN);
    if (multimap_has(&d->txns, hash, agent)) /* sent again */
        return;
    struct demux_txn *t = &d->ring[d->ring_next];
    if (t->used)
        (void)multimap_remove(&d->txns, t->hash, t->agent);
    t->used = multimap_add(&d->txns, hash, agent) == BK_OK;
    t->hash = hash;
    t->agent = agent;
    d->ring_next = (d->ring_next + 1) % d->ring_len;
}

/* The class bits of a STUN message's type, RFC 8489 section 5. */
static enum stun_class class_of(const uint8_t *data) {
    return (enum stun_class)((data[0] & 1) << 1 | (data[1] >> 4 & 1));
}

void demux_sent(struct demux *d, uint32_t agent, const struct bk_datagram *out) {
    learn_route(d, agent, out);
    if (stun_is_message(out->data, out->len) && class_of(out->data) == STUN_REQUEST)
        learn_txn(d, agent, out->data + 8);
}

/* --- finding --- */

static size_t collect(const struct multimap *m, uint64_t hash, uint32_t out[DEMUX_OFFERS]) {
    size_t at = 0, n = 0;
    while (n < DEMUX_OFFERS && multimap_next(m, hash, &at, &out[n]))
        n++;
    return n;
}

size_t demux_find_named(const struct demux *d, const char *ufrag, size_t len,
                        uint32_t out[DEMUX_OFFERS]) {
    return collect(&d->names, siphash24(d->seed, ufrag, len), out);
}

size_t demux_find(struct demux *d, const struct bk_datagram *in, uint32_t out[DEMUX_OFFERS]) {
    const char *ufrag;
    size_t len;
    if (stun_is_message(in->data, in->len)) {
        enum stun_class cls = class_of(in->data);
        if (cls == STUN_REQUEST)
            return bk_ice_peek_ufrag(in->data, in->len, &ufrag, &len)
                       ? demux_find_named(d, ufrag, len, out)
                       : 0;
        if (cls != STUN_INDICATION) {
            size_t n = collect(&d->txns, siphash24(d->seed, in->data + 8, STUN_TXID_LEN), out);
            if (n > 0)
                return n;
        }
    }
    struct demux_route *r =
        find_route(d, hash_route(d, &in->local, &in->remote), &in->local, &in->remote);
    if (r == NULL || !r->owned)
        return 0;
    r->heard = true;
    out[0] = r->owner;
    return 1;
}
