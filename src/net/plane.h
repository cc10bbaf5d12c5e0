/* SPDX-License-Identifier: MIT
 * A data plane: UDP sockets, possibly thousands, of one thread, between which datagrams are
 * carried. What comes in is not copied: it leaves from the buffer it came in, with bytes left out
 * or put in front. What belongs to one flow leaves together, as a train (UDP segmentation
 * offload), also when other flows came in between; the order within a flow is kept.
 *
 * The plane does the sleeping for its loop: net_plane_run() instead of net_loop_run(). One turn
 * waits, receives from every socket that has something (a bounded amount from each), calls back,
 * sends what the callbacks asked for, then gives the loop's other sources their turn. Under load it
 * wakes up less often (`delay_us`).
 *
 * There are tiers behind it: `portable` moves datagrams one by one with poll(), recvmsg() and
 * sendmsg(); `batch` (Linux) uses epoll, recvmmsg(), UDP_GRO, sendmmsg() and UDP_SEGMENT. */
#ifndef NET_PLANE_H
#define NET_PLANE_H

#include "net/loop.h"
#include <bodkin/addr.h>

struct net_plane;
struct net_port; /* one of its sockets */

enum net_plane_io { NET_IO_AUTO, NET_IO_PORTABLE, NET_IO_BATCH };

struct net_plane_config {
    enum net_plane_io io;
    int64_t delay_us;   /* under load, wake up this rarely at most; 0: at once; default 200 */
    uint32_t delay_pps; /* load: so many datagrams or trains a second; default 5000 */
};
extern const struct net_plane_config net_plane_config_default;

/* BK_ERR_UNSUPPORTED: there is no such tier here. */
BK_MUST_USE enum bk_err net_plane_new(struct net_loop *loop, const struct net_plane_config *config,
                                      struct net_plane **out);
/* Closes its ports. NULL is fine. */
void net_plane_free(struct net_plane *p);
/* Runs turns, the loop's included, until net_loop_stop(). */
void net_plane_run(struct net_plane *p);
/* One turn that sleeps for at most `timeout_us`; for tests. */
void net_plane_turn(struct net_plane *p, int64_t timeout_us);
/* Sends what is queued now. */
void net_plane_flush(struct net_plane *p);
/* "portable", "batch". */
const char *net_plane_name(const struct net_plane *p);
/* Does it heed `dont_fragment`? */
bool net_plane_can_keep_whole(const struct net_plane *p);

struct net_plane_counters {
    uint64_t in, in_bytes, out, out_bytes; /* datagrams, counted singly also in trains */
    uint64_t trains_in, trains_out;        /* what the kernel was given or gave at once */
    uint64_t in_truncated;                 /* longer than 64 KiB or broken control data: dropped */
    uint64_t out_full;                     /* dropped: the kernel's buffer is full */
    uint64_t out_unreachable; /* dropped: no route, ICMP error, forbidden by a firewall */
    uint64_t out_too_long;    /* dropped: larger than the interface's MTU */
    uint64_t out_error;       /* dropped: other kernel errors */
    uint64_t gso_refused;     /* trains sent singly because the kernel would not split them */
    uint64_t turns, delays;
};
const struct net_plane_counters *net_plane_counters(const struct net_plane *p);

/* An ICMP error about something a port sent. */
struct net_icmp {
    struct bk_addr local, remote;
    uint8_t type, code;
    uint32_t mtu; /* of the next hop, where the error is about that */
};

struct net_port_events {
    /* A datagram or, with `segment`, a train; `local` is the address it was sent to. A view that
     * may be sent on in this call, or until the callback of another one. */
    void (*on_train)(void *ctx, const struct bk_datagram *in, struct bk_time now);
    /* NULL: of no interest. */
    void (*on_icmp)(void *ctx, const struct net_icmp *error, struct bk_time now);
    void *ctx;
};

struct net_port_config {
    bool reuse_port, v6only; /* as in net/udp.h; default false */
    bool first;              /* served before those who are not, and more at once; default false */
    int rcvbuf, sndbuf;      /* bytes; 0: the system's default */
    int socket; /* a bound one of another process', which becomes the port's (taken, also on
                   failure) instead of a new one; 0: none */
};

/* Errors as net_udp_open(). */
BK_MUST_USE enum bk_err net_port_open(struct net_plane *p, const struct bk_addr *bind,
                                      const struct net_port_config *config,
                                      const struct net_port_events *events, struct net_port **out);
/* Sends what is queued, closes. Also from a callback. NULL is fine. */
void net_port_close(struct net_port *port);
struct bk_addr net_port_local(const struct net_port *port);
/* Reads no more (what comes waits in the kernel), or reads again. It still sends. Not from
 * on_train(). BK_ERR_NO_MEMORY: it cannot read again. */
BK_MUST_USE enum bk_err net_port_rest(struct net_port *port, bool rest);
bool net_port_rests(const struct net_port *port);
/* The socket, to be given to another process. It stays the port's. */
int net_port_socket(const struct net_port *port);

/* `count` datagrams of one flow: each is `head`, then `size` bytes; the first one's are at `data`,
 * the others follow every `stride` bytes. */
struct net_out {
    struct bk_addr local; /* a wildcard leaves the source address to the system */
    struct bk_addr remote;
    uint64_t flow; /* what has the same number goes the same way; 0: a flow of its own */
    const uint8_t *data;
    size_t size, stride, count;
    const uint8_t *head;
    size_t head_len;
    uint8_t ecn;
    bool dont_fragment;
};

enum { NET_OUT_HEAD_MAX = 64 };

/* Leaves at the end of the turn, or sooner. Copied, unless it is part of what on_train() is being
 * told. What cannot be sent is counted and lost. */
void net_port_send(struct net_port *port, const struct net_out *out);
/* The same for one datagram of no flow. */
void net_port_send_one(struct net_port *port, const struct bk_datagram *out);

#endif
