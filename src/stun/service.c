/* SPDX-License-Identifier: MIT */
#include "stun/service.h"

#include "base/assert.h"
#include "stun/seal.h"

#include <string.h>

enum {
    CHANGE_IP = 4, /* RFC 5780 section 7.2 */
    CHANGE_PORT = 2,
    PADDING_MAX = 1500, /* RFC 5780 section 6.1: the MTU of the outgoing interface */
    FINGERPRINT_LEN = 8
};

const char *stun_service_result_name(enum stun_service_result result) {
    static const char *const names[STUN_SERVICE_RESULTS] = {
        [STUN_SERVICE_MAPPED] = "mapped",
        [STUN_SERVICE_CHANGED] = "changed",
        [STUN_SERVICE_REDIRECTED] = "redirected",
        [STUN_SERVICE_UNKNOWN_ATTRIBUTE] = "unknown_attribute",
        [STUN_SERVICE_BAD_REQUEST] = "bad_request",
        [STUN_SERVICE_NOT_ASKED] = "not_asked",
        [STUN_SERVICE_TOO_OFTEN] = "too_often",
        [STUN_SERVICE_DROP_NOT_STUN] = "not_stun",
        [STUN_SERVICE_DROP_MALFORMED] = "malformed",
        [STUN_SERVICE_DROP_NOT_REQUEST] = "not_request",
        [STUN_SERVICE_DROP_METHOD] = "method",
        [STUN_SERVICE_DROP_SOURCE] = "source",
        [STUN_SERVICE_DROP_THROTTLED] = "throttled",
    };
    return result < STUN_SERVICE_RESULTS ? names[result] : "unknown";
}

/* One request on its way to an answer. */
struct exchange {
    const struct stun_service *service;
    struct stun_msg request;
    struct bk_addr from, local; /* as the client and we are known outside: IPv4 as IPv4 */
    struct bk_addr leave, to;   /* where the answer leaves, and where it goes */
    struct stun_types unknown;
    size_t payload_max; /* of the answer: 1.6 requests, payload alone */
    size_t packet_max;  /* the same, headers counted in */
    struct bk_time now;
    bool stream;
};

/* An answer to such a source would go to many, or to nobody. */
static bool can_be_answered(const struct bk_addr *from) {
    return from->port != 0 && bk_ip_scope(&from->ip) != BK_SCOPE_NONE;
}

/* Everything that is no question for us. MAPPED: it is one. */
static enum stun_service_result judge(struct stun_msg *m, const struct bk_datagram *in) {
    enum bk_err err = stun_parse(m, in->data, in->len);
    if (err == BK_ERR_NOT_OURS)
        return STUN_SERVICE_DROP_NOT_STUN;
    if (err != BK_OK)
        return STUN_SERVICE_DROP_MALFORMED;
    if (stun_check_fingerprint(m) == BK_ERR_NOT_OURS)
        return STUN_SERVICE_DROP_NOT_STUN;
    if (m->cls != STUN_REQUEST)
        return STUN_SERVICE_DROP_NOT_REQUEST;
    if (m->method != STUN_BINDING)
        return STUN_SERVICE_DROP_METHOD;
    return can_be_answered(&in->remote) ? STUN_SERVICE_MAPPED : STUN_SERVICE_DROP_SOURCE;
}

static void refuse_attribute(struct exchange *x, uint16_t type) {
    if (x->unknown.count < STUN_UNKNOWN_MAX)
        x->unknown.types[x->unknown.count++] = type;
}

/* --- which way the answer takes ----------------------------------------------------------------
 */

/* RFC 5780 section 6.1: 420 when there is no socket to change to. It departs for a host with one
 * address, where the RFC wants 420 for every CHANGE-REQUEST: one that does not ask for the other
 * address can be obeyed, and tells a client as much as this host can show. */
static enum stun_service_result change(struct exchange *x) {
    uint32_t flags = 0;
    if (stun_get_u32(&x->request, STUN_CHANGE_REQUEST, &flags) != BK_OK)
        return STUN_SERVICE_MAPPED;
    bool ip = (flags & CHANGE_IP) != 0, port = (flags & CHANGE_PORT) != 0;
    if (stun_discovery_other(x->service->discovery, &x->local, ip, port, &x->leave))
        return ip || port ? STUN_SERVICE_CHANGED : STUN_SERVICE_MAPPED;
    refuse_attribute(x, STUN_CHANGE_REQUEST);
    return STUN_SERVICE_UNKNOWN_ATTRIBUTE;
}

/* RFC 5780 section 7.5. Whoever may send from an address could have answers sent to any port of it:
 * behind a carrier's NAT that is a stranger's. So the port must have asked itself. */
static enum stun_service_result redirect(struct exchange *x) {
    uint16_t port = x->to.port;
    if (stun_get_port(&x->request, STUN_RESPONSE_PORT, &port) != BK_OK || port == x->to.port)
        return STUN_SERVICE_MAPPED;
    if (stun_has(&x->request, STUN_PADDING)) /* RFC 5780 section 6.1 */
        return STUN_SERVICE_BAD_REQUEST;
    const struct bk_addr asker = bk_addr(x->from.ip, port);
    if (!stun_discovery_asked(x->service->discovery, &asker, x->now))
        return STUN_SERVICE_NOT_ASKED;
    x->to.port = port;
    return STUN_SERVICE_REDIRECTED;
}

