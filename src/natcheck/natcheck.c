/* SPDX-License-Identifier: MIT
 * The object: the order of the steps, findings, the end. */
#include "natcheck/state.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <string.h>

const struct bk_natcheck_config bk_natcheck_config_default = {
    .tcp = true,
    .rto_us = 250 * BK_US_PER_MS, /* 4 times the median RTT to a server nearby */
    .packets_max = 40,
    .deep_packets_max = 600,
    .lifetime_max_us = 600 * BK_US_PER_S, /* twice RFC 4787 REQ-5c */
};

static bool is_server(const struct bk_addr *a, uint8_t family) {
    return !has_addr(a) || (a->ip.family == family && a->port != 0 && !bk_ip_is_any(&a->ip));
}

const char *bk_natcheck_config_check(const struct bk_natcheck_config *c) {
    if (!is_server(&c->server, BK_IPV4) || (!has_addr(&c->server) && !has_addr(&c->server6)))
        return "server";
    if (!is_server(&c->server6, BK_IPV6))
        return "server6";
    if (!is_server(&c->second, BK_IPV4))
        return "second";
    if (!is_server(&c->fallback, BK_IPV4))
        return "fallback";
    if (c->local_count > BK_NATCHECK_LOCALS_MAX)
        return "local_count";
    if (c->hop_count > BK_NATCHECK_HOPS_MAX)
        return "hop_count";
    if (c->gateway.family != BK_FAMILY_NONE && c->gateway.family != BK_IPV4)
        return "gateway";
    if (c->rto_us < 20 * BK_US_PER_MS || c->rto_us > 3 * BK_US_PER_S)
        return "rto_us";
    if (c->packets_max < 10 || c->packets_max > 200)
        return "packets_max";
    if (c->deep_packets_max < 10 || c->deep_packets_max > 2000)
        return "deep_packets_max";
    if (c->lifetime_max_us < 60 * BK_US_PER_S || c->lifetime_max_us > 3600 * BK_US_PER_S)
        return "lifetime_max_us";
    return NULL;
}

/* ---- findings ---- */

static bool is_lifetime(unsigned attr) {
    return attr >= BK_NAT_LIFE_FIRST && attr <= BK_NAT_REFRESH_IN;
}

static bool is_ipv6(unsigned attr) {
    return attr >= BK_NAT_IPV6 && attr <= BK_NAT_IPV6_FILTERING;
}

static bool is_portmap(unsigned attr) {
    return attr >= BK_NAT_PCP && attr <= BK_NAT_UPNP;
}

static bool is_asked(const struct bk_natcheck_config *c, unsigned attr) {
    if (is_ipv6(attr))
        return has_addr(&c->server6);
    if (is_portmap(attr))
        return c->gateway.family != BK_FAMILY_NONE;
    if (!has_addr(&c->server))
        return false;
    if (is_lifetime(attr))
        return c->deep;
    return attr != BK_NAT_TCP_MAPPING || c->tcp;
}

static void write_finding(struct bk_natcheck *nc, enum bk_nat_attr attr,
                          const struct bk_nat_finding *finding) {
    struct bk_nat_finding *f = &nc->record.findings[attr];
    if (f->status == finding->status && f->value == finding->value &&
        f->reason == finding->reason && f->permille == finding->permille)
        return;
    *f = *finding;
    nc->events |= UINT64_C(1) << attr;
    nc->changed = true;
}

void finding_known(struct bk_natcheck *nc, enum bk_nat_attr attr, int64_t value,
                   uint16_t permille) {
    const struct bk_nat_finding f = {.status = BK_NAT_KNOWN, .value = value, .permille = permille};
    write_finding(nc, attr, &f);
}

void finding_unclear(struct bk_natcheck *nc, enum bk_nat_attr attr, int64_t guess,
                     enum bk_nat_reason reason) {
    const struct bk_nat_finding f = {.status = BK_NAT_UNCLEAR, .value = guess, .reason = reason};
    write_finding(nc, attr, &f);
}

bool finding_is_pending(const struct bk_natcheck *nc, enum bk_nat_attr attr) {
    return nc->record.findings[attr].status == BK_NAT_PENDING;
}

void note_external(struct bk_natcheck *nc, const struct bk_addr *seen) {
    struct bk_nat_record *r = &nc->record;
    if (seen->ip.family != BK_IPV4)
        return;
    for (size_t i = 0; i < r->external_count; i++) {
        if (bk_ip_equal(&r->externals[i], &seen->ip))
            return;
    }
    if (r->external_count < sizeof r->externals / sizeof *r->externals)
        r->externals[r->external_count++] = seen->ip;
}

/* ---- running ---- */

static void (*const steps[])(struct bk_natcheck *nc) = {
    reach_step,   mapping_step, filtering_step, ports_step,   pooling_step,    inbound_first_step,
    hairpin_step, alg_step,     tcp_step,       portmap_step, double_nat_step, lifetime_step,
};

enum { ROUNDS_MAX = 64 }; /* each finding and each probe changes a few times at most */

static bool all_decided(const struct bk_natcheck *nc, bool lifetimes) {
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++) {
        if (is_lifetime(a) == lifetimes && nc->record.findings[a].status == BK_NAT_PENDING)
            return false;
    }
    return true;
}

static void finish(struct bk_natcheck *nc) {
    for (uint32_t i = 0; i < nc->probe_count; i++)
        probe_cancel(nc, i);
    socket_close_all(nc);
    nc->done = true;
}

static void watch_end(struct bk_natcheck *nc) {
    if (!nc->quick_done && all_decided(nc, false)) {
        nc->quick_done = true;
        nc->changed = true;
        nc->record.took_us = bk_elapsed_us(nc->start, nc->now);
    }
    if (nc->quick_done && all_decided(nc, true) && !nc->done) {
        if (nc->config.deep)
            nc->record.deep_took_us = bk_elapsed_us(nc->start, nc->now);
        finish(nc);
    }
}

