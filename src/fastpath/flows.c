/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: nanosleep */
#include "fastpath/flows.h"

#include "base/assert.h"
#include "base/rng.h"
#include <stddef.h>
#include <string.h>
#include <time.h>

enum {
    BURST_MS = 100,    /* how far ahead of its rate an allocation may be */
    BURST_MIN = 65536, /* bytes: no frame of video is cut by it */
    RATE_MIN = 8,      /* bytes a second; less does not fit the arithmetic */
    PATIENCE = 100,    /* looks at `users` before the wait for zero becomes a sleep */
    NAP_NS = 20000
};

uint32_t flows_buckets(uint32_t flow_count) {
    uint64_t slots = (uint64_t)flow_count * 4;
    uint32_t count = 2;
    while ((uint64_t)count * FAST_SLOTS < slots)
        count *= 2;
    return count;
}

/* ---- What both sides of the border must agree on ------------------------------------------- */

static void key_addresses(struct fast_key *key, const struct bk_ip *from, const struct bk_ip *to) {
    uint32_t words[8];
    size_t len = from->family == BK_IPV4 ? 4 : 16;
    memcpy(words, from->bytes, len);
    memcpy((uint8_t *)words + len, to->bytes, len);
    for (size_t i = 0; i < len / 4; i++)
        key->words[i] = fast_pair(&words[2 * i]);
}

static uint16_t net16(uint16_t host) {
    const uint8_t bytes[2] = {(uint8_t)(host >> 8), (uint8_t)host};
    uint16_t out;
    memcpy(&out, bytes, sizeof out);
    return out;
}

static uint16_t host16(uint16_t net) {
    uint8_t bytes[2];
    memcpy(bytes, &net, sizeof bytes);
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

struct place {
    uint32_t buckets[2], tag;
};

static struct place place_of(const struct flows *s, const struct bk_addr *from,
                             const struct bk_addr *to, uint16_t channel) {
    struct fast_key key = {{0}};
    const struct fast_settings *set = s->shared.settings;
    int words = from->ip.family == BK_IPV4 ? 2 : 5;
    key_addresses(&key, &from->ip, &to->ip);
    key.words[words - 1] =
        fast_ports(net16(from->port), net16(to->port), net16(channel), from->ip.family);
    uint64_t hash = fast_hash(set->seed, &key, words);
    struct place p = {{fast_first(hash, set->bucket_mask), fast_second(hash, set->bucket_mask)},
                      fast_tag(hash)};
    return p;
}

static uint64_t sum_bytes(const uint8_t *bytes, size_t len) {
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2) {
        uint16_t word;
        memcpy(&word, bytes + i, sizeof word);
        sum += word;
    }
    return sum;
}

static struct fast_sums sums_of(const struct bk_addr in[2], const struct bk_addr out[2]) {
    enum { UDP = 17 };
    uint64_t came = sum_bytes(in[0].ip.bytes, 16) + sum_bytes(in[1].ip.bytes, 16);
    uint64_t goes = sum_bytes(out[0].ip.bytes, 16) + sum_bytes(out[1].ip.bytes, 16);
    uint64_t old = came + net16(in[0].port) + net16(in[1].port);
    struct fast_sums sums = {0};
    sums.before = fast_fold(came + net16(UDP));
    sums.address = fast_fold(goes);
    sums.change = fast_fold(goes + net16(out[0].port) + net16(out[1].port) +
                            (uint16_t)~fast_fold(old)); /* RFC 1624 section 3 */
    return sums;
}

/* RFC 6437 section 3: the same for all packets of a flow, unlike those of others, and not 0. */
static uint32_t label_of(uint64_t seed, const struct bk_addr *from, const struct bk_addr *to) {
    struct fast_key key = {{0}};
    const uint64_t seeds[2] = {seed, ~seed};
    key_addresses(&key, &from->ip, &to->ip);
    key.words[4] = fast_ports(net16(from->port), net16(to->port), 0, 6);
    uint32_t label = (uint32_t)(fast_hash(seeds, &key, 5) & 0xfffff) | 1;
    const uint8_t bytes[4] = {0, (uint8_t)(label >> 16), (uint8_t)(label >> 8), (uint8_t)label};
    uint32_t out;
    memcpy(&out, bytes, sizeof out);
    return out;
}

