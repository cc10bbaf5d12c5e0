/* SPDX-License-Identifier: MIT
 * What the files of sim/ share. Private to sim/.
 *
 * There is one queue of events: a heap of times whose ids are packets (a packet's next stop, the
 * retransmission of a segment, a message) and, above them, actors (their deadlines). A packet is a
 * slot in a pool that travels: `at` is where it arrives next, `header` what it says by then. */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include "base/heap.h"
#include "base/rng.h"
#include "base/table.h"
#include "sim/world.h"

#define SIM_NONE UINT32_MAX

enum {
    ADDRESSES_MAX = 8,  /* of one host */
    SEGMENT_MAX = 1400, /* bytes of a stream in one packet */
    FIRST_FREE_PORT = 49152,
    DEFAULT_TTL = 64,
    CUTS_MAX = 256,     /* pairs of hosts cut apart at once */
    PATH_CUTS_MAX = 64, /* world_cut_path() */
    PATH_MAX_NODES = 20 /* links that one packet can pass: eight boxes up, eight down, hosts */
};

enum way { WAY_UP, WAY_DOWN };

enum packet_kind { PACKET_DATAGRAM, PACKET_SEGMENT, PACKET_MESSAGE };

/* What a stream sends. SYN, SYN_ACK, DATA and FIN have sequence numbers and are repeated until they
 * arrive; the others are not. */
enum segment_kind {
    SEGMENT_SYN,
    SEGMENT_SYN_ACK,
    SEGMENT_DATA,
    SEGMENT_FIN,
    SEGMENT_ACK,
    SEGMENT_RST
};

struct stream_ref {
    stream_id id;
    uint32_t generation; /* of the slot: a ref to a freed stream no longer matches */
};

struct sim_packet {
    enum packet_kind kind;
    struct nat_header header; /* as the next node sees it */
    node_id origin;           /* the host that sent it */
    node_id at;
    enum way way;
    uint8_t ttl, ecn;
    uint16_t len;
    uint8_t path_len;
    uint16_t path[PATH_MAX_NODES]; /* whose links it has entered */
    /* segments only */
    enum segment_kind segment;
    struct nat_header sent; /* as it left its host, for sending it again */
    struct stream_ref from; /* the sending end; of a RST: the end that it kills */
    uint32_t seq, attempts;
    uint32_t next; /* waiting for an earlier one at the receiver */
    /* messages only */
    actor_id to;
    uint8_t data[WORLD_DATAGRAM_MAX];
};

struct direction {
    struct world_link link;
    struct bk_time busy_until; /* the rate limit's queue */
    struct bk_time last_arrival;
};

enum node_kind { NODE_CORE, NODE_NAT, NODE_HOST };

struct node {
    enum node_kind kind;
    char name[WORLD_NAME_MAX];
    node_id parent;
    struct direction way[2]; /* by enum way */
    enum world_cut cut;
    struct nat *nat;
    struct rng_seeded rng; /* the NAT's */
    struct bk_ip address[ADDRESSES_MAX];
    size_t address_count;
    uint16_t next_port;
};

struct actor {
    struct world_actor calls;
    node_id host;
    struct rng_seeded rng;
};

struct udp_socket {
    bool open;
    node_id host;
    actor_id actor;
    struct bk_addr local;
};

enum stream_state {
    STREAM_FREE,
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_CLOSED, /* by its actor; what was written is still on its way */
    STREAM_BROKEN  /* the actor knows, and must close it */
};

struct stream {
    enum stream_state state;
    uint32_t generation;
    actor_id actor;
    node_id host;
    struct bk_addr local, remote;
    struct stream_ref peer;
    uint32_t tx_seq, rx_next;
    uint32_t waiting;   /* packets that came too early, by sequence number */
    uint32_t in_flight; /* bytes */
    bool refused;       /* a write was cut short: say when there is room */
};

enum trace_kind {
    TRACE_SEND,
    TRACE_NAT,
    TRACE_DELIVER,
    TRACE_LOST,
    TRACE_CUT,
    TRACE_QUEUE_FULL,
    TRACE_NAT_DROP,
    TRACE_NO_ROUTE,
    TRACE_NO_SOCKET,
    TRACE_TTL,
    TRACE_RESEND,
    TRACE_NOTE,
    TRACE_TOO_BIG
};

enum { TRACE_NOTE_MAX = 61 };

struct path_cut {
    node_id a, b;
    unsigned protocols;
};

