/* SPDX-License-Identifier: MIT
 * A worker's UDP doors: sockets on which everything that clients send over UDP arrives. The first
 * byte tells what it is (RFC 7983 section 7): STUN and TURN messages, ChannelData, DTLS records. */
#ifndef SERVER_UDP_H
#define SERVER_UDP_H

#include "net/plane.h"
#include "server/turn.h"

struct worker;

struct udp_door {
    struct turn_link link; /* the door of TURN's clients over plain UDP */
    struct worker *worker;
    struct net_port *port;
};

/* DTLS: who gets the records (first byte 20 to 63). NULL: they are dropped. Answers leave through
 * udp_door_send(). */
struct udp_records {
    void (*on_record)(void *ctx, struct udp_door *door, const struct bk_datagram *in,
                      struct bk_time now);
    void *ctx;
};

/* One datagram to a client. Dropped (and counted) when the queue is full. */
void udp_door_send(struct udp_door *door, const struct bk_datagram *out);
/* The socket of a link that is such a door. NULL: it is something else. */
struct net_port *udp_link_port(const struct turn_link *link);
/* What another worker got: as if it had come to the door of the address it was sent to. */
void udp_doors_recv(struct worker *w, const struct bk_datagram *in, struct bk_time now);
/* The door for clients that send to this address of ours. NULL: there is none. */
struct turn_link *udp_door_link(struct worker *w, const struct bk_addr *local);
void udp_doors_close(struct worker *w);

#endif
