/* SPDX-License-Identifier: MIT
 * One QUIC connection (RFC 9000) between two peers who know each other's Ed25519 key: a sans-IO
 * shell around ngtcp2 and GnuTLS. TLS 1.3 with raw public keys (RFC 7250) on both sides; a peer
 * that cannot prove the expected key is refused during the handshake.
 *
 * - QUIC sees one virtual path for its whole life and never migrates. The session decides which
 *   real path carries the datagrams and may change its mind between any two calls.
 * - In: quic_recv() or quic_recv_train(), quic_advance(). Out: quic_next_train() until it gives 0
 *   bytes, quic_next_event() until false, quic_deadline(). Drain after every call that puts
 *   something in (write, consume, datagram, close, nudge included). Spurious and late
 *   quic_advance() calls are harmless; a `now` earlier than the last one counts as the last one.
 * - Streams are named by their QUIC id and are bidirectional. What is written is copied and kept
 *   until acknowledged; what arrives is kept until consumed. Buffers grow in chunks as data comes
 *   and are bounded by the limits in the config. */
#ifndef PEER_QUIC_H
#define PEER_QUIC_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <peer/identity.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quic;

enum {
    QUIC_TAG_LEN = 4,
    QUIC_BINDING_LEN = 16,
    QUIC_PAYLOAD_MIN = 1200, /* every path must carry this much, RFC 9000 section 14 */
    QUIC_PAYLOAD_MAX = 1452, /* 1500 less IPv6 and UDP headers */
    QUIC_TRAIN_MAX = 65000,  /* bytes of one train: fits a UDP_SEGMENT send */
    QUIC_REASON_MAX = 256    /* a close reason, with its NUL */
};

enum quic_congestion { QUIC_CUBIC, QUIC_BBR };

struct quic_config {
    bool server;                     /* the ICE controlling side is the client */
    const struct identity *identity; /* copied into GnuTLS during quic_new */
    struct peer_key peer;            /* the only key we accept on the other side */
    struct bk_rng rng;               /* kept: its ctx must outlive the object */
    struct bk_alloc alloc;           /* kept; used by _new, _free and for stream buffers */

    /* Every connection ID we issue starts with local_tag (big-endian), so an endpoint can give a
     * datagram to the right connection by quic_tag(); the client's first ID starts with
     * remote_tag. Each side chooses its tag and tells the other by signalling. */
    uint32_t local_tag, remote_tag;
    /* Agreed by sealed signalling. The client's first connection ID carries it, and the server
     * ignores first packets that do not: nobody else can make it spend a handshake. */
    uint8_t binding[QUIC_BINDING_LEN];
    /* The server may open streams and write before the client's Finished arrived (0.5-RTT). Only
     * for a client that signalling has authenticated already. */
    bool early_server_data;

    uint32_t handshake_timeout_ms; /* 30000 */
    uint32_t idle_timeout_ms;      /* 60000; 0: never. The smaller of both sides counts */
    uint32_t keep_alive_ms;        /* 0: none. PING after this much silence */
    uint32_t initial_rtt_ms;       /* 333 (RFC 9002 section 6.2.2); tell it when you know better */
    enum quic_congestion congestion; /* CUBIC, RFC 9438 */
    uint32_t streams_max;            /* 256: open at a time, for each side that opens them */
    uint64_t stream_window_max;      /* 32 MiB: unread bytes of one stream, at most */
    uint64_t window_max;             /* 48 MiB: unread bytes of all streams, at most */
    uint64_t stream_send_max;        /* 16 MiB: unacknowledged bytes of one stream */
    uint64_t stream_unsent_max;      /* 1 MiB: of those, bytes not sent even once */
    uint64_t send_max;               /* 48 MiB: unacknowledged bytes of all streams */
    uint32_t datagram_queue_max;     /* 256 KiB of datagrams waiting, for each direction */
};

/* Everything that has a default; identity, peer, rng, alloc and tags are the caller's to fill. */
extern const struct quic_config quic_config_default;

