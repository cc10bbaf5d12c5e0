/* SPDX-License-Identifier: MIT
 * The server's side of the relay for many connections, without any I/O. It addresses packets by
 * public key and is compatible with the Go client.
 *
 * A connection is a small number, given by relay_hub_accept() and valid until the caller says
 * relay_hub_close(); the hub itself never reuses a number before that. After every call that takes
 * input or time, drain relay_hub_next_ready() and relay_hub_next_event(), and read
 * relay_hub_deadline() again.
 *
 * What a slow receiver may cost. Every destination has two bounded queues: urgent (disco and
 * bodkin's signalling, see derp_is_urgent()) and bulk. Within each, senders take turns by bytes
 * (deficit round robin), and when a queue is full the packet at the head of the sender who holds
 * most of it is dropped: a flood costs the flooder, never a polite sender. A sender whose packets
 * go to nobody but a congested destination is not dropped but paused: relay_hub_wants_read() says
 * no and TCP carries the pressure back to it. The pause ends when the destination has drained, or
 * after pause_us; if it ended by time, packets to that destination are dropped until it has drained
 * once, so one dead receiver delays a sender's other traffic once, by pause_us at most. A receiver
 * that takes some bytes in that time extends the pause, up to 8 pause_us. A sender that has written
 * to somebody else within the last ten seconds is not paused at all. Between hubs the same works by
 * events, late by a turn or two of both loops; so that it can work, a sender takes a breath of 1 ms
 * after each 128 KiB that go to another hub.
 *
 * Memory. All of it is taken at creation. Queued bytes live in one pool of chunks; a queue may hold
 * at most a quarter of what is free (and its configured limit), so no set of receivers can use up
 * the pool. An idle connection owns no chunk. */
#ifndef RELAY_HUB_H
#define RELAY_HUB_H

#include "relay/piece.h"
#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_HUB_KEY_LEN = 32, RELAY_HUB_CHUNK = 2048, RELAY_HUB_PIECES = 16 };

struct relay_hub_config {
    uint8_t secret[RELAY_HUB_KEY_LEN]; /* the server's X25519 secret */
    uint32_t conns_max;                /* connections, 1..1000000; default 10000 */
    uint32_t remote_keys_max;          /* keys known to live on other hubs; default 0 */
    uint32_t pairs_max;        /* remembered (sender, receiver) pairs; default 4 per connection; the
                                  oldest idle one is forgotten first, which loses only a PeerGone */
    size_t pool_bytes;         /* memory for queued bytes; default 64 MiB, at least 1 MiB */
    uint32_t queue_packets;    /* of each bulk queue; default 512 */
    size_t queue_bytes;        /* of each bulk queue; default 524288, at least 65536 + 64 */
    uint32_t urgent_packets;   /* of each urgent queue; default 32, as in the Go server */
    int64_t handshake_us;      /* default 10 s */
    int64_t keepalive_us;      /* default 60 s, plus up to 5 s drawn for each connection */
    int64_t stall_us;          /* a connection that takes no byte for so long is closed; default
                                  15 s. Departs from Go's 2 s: a phone that changes networks is
                                  silent for longer than that, and its queue is bounded anyway */
    int64_t pause_us;          /* longest pause of a sender; default 250 ms */
    uint64_t rate_bytes_per_s; /* of each client, 0: no limit (default); applied by pausing reads */
    uint64_t rate_burst_bytes; /* default and minimum 65568 + 5: one packet must fit */
    bool mesh_key_set;         /* accept mesh peers that know the key; default no */
    uint8_t mesh_key[RELAY_HUB_KEY_LEN];
    bool announce; /* several hubs act as one: report keys and forward packets by events */
};

extern const struct relay_hub_config relay_hub_config_default;

/* Why a packet went no further. */
enum relay_hub_drop {
    RELAY_DROP_UNKNOWN_DEST,        /* nobody has that key here */
    RELAY_DROP_UNKNOWN_DEST_ON_FWD, /* the same, for a packet another hub sent us */
    RELAY_DROP_GONE,                /* it was queued when its receiver left */
    RELAY_DROP_QUEUE_HEAD,          /* pushed out of a full queue by a newer one */
    RELAY_DROP_QUEUE_TAIL,          /* no room for it at all */
    RELAY_DROP_WRITE_ERROR,         /* its receiver stalled */
    RELAY_DROP_DUP_CLIENT,          /* its sender is shadowed by a newer connection of its key */
    RELAY_DROPS
};

