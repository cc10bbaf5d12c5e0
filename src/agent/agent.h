/* SPDX-License-Identifier: MIT
 * The agent's inside, shared by the files of this folder. Who does what:
 *
 *   config.c    ranges of the configuration
 *   agent.c     life, the five verbs; agent_turn() calls what follows from an input, in one order
 *   bases.c     sockets come and go
 *   cands.c     our candidates, as they are signalled
 *   servers.c   the servers' addresses
 *   gather.c    asks the servers: who is asked when, and when gathering is over
 *   relays.c    TURN clients, and the candidates they stand for
 *   route.c     between the checker's addresses and sockets, relays, connections
 *   conns.c     connections: TCP candidates, and servers reached by TCP, TLS or DTLS
 *   names.c     what is asked of the world: dialling, names
 *   describe.c  our side as SDP
 *   remote.c    the peer's side from SDP
 *   paths.c     what the checker found: each component's path, and the events about it
 *   watch.c     what is done when a path is lost, or the network changes
 *   settle.c    memory is given back
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
#include <bodkin/turn.h>

enum {
    AGENT_NONE = 0xffff, /* no index */
    AGENT_IPS_MAX = 8,   /* addresses of a name that are used */
    AGENT_TA_US = 50000, /* of who proposes nothing, RFC 8445 section 14.2 */
    AGENT_RELAYS_MAX = 64,
    AGENT_CONNS_MAX = 128,
    AGENT_NAMES_MAX = 16,
    AGENT_QUEUE_MAX = 256 * 1024, /* bytes waiting for connections */
    AGENT_EVENTS_MIN = 16         /* and four for each component */
};

/* A socket of ours. */
enum agent_publish { AGENT_PUBLISH_NOT, AGENT_PUBLISH_WANTED, AGENT_PUBLISH_TOLD };

struct agent_base {
    struct bk_addr addr;
    uint8_t uuid[16]; /* the name of its IP address, with config.mdns */
    enum agent_publish publish;
    bool used, vpn;
    bool so;                 /* simultaneous open */
    struct bk_time alive_at; /* when a server was first heard on it */
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
    bool was_connected;
    uint32_t pair;     /* that carries data; 0: none */
    uint32_t selected; /* the one last told as selected */
    struct bk_addr local, remote;
    uint16_t relay; /* it goes through; AGENT_NONE: none */
    uint8_t protocol;
    struct bk_time heard;                                                  /* data came */
    uint64_t bytes_sent, bytes_received, messages_sent, messages_received; /* on this path */
    uint64_t remote_old_id; /* hash of the peer's fragment for the stream before our last restart */
    uint64_t remote_mid;    /* hash of what the peer calls the stream, a=mid; 0: nothing */
};

/* What became of a server, kept for explanations. */
struct agent_fact {
    bool asked, answered, refused, unresolved;
    bool relayed;  /* it gave an allocation */
    uint16_t code; /* of the refusal */
};

/* A server of the configuration while it is being asked. */
enum agent_server_state { SERVER_NEW, SERVER_LOOKING, SERVER_READY, SERVER_OVER };

struct agent_server {
    struct server_uri uri;
    enum agent_server_state state;
    uint32_t lookup; /* id of the question about its name */
    bool looked_up;  /* the question was told */
    struct bk_ip ips[AGENT_IPS_MAX];
    uint8_t ip_count;
    struct bk_time give_up;
    struct bk_time answered_at; /* the first time, on any base */
    int64_t rtt_us;
};

/* One Binding exchange: one base, one server. From a TCP base it takes a connection, which is kept
 * afterwards. */
enum agent_query_state { QUERY_PLANNED, QUERY_DIALLING, QUERY_ASKING, QUERY_OVER };

struct agent_query {
    enum agent_query_state state;
    uint16_t base, server;
    uint8_t ip;    /* which address of the server's */
    bool tcp;      /* over a connection */
    uint32_t conn; /* id of the connection; 0: none now */
    struct bk_addr to;
    struct bk_addr mapped; /* the last answer; family NONE: none yet */
    struct bk_time started, answered;
    bool redirected; /* RFC 8489 section 10: a second redirect is not followed */
    struct stun_client client;
};

struct agent_gather {
    struct agent_server servers[BK_ICE_SERVERS_MAX];
    struct agent_query *queries;
    uint16_t query_count, query_cap;
};

