/* SPDX-License-Identifier: MIT
 * What two peers tell each other through the relay to set a session up: sealed between their relay
 * keys (box/box.h), so the home server learns nothing but who talks to whom.
 *
 * One idea keeps this small: each side sends its *description*, the whole of what the other side
 * must know of it (ICE credentials, candidates, what it found out about its own network), with a
 * version number. A newer version replaces the older. It is sent again until `ack` shows that it
 * arrived, so loss, repetition and reordering on the relay need no further thought. The first
 * description of a session carries an offer.
 *
 * On the wire: DERP_SIGNAL_BYTE, version 1, then nonce and box. Inside: u8 type, 16 bytes session
 * id, u32 version, u32 ack, then attributes u8 type, u16 length, value; unknown attributes are
 * skipped. Integers are big-endian. */
#ifndef PEER_SIGNAL_H
#define PEER_SIGNAL_H

#include "peer/identity.h"
#include "peer/ticket.h"
#include "punch/punch.h"
#include "wire/derp.h"

#include <bodkin/addr.h>
#include <bodkin/checker.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/nat_traits.h>

enum {
    SIGNAL_FIRST_BYTE = DERP_SIGNAL_BYTE, /* our relay carries such packets first */
    SIGNAL_SESSION_LEN = 16,
    SIGNAL_CANDIDATES_MAX = 24,
    SIGNAL_UFRAG_MAX = 32, /* RFC 8445 section 5.3 allows more; ours are short */
    SIGNAL_PWD_MAX = 64,
    SIGNAL_LEN_MAX = 2048 /* the longest sealed message */
};

enum signal_type {
    SIGNAL_DESCRIBE = 1, /* a description */
    SIGNAL_ACK = 2,      /* nothing new here, only `ack` */
    SIGNAL_REFUSE = 3,   /* the offer is not accepted, see `refusal` */
    SIGNAL_BYE = 4       /* the session is over */
};

/* Why an offer was refused. A secret that is wrong and one that was used already are one answer:
 * telling them apart would tell a guesser that a secret was right. */
enum signal_refusal {
    SIGNAL_REFUSED_TICKET = 1, /* the secret is wrong, used, or no longer valid */
    SIGNAL_REFUSED_PEER = 2,   /* no secret was shown and the peer's key is not on the list */
    SIGNAL_REFUSED_BUSY = 3    /* as many sessions as this peer wants */
};

/* What the session is for. */
enum signal_purpose {
    SIGNAL_PURPOSE_SESSION = 1,
    SIGNAL_PURPOSE_PING = 2 /* measuring only: does not use up a ticket */
};

struct signal_offer {
    struct peer_key key; /* who offers; its relay key must be the packet's source */
    enum signal_purpose purpose;
    bool has_secret;
    uint8_t secret[TICKET_SECRET_LEN];
    uint32_t tag_offerer, tag_answerer; /* first bytes of each side's QUIC connection IDs */
};

/* What a side has found out about its network: the other side explains with it. */
enum signal_udp { SIGNAL_UDP_UNKNOWN = 0, SIGNAL_UDP_WORKS = 1, SIGNAL_UDP_BLOCKED = 2 };
enum signal_mapping {
    SIGNAL_MAPPING_UNKNOWN = 0,
    SIGNAL_MAPPING_SAME = 1,  /* equal towards two ports of the server: EIM or ADM */
    SIGNAL_MAPPING_VARIES = 2 /* differs: address-and-port-dependent, the old "symmetric" */
};

struct signal_description {
    bool has_offer;
    struct signal_offer offer;
    uint8_t generation; /* counts ICE restarts (RFC 8445 section 9) */
    char ufrag[SIGNAL_UFRAG_MAX + 1], pwd[SIGNAL_PWD_MAX + 1];
    struct bk_ice_candidate candidates[SIGNAL_CANDIDATES_MAX];
    size_t candidate_count;
    bool end_of_candidates;
    bool relay_only; /* this side wants no direct path */
    enum signal_udp udp;
    enum signal_mapping mapping;
    bool has_nat;
    struct bk_nat_traits nat; /* what this side's NAT does, as far as it knows */
    bool nat_is_final;        /* it has been looked at: no more will be known soon */
    bool has_punch;
    struct punch_note punch; /* the step of the way through hard NATs that this side is at */
};

struct signal {
    enum signal_type type;
    uint8_t session[SIGNAL_SESSION_LEN];
    uint32_t version; /* of the sender's description; from 1 */
    uint32_t ack;     /* the newest version of the receiver's description that arrived; 0: none */
    struct signal_description description; /* SIGNAL_DESCRIBE */
    enum signal_refusal refusal;           /* SIGNAL_REFUSE */
};

bool signal_is_signal(const uint8_t *data, size_t len);

/* Seals `s` for the peer with relay key `peer`. `out` has room for SIGNAL_LEN_MAX.
 * BK_ERR_TOO_LONG: it does not fit. BK_ERR_ARGUMENT: unusable key. */
BK_MUST_USE enum bk_err signal_seal(const struct signal *s, const struct identity *self,
                                    const uint8_t peer[PEER_KEY_LEN], const struct bk_rng *rng,
                                    uint8_t *out, size_t *len);
/* Opens what signal_seal() made. BK_ERR_NOT_OURS: no signalling packet, or of a newer version.
 * BK_ERR_AUTH: not sealed by `peer` for us. BK_ERR_SHORT, BK_ERR_MALFORMED: a bug of the peer's. */
BK_MUST_USE enum bk_err signal_open(struct signal *out, const struct identity *self,
                                    const uint8_t peer[PEER_KEY_LEN], const uint8_t *data,
                                    size_t len);

/* The plain text inside the box, for signal_seal(), signal_open() and the fuzzer. */
BK_MUST_USE enum bk_err signal_encode(const struct signal *s, uint8_t *out, size_t cap,
                                      size_t *len);
BK_MUST_USE enum bk_err signal_decode(struct signal *out, const uint8_t *data, size_t len);

#endif
