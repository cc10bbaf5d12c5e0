/* SPDX-License-Identifier: MIT
 * Frames of the relay protocol (DERP, protocol version 2): one byte type, four bytes length (big
 * endian, not counting these five), payload. There is no RFC; the format follows the Go
 * implementation, whose unmodified client and server are the interoperation tests.
 *
 * A type that is not known is no error: it is parsed as DERP_UNKNOWN and skipped, which is how the
 * protocol grows. Payloads may likewise be longer than this version knows; the rest is ignored
 * except where a field's comment says the length is exact. */
#ifndef WIRE_DERP_H
#define WIRE_DERP_H

#include "wire/writer.h"
#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DERP_VERSION = 2,
    DERP_HEADER_LEN = 5,
    DERP_KEY_LEN = 32,
    DERP_MAGIC_LEN = 8,
    DERP_PING_LEN = 8,
    DERP_PING_MAX = 1000,        /* a server reads pings up to this long and echoes 8 bytes */
    DERP_QUIET_LEN = 16,         /* of a ping or pong that speaks of quiet */
    DERP_QUIET_MAX_S = 7200,     /* RFC 5382 REQ-5: NATs keep idle TCP for 2 h 4 min at best */
    DERP_PACKET_MAX = 65536,     /* data of one packet; more closes the connection */
    DERP_FRAME_MAX = 1 << 20,    /* no frame is longer: the Go client refuses more */
    DERP_INFO_BOX_MIN = 24 + 16, /* nonce and authenticator around an empty text */
    DERP_DISCO_MAGIC_LEN = 6,
    /* The first byte of bodkin's own signalling packets. RFC 7983 and RFC 9443 leave 4..15 to
     * nobody, so it is neither STUN, TURN, DTLS nor QUIC. Relays forward such packets first. */
    DERP_SIGNAL_BYTE = 0x05
};

enum derp_type {
    DERP_SERVER_KEY = 0x01,
    DERP_CLIENT_INFO = 0x02,
    DERP_SERVER_INFO = 0x03,
    DERP_SEND_PACKET = 0x04,
    DERP_RECV_PACKET = 0x05,
    DERP_KEEP_ALIVE = 0x06,
    DERP_NOTE_PREFERRED = 0x07,
    DERP_PEER_GONE = 0x08,
    DERP_PEER_PRESENT = 0x09,
    DERP_FORWARD_PACKET = 0x0a,
    DERP_WATCH_CONNS = 0x10,
    DERP_CLOSE_PEER = 0x11,
    DERP_PING = 0x12,
    DERP_PONG = 0x13,
    DERP_HEALTH = 0x14,
    DERP_RESTARTING = 0x15,
    DERP_UNKNOWN = 0x100 /* any other byte */
};

enum derp_gone { DERP_GONE_DISCONNECTED = 0, DERP_GONE_NOT_HERE = 1 };

enum derp_present { /* bits of PeerPresent's flags */
                    DERP_PRESENT_REGULAR = 1,
                    DERP_PRESENT_MESH = 2,
                    DERP_PRESENT_PROBER = 4,
                    DERP_PRESENT_NOT_IDEAL = 8
};

extern const uint8_t derp_magic[DERP_MAGIC_LEN]; /* "DERP" and a key symbol */

/* A view of one payload: `key`, `key2` and `data` point into the input. Fields that the type does
 * not have are zero. */
struct derp_frame {
    enum derp_type type;
    const uint8_t *key;  /* SERVER_KEY server; CLIENT_INFO client; SEND_PACKET destination;
                            RECV_PACKET source; PEER_GONE, PEER_PRESENT, CLOSE_PEER peer;
                            FORWARD_PACKET source */
    const uint8_t *key2; /* FORWARD_PACKET destination */
    const uint8_t *data; /* *_PACKET data; *_INFO nonce and box; PING, PONG the 8 bytes; HEALTH
                            text, not NUL-terminated; UNKNOWN everything */
    size_t len;          /* of `data` */
    uint8_t flag;        /* NOTE_PREFERRED 0 or 1; PEER_GONE reason; PEER_PRESENT flags */
    struct bk_addr addr; /* PEER_PRESENT; family BK_FAMILY_NONE when the frame has none */
    uint32_t reconnect_ms, try_ms; /* RESTARTING */
    uint32_t quiet_s; /* PING and PONG of bodkin's, see derp_put_quiet_ping(); 0: not there */
};