enum quic_event_type {
    QUIC_HANDSHAKE_DONE,  /* the peer proved its key. A client learns only by CLOSED (cause REFUSED)
                             that the server did not accept its own */
    QUIC_STREAM_OPENED,   /* the peer opened `stream` */
    QUIC_STREAM_READABLE, /* quic_stream_peek has new bytes, or the end */
    QUIC_STREAM_WRITABLE, /* a write that was cut short can go on */
    QUIC_STREAM_RESET,    /* the peer gave up sending (`code`); unread bytes are gone */
    QUIC_STREAM_STOPPED,  /* the peer does not want our bytes: writes take nothing more. Noticed
                             when there is something to send */
    QUIC_STREAM_CLOSED,   /* both directions ended and everything is read: `stream` is forgotten */
    QUIC_DATAGRAM,        /* quic_datagram_peek has something */
    QUIC_STREAMS_ALLOWED, /* quic_stream_open said BK_ERR_FULL and may succeed now */
    QUIC_CLOSED           /* the connection has ended: see the fields below. Comes once, last. What
                             streams have received can still be read */
};

struct quic_event {
    enum quic_event_type type;
    int64_t stream;
    uint64_t code; /* stream events: application error code; CLOSED: application or QUIC code */
    /* QUIC_CLOSED only: */
    enum bk_err cause;  /* BK_OK: closed by an application code. BK_ERR_AUTH: the peer has another
                           key than expected. BK_ERR_REFUSED: the peer expects another key than
                           ours. BK_ERR_TIMEOUT: silence, or handshake too slow. BK_ERR_MALFORMED:
                           a protocol error. BK_ERR_CLOSED: the peer lost its state */
    bool remote;        /* the peer closed */
    const char *reason; /* text for people, never NULL; valid as long as the object */
};

struct quic_stats {
    int64_t srtt_us, min_rtt_us, rttvar_us; /* 0 before the first sample */
    uint64_t cwnd, bytes_in_flight, ssthresh;
    uint64_t bytes_sent, bytes_received; /* UDP payload */
    uint64_t packets_sent, packets_received;
    uint64_t packets_lost; /* packets with stream data that were declared lost */
    uint64_t stream_bytes_sent, stream_bytes_acked, stream_bytes_received;
    uint64_t datagrams_sent, datagrams_received;
    uint64_t datagrams_lost;    /* sent, and declared lost */
    uint64_t datagrams_dropped; /* by our own full queues, or too long for the path */
    uint64_t packets_dropped;   /* received, not for this connection or not readable */
    uint64_t buffered_send, buffered_receive;
    uint32_t streams_open;
};

/* The connection. A client has its first packet ready at once; a server waits for one.
 * BK_ERR_ARGUMENT: a limit of the config is out of range, or identity is missing.
 * BK_ERR_NO_MEMORY. BK_ERR_UNSUPPORTED: the TLS library refuses our key type. */
BK_MUST_USE enum bk_err quic_new(const struct quic_config *config, struct bk_time now,
                                 struct quic **out);
void quic_free(struct quic *q);

/* Does `data` look like a QUIC packet with one of our connection IDs (bit 0x40 set, RFC 9443)?
 * Then *tag is the tag it carries. No secret is needed: for the endpoint's first look. */
bool quic_tag(const uint8_t *data, size_t len, uint32_t *tag);

/* One UDP payload. BK_OK: the peer sent it, so the path it came by works.
 * BK_ERR_NOT_OURS: not a packet for this connection, or one that cannot be decrypted (yet): it
 * proves nothing; counted. BK_ERR_MALFORMED: the peer broke the protocol; the connection is
 * closing. BK_ERR_CLOSED: the connection has ended already. */
BK_MUST_USE enum bk_err quic_recv(struct quic *q, const uint8_t *data, size_t len,
                                  struct bk_time now);
/* A train as UDP_GRO gives it: payloads of `segment` bytes, the last may be shorter; 0: one
 * payload. Reads all of them; returns the first error. */
BK_MUST_USE enum bk_err quic_recv_train(struct quic *q, const uint8_t *data, size_t len,
                                        size_t segment, struct bk_time now);
void quic_advance(struct quic *q, struct bk_time now);
struct bk_time quic_deadline(const struct quic *q);

/* Fills `buf` with a train of packets of *segment bytes, the last may be shorter: one UDP_SEGMENT
 * send. *segment is 0 for a single packet. No packet exceeds payload_max (QUIC_PAYLOAD_MIN ..
 * QUIC_PAYLOAD_MAX: what the path carries now; values outside are pulled in). cap >= payload_max.
 * Returns false when there is nothing to send now (pacing and congestion control included: then
 * quic_deadline() tells when to ask again). */