/* A TURN client from one base to one server. */
enum agent_relay_state {
    RELAY_FREE,
    RELAY_PLANNED,
    RELAY_DIALLING,
    RELAY_ASKING,
    RELAY_UP,
    RELAY_CLOSING, /* gives the allocation back */
    RELAY_RESTING, /* its connection broke: again at `retry_at` */
    RELAY_OVER,    /* it gave nothing; freed with the gathering */
    RELAY_STATES
};

struct agent_relay {
    enum agent_relay_state state;
    uint16_t base, server;
    uint8_t ip, failures;
    uint8_t protocol; /* to the server */
    bool secure, redirected;
    bool heard;                       /* the server said something */
    bool hedged;                      /* another address of the server's was tried beside it */
    bool moved;                       /* another base was */
    struct bk_addr to;                /* the server */
    struct bk_addr local;             /* our end */
    struct bk_addr relayed, relayed6; /* family NONE: not given */
    uint32_t conn;                    /* id of the connection; 0: datagrams from the base */
    struct bk_turn *turn;
    struct bk_time started, retry_at;
};

/* A connection. */
enum agent_conn_state { CONN_FREE, CONN_DIALLING, CONN_UP, CONN_ENDING };

struct agent_conn {
    enum agent_conn_state state;
    uint32_t id;
    bool told;                   /* the request to dial was fetched */
    bool accepted;               /* the other side opened it */
    struct bk_time prove_by;     /* an accepted one has a pair by then, or is ended */
    bool datagrams;              /* DTLS: keeps the bounds of messages */
    bool query;                  /* of a Binding exchange with a STUN server */
    uint16_t relay;              /* whose it is; AGENT_NONE, and no query's: it carries checks and
                                    data, RFC 4571 */
    struct bk_addr base, remote; /* as the checker knows them; a relay's: our end, the server */
    uint8_t *in;                 /* the beginning of a message; NULL: none */
    uint32_t in_len, in_cap;
    uint8_t *first; /* what is to be sent once it is up, framed */
    uint32_t first_len;
};

/* Messages that wait for their connection to be written: id, length, bytes. */
struct agent_queue {
    uint8_t *data;
    size_t head, tail, cap;
};

/* A candidate of the peer's whose address is a name that is being looked up. */
struct agent_name {
    uint32_t id;
    bool told;
    uint16_t stream;
    struct sdp_candidate candidate;
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
    uint64_t news_lost; /* the checker's events that found no room, so far */

    struct agent_relay *relays;
    struct agent_conn *conns;
    uint16_t relay_count, relay_cap, conn_count, conn_cap;
    struct agent_queue queue;
    void *work;          /* of all TURN clients */
    uint32_t last_id;    /* of connections and questions */
    uint16_t reading;    /* index of the connection whose bytes are being read; AGENT_NONE */
    const uint8_t *rest; /* of them, not yet given out */
    size_t rest_len;
    struct bk_ice_data held; /* the first message of data in them */
    struct agent_name **names;
    uint16_t name_count, name_cap;

    bool gathering, gathered, closing, closed;
    struct bk_time pace_at; /* when the next exchange with a server would leave at one per Ta */
    struct agent_gather *gather; /* NULL: nobody is being asked */
    struct agent_fact facts[BK_ICE_SERVERS_MAX];

    bool remote_set, remote_trickle, remote_renomination, remote_lite, remote_done;
    struct bk_time patience; /* FAILED may be said from then on; BK_NEVER: not started */

    struct bk_time changed_at; /* our network changed; BK_NEVER: not lately */
    struct bk_time lost_at;    /* a path was lost, and is still missed */
    struct bk_time settle_at;  /* memory is given back then */
    bool settled;
    bool begged; /* the restart that this loss deserves was made */
    struct bk_time closed_by;
    char *text; /* of the event last fetched; SDP_LINE_MAX; NULL while none was needed */
};

/* What `rows` names gets room for one row more; false: limit or memory. */
bool agent_grow(struct bk_ice *ice, void *rows, uint16_t *cap, size_t row, size_t max);
static inline uint16_t agent_servers(const struct bk_ice *ice) {
    return (uint16_t)ice->config.server_count; /* BK_ICE_SERVERS_MAX at most */
}
/* All that follows from an input. */
void agent_turn(struct bk_ice *ice, struct bk_time now);
static inline struct bk_time agent_see(struct bk_ice *ice, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
    return ice->now;
}

