/* SPDX-License-Identifier: MIT
 * A world in virtual time: hosts, NAT boxes and links around one core ("the internet"), UDP sockets
 * and reliable byte streams on the hosts, faults. Everything that happens is a function of the
 * topology, the actors and one seed: the same seed gives the same run, event by event
 * (world_hash()), on every machine.
 *
 *                      core
 *          ┌────────────┼────────────┐
 *        server      nat "a"      nat "b"        every line is a link: delay, jitter, loss, rate
 *                       │            │
 *                     alice         bob
 *
 * Each node hangs on a parent by one link. A NAT box's inside is an address space of its own:
 * 192.168.1.2 may exist behind every one of them. A packet climbs from its host until a node below
 * has its destination, passing every NAT box on the way, and then goes down. A datagram to
 * 255.255.255.255 or a multicast group reaches every other host that hangs on the same box and has
 * a socket on that port; groups are not joined.
 *
 * What lives on a host is an *actor*: any sans-IO object plus the few callbacks that feed it. The
 * world calls an actor when a datagram or stream event arrives and when its deadline comes, then
 * calls `on_turn` (send what you have, read your events), then re-reads `deadline`. Code outside
 * the actors that changed one (gave it a candidate, say) calls world_wake() so that the same
 * happens. Callbacks may call every world_ function except world_run*() and world_free().
 *
 * Example: two hosts behind two NATs and a server that echoes, checked at every seed.
 *
 *     struct world_config config = world_config_default;
 *     config.seed = seed;
 *     struct world *w;
 *     if (world_new(&config, &alloc, &w) != BK_OK) ...
 *     struct nat_config home;
 *     (void)nat_preset("home", &home);
 *     home.external[0] = bk_ipv4(203, 0, 113, 1);
 *     home.external_count = 1;
 *     struct world_link link = {.delay_us = 20000, .loss_ppm = 10000};
 *     node_id server = world_add_host(w, "server", WORLD_CORE, bk_ipv4(198, 51, 100, 1), NULL);
 *     node_id box = world_add_nat(w, "a", WORLD_CORE, &home, &link);
 *     node_id alice = world_add_host(w, "alice", box, bk_ipv4(192, 168, 1, 2), NULL);
 *     ...
 *     actor_id echo = world_add_actor(w, server, &(struct world_actor){.ctx = &my_echo,
 *                                                 .on_datagram = my_echo_on_datagram});
 *     socket_id s;
 *     (void)world_udp_bind(w, echo, bk_addr(bk_ipv4(0, 0, 0, 0), 3478), &s);
 *     ...
 *     if (!world_run_until(w, my_goal_reached, &my_goal, 10 * BK_US_PER_S))
 *         world_dump(w, my_print_line, NULL); // the seed, the counters, the last packets
 *     world_free(w);
 *
 * Ready-made actors: sim/actor_*.h (STUN server, RFC 5780 server, relay hub, ICE agent). */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "nat/nat.h"
#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

/* Small integers, valid for the world's life. Adding more than the config allows is a bug of the
 * test and asserts. */
typedef uint32_t node_id; /* the core, a NAT box or a host */
typedef uint32_t actor_id;
typedef uint32_t socket_id;
typedef uint32_t stream_id; /* one end of a stream */

enum { WORLD_CORE = 0, WORLD_NAME_MAX = 32, WORLD_DATAGRAM_MAX = 2048 };

struct world_config {
    uint64_t seed;
    uint32_t nodes_max;      /* 64 */
    uint32_t actors_max;     /* 64 */
    uint32_t sockets_max;    /* 1024 */
    uint32_t streams_max;    /* 64 ends, so 32 streams */
    uint32_t packets_max;    /* 8192 in flight at once; more are lost and counted; 2 KiB each */
    uint32_t trace_max;      /* 4096: how many of the last packet events world_dump() can show */
    uint32_t stream_window;  /* 256 KiB in flight per stream end, then writes are refused */
    int64_t stream_rto_us;   /* 200 ms: the first retransmission; it doubles each time */
    uint32_t stream_retries; /* 8, then the stream breaks */
    bool foreign_keys;       /* payloads are encrypted with keys that do not come from the seed:
                                world_hash() takes their lengths and times, not their bytes */
};

extern const struct world_config world_config_default;

/* One direction of a link. All zero: instant and perfect. */
struct world_link {
    int64_t delay_us;
    int64_t jitter_us;      /* uniform in [0, jitter], drawn per packet: reorders by itself */
    bool keep_order;        /* jitter never lets one packet overtake another */
    uint32_t loss_ppm;      /* 10 000 is 1 % */
    uint32_t duplicate_ppm; /* a second copy, with its own jitter */
    uint64_t rate_bps;      /* 0: no limit */
    int64_t queue_us;       /* with a rate: a packet that would wait longer is dropped; 0: 100 ms */
    uint32_t mtu;           /* 0: no limit; a longer IP packet of a datagram is dropped, as with
                               "don't fragment" and no ICMP; streams know their path's MTU */
};