/* ---- The index ------------------------------------------------------------------------------ */

static void slot_write(uint64_t *slot, uint64_t value) {
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
}

/* A free slot in the emptier of the two buckets. NULL: none, or one with this tag is there. */
static uint64_t *slot_for(const struct flows *s, const struct place *p) {
    uint64_t *best = NULL;
    int best_free = 0;
    for (int b = 0; b < 2; b++) {
        uint64_t *slots = s->shared.buckets[p->buckets[b]].slots, *first = NULL;
        int empty = 0;
        for (int i = 0; i < FAST_SLOTS; i++) {
            if (slots[i] != 0 && slots[i] >> 32 == p->tag)
                return NULL;
            if (slots[i] != 0)
                continue;
            empty++;
            first = &slots[i];
        }
        if (empty > best_free) {
            best = first;
            best_free = empty;
        }
    }
    return best;
}

static uint64_t slot_value(const struct place *p, uint32_t flow, enum fast_way way) {
    return (uint64_t)p->tag << 32 | (((uint64_t)flow << 1 | (uint64_t)way) + 1);
}

static void slot_clear(const struct flows *s, const struct place *p, uint32_t flow,
                       enum fast_way way) {
    uint64_t value = slot_value(p, flow, way);
    for (int b = 0; b < 2; b++) {
        uint64_t *slots = s->shared.buckets[p->buckets[b]].slots;
        for (int i = 0; i < FAST_SLOTS; i++)
            if (slots[i] == value)
                slot_write(&slots[i], 0);
    }
}

/* ---- Bandwidth ------------------------------------------------------------------------------ */

/* Rounded so that it is never more than asked for. */
static void limit_set(struct fast_limit *limit, uint64_t bytes_per_s) {
    uint64_t burst = bytes_per_s / (1000 / BURST_MS);
    uint64_t per_byte = ((UINT64_C(1000000000) << 20) + bytes_per_s - 1) / bytes_per_s;
    if (burst < BURST_MIN)
        burst = BURST_MIN;
    __atomic_store_n(&limit->per_byte, per_byte, __ATOMIC_RELAXED);
    __atomic_store_n(&limit->burst, burst * per_byte >> 12, __ATOMIC_RELAXED);
}

/* The limit of an allocation, and one sharer more. BK_ERR_FULL. */
static enum bk_err limit_take(struct flows *s, uint64_t alloc, uint32_t *out) {
    uint32_t place;
    if (!table_get(&s->by_alloc, &alloc, &place)) {
        if (s->free_limit_count > 0)
            place = s->free_limits[s->free_limit_count - 1];
        else if (s->used_limits < s->shared.limit_count)
            place = s->used_limits;
        else
            return BK_ERR_FULL;
        if (table_put(&s->by_alloc, &alloc, place) != BK_OK)
            return BK_ERR_FULL;
        if (s->free_limit_count > 0)
            s->free_limit_count--;
        else
            s->used_limits++;
        memset(&s->shared.limits[place], 0, sizeof s->shared.limits[place]);
        s->limit_of[place] = alloc;
        s->sharers[place] = 0;
    }
    s->sharers[place]++;
    *out = place;
    return BK_OK;
}

static void limit_give_back(struct flows *s, uint32_t place) {
    if (--s->sharers[place] > 0)
        return;
    (void)table_remove(&s->by_alloc, &s->limit_of[place]);
    s->free_limits[s->free_limit_count++] = place;
}

