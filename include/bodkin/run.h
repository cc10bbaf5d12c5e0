/* SPDX-License-Identifier: MIT
 * A driver for ICE agents (bodkin/ice.h): sockets, connections, TLS, names and time, in one thread.
 * Any number of agents share its UDP ports (told apart by user name and address) and its thread.
 *
 *     bk_run_new(&config, &run);                        its own loop, or your libuv loop
 *     bk_ice_new(&ice_config, bk_run_alloc(), &ice);    ice_config.rng = bk_run_rng()
 *     bk_run_add(run, ice, on, ctx);                    from now on the driver drives it
 *     bk_ice_gather(ice, bk_run_now(run));
 *     bk_run_poke(run, ice);                            after calls outside its own handlers
 *     bk_run_loop(run);                                 until bk_run_stop(); or bk_run_thread()
 *
 * Handlers run in the driver's thread, with no lock held; from there everything may be called,
 * bk_run_remove() of the same agent included. From other threads: bk_run_call() alone. */
#ifndef BODKIN_RUN_H
#define BODKIN_RUN_H

#include <bodkin/ice.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_run; /* opaque */

struct bk_run_config {
    size_t size;    /* sizeof(struct bk_run_config) */
    void *uv_loop;  /* a uv_loop_t to live on; NULL: one of its own */
    uint16_t port;  /* UDP and TCP port; 0: any; taken when the first agent comes */
    bool own_ports; /* a fresh port for each agent and component. Else all agents share `port`;
                       those after it are for further components, those of simultaneous open are
                       any. Of agents that use TURN over UDP, or STUN over TCP for TCP candidates,
                       all but the first get ports of their own, because an allocation, or a
                       connection, belongs to a 5-tuple. Two agents whose peers share a port, too,
                       cannot tell their data apart: they want own_ports */
    bool loopback;  /* loopback addresses as well, for tests */
    const char *interfaces; /* only these, separated by commas; NULL: all */
    const char *ca_file;    /* trust these for TLS and DTLS; NULL: the system's */
    bool insecure;          /* TLS without verification, for tests */
    uint32_t agents_max;    /* 1..; 100000 */
};

BK_API extern const struct bk_run_config bk_run_config_default;

/* What an agent's handlers are told. Either may be NULL. */
struct bk_run_handlers {
    void (*event)(void *ctx, struct bk_ice *ice, const struct bk_ice_event *event);
    void (*data)(void *ctx, struct bk_ice *ice, const struct bk_ice_data *data);
};

/* BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT, or what the system said (bodkin/err.h). */
BK_API BK_MUST_USE enum bk_err bk_run_new(const struct bk_run_config *config, struct bk_run **out);
/* Removes the agents that are left, which stay their owners'. A foreign loop must still be run
 * afterwards, until uv_run() says that nothing is left in it. Not from a handler. NULL is fine. */
BK_API void bk_run_free(struct bk_run *run);

/* For bk_ice_new(). */
BK_API const struct bk_alloc *bk_run_alloc(void);
BK_API const struct bk_rng *bk_run_rng(void);
/* The time all calls want; one clock for all drivers. */
BK_API struct bk_time bk_run_now(const struct bk_run *run);

/* Gives the agent bases on every usable interface and drives it. *Keeps* `ice` until
 * bk_run_remove(), copies `on`. BK_ERR_FULL, or what the system said. */
BK_API BK_MUST_USE enum bk_err bk_run_add(struct bk_run *run, struct bk_ice *ice,
                                          const struct bk_run_handlers *on, void *ctx);
/* No more handlers for it; the caller owns it again, and may free it at once. */
BK_API void bk_run_remove(struct bk_run *run, struct bk_ice *ice);
/* Drains the agent: after calls on it that were not made in its handlers. */
BK_API void bk_run_poke(struct bk_run *run, struct bk_ice *ice);

/* Sends on the best path, at the end of the loop's turn or sooner, together with others. The data
 * are copied. BK_ERR_STATE, BK_ERR_TOO_LONG as bk_ice_send(); BK_ERR_FULL: the socket's buffer is,
 * the message was dropped. BK_ERR_NOT_FOUND: not an agent of this driver. */
BK_API BK_MUST_USE enum bk_err bk_run_send(struct bk_run *run, struct bk_ice *ice, uint16_t stream,
                                           uint16_t component, const void *data, size_t len);
/* The same for a train: `len` bytes that are messages of `segment` bytes each, the last one perhaps
 * shorter, in as few system calls as possible. */
BK_API BK_MUST_USE enum bk_err bk_run_send_train(struct bk_run *run, struct bk_ice *ice,
                                                 uint16_t stream, uint16_t component,
                                                 const void *data, size_t len, size_t segment);

/* Runs on the calling thread until bk_run_stop(); not for a foreign loop. */
BK_API void bk_run_loop(struct bk_run *run);
BK_API void bk_run_stop(struct bk_run *run);
/* The same in a thread of its own, which bk_run_free() ends, after the calls that wait.
 * BK_ERR_STATE: it runs, or the loop is foreign. */
BK_API BK_MUST_USE enum bk_err bk_run_thread(struct bk_run *run);
/* From any thread: has `call(ctx)` called in the driver's thread, soon. BK_ERR_FULL. */
BK_API BK_MUST_USE enum bk_err bk_run_call(struct bk_run *run, void (*call)(void *ctx), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