static enum stun_service_result route(struct exchange *x) {
    struct stun_discovery *d = x->service->discovery;
    enum stun_service_result result = change(x);
    if (!stun_service_answered(result) || result == STUN_SERVICE_UNKNOWN_ATTRIBUTE)
        return result;
    enum stun_service_result redirected = redirect(x);
    if (redirected != STUN_SERVICE_MAPPED)
        result = redirected;
    stun_discovery_note(d, &x->from, x->now);
    if ((result == STUN_SERVICE_CHANGED || result == STUN_SERVICE_REDIRECTED) &&
        !stun_discovery_take(d, STUN_DISCOVERY_DETOUR, &x->from.ip, x->now))
        return STUN_SERVICE_TOO_OFTEN;
    return result;
}

/* RFC 5780 section 6: over a connection there is one way back only. */
static enum stun_service_result refuse_ways(struct exchange *x) {
    static const uint16_t ways[] = {STUN_RESPONSE_PORT, STUN_PADDING};
    uint32_t flags = 0;
    if (stun_get_u32(&x->request, STUN_CHANGE_REQUEST, &flags) == BK_OK && flags != 0)
        refuse_attribute(x, STUN_CHANGE_REQUEST);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (stun_has(&x->request, ways[i]))
            refuse_attribute(x, ways[i]);
    return x->unknown.count > 0 ? STUN_SERVICE_UNKNOWN_ATTRIBUTE : STUN_SERVICE_MAPPED;
}

static enum stun_service_result decide(struct exchange *x) {
    bool discovers = x->service->discovery != NULL;
    stun_unknown_required(
        &x->request, discovers ? STUN_USE_BASE | STUN_USE_DISCOVERY : STUN_USE_BASE, &x->unknown);
    if (x->unknown.count > 0)
        return STUN_SERVICE_UNKNOWN_ATTRIBUTE;
    if (!discovers)
        return STUN_SERVICE_MAPPED;
    return x->stream ? refuse_ways(x) : route(x);
}

/* --- what the answer says ----------------------------------------------------------------------
 */

/* Would one more attribute fit into `max` bytes, FINGERPRINT counted in? */
static bool fits(const struct exchange *x, const struct stun_builder *b, size_t value_len,
                 size_t max) {
    size_t tail = x->request.fingerprint_at != 0 ? FINGERPRINT_LEN : 0;
    return b->w.len + 4 + ((value_len + 3) & ~(size_t)3) + tail <= max;
}

static void put_if_room(const struct exchange *x, struct stun_builder *b, uint16_t type,
                        const struct bk_addr *addr) {
    if (fits(x, b, addr->ip.family == BK_IPV4 ? 8 : 20, x->payload_max))
        stun_put_addr(b, type, addr);
}

/* OTHER-ADDRESS, without which there is no RFC 5780: other people's clients ask for it with 20
 * bytes. The 44 of the answer are fewer than 1.6 requests as packets, but not as payload, so that a
 * source gets them now and then only. */
static void put_other_address(const struct exchange *x, struct stun_builder *b,
                              const struct bk_addr *local) {
    const struct bk_addr other = stun_discovery_outside(x->service->discovery, local);
    size_t len = other.ip.family == BK_IPV4 ? 8 : 20;
    if (fits(x, b, len, x->payload_max) ||
        (fits(x, b, len, x->packet_max) &&
         stun_discovery_take(x->service->discovery, STUN_DISCOVERY_LENGTH, &x->from.ip, x->now)))
        stun_put_addr(b, STUN_OTHER_ADDRESS, &other);
}

static void put_padding(const struct exchange *x, struct stun_builder *b) {
    size_t len = PADDING_MAX;
    while (len > 0 && !fits(x, b, len, x->payload_max))
        len -= 4;
    uint8_t *room = len == 0 ? NULL : stun_put_room(b, STUN_PADDING, len);
    if (room != NULL)
        memset(room, 0, len);
}

static void put_success(const struct exchange *x, struct stun_builder *b) {
    const struct stun_discovery *d = x->service->discovery;
    struct bk_addr other;
    stun_put_addr(b, STUN_XOR_MAPPED_ADDRESS, &x->from);
    if (d == NULL)
        return;
    if (stun_discovery_other(d, &x->local, true, true, &other))
        put_other_address(x, b, &other);
    else if (stun_discovery_other(d, &x->local, false, true, &other) &&
             fits(x, b, 4, x->payload_max))
        stun_put_port(b, STUN_OTHER_PORT, other.port);
    const struct bk_addr origin = stun_discovery_outside(d, &x->leave);
    put_if_room(x, b, STUN_RESPONSE_ORIGIN, &origin);
    put_if_room(x, b, STUN_MAPPED_ADDRESS, &x->from);
    if (stun_has(&x->request, STUN_PADDING))
        put_padding(x, b);
}

