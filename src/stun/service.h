/* SPDX-License-Identifier: MIT
 * Binding server, RFC 8489 section 2: tells who asks from which address it was heard. Stateless:
 * one packet in, at most one out, over UDP or (one frame at a time, wire/stun_stream.h) TCP and
 * TLS.
 *
 * It is no amplifier: the answer's payload is never more than 1.6 times the request's, except that
 * 20 bytes asking over IPv6 need 44; counted with IP and UDP headers that is 1.35. It carries no
 * SOFTWARE. FINGERPRINT is in the answer if and only if it was in the request. */
#ifndef STUN_SERVICE_H
#define STUN_SERVICE_H

#include "wire/stun.h"

enum { STUN_SERVICE_REPLY_MAX = 96 }; /* no answer is longer */

/* What became of a packet. The first two are answers. */
enum stun_service_result {
    STUN_SERVICE_MAPPED,            /* success response */
    STUN_SERVICE_UNKNOWN_ATTRIBUTE, /* 420, RFC 8489 section 6.3.1 */
    STUN_SERVICE_DROP_NOT_STUN,     /* another protocol, RFC 3489, or a wrong FINGERPRINT */
    STUN_SERVICE_DROP_MALFORMED,    /* STUN, but cut short or wrong */
    STUN_SERVICE_DROP_NOT_REQUEST,  /* indications and responses get no answer */
    STUN_SERVICE_DROP_METHOD,       /* not Binding: silence, RFC 8489 section 6.3 */
    STUN_SERVICE_DROP_SOURCE,       /* port 0, or an address that cannot be answered */
    STUN_SERVICE_RESULTS
};

struct stun_service {
    uint64_t counts[STUN_SERVICE_RESULTS];
};

static inline bool stun_service_answered(enum stun_service_result result) {
    return result <= STUN_SERVICE_UNKNOWN_ATTRIBUTE;
}

/* A word for logs and metrics: "mapped", "not_stun" ... */
const char *stun_service_result_name(enum stun_service_result result);

/* Answers `in`, one datagram and not a train of them, into `buf` of STUN_SERVICE_REPLY_MAX bytes.
 * If stun_service_answered(result), *reply is the datagram to send: from in->local to in->remote,
 * data in `buf`. Otherwise *reply is untouched. */
enum stun_service_result stun_service_answer(struct stun_service *s, const struct bk_datagram *in,
                                             uint8_t buf[STUN_SERVICE_REPLY_MAX],
                                             struct bk_datagram *reply);

#endif
