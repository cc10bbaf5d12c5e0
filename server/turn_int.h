/* SPDX-License-Identifier: MIT
 * The inside of struct server_turn. Who does what:
 *
 *     turn.c          creation, the service's verbs, its timer
 *     turn_data.c     data, whole trains at a time
 *     turn_relay.c    the UDP sockets of relay ports
 *     turn_start.c    configuration */
#ifndef SERVER_TURN_INT_H
#define SERVER_TURN_INT_H

#include "net/plane.h"
#include "server/turn.h"

struct turn_relay; /* a relay port of ours; turn_relay.c */

/* Relay ports by number, of one family. */
struct turn_relays {
    struct turn_relay **by_port; /* [port - first] */
    uint32_t first, count;
};

struct server_turn {
    struct worker *worker;
    struct turn_service *service;
    struct turn_users users; /* the service's */
    struct net_timer timer;
    struct bk_time deadline; /* what the timer is set to */
    struct turn_relays relays[2];
};

/* ---- turn.c */

/* After each call to the service that may have changed something: what it wants done, then the
 * timer. `link`: whom an answer goes to; NULL: nobody waits. */
void turn_serve(struct server_turn *t, struct turn_link *link, struct bk_time now);

/* ---- turn_data.c */

/* As server_turn_run(), for clients' and peers' trains. */
size_t turn_run(struct server_turn *t, const struct bk_datagram *train, bool of_client,
                struct bk_time now);
/* Sends a run to a client over UDP. */
void turn_port_send(struct net_port *port, const struct turn_route *route,
                    const struct bk_datagram *in, size_t count);

/* ---- turn_relay.c */

struct net_port *turn_relay_port(struct turn_relay *r);

BK_MUST_USE enum bk_err turn_relays_init(struct server_turn *t,
                                         const struct turn_service_config *config);
void turn_relays_fini(struct server_turn *t);
/* Errors as net_udp_open(). */
BK_MUST_USE enum bk_err turn_relay_open(struct server_turn *t, const struct bk_addr *addr);
void turn_relay_close(struct server_turn *t, const struct bk_addr *addr);
/* From a relay port of ours. false: it is none. */
bool turn_relay_send(struct server_turn *t, const struct bk_datagram *out);

#endif
