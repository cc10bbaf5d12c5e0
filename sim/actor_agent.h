/* SPDX-License-Identifier: MIT
 * A whole ICE agent in the simulated world: a real bk_ice, a socket for each of its bases, streams
 * for its connections, names, signalling, and traffic that shows whether a path carries data.
 *
 * An agent's interfaces are hosts of the world, so that each may hang elsewhere: behind a router,
 * in a cellular network, on a cut link. What an interface does is `sim_agent_interface()`'s affair.
 *
 *     struct sim_agent_config config = sim_agent_config(BK_ICE_CONTROLLING);
 *     config.host[0] = alice;
 *     config.hosts = 1;
 *     config.ice.servers[0] = (struct bk_ice_server){"stun:198.51.100.1", NULL, NULL};
 *     config.ice.server_count = 1;
 *     sim_agent_init(&a, w, &config, &alloc);
 *     ...
 *     sim_agent_join(&a, &b);      // gathering and signalling begin
 *     world_run(w, ...);           // a.paths[], a.count[], a.seen
 *     sim_agent_fini(&a); ...      // before world_free()
 *
 * It also holds the agent to its promises: `seen` counts what must never happen. */
#ifndef SIM_ACTOR_AGENT_H
#define SIM_ACTOR_AGENT_H

#include "sim/names.h"
#include "sim/signal.h"
#include "sim/world.h"
#include <bodkin/ice.h>
#include <bodkin/ice_io.h>

enum {
    SIM_AGENT_PLACES = 20,
    SIM_AGENT_SOCKETS = 128,
    SIM_AGENT_CONNS = 32,
    SIM_AGENT_SERVERS = 8,
    SIM_AGENT_PATHS = BK_ICE_STREAMS_MAX * BK_ICE_COMPONENTS_MAX,
    SIM_AGENT_EVENTS = BK_ICE_ON_CLOSED + 1
};

struct sim_agent_config {
    struct bk_ice_config ice; /* rng is filled in */
    node_id host[SIM_AGENT_PLACES];
    size_t hosts;
    struct bk_addr server[SIM_AGENT_SERVERS]; /* all that ice.servers[] and the names may mean */
    size_t servers;
    struct sim_names *names;         /* NULL: no name means anything; published ones are added */
    struct sim_signal_config signal; /* of what comes to this agent */
    int64_t start_us;                /* wait before gathering; 0 */
    int64_t data_us;                 /* gap of data on every component; 0: none; 100 ms */
    uint32_t die_at_event;           /* freed while its n-th event is handled; 0: never */
};

/* Host candidates only, IPv4 and IPv6, one component, signalling 40 ms in order. */
struct sim_agent_config sim_agent_config(enum bk_ice_role role);

/* One component of one stream, as its events and its data tell. Times are of the first time, unless
 * they say "last"; BK_NEVER: not yet. */
struct sim_agent_path {
    struct bk_time connected_at, selected_at, last_selected_at;
    struct bk_time disconnected_at, reconnected_at, failed_at; /* last */
    uint32_t selections, disconnects, reconnects, failures;
    bool connected;                /* by events: CONNECTED or RECONNECTED came after any loss */
    uint64_t sent, refused, heard; /* data */
    struct bk_time heard_at;       /* last */
    int64_t longest_gap_us;        /* between two that arrived; reset it at will */
};

/* What an observer on the host sees. */
struct sim_agent_seen {
    uint64_t early_requests; /* checks to peers before their credentials were known */
    uint64_t direct;         /* datagrams to anybody but the servers */
    uint64_t to_servers;
    uint32_t requests_per_s; /* checks to peers, the most in any second */
    uint64_t foreign_data;   /* data that the peer did not send, or on another component */
    uint64_t unbound;        /* datagrams from no socket of ours */
    uint64_t signal_errors;  /* signalled lines that were refused for another reason than known */
};

struct sim_agent;

struct sim_agent_place {
    struct sim_agent *agent;
    actor_id actor;
    node_id host;
    bool up;
};

struct sim_agent_socket {
    bool open;
    socket_id id;
    struct bk_addr local;
    size_t place;
};

struct sim_agent_conn {
    uint32_t id; /* the agent's; 0: free */
    stream_id stream;
    bool open;
};

enum { SIM_AGENT_WINDOW = 512 };

struct sim_agent {
    struct sim_agent_config config;
    struct world *world;
    struct bk_alloc alloc;
    struct bk_rng rng;
    struct bk_ice *ice; /* NULL: freed */
    struct sim_agent_place place[SIM_AGENT_PLACES];
    struct sim_agent_socket socket[SIM_AGENT_SOCKETS];
    size_t sockets;
    struct sim_agent_conn conn[SIM_AGENT_CONNS];
    struct sim_signal inbox;
    struct sim_signal *outbox; /* the peer's inbox; NULL: nobody listens */
    const uint64_t *peer_tag;
    uint64_t tag;   /* in every datagram of ours */
    bool described; /* trickling from now on */
    bool gathering, gathered, remote_known;
    struct bk_time started_at, gathered_at;
    struct bk_time known_at; /* the last signalled text came; BK_NEVER: none */
    struct bk_time data_at;  /* the next */
    uint32_t seq, events;
    uint32_t count[SIM_AGENT_EVENTS];
    char why[256]; /* of the last FAILED or DISCONNECTED */
    struct sim_agent_path paths[SIM_AGENT_PATHS];
    struct sim_agent_seen seen;
    struct bk_time window[SIM_AGENT_WINDOW]; /* when the last checks left */
    uint32_t window_at;
};

/* Binds a socket for every address of every interface and every component. The world *keeps* `a`.
 */
void sim_agent_init(struct sim_agent *a, struct world *w, const struct sim_agent_config *config,
                    const struct bk_alloc *alloc);
/* Frees the agent without a word; the actor stays, and does nothing. More than once is fine. */
void sim_agent_fini(struct sim_agent *a);
/* Makes two agents each other's peer and starts both. */
void sim_agent_join(struct sim_agent *a, struct sim_agent *b);
/* One side of that, for a peer that is another actor. */
void sim_agent_start(struct sim_agent *a, struct sim_signal *outbox, const uint64_t *peer_tag);

void sim_agent_restart(struct sim_agent *a);
/* An interface goes or comes; the agent is told, as a driver would tell it. */
void sim_agent_interface(struct sim_agent *a, size_t place, bool up);
void sim_agent_network_changed(struct sim_agent *a);

size_t sim_agent_components(const struct sim_agent *a);
struct sim_agent_path *sim_agent_path(struct sim_agent *a, size_t stream, size_t component);
/* The index-th of stream-major order, sim_agent_components() of them. */
struct sim_agent_path *sim_agent_path_at(struct sim_agent *a, size_t index);
/* Has every component a path by events; is one selected for each; has data come on each? */
bool sim_agent_is_connected(struct sim_agent *a);
bool sim_agent_is_selected(struct sim_agent *a);
bool sim_agent_has_heard(struct sim_agent *a);
/* Do both use the same pair on every component? What one calls local the other calls remote. */
bool sim_agent_agree(struct sim_agent *a, struct sim_agent *b);

#endif