/* Makes the flow's limit what is asked for. BK_ERR_FULL: nothing changed. */
static enum bk_err limit_change(struct flows *s, struct fast_flow *f,
                                const struct fastpath_flow *flow) {
    if (flow->bytes_per_s == 0) {
        uint32_t had = f->limit;
        __atomic_store_n(&f->limit, 0, __ATOMIC_RELEASE);
        if (had != 0)
            limit_give_back(s, had - 1);
        return BK_OK;
    }
    if (f->limit == 0) {
        uint32_t place;
        enum bk_err err = limit_take(s, flow->alloc, &place);
        if (err != BK_OK)
            return err;
        limit_set(&s->shared.limits[place], flow->bytes_per_s);
        __atomic_store_n(&f->limit, place + 1, __ATOMIC_RELEASE);
        return BK_OK;
    }
    limit_set(&s->shared.limits[f->limit - 1], flow->bytes_per_s);
    return BK_OK;
}

/* ---- Flows ---------------------------------------------------------------------------------- */

static bool is_address(const struct bk_addr *a) {
    return (a->ip.family == BK_IPV4 || a->ip.family == BK_IPV6) && a->ip.zone == 0 && a->port != 0;
}

static bool is_flow(const struct fastpath_flow *f) {
    return f->id != 0 && is_address(&f->client) && is_address(&f->server) &&
           is_address(&f->relay) && is_address(&f->peer) &&
           f->client.ip.family == f->server.ip.family && f->relay.ip.family == f->peer.ip.family &&
           f->channel >= 0x4000 && f->channel <= 0x7fff;
}

static bool same_addr(const uint8_t ip[16], uint16_t port, const struct bk_addr *addr) {
    return memcmp(ip, addr->ip.bytes, 16) == 0 && port == net16(addr->port);
}

static bool same_flow(const struct fast_flow *f, const struct fastpath_flow *flow) {
    return f->channel == net16(flow->channel) &&
           same_addr(f->client, f->client_port, &flow->client) &&
           same_addr(f->server, f->server_port, &flow->server) &&
           same_addr(f->relay, f->relay_port, &flow->relay) &&
           same_addr(f->peer, f->peer_port, &flow->peer);
}

static uint64_t expiry(struct bk_time t) {
    if (t.us >= INT64_MAX / 1000)
        return UINT64_MAX;
    return t.us < 0 ? 0 : (uint64_t)t.us * 1000;
}

/* But for `users`: a program may still look at what was here before, and leave it soon. */
static void fill(const struct flows *s, struct fast_flow *f, const struct fastpath_flow *flow) {
    const struct bk_addr up[2][2] = {{flow->client, flow->server}, {flow->relay, flow->peer}};
    const struct bk_addr down[2][2] = {{flow->peer, flow->relay}, {flow->server, flow->client}};
    uint64_t seed = s->shared.settings->seed[0];
    memcpy(f->client, flow->client.ip.bytes, 16);
    memcpy(f->server, flow->server.ip.bytes, 16);
    memcpy(f->relay, flow->relay.ip.bytes, 16);
    memcpy(f->peer, flow->peer.ip.bytes, 16);
    f->client_port = net16(flow->client.port);
    f->server_port = net16(flow->server.port);
    f->relay_port = net16(flow->relay.port);
    f->peer_port = net16(flow->peer.port);
    f->channel = net16(flow->channel);
    f->client_family = flow->client.ip.family;
    f->peer_family = flow->peer.ip.family;
    f->sums[FAST_UP] = sums_of(up[0], up[1]);
    f->sums[FAST_DOWN] = sums_of(down[0], down[1]);
    f->sums[FAST_UP].label = label_of(seed, &flow->relay, &flow->peer);
    f->sums[FAST_DOWN].label = label_of(seed, &flow->server, &flow->client);
    f->expires_ns = expiry(flow->expires);
}

static struct bk_addr addr_of(const uint8_t ip[16], uint8_t family, uint16_t port) {
    struct bk_addr a = {0};
    a.ip.family = family;
    memcpy(a.ip.bytes, ip, 16);
    a.port = host16(port);
    return a;
}

