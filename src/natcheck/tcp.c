/* SPDX-License-Identifier: MIT
 * TCP mapping behaviour, RFC 5382 REQ-1: connections from one local port to several endpoints of
 * the server, each asking over TCP what address it has (RFC 8489 section 6.2.2). They start after
 * the port samples were taken, since some boxes count UDP and TCP ports together, or when UDP seems
 * dead. */
#include "natcheck/state.h"

#include "base/rng.h"

enum { PORT_FIRST = 32768, PORT_COUNT = 28000, PATIENCE_MS = 1300 };

static void dial(struct bk_natcheck *nc, const struct bk_addr *remote) {
    struct tcp_state *t = &nc->tcp;
    if (!has_addr(remote))
        return;
    uint32_t socket = socket_dial(nc, t->port, remote);
    const struct pace once = {.sends = 1, .last_us = 10 * BK_US_PER_S};
    const struct ask ask = {.test = BK_NAT_TEST_TCP,
                            .socket = socket,
                            .remote = *remote,
                            .attrs = attr_bit(BK_NAT_TCP_MAPPING),
                            .pace = once};
    if (socket == NONE)
        return;
    t->socket[t->dials] = socket;
    t->probe[t->dials] = probe_ask(nc, &ask);
    t->dials++;
    nc->record.tcp_dials++;
}

static void wait_from_now(struct bk_natcheck *nc) {
    nc->tcp.give_up = bk_after(nc->now, PATIENCE_MS * BK_US_PER_MS + 2 * nc->rtt_us);
}

static void start(struct bk_natcheck *nc) {
    struct tcp_state *t = &nc->tcp;
    t->started = true;
    t->port = (uint16_t)(PORT_FIRST + rng_below(&nc->rng, PORT_COUNT));
    wait_from_now(nc);
    dial(nc, &nc->config.server);
}

static void dial_others(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    nc->tcp.others = true;
    if (!bk_addr_equal(&s->server[0][0], &nc->config.server))
        return; /* a substitute, whose other endpoints are not those of `server` */
    dial(nc, &s->server[0][1]);
    dial(nc, &s->server[1][0]);
    wait_from_now(nc);
}

/* A server that is there over TCP and not over UDP shows that UDP is what is blocked, and how the
 * outside sees us. */
static void tell_blocked(struct bk_natcheck *nc, const struct bk_ip *seen) {
    const struct bk_nat_finding *udp = &nc->record.findings[BK_NAT_UDP];
    if (udp->status != BK_NAT_KNOWN || udp->value != BK_NAT_UDP_BLOCKED)
        return;
    probe_witness(nc, nc->tcp.probe[0], BK_NAT_UDP);
    probe_witness(nc, nc->tcp.probe[0], BK_NAT_TRANSLATED);
    finding_known(nc, BK_NAT_UDP, BK_NAT_UDP_BLOCKED, 990);
    reach_tell_translation(nc, V4, seen);
}

static void judge(struct bk_natcheck *nc) {
    struct tcp_state *t = &nc->tcp;
    struct mapping_sample samples[3];
    size_t n = 0;
    for (size_t i = 0; i < t->dials; i++) {
        if (probe_answered(nc, t->probe[i])) {
            const struct probe *p = &nc->probes[t->probe[i]];
            samples[n++] = (struct mapping_sample){.remote = p->ask.remote, .seen = p->seen};
        }
        probe_cancel(nc, t->probe[i]);
        socket_close(nc, t->socket[i]);
    }
    if (n > 0)
        tell_blocked(nc, &samples[0].seen.ip);
    struct mapping_verdict v = mapping_judge(samples, n);
    if (n == 0)
        finding_unclear(nc, BK_NAT_TCP_MAPPING, 0, BK_NAT_REASON_NO_ANSWER);
    else if (v.reason != BK_NAT_REASON_NONE)
        finding_unclear(nc, BK_NAT_TCP_MAPPING, v.dep,
                        n < t->dials ? BK_NAT_REASON_NO_ANSWER : v.reason);
    else
        finding_known(nc, BK_NAT_TCP_MAPPING, v.dep, 980);
}

void tcp_step(struct bk_natcheck *nc) {
    struct tcp_state *t = &nc->tcp;
    if (!finding_is_pending(nc, BK_NAT_TCP_MAPPING))
        return;
    if (!t->started) {
        if (!nc->ports.sampled && !reach_seems_dead(nc))
            return;
        start(nc);
    }
    if (nc->ports.sampled && !t->others)
        dial_others(nc);
    bool asked = nc->side[V4].reached ? t->others : !finding_is_pending(nc, BK_NAT_UDP);
    bool all = true;
    for (size_t i = 0; i < t->dials; i++)
        all = all && probe_ended(nc, t->probe[i]);
    if (asked && (all || bk_due(t->give_up, nc->now)))
        judge(nc);
}

struct bk_time tcp_deadline(const struct bk_natcheck *nc) {
    bool runs = nc->tcp.started && finding_is_pending(nc, BK_NAT_TCP_MAPPING) &&
                !bk_due(nc->tcp.give_up, nc->now);
    return runs ? nc->tcp.give_up : BK_NEVER;
}