/* bases.c */
/* "uuid.local" */
void agent_base_name(const struct agent_base *base, char *out);
uint16_t agent_base_find(const struct bk_ice *ice, const struct bk_addr *addr,
                         enum bk_protocol protocol);

/* cands.c */
/* Hands a candidate to the checker and, if it is not redundant, to the peer. */
void agent_cand_add(struct bk_ice *ice, const struct bk_ice_candidate *candidate, uint16_t base);
/* The same, with another related address (RFC 8839 section 5.1) than the base. */
void agent_cand_add_related(struct bk_ice *ice, const struct bk_ice_candidate *candidate,
                            const struct bk_addr *related, uint16_t base);
void agent_cands_drop_addr(struct bk_ice *ice, const struct bk_addr *addr,
                           enum bk_protocol protocol);
/* Does a check from this base open a connection? */
bool agent_cand_dials(const struct bk_ice *ice, const struct bk_addr *base);
void agent_cands_drop_base(struct bk_ice *ice, uint16_t base);
size_t agent_cand_write(const struct bk_ice *ice, const struct agent_cand *cand, char *out);
void agent_cand_export(const struct agent_cand *cand, struct bk_ice_candidate *out);
/* May this host address be shown? */
bool agent_may_show_host(const struct bk_ice *ice, const struct bk_addr *addr);

/* servers.c */
void agent_servers_start(struct bk_ice *ice);
bool agent_server_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count);
/* The server's address number `from` or later that a base of this kind can reach. */
bool agent_server_address(const struct agent_server *server, const struct agent_base *base,
                          uint8_t from, uint8_t *at);

/* gather.c */
/* Everybody is asked once more: the network may have changed. */
void agent_gather_again(struct bk_ice *ice);
/* Its addresses are known now. */
void agent_gather_server(struct bk_ice *ice, uint16_t server);
void agent_gather_base(struct bk_ice *ice, uint16_t base);
void agent_gather_drop_base(struct bk_ice *ice, uint16_t base);
/* A server sees this base at `mapped`. */
void agent_gather_mapped(struct bk_ice *ice, uint16_t base, const struct bk_addr *server,
                         const struct bk_addr *mapped);
/* May one more exchange with a server leave now? It is counted. */
bool agent_gather_pace(struct bk_ice *ice);
BK_MUST_USE enum bk_err agent_gather_recv(struct bk_ice *ice, const struct bk_datagram *in);
/* The connection of a Binding exchange: it is up, brought a message, or is gone. */
void agent_gather_connected(struct bk_ice *ice, uint32_t conn);
void agent_gather_answer(struct bk_ice *ice, uint32_t conn, const struct bk_datagram *in);
void agent_gather_broken(struct bk_ice *ice, uint32_t conn);
/* The server it goes to; AGENT_NONE: it is no exchange's. */
uint16_t agent_gather_server_of(const struct bk_ice *ice, uint32_t conn);
bool agent_gather_next_stream(struct bk_ice *ice, uint32_t *conn, struct bk_datagram *out);
void agent_gather_turn(struct bk_ice *ice);
/* Is gathering over? After the relays' turn, whose end may be gathering's. */
void agent_gather_end_turn(struct bk_ice *ice);
struct bk_time agent_gather_deadline(const struct bk_ice *ice);
bool agent_gather_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
void agent_gather_free(struct bk_ice *ice);

/* relays.c */
/* A relay on this base, if the server is a TURN server and none of its kind is there. */
void agent_relay_plan(struct bk_ice *ice, uint16_t base, uint16_t server);
/* The base's public address changed: what the TURN server knows of it is void. */
void agent_relays_renew(struct bk_ice *ice, uint16_t base);
void agent_relays_drop_base(struct bk_ice *ice, uint16_t base);
/* Asks the servers whether the allocations are still there. */
void agent_relays_refresh(struct bk_ice *ice);
uint16_t agent_relay_of(const struct bk_ice *ice, const struct bk_addr *relayed);
/* Permissions for whom the checker would send to through it. */
void agent_relay_permit_all(struct bk_ice *ice);
void agent_relay_channel(struct bk_ice *ice, uint16_t relay, const struct bk_addr *peer);
void agent_relay_connected(struct bk_ice *ice, uint16_t relay, const struct bk_addr *local);
void agent_relay_broken(struct bk_ice *ice, uint16_t relay);
/* A datagram from a server: BK_OK with data or without; then events are read. */
BK_MUST_USE enum bk_err agent_relays_recv(struct bk_ice *ice, const struct bk_datagram *in,
                                          struct bk_turn_data *out, uint16_t *relay);
