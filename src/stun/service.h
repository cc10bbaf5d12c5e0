/* SPDX-License-Identifier: MIT
 * Binding server, RFC 8489 section 2: tells who asks from which address it was heard; with a
 * `discovery`, an RFC 5780 server, too. One packet in, at most one out, over UDP or (one frame at a
 * time, wire/stun_stream.h) TCP and TLS.
 *
 * It is no amplifier. No answer is longer than 1.6 times its request, both counted as packets with
 * their IP and UDP headers (28 bytes, IPv6: 48): that is what a victim's line would carry. Counted
 * as payload alone the same holds, but for two things a client cannot do without:
 * XOR-MAPPED-ADDRESS over IPv6, and OTHER-ADDRESS, which other people's clients want for 20 bytes
 * (44 over IPv4): this a source address gets now and then only, discovery.h says how often. What
 * does not fit is left out, the last first:
 *
 *     XOR-MAPPED-ADDRESS, OTHER-ADDRESS or OTHER-PORT, RESPONSE-ORIGIN, MAPPED-ADDRESS, PADDING
 *
 * so a client that wants more sends more: a request of 44 bytes (IPv6: 76) gets the first four,
 * with FINGERPRINT too one of 40 (72). This departs from RFC 5780 section 6.1, which wants all of
 * them always.
 *
 * It is no reflector: RESPONSE-PORT is obeyed for ports that asked themselves lately and refused
 * with 403 for all others; what leaves by another way than it came is limited per source address
 * (500, RFC 8489 section 14.8: try later). Refusals go back the plain way.
 *
 * It carries no SOFTWARE. FINGERPRINT is in the answer if and only if it was in the request. */
#ifndef STUN_SERVICE_H
#define STUN_SERVICE_H

#include "stun/discovery.h"
#include "stun/throttle.h"
#include "wire/stun.h"

#include <bodkin/time.h>

enum {
    STUN_SERVICE_REPLY_MAX = 1664
}; /* no answer is longer: 1500 bytes of PADDING and the rest */

/* What became of a packet. The first ones, up to 500, are answers. */
enum stun_service_result {
    STUN_SERVICE_MAPPED,            /* success response, from where it was asked */
    STUN_SERVICE_CHANGED,           /* success response from another socket, CHANGE-REQUEST */
    STUN_SERVICE_REDIRECTED,        /* success response to another port, RESPONSE-PORT */
    STUN_SERVICE_UNKNOWN_ATTRIBUTE, /* 420, RFC 8489 section 6.3.1 and RFC 5780 section 6.1 */
    STUN_SERVICE_BAD_REQUEST,       /* 400, RFC 5780 section 6.1: PADDING with RESPONSE-PORT */
    STUN_SERVICE_NOT_ASKED,         /* 403: RESPONSE-PORT names a port that did not ask lately */
    STUN_SERVICE_TOO_OFTEN,         /* 500: too many answers on other ways for one source */
    STUN_SERVICE_DROP_NOT_STUN,     /* another protocol, RFC 3489, or a wrong FINGERPRINT */
    STUN_SERVICE_DROP_MALFORMED,    /* STUN, but cut short or wrong */
    STUN_SERVICE_DROP_NOT_REQUEST,  /* indications and responses get no answer */
    STUN_SERVICE_DROP_METHOD,       /* not Binding: silence, RFC 8489 section 6.3 */
    STUN_SERVICE_DROP_SOURCE,       /* port 0, or an address that cannot be answered */
    STUN_SERVICE_DROP_THROTTLED,    /* its network has had too many answers */
    STUN_SERVICE_RESULTS
};

/* One per thread. All zero is a plain Binding server. */
struct stun_service {
    uint64_t counts[STUN_SERVICE_RESULTS];
    struct stun_discovery *discovery; /* may be shared; not owned; NULL: RFC 8489 only */
    struct throttle *throttle;        /* of answers to datagrams; shared; not owned; NULL: none */
};

static inline bool stun_service_answered(enum stun_service_result result) {
    return result <= STUN_SERVICE_TOO_OFTEN;
}

/* A word for logs and metrics: "mapped", "not_stun" ... */
const char *stun_service_result_name(enum stun_service_result result);

/* Answers `in`, one datagram and not a train of them, into `buf` of STUN_SERVICE_REPLY_MAX bytes.
 * in->local has the address it was sent to, not the wildcard, or nothing can be changed. If
 * stun_service_answered(result), *reply is the datagram to send: from reply->local, which with
 * CHANGED is not in->local, to reply->remote, valid as long as `buf` is. */
enum stun_service_result stun_service_answer(struct stun_service *s, const struct bk_datagram *in,
                                             struct bk_time now,
                                             uint8_t buf[STUN_SERVICE_REPLY_MAX],
                                             struct bk_datagram *reply);
/* The same for a message from a TCP or TLS connection, the limit on length included. There is no
 * other way for its answer: the attributes that ask for one are unknown here, RFC 5780 section 6.
 */
enum stun_service_result
stun_service_answer_stream(struct stun_service *s, const struct bk_datagram *in, struct bk_time now,
                           uint8_t buf[STUN_SERVICE_REPLY_MAX], struct bk_datagram *reply);

#endif
