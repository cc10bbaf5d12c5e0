/* SPDX-License-Identifier: MIT
 * What joins an endpoint's sessions to the beacons of the local network (beacon.h): whose key is
 * whose, when to search, and what a heard address becomes. */
#ifndef PEER_LAN_H
#define PEER_LAN_H

#include "peer/beacon.h"
#include "peer/session.h"

struct lan {
    bool off;
    struct beacon beacon;
};

void lan_init(struct lan *lan, const struct bk_rng *rng, bool off);
void lan_fini(struct lan *lan);
/* A session begins, or ends. One too many is not searched for. */
void lan_watch(struct lan *lan, const struct identity *self, const struct session *s);
void lan_forget(struct lan *lan, const struct session *s);
/* Searches if the session wants that: after everything that could make it want. */
void lan_look(struct lan *lan, struct session *s, struct bk_time now);
/* The session's peer is on a link: candidates on both sides, and ours there are no secret to it. */
void lan_heard(struct lan *lan, struct session *s, const struct beacon_event *event,
               struct bk_time now);
/* Of a session, when the links become these: what is gone with its link, and a new search. */
void lan_leave(struct lan *lan, struct session *s, const struct beacon_link *links, size_t count,
               struct bk_time now);

#endif
