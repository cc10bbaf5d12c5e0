/* SPDX-License-Identifier: MIT
 * Offers that were refused: each is answered once over the relay, and told to the user once. Both
 * may happen in either order; one that was sent and told is forgotten. A full list drops: the peer
 * asks again. */
#ifndef PEER_REFUSALS_H
#define PEER_REFUSALS_H

#include "peer/signal.h"

enum { REFUSALS_MAX = 16 };

struct refusal {
    struct peer_key peer;
    uint8_t to[PEER_KEY_LEN], session[SIGNAL_SESSION_LEN];
    enum signal_refusal why;
    bool sent, told;
};

struct refusals {
    struct refusal list[REFUSALS_MAX];
    size_t count;
};

/* `in` carries the offer; `from` is the relay key it came from. */
void refusals_add(struct refusals *r, const struct signal *in, const uint8_t from[PEER_KEY_LEN],
                  enum signal_refusal why);
/* The next answer to send, and to which relay key: valid until the next call. */
bool refusals_next(struct refusals *r, struct signal *out, const uint8_t **to);
/* The next refusal to tell the user. */
bool refusals_next_told(struct refusals *r, struct peer_key *peer, enum signal_refusal *why);

#endif
