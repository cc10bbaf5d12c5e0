/* SPDX-License-Identifier: MIT
 * A worker: one thread with its own loop, sockets, relay hub and counters. Workers share read-only
 * configuration, the connection limits, and talk through inboxes.
 *
 * Main makes all workers and their sockets, gives up its privileges, then starts the threads. From
 * then on main only sets `commands` and wakes; the order of teardown is: join the thread, free. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "net/stream.h"
#include "relay/hub.h"
#include "server/inbox.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/options_copy.h"
#include "server/turn.h"
#include "server/udp.h"
#include "server/udp_dtls.h"
#include "server/upgrade_take.h"
#include "server/upgrade_worker.h"
#include "stun/service.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    WORKER_SOCKETS_MAX = 20,   /* addresses served on: --listen and --stun-address */
    WORKER_BUFFER_MAX = 65536, /* bytes between hub and kernel; more would escape the hub's
                                  fairness */
    WORKER_BUFFER_LOW = 16384,
    WORKER_HANDSHAKE_US = 10000000, /* TLS, and again for the HTTP request */
    WORKER_GOODBYE_US = 1000000     /* after this a stopping worker stops waiting for clients */
};

enum port_kind { PORT_HTTPS, PORT_PLAIN, PORT_STUN_TCP, PORT_TURNS, PORT_KINDS };

struct conn;
struct conn_parcel;
struct udp_proxy;
struct worker;

/* What on_accept needs to know. */
struct door {
    struct worker *worker;
    struct net_listener *listener;
    enum port_kind kind;
    struct net_tls *tls; /* a reference; NULL: none here */
};

/* What all workers share. Read-only once threads run, but for `limits`, which has a lock,
 * and `discovery`, which is made of atomics. */
struct fastpath;
struct server_ledger;

struct fleet {
    struct worker **workers;
    struct metrics **metrics; /* of each worker */
    size_t count;
    struct net_plane_config plane; /* how sockets are driven */
    struct limits limits;
    struct turn_filter watchers;      /* `allow`: who may read /metrics; none: private networks */
    struct turn_filter proxies;       /* `allow`: who may say whom it speaks for, server/proxy.h */
    struct stun_discovery *discovery; /* its tables are made for sharing */
    struct server_ledger *ledger;     /* of TURN; NULL: no TURN */
    struct fastpath *fastpath;        /* NULL: none, */
    char fastpath_off[160];           /* for this reason */
    uint8_t relay_key[RELAY_HUB_KEY_LEN]; /* public */
    struct throttle throttle;             /* of answers to strangers; made for sharing */
    struct nonce_secrets secrets;         /* main's; TURN's workers have their own */
    struct takeover *takeover; /* before the threads: what another process had; or NULL */
};

enum worker_command {
    WORKER_STOP = 1,
    WORKER_TLS = 2,
    WORKER_OPTIONS = 4,
    WORKER_DRAIN = 8,
    WORKER_UPGRADE = 16
};

struct worker {
    struct fleet *fleet;
    uint32_t index;
    struct net_loop *loop;
    struct net_plane *plane; /* its UDP sockets; sleeps for the loop */
    struct relay_hub *hub;
    struct udp_door udp[3 * WORKER_SOCKETS_MAX]; /* STUN's two ports, and TURN's for DTLS */
    size_t udp_count;
    struct udp_records records; /* who takes DTLS on these */
    struct udp_dtls *dtls;      /* that is this one; or NULL */
    struct udp_proxy *proxied;  /* clients behind proxies; NULL: none is trusted */
    struct server_turn *turn;   /* NULL: no TURN */
    struct door doors[WORKER_SOCKETS_MAX * (PORT_KINDS + 1)]; /* STUN has two ports here, too */
    size_t door_count;
    struct stun_service stun, stun_tcp; /* they share the fleet's discovery */
    struct metrics metrics;
    struct inbox inbox;
    struct net_wakeup *wakeup;
    atomic_uint commands;          /* set of enum worker_command, from main */
    _Atomic(struct net_tls *) tls; /* with WORKER_TLS: what HTTPS shows from now on, a reference */
    _Atomic(struct options_copy *) options; /* with WORKER_OPTIONS: TURN's, a reference */
    atomic_bool drains;                     /* no new allocations, and the count is up to date */
    struct net_timer hub_timer, goodbye, count_timer;
    struct bk_time goodbye_by; /* when stopping: end all connections then */
    struct net_deferred drain;
    struct conn **by_hub; /* hub connection -> conn */
    uint32_t by_hub_count;
    struct conn *conns; /* all of them, doubly linked */
    struct upgrade_worker upgrade;
    bool stopping;
    pthread_t thread;
};

/* `hub` is its configuration; conns_max is per worker. */
BK_MUST_USE enum bk_err worker_new(struct fleet *fleet, uint32_t index,
                                   const struct relay_hub_config *hub, struct worker **out);
void worker_free(struct worker *w);
/* Hands a client's datagram over to worker `to`; may be lost. */
void worker_pass_datagram(struct worker *w, uint16_t to, const struct bk_datagram *in);
/* Hands a connection over to worker `to`; takes `parcel`. */
void worker_send_conn(struct worker *w, uint16_t to, struct conn_parcel *parcel);
/* Binds. `tls`: what this port may start; a reference is taken. `at` may have port 0; *bound is
 * what it became. Errors as net_listener_open(). */
BK_MUST_USE enum bk_err worker_listen(struct worker *w, enum port_kind kind,
                                      const struct bk_addr *at, struct net_tls *tls,
                                      struct bk_addr *bound);
BK_MUST_USE enum bk_err worker_listen_udp(struct worker *w, const struct bk_addr *at,
                                          struct bk_addr *bound);
/* DTLS on all UDP ports. */
BK_MUST_USE enum bk_err worker_start_dtls(struct worker *w, struct net_tls *tls);
/* Datagrams of trusted proxies have headers from now on. */
BK_MUST_USE enum bk_err worker_trust_proxies(struct worker *w);
BK_MUST_USE enum bk_err worker_start(struct worker *w);
/* Any thread: tells the clients, flushes, ends the thread. Then worker_join(). */
void worker_stop(struct worker *w);
void worker_join(struct worker *w);
/* Any thread: later TLS connections use `tls`. */
void worker_set_tls(struct worker *w, struct net_tls *tls);
/* Any thread: TURN's limits are those of `options` from now on. */
void worker_set_options(struct worker *w, struct options_copy *options);
/* Any thread: no new allocations from now on; `drains` says when. */
void worker_drain(struct worker *w);

/* Any thread: does upgrade.step. */
void worker_upgrade(struct worker *w);
/* Any thread: a datagram of one of this worker's clients. May be lost. */
void worker_give_datagram(struct worker *w, const struct bk_datagram *in);

/* For conn.c. The hub has got input: everything it now wants is done at the end of the turn. */
static inline void worker_hub_touched(struct worker *w) {
    net_defer(&w->drain);
}

#endif
