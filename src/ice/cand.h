/* SPDX-License-Identifier: MIT
 * Candidates: priorities, foundations, and a table of them for each side. RFC 8445 section 5.1. */
#ifndef ICE_CAND_H
#define ICE_CAND_H

#include <bodkin/checker.h>

enum { ICE_NONE = 0xffff }; /* no such index, for candidates and pairs */

struct ice_cand {
    bool used;
    bool old; /* a remote one from before a restart: serves old pairs, makes no new ones */
    uint8_t kind, transport;    /* enum bk_ice_kind, enum bk_ice_transport: small, there are many */
    uint16_t comp;              /* index of its component among all of all streams */
    uint16_t stream, component; /* the same as SDP says it: component from 1 */
    uint16_t preference;
    uint32_t priority;
    uint32_t server; /* a hash of the STUN or TURN server's address: only tells foundations apart */
    struct bk_addr addr, base;
    char foundation[BK_ICE_FOUNDATION_MAX + 1];
};

/* Slots keep their index as long as they are used, so pairs name candidates by it. */
struct ice_cands {
    struct ice_cand *slots;
    uint16_t cap, top; /* slots[top..cap) are unused */
    uint32_t next_foundation;
};

static inline bool ice_cand_is_tcp(const struct ice_cand *cand) {
    return cand->transport != BK_ICE_UDP;
}

/* RFC 8445 section 5.1.2.1; for TCP less, as RFC 6544 section 4.2 allows where UDP is preferred. */
uint32_t ice_priority(enum bk_ice_kind kind, enum bk_ice_transport transport, uint16_t preference,
                      uint16_t component);
/* What our checks from this local candidate carry in PRIORITY: the priority a peer-reflexive
 * candidate learned from them has, section 7.1.1. */
uint32_t ice_prflx_priority(const struct ice_cand *local);

/* Equal addresses; zones count only when both sides know one, because the peer's zone means nothing
 * here and sockets often do not report ours. */
bool ice_addr_same(const struct bk_addr *a, const struct bk_addr *b);
/* Can packets be sent to it at all? */
bool ice_addr_is_usable(const struct bk_addr *addr);
/* May these two be a pair? RFC 8445 section 6.1.2.2: same component, same family, link-local only
 * with link-local; loopback only with loopback, so that a peer cannot aim our checks at local
 * services. RFC 6544 section 6.2: active with passive, simultaneous-open with its like; and of a
 * passive one only with a peer-reflexive active one, whose connection is there. */
bool ice_cands_fit(const struct ice_cand *local, const struct ice_cand *remote);

/* Takes a free slot and fills it; foundation and priority are made where the caller gave none.
 * `comp` is the index of its component. ICE_NONE: no room. */
uint16_t ice_cands_add(struct ice_cands *cands, const struct bk_ice_candidate *from, uint16_t comp);
void ice_cands_remove(struct ice_cands *cands, uint16_t index);
/* What a candidate is looked up by. */
struct ice_cand_key {
    const struct bk_addr *addr, *base; /* base: NULL: any */
    bool tcp;
    uint16_t comp;
};
/* The current (not old) candidate with this key. */
uint16_t ice_cands_find(const struct ice_cands *cands, const struct ice_cand_key *key);
/* The candidate of highest priority whose checks leave from `local`; with the wildcard address, the
 * first of the same family and port. */
uint16_t ice_cands_find_base(const struct ice_cands *cands, const struct bk_addr *local, bool tcp);
size_t ice_cands_count(const struct ice_cands *cands, enum bk_ice_kind kind);
void ice_cand_export(const struct ice_cand *cand, struct bk_ice_candidate *out);

#endif