struct relay_hub_stats {
    uint64_t accepted, refused; /* connections; refused: no room */
    uint64_t handshakes, handshake_failed;
    uint64_t packets_in, packets_out, bytes_in, bytes_out; /* packets' data only */
    uint64_t dropped[RELAY_DROPS][2]; /* [1]: disco or signalling, [0]: other */
    uint64_t forwarded_out, forwarded_in;
    uint64_t peer_gone_disconnected, peer_gone_not_here;
    uint64_t pings, unknown_frames, protocol_errors, stalled, pauses;
    uint32_t conns, keys, remote_keys, duplicate_conns; /* now */
    uint32_t chunks_used, chunks;                       /* now, and in all */
};

/* A short word for metrics, for example "unknown_dest"; static, never NULL. */
const char *relay_hub_drop_name(enum relay_hub_drop reason);

/* Why the hub wants a connection closed. */
enum relay_close {
    RELAY_CLOSE_NOT,
    RELAY_CLOSE_HANDSHAKE_TIMEOUT,
    RELAY_CLOSE_HANDSHAKE,  /* the handshake's box or text is wrong */
    RELAY_CLOSE_PROTOCOL,   /* a frame that must not come, is too short or too long */
    RELAY_CLOSE_STALLED,    /* took no byte for stall_us */
    RELAY_CLOSE_PERMISSION, /* a mesh frame from a connection without the mesh key */
    RELAY_CLOSE_PEER,       /* a mesh peer asked for it (ClosePeer) */
    RELAY_CLOSE_RESOURCES   /* no memory in the pool for what it must be told */
};

struct relay_ready {
    uint32_t conn;
    bool write;             /* relay_hub_next_bytes() has something */
    bool read;              /* relay_hub_wants_read() */
    enum relay_close close; /* not RELAY_CLOSE_NOT: close the stream and call relay_hub_close() */
};

enum relay_hub_event_type {
    RELAY_HUB_PRESENT,  /* announce: `key` is connected here, and here was heard last */
    RELAY_HUB_GONE,     /* announce: `key` is not connected here any more */
    RELAY_HUB_PRESSURE, /* announce: tell hub `hub` by relay_hub_remote_pressure() that its client
                           `key` should pause, or go on, in sending to `dst` here */
    RELAY_HUB_FORWARD   /* announce: give this packet to hub `hub`: relay_hub_remote_packet() */
};

struct relay_hub_event {
    enum relay_hub_event_type type;
    uint32_t hub; /* FORWARD, PRESSURE: the number given to relay_hub_remote_present() */
    uint8_t key[RELAY_HUB_KEY_LEN]; /* PRESENT, GONE; FORWARD, PRESSURE: the sender */
    uint8_t dst[RELAY_HUB_KEY_LEN]; /* FORWARD, PRESSURE */
    bool on;                        /* PRESSURE: pause; otherwise go on */
    const uint8_t *data;            /* FORWARD: valid until the next call on the hub */
    size_t len;
};

struct relay_hub;

/* Allocates everything; relay_hub_memory() says how much that will be. `rng` and `alloc` are copied
 * and must stay usable. BK_ERR_ARGUMENT: a field is out of range. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err relay_hub_new(const struct relay_hub_config *config,
                                      const struct bk_rng *rng, const struct bk_alloc *alloc,
                                      struct relay_hub **out);
void relay_hub_free(struct relay_hub *hub);
/* The server's public key. */
const uint8_t *relay_hub_key(const struct relay_hub *hub);
/* Bytes that one idle connection costs with this configuration (tables and pairs included), and
 * what the whole hub takes. */
size_t relay_hub_memory_per_conn(const struct relay_hub_config *config);
size_t relay_hub_memory(const struct relay_hub_config *config);