struct derp_header {
    enum derp_type type;
    uint32_t len; /* of the payload that follows */
};

/* Reads the five bytes in front of every frame. BK_ERR_SHORT: fewer than five. BK_ERR_TOO_LONG: the
 * payload would exceed DERP_FRAME_MAX; the stream is of no use any more. */
BK_MUST_USE enum bk_err derp_header_parse(const uint8_t *data, size_t len, struct derp_header *out);
/* Reads the whole payload of a frame. BK_ERR_SHORT: shorter than its type requires.
 * BK_ERR_MALFORMED: wrong magic, an exact length missed. BK_ERR_TOO_LONG: over the type's limit. */
BK_MUST_USE enum bk_err derp_body_parse(enum derp_type type, const uint8_t *body, size_t len,
                                        struct derp_frame *out);
/* Both of the above. BK_ERR_SHORT also while the frame is not complete; `*used` is the length of
 * header and payload. */
BK_MUST_USE enum bk_err derp_parse(const uint8_t *data, size_t len, struct derp_frame *out,
                                   size_t *used);

/* Is `data` a packet that relays put before bulk data: a disco message ("TS" and a speech balloon)
 * or bodkin's signalling? */
bool derp_is_disco(const uint8_t *data, size_t len);
bool derp_is_urgent(const uint8_t *data, size_t len);

/* Writers append one whole frame; check w->failed when done. */
void derp_put_header(struct wire_writer *w, enum derp_type type, size_t len);
void derp_put_server_key(struct wire_writer *w, const uint8_t key[DERP_KEY_LEN]);
void derp_put_client_info(struct wire_writer *w, const uint8_t key[DERP_KEY_LEN],
                          const uint8_t *box, size_t len);
void derp_put_server_info(struct wire_writer *w, const uint8_t *box, size_t len);
void derp_put_send_packet(struct wire_writer *w, const uint8_t dst[DERP_KEY_LEN],
                          const uint8_t *data, size_t len);
void derp_put_recv_packet(struct wire_writer *w, const uint8_t src[DERP_KEY_LEN],
                          const uint8_t *data, size_t len);
void derp_put_forward_packet(struct wire_writer *w, const uint8_t src[DERP_KEY_LEN],
                             const uint8_t dst[DERP_KEY_LEN], const uint8_t *data, size_t len);
void derp_put_keep_alive(struct wire_writer *w);
void derp_put_note_preferred(struct wire_writer *w, bool preferred);
void derp_put_peer_gone(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN],
                        enum derp_gone reason);
void derp_put_peer_present(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN],
                           const struct bk_addr *addr, uint8_t flags);
void derp_put_watch_conns(struct wire_writer *w);
void derp_put_close_peer(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN]);
void derp_put_ping(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN]);
void derp_put_pong(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN]);
/* Pings may be longer than what is echoed (DERP_PING_MAX), and nobody else looks at the rest. Ours
 * may say: for `quiet_s` seconds nothing needs to be sent to keep this connection alive, because we
 * see to that. A server that agrees says so in the pong; others send their KeepAlive every minute.
 */
void derp_put_quiet_ping(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN],
                         uint32_t quiet_s);
void derp_put_quiet_pong(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN],
                         uint32_t quiet_s);
void derp_put_health(struct wire_writer *w, const char *text, size_t len);
void derp_put_restarting(struct wire_writer *w, uint32_t reconnect_ms, uint32_t try_ms);

#endif
