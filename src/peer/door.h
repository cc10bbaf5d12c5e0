/* SPDX-License-Identifier: MIT
 * Who may start a session with us: holders of a one-time secret, and peers on a list.
 *
 * A secret admits the first peer that shows it and from then on only that peer, so a stolen ticket
 * is worthless once used and a lost connection can be made again. A ping does not use it up. */
#ifndef PEER_DOOR_H
#define PEER_DOOR_H

#include "peer/signal.h"

enum { DOOR_SECRETS_MAX = 64, DOOR_PEERS_MAX = 256 };

struct door {
    struct door_secret {
        uint8_t secret[TICKET_SECRET_LEN];
        bool used;
        struct peer_key user;
    } secrets[DOOR_SECRETS_MAX];
    size_t secret_count;
    struct peer_key peers[DOOR_PEERS_MAX];
    size_t peer_count;
};

void door_init(struct door *d);
void door_fini(struct door *d); /* wipes the secrets */
/* BK_ERR_FULL: DOOR_SECRETS_MAX. */
BK_MUST_USE enum bk_err door_add_secret(struct door *d, const uint8_t secret[TICKET_SECRET_LEN]);
/* BK_ERR_FULL: DOOR_PEERS_MAX. */
BK_MUST_USE enum bk_err door_add_peer(struct door *d, const struct peer_key *peer);
/* May this offer in? BK_OK, and a fitting secret is its peer's from now on; BK_ERR_REFUSED with the
 * word for it in *refusal. Takes the same time for every secret. */
BK_MUST_USE enum bk_err door_admit(struct door *d, const struct signal_offer *offer,
                                   enum signal_refusal *refusal);

#endif
