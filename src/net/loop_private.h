/* SPDX-License-Identifier: MIT
 * Private to net: what sockets and streams need of the loop they live in. */
#ifndef NET_LOOP_PRIVATE_H
#define NET_LOOP_PRIVATE_H

#include "net/alarm.h"
#include "net/loop.h"

struct net_stream;

enum {
    NET_RX_SLOT = 65536, /* room for the longest datagram or train */
    NET_RX_SLOTS = 32    /* NET_UDP_BATCH of them */
};

struct net_loop {
    uv_loop_t *uv; /* `own`, or somebody else's */
    uv_loop_t own;
    uv_prepare_t prepare;
    struct net_alarm alarm;
    struct bk_alloc alloc;
    struct net_timer *timers;           /* the root of the pairing heap: the earliest */
    struct net_deferred deferred, late; /* list heads, circular */
    struct net_deferred mark;           /* where the present round through a list ends */
    struct net_stream *streams;         /* all of them: those without an owner end with the loop */
    struct bk_time now;
    bool now_valid, stopped;
    size_t objects; /* given out by loop_get(): while there are some, libuv may hold handles */
    uint8_t
        *rx; /* NET_RX_SLOTS * NET_RX_SLOT: every socket and stream receives here, one at a time */
};

static inline void *loop_get(struct net_loop *loop, size_t size) {
    void *memory = loop->alloc.get(loop->alloc.ctx, size);
    loop->objects += memory != NULL;
    return memory;
}

static inline void loop_put(struct net_loop *loop, void *memory) {
    loop->objects -= memory != NULL;
    loop->alloc.put(loop->alloc.ctx, memory);
}

/* Like net_defer(), but after everything deferred by others: for flushing. */
void loop_defer_late(struct net_deferred *d);

/* For who sleeps in the loop's place (plane.h): begins; is there to do what its descriptor will not
 * tell of; does what is there to do, without sleeping; the clock is to be read anew; has it been
 * told to stop? */
void loop_begin(struct net_loop *loop);
bool loop_has_work(const struct net_loop *loop);
void loop_poll(struct net_loop *loop);
void loop_refresh(struct net_loop *loop);
bool loop_is_stopped(const struct net_loop *loop);

/* Ends every stream of the loop. */
void loop_end_streams(struct net_loop *loop);

/* errno of a system call as an error. */
enum bk_err loop_err(int errno_value);

#endif
