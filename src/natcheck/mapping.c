/* SPDX-License-Identifier: MIT
 * Mapping behaviour: one socket asks the server's other endpoints and compares what they see. RFC
 * 5780 section 4.3 tests II and III, and the fourth endpoint, which shows a box that looks at the
 * remote port alone. */
#include "natcheck/state.h"

/* ---- the verdict ---- */

static bool same_seen(const struct mapping_sample *a, const struct mapping_sample *b) {
    return bk_addr_equal(&a->seen, &b->seen);
}

static bool same_ip(const struct mapping_sample *a, const struct mapping_sample *b) {
    return bk_ip_equal(&a->remote.ip, &b->remote.ip);
}

/* What the pairs of samples say. */
struct pairs {
    bool any_differs, any_ip_pair;        /* any_ip_pair: two remote addresses were asked */
    bool same_ip_differs, same_ip_agrees; /* pairs that differ in the remote port only */
    bool same_port_differs, other_port_agrees;
};

static struct pairs compare(const struct mapping_sample *s, size_t count) {
    struct pairs p = {0};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            bool same = same_seen(&s[i], &s[j]), port = s[i].remote.port == s[j].remote.port;
            p.any_differs = p.any_differs || !same;
            p.any_ip_pair = p.any_ip_pair || !same_ip(&s[i], &s[j]);
            p.same_ip_differs = p.same_ip_differs || (same_ip(&s[i], &s[j]) && !same);
            p.same_ip_agrees = p.same_ip_agrees || (same_ip(&s[i], &s[j]) && same);
            p.same_port_differs = p.same_port_differs || (port && !same);
            p.other_port_agrees = p.other_port_agrees || (!port && same);
        }
    }
    return p;
}

struct mapping_verdict mapping_judge(const struct mapping_sample *samples, size_t count) {
    struct mapping_verdict v = {.port_specific = BK_NO};
    const struct pairs p = compare(samples, count);
    if (count < 2) {
        v.reason = BK_NAT_REASON_TOO_FEW;
        v.port_specific = BK_UNKNOWN;
    } else if (!p.any_differs) {
        v.dep = BK_NAT_EI;
        v.reason = p.any_ip_pair ? BK_NAT_REASON_NONE : BK_NAT_REASON_ONE_ADDRESS;
    } else if (p.same_ip_differs) {
        v.dep = BK_NAT_APD;
        bool pattern = count >= 4 && !p.same_port_differs && !p.other_port_agrees;
        v.port_specific = pattern ? BK_YES : BK_NO;
    } else {
        v.dep = p.same_ip_agrees ? BK_NAT_AD : BK_NAT_APD;
        v.reason = p.same_ip_agrees ? BK_NAT_REASON_NONE : BK_NAT_REASON_TOO_FEW;
    }
    return v;
}

/* ---- the test ---- */

static uint32_t ask_from(struct bk_natcheck *nc, enum family f, uint32_t socket,
                         const struct bk_addr *remote) {
    uint32_t attrs = f == V4 ? attr_bit(BK_NAT_MAPPING) | attr_bit(BK_NAT_PORT_SPECIFIC)
                             : attr_bit(BK_NAT_IPV6_MAPPING);
    const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                            .socket = socket,
                            .remote = *remote,
                            .attrs = attrs,
                            .pace = pace_soon(nc, 3)};
    return probe_ask(nc, &ask);
}

static void add(struct bk_natcheck *nc, enum family f, const struct bk_addr *remote) {
    struct side *s = &nc->side[f];
    if (has_addr(remote) && s->mappings < 3)
        s->mapping[s->mappings++] = ask_from(nc, f, s->s0, remote);
}

/* Without translation one more answer is proof enough. */
static void start(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    bool one = has_addr(&s->server[1][0]);
    s->mapping_started = true;
    probe_witness(nc, s->first, f == V4 ? BK_NAT_MAPPING : BK_NAT_IPV6_MAPPING);
    if (f == V6 && !s->translated) {
        add(nc, f, has_addr(&s->server[1][1]) ? &s->server[1][1] : &s->server[1][0]);
        return;
    }
    add(nc, f, &s->server[0][1]);
    add(nc, f, &s->server[1][0]);
    add(nc, f, &s->server[1][1]);
    const struct bk_addr *second = &nc->config.second;
    if (f == V4 && !one && !bk_addr_equal(second, &s->server[0][0]))
        add(nc, f, second);
}

static bool all_ended(const struct bk_natcheck *nc, const uint32_t *probes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!probe_ended(nc, probes[i]))
            return false;
    }
    return true;
}

/* Is it the remote that is silent, or does our box give the socket no second mapping (ports kept at
 * any price)? A socket that never sent anything tells. */
static bool ask_again(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    bool asked = false;
    for (size_t i = 0; i < s->mappings; i++) {
        if (probe_answered(nc, s->mapping[i]) || s->again_socket != NONE)
            continue;
        s->again_socket = socket_open(nc, f);
        s->again[i] = ask_from(nc, f, s->again_socket, &nc->probes[s->mapping[i]].ask.remote);
        asked = true;
    }
    return asked;
}