void agent_relays_turn(struct bk_ice *ice);
struct bk_time agent_relays_deadline(const struct bk_ice *ice);
/* Until when the end of gathering waits for relays; in the past: not at all. */
struct bk_time agent_relays_wait(const struct bk_ice *ice);
bool agent_relays_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
bool agent_relays_next_stream(struct bk_ice *ice, uint32_t *conn, struct bk_datagram *out);
void agent_relays_close(struct bk_ice *ice);
bool agent_relays_are_closed(const struct bk_ice *ice);
void agent_relays_free(struct bk_ice *ice);

/* route.c */
/* A datagram from the checker's addresses to the world's. false: nothing is to be sent as a
 * datagram: it went into a connection, or nowhere. */
bool agent_route(struct bk_ice *ice, const struct bk_datagram *in, struct bk_datagram *out);
BK_MUST_USE enum bk_err agent_relay_send(struct bk_ice *ice, uint16_t relay,
                                         const struct bk_datagram *in, struct bk_datagram *out);
BK_MUST_USE enum bk_err agent_take_relayed(struct bk_ice *ice, uint16_t relay,
                                           const struct bk_turn_data *data,
                                           struct bk_ice_data *out);
/* What came, in the checker's addresses: a check, or data. */
BK_MUST_USE enum bk_err agent_take(struct bk_ice *ice, const struct bk_datagram *in,
                                   struct bk_ice_data *out);

/* send.c */
BK_MUST_USE enum bk_err agent_take_data(struct bk_ice *ice, const struct bk_datagram *in,
                                        struct bk_ice_data *out);

/* conns.c */
uint16_t agent_conn_find(const struct bk_ice *ice, uint32_t id);
/* Asks for a connection to be opened; its id, or 0. */
uint32_t agent_conn_dial(struct bk_ice *ice, uint16_t relay, const struct bk_addr *base,
                         const struct bk_addr *remote);
/* The same to a STUN server, from the port of this TCP base. */
uint32_t agent_conn_dial_stun(struct bk_ice *ice, const struct bk_addr *base,
                              const struct bk_addr *server);
void agent_conn_end(struct bk_ice *ice, uint32_t id);
/* One message of the checker's, or of data: framed, and queued or kept until the connection is up.
 */
BK_MUST_USE enum bk_err agent_conn_send(struct bk_ice *ice, const struct bk_datagram *in);
/* Bytes as they are. */
BK_MUST_USE enum bk_err agent_conn_write(struct bk_ice *ice, uint32_t id, const void *data,
                                         size_t len);
/* Ends those of this base; NULL: all that are the peer's. */
void agent_conns_drop_base(struct bk_ice *ice, const struct bk_addr *base);
void agent_conns_turn(struct bk_ice *ice);
struct bk_time agent_conns_deadline(const struct bk_ice *ice);
void agent_conns_free(struct bk_ice *ice);

/* paths.c */
/* false: nothing was new. */
bool agent_paths_turn(struct bk_ice *ice);
/* Pairs may have gone without an event. */
void agent_paths_update(struct bk_ice *ice);
/* Data came on this component's path, or another one. */
void agent_heard(struct bk_ice *ice, struct agent_component *c, const struct bk_datagram *in);
struct agent_component *agent_component(const struct bk_ice *ice, uint16_t stream,
                                        uint16_t component);

/* watch.c */
void agent_changed(struct bk_ice *ice);
void agent_watch_turn(struct bk_ice *ice);
struct bk_time agent_watch_deadline(const struct bk_ice *ice);

/* settle.c */
/* Something happened: memory is given back only when it has been quiet. */
void agent_unsettle(struct bk_ice *ice);
void agent_settle_turn(struct bk_ice *ice);

/* events.c */
void agent_tell(struct bk_ice *ice, enum bk_ice_event_kind kind, const struct agent_component *of,
                uint32_t pair);
/* Has one of this kind not been fetched yet? */
bool agent_is_untold(const struct bk_ice *ice, enum bk_ice_event_kind kind);

/* remote.c */
BK_MUST_USE enum bk_err agent_restart(struct bk_ice *ice);
void agent_remote_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count);
void agent_remote_free(struct bk_ice *ice);

/* check.c */
/* Panics if an invariant does not hold; for tests and fuzzing. */
void agent_check(const struct bk_ice *ice);

#endif
