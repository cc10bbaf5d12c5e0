/* SPDX-License-Identifier: MIT
 * The client's side of one relay connection, without any I/O: bytes from the server go in, bytes
 * for the server and events come out. The caller owns the byte stream (TLS or TCP, connected before
 * relay_client_new()) and the clock.
 *
 * Use: after relay_client_new(), and after every call that takes input, drain first
 *     relay_client_next_event()                         (this is where frames are read) and then
 *     relay_client_next_bytes() / relay_client_sent()   (reading may have made answers)
 * and read relay_client_deadline() again. One object is one connection: after RELAY_CLIENT_CLOSED
 * free it, and connect anew with a new one.
 *
 * Packets may be queued from the first instant. They leave right behind the handshake's last
 * message, so on a fast start they are in the first flight. */
#ifndef RELAY_CLIENT_H
#define RELAY_CLIENT_H

#include "relay/piece.h"
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_KEY_LEN = 32, RELAY_MESSAGE_MAX = 65536 };

enum relay_start {
    RELAY_START_HTTP, /* GET /derp with an upgrade, wait for 101: works with every server */
    RELAY_START_FAST, /* over TLS 1.3 whose certificate list held the server's relay key (see
                         net/metacert.h): request and handshake leave in one flight */
    RELAY_START_RAW   /* the stream speaks frames already */
};

struct relay_client_config {
    enum relay_start start; /* default RELAY_START_HTTP */
    const char *host;       /* HTTP Host header; borrowed for relay_client_new(); required unless
                               RELAY_START_RAW; at most 255 characters */
    uint8_t secret[RELAY_KEY_LEN]; /* our X25519 secret; the public half is our address */
    bool server_key_known;         /* RELAY_START_FAST requires it; otherwise it pins the server */
    uint8_t server_key[RELAY_KEY_LEN];
    bool mesh_key_set; /* ask for the rights of a mesh peer */
    uint8_t mesh_key[RELAY_KEY_LEN];
    size_t send_max;      /* bytes of the send queue; default 262144, at least 131072 */
    int64_t handshake_us; /* until connected; default 10 s */
    int64_t silence_us;   /* the server is dead after this silence; default 120 s, as Go's client;
                             servers send at least every 65 s */
    int64_t probe_us;     /* after this silence the server is asked whether it is there; default
                             25 s; 0: never. It also keeps NAT boxes' memory of the connection */
    int64_t answer_us;    /* and must say something within this, or the connection ends; 4 s */
    uint32_t quiet_s;     /* tell the server that we keep the connection alive, and that it may be
                             quiet for so long; default 0: it is not told */
};

extern const struct relay_client_config relay_client_config_default;

enum relay_client_event_type {
    RELAY_CLIENT_CONNECTED,  /* the server knows us; `key` is the server's */
    RELAY_CLIENT_PACKET,     /* `data` came from `key` */
    RELAY_CLIENT_PEER_GONE,  /* `key` is not reachable here; `not_here`: it never was, otherwise it
                                disconnected */
    RELAY_CLIENT_ROOM,       /* after BK_ERR_FULL: the queue is half empty again */
    RELAY_CLIENT_PONG,       /* answer to relay_client_ping(); `rtt_us` */
    RELAY_CLIENT_HEALTH,     /* `data` is the server's trouble as text; empty: healthy again */
    RELAY_CLIENT_RESTARTING, /* reconnect after reconnect_ms, keep trying for try_ms */
    RELAY_CLIENT_PRESENT,    /* mesh peers only: `key` is connected there */
    RELAY_CLIENT_CLOSED      /* the end; `why` and, if HTTP refused us, `http_status` */
};

