/* SPDX-License-Identifier: MIT
 * What connections add to the checker: RFC 6544. */
#include "ice/checker.h"

enum {
    OTHER_BITS = 13, /* RFC 6544 section 4.2: local preference = 2^13 * direction + other */
    OTHER_MAX = (1 << OTHER_BITS) - 1
};

/* RFC 6544 section 4.2, its two recommended lists. */
static unsigned direction_preference(enum bk_ice_kind kind, enum bk_ice_transport transport) {
    bool direct = kind == BK_ICE_HOST || kind == BK_ICE_RELAYED;
    switch (transport) {
    case BK_ICE_UDP:
        return 7;
    case BK_ICE_TCP_ACTIVE:
        return direct ? 6 : 4;
    case BK_ICE_TCP_PASSIVE:
        return direct ? 4 : 2;
    case BK_ICE_TCP_SO:
        return direct ? 2 : 6;
    }
    return 0;
}

uint16_t bk_checker_tcp_preference(enum bk_ice_kind kind, enum bk_ice_transport transport,
                                   uint16_t preference) {
    unsigned other = preference >> 3;
    other = other > OTHER_MAX ? OTHER_MAX : other;
    return (uint16_t)(direction_preference(kind, transport) << OTHER_BITS | other);
}

/* RFC 6544 sections 7.1 and 11.1: the pair has failed, whether its connection was never made or is
 * lost. The active side opens it again with the pair's next check. */
void bk_checker_broken(struct bk_checker *ice, const struct bk_addr *local,
                       const struct bk_addr *remote, struct bk_time now) {
    const struct ice_path path = {local, remote, true};
    ice_touch(ice, now);
    for (int generation = 0; generation < 2; generation++) {
        uint16_t at = ice_checklist_find(&ice->list, &path, generation == 1);
        if (at == ICE_NONE)
            continue;
        struct ice_pair *p = ice_pair_at(ice, at);
        bool accepted = ice->locals.slots[p->local].transport == BK_ICE_TCP_PASSIVE;
        uint32_t id = p->id;
        ice_fail_pair(ice, at, BK_ICE_FAILURE_BROKEN);
        if (accepted && p->id == id) /* only the peer can open it again, from another port */
            ice_remove_pair(ice, at);
    }
    bk_checker_advance(ice, now);
}
