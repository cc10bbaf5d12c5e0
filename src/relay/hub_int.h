/* SPDX-License-Identifier: MIT
 * Inside the hub. The actors:
 *
 *   conn   one byte stream, by number
 *   peer   one key: the connections that proved it (usually one), or the hub where it lives
 *   edge   a (sending peer, receiving connection) pair: its two queues, and whether the receiver
 *          must be told when the sender goes (PeerGone)
 *   lane   one class of a connection's output (urgent, bulk): the ring of edges with packets in it
 *   chunk  2 KiB of the pool; a packet is a chain of chunks, named by its first
 *
 * Everything is an index into an array made at creation; NONE is no index. A packet is written into
 * its chunks once, as it arrives, and never copied again: the header of the outgoing frame is put
 * in front of the data in the room that HOLE leaves. Order of teardown: a connection leaves its
 * peer, then its incoming edges and their packets go, then its own chunks; a peer goes when it has
 * no connection, no edge and nothing to announce. */
#ifndef RELAY_HUB_INT_H
#define RELAY_HUB_INT_H

#include "relay/hub.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/table.h"
#include "wire/derp.h"

#define NONE UINT32_MAX
enum {
    HOLE = 64,           /* free bytes in front of a packet's body: frame header, or the keys of a
                            forwarded packet */
    ANONYMOUS = 0,       /* the peer that stands for senders nobody announced */
    STAGE_BYTES = 16384, /* output fixed at a time: one TLS record */
    QUANTUM = 2048,      /* deficit round robin's turn, in bytes */
    URGENT_RUN = 8,      /* urgent packets in a row while bulk waits */
    CTL_SOFT = 4096,     /* control bytes queued beyond which answers (Pong) are not given */
    NOT_HERE_BURST = 3,  /* PeerGone(NotHere), as the Go server: burst 3, 1 per second */
    FORWARD_BURST = 131072, /* to another hub at a time: its pressure must be able to come back */
    PAUSE_STRETCH = 8,      /* a pause lasts at most so many pause_us, while the receiver drains */
    INFO_MAX = 1024         /* the client's JSON */
};
#define MIXED_US (10 * BK_US_PER_S)
#define FORWARD_BREATH_US BK_US_PER_MS
#define KEEPALIVE_JITTER_US (5 * BK_US_PER_S)

struct chunk {
    uint32_t next;     /* of the same packet, or of the free list */
    uint16_t off, end; /* its bytes are data[off..end) */
    /* Only in a packet's first chunk: */
    uint32_t next_packet, last, bytes, count;
};

struct packets { /* a first-in first-out list of packets */
    uint32_t first, last;
};

struct flow { /* one edge's part of one lane */
    struct packets queue;
    uint32_t packets, chunks, deficit;
    uint32_t next, prev; /* ring of the lane's edges; valid while packets > 0 */
};

enum lane_kind { LANE_BULK, LANE_URGENT, LANES };

struct edge {
    uint32_t src, dst;           /* peer, connection; src NONE: free */
    uint32_t src_next, src_prev; /* the sender's edges */
    uint32_t dst_next, dst_prev; /* the receiver's edges */
    uint32_t age_next, age_prev; /* all edges in use, oldest first; `age_next` is the free list */
    struct flow flow[LANES];
    uint32_t pauser;               /* the connection that this edge's congestion has paused */
    uint32_t news_next, news_prev; /* edges with news for another hub */
    bool delivered; /* the receiver has a packet from this sender: PeerGone is owed */
    bool stuck;     /* a pause ended by time: drop until drained */
    bool pressed;   /* the sender is on another hub, which should pause it */
    bool in_news;
};

struct lane {
    uint32_t cur; /* the edge whose turn it is */
    uint32_t edges, packets, chunks;
};

struct peer {
    uint8_t key[RELAY_HUB_KEY_LEN];
    bool used;
    bool remote_newer; /* it was heard on hub `remote` after it was heard here */
    bool announced;    /* what the other hubs were told: present here */
    bool in_news;
    uint32_t active; /* the connection heard last; heads the list of all its connections */
    uint32_t remote; /* hub, or NONE */
    uint32_t edges;  /* as a sender */
    uint32_t next;   /* free list, or news list */
    struct bk_time claim_after; /* earliest next claim, when two hubs hear the same key */
};

