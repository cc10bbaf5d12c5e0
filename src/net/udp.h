/* SPDX-License-Identifier: MIT
 * UDP sockets that move packets in batches: recvmmsg and UDP GRO in, sendmmsg and UDP GSO out.
 *
 * A socket bound to the IPv6 wildcard without `v6only` carries IPv4 too; addresses are always shown
 * unmapped. Nothing the network does ends a socket: ICMP errors and unreachable routes count as
 * lost packets. */
#ifndef NET_UDP_H
#define NET_UDP_H

#include "net/loop.h"
#include <bodkin/addr.h>

enum { NET_UDP_BATCH = 32 }; /* most datagrams or trains in one on_batch call */

struct net_udp;

struct net_udp_config {
    bool reuse_port;    /* share the port with other sockets of this user; default false */
    bool v6only;        /* IPv6 sockets: leave IPv4 alone; default false */
    bool gro;           /* deliver trains (datagram.segment set); default false: only for
                           receivers that know about them, for example QUIC */
    bool prompt;        /* a datagram that has been the only one of a turn of the loop for a while
                           leaves at once, not at the end of the turn; default false */
    bool dont_fragment; /* set DF and ignore the kernel's path MTU guesses; default true */
    int sndbuf,
        rcvbuf;       /* bytes; 0 leaves the system's default; default 0, 4 MiB is good for bulk */
    size_t queue_max; /* bytes queued while the kernel's buffer is full; default 1 MiB */
};
extern const struct net_udp_config net_udp_config_default;

/* A batch of received datagrams, `local` set to the address each was sent to. Views: valid during
 * the call. The callback may close the socket. */
struct net_udp_events {
    void (*on_batch)(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now);
    void *ctx;
};

struct net_udp_counters {
    uint64_t in, in_bytes, out, out_bytes; /* datagrams, counted singly also in trains */
    uint64_t in_truncated;                 /* longer than 64 KiB or broken control data: dropped */
    uint64_t out_full;        /* dropped: the queue was full, the network is slower than we are */
    uint64_t out_unreachable; /* dropped: no route, ICMP error, forbidden by a firewall */
    uint64_t out_too_long;    /* dropped: larger than the interface's MTU */
    uint64_t out_error;       /* dropped: other kernel errors */
    uint64_t gso_refused;     /* trains sent singly because the kernel would not split them */
};

/* `bind`: port 0 picks one. BK_ERR_EXISTS: the port is taken; BK_ERR_PERMISSION: the port is
 * privileged; BK_ERR_UNREACHABLE: not an address of this machine; BK_ERR_UNSUPPORTED: the machine
 * has no such address family. */
BK_MUST_USE enum bk_err net_udp_open(struct net_loop *loop, const struct bk_addr *bind,
                                     const struct net_udp_config *config,
                                     const struct net_udp_events *events, struct net_udp **out);
/* Sends what is queued as far as the kernel takes it, then closes. NULL is fine. */
void net_udp_close(struct net_udp *u);

/* The bound address with the real port. */
struct bk_addr net_udp_local(const struct net_udp *u);

/* Sends at the end of the turn, or sooner; neighbours to the same destination become one train. The
 * data is copied. A wildcard (or all-zero) `local` leaves the source address to the system.
 * BK_ERR_FULL: dropped and counted, the queue is full. BK_ERR_ARGUMENT: family or length
 * impossible. */
BK_MUST_USE enum bk_err net_udp_send(struct net_udp *u, const struct bk_datagram *out);
/* Sends now what net_udp_send() queued. */
void net_udp_flush(struct net_udp *u);
/* Bytes waiting because the kernel's buffer is full: a sender with a choice stops above 0. */
size_t net_udp_backlog(const struct net_udp *u);

/* Valid as long as the socket is. */
const struct net_udp_counters *net_udp_counters(const struct net_udp *u);

#endif
