/* SPDX-License-Identifier: MIT
 * Shared relay ports, for servers with more clients than ports. Departs from RFC 8656 section 7.2
 * (a relayed address is one allocation's alone), because who sends to it can tell them apart: a
 * datagram from a peer belongs to the allocation that has a permission for the peer's address, and
 * of those at one port only one may have that (508 for the next). Clients that talk to one peer get
 * through as long as their ports differ, and ports are shared only when none is free.
 *
 * Even ports and reserved ones, and TCP, are never shared. */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/rng.h"

enum { DRAWS = 32 };

static struct turn_share *share_at(const struct turn_service *s, uint32_t i) {
    return pool_at(&s->shares, i);
}

static bool is_share(const struct turn_service *s, uint32_t i) {
    return i < s->shares.max && s->shares.chunks[i >> s->shares.shift].objects != NULL &&
           share_at(s, i)->count > 0;
}

bool turn_share_start(struct turn_service *s, uint32_t alloc, size_t family) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint32_t i = pool_take(&s->shares);
    if (i == POOL_NONE)
        return false;
    *share_at(s, i) = (struct turn_share){
        .count = 1, .first = alloc, .port = a->port[family], .family = (uint8_t)family};
    a->share[family] = i + 1;
    turn_ports_set_owner(&s->ports[family], a->port[family], TURN_SHARED | i);
    return true;
}

bool turn_share_join(struct turn_service *s, uint32_t alloc, size_t family, uint16_t port) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint32_t owner = turn_ports_owner(&s->ports[family], port);
    if (owner == TURN_NOBODY || (owner & TURN_SHARED) == 0)
        return false;
    share_at(s, owner & ~TURN_SHARED)->count++;
    a->share[family] = (owner & ~TURN_SHARED) + 1;
    a->port[family] = port;
    return true;
}

/* The least used of some that are drawn. Places are filled from the front, so most draws hit. */
uint16_t turn_share_choose(const struct turn_service *s, size_t family) {
    const struct turn_share *best = NULL;
    for (int n = 0; s->shares.count > 0 && n < DRAWS; n++) {
        uint32_t i = rng_below(&s->rng, s->shares.count);
        if (!is_share(s, i) || share_at(s, i)->family != family)
            continue;
        if (best == NULL || share_at(s, i)->count < best->count)
            best = share_at(s, i);
        else if (n > DRAWS / 4)
            break;
    }
    return best == NULL ? 0 : best->port;
}

bool turn_share_leave(struct turn_service *s, struct turn_alloc *a, size_t family) {
    uint32_t i = a->share[family] - 1;
    a->share[family] = 0;
    bk_assert(is_share(s, i));
    if (--share_at(s, i)->count > 0)
        return false;
    pool_give(&s->shares, i);
    return true;
}

uint32_t turn_share_relay(const struct turn_service *s, const struct turn_alloc *a, size_t family) {
    (void)s;
    return a->share[family];
}

bool turn_share_is_taken(const struct turn_service *s, uint32_t alloc, const struct bk_ip *peer) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint32_t relay = turn_share_relay(s, a, turn_family_index(peer->family));
    uint32_t i = relay == 0 ? TURN_NONE : turn_permissions_at_relay(&s->perms, relay, peer);
    return i != TURN_NONE && turn_permission_at(&s->perms, i)->owner != alloc;
}

void *turn_relay_socket(const struct turn_service *s, const struct turn_alloc *a, size_t family) {
    return a->share[family] == 0 ? a->socket[family] : share_at(s, a->share[family] - 1)->socket;
}

/* ---- Whose a relay port is ---------------------------------------------------------------- */

static uint32_t owner_at(const struct turn_service *s, const struct bk_addr *local) {
    size_t family = turn_family_index(local->ip.family);
    if (!bk_ip_equal(&local->ip, &s->config.relay[family]))
        return TURN_NOBODY;
    return turn_ports_owner(&s->ports[family], local->port);
}

bool turn_relay_is_here(const struct turn_service *s, const struct bk_addr *local) {
    return owner_at(s, local) != TURN_NOBODY;
}

uint32_t turn_relay_owner(const struct turn_service *s, const struct bk_addr *local) {
    uint32_t owner = owner_at(s, local);
    if (owner == TURN_NOBODY)
        return TURN_NONE;
    if ((owner & TURN_SHARED) == 0)
        return owner;
    const struct turn_share *h = share_at(s, owner & ~TURN_SHARED);
    bool alone = h->count == 1 && turn_alloc_is(&s->allocs, h->first) &&
                 turn_service_alloc(s, h->first)->share[h->family] == (owner & ~TURN_SHARED) + 1;
    return alone ? h->first : TURN_NONE;
}

uint32_t turn_relay_owner_of(const struct turn_service *s, const struct bk_addr *local,
                             const struct bk_addr *peer) {
    uint32_t owner = owner_at(s, local);
    if (owner == TURN_NOBODY)
        return TURN_NONE;
    if ((owner & TURN_SHARED) == 0)
        return owner;
    struct bk_addr name = turn_name_of(s, peer);
    name.ip.zone = 0;
    uint32_t i = turn_permissions_at_relay(&s->perms, (owner & ~TURN_SHARED) + 1, &name.ip);
    return i == TURN_NONE ? TURN_NONE : turn_permission_at(&s->perms, i)->owner;
}
