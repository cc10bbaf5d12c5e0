/* SPDX-License-Identifier: MIT
 * TURN's channels in the kernel (Linux): a program at the network interface (XDP; where the driver
 * cannot, tc) carries ChannelData to peers and peers' datagrams to clients, without waking anybody.
 *
 * What it does not know for certain it leaves alone: fragments, IP options, unbound data, odd
 * checksums, destinations without a known neighbour all go up to the sockets, as if it were not
 * there. Counters and bandwidth are exact, an expired flow is not carried, and after
 * fastpath_remove() has returned not one packet more is. One for all workers; the functions may be
 * called from any thread.
 *
 * Built when clang and libbpf are there; elsewhere fastpath_open() says BK_ERR_UNSUPPORTED. */
#ifndef FASTPATH_FASTPATH_H
#define FASTPATH_FASTPATH_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/time.h>

enum fastpath_mode { FASTPATH_OFF, FASTPATH_AUTO, FASTPATH_XDP, FASTPATH_TC };

enum { FASTPATH_INTERFACES_MAX = 16, FASTPATH_REASON_MAX = 160 };

struct fastpath_config {
    enum fastpath_mode mode;
    uint32_t flows_max; /* 1..1000000 */
    uint32_t allocs_max;
    const struct bk_ip *serve; /* attach to the interfaces with these addresses; none: to all that
                                  are up, but for loopback */
    size_t serve_count;
    bool classic; /* tc as on kernels before 6.6, where that is not the only way */
};

struct fastpath_flow {
    uint64_t id;                                /* the caller's, not 0; unique among all workers */
    uint64_t alloc;                             /* flows of one allocation share a bandwidth */
    struct bk_addr client, server, relay, peer; /* of one family on each side; both may differ */
    uint16_t channel;
    struct bk_time expires; /* CLOCK_MONOTONIC */
    uint64_t bytes_per_s;   /* data of both directions together; 0: no limit */
};

struct fastpath_count {
    uint64_t packets_to_peer, bytes_to_peer; /* bytes of data, without ChannelData's header */
    uint64_t packets_to_client, bytes_to_client;
    uint64_t dropped; /* over the bandwidth */
};

struct fastpath_interface {
    char name[16];
    uint32_t index;
    enum fastpath_mode mode;          /* how it is attached; OFF: it is not */
    bool offloaded;                   /* XDP: in the driver (native), not the generic slow way */
    char reason[FASTPATH_REASON_MAX]; /* why not, or why not better; one sentence; may be empty */
};

struct fastpath; /* opaque */

/* Loads and attaches; needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (do it before privileges are
 * dropped; the rest needs none of them, nor system calls that a filter might refuse). BK_OK:
 * attached to one interface at least. BK_ERR_UNSUPPORTED: this build or kernel cannot;
 * BK_ERR_PERMISSION; BK_ERR_NOT_FOUND: no interface; `reason` (room for FASTPATH_REASON_MAX) gets
 * one sentence. */
BK_MUST_USE enum bk_err fastpath_open(const struct fastpath_config *config,
                                      const struct bk_alloc *alloc, struct fastpath **out,
                                      char *reason);
/* Its two halves. The kernel's checks of the programs take seconds, which is better over before
 * anybody is let in. A failure to attach leaves it to be closed. */
BK_MUST_USE enum bk_err fastpath_load(const struct fastpath_config *config,
                                      const struct bk_alloc *alloc, struct fastpath **out,
                                      char *reason);
BK_MUST_USE enum bk_err fastpath_attach(struct fastpath *f, const struct fastpath_config *config,
                                        char *reason);
/* Detaches. NULL is fine. A process that dies is detached by the kernel; before Linux 6.6, with tc,
 * within LEASE seconds nothing is carried any more, and the next opening removes what is left. */
void fastpath_close(struct fastpath *f);

/* Adds a flow, or changes one that is there, whose counters go on. BK_ERR_FULL: too many, or
 * another flow has its addresses and channel. BK_ERR_ARGUMENT, BK_ERR_UNSUPPORTED: not a flow it
 * can carry. A failed change leaves a flow that is not carried; it is counted until it is removed.
 */
BK_MUST_USE enum bk_err fastpath_add(struct fastpath *f, const struct fastpath_flow *flow);
/* *last, which may be NULL: its final counters. BK_ERR_NOT_FOUND. */
BK_MUST_USE enum bk_err fastpath_remove(struct fastpath *f, uint64_t id,
                                        struct fastpath_count *last);
BK_MUST_USE enum bk_err fastpath_count(struct fastpath *f, uint64_t id, struct fastpath_count *out);
/* How the interfaces are attached. Gives how many of `out` were filled. */
size_t fastpath_interfaces(const struct fastpath *f, struct fastpath_interface *out, size_t max);

#endif
