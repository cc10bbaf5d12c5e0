/* SPDX-License-Identifier: MIT
 * The event loop of one thread: libuv underneath, the house's time on top.
 *
 * A turn of the loop is: sleep until something happens; call back for sockets, streams, wakeups and
 * signals; run the timers that are due; run what was deferred; flush the UDP sockets. So protocol
 * objects are fed during a turn and drained once in a deferred callback, and packets leave
 * together.
 *
 * Every callback may create, set, cancel or free anything, its own object included. All functions
 * belong to the loop's thread, except net_wakeup_send() and net_clock(). The order of teardown is:
 * sockets, streams, listeners, watches and signals first, then net_loop_free(). */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>

struct net_loop;

/* `alloc` is borrowed for the life of the loop and serves all its sockets and streams.
 * BK_ERR_NO_MEMORY, BK_ERR_IO: out of file descriptors. */
BK_MUST_USE enum bk_err net_loop_new(const struct bk_alloc *alloc, struct net_loop **out);
/* The same on a loop that somebody else runs: `uv_loop` is a uv_loop_t, which must outlive it. */
BK_MUST_USE enum bk_err net_loop_new_on(void *uv_loop, const struct bk_alloc *alloc,
                                        struct net_loop **out);
/* Waits for the closing of what was closed, then frees. A foreign loop does so in its next turns;
 * it has nothing of ours left when uv_run() says that it is done. Streams that linger after
 * net_stream_finish() end here. NULL is fine. */
void net_loop_free(struct net_loop *loop);
/* Runs turns until net_loop_stop(). May be called again afterwards. Like the three that follow it
 * not for foreign loops. */
void net_loop_run(struct net_loop *loop);
/* Ends net_loop_run() after the present turn. */
void net_loop_stop(struct net_loop *loop);
/* Sleeps for at most one turn; for callers with a loop of their own. */
void net_loop_turn(struct net_loop *loop);
/* A descriptor that is readable when net_loop_turn() has work, for embedding in another loop. */
int net_loop_fd(const struct net_loop *loop);

/* CLOCK_MONOTONIC, read once per turn. */
struct bk_time net_now(const struct net_loop *loop);
/* CLOCK_MONOTONIC now. Any thread. */
struct bk_time net_clock(void);

/* A one-shot timer with microsecond resolution, embedded by value in its owner. */
struct net_timer {
    struct net_loop *loop;
    void (*on_due)(void *ctx, struct bk_time now);
    void *ctx;
    struct bk_time deadline;
    struct net_timer *child, *next, *prev; /* private: place in the loop's pairing heap */
};

void net_timer_init(struct net_timer *t, struct net_loop *loop,
                    void (*on_due)(void *ctx, struct bk_time now), void *ctx);
/* Arms, moves or (BK_NEVER) stops the timer. A deadline in the past is due in this or the next
 * turn. Must be stopped before its memory goes away. Cheap: no system call. */
void net_timer_set(struct net_timer *t, struct bk_time deadline);

/* Something to do once at the end of the present turn, embedded by value in its owner. */
struct net_deferred {
    struct net_loop *loop;
    void (*run)(void *ctx);
    void *ctx;
    struct net_deferred *next, *prev; /* private, like what follows */
    bool queued, late;
};

void net_deferred_init(struct net_deferred *d, struct net_loop *loop, void (*run)(void *ctx),
                       void *ctx);
/* Asking twice before it runs is asking once. */
void net_defer(struct net_deferred *d);
/* Must be done before its memory goes away. */
void net_defer_cancel(struct net_deferred *d);

/* Calls back in the loop's thread after net_wakeup_send(); several sends may become one call. */
struct net_wakeup;
BK_MUST_USE enum bk_err net_wakeup_new(struct net_loop *loop, void (*on_wake)(void *ctx), void *ctx,
                                       struct net_wakeup **out);
/* The only function any thread may call. */
void net_wakeup_send(struct net_wakeup *w);
/* No thread may send afterwards. NULL is fine. */
void net_wakeup_free(struct net_wakeup *w);

/* Calls back in the loop's thread when the process gets signal `signum`. */
struct net_signal;
BK_MUST_USE enum bk_err net_signal_new(struct net_loop *loop, int signum,
                                       void (*on_signal)(void *ctx, int signum), void *ctx,
                                       struct net_signal **out);
void net_signal_free(struct net_signal *s);

/* Watches a file descriptor of the caller's: a terminal, a pipe, a TUN device. Regular files, which
 * the kernel cannot watch, count as always ready. */
struct net_watch;
enum net_ready { NET_READABLE = 1, NET_WRITABLE = 2 };
/* `on_ready` is told a set of enum net_ready; an error or hang-up counts as everything asked for,
 * so that the next read or write shows it. Starts watching nothing. The descriptor stays the
 * caller's, who closes it after net_watch_free(). BK_ERR_ARGUMENT: not an open descriptor. */
BK_MUST_USE enum bk_err net_watch_new(struct net_loop *loop, int fd,
                                      void (*on_ready)(void *ctx, unsigned ready), void *ctx,
                                      struct net_watch **out);
/* Watches for this set of enum net_ready from now on; 0 pauses. */
void net_watch_set(struct net_watch *w, unsigned wanted);
/* Is the descriptor one that the kernel cannot watch, because it never makes anybody wait (regular
 * files, /dev/null)? */
bool net_watch_never_waits(const struct net_watch *w);
void net_watch_free(struct net_watch *w);

#endif