struct relay_client_event {
    enum relay_client_event_type type;
    uint8_t key[RELAY_KEY_LEN];
    const uint8_t *data; /* a view, valid until the next call on the object */
    size_t len;
    bool not_here;
    int64_t rtt_us;
    int64_t silence_us; /* PONG: before the question that this answers, nothing came for so long */
    uint32_t reconnect_ms, try_ms;
    enum bk_err why; /* BK_ERR_TIMEOUT handshake or silence; BK_ERR_CLOSED end of stream;
                        BK_ERR_AUTH not the expected server; BK_ERR_REFUSED HTTP status other than
                        101; BK_ERR_MALFORMED or BK_ERR_TOO_LONG not our protocol */
    unsigned http_status;
};

struct relay_client;

/* Allocates everything the connection will ever use. `rng` and `alloc` must outlive it. Fails with
 * BK_ERR_ARGUMENT (a field is out of range) or BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err relay_client_new(const struct relay_client_config *config,
                                         const struct bk_rng *rng, const struct bk_alloc *alloc,
                                         struct bk_time now, struct relay_client **out);
void relay_client_free(struct relay_client *c);

/* Takes bytes of the stream and returns how many it took: all of them, unless events are waiting to
 * be drained; drain, then offer the rest. */
size_t relay_client_recv(struct relay_client *c, const uint8_t *data, size_t len,
                         struct bk_time now);
/* The stream ended or failed: a RELAY_CLIENT_CLOSED with `why` follows. */
void relay_client_eof(struct relay_client *c, enum bk_err why);
void relay_client_advance(struct relay_client *c, struct bk_time now);
struct bk_time relay_client_deadline(const struct relay_client *c);

/* The next run of bytes to write to the stream, valid until the next call on the object; false:
 * nothing now. After writing `len` of them say so with relay_client_sent(). Small frames are
 * coalesced already. */
bool relay_client_next_bytes(struct relay_client *c, struct relay_piece *out);
void relay_client_sent(struct relay_client *c, size_t len);
bool relay_client_next_event(struct relay_client *c, struct relay_client_event *out);

/* Queues one packet for `dst`, put together from `count` pieces; all or nothing. BK_ERR_FULL: the
 * queue is full; nothing is lost, wait for RELAY_CLIENT_ROOM. BK_ERR_TOO_LONG: over
 * RELAY_MESSAGE_MAX. BK_ERR_CLOSED: the connection has ended. */
BK_MUST_USE enum bk_err relay_client_send(struct relay_client *c, const uint8_t dst[RELAY_KEY_LEN],
                                          const struct relay_piece *pieces, size_t count);
/* Would a packet of `len` bytes be taken now? */
bool relay_client_has_room(const struct relay_client *c, size_t len);
/* Bytes that wait to be written. */
size_t relay_client_queued(const struct relay_client *c);

/* Measures the way to the server: RELAY_CLIENT_PONG follows. One at a time: a second call before
 * the answer starts anew. BK_ERR_FULL, BK_ERR_CLOSED as above. */
BK_MUST_USE enum bk_err relay_client_ping(struct relay_client *c, struct bk_time now);
/* Something suggests that the connection is dead (other paths broke, say): asks the server now, and
 * ends the connection if nothing at all comes within answer_us. Harmless when it is alive. */
void relay_client_doubt(struct relay_client *c, struct bk_time now);
/* The same with less patience, or more. */
void relay_client_doubt_for(struct relay_client *c, int64_t answer_us, struct bk_time now);
/* Another probe_us from now on; not 0. */
void relay_client_set_probe(struct relay_client *c, int64_t probe_us);
/* While a question is unanswered, and after an end for that reason: how long it had been silent
 * when it was asked. Otherwise 0. */
int64_t relay_client_silence_us(const struct relay_client *c);
/* Tells the server whether it is our home (it only counts this). Same errors. */
BK_MUST_USE enum bk_err relay_client_note_preferred(struct relay_client *c, bool preferred);

bool relay_client_is_connected(const struct relay_client *c);
/* Our own address: the public half of config.secret. */
const uint8_t *relay_client_key(const struct relay_client *c);

#endif
