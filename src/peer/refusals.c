/* SPDX-License-Identifier: MIT */
#include "peer/refusals.h"

#include <string.h>

static void forget_done(struct refusals *r) {
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++)
        if (!r->list[i].sent || !r->list[i].told)
            r->list[kept++] = r->list[i];
    r->count = kept;
}

void refusals_add(struct refusals *r, const struct signal *in, const uint8_t from[PEER_KEY_LEN],
                  enum signal_refusal why) {
    forget_done(r);
    if (r->count == REFUSALS_MAX)
        return;
    struct refusal *new = &r->list[r->count++];
    *new = (struct refusal){.peer = in->description.offer.key, .why = why};
    memcpy(new->to, from, sizeof new->to);
    memcpy(new->session, in->session, sizeof new->session);
}

bool refusals_next(struct refusals *r, struct signal *out, const uint8_t **to) {
    for (size_t i = 0; i < r->count; i++) {
        struct refusal *one = &r->list[i];
        if (one->sent)
            continue;
        one->sent = true;
        *out = (struct signal){.type = SIGNAL_REFUSE, .refusal = one->why};
        memcpy(out->session, one->session, sizeof out->session);
        *to = one->to;
        return true;
    }
    return false;
}

bool refusals_next_told(struct refusals *r, struct peer_key *peer, enum signal_refusal *why) {
    for (size_t i = 0; i < r->count; i++) {
        struct refusal *one = &r->list[i];
        if (one->told)
            continue;
        one->told = true;
        *peer = one->peer;
        *why = one->why;
        return true;
    }
    return false;
}
