/* SPDX-License-Identifier: MIT
 * Which outside port a new mapping gets: RFC 4787 section 4.2. A *space* is the ports that may be
 * chosen from (space.c, block.c), a *choice* the order in which they are tried: one row each. */
#include "nat/state.h"

#include <string.h>

enum {
    RANDOM_TRIES = 128, /* draws before the search turns systematic */
    HASH_TRIES = 16,
    SCAN_MAX = 2048 /* a full box must not cost 65 535 lookups per packet */
};

/* What is asked for, and where the answer goes. */
struct ask {
    struct nat *nat;
    const struct nat_flow *flow; /* of the packet that needs a mapping */
    struct nat_space space;
    struct bk_addr *external;
};

bool nat_port_is_free(struct nat *nat, const struct nat_flow *flow,
                      const struct bk_addr *external) {
    return nat_overload_free(nat, flow, external) && !nat_hold_keeps(nat, flow, external);
}

/* RFC 4787 REQ-4: "it is RECOMMENDED that a NAT preserve port parity". */
static bool parity_fits(const struct ask *a, uint16_t port) {
    bool matters = a->nat->config.port_parity && a->flow->proto != NAT_ICMP;
    return !matters || (port & 1) == (a->flow->src.port & 1);
}

static bool take(const struct ask *a, uint16_t port) {
    a->external->port = port;
    return parity_fits(a, port) && nat_port_is_free(a->nat, a->flow, a->external);
}

/* The first free port from the `start`-th of the space on, going round, up or down. */
static bool scan(const struct ask *a, uint32_t start, bool down, uint32_t *found) {
    uint32_t len = a->space.len;
    for (uint32_t i = 0; i < len && i < SCAN_MAX; i++) {
        *found = (down ? start + len - i : start + i) % len;
        if (take(a, nat_space_at(&a->space, *found)))
            return true;
    }
    return false;
}

static bool pick_random(const struct ask *a) {
    uint32_t len = a->space.len, found;
    for (int i = 0; i < RANDOM_TRIES; i++) {
        if (take(a, nat_space_at(&a->space, rng_below(&a->nat->rng, len))))
            return true;
    }
    return scan(a, rng_below(&a->nat->rng, len), false, &found);
}

/* An echo may have identifier 0; a port may not be. In a plain range any inside port may be kept,
 * be it outside of the range; in blocks and sets only those that belong to the host. */
static bool keep(const struct ask *a) {
    uint16_t wanted = a->flow->src.port;
    uint32_t rank;
    bool usable = wanted != 0 || a->flow->proto == NAT_ICMP;
    bool range = a->nat->config.port_space == NAT_SPACE_RANGE;
    if (usable && (range || nat_space_rank(&a->space, wanted, &rank)) && take(a, wanted))
        return true;
    a->nat->counters.port_clashes++;
    return false;
}

/* Linux, too, takes a random port when the wanted one is taken. */
static bool pick_preserve(const struct ask *a) {
    return keep(a) || pick_random(a);
}

static bool pick_preserve_strict(const struct ask *a) {
    return keep(a);
}

static bool pick_preserve_next(const struct ask *a) {
    uint32_t rank, found;
    bool known = nat_space_rank(&a->space, a->flow->src.port, &rank);
    return keep(a) || scan(a, known ? rank + 1 : 0, false, &found);
}

/* One counter for all protocols, as kernels that count do. */
static bool pick_sequential(const struct ask *a) {
    int32_t step = a->nat->config.port_step, len = (int32_t)a->space.len;
    uint32_t found;
    if (!scan(a, *a->space.next % a->space.len, step < 0, &found))
        return false;
    *a->space.next = (uint32_t)(((int32_t)found + step % len + len) % len);
    return true;
}

/* Every draw of a hash depends on nothing but the endpoints, so the same host gets the same port
 * again after a reboot. */
