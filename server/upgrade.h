/* SPDX-License-Identifier: MIT
 * Another process takes over from this one, without a packet lost. SIGUSR2 begins it:
 *
 *     this one                                    the new one
 *     the launcher runs the program there is now
 *     HELLO, DOORs with their sockets        -->  reads its options, takes the doors, binds others,
 *     the workers' flows leave the fast path <--  PREPARED
 *     and it is detached: LET_GO             -->  attaches its own, gives up privileges
 *     the workers read no more and tell what <--  READY
 *     they have: ALLOC, STAY, ...            -->  imports it
 *     COMMIT                                 <--  TAKEN
 *     forgets what has moved, listens no     -->  starts its workers
 *     more, keeps who stayed                 <--  STARTED
 *
 * The sockets are the same ones in both processes, so what arrives while nobody reads waits in
 * them. Whatever goes wrong before STARTED (the new one says why, ends, or is silent for too long):
 * this one reads on, and the log says so. Who cannot be moved (streams, TLS, DTLS, clients behind
 * proxies, TCP allocations) stays here until it leaves, or until --upgrade-grace is over. */
#ifndef SERVER_UPGRADE_H
#define SERVER_UPGRADE_H

#include "net/loop.h"
#include "server/upgrade_channel.h"
#include "server/upgrade_worker.h"

struct server;

enum upgrade_state {
    UPGRADE_NOT,
    UPGRADE_STARTING,   /* the new one prepares itself */
    UPGRADE_LETTING_GO, /* the workers, of the fast path */
    UPGRADE_WAITING,    /* for READY */
    UPGRADE_HANDING,    /* the workers tell what they have; for TAKEN */
    UPGRADE_COMMITTED,  /* for STARTED */
    UPGRADE_GOING_ON,   /* the workers read again */
    UPGRADE_LEAVING,    /* the workers forget what has moved */
    UPGRADE_LEFT,       /* only who stayed is here */
    UPGRADE_STATES
};

struct upgrade {
    int launcher; /* 0: there is none */
    enum upgrade_state state;
    struct upgrade_crew crew;
    struct net_watch *watch; /* on the channel; NULL: no other process */
    struct net_timer timer;
    bool taken;               /* TAKEN came */
    bool fast_path_went;      /* and will not come back */
    struct bk_time paused_at; /* when the workers were told to read no more */
    struct bk_time until;     /* LEFT: the grace is over */
    char why[256];            /* it came to nothing */
    struct upgrade_message *message;
};

/* Before anything else: splits off the launcher. A server without one runs as well. */
void upgrade_prepare(struct server *s);
/* SIGUSR2. */
void upgrade_begin(struct server *s);
/* Has it handed everything over? */
bool upgrade_has_left(const struct server *s);
/* After the workers. */
void upgrade_end(struct server *s);

#endif
