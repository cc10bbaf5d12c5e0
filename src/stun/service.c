/* SPDX-License-Identifier: MIT */
#include "stun/service.h"

#include "base/assert.h"
#include "stun/seal.h"

const char *stun_service_result_name(enum stun_service_result result) {
    static const char *const names[STUN_SERVICE_RESULTS] = {
        [STUN_SERVICE_MAPPED] = "mapped",
        [STUN_SERVICE_UNKNOWN_ATTRIBUTE] = "unknown_attribute",
        [STUN_SERVICE_DROP_NOT_STUN] = "not_stun",
        [STUN_SERVICE_DROP_MALFORMED] = "malformed",
        [STUN_SERVICE_DROP_NOT_REQUEST] = "not_request",
        [STUN_SERVICE_DROP_METHOD] = "method",
        [STUN_SERVICE_DROP_SOURCE] = "source",
    };
    return result < STUN_SERVICE_RESULTS ? names[result] : "unknown";
}

/* An answer to such a source would go to many, or to nobody. */
static bool can_be_answered(const struct bk_addr *from) {
    return from->port != 0 && bk_ip_scope(&from->ip) != BK_SCOPE_NONE;
}

/* Everything short of an answer; *unknown is what the answer has to complain of. */
static enum stun_service_result judge(const struct bk_datagram *in, struct stun_msg *m,
                                      struct stun_types *unknown) {
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
    if (!can_be_answered(&in->remote))
        return STUN_SERVICE_DROP_SOURCE;
    stun_unknown_required(m, STUN_USE_BASE, unknown);
    return unknown->count > 0 ? STUN_SERVICE_UNKNOWN_ATTRIBUTE : STUN_SERVICE_MAPPED;
}

/* The reason phrase is for people and goes first when the answer would outgrow 1.6 requests: with
 * it 28 bytes plus the list, without it 8. */
static void put_unknown(struct stun_builder *b, const struct stun_types *unknown,
                        size_t request_len) {
    size_t list_len = 4 + ((2 * unknown->count + 3) & ~(size_t)3);
    size_t with_reason = STUN_HEADER_LEN + 28 + list_len + 8;
    bool fits = with_reason * 10 <= request_len * 16;
    stun_put_error(b, STUN_CODE_UNKNOWN_ATTRIBUTE, fits ? "Unknown Attribute" : NULL);
    stun_put_unknown(b, unknown);
}

enum stun_service_result stun_service_answer(struct stun_service *s, const struct bk_datagram *in,
                                             uint8_t buf[STUN_SERVICE_REPLY_MAX],
                                             struct bk_datagram *reply) {
    struct stun_msg m;
    struct stun_types unknown;
    struct stun_builder b;
    size_t len = 0;
    enum stun_service_result result = judge(in, &m, &unknown);
    s->counts[result]++;
    if (!stun_service_answered(result))
        return result;
    if (result == STUN_SERVICE_MAPPED) {
        struct bk_addr from = in->remote;
        bk_ip_unmap(&from.ip); /* a dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d */
        b = stun_start_reply(buf, STUN_SERVICE_REPLY_MAX, STUN_SUCCESS, &m);
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &from);
    } else {
        b = stun_start_reply(buf, STUN_SERVICE_REPLY_MAX, STUN_ERROR, &m);
        put_unknown(&b, &unknown, in->len);
    }
    if (m.fingerprint_at != 0) /* RFC 8489 section 7 */
        stun_put_fingerprint(&b);
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK); /* STUN_SERVICE_REPLY_MAX is the sum of the longest parts */
    const struct bk_datagram d = {
        .local = in->local, .remote = in->remote, .data = buf, .len = len};
    *reply = d;
    return result;
}
