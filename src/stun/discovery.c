/* SPDX-License-Identifier: MIT */
#include "stun/discovery.h"

#include "stun/asked.h"
#include "stun/throttle.h"

const struct stun_discovery_config stun_discovery_config_default = {
    .askers_max = 1u << 18,
    .asked_us = 3600 * BK_US_PER_S,
    .sources_max = 1u << 14,
    .per_s = 16,
    .burst = 128, /* a run of our classifier takes about ten; a dozen at once behind one NAT */
};

struct stun_discovery {
    struct bk_ip ips[2][2], outside[2][2];
    uint16_t ports[2];
    int64_t asked_us;
    struct asked asked;
    struct throttle favours[STUN_DISCOVERY_FAVOURS];
    struct bk_alloc alloc;
};

static bool table_size_is_fine(uint32_t n) {
    return n >= 64 && n <= 1u << 24;
}

static bool addresses_are_fine(const struct bk_ip ips[2], uint8_t family) {
    bool first = ips[0].family == family, second = ips[1].family == family;
    if ((ips[0].family != BK_FAMILY_NONE && !first) || (ips[1].family != BK_FAMILY_NONE && !second))
        return false;
    return !second || (first && !bk_ip_equal(&ips[0], &ips[1]));
}

static bool outsides_are_fine(const struct bk_ip outside[2], const struct bk_ip ips[2]) {
    for (size_t i = 0; i < 2; i++)
        if (outside[i].family != BK_FAMILY_NONE && outside[i].family != ips[i].family)
            return false;
    return true;
}

static bool is_fine(const struct stun_discovery_config *c) {
    return addresses_are_fine(c->ips[0], BK_IPV4) && addresses_are_fine(c->ips[1], BK_IPV6) &&
           outsides_are_fine(c->outside[0], c->ips[0]) &&
           outsides_are_fine(c->outside[1], c->ips[1]) && c->ports[0] != 0 &&
           c->ports[0] != c->ports[1] && table_size_is_fine(c->askers_max) &&
           table_size_is_fine(c->sources_max) && c->asked_us >= BK_US_PER_S &&
           c->asked_us <= 86400 * BK_US_PER_S && c->per_s >= 1 && c->per_s <= 1000 &&
           c->burst >= 1 && c->burst <= 100000;
}

enum bk_err stun_discovery_new(const struct stun_discovery_config *config, const struct bk_rng *rng,
                               const struct bk_alloc *alloc, struct stun_discovery **out) {
    if (!is_fine(config))
        return BK_ERR_ARGUMENT;
    struct stun_discovery *d = alloc->get(alloc->ctx, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    for (size_t i = 0; i < 4; i++) {
        d->ips[i / 2][i % 2] = config->ips[i / 2][i % 2];
        d->outside[i / 2][i % 2] = config->outside[i / 2][i % 2];
    }
    d->ports[0] = config->ports[0];
    d->ports[1] = config->ports[1];
    d->asked_us = config->asked_us;
    d->alloc = *alloc;
    enum bk_err err = asked_init(&d->asked, config->askers_max, rng, alloc);
    for (size_t i = 0; i < STUN_DISCOVERY_FAVOURS && err == BK_OK; i++)
        err = throttle_init(&d->favours[i], config->sources_max, config->per_s, config->burst, rng,
                            alloc);
    if (err != BK_OK) {
        stun_discovery_free(d);
        return err;
    }
    *out = d;
    return BK_OK;
}

void stun_discovery_free(struct stun_discovery *d) {
    if (d == NULL)
        return;
    asked_fini(&d->asked);
    for (size_t i = 0; i < STUN_DISCOVERY_FAVOURS; i++)
        throttle_fini(&d->favours[i]);
    d->alloc.put(d->alloc.ctx, d);
}

/* NULL: a family that no socket can have. */
static const struct bk_ip *pair_of(const struct stun_discovery *d, uint8_t family) {
    return family == BK_IPV4 ? d->ips[0] : family == BK_IPV6 ? d->ips[1] : NULL;
}

enum stun_discovery_reach stun_discovery_reach(const struct stun_discovery *d,
                                               enum bk_family family) {
    const struct bk_ip *pair = pair_of(d, (uint8_t)family);
    if (pair == NULL || d->ports[1] == 0)
        return STUN_DISCOVERY_NOTHING;
    return pair[1].family == BK_FAMILY_NONE ? STUN_DISCOVERY_PORTS : STUN_DISCOVERY_FULL;
}

static bool change_the_ip(const struct stun_discovery *d, struct bk_ip *ip) {
    const struct bk_ip *pair = pair_of(d, ip->family);
    if (pair == NULL || pair[1].family == BK_FAMILY_NONE || d->ports[1] == 0)
        return false; /* RFC 5780 section 6: both ports on both addresses, or not at all */
    for (size_t i = 0; i < 2; i++) {
        if (bk_ip_equal(&pair[i], ip)) {
            *ip = pair[1 - i];
            return true;
        }
    }
    return false;
}

static bool change_the_port(const struct stun_discovery *d, uint16_t *port) {
    if (d->ports[1] == 0 || (*port != d->ports[0] && *port != d->ports[1]))
        return false;
    *port = *port == d->ports[0] ? d->ports[1] : d->ports[0];
    return true;
}

bool stun_discovery_other(const struct stun_discovery *d, const struct bk_addr *local,
                          bool change_ip, bool change_port, struct bk_addr *out) {
    struct bk_addr other = *local;
    bool port_is_ours = local->port == d->ports[0] || local->port == d->ports[1];
    if ((change_ip && !(port_is_ours && change_the_ip(d, &other.ip))) ||
        (change_port && !change_the_port(d, &other.port)))
        return false;
    *out = other;
    return true;
}

struct bk_addr stun_discovery_outside(const struct stun_discovery *d, const struct bk_addr *local) {
    struct bk_addr addr = *local;
    for (size_t i = 0; i < 4; i++)
        if (bk_ip_equal(&d->ips[i / 2][i % 2], &local->ip) &&
            d->outside[i / 2][i % 2].family != BK_FAMILY_NONE)
            addr.ip = d->outside[i / 2][i % 2];
    return addr;
}

void stun_discovery_note(struct stun_discovery *d, const struct bk_addr *asker,
                         struct bk_time now) {
    asked_note(&d->asked, asker, now);
}

bool stun_discovery_asked(const struct stun_discovery *d, const struct bk_addr *asker,
                          struct bk_time now) {
    return asked_lately(&d->asked, asker, d->asked_us, now);
}

bool stun_discovery_take(struct stun_discovery *d, enum stun_discovery_favour favour,
                         const struct bk_ip *source, struct bk_time now) {
    return throttle_take(&d->favours[favour], source, now);
}
