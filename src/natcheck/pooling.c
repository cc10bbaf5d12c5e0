/* SPDX-License-Identifier: MIT
 * Address pooling, RFC 4787 section 4.1 REQ-2: do all mappings of this host have one outside
 * address? If they have not, the sockets of ports.c ask a second time, another endpoint: a box that
 * draws an address for each mapping keeps it for the mapping's life, one that hashes both endpoints
 * (load balancing over several NATs) does not. */
#include "natcheck/state.h"

static bool is_sample(const struct bk_natcheck *nc, uint32_t probe) {
    const struct probe *p = &nc->probes[probe];
    return p->ask.test == BK_NAT_TEST_BINDING && probe_answered(nc, probe) &&
           p->seen.ip.family == BK_IPV4;
}

static size_t count_samples(struct bk_natcheck *nc) {
    size_t n = 0;
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        if (!is_sample(nc, i))
            continue;
        note_external(nc, &nc->probes[i].seen);
        probe_witness(nc, i, BK_NAT_POOLING);
        n++;
    }
    return n;
}

/* Another endpoint than the socket's first one: of the other address, or, when that alone makes a
 * difference, the other port of the same. */
static struct bk_addr other_than(const struct side *s, const struct bk_addr *first) {
    bool second = bk_ip_equal(&first->ip, &s->server[1][0].ip);
    if (s->dep == BK_NAT_AD || !has_addr(&s->server[1][0]))
        return s->server[second ? 1 : 0][1];
    return second                       ? s->server[0][0]
           : has_addr(&s->server[1][1]) ? s->server[1][1]
                                        : s->server[1][0];
}

static void ask_more(struct bk_natcheck *nc) {
    for (int i = 0; i < POOL_SAMPLES; i++) {
        if (!probe_answered(nc, nc->ports.probe[i]))
            continue;
        const struct bk_addr *first = &nc->probes[nc->ports.probe[i]].ask.remote;
        const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                                .socket = nc->ports.socket[i],
                                .remote = other_than(&nc->side[V4], first),
                                .attrs = attr_bit(BK_NAT_POOLING) | attr_bit(BK_NAT_MAPPING),
                                .pace = pace_soon(nc, 2)};
        if (has_addr(&ask.remote))
            nc->pooling.probe[i] = probe_ask(nc, &ask);
    }
}

static bool moved(const struct bk_natcheck *nc, int i) {
    uint32_t before = nc->ports.probe[i], after = nc->pooling.probe[i];
    return probe_answered(nc, before) && probe_answered(nc, after) &&
           !bk_addr_equal(&nc->probes[before].seen, &nc->probes[after].seen);
}

/* One socket that two remotes see differently is enough. With four endpoints a hash that chooses
 * between two addresses looks like something simpler once in a few runs. */
static void revise_mapping(struct bk_natcheck *nc) {
    struct side *s = &nc->side[V4];
    for (int i = 0; i < POOL_SAMPLES; i++) {
        if (s->dep != BK_NAT_APD && moved(nc, i)) {
            s->dep = BK_NAT_APD;
            s->dep_reason = BK_NAT_REASON_NONE;
        }
    }
}

static void tell(struct bk_natcheck *nc, size_t samples) {
    bool paired = nc->record.external_count == 1;
    nc->pooling.done = true;
    nc->changed = true;
    if (samples < 2) {
        finding_unclear(nc, BK_NAT_POOLING, 0, BK_NAT_REASON_TOO_FEW);
        return;
    }
    int doubt = samples > 9 ? 2 : 1000 >> (samples - 1);
    nc->record.traits.paired = paired ? BK_YES : BK_NO;
    finding_known(nc, BK_NAT_POOLING, paired ? BK_YES : BK_NO,
                  (uint16_t)(paired ? 1000 - doubt : 1000));
    if (!paired)
        nc->record.traits.external.family = BK_FAMILY_NONE; /* there is no one address */
}

void pooling_step(struct bk_natcheck *nc) {
    if (!nc->ports.done || nc->pooling.done)
        return;
    size_t samples = count_samples(nc);
    if (nc->record.external_count > 1 && !nc->pooling.started && nc->side[V4].dep != BK_NAT_APD) {
        nc->pooling.started = true;
        ask_more(nc);
    }
    for (int i = 0; i < POOL_SAMPLES; i++) {
        if (!probe_ended(nc, nc->pooling.probe[i]))
            return;
    }
    revise_mapping(nc);
    tell(nc, samples);
}