enum conn_state { CONN_FREE, CONN_HELLO, CONN_OPEN, CONN_CLOSING };

struct conn {
    enum conn_state state;
    enum relay_close close;
    bool mesh, prober, watching;
    bool listed, told_write, told_read; /* the ready list; what the caller knows */
    bool retell; /* it was paused meanwhile: the caller may have seen that and must hear the end */
    bool skip;   /* the body of this frame is not kept */
    uint8_t head[DERP_HEADER_LEN], head_len;
    uint8_t urgent_run;
    uint8_t not_here_tokens;
    uint32_t quiet_s;             /* the client keeps itself alive: no KeepAlive before that */
    enum derp_type type;          /* of the frame being read */
    uint32_t body_len, body_have; /* its payload */
    uint32_t in;                  /* packet that collects it, or NONE */
    uint32_t in_next, in_prev;    /* connections that hold a partial frame, oldest first */
    uint32_t next_ready;
    uint32_t peer, same_next; /* other connections of the same peer */
    uint32_t edges;           /* as a receiver */
    uint32_t paused_on;       /* edge */
    uint32_t remote_paused;   /* peer on another hub: its hub asked for a pause; or NONE */
    bool pacing;              /* the pause is only a breath between bursts to another hub */
    uint32_t burst;           /* bytes forwarded since the last one */
    uint32_t remote_stuck;    /* peer whose hub asked, and did not take it back in time */
    uint32_t last_dst;        /* peer its last packet went to */
    struct lane lane[LANES];
    uint32_t ctl; /* control frames, one chain */
    struct packets staged;
    uint32_t staged_bytes;
    uint64_t taken; /* bytes written, for noticing progress */
    uint64_t taken_at_pause;
    struct bk_time hello_by, keepalive_at, stalled_at, pause_until, pause_end, rate_until;
    struct bk_time mixed_until, not_here_at, tokens_at;
    int64_t tokens;
    struct bk_addr remote;
};

struct relay_hub {
    struct relay_hub_config config;
    uint8_t key[RELAY_HUB_KEY_LEN];
    struct bk_rng rng;
    struct bk_alloc alloc;
    struct bk_time now;

    uint8_t *data; /* chunks * RELAY_HUB_CHUNK bytes */
    struct chunk *chunk;
    uint32_t chunks, chunks_free, chunk_free, chunk_fresh;

    struct conn *conn;
    uint32_t conn_free, ready_first, ready_last;
    uint32_t in_first, in_last, in_chunks;
    struct peer *peer;
    uint32_t peers_max, peer_free, news_first, news_last, watchers;
    struct edge *edge;
    uint32_t edge_free, age_first, age_last, edge_news;
    struct table keys, pairs;
    struct heap timers;
    struct packets forward;
    uint32_t forward_chunks, forward_shown;
    uint8_t *scratch; /* one whole packet in one piece */
    struct relay_hub_stats stats;
};

/* hub_pool.c */
void queue_pool_init(struct relay_hub *h);
/* A packet of one empty chunk whose bytes start at `off`. NONE: the pool has no more than `reserve`
 * chunks left. */
uint32_t packet_new(struct relay_hub *h, uint32_t off, uint32_t reserve);
void packet_free(struct relay_hub *h, uint32_t packet);
/* Appends; false: the pool is empty, the packet keeps what fitted. */
bool packet_append(struct relay_hub *h, uint32_t packet, const uint8_t *data, size_t len,
                   uint32_t reserve);
/* Moves the packet's first byte; forward (drops bytes) or back into the hole. */
void packet_move_start(struct relay_hub *h, uint32_t packet, uint32_t off);
uint8_t *chunk_data(const struct relay_hub *h, uint32_t chunk);
/* The whole packet in one piece, in h->scratch unless it is one chunk. */
const uint8_t *packet_flat(const struct relay_hub *h, uint32_t packet);
void packets_push(struct relay_hub *h, struct packets *q, uint32_t packet);
uint32_t packets_pop(struct relay_hub *h, struct packets *q);
/* Chunks that only control frames may use. */
uint32_t pool_reserve(const struct relay_hub *h);

