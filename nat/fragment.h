/* SPDX-License-Identifier: MIT
 * IP fragments at a NAT: only the first one has ports, so the others go where it went, by the IP
 * identification. Nothing is reassembled. RFC 4787 section 11 REQ-14: those that come before their
 * first one wait for it, in a room of their own and with a limit, so that a flood of them (REQ-14a)
 * can neither fill the table of known packets nor hold up whole ones.
 *
 *     packet_parse_any(&p, ...)
 *     PACKET_WHOLE  nat_packet(), packet_rewrite(), as ever
 *     PACKET_FIRST  the same, then fragments_learn(), then fragments_next() until it says false
 *     PACKET_LATER  fragments_pass()
 */
#ifndef NAT_FRAGMENT_H
#define NAT_FRAGMENT_H

#include "nat/nat.h"
#include "nat/packet.h"
#include <bodkin/env.h>
#include <bodkin/time.h>

enum {
    FRAGMENT_LEN_MAX = 2048, /* of one that waits; longer ones are dropped */
    FRAGMENT_LIFE_S = 30     /* how long a packet is known, or waits: as Linux reassembles */
};

struct fragments;

/* `max` packets are known at once, and as many fragments wait (NAT_FRAGMENTS_ANY_ORDER only).
 * BK_ERR_NO_MEMORY; BK_ERR_ARGUMENT: max is 0 or above NAT_FRAGMENTS_MAX. */
BK_MUST_USE enum bk_err fragments_new(enum nat_fragments mode, uint32_t max,
                                      const struct bk_rng *rng, const struct bk_alloc *alloc,
                                      struct fragments **out);
void fragments_free(struct fragments *f);

/* The box has decided on a first fragment that came in on side `from`: `before` is its header as it
 * came, `v` the verdict. Those that wait for it become ready. */
void fragments_learn(struct fragments *f, enum nat_side from, const struct packet *first,
                     const struct nat_header *before, const struct nat_verdict *v,
                     struct bk_time now);

/* A PACKET_LATER came in on side `from`. Passes: its addresses are rewritten, send it out of side
 * *to. Waits: it was copied. Dropped: its first one was, or is not known and it may not wait, or it
 * would overwrite the first one's TCP header (RFC 3128). */
enum fragment_fate { FRAGMENT_PASSES, FRAGMENT_WAITS, FRAGMENT_DROPPED };
enum fragment_fate fragments_pass(struct fragments *f, enum nat_side from, struct packet *p,
                                  struct bk_time now, enum nat_side *to);

/* A fragment that has waited long enough, rewritten, in a buffer that is valid until the next call
 * of any function here. false: none. */
bool fragments_next(struct fragments *f, struct packet *out, enum nat_side *to);

struct fragments_counters {
    uint64_t passed, held, dropped;
};
const struct fragments_counters *fragments_get_counters(const struct fragments *f);

#endif