/* Where in the index a flow is. */
static void places_of(const struct flows *s, const struct fast_flow *f, struct place out[2]) {
    const struct bk_addr client = addr_of(f->client, f->client_family, f->client_port);
    const struct bk_addr server = addr_of(f->server, f->client_family, f->server_port);
    const struct bk_addr relay = addr_of(f->relay, f->peer_family, f->relay_port);
    const struct bk_addr peer = addr_of(f->peer, f->peer_family, f->peer_port);
    out[FAST_UP] = place_of(s, &client, &server, host16(f->channel));
    out[FAST_DOWN] = place_of(s, &peer, &relay, 0);
}

/* Programs are done within microseconds, and cannot be interrupted by us: the wait is only as long
 * as one that runs at this moment on another core. */
static void wait_for_users(const struct fast_flow *f) {
    const struct timespec nap = {0, NAP_NS};
    for (int i = 0; __atomic_load_n(&f->users, __ATOMIC_SEQ_CST) != 0; i++)
        if (i >= PATIENCE)
            (void)nanosleep(&nap, NULL);
}

/* Afterwards nothing is carried for it and nothing counted. Fine for one that never ran. */
static void halt(struct flows *s, uint32_t place) {
    struct fast_flow *f = &s->shared.flows[place];
    struct place at[2];
    places_of(s, f, at);
    /* A program counts itself in, then looks whether the flow lives; here it is the other way
     * round, all of it in one total order: who is not seen below has seen this. */
    (void)__atomic_exchange_n(&f->alive, 0, __ATOMIC_SEQ_CST);
    slot_clear(s, &at[FAST_UP], place, FAST_UP);
    slot_clear(s, &at[FAST_DOWN], place, FAST_DOWN);
    wait_for_users(f);
    if (f->limit != 0)
        limit_give_back(s, f->limit - 1);
    f->limit = 0;
}

/* Carries from here on, in a place where nothing runs. On failure still nothing does. */
static enum bk_err run(struct flows *s, uint32_t place, const struct fastpath_flow *flow) {
    struct fast_flow *f = &s->shared.flows[place];
    struct place at[2];
    fill(s, f, flow);
    enum bk_err err = limit_change(s, f, flow);
    if (err != BK_OK)
        return err;
    places_of(s, f, at);
    for (int way = FAST_UP; way <= FAST_DOWN; way++) {
        uint64_t *slot = slot_for(s, &at[way]);
        if (slot == NULL) {
            halt(s, place);
            return BK_ERR_FULL;
        }
        slot_write(slot, slot_value(&at[way], place, (enum fast_way)way));
    }
    __atomic_store_n(&f->alive, 1, __ATOMIC_SEQ_CST);
    return BK_OK;
}

/* A flow that is there. One that cannot be as it should is carried no more. */
static enum bk_err change(struct flows *s, uint32_t place, const struct fastpath_flow *flow) {
    struct fast_flow *f = &s->shared.flows[place];
    if (f->alive == 0 || !same_flow(f, flow)) {
        halt(s, place);
        return run(s, place, flow);
    }
    enum bk_err err = limit_change(s, f, flow);
    if (err == BK_OK)
        __atomic_store_n(&f->expires_ns, expiry(flow->expires), __ATOMIC_RELEASE);
    else
        halt(s, place);
    return err;
}

static enum bk_err check(const struct fastpath_flow *flow) {
    if (!is_flow(flow))
        return BK_ERR_ARGUMENT;
    bool too_slow = flow->bytes_per_s > 0 && flow->bytes_per_s < RATE_MIN;
    return too_slow ? BK_ERR_UNSUPPORTED : BK_OK;
}