static size_t collect(const struct bk_natcheck *nc, const struct side *s, bool box_refuses,
                      struct mapping_sample *out) {
    size_t n = 0;
    const struct probe *first = &nc->probes[s->first];
    out[n++] = (struct mapping_sample){.remote = first->ask.remote, .seen = first->seen};
    for (size_t i = 0; i < s->mappings; i++) {
        const struct probe *p = &nc->probes[s->mapping[i]];
        if (probe_answered(nc, s->mapping[i]))
            out[n++] = (struct mapping_sample){.remote = p->ask.remote, .seen = p->seen};
        else if (box_refuses)
            out[n++] = (struct mapping_sample){.remote = p->ask.remote}; /* not the same, surely */
    }
    return n;
}

/* Is every silent endpoint on a port of its own, and every answering one on another? */
static bool silent_by_port(const struct bk_natcheck *nc, const struct side *s) {
    uint16_t port = 0;
    for (size_t i = 0; i < s->mappings; i++) {
        const struct probe *p = &nc->probes[s->mapping[i]];
        if (probe_answered(nc, s->mapping[i]))
            continue;
        if (port != 0 && port != p->ask.remote.port)
            return false;
        port = p->ask.remote.port;
    }
    for (size_t i = 0; i < s->mappings; i++) {
        if (probe_answered(nc, s->mapping[i]) && nc->probes[s->mapping[i]].ask.remote.port == port)
            return false;
    }
    return port != 0 && port != nc->probes[s->first].ask.remote.port;
}

static void tell_udp(struct bk_natcheck *nc, const struct side *s, bool box_refuses) {
    bool all = true;
    for (size_t i = 0; i < s->mappings; i++)
        all = all && probe_answered(nc, s->mapping[i]);
    if (!finding_is_pending(nc, BK_NAT_UDP))
        return;
    bool some = !all && !box_refuses && silent_by_port(nc, s);
    nc->record.traits.udp_limited = some ? BK_YES : BK_NO;
    if (some)
        finding_known(nc, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS, 900);
    else
        finding_known(nc, BK_NAT_UDP, BK_NAT_UDP_OPEN, all && s->mappings > 0 ? 990 : 900);
}

static void judge(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    struct mapping_sample samples[4];
    bool box_refuses = false;
    for (size_t i = 0; i < s->mappings; i++)
        box_refuses = box_refuses || probe_answered(nc, s->again[i]);
    size_t n = collect(nc, s, box_refuses, samples);
    struct mapping_verdict v = mapping_judge(samples, n);
    s->dep = v.dep;
    s->dep_reason = v.reason;
    s->port_specific = v.port_specific;
    bool silence = n < s->mappings + 1;
    if (silence && v.reason != BK_NAT_REASON_NONE)
        s->dep_reason = BK_NAT_REASON_NO_ANSWER;
    if (s->mappings == 0)
        s->dep_reason = BK_NAT_REASON_NO_SUPPORT;
    if (!s->translated && nc->config.local_count > 0) {
        s->dep = BK_NAT_EI;
        s->dep_reason = BK_NAT_REASON_NONE;
        s->port_specific = BK_NO;
    }
    if (s->dep == BK_NAT_DEP_UNKNOWN)
        s->dep = BK_NAT_EI; /* a guess, and told as one */
    if (f == V4)
        tell_udp(nc, s, box_refuses);
    nc->changed = true;
}

static void tell(struct bk_natcheck *nc, enum family f) {
    struct side *s = &nc->side[f];
    enum bk_nat_attr attr = f == V4 ? BK_NAT_MAPPING : BK_NAT_IPV6_MAPPING;
    bool sure = s->dep_reason == BK_NAT_REASON_NONE;
    struct bk_nat_traits *traits = f == V4 ? &nc->record.traits : &nc->record.traits6;
    s->mapping_done = true;
    traits->mapping = sure ? s->dep : BK_NAT_DEP_UNKNOWN;
    if (sure)
        finding_known(nc, attr, s->dep, 995);
    else
        finding_unclear(nc, attr, s->dep, s->dep_reason);
    if (f == V6)
        return;
    if (s->port_specific == BK_UNKNOWN)
        finding_unclear(nc, BK_NAT_PORT_SPECIFIC, BK_UNKNOWN, BK_NAT_REASON_TOO_FEW);
    else
        finding_known(nc, BK_NAT_PORT_SPECIFIC, s->port_specific, 950);
    finding_unclear(nc, BK_NAT_UNSOLICITED, 0, BK_NAT_REASON_HIDDEN); /* only outside it shows */
}

void mapping_step(struct bk_natcheck *nc) {
    for (int f = 0; f < FAMILIES; f++) {
        struct side *s = &nc->side[f];
        if (!s->reached || s->mapping_done)
            continue;
        if (!s->mapping_started)
            start(nc, (enum family)f);
        if (s->dep == BK_NAT_DEP_UNKNOWN) {
            if (!all_ended(nc, s->mapping, s->mappings) || ask_again(nc, (enum family)f) ||
                !all_ended(nc, s->again, s->mappings))
                continue;
            judge(nc, (enum family)f);
        }
        if (f == V6 || nc->pooling.done) /* pooling.c asks more, and may change `dep` */
            tell(nc, (enum family)f);
    }
}
