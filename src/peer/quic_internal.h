/* SPDX-License-Identifier: MIT
 * What the quic_*.c files share. Nobody else includes this.
 *
 * Actors and lifetimes. `struct quic` owns one ngtcp2_conn and one GnuTLS session. A server has
 * neither until the client's first packet comes (QUIC_IDLE). ngtcp2 calls us back while it reads
 * packets (quic_callbacks.c); callbacks only change our own structures and never call back into
 * anything that sends. A stream exists from open until its event STREAM_CLOSED is fetched, which
 * may be long after ngtcp2 forgot it: unread bytes are ours.
 *
 * Order of teardown: ngtcp2_conn (it points into stream buffers and calls into the TLS session),
 * TLS session and credentials, streams, pool. */
#ifndef PEER_QUIC_INTERNAL_H
#define PEER_QUIC_INTERNAL_H

#include <base/bytes.h>
#include <base/table.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <peer/quic.h>
#include <peer/quic_compat.h>
#include <peer/quic_fifo.h>

enum {
    QUIC_CID_LEN = 8, /* tag and 4 random bytes: short, since every packet carries it */
    QUIC_FIRST_CID_LEN = QUIC_TAG_LEN + QUIC_BINDING_LEN
};

enum quic_state {
    QUIC_IDLE,     /* server: no packet yet */
    QUIC_OPEN,     /* handshake or established */
    QUIC_LEAVING,  /* client: we closed, but the server may not have our Finished yet */
    QUIC_CLOSING,  /* we closed: answer packets with the close packet, RFC 9000 section 10.2.1 */
    QUIC_DRAINING, /* the peer closed: send nothing, section 10.2.2 */
    QUIC_FINISHED,
    QUIC_STATES
};

/* Bits of quic_stream.pending, lowest first fetched. */
enum {
    PENDING_OPENED = 1,
    PENDING_READABLE = 2,
    PENDING_WRITABLE = 4,
    PENDING_RESET = 8,
    PENDING_STOPPED = 16,
    PENDING_CLOSED = 32
};

enum quic_tx { TX_OPEN, TX_FINISHING, TX_FIN_SENT, TX_ENDED /* reset, stopped or closed */ };
enum quic_rx { RX_OPEN, RX_FIN, RX_ENDED /* reset or stopped: unread bytes are gone */ };

struct quic_stream {
    int64_t id;
    uint32_t slot;
    enum quic_tx tx;
    enum quic_rx rx;
    bool local;        /* we opened it */
    bool forgotten;    /* ngtcp2 has closed it */
    bool want_room;    /* a write was cut short */
    bool flow_blocked; /* the peer's stream window is full */
    bool ready;        /* in the ready ring */
    bool listed;       /* in the event list */
    uint8_t pending;
    uint64_t unsent; /* bytes of `out` behind `mark` */
    struct fifo in, out;
    struct fifo_mark mark;
    uint64_t reset_code, close_code;
    struct quic_stream *ready_next, *ready_prev;
    struct quic_stream *event_next;
};

struct quic {
    struct quic_config config;
    enum quic_state state;
    bool early_keys;     /* 1-RTT keys for sending are there */
    bool handshake_done; /* TLS is complete on our side */
    bool confirmed;      /* and known to be so on the other, RFC 9001 section 4.1.2 */
    bool wrong_peer;     /* the verify callback refused the key */
    bool lost_state;     /* a stateless reset came */
    bool tell_handshake; /* events not yet fetched */
    bool tell_allowed, want_allowed;
    bool tell_closed;
    bool told_closed; /* the last event has been fetched */
    bool want_close_packet;
    bool datagram_turn; /* fairness between datagrams and streams */
    bool tell_datagram;

    ngtcp2_conn *conn;
    ngtcp2_crypto_conn_ref conn_ref;
    gnutls_session_t tls;
    gnutls_certificate_credentials_t cred;
    uint8_t expected_spki[44]; /* the peer's raw public key as it must arrive */
    struct sockaddr_in local_addr, remote_addr;