/* What a stream tells its actor. */
enum world_stream_event {
    WORLD_STREAM_ACCEPTED, /* a listener got a new stream */
    WORLD_STREAM_OPEN,     /* world_stream_open() succeeded */
    WORLD_STREAM_BYTES,    /* `data`, `len`: valid during the call */
    WORLD_STREAM_WRITABLE, /* a refused write may be tried again */
    WORLD_STREAM_END,      /* the other side closed; everything it wrote was delivered */
    WORLD_STREAM_BROKEN    /* refused, reset or timed out. After END or BROKEN the id is dead once
                              the actor has called world_stream_close() */
};

/* NULL callbacks are not called. */
struct world_actor {
    void *ctx;
    void (*on_datagram)(void *ctx, struct world *w, socket_id socket, const struct bk_datagram *in);
    void (*on_stream)(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len);
    /* Something world_post() sent; `data` is valid during the call. */
    void (*on_message)(void *ctx, struct world *w, const uint8_t *data, size_t len);
    void (*on_timer)(void *ctx, struct world *w, struct bk_time now);
    void (*on_turn)(void *ctx, struct world *w, struct bk_time now);
    struct bk_time (*deadline)(void *ctx);
};

/* The world allocates through `alloc`, at creation only; the NAT boxes when they are added. */
BK_MUST_USE enum bk_err world_new(const struct world_config *config, const struct bk_alloc *alloc,
                                  struct world **out);
void world_free(struct world *w);

/* ---- topology ---------------------------------------------------------------------------------
 * A `link` serves both directions; NULL is instant and perfect. The world has room for all of it or
 * the test is wrong: these functions assert instead of failing. */
node_id world_add_host(struct world *w, const char *name, node_id parent, struct bk_ip ip,
                       const struct world_link *link);
/* One more address of a host, of any family. */
void world_add_address(struct world *w, node_id host, struct bk_ip ip);
/* A NAT box; its external addresses are in `config`. Its link is the one to `parent`. Hosts and
 * other boxes are then added with it as their parent. Addresses of hosts behind a box that does not
 * translate that family are reachable from outside by themselves. */
node_id world_add_nat(struct world *w, const char *name, node_id parent,
                      const struct nat_config *config, const struct world_link *link);
actor_id world_add_actor(struct world *w, node_id host, const struct world_actor *actor);

/* May a node behind `parent` have this address, or has another one got it there, or further out as
 * far as the boxes in between do not hide it? */
bool world_address_is_free(const struct world *w, node_id parent, const struct bk_ip *ip);

/* The box itself, to look into it. The world owns it. */
struct nat *world_nat(struct world *w, node_id nat);
/* A node's index by name; asserts when there is none. */
node_id world_find(const struct world *w, const char *name);
const char *world_name(const struct world *w, node_id node);
/* What a node hangs on. */
node_id world_parent(const struct world *w, node_id node);
/* A host's index-th address. false: it has no more. */
bool world_address(const struct world *w, node_id host, size_t index, struct bk_ip *out);

/* ---- running ----------------------------------------------------------------------------------
 */
struct bk_time world_now(const struct world *w);
/* Runs one event. false: nothing will ever happen again. */
bool world_step(struct world *w);
/* Runs everything up to `us` from now, then stands there. */
void world_run(struct world *w, int64_t us);
/* Runs until `done(ctx)`, asked after each event, or for `us` at most. Returns what `done` said
 * last. */
bool world_run_until(struct world *w, bool (*done)(void *ctx), void *ctx, int64_t us);
/* Gives an actor its turn: on_turn, then its deadline is read again. */
void world_wake(struct world *w, actor_id actor);
/* Out of band: `data` (at most WORLD_DATAGRAM_MAX) reaches the actor's on_message after `delay_us`,
 * whatever the network does. For signalling that a scenario does not want to model. */
void world_post(struct world *w, actor_id to, int64_t delay_us, const void *data, size_t len);
/* Randomness from the world's seed, for actors: one independent stream per name and seed. The
 * result lives as long as the world. Asserts past actors_max of them. */
struct bk_rng world_rng(struct world *w, const char *name);

/* ---- UDP --------------------------------------------------------------------------------------
 */
/* Binds on the actor's host. `local.ip` is one of the host's addresses or the wildcard; port 0
 * takes a free one from 49152 up. BK_ERR_EXISTS: the port is taken; BK_ERR_NOT_FOUND: not the
 * host's address; BK_ERR_FULL. */
BK_MUST_USE enum bk_err world_udp_bind(struct world *w, actor_id actor, struct bk_addr local,
                                       socket_id *out);
