/* SPDX-License-Identifier: MIT
 * Private to net: the inside of a data plane. plane.c turns, plane_out.c queues and groups what is
 * to be sent; a tier waits, receives and sends. */
#ifndef NET_PLANE_PRIVATE_H
#define NET_PLANE_PRIVATE_H

#include "net/loop_private.h"
#include "net/plane.h"

enum {
    PLANE_SLOTS = 128, /* for datagrams or trains */
    /* Not a power of two: else all slots would begin in the same few lines of the caches. */
    PLANE_SLOT = 65536 + 320,
    PLANE_BATCH = 64, /* of one port at once */
    /* Datagrams up to this size are moved together, and their slots used again: 4096 small ones
     * then wait in 400 KB, not in 4096 pages. */
    PLANE_MOVE_MAX = 2048,
    PLANE_MOVED = 1 << 21, /* bytes of them between two flushes */
    PLANE_READY = 256,     /* ports that one wait tells of */
    PLANE_FIRST_MAX = 64,  /* ports that go before the others */
    PLANE_TURN = 4096,     /* datagrams or trains of a turn; half of it for who goes first */
    PLANE_TRAINS = 4096,   /* waiting to be sent, ... */
    PLANE_PIECES = 4096,
    PLANE_COPIES = 1 << 19,  /* ... and so many bytes that had to be copied, headers included */
    PLANE_FLOWS = 8192,      /* places for flows that a train is open for; 1 << 13 */
    PLANE_SEGMENTS_MAX = 64, /* datagrams in one train; UDP_MAX_SEGMENTS of Linux before 6.9 */
    PLANE_TRAIN_MAX = 65000  /* bytes in one train: below 65535 less IP and UDP headers */
};

#define PLANE_NONE UINT32_MAX

/* A run of datagrams that lie in the same buffer; see struct net_out. */
struct plane_piece {
    const uint8_t *data, *head;
    uint32_t size, stride;
    uint32_t next; /* of the same train */
    uint8_t count, head_len;
};

struct plane_train {
    struct net_port *port;
    struct bk_addr local, remote;
    uint64_t flow;
    uint32_t size; /* of each datagram, but for the last, which may be shorter */
    uint32_t bytes, count;
    uint32_t first, last; /* pieces */
    uint8_t ecn;
    bool dont_fragment;
    bool shut; /* the last one was shorter */
};

struct net_port {
    struct net_plane *plane;
    struct net_port_events events;
    struct bk_addr local; /* bound, with the real port */
    int fd;
    bool v6;       /* an IPv6 socket: IPv4 addresses are mapped */
    bool wildcard; /* bound to one */
    bool closed;
    bool rests;         /* is not read */
    bool first;         /* goes before the others */
    bool dont_fragment; /* as the socket stands now */
    uint8_t rest;       /* so many times before it is tried whether there is more than one */
    uint8_t want;       /* datagrams to ask for */
    uint32_t place;     /* in the portable tier's list */
    struct net_port *next, *prev;
};

/* The ways to the kernel. */
struct plane_tier {
    const char *name;
    BK_MUST_USE enum bk_err (*start)(struct net_plane *p);
    void (*stop)(struct net_plane *p);
    void (*settle)(void); /* in the thread that will run turns, before the first; NULL: nothing */
    BK_MUST_USE enum bk_err (*open)(struct net_port *port, const struct net_port_config *config,
                                    const struct bk_addr *bind);
    void (*close)(struct net_port *port);
    /* Waits for it no longer, or again. */
    BK_MUST_USE enum bk_err (*rest)(struct net_port *port, bool rest);
    /* Sleeps; fills `ready`; *loop_too: the loop has work. */
    size_t (*wait)(struct net_plane *p, int64_t timeout_us, struct net_port **ready, size_t max,
                   bool *loop_too);
    /* Fills slots from p->slot on and gives how many; `out` says what is in them. *more: there was
     * no end to it. */
    size_t (*receive)(struct net_port *port, size_t max, struct bk_datagram *out, bool *more);
    /* Sends p->trains[first..first+count), which are of one port. All are done with afterwards. */
    void (*send)(struct net_plane *p, uint32_t first, uint32_t count);
};

extern const struct plane_tier plane_portable;
extern const struct plane_tier *const plane_batch; /* NULL: not here */

struct net_plane {
    struct net_loop *loop;
    const struct plane_tier *tier;
    struct net_plane_config config;
    struct bk_alloc alloc;
    struct net_port ports, dead; /* list heads, circular */
    size_t port_count;
    uint8_t *slots;
    size_t slot; /* the first one that is free */
    uint8_t *moved;
    size_t moved_used;
    struct net_port *ready[PLANE_READY]; /* [ready_at..ready_count) are to be served */
    size_t ready_at, ready_count;
    struct net_port *firsts[PLANE_FIRST_MAX];
    size_t first_count;
    size_t left; /* of PLANE_TURN, in this turn */
    struct plane_train trains[PLANE_TRAINS];
    struct plane_piece pieces[PLANE_PIECES];
    uint32_t train_count, piece_count;
    uint32_t flows[PLANE_FLOWS]; /* train + flush * PLANE_TRAINS: old ones need no wiping */
    uint32_t flush;
    uint8_t *copies;
    size_t copied;
    struct net_plane_counters counters;
    struct bk_time woke, rate_since;
    uint64_t rate_in;
    bool loaded; /* more than config.delay_pps */
    void *own;   /* the tier's */
};

static inline uint8_t *plane_slot(const struct net_plane *p, size_t i) {
    return p->slots + i * PLANE_SLOT;
}

/* What became of datagrams. */
void plane_count_sent(struct net_plane *p, const struct plane_train *t);
void plane_count_lost(struct net_plane *p, uint32_t count, int error);

/* Opens and binds a datagram socket that does not block, or takes config->socket; sets fd, v6,
 * wildcard, local. */
BK_MUST_USE enum bk_err plane_bind(struct net_port *port, const struct net_port_config *config,
                                   const struct bk_addr *bind);

#endif
