/* SPDX-License-Identifier: MIT
 * The inside of struct server_turn. Who does what:
 *
 *     turn.c          creation, the service's verbs, its timer
 *     turn_data.c     data, whole trains at a time
 *     turn_later.c    requests that wait for their user
 *     turn_latency.c  how long things take
 *     turn_board.c    the users with the most
 *     turn_relay.c    the UDP sockets of relay ports
 *     turn_flow.c     channels that a fast path carries
 *     turn_pass.c     datagrams of clients that another worker has
 *     turn_upgrade.c  allocations to and from another process
 *     turn_start.c    configuration */
#ifndef SERVER_TURN_INT_H
#define SERVER_TURN_INT_H

#include "net/plane.h"
#include "server/turn.h"
#include "server/turn_board.h"
#include "server/turn_latency.h"
#include "server/turn_later.h"

struct turn_relay; /* a relay port of ours; turn_relay.c */

/* Relay ports by number, of one family. */
struct turn_relays {
    struct turn_relay **by_port; /* [port - first] */
    uint32_t first, count;
};

struct turn_flows {
    struct fastpath *fastpath;   /* of all workers; NULL: none */
    struct turn_flow_seen *seen; /* by id */
    uint32_t *live;              /* ids of those that are carried */
    uint32_t max, count, next;
    struct net_timer tick;
};

enum {
    TURN_PASSES = 4096,
    TURN_TIMED_DATA = 256, /* one in so many trains is timed, */
    TURN_TIMED_REQUESTS = 16
};

/* A 5-tuple whose allocation is at `worker`. */
struct turn_pass {
    struct bk_addr remote, local;
    uint16_t worker;
};

struct turn_passes {
    struct turn_pass list[TURN_PASSES]; /* by hash */
    uint32_t count;                     /* 0: nobody ever moved */
    uint64_t seed[2];
};

struct server_turn {
    struct worker *worker;
    struct turn_service *service;
    struct turn_users users; /* the service's */
    struct nonce_secrets secrets;
    bool shares;              /* config.shared */
    struct bk_addr alternate; /* --alternate-server; family NONE: none */
    struct bk_addr drain_to;  /* --drain-to, for when it */
    bool refuses;             /* new allocations, also without that */
    struct net_timer timer;
    struct bk_time deadline; /* what the timer is set to */
    struct turn_relays relays[2];
    struct turn_tcp *tcp; /* NULL: no RFC 6062 */
    struct turn_flows flows;
    struct turn_passes passes;
    struct turn_later later;
    struct turn_probe data, requests; /* how long they take */
    struct turn_board board;          /* its users with the most */
    struct turn_moving *moving;       /* what is being handed over; NULL: nothing */
    struct turn_link *link;           /* whose message is being served, ... */
    const struct bk_datagram *in;     /* ... and this is it; NULL: nobody's */
};

/* ---- turn.c */

/* After each call to the service that may have changed something: what it wants done, what it has
 * to say, then the timer. */
void turn_serve(struct server_turn *t, struct bk_time now);

/* ---- turn_data.c */

/* As server_turn_run(), for clients' and peers' trains. */
size_t turn_run(struct server_turn *t, const struct bk_datagram *train, bool of_client,
                struct bk_time now);
/* Sends a run to a client over UDP. */
void turn_port_send(struct net_port *port, const struct turn_route *route,
                    const struct bk_datagram *in, size_t count);

/* ---- turn_flow.c */

/* `max`: of channels. Without a fast path the flows cost nothing. */
BK_MUST_USE enum bk_err turn_flows_init(struct server_turn *t, uint32_t max);
void turn_flows_fini(struct server_turn *t);
/* The fast path is somebody else's from now on. */
void turn_flows_off(struct server_turn *t, struct bk_time now);
void turn_flow_set(struct server_turn *t, const struct turn_flow *flow);
/* Not one more datagram is carried when this returns. */
void turn_flow_stop(struct server_turn *t, uint32_t id, struct bk_time now);

/* ---- turn_pass.c */

void turn_passes_init(struct turn_passes *p);
/* true: it is another worker's, and on its way there. */
bool turn_pass_on(struct server_turn *t, const struct bk_datagram *in);
/* All datagrams of its 5-tuple from now on. */
void turn_pass_remember(struct server_turn *t, const struct bk_datagram *in, uint16_t worker);
/* This one, and all later ones of its 5-tuple. */
void turn_pass_start(struct server_turn *t, const struct bk_datagram *in, uint16_t worker);

/* ---- turn_upgrade.c */

void turn_moving_free(struct server_turn *t);

/* ---- turn_relay.c */

struct net_port *turn_relay_port(struct turn_relay *r);
/* NULL: not a relay port that is open here. */
struct turn_relay *turn_relay_at(struct server_turn *t, const struct bk_addr *local);

BK_MUST_USE enum bk_err turn_relays_init(struct server_turn *t,
                                         const struct turn_service_config *config);
void turn_relays_fini(struct server_turn *t);
/* Errors as net_udp_open(). */
BK_MUST_USE enum bk_err turn_relay_open(struct server_turn *t, const struct bk_addr *addr);
/* Another process' socket, which is taken, also on failure. */
BK_MUST_USE enum bk_err turn_relay_adopt(struct server_turn *t, const struct bk_addr *addr,
                                         int socket);
void turn_relay_close(struct server_turn *t, const struct bk_addr *addr);
/* From a relay port of ours. false: it is none. */
bool turn_relay_send(struct server_turn *t, const struct bk_datagram *out);

#endif