/* The reason phrase is for people and goes first when the answer would become too long. */
static void put_error(const struct exchange *x, struct stun_builder *b, uint16_t code,
                      const char *reason) {
    size_t list_len = x->unknown.count == 0 ? 0 : 4 + ((2 * x->unknown.count + 3) & ~(size_t)3);
    bool room = fits(x, b, 4 + strlen(reason) + list_len, x->payload_max);
    stun_put_error(b, code, room ? reason : NULL);
    if (code == STUN_CODE_UNKNOWN_ATTRIBUTE)
        stun_put_unknown(b, &x->unknown);
}

/* Why an answer is none, for those results that are answered with an error; code 0 for others. */
static uint16_t error_of(enum stun_service_result result, const char **reason) {
    switch (result) {
    case STUN_SERVICE_UNKNOWN_ATTRIBUTE:
        *reason = "Unknown Attribute";
        return STUN_CODE_UNKNOWN_ATTRIBUTE;
    case STUN_SERVICE_BAD_REQUEST:
        *reason = "PADDING with RESPONSE-PORT";
        return STUN_CODE_BAD_REQUEST;
    case STUN_SERVICE_NOT_ASKED:
        *reason = "That port did not ask";
        return STUN_CODE_FORBIDDEN;
    case STUN_SERVICE_TOO_OFTEN:
        *reason = "Too often";
        return STUN_CODE_SERVER_ERROR;
    case STUN_SERVICE_MAPPED:
    case STUN_SERVICE_CHANGED:
    case STUN_SERVICE_REDIRECTED:
    case STUN_SERVICE_DROP_NOT_STUN:
    case STUN_SERVICE_DROP_MALFORMED:
    case STUN_SERVICE_DROP_NOT_REQUEST:
    case STUN_SERVICE_DROP_METHOD:
    case STUN_SERVICE_DROP_SOURCE:
    case STUN_SERVICE_DROP_THROTTLED:
    case STUN_SERVICE_RESULTS:
        break;
    }
    return 0;
}

static size_t build(struct exchange *x, enum stun_service_result result, uint8_t *buf) {
    const char *reason = NULL;
    uint16_t code = error_of(result, &reason);
    struct stun_builder b = stun_start_reply(buf, STUN_SERVICE_REPLY_MAX,
                                             code == 0 ? STUN_SUCCESS : STUN_ERROR, &x->request);
    size_t len = 0;
    if (code == 0)
        put_success(x, &b);
    else
        put_error(x, &b, code, reason);
    if (x->request.fingerprint_at != 0) /* RFC 8489 section 7 */
        stun_put_fingerprint(&b);
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK && len <= x->packet_max);
    return len;
}

static struct exchange begin(const struct stun_service *s, const struct bk_datagram *in,
                             bool stream, struct bk_time now) {
    struct exchange x = {
        .service = s, .from = in->remote, .local = in->local, .now = now, .stream = stream};
    bk_ip_unmap(&x.from.ip); /* a dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d */
    bk_ip_unmap(&x.local.ip);
    x.leave = x.local;
    x.to = x.from;
    size_t headers = x.from.ip.family == BK_IPV4 ? 28 : 48;
    x.payload_max = in->len * 16 / 10;
    x.packet_max = (in->len + headers) * 16 / 10 - headers;
    return x;
}

static enum stun_service_result answer(struct stun_service *s, const struct bk_datagram *in,
                                       bool stream, struct bk_time now, uint8_t *buf,
                                       struct bk_datagram *reply) {
    struct exchange x = begin(s, in, stream, now);
    enum stun_service_result result = judge(&x.request, in);
    if (result == STUN_SERVICE_MAPPED && !stream && s->throttle != NULL &&
        !throttle_take(s->throttle, &x.from.ip, now))
        result = STUN_SERVICE_DROP_THROTTLED;
    if (result == STUN_SERVICE_MAPPED)
        result = decide(&x);
    s->counts[result]++;
    if (!stun_service_answered(result))
        return result;
    struct bk_datagram d = {.local = in->local, .remote = in->remote, .data = buf};
    d.len = build(&x, result, buf);
    if (result == STUN_SERVICE_CHANGED || result == STUN_SERVICE_REDIRECTED) {
        d.local = x.leave;
        d.remote.port = x.to.port;
    }
    *reply = d;
    return result;
}

enum stun_service_result stun_service_answer(struct stun_service *s, const struct bk_datagram *in,
                                             struct bk_time now,
                                             uint8_t buf[STUN_SERVICE_REPLY_MAX],
                                             struct bk_datagram *reply) {
    return answer(s, in, false, now, buf, reply);
}

enum stun_service_result
stun_service_answer_stream(struct stun_service *s, const struct bk_datagram *in, struct bk_time now,
                           uint8_t buf[STUN_SERVICE_REPLY_MAX], struct bk_datagram *reply) {
    return answer(s, in, true, now, buf, reply);
}