/* hub_queue.c */
/* Finds or makes the pair. NONE: every pair has packets queued. */
uint32_t edge_get(struct relay_hub *h, uint32_t src, uint32_t dst);
void edge_free(struct relay_hub *h, uint32_t edge);
/* Drops what is queued, counting it as `why`, and frees it. */
void edge_discard(struct relay_hub *h, uint32_t edge, enum relay_hub_drop why);
/* Takes the packet: queues it for the edge's receiver, or drops something. */
void queue_packet(struct relay_hub *h, uint32_t edge, enum lane_kind kind, uint32_t packet);
/* The next packet by turn, or NONE. */
uint32_t queue_take(struct relay_hub *h, uint32_t conn);
bool edge_is_idle(const struct edge *e);
void count_drop(struct relay_hub *h, enum relay_hub_drop why, bool urgent);
bool packet_is_urgent(const struct relay_hub *h, uint32_t packet, uint32_t skip);
/* What a queue may hold at this moment. */
struct lane_limit {
    uint32_t packets, chunks;
};
struct lane_limit lane_limit(const struct relay_hub *h, enum lane_kind kind);

/* hub_pause.c */
/* Notes that `conn` has sent to peer `dst`: senders with several receivers are not paused. */
void pause_note(struct relay_hub *h, uint32_t conn, uint32_t dst);
/* Should `conn`, which has just sent on `edge`, be paused? Then pauses it. */
void pause_consider(struct relay_hub *h, uint32_t conn, uint32_t edge);
void pause_end(struct relay_hub *h, uint32_t conn);
void pause_advance(struct relay_hub *h, uint32_t conn);
bool pause_is_on(const struct conn *c);
/* `conn` has sent so many bytes to another hub: a long burst takes a breath. */
void pause_burst(struct relay_hub *h, uint32_t conn, uint32_t bytes);
/* The same for a sender on another hub: that one is told by an event. */
void pressure_consider(struct relay_hub *h, uint32_t edge);
bool pressure_event(struct relay_hub *h, struct relay_hub_event *out);
/* Packets have left the edge: its sender may go on below seven eighths of its mark. */
void pause_drained(struct relay_hub *h, uint32_t edge);
/* The edge goes: no event about it any more. */
void pressure_forget(struct relay_hub *h, uint32_t edge);

/* hub_peers.c */
void peers_init(struct relay_hub *h);
uint32_t peer_find(const struct relay_hub *h, const uint8_t *key);
/* Joins `conn` to the peer with this key. false: no room. */
bool peer_join(struct relay_hub *h, uint32_t conn, const uint8_t *key);
void peer_leave(struct relay_hub *h, uint32_t conn);
/* `conn` has been heard: it is the one that receives from now on. */
void peer_heard(struct relay_hub *h, uint32_t conn);
/* Is the peer connected, here or elsewhere? */
bool peer_is_here(const struct peer *p);
/* Frees a peer nobody needs any more. */
void peer_release(struct relay_hub *h, uint32_t peer);
void watch_start(struct relay_hub *h, uint32_t conn);

/* hub_in.c */
/* Applies the rate limit after input or time. */
void rate_tick(struct relay_hub *h, uint32_t conn);
void conn_in_done(struct relay_hub *h, uint32_t conn); /* gives up the partial frame */

/* hub_out.c */
bool conn_has_output(const struct conn *c);
/* Appends one whole control frame; false: not enough chunks. */
bool ctl_put(struct relay_hub *h, uint32_t conn, const struct wire_writer *frame);
void ctl_peer_gone(struct relay_hub *h, uint32_t conn, const uint8_t *key, enum derp_gone reason);
void ctl_peer_present(struct relay_hub *h, uint32_t conn, const struct conn *who,
                      const uint8_t *key);
size_t ctl_len(const struct relay_hub *h, uint32_t conn);

/* hub.c */
void conn_wake(struct relay_hub *h, uint32_t conn); /* onto the ready list */
/* Output has appeared. */
void conn_output(struct relay_hub *h, uint32_t conn);
void conn_fail(struct relay_hub *h, uint32_t conn, enum relay_close why);
/* When the connection is due for a KeepAlive, from now. */
void keepalive_later(struct relay_hub *h, uint32_t conn);
void conn_schedule(struct relay_hub *h, uint32_t conn);

#endif
