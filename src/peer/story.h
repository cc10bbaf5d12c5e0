/* SPDX-License-Identifier: MIT
 * How a session came to its path, and why: one sentence for people from what the session, both NATs
 * and the methods tell. */
#ifndef PEER_STORY_H
#define PEER_STORY_H

#include "peer/why.h"
#include "punch/punch.h"

struct story {
    bool direct;
    enum why why;                 /* relayed */
    enum bk_oracle_method method; /* direct: that found the path. Relayed: the best that there is
                                     for these NATs */
    uint64_t probes;              /* checks that this side sent for it */
    int64_t took_us;              /* from the moment the peer's addresses were known; 0: unknown */
    struct bk_nat_traits here, there;
    const struct punch_step *steps; /* of the last attempt; views, as long as the session is left
                                       alone */
    size_t step_count;
};

enum { STORY_MAX = 512 };

/* "direct by hole punching, 4 probes, 0.08 s: the NAT here keeps one port for all destinations ..."
 * or "relayed: ...", without a full stop. Returns `out`, which has room for STORY_MAX. */
char *story_tell(const struct story *story, char *out);
/* "gives a random port to each destination and filters by address and port"; "" when nothing is
 * known. Returns `out`, which has room for STORY_MAX. */
char *story_nat(const struct bk_nat_traits *nat, char *out);

#endif