/* A stream that has been through the HTTP door (or, on a fast start, past its request). The server
 * key frame is queued at once. `remote` is for mesh peers' information. BK_ERR_FULL: conns_max. */
BK_MUST_USE enum bk_err relay_hub_accept(struct relay_hub *hub, const struct bk_addr *remote,
                                         struct bk_time now, uint32_t *conn);
/* Bytes of the stream. Always takes all of them; ask relay_hub_wants_read() before reading more,
 * in the same turn of the loop too: that it may go on is always told by relay_hub_next_ready(). */
void relay_hub_recv(struct relay_hub *hub, uint32_t conn, const uint8_t *data, size_t len,
                    struct bk_time now);
bool relay_hub_wants_read(const struct relay_hub *hub, uint32_t conn);
/* The stream has ended, or was closed because the hub asked for it. Frees the number. */
void relay_hub_close(struct relay_hub *hub, uint32_t conn, struct bk_time now);
void relay_hub_advance(struct relay_hub *hub, struct bk_time now);
struct bk_time relay_hub_deadline(const struct relay_hub *hub);

/* Names a connection that has come to have bytes to write, whose wish to read has changed, or that
 * must be closed. false: none left. What a full socket leaves unwritten is not reported again: try
 * again when the socket is writable. */
bool relay_hub_next_ready(struct relay_hub *hub, struct relay_ready *out);
/* Up to `max` runs of bytes to write, in order, about 16 KiB in all (one TLS record). Returns how
 * many; 0: nothing. They stay valid until relay_hub_sent() or relay_hub_close() of `conn`. */
size_t relay_hub_next_bytes(struct relay_hub *hub, uint32_t conn, struct relay_piece *pieces,
                            size_t max);
/* The first `len` of those bytes are written. */
void relay_hub_sent(struct relay_hub *hub, uint32_t conn, size_t len, struct bk_time now);
bool relay_hub_next_event(struct relay_hub *hub, struct relay_hub_event *out);

/* Tells every client (Health, Restarting frames); for the server's shutdown and trouble. */
void relay_hub_health(struct relay_hub *hub, const char *text);
void relay_hub_restarting(struct relay_hub *hub, uint32_t reconnect_ms, uint32_t try_ms);

/* What the other hubs report. `from` is any number that names the hub; packets for `key` then come
 * out as RELAY_HUB_FORWARD with it. The hub where a key was heard last gets its packets.
 * BK_ERR_FULL: remote_keys_max. */
BK_MUST_USE enum bk_err relay_hub_remote_present(struct relay_hub *hub, uint32_t from,
                                                 const uint8_t key[RELAY_HUB_KEY_LEN]);
void relay_hub_remote_gone(struct relay_hub *hub, uint32_t from,
                           const uint8_t key[RELAY_HUB_KEY_LEN]);
/* Hub `from` has stopped: all its keys are gone. */
void relay_hub_remote_down(struct relay_hub *hub, uint32_t from);
/* A packet that another hub forwarded. It goes to a connection here or nowhere: one hop. */
void relay_hub_remote_packet(struct relay_hub *hub, const uint8_t src[RELAY_HUB_KEY_LEN],
                             const uint8_t dst[RELAY_HUB_KEY_LEN], const uint8_t *data, size_t len,
                             struct bk_time now);
/* Hub to hub: `dst`, which is there, is congested by our client `src` (on), or has drained. Pauses
 * that client as the head of this page says, but for up to 8 pause_us: the receiver's progress is
 * not seen from here. */
void relay_hub_remote_pressure(struct relay_hub *hub, const uint8_t src[RELAY_HUB_KEY_LEN],
                               const uint8_t dst[RELAY_HUB_KEY_LEN], bool on, struct bk_time now);

void relay_hub_stats(const struct relay_hub *hub, struct relay_hub_stats *out);
/* The public key of `conn`'s client, or NULL before its handshake. */
const uint8_t *relay_hub_conn_key(const struct relay_hub *hub, uint32_t conn);
/* Asserts every internal invariant; for tests and fuzzing. */
void relay_hub_check(const struct relay_hub *hub);

#endif
