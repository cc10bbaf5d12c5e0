/* SPDX-License-Identifier: MIT
 * The first request of each family: does UDP get through, is there a translation, what other
 * addresses has the server? RFC 5780 section 4.3 test I. */
#include "natcheck/state.h"

static bool has_local(const struct bk_natcheck *nc, uint8_t family) {
    for (size_t i = 0; i < nc->config.local_count; i++) {
        if (nc->config.locals[i].family == family)
            return true;
    }
    return nc->config.local_count == 0; /* nobody told us any */
}

static uint32_t ask_server(struct bk_natcheck *nc, enum family f, const struct bk_addr *server,
                           int64_t delay_us) {
    const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                            .socket = nc->side[f].s0,
                            .remote = *server,
                            .attrs = f == V4
                                         ? attr_bit(BK_NAT_UDP) | attr_bit(BK_NAT_TRANSLATED)
                                         : attr_bit(BK_NAT_IPV6) | attr_bit(BK_NAT_IPV6_TRANSLATED),
                            .delay_us = delay_us,
                            .pace = pace_first(nc)};
    return has_addr(server) ? probe_ask(nc, &ask) : NONE;
}

/* Others are asked only when the server has been silent for one retransmission: most of the time
 * they are not needed. */
static void start(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    const struct bk_natcheck_config *c = &nc->config;
    const struct bk_addr *server = f == V4 ? &c->server : &c->server6;
    s->asked = true;
    if (!has_addr(server) || !has_local(nc, server->ip.family))
        return;
    s->s0 = socket_open(nc, f);
    s->first = ask_server(nc, f, server, 0);
    if (f == V4) {
        s->to_fallback = ask_server(nc, f, &c->fallback, c->rto_us);
        s->to_second = ask_server(nc, f, &c->second, c->rto_us);
    }
}

static bool is_local(const struct bk_natcheck *nc, const struct bk_ip *ip) {
    for (size_t i = 0; i < nc->config.local_count; i++) {
        if (bk_ip_equal(&nc->config.locals[i], ip))
            return true;
    }
    return false;
}

/* The four endpoints of an RFC 5780 server; an OTHER-ADDRESS may share the address or the port. */
static void learn_server(struct side *s, const struct probe *p) {
    const struct bk_addr none = {0};
    s->server[0][0] = p->ask.remote;
    s->server[0][1] = s->server[1][0] = s->server[1][1] = none;
    bool other = has_addr(&p->other) && p->other.ip.family == p->ask.remote.ip.family &&
                 p->other.port != 0 && bk_ip_scope(&p->other.ip) >= bk_ip_scope(&p->ask.remote.ip);
    if (!other)
        return;
    if (p->other.port != p->ask.remote.port)
        s->server[0][1] = bk_addr(p->ask.remote.ip, p->other.port);
    if (bk_ip_equal(&p->other.ip, &p->ask.remote.ip))
        return;
    s->server[1][0] = bk_addr(p->other.ip, p->ask.remote.port);
    if (p->other.port != p->ask.remote.port)
        s->server[1][1] = p->other;
}

void reach_tell_translation(struct bk_natcheck *nc, enum family f, const struct bk_ip *seen) {
    struct side *s = &nc->side[f];
    s->translated = !is_local(nc, seen);
    s->external = *seen;
    enum bk_maybe value = s->translated ? BK_YES : BK_NO;
    enum bk_nat_attr attr = f == V4 ? BK_NAT_TRANSLATED : BK_NAT_IPV6_TRANSLATED;
    if (nc->config.local_count == 0)
        finding_unclear(nc, attr, value, BK_NAT_REASON_NO_ADDRESS);
    else
        finding_known(nc, attr, value, 999);
    struct bk_nat_traits *traits = f == V4 ? &nc->record.traits : &nc->record.traits6;
    traits->translated = value;
    traits->external = s->external;
}

