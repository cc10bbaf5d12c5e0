/* SPDX-License-Identifier: MIT
 * links: run
 * Whose is a datagram? Agents come, go, change their names and send, with memory that fails now and
 * then; requests are offered to whom they name, responses to whom they answer, and the tables count
 * what there is. The first byte of a step says what is done. */
#include "run/demux.h"
#include "fuzz.h"

#include <bodkin/ice_io.h>

enum { AGENTS = 12, NAMES = 6, PORTS = 8, MESSAGE = 20 + 4 + 8 };

struct play {
    const uint8_t *in;
    size_t left;
    struct demux demux;
    bool joined[AGENTS];
    int name[AGENTS];   /* the present one */
    bool noted[AGENTS]; /* its last request found memory; only those must be found */
    uint8_t txid[AGENTS];
    bool poor; /* memory fails on some days */
    uint32_t day;
};

static uint8_t next(struct play *p) {
    if (p->left == 0)
        return 0;
    p->left--;
    return *p->in++;
}

static void *poor_get(void *ctx, size_t size) {
    struct play *p = ctx;
    if (p->poor && ++p->day % 3 == 0)
        return NULL;
    return fuzz_get(NULL, size);
}

static void zeros(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 0, len);
}

static const char *const names[NAMES] = {"a", "ab", "abc", "b", "bcde", "name"};

static struct bk_datagram datagram(struct play *p, uint8_t at, const uint8_t *data, size_t len) {
    struct bk_datagram d = {.data = data, .len = len};
    (void)p;
    d.local = (struct bk_addr){.ip = {.family = BK_IPV4, .bytes = {127, 0, 0, 1}}, .port = 1};
    d.remote = d.local;
    d.remote.port = (uint16_t)(2 + at % PORTS);
    return d;
}

/* A Binding message; a request has USERNAME. */
static size_t message(uint8_t *out, bool request, uint8_t txid, const char *name) {
    static const uint8_t start[] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    memset(out, 0, MESSAGE);
    memcpy(out, start, sizeof start);
    out[0] = request ? 0 : 1;
    out[8] = txid;
    if (!request)
        return 20;
    size_t len = strlen(name);
    memcpy(out + 24, name, len);
    out[24 + len] = ':';
    out[3] = 12;
    out[21] = 6;
    out[23] = (uint8_t)(len + 1);
    return MESSAGE;
}

static void send_request(struct play *p, uint32_t agent) {
    uint8_t m[MESSAGE], at = next(p);
    p->txid[agent] = next(p);
    struct bk_datagram d = datagram(p, at, m, message(m, true, p->txid[agent], "peer"));
    demux_sent(&p->demux, agent, &d);
    p->noted[agent] = !p->poor;
}

static bool is_among(const uint32_t *offers, size_t n, uint32_t agent) {
    bool found = n == DEMUX_OFFERS; /* too many have the same: it may be left out */
    for (size_t i = 0; i < n; i++)
        found |= offers[i] == agent;
    return found;
}

static void look_for(struct play *p, uint32_t agent) {
    uint8_t m[MESSAGE];
    uint32_t offers[DEMUX_OFFERS];
    struct bk_datagram in = datagram(p, 0, m, message(m, true, 0, names[p->name[agent]]));
    fuzz_check(is_among(offers, demux_find(&p->demux, &in, offers), agent));
    if (!p->noted[agent])
        return;
    in.len = message(m, false, p->txid[agent], NULL);
    fuzz_check(is_among(offers, demux_find(&p->demux, &in, offers), agent));
}

/* Any bytes. */
static void find_noise(struct play *p) {
    uint32_t offers[DEMUX_OFFERS];
    size_t len = next(p);
    len = len < p->left ? len : p->left;
    uint8_t *copy = fuzz_copy(p->in, len);
    struct bk_datagram in = datagram(p, next(p), copy, len);
    fuzz_check(demux_find(&p->demux, &in, offers) <= DEMUX_OFFERS);
    free(copy);
}

static void check(const struct play *p) {
    const struct demux *d = &p->demux;
    size_t called = 0, on_routes = 0, users = 0, routes = 0;
    for (uint32_t i = 0; i < d->agent_cap; i++) {
        called += d->agents[i].name_count;
        on_routes += d->agents[i].route_count;
    }
    bool *is_free = calloc(d->route_cap + 1, sizeof *is_free);
    fuzz_check(is_free != NULL);
    for (uint32_t i = d->route_free; i < d->route_cap; i = d->routes[i].owner)
        is_free[i] = true;
    for (uint32_t i = 0; i < d->route_cap; i++) {
        users += is_free[i] ? 0 : d->routes[i].users;
        routes += !is_free[i];
    }
    free(is_free);
    fuzz_check(called == d->names.count && on_routes == users && routes == d->route_map.count);
}

static void step(struct play *p) {
    uint8_t what = next(p);
    uint32_t agent = what / 8 % AGENTS;
    p->poor = (what & 7) == 7 ? !p->poor : p->poor;
    if (!p->joined[agent]) {
        p->name[agent] = next(p) % NAMES;
        if (demux_join(&p->demux, agent) != BK_OK)
            return;
        p->noted[agent] = false;
        const char *name = names[p->name[agent]];
        p->joined[agent] = demux_name(&p->demux, agent, name, strlen(name)) == BK_OK;
        if (!p->joined[agent])
            demux_leave(&p->demux, agent);
        return;
    }
    int name = next(p) % NAMES;
    switch (what & 7) {
    case 0:
        demux_leave(&p->demux, agent);
        p->joined[agent] = false;
        break;
    case 1:
        if (demux_name(&p->demux, agent, names[name], strlen(names[name])) == BK_OK)
            p->name[agent] = name;
        break;
    case 2:
        find_noise(p);
        break;
    default:
        send_request(p, agent);
        break;
    }
    if (p->joined[agent])
        look_for(p, agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.in = data, .left = size};
    const struct bk_alloc alloc = {poor_get, fuzz_put, &p};
    const struct bk_rng rng = {zeros, NULL};
    demux_init(&p.demux, &rng, &alloc);
    while (p.left > 0) {
        step(&p);
        check(&p);
    }
    for (uint32_t i = 0; i < AGENTS; i++)
        if (p.joined[i])
            demux_leave(&p.demux, i);
    fuzz_check(p.demux.names.count == 0 && p.demux.route_map.count == 0 && p.demux.joined == 0);
    demux_fini(&p.demux);
    return 0;
}
