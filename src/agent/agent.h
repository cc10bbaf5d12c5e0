/* SPDX-License-Identifier: MIT
 * The agent's inside, shared by the files of this folder. Who does what:
 *
 *   config.c    ranges of the configuration
 *   agent.c     life, the five verbs; agent_turn() calls what follows from an input, in one order
 *   bases.c     sockets come and go
 *   cands.c     our candidates, as they are signalled
 *   gather.c    asks the servers: who is asked when, and when gathering is over
 *   describe.c  our side as SDP
 *   remote.c    the peer's side from SDP
 *   paths.c     what the checker found: each component's path, and the events about it
 *   send.c      data both ways
 *   events.c    what the caller has not fetched yet
 *
 * Memory: the agent takes what it needs as it grows, up to the limits of the configuration, because
 * thousands of idle agents must stay small; a refusal of the allocator counts as such a limit. What
 * gathering needs is given back when it is over. Tables are addressed by index, never by a pointer
 * that outlives a call. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/text.h"
#include "sdp/sdp.h"
#include "sdp/uri.h"
#include "stun/client.h"

#include <bodkin/checker.h>
#include <bodkin/ice.h>
#include <bodkin/ice_io.h>

enum {
    AGENT_NONE = 0xffff,  /* no index */
    AGENT_IPS_MAX = 8,    /* addresses of a name that are used */
    AGENT_EVENTS_MIN = 16 /* and four for each component */
};

/* A socket of ours. */
struct agent_base {
    struct bk_addr addr;
    bool used, vpn;
    bool alive; /* a server was heard on it */
    uint8_t protocol;
    uint16_t stream, component, preference;
};

/* A candidate of ours, as the peer is told. */
struct agent_cand {
    struct bk_addr addr, related;
    uint32_t priority;
    uint16_t base; /* index of the socket it stands on */
    uint16_t stream, component;
    uint8_t kind, transport;
    bool used, told;
    char foundation[12]; /* the checker counts them */
};

/* One component of one stream, and the path its data takes now. */
enum agent_link { AGENT_NEW, AGENT_CONNECTED, AGENT_DISCONNECTED, AGENT_FAILED, AGENT_LINKS };

struct agent_component {
    uint16_t stream, component;
    enum agent_link link;
    uint32_t pair;     /* that carries data; 0: none */
    uint32_t selected; /* the one last told as selected */
    struct bk_addr local, remote;
    struct bk_time heard; /* data or a check came */
};

/* What became of a server, kept for explanations. */
struct agent_fact {
    bool asked, answered, refused;
    uint16_t code;
};

/* A server of the configuration while it is being asked. */
enum agent_server_state { SERVER_NEW, SERVER_LOOKING, SERVER_READY, SERVER_OVER };

struct agent_server {
    struct server_uri uri;
    enum agent_server_state state;
    uint32_t lookup; /* id of the question about its name */
    struct bk_ip ips[AGENT_IPS_MAX];
    uint8_t ip_count;
    struct bk_time give_up;
    struct bk_time answered_at; /* the first time, on any base */
    int64_t rtt_us;
};

/* One Binding exchange: one base, one server. */
enum agent_query_state { QUERY_PLANNED, QUERY_ASKING, QUERY_OVER };

struct agent_query {
    enum agent_query_state state;
    uint16_t base, server;
    uint8_t ip; /* which address of the server's */
    struct bk_addr to;
    struct bk_time started, answered;
    bool redirected; /* RFC 8489 section 10: a second redirect is not followed */
    struct stun_client client;
};

struct agent_gather {
    struct bk_time pace_at; /* when the next exchange would leave at one per Ta */
    struct agent_server servers[BK_ICE_SERVERS_MAX];
    struct agent_query *queries;
    uint16_t query_count, query_cap;
};

/* An event not fetched yet; the rest is looked up then. */
struct agent_note {
    uint8_t kind;
    uint16_t component; /* index, or AGENT_NONE */
    uint32_t pair;
};

struct agent_notes {
    struct agent_note *ring;
    uint16_t cap, head, count;
};

struct bk_ice {
    struct bk_ice_config config; /* texts: in `texts` */
    struct bk_alloc alloc;
    struct bk_time now; /* the latest one seen */
    struct bk_checker *checker;
    char *texts; /* of the servers, in one block */
    size_t texts_len;

    struct agent_base *bases;
    struct agent_cand *cands;
    uint16_t base_count, base_cap, cand_count, cand_cap;
    struct agent_component *components;
    uint16_t component_count;
    struct agent_notes notes;

    bool gathering, gathered, closing, closed;
    struct agent_gather *gather; /* NULL: nobody is being asked */
    struct agent_fact facts[BK_ICE_SERVERS_MAX];

    bool remote_set, remote_trickle, remote_renomination, remote_lite, remote_done;
    uint64_t remote_id, remote_old_id; /* hashes of the peer's credentials, now and before */
    uint64_t remote_ufrag_id, remote_old_ufrag_id;
    struct bk_time patience; /* FAILED may be said from then on; BK_NEVER: not started */

    struct bk_time closed_by;
    char text[SDP_LINE_MAX]; /* of the event last fetched */
};

/* What `rows` names has room for one row more; false: limit or memory. */
bool agent_grow(struct bk_ice *ice, void *rows, uint16_t *cap, size_t row, size_t max);
void agent_trace(const struct bk_ice *ice, const struct text *line);
static inline bool agent_trace_on(const struct bk_ice *ice) {
    return ice->config.trace.line != NULL;
}
/* All that follows from an input. */
void agent_turn(struct bk_ice *ice, struct bk_time now);
static inline struct bk_time agent_see(struct bk_ice *ice, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
    return ice->now;
}

/* bases.c */
uint16_t agent_base_find(const struct bk_ice *ice, const struct bk_addr *addr,
                         enum bk_protocol protocol);

/* cands.c */
/* Hands a candidate to the checker and, if it is not redundant, to the peer. */
void agent_cand_add(struct bk_ice *ice, const struct bk_ice_candidate *candidate, uint16_t base);
void agent_cands_drop_base(struct bk_ice *ice, uint16_t base);
size_t agent_cand_write(const struct bk_ice *ice, const struct agent_cand *cand, char *out);
void agent_cand_export(const struct agent_cand *cand, struct bk_ice_candidate *out);
/* May this host address be shown? */
bool agent_may_show_host(const struct bk_ice *ice, const struct bk_addr *addr);

/* gather.c */
void agent_gather_base(struct bk_ice *ice, uint16_t base);
void agent_gather_drop_base(struct bk_ice *ice, uint16_t base);
BK_MUST_USE enum bk_err agent_gather_recv(struct bk_ice *ice, const struct bk_datagram *in);
void agent_gather_turn(struct bk_ice *ice);
struct bk_time agent_gather_deadline(const struct bk_ice *ice);
bool agent_gather_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
void agent_gather_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count);
void agent_gather_free(struct bk_ice *ice);

/* paths.c */
void agent_paths_turn(struct bk_ice *ice);
struct bk_time agent_paths_deadline(const struct bk_ice *ice);
struct agent_component *agent_component(const struct bk_ice *ice, uint16_t stream,
                                        uint16_t component);

/* events.c */
void agent_tell(struct bk_ice *ice, enum bk_ice_event_kind kind, const struct agent_component *of,
                uint32_t pair);

/* restart of our side, remote.c */
BK_MUST_USE enum bk_err agent_restart(struct bk_ice *ice);

#endif