static void reached(struct bk_natcheck *nc, enum family f, uint32_t probe) {
    struct side *s = &nc->side[f];
    const struct probe *p = &nc->probes[probe];
    s->reached = true;
    s->first = probe;
    learn_server(s, p);
    if (f == V4) {
        nc->record.other = p->other;
        nc->record.traits.udp_blocked = BK_NO;
    } else {
        nc->record.traits6.udp_blocked = BK_NO;
        nc->record.traits.ipv6 = BK_YES;
        finding_known(nc, BK_NAT_IPV6, BK_YES, 999);
    }
    reach_tell_translation(nc, f, &p->seen.ip);
    if (f == V6)
        prefix_tell(nc, &p->seen, socket_port(nc, p->ask.socket));
    probe_cancel(nc, s->to_fallback);
    probe_cancel(nc, s->to_second);
}

static void give_up(struct bk_natcheck *nc, unsigned from, unsigned to, enum bk_nat_reason reason) {
    for (unsigned a = from; a <= to; a++) {
        if (finding_is_pending(nc, (enum bk_nat_attr)a))
            finding_unclear(nc, (enum bk_nat_attr)a, 0, reason);
    }
}

/* Nothing about UDP will be known. tcp.c may raise the confidence: a server that answers over TCP
 * is alive, so it is UDP's fault. */
static void blocked(struct bk_natcheck *nc) {
    uint32_t first = nc->side[V4].first;
    enum bk_nat_reason why = BK_NAT_REASON_UDP_BLOCKED;
    if (first == NONE || nc->probes[first].why == BK_NAT_REASON_NO_SOCKET) {
        why = BK_NAT_REASON_NO_ADDRESS;
        finding_unclear(nc, BK_NAT_UDP, 0, why);
    } else {
        nc->record.traits.udp_blocked = BK_YES;
        finding_known(nc, BK_NAT_UDP, BK_NAT_UDP_BLOCKED, 900);
    }
    give_up(nc, BK_NAT_UDP, BK_NAT_PORT_SPECIFIC, why);
    give_up(nc, BK_NAT_LIFE_FIRST, BK_NAT_REFRESH_IN, why);
}

static void silent(struct bk_natcheck *nc, enum family f) {
    if (f == V4) {
        if (finding_is_pending(nc, BK_NAT_UDP))
            blocked(nc);
        return;
    }
    if (!finding_is_pending(nc, BK_NAT_IPV6))
        return;
    bool address = nc->side[V6].first != NONE;
    enum bk_nat_reason why = address ? BK_NAT_REASON_NO_ANSWER : BK_NAT_REASON_NO_ADDRESS;
    nc->record.traits.ipv6 = BK_NO;
    finding_known(nc, BK_NAT_IPV6, BK_NO, address ? 900 : 990);
    give_up(nc, BK_NAT_IPV6_TRANSLATED, BK_NAT_IPV6_FILTERING, why);
}

/* The server had its time: go on with whoever answers. */
static void use_substitute(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    uint32_t first = s->first;
    if (probe_answered(nc, s->to_fallback)) {
        nc->record.traits.udp_limited = BK_YES;
        finding_known(nc, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS, 950);
        reached(nc, f, s->to_fallback);
    } else if (probe_answered(nc, s->to_second)) {
        finding_unclear(nc, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS, BK_NAT_REASON_NO_ANSWER);
        reached(nc, f, s->to_second);
    } else if (probe_ended(nc, s->to_fallback) && probe_ended(nc, s->to_second)) {
        silent(nc, f);
        return;
    }
    probe_witness(nc, first, BK_NAT_UDP);
}

static void watch(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    if (s->reached)
        return;
    bool other = probe_answered(nc, s->to_fallback) || probe_answered(nc, s->to_second);
    if (other && !s->hurried && !probe_answered(nc, s->first)) {
        s->hurried = true;
        probe_hurry(nc, s->first);
    }
    if (probe_answered(nc, s->first))
        reached(nc, f, s->first);
    else if (probe_ended(nc, s->first))
        use_substitute(nc, f);
}

bool reach_seems_dead(const struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    return !s->reached &&
           (s->first == NONE || nc->probes[s->first].sends > 1 || probe_ended(nc, s->first));
}

void reach_step(struct bk_natcheck *nc) {
    for (int f = 0; f < FAMILIES; f++) {
        if (!nc->side[f].asked)
            start(nc, (enum family)f);
        const struct bk_addr *server = f == V4 ? &nc->config.server : &nc->config.server6;
        if (has_addr(server))
            watch(nc, (enum family)f);
    }
}
