/* SPDX-License-Identifier: MIT
 * Which outside port a new mapping gets: RFC 4787 section 4.2. One row per way of choosing; blocks
 * (RFC 7422), discontiguous sets (MAP-E, RFC 7597) and clock-driven choice are more rows.
 *
 * Ports are never overloaded (REQ-3): an outside endpoint belongs to one mapping. */
#include "nat/state.h"

enum {
    RANDOM_TRIES = 128, /* draws before the search turns systematic */
    SCAN_MAX = 2048     /* a full box must not cost 65 535 lookups per packet */
};

static bool is_free(const struct nat *nat, enum nat_proto proto, const struct bk_addr *external) {
    return nat_mapping_find_external(nat, proto, external) == NAT_NONE;
}

static uint32_t range_len(const struct nat_config *c) {
    return (uint32_t)(c->port_max - c->port_min) + 1;
}

/* The first free port from `start` on, going round. */
static bool scan(struct nat *nat, enum nat_proto proto, uint16_t start, struct bk_addr *external) {
    const struct nat_config *c = &nat->config;
    uint32_t len = range_len(c), offset = (uint32_t)(start - c->port_min);
    for (uint32_t i = 0; i < len && i < SCAN_MAX; i++) {
        external->port = (uint16_t)(c->port_min + (offset + i) % len);
        if (is_free(nat, proto, external))
            return true;
    }
    return false;
}

static uint16_t draw(const struct nat *nat) {
    return (uint16_t)(nat->config.port_min + rng_below(&nat->rng, range_len(&nat->config)));
}

static bool pick_random(struct nat *nat, enum nat_proto proto, uint16_t wanted,
                        struct bk_addr *external) {
    (void)wanted;
    for (int i = 0; i < RANDOM_TRIES; i++) {
        external->port = draw(nat);
        if (is_free(nat, proto, external))
            return true;
    }
    return scan(nat, proto, draw(nat), external);
}

/* Linux, too, takes a random port when the wanted one is taken. */
static bool pick_preserve(struct nat *nat, enum nat_proto proto, uint16_t wanted,
                          struct bk_addr *external) {
    external->port = wanted;
    bool usable = wanted != 0 || proto == NAT_ICMP;
    if (usable && is_free(nat, proto, external))
        return true;
    nat->counters.port_clashes++;
    return pick_random(nat, proto, wanted, external);
}

static bool pick_preserve_next(struct nat *nat, enum nat_proto proto, uint16_t wanted,
                               struct bk_addr *external) {
    const struct nat_config *c = &nat->config;
    external->port = wanted;
    bool usable = wanted != 0 || proto == NAT_ICMP;
    if (usable && is_free(nat, proto, external))
        return true;
    nat->counters.port_clashes++;
    bool inside = wanted >= c->port_min && wanted <= c->port_max;
    return scan(nat, proto, inside ? wanted : c->port_min, external);
}

/* One counter for all protocols, as kernels that count do. */
static bool pick_sequential(struct nat *nat, enum nat_proto proto, uint16_t wanted,
                            struct bk_addr *external) {
    (void)wanted;
    if (!scan(nat, proto, nat->next_port, external))
        return false;
    bool last = external->port == nat->config.port_max;
    nat->next_port = last ? nat->config.port_min : (uint16_t)(external->port + 1);
    return true;
}

bool nat_port_pick(struct nat *nat, enum nat_proto proto, uint16_t wanted,
                   struct bk_addr *external) {
    static bool (*const pick[])(struct nat *, enum nat_proto, uint16_t, struct bk_addr *) = {
        [NAT_PORT_PRESERVE] = pick_preserve,
        [NAT_PORT_SEQUENTIAL] = pick_sequential,
        [NAT_PORT_RANDOM] = pick_random,
        [NAT_PORT_PRESERVE_STRICT] = pick_preserve,
        [NAT_PORT_PRESERVE_NEXT] = pick_preserve_next,
        [NAT_PORT_HASH] = pick_random,
        [NAT_PORT_HASH_REMOTE] = pick_random,
        [NAT_PORT_TIME] = pick_sequential,
    };
    return pick[nat->config.ports](nat, proto, wanted, external);
}
