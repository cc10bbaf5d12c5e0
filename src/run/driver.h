/* SPDX-License-Identifier: MIT
 * Private to run: the driver and what it keeps for each agent. Who does what:
 *
 *   run.c     life of the driver
 *   driven.c  one agent: from its input to everything it wants
 *   port.c    sockets: UDP and listeners, and the datagrams that come in
 *   bases.c   this machine's addresses, and their changes
 *   conn.c    connections that agents asked for; guest.c those that others opened to us
 *   lookup.c  names; mdns.c those in .local
 *   send.c    data out
 *   call.c    other threads
 *   pool.c    memory
 *
 * The rule of life: a handler may remove any agent, the one it was called for included. So whoever
 * calls something that may end in a handler holds the agent (driven_hold(), driven_release())
 * and looks at `ice` afterwards: NULL means removed, and the memory goes with the last holder. */
#ifndef RUN_DRIVER_H
#define RUN_DRIVER_H

#include "net/interfaces.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/udp.h"
#include "run/demux.h"
#include "run/grid.h"

#include <bodkin/ice_io.h>
#include <bodkin/run.h>

enum {
    RUN_PORTS_MAX = BK_ICE_STREAMS_MAX * BK_ICE_COMPONENTS_MAX, /* components of one agent */
    RUN_GUESTS_MAX = 64, /* accepted connections that have not said whom they want */
    RUN_FAMILIES = 2,
    DRIVEN_UFRAG = 16
};

/* The sockets of one component: shared by all agents, or one agent's own. */
struct run_port {
    struct bk_run *run;
    struct net_udp *udp[RUN_FAMILIES]; /* wildcard sockets; NULL: this machine lacks the family */
    struct net_listener *tcp[RUN_FAMILIES];
    struct net_listener *so[RUN_FAMILIES]; /* for simultaneous open, which listens, too */
};

struct run_conn;
struct run_guest;
struct run_lookup;
struct run_name;
struct run_calls;

/* One agent. */
struct driven {
    struct bk_run *run;
    struct bk_ice *ice; /* NULL: removed */
    struct bk_run_handlers on;
    void *ctx;
    uint32_t number, holders;
    struct bk_time deadline;
    struct net_timer timer; /* runs the deadline, when that is near ... */
    struct grid_item rest;  /* ... and when it is not */
    struct net_deferred work;
    char ufrag[DRIVEN_UFRAG];     /* the beginning of the one that `demux` knows */
    uint16_t streams, components; /* of each stream */
    bool tcp, ipv4, ipv6, owns_ports;
    struct run_port *ports; /* one for each component of each stream */
    struct run_conn *conns;
    struct run_lookup *lookups;
    struct run_name *names;
};

struct bk_run {
    struct bk_run_config config; /* its texts are copies */
    struct net_loop *loop;
    struct run_calls *calls;
    struct demux demux;
    struct grid grid; /* of agents' deadlines */
    struct net_timer grid_timer;
    struct multimap by_ice; /* agents' numbers */
    struct driven **agents; /* by number; NULL: free */
    uint32_t agent_cap, agent_count, first_free;
    struct driven *fed;                   /* who gets datagrams just now; NULL: nobody */
    struct driven *sender;                /* who sent last; NULL: not known */
    struct run_port ports[RUN_PORTS_MAX]; /* shared */
    bool turn_taken;                      /* they were used by an agent with TURN over UDP, ... */
    bool stun_taken;                      /* ... with STUN over TCP for TCP candidates */
    struct net_interface addresses[NET_INTERFACES_MAX]; /* those that agents have bases on */
    size_t address_count;
    struct net_interface_watch *watch; /* NULL: no agent has come yet */
    struct net_tls *tls;               /* made when first needed */
    struct net_mdns *mdns;             /* likewise */
    struct run_guest *guests;
    size_t guest_count;
};

/* driven.c */
struct driven *driven_find(const struct bk_run *run, const struct bk_ice *ice);
/* The same for senders, who often come again. */
struct driven *driven_find_again(struct bk_run *run, const struct bk_ice *ice);
static inline void driven_hold(struct driven *a) {
    a->holders++;
}
void driven_release(struct driven *a);
/* Runs the timers of agents that are at rest. */
void driven_on_grid(void *ctx, struct bk_time now);
/* Something happened to it: drains it at the end of this turn. */
void driven_touch(struct driven *a);
/* The agent of this number, which is about to get a datagram; NULL: there is none. The one that got
 * some before is drained at once, while it is in the CPU's cache; what it sends waits in the
 * sockets' queues for the end of the turn all the same. */
struct driven *driven_feed(struct bk_run *run, uint32_t number);
/* No more datagrams for now. */
void driven_fed(struct bk_run *run);
/* Offers it a datagram. false: it is not for this agent. */
bool driven_recv(struct driven *a, const struct bk_datagram *in, struct bk_time now);
void driven_tell_data(struct driven *a, const struct bk_ice_data *data);

/* port.c */
static inline size_t run_family(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? 1 : 0;
}
/* Reads what the agent needs, and opens it. What the system said. */
BK_MUST_USE enum bk_err run_ports_give(struct driven *a);
/* Closes its own. */
void run_ports_take(struct driven *a);
void run_port_close(struct run_port *p);
/* The socket with this local address among the agent's; NULL: it has none such. */
struct net_udp *run_port_of(const struct driven *a, const struct bk_addr *local);

/* bases.c */
BK_MUST_USE enum bk_err run_bases_start(struct bk_run *run);
void run_bases_stop(struct bk_run *run);
void run_bases_add(struct driven *a, struct bk_time now);

/* conn.c */
void run_conn_dial(struct driven *a, const struct bk_ice_request *r);
void run_conn_hang_up(struct driven *a, uint32_t id);
/* Takes a connection that was accepted for it. false: no memory; it is the caller's still. */
bool run_conn_adopt(struct driven *a, struct net_stream *s, uint32_t id);
/* Bytes of connection `id`, which may be gone already. Data handlers are called. */
void run_conn_input(struct driven *a, uint32_t id, const uint8_t *data, size_t len);
/* Writes what the agent has for its connections. BK_ERR_FULL: some of it was dropped. */
enum bk_err run_conn_drain(struct driven *a);
void run_conn_end_all(struct driven *a);

/* guest.c */
void run_guest_accept(void *ctx, struct net_stream *s);
void run_guest_end_all(struct bk_run *run);

/* lookup.c */
void run_lookup_start(struct driven *a, const struct bk_ice_request *r);
void run_lookup_end_all(struct driven *a);

/* mdns.c */
/* The responder, made when first needed; NULL: this machine has no multicast. */
struct net_mdns *run_mdns(struct bk_run *run);
/* Answers for the agent's name from now on. */
void run_mdns_publish(struct driven *a, const struct bk_ice_request *r);
void run_mdns_withdraw_all(struct driven *a);
/* The machine's addresses have changed. */
void run_mdns_refresh(struct bk_run *run);

/* call.c */
BK_MUST_USE enum bk_err run_calls_start(struct bk_run *run);
void run_calls_stop(struct bk_run *run); /* ends the thread, if there is one */

static inline void *run_get(size_t size) {
    const struct bk_alloc *alloc = bk_run_alloc();
    return alloc->get(alloc->ctx, size);
}
static inline void run_put(void *memory) {
    const struct bk_alloc *alloc = bk_run_alloc();
    alloc->put(alloc->ctx, memory);
}

#endif