    struct bk_time origin, now; /* creation; the latest time seen */
    uint64_t warp_ns;           /* what quic_nudge() added to ngtcp2's clock for good */
    struct bk_time close_deadline;
    uint64_t close_answers; /* packets received since the close; answered at powers of two */
    struct quic_event closed;
    char reason[QUIC_REASON_MAX];
    quic_ccerr ccerr;
    uint8_t close_packet[QUIC_PAYLOAD_MAX];
    size_t close_packet_len;

    struct fifo_pool pool;
    struct table by_id;
    struct quic_stream **slots;
    uint32_t slot_count;
    uint32_t local_open; /* streams we opened that are still there */
    struct quic_stream *ready;
    struct quic_stream *event_first, *event_last;
    uint64_t buffered_send;
    uint32_t waiting_for_room; /* streams with want_room */

    struct byteq dgram_in, dgram_out; /* each datagram after its 2-byte length; made when used */
    uint64_t dgram_id;
    struct quic_stats stats;
};

/* quic.c */
void quic_set_state(struct quic *q, enum quic_state next);
uint64_t quic_clock(struct quic *q, struct bk_time now); /* notes `now`, gives ngtcp2's time */

/* quic_conn.c */
void quic_path(struct quic *q, ngtcp2_path *out);
enum bk_err quic_conn_client(struct quic *q, uint64_t ts);
enum bk_err quic_conn_server(struct quic *q, const ngtcp2_pkt_hd *hd, uint64_t ts);

/* quic_close.c */
void quic_leave(struct quic *q);            /* QUIC_LEAVING: starts the close that was waiting */
void quic_fail(struct quic *q, int liberr); /* closes after an ngtcp2 error */
void quic_peer_closed(struct quic *q);      /* ngtcp2 read the peer's close or a stateless reset */
void quic_timed_out(struct quic *q, const char *reason);
/* The packet that tells the peer; 0: none is due. */
size_t quic_close_packet(struct quic *q, uint8_t *buf, size_t cap);

/* quic_tls.c */
enum bk_err quic_tls_init(struct quic *q);
void quic_tls_fini(struct quic *q);

/* quic_callbacks.c */
void quic_callbacks_fill(ngtcp2_callbacks *cb, bool server);
/* How many packets this thread has decrypted: only their difference means something. */
uint64_t quic_packets_opened(void);

/* quic_stream.c */
enum bk_err quic_streams_init(struct quic *q);
void quic_streams_fini(struct quic *q);
struct quic_stream *quic_stream_find(const struct quic *q, int64_t id);
struct quic_stream *quic_stream_add(struct quic *q, int64_t id, bool local);
void quic_stream_free(struct quic *q, struct quic_stream *s);
void quic_stream_tell(struct quic *q, struct quic_stream *s, uint8_t pending);
void quic_stream_ready(struct quic *q, struct quic_stream *s); /* into the ring if it can send */
void quic_stream_unready(struct quic *q, struct quic_stream *s);
bool quic_stream_received(struct quic *q, struct quic_stream *s, const uint8_t *data, size_t len,
                          bool fin);
void quic_stream_acked(struct quic *q, struct quic_stream *s, uint64_t len);
/* `len` bytes of the unsent ones went into a packet, and the end with them if `fin`. */
void quic_stream_sent(struct quic *q, struct quic_stream *s, size_t len, bool fin);
void quic_stream_peer_reset(struct quic *q, struct quic_stream *s, uint64_t code);
void quic_stream_peer_stopped(struct quic *q, struct quic_stream *s);
void quic_stream_forgotten(struct quic *q, struct quic_stream *s, uint64_t code);

/* quic_datagram.c */
void quic_datagram_received(struct quic *q, const uint8_t *data, size_t len);
bool quic_datagram_next_out(const struct quic *q, ngtcp2_vec *out);
void quic_datagram_out_done(struct quic *q);
void quic_datagrams_fini(struct quic *q);

#endif