static bool pick_hash(const struct ask *a, bool remote) {
    uint8_t key[NAT_KEY_FLOW + 1];
    const struct bk_addr none = {0};
    uint32_t start = 0, found;
    nat_key_flow(key, a->flow->proto, &a->flow->src, remote ? &a->flow->dst : &none);
    for (int i = 0; i < HASH_TRIES; i++) {
        key[NAT_KEY_FLOW] = (uint8_t)i;
        start = (uint32_t)(siphash24(a->nat->hash_key, key, sizeof key) % a->space.len);
        if (take(a, nat_space_at(&a->space, start)))
            return true;
    }
    return scan(a, start, false, &found);
}

static bool pick_hash_inside(const struct ask *a) {
    return pick_hash(a, false);
}

static bool pick_hash_both(const struct ask *a) {
    return pick_hash(a, true);
}

/* "Time-dependent" carriers: the port says when the mapping was made (NetPiculet, section 4). */
static bool pick_time(const struct ask *a) {
    uint64_t us = (uint64_t)a->nat->now.us, rate = a->nat->config.port_rate;
    uint64_t ports = us / BK_US_PER_S * rate + us % BK_US_PER_S * rate / BK_US_PER_S;
    uint32_t found;
    return scan(a, (uint32_t)(ports % a->space.len), false, &found);
}

static bool pick(const struct ask *a) {
    static bool (*const choices[])(const struct ask *) = {
        [NAT_PORT_PRESERVE] = pick_preserve,
        [NAT_PORT_SEQUENTIAL] = pick_sequential,
        [NAT_PORT_RANDOM] = pick_random,
        [NAT_PORT_PRESERVE_STRICT] = pick_preserve_strict,
        [NAT_PORT_PRESERVE_NEXT] = pick_preserve_next,
        [NAT_PORT_HASH] = pick_hash_inside,
        [NAT_PORT_HASH_REMOTE] = pick_hash_both,
        [NAT_PORT_TIME] = pick_time,
    };
    return choices[a->nat->ports_of[a->flow->proto]](a);
}

/* Contiguity, RFC 4787 section 4.2.3: RTCP's odd port next to RTP's even one. */
static bool pick_next_to_sibling(const struct ask *a) {
    struct nat_flow sibling = *a->flow;
    bool odd = (sibling.src.port & 1) != 0 && sibling.proto != NAT_ICMP;
    if (!a->nat->config.port_contiguity || !odd)
        return false;
    sibling.src.port--;
    uint32_t mapping = nat_mapping_find(a->nat, &sibling), rank;
    if (mapping == NAT_NONE)
        return false;
    const struct bk_addr *there = &a->nat->mappings[mapping].external;
    bool next = there->port < UINT16_MAX && bk_ip_equal(&there->ip, &a->external->ip);
    uint16_t port = (uint16_t)(there->port + 1);
    return next && nat_space_rank(&a->space, port, &rank) && take(a, port);
}

/* The host's blocks in turn, then a new one. */
static bool pick_in_blocks(struct ask *a) {
    struct nat *nat = a->nat;
    const struct bk_ip *inside = &a->flow->src.ip, *ip = &a->external->ip;
    uint32_t block = NAT_NONE;
    while ((block = nat_block_next(nat, inside, ip, block)) != NAT_NONE) {
        a->space = nat_block_space(nat, block);
        if (pick_next_to_sibling(a) || pick(a))
            return true;
    }
    block = nat_block_take(nat, inside, ip);
    if (block == NAT_NONE)
        return false;
    a->space = nat_block_space(nat, block);
    if (pick(a))
        return true;
    nat_block_drop(nat, block);
    return false;
}

bool nat_port_pick(struct nat *nat, const struct nat_flow *flow, struct bk_addr *external) {
    struct ask a = {.nat = nat, .flow = flow, .external = external};
    if (nat->config.port_space == NAT_SPACE_BLOCKS)
        return pick_in_blocks(&a);
    a.space = nat_space_for(nat, flow);
    return pick_next_to_sibling(&a) || pick(&a);
}