void world_udp_close(struct world *w, socket_id socket);
struct bk_addr world_udp_local(const struct world *w, socket_id socket);
/* Sends out->data to out->remote, as several datagrams if out->segment is set; out->ttl counts NAT
 * boxes as hops; out->local.ip, unless wildcard or empty, chooses the source address. What becomes
 * of it is the network's affair, as in life. */
void world_udp_send(struct world *w, socket_id socket, const struct bk_datagram *out);

/* ---- streams ----------------------------------------------------------------------------------
 * A model of TCP for what a session needs of it: it passes NAT boxes as TCP does (SYN, data, FIN,
 * RST), arrives in order after the path's delay, a lost segment holds up the ones behind it for a
 * retransmission timeout, a dead path breaks it after stream_retries. There is no congestion
 * control. */
BK_MUST_USE enum bk_err world_stream_listen(struct world *w, actor_id actor, uint16_t port);
/* BK_ERR_FULL: no stream left; BK_ERR_UNREACHABLE: the host has no address of that family. */
BK_MUST_USE enum bk_err world_stream_open(struct world *w, actor_id actor, struct bk_addr remote,
                                          stream_id *out);
/* The same from a given port, which several streams to different remotes may share; 0: a free one.
 */
BK_MUST_USE enum bk_err world_stream_open_from(struct world *w, actor_id actor, uint16_t port,
                                               struct bk_addr remote, stream_id *out);
/* Takes as much of `data` as fits and returns how much; the rest after WORLD_STREAM_WRITABLE. */
size_t world_stream_write(struct world *w, stream_id stream, const uint8_t *data, size_t len);
/* Closes this end after what was written is delivered. Further events of the other end are
 * dropped. */
void world_stream_close(struct world *w, stream_id stream);
/* As seen from this end: after translation. */
struct bk_addr world_stream_remote(const struct world *w, stream_id stream);
/* This end's own, before any translation on the way out. */
struct bk_addr world_stream_local(const struct world *w, stream_id stream);

/* ---- faults -----------------------------------------------------------------------------------
 */
enum world_cut {
    WORLD_CUT_NONE,
    WORLD_CUT_UDP, /* UDP vanishes silently, the rest passes */
    WORLD_CUT_ALL  /* everything vanishes silently */
};
/* Between two hosts, both directions, whatever way the packets take. */
void world_cut_hosts(struct world *w, node_id a, node_id b, enum world_cut cut);
/* On the link between a node and its parent, both directions. */
void world_cut_link(struct world *w, node_id node, enum world_cut cut);
/* For packets that have passed the links of both nodes (hosts or boxes, WORLD_CORE: any), of these
 * protocols (WORLD_UDP | ...). Several of them add up; at most 64. BK_ERR_FULL. */
enum { WORLD_UDP = 1, WORLD_TCP = 2, WORLD_OTHER = 4 };
BK_MUST_USE enum bk_err world_cut_path(struct world *w, node_id a, node_id b, unsigned protocols);
/* Ends those between these two nodes, in either order; `a` WORLD_CORE: all of them. */
void world_restore_path(struct world *w, node_id a, node_id b, unsigned protocols);
/* Replaces one or both directions of a node's link; NULL leaves it. */
void world_set_link(struct world *w, node_id node, const struct world_link *up,
                    const struct world_link *down);
void world_get_link(const struct world *w, node_id node, struct world_link *up,
                    struct world_link *down);
/* The box forgets everything. */
void world_reboot_nat(struct world *w, node_id nat);
/* The box's external address of that family changes; packets to the old one vanish. */
void world_readdress_nat(struct world *w, node_id nat, struct bk_ip ip);
/* A host moves: `old` is gone, `ip` is there. Sockets bound to the wildcard go on; those bound to
 * `old` are deaf and mute from now on; its streams break by timeout. */
void world_readdress_host(struct world *w, node_id host, struct bk_ip old, struct bk_ip ip);

/* ---- looking ----------------------------------------------------------------------------------
 */
struct world_counters {
    uint64_t events;    /* everything the world did */
    uint64_t sent;      /* datagrams and segments from hosts */
    uint64_t delivered; /* to hosts */
    uint64_t lost, cut, queue_full, nat_dropped, no_route, no_socket, ttl_expired, overflow;
    uint64_t too_big;
    uint64_t duplicated, retransmitted;
};

const struct world_counters *world_get_counters(const struct world *w);
/* A fingerprint of everything that has happened. Equal seeds and equal code: equal hashes. */
uint64_t world_hash(const struct world *w);
uint64_t world_seed(const struct world *w);
/* Says the seed, the counters and the last packets, one line each. */
void world_dump(const struct world *w, void (*line)(void *ctx, const char *text), void *ctx);
/* Calls `line` for each packet event as it happens, as world_dump() would write it. NULL: no more.
 */
void world_watch(struct world *w, void (*line)(void *ctx, const char *text), void *ctx);
/* Adds a line of the caller's to the trace (cut at 60 characters) and to the hash. */
void world_note(struct world *w, const char *text);

#endif
