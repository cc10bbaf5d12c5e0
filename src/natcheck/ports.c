/* SPDX-License-Identifier: MIT
 * Port allocation: sockets of our own in bursts, so that mappings made at once can be compared with
 * each other and with those made later. What follows from them is in allocation.c. */
#include "natcheck/state.h"

/* Milliseconds after the first answer. Three at once and later three at once give the step of a
 * counting box; the times in between tell it from one that looks at the clock. */
static const int delays_ms[PORT_SAMPLES] = {0, 0, 110, 260, 260, 260};

/* One of them asks the server's other address first: there are boxes that choose the outside
 * address by the remote one (Linux' snat to a range). */
static struct bk_addr remote_of(const struct bk_natcheck *nc, int sample) {
    const struct side *s = &nc->side[V4];
    bool other = sample == PORT_SAMPLES - 1 && has_addr(&s->server[1][0]);
    return s->server[other ? 1 : 0][0];
}

static uint32_t ask_sample(struct bk_natcheck *nc, uint32_t socket, struct bk_addr remote,
                           int delay_ms) {
    const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                            .socket = socket,
                            .remote = remote,
                            .attrs = attr_bit(BK_NAT_PORTS) | attr_bit(BK_NAT_PARITY) |
                                     attr_bit(BK_NAT_POOLING),
                            .delay_us = delay_ms * BK_US_PER_MS,
                            .pace = pace_soon(nc, 3)};
    return probe_ask(nc, &ask);
}

static void start(struct bk_natcheck *nc) {
    struct ports_state *st = &nc->ports;
    st->started = true;
    for (int i = 0; i < PORT_SAMPLES; i++) {
        st->socket[i] = socket_open(nc, V4);
        st->probe[i] = ask_sample(nc, st->socket[i], remote_of(nc, i), delays_ms[i]);
    }
}

/* Eight samples show that there is a block, but say little about its size: as many more as the
 * later tests can spare. */
static bool ask_more(struct bk_natcheck *nc, const struct port_verdict *v) {
    enum { RESERVED = 16 }; /* hairpin 4, inbound-first 3, ALG 1, routers 6, losses */
    struct ports_state *st = &nc->ports;
    if (v->ports != BK_NAT_PORTS_RANDOM || v->port_count == 0 || st->more_count > 0)
        return false;
    while (st->more_count < MORE_SAMPLES &&
           nc->record.packets_sent + st->more_count + RESERVED < nc->config.packets_max) {
        st->more[st->more_count] = ask_sample(nc, socket_open(nc, V4), remote_of(nc, 0), 0);
        st->more_count++;
    }
    return st->more_count > 0;
}

/* Did this probe's first packet make a mapping? Only of probes before it can it share one. */
static bool makes_mapping(const struct bk_natcheck *nc, const struct probe *p, bool *further) {
    enum bk_nat_dep dep = nc->side[V4].dep;
    *further = false;
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        const struct probe *q = &nc->probes[i];
        if (q == p || q->sends == 0 || q->order >= p->order || q->ask.socket != p->ask.socket)
            continue;
        *further = true;
        bool ip = bk_ip_equal(&q->ask.remote.ip, &p->ask.remote.ip);
        bool port = q->ask.remote.port == p->ask.remote.port;
        if (dep == BK_NAT_EI || (dep == BK_NAT_AD && ip) || (ip && port))
            return false;
    }
    return true;
}

static bool is_udp4(const struct probe *p) {
    return p->sends > 0 && p->ask.test != BK_NAT_TEST_TCP && p->ask.remote.ip.family == BK_IPV4;
}

/* How many mappings were made before that probe's, by probes in the order of their first send. */
static uint32_t mappings_before(const struct bk_natcheck *nc, const struct probe *p) {
    uint32_t n = 0;
    bool further;
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        const struct probe *q = &nc->probes[i];
        if (is_udp4(q) && q->order < p->order && makes_mapping(nc, q, &further))
            n++;
    }
    return n;
}

static size_t insert(struct port_sample *out, size_t n, const struct port_sample *s) {
    size_t at = n;
    while (at > 0 && out[at - 1].order > s->order) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = *s;
    return n + 1;
}

static size_t collect(struct bk_natcheck *nc, struct port_sample *out) {
    size_t n = 0;
    for (uint32_t i = 0; i < nc->probe_count && n < PORT_SAMPLES_MAX; i++) {
        const struct probe *p = &nc->probes[i];
        struct port_sample s;
        if (p->ask.test != BK_NAT_TEST_BINDING || !is_udp4(p) || !probe_answered(nc, i) ||
            !makes_mapping(nc, p, &s.further))
            continue;
        s.local = socket_port(nc, p->ask.socket);
        s.external = p->seen.port;
        s.exact = p->sends == 1;
        s.order = mappings_before(nc, p);
        s.t_us = bk_elapsed_us(nc->start, p->first_sent);
        s.last_us = bk_elapsed_us(nc->start, p->last_sent);
        n = insert(out, n, &s);
        probe_witness(nc, i, BK_NAT_PORTS);
        probe_witness(nc, i, BK_NAT_PARITY);
    }
    return n;
}

static void tell(struct bk_natcheck *nc, const struct port_verdict *v) {
    struct bk_nat_traits *t = &nc->record.traits;
    nc->ports.done = true;
    nc->changed = true;
    if (v->ports == BK_NAT_PORTS_UNKNOWN) {
        finding_unclear(nc, BK_NAT_PORTS, 0, BK_NAT_REASON_TOO_FEW);
        finding_unclear(nc, BK_NAT_PARITY, 0, BK_NAT_REASON_TOO_FEW);
        return;
    }
    t->ports = v->ports;
    t->step = v->step;
    t->ports_per_s = v->ports_per_s;
    t->foreign_per_s = v->foreign_per_s;
    t->port_min = v->port_min;
    t->port_max = v->port_max;
    t->port_count = v->port_count;
    finding_known(nc, BK_NAT_PORTS, v->ports, v->permille);
    finding_known(nc, BK_NAT_PARITY, v->parity, v->parity_permille);
}

static bool all_ended(const struct bk_natcheck *nc) {
    const struct ports_state *st = &nc->ports;
    for (int i = 0; i < PORT_SAMPLES; i++) {
        if (!probe_ended(nc, st->probe[i]))
            return false;
    }
    for (size_t i = 0; i < st->more_count; i++) {
        if (!probe_ended(nc, st->more[i]))
            return false;
    }
    return probe_ended(nc, nc->side[V4].plain);
}

void ports_step(struct bk_natcheck *nc) {
    struct ports_state *st = &nc->ports;
    const struct side *s = &nc->side[V4];
    if (!s->reached || st->done)
        return;
    if (!st->started)
        start(nc);
    if (!all_ended(nc))
        return;
    nc->changed = nc->changed || !st->sampled;
    st->sampled = true;
    if (s->dep == BK_NAT_DEP_UNKNOWN)
        return; /* without the mapping behaviour, who made mappings is not known */
    struct port_sample samples[PORT_SAMPLES_MAX];
    const struct port_verdict v = ports_judge(samples, collect(nc, samples));
    if (!ask_more(nc, &v))
        tell(nc, &v);
}
