/* SPDX-License-Identifier: MIT */
#include "peer/door.h"

#include "base/wipe.h"

#include <string.h>

void door_init(struct door *d) {
    memset(d, 0, sizeof *d);
}

void door_fini(struct door *d) {
    wipe(d, sizeof *d);
}

enum bk_err door_add_secret(struct door *d, const uint8_t secret[TICKET_SECRET_LEN]) {
    if (d->secret_count == DOOR_SECRETS_MAX)
        return BK_ERR_FULL;
    struct door_secret *s = &d->secrets[d->secret_count++];
    memcpy(s->secret, secret, TICKET_SECRET_LEN);
    s->used = false;
    return BK_OK;
}

enum bk_err door_add_peer(struct door *d, const struct peer_key *peer) {
    if (d->peer_count == DOOR_PEERS_MAX)
        return BK_ERR_FULL;
    d->peers[d->peer_count++] = *peer;
    return BK_OK;
}

static bool is_listed(const struct door *d, const struct peer_key *peer) {
    for (size_t i = 0; i < d->peer_count; i++)
        if (peer_key_equal(&d->peers[i], peer))
            return true;
    return false;
}

/* Looks at every secret, whichever fits, so the time taken tells nothing. */
static struct door_secret *find_secret(struct door *d, const uint8_t *secret) {
    struct door_secret *found = NULL;
    for (size_t i = 0; i < d->secret_count; i++)
        if (equal_secret(d->secrets[i].secret, secret, TICKET_SECRET_LEN))
            found = &d->secrets[i];
    return found;
}

enum bk_err door_admit(struct door *d, const struct signal_offer *offer,
                       enum signal_refusal *refusal) {
    struct door_secret *s = offer->has_secret ? find_secret(d, offer->secret) : NULL;
    if (is_listed(d, &offer->key))
        return BK_OK;
    if (s != NULL && (!s->used || peer_key_equal(&s->user, &offer->key))) {
        if (offer->purpose != SIGNAL_PURPOSE_PING) {
            s->used = true;
            s->user = offer->key;
        }
        return BK_OK;
    }
    *refusal = offer->has_secret ? SIGNAL_REFUSED_TICKET : SIGNAL_REFUSED_PEER;
    return BK_ERR_REFUSED;
}