bool quic_next_train(struct quic *q, uint8_t *buf, size_t cap, size_t payload_max,
                     struct bk_time now, size_t *len, size_t *segment);
/* The next thing to tell; false: none. */
bool quic_next_event(struct quic *q, struct quic_event *out);

/* True between HANDSHAKE_DONE and the end. */
bool quic_is_established(const struct quic *q);
/* True when the connection has ended and needs no more packets: free it. After quic_close() or the
 * peer's close that takes three probe timeouts (RFC 9000 section 10.2). */
bool quic_is_finished(const struct quic *q);

/* Closes with an application code and a reason (cut to QUIC_REASON_MAX; may be NULL). Data not yet
 * acknowledged is lost. The event QUIC_CLOSED follows, with remote = false. */
void quic_close(struct quic *q, uint64_t code, const char *reason, struct bk_time now);

/* The path was silent and works again, or has changed: fire the probe timeout now instead of
 * waiting for its doubled-up pause. The next train carries up to two packets of the oldest
 * unacknowledged data, whatever the congestion window says; the peer's answer starts the rest.
 * Harmless without data in flight. */
void quic_nudge(struct quic *q, struct bk_time now);

/* --- streams --- */

/* Opens a stream. BK_ERR_STATE: too early, or the connection has ended. BK_ERR_FULL: streams_max
 * (ours or the peer's) is reached; the event STREAMS_ALLOWED follows when that changes. */
BK_MUST_USE enum bk_err quic_stream_open(struct quic *q, int64_t *id);
/* Takes as many bytes as the limits allow and returns how many; when fewer than `len`, the event
 * STREAM_WRITABLE follows. 0 also for unknown, finished, stopped and reset streams. */
size_t quic_stream_write(struct quic *q, int64_t id, const void *data, size_t len);
/* How many bytes quic_stream_write would take now. */
size_t quic_stream_room(const struct quic *q, int64_t id);
/* No more bytes will be written; the peer sees the end after the last one. Idempotent.
 * BK_ERR_NOT_FOUND: no such stream. BK_ERR_STATE: reset or stopped. */
BK_MUST_USE enum bk_err quic_stream_finish(struct quic *q, int64_t id);
/* The longest contiguous run of unread bytes; valid until the next call on `q`. True with
 * *len == 0: the end (peer's finish) is reached. False: nothing to read now, or no such stream. */
bool quic_stream_peek(const struct quic *q, int64_t id, const uint8_t **data, size_t *len);
/* The first `len` <= peeked bytes are done with: the peer may send as many more. */
void quic_stream_consume(struct quic *q, int64_t id, size_t len);
/* Gives up sending: what was not delivered is lost, the peer sees STREAM_RESET. */
void quic_stream_reset(struct quic *q, int64_t id, uint64_t code);
/* Gives up reading: drops unread bytes, the peer sees STREAM_STOPPED. */
void quic_stream_stop(struct quic *q, int64_t id, uint64_t code);
/* Bytes written and not yet acknowledged by the peer's transport. */
uint64_t quic_stream_unacked(const struct quic *q, int64_t id);

/* --- datagrams, RFC 9221: unreliable, unordered --- */

/* The longest datagram that fits a packet of payload_max bytes. */
size_t quic_datagram_max(size_t payload_max);
/* Queues one. BK_ERR_FULL: the queue is; drop it or try after the next train. BK_ERR_TOO_LONG: no
 * path carries it. BK_ERR_STATE: before the handshake, or ended. BK_ERR_UNSUPPORTED: the peer does
 * not take datagrams. One that does not fit payload_max when its turn comes is dropped, counted. */
BK_MUST_USE enum bk_err quic_datagram_send(struct quic *q, const void *data, size_t len);
/* The oldest received one; valid until the next call on `q`. */
bool quic_datagram_peek(const struct quic *q, const uint8_t **data, size_t *len);
void quic_datagram_drop(struct quic *q);

void quic_stats(const struct quic *q, struct quic_stats *out);
/* Smoothed round trip and its variation, of quic_stats() but cheap; 0 before the first sample. */
void quic_rtt(const struct quic *q, int64_t *srtt_us, int64_t *rttvar_us);

#endif