enum bk_err flows_put(struct flows *s, const struct fastpath_flow *flow) {
    uint32_t place;
    enum bk_err err = check(flow);
    if (table_get(&s->by_id, &flow->id, &place)) {
        if (err == BK_OK)
            return change(s, place, flow);
        halt(s, place);
    }
    if (err != BK_OK)
        return err;
    bool again = s->free_flow_count > 0;
    if (!again && s->used_flows == s->shared.flow_count)
        return BK_ERR_FULL;
    place = again ? s->free_flows[s->free_flow_count - 1] : s->used_flows;
    struct fast_flow *f = &s->shared.flows[place];
    memset(f->packets, 0, sizeof *f - offsetof(struct fast_flow, packets));
    err = run(s, place, flow);
    if (err != BK_OK)
        return err;
    bool known = table_put(&s->by_id, &flow->id, place) == BK_OK;
    bk_assert(known); /* it has room for as many as there are places */
    if (again)
        s->free_flow_count--;
    else
        s->used_flows++;
    return BK_OK;
}

static void read_counts(const struct fast_flow *f, struct fastpath_count *out) {
    out->packets_to_peer = __atomic_load_n(&f->packets[FAST_UP], __ATOMIC_RELAXED);
    out->bytes_to_peer = __atomic_load_n(&f->bytes[FAST_UP], __ATOMIC_RELAXED);
    out->packets_to_client = __atomic_load_n(&f->packets[FAST_DOWN], __ATOMIC_RELAXED);
    out->bytes_to_client = __atomic_load_n(&f->bytes[FAST_DOWN], __ATOMIC_RELAXED);
    out->dropped = __atomic_load_n(&f->dropped, __ATOMIC_RELAXED);
}

enum bk_err flows_remove(struct flows *s, uint64_t id, struct fastpath_count *last) {
    uint32_t place;
    if (!table_get(&s->by_id, &id, &place))
        return BK_ERR_NOT_FOUND;
    halt(s, place);
    if (last != NULL)
        read_counts(&s->shared.flows[place], last);
    (void)table_remove(&s->by_id, &id);
    s->free_flows[s->free_flow_count++] = place;
    return BK_OK;
}

enum bk_err flows_count(const struct flows *s, uint64_t id, struct fastpath_count *out) {
    uint32_t place;
    if (!table_get(&s->by_id, &id, &place))
        return BK_ERR_NOT_FOUND;
    read_counts(&s->shared.flows[place], out);
    return BK_OK;
}

/* ---- Begin and end -------------------------------------------------------------------------- */

void flows_fini(struct flows *s) {
    table_fini(&s->by_id);
    table_fini(&s->by_alloc);
    s->alloc.put(s->alloc.ctx, s->free_flows);
    s->alloc.put(s->alloc.ctx, s->free_limits);
    s->alloc.put(s->alloc.ctx, s->sharers);
    s->alloc.put(s->alloc.ctx, s->limit_of);
}

static bool get_arrays(struct flows *s) {
    const struct bk_alloc *a = &s->alloc;
    s->free_flows = a->get(a->ctx, sizeof *s->free_flows * s->shared.flow_count);
    s->free_limits = a->get(a->ctx, sizeof *s->free_limits * s->shared.limit_count);
    s->sharers = a->get(a->ctx, sizeof *s->sharers * s->shared.limit_count);
    s->limit_of = a->get(a->ctx, sizeof *s->limit_of * s->shared.limit_count);
    return s->free_flows != NULL && s->free_limits != NULL && s->sharers != NULL &&
           s->limit_of != NULL;
}

enum bk_err flows_init(struct flows *s, const struct flows_memory *memory, const struct bk_rng *rng,
                       struct bk_time now, const struct bk_alloc *alloc) {
    *s = (struct flows){.shared = *memory, .alloc = *alloc};
    struct fast_settings *set = memory->settings;
    if (!get_arrays(s) ||
        table_init(&s->by_id, sizeof(uint64_t), memory->flow_count, rng, alloc) != BK_OK ||
        table_init(&s->by_alloc, sizeof(uint64_t), memory->limit_count, rng, alloc) != BK_OK) {
        flows_fini(s);
        return BK_ERR_NO_MEMORY;
    }
    set->seed[0] = rng_u64(rng);
    set->seed[1] = rng_u64(rng);
    set->epoch_ns = expiry(now);
    set->lease_ns = UINT64_MAX;
    set->bucket_mask = memory->bucket_count - 1;
    return BK_OK;
}
