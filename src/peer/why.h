/* SPDX-License-Identifier: MIT
 * Why a session is relayed: the one word that must never be missing behind "relayed". */
#ifndef PEER_WHY_H
#define PEER_WHY_H

#include "peer/signal.h"

#include <stdbool.h>

enum why {
    WHY_CHECKING,      /* checks run and may still succeed */
    WHY_ASKED_HERE,    /* this side was told to stay on the relay */
    WHY_ASKED_THERE,   /* the other side was */
    WHY_UDP_HERE,      /* no UDP leaves this network */
    WHY_UDP_THERE,     /* none leaves the peer's */
    WHY_UDP_BOTH,      /* neither */
    WHY_MAPPING_BOTH,  /* both NATs give every destination another port */
    WHY_MAPPING_HERE,  /* ours does, and the peer's filter wants the exact port */
    WHY_MAPPING_THERE, /* the peer's does, and our filter wants the exact port */
    WHY_NO_CANDIDATES, /* no address of one side can reach one of the other, no common family */
    WHY_WENT_SILENT,   /* the direct path stopped working; checks go on */
    WHY_NO_ANSWER,     /* every check went unanswered: a firewall, most likely */
    WHY_COUNT
};

/* What is known when the question is asked. */
struct why_facts {
    bool relay_only_here, relay_only_there;
    bool udp_blocked_here, udp_blocked_there;
    bool mapping_varies_here, mapping_varies_there;
    bool was_direct;  /* at some time in this session */
    bool any_pair;    /* ICE has at least one pair to check */
    bool checks_over; /* every pair has failed at least once, and none is in its first check */
};

enum why why_relayed(const struct why_facts *facts);

/* "UDP is blocked on this side". No full stop; static. */
const char *why_text(enum why why);
/* "udp-blocked-here": for scripts. Static. */
const char *why_word(enum why why);

#endif