/* After every input. */
static void turn(struct bk_natcheck *nc) {
    for (int round = 0; round < ROUNDS_MAX && !nc->done; round++) {
        nc->changed = false;
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            steps[i](nc);
        probe_advance(nc);
        watch_end(nc);
        if (!nc->changed)
            return;
    }
}

static void see(struct bk_natcheck *nc, struct bk_time now) {
    nc->now = bk_later(nc->now, now);
}

static void clear_indices(struct bk_natcheck *nc) {
    for (int f = 0; f < FAMILIES; f++) {
        struct side *s = &nc->side[f];
        s->s0 = s->first = s->to_fallback = s->to_second = s->again_socket = NONE;
        s->f1 = s->f2 = s->plain = s->change_both = s->change_port = NONE;
        for (int i = 0; i < 3; i++)
            s->mapping[i] = s->again[i] = NONE;
    }
    memset(nc->ports.socket, 0xff, sizeof nc->ports.socket);
    memset(nc->ports.probe, 0xff, sizeof nc->ports.probe);
    memset(nc->ports.more, 0xff, sizeof nc->ports.more);
    memset(nc->pooling.probe, 0xff, sizeof nc->pooling.probe);
    memset(nc->hairpin.probe, 0xff, sizeof nc->hairpin.probe);
    memset(nc->portmap.probe, 0xff, sizeof nc->portmap.probe);
    memset(nc->tcp.socket, 0xff, sizeof nc->tcp.socket);
    memset(nc->tcp.probe, 0xff, sizeof nc->tcp.probe);
    nc->alg.probe = nc->inbound.probe = NONE;
    nc->lifetime.listener = nc->lifetime.hello = NONE;
}

enum bk_err bk_natcheck_new(const struct bk_natcheck_config *config, const struct bk_alloc *alloc,
                            const struct bk_rng *rng, struct bk_time now,
                            struct bk_natcheck **out) {
    if (bk_natcheck_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    struct bk_natcheck *nc = alloc->get(alloc->ctx, sizeof *nc);
    if (nc == NULL)
        return BK_ERR_NO_MEMORY;
    nc->config = *config;
    nc->alloc = *alloc;
    nc->rng = *rng;
    nc->now = nc->start = now;
    clear_indices(nc);
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++)
        nc->record.findings[a].status = is_asked(config, a) ? BK_NAT_PENDING : BK_NAT_NOT_ASKED;
    turn(nc);
    *out = nc;
    return BK_OK;
}

void bk_natcheck_free(struct bk_natcheck *check) {
    if (check == NULL)
        return;
    struct bk_alloc alloc = check->alloc;
    wipe(check, sizeof *check);
    alloc.put(alloc.ctx, check);
}

void bk_natcheck_opened(struct bk_natcheck *check, uint32_t socket, enum bk_err err,
                        const struct bk_addr *local, struct bk_time now) {
    see(check, now);
    if (socket >= BK_NATCHECK_SOCKETS_MAX)
        return;
    socket_answer(check, socket, err, local);
    turn(check);
}

void bk_natcheck_closed(struct bk_natcheck *check, uint32_t socket, struct bk_time now) {
    see(check, now);
    if (socket >= BK_NATCHECK_SOCKETS_MAX)
        return;
    socket_end(check, socket);
    turn(check);
}

enum bk_err bk_natcheck_recv(struct bk_natcheck *check, uint32_t socket,
                             const struct bk_datagram *in, struct bk_time now) {
    see(check, now);
    if (check->done || socket >= BK_NATCHECK_SOCKETS_MAX)
        return BK_ERR_NOT_OURS;
    enum bk_err err = probe_recv(check, socket, in);
    turn(check);
    return err;
}

void bk_natcheck_advance(struct bk_natcheck *check, struct bk_time now) {
    see(check, now);
    turn(check);
}

struct bk_time bk_natcheck_deadline(const struct bk_natcheck *check) {
    if (check->done)
        return BK_NEVER;
    return bk_earlier(tcp_deadline(check), probe_deadline(check));
}

bool bk_natcheck_next_datagram(struct bk_natcheck *check, uint32_t *socket,
                               struct bk_datagram *out) {
    return !check->done && probe_next_datagram(check, socket, out);
}

bool bk_natcheck_next_event(struct bk_natcheck *check, struct bk_natcheck_event *out) {
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++) {
        if ((check->events >> a & 1) == 0)
            continue;
        check->events &= ~(UINT64_C(1) << a);
        *out = (struct bk_natcheck_event){.kind = BK_NATCHECK_FOUND, .attr = (enum bk_nat_attr)a};
        return true;
    }
    if (!check->done || check->done_told)
        return false;
    check->done_told = true;
    *out = (struct bk_natcheck_event){.kind = BK_NATCHECK_DONE};
    return true;
}

void bk_natcheck_stop(struct bk_natcheck *check, struct bk_time now) {
    see(check, now);
    if (check->done)
        return;
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++) {
        if (check->record.findings[a].status == BK_NAT_PENDING)
            finding_unclear(check, (enum bk_nat_attr)a, 0, BK_NAT_REASON_STOPPED);
    }
    if (!check->quick_done)
        check->record.took_us = bk_elapsed_us(check->start, check->now);
    check->quick_done = true;
    finish(check);
}

bool bk_natcheck_is_done(const struct bk_natcheck *check) {
    return check->done;
}

const struct bk_nat_record *bk_natcheck_record(const struct bk_natcheck *check) {
    return &check->record;
}