struct trace_record {
    struct bk_time at;
    enum trace_kind kind;
    enum nat_drop drop;
    node_id node;
    struct nat_flow flow;
    uint16_t len;
    uint8_t head[2]; /* the payload's first bytes: enough to know a STUN message's type */
    char note[TRACE_NOTE_MAX];
};

struct world {
    struct world_config config;
    struct bk_alloc alloc;
    struct rng_seeded seeded;
    struct bk_rng rng;
    struct bk_time now;
    struct heap events;
    struct sim_packet *packets;
    uint32_t *free_packets; /* a stack */
    uint32_t free_count;
    struct node *nodes;
    uint32_t node_count;
    struct actor *actors;
    uint32_t actor_count;
    struct rng_seeded *streams_of_luck; /* world_rng() */
    uint32_t luck_count;
    struct udp_socket *sockets;
    uint32_t socket_count;
    struct stream *streams;
    struct table by_address;   /* node whose inside it is, address -> child node */
    struct table by_socket;    /* host, address, port -> socket */
    struct table by_listener;  /* host, port -> actor */
    struct table by_host_pair; /* two hosts -> enum world_cut */
    struct path_cut path_cuts[PATH_CUTS_MAX];
    size_t path_cut_count;
    void (*watch)(void *ctx, const char *text);
    void *watch_ctx;
    struct trace_record *trace;
    uint64_t trace_count;
    uint64_t hash;
    struct world_counters counters;
};

/* packet.c */
uint32_t packet_take(struct world *w); /* SIM_NONE: none left; counted */
void packet_give(struct world *w, uint32_t index);
void packet_schedule(struct world *w, uint32_t index, struct bk_time when);

/* route.c: a packet is at its host and wants out; a packet arrives at its `at`. */
void route_send(struct world *w, uint32_t index);
void route_arrive(struct world *w, uint32_t index);
/* The packet did not make it. A segment is sent again later. */
void route_lose(struct world *w, uint32_t index, enum trace_kind why);
/* NAT box or core `from` sends a packet of its own. */
void route_from(struct world *w, node_id from, uint32_t index);

/* link.c: over the link between `node` and its parent. Takes the packet. */
void link_transmit(struct world *w, node_id node, enum way way, uint32_t index);

/* topology.c */
bool topology_child(const struct world *w, node_id parent, const struct bk_ip *ip, node_id *out);
void topology_enter(struct world *w, node_id node, const struct bk_ip *ip);
void topology_leave(struct world *w, node_id node, const struct bk_ip *ip);
bool topology_host_has(const struct world *w, node_id host, const struct bk_ip *ip);
/* The host's first address of a family. false: none. */
bool topology_host_address(const struct world *w, node_id host, uint8_t family, struct bk_ip *out);

/* udp.c, stream.c: a packet has reached its host. Both take it. */
void udp_deliver(struct world *w, uint32_t index);
void stream_deliver(struct world *w, uint32_t index);
/* stream.c: a segment was lost; the NAT box `by` answers it with a reset. Both take it. */
void stream_lost(struct world *w, uint32_t index);
void stream_refuse(struct world *w, node_id by, uint32_t index);
/* Time to send a segment again. Takes it. */
void stream_resend(struct world *w, uint32_t index);

/* world.c: after each callback into an actor. */
void actor_turn(struct world *w, actor_id actor);
uint16_t node_free_port(struct world *w, node_id host);

/* fault.c */
bool cut_applies(enum world_cut cut, enum nat_proto proto);
/* Does a world_cut_path() apply to the packet, by what it has passed so far? */
bool cut_on_path(const struct world *w, const struct sim_packet *p);
enum world_cut cut_between(const struct world *w, node_id a, node_id b);

/* trace.c */
void trace_packet(struct world *w, enum trace_kind kind, node_id node, const struct sim_packet *p,
                  enum nat_drop drop);
void hash_word(struct world *w, uint64_t word);
void hash_bytes(struct world *w, const void *data, size_t len);
void hash_payload(struct world *w, const void *data, size_t len);

enum { KEY_NODE_IP = 4 + 17, KEY_NODE_ADDR = 4 + 19, KEY_NODE_PORT = 4 + 2, KEY_NODES = 8 };
void key_node_ip(uint8_t key[KEY_NODE_IP], node_id node, const struct bk_ip *ip);
void key_node_addr(uint8_t key[KEY_NODE_ADDR], node_id node, const struct bk_addr *addr);
void key_node_port(uint8_t key[KEY_NODE_PORT], node_id node, uint16_t port);
void key_nodes(uint8_t key[KEY_NODES], node_id a, node_id b);

#endif
