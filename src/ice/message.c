/* SPDX-License-Identifier: MIT */
#include "ice/message.h"

#include "stun/seal.h"

#include <string.h>

enum {
    /* MESSAGE-INTEGRITY and FINGERPRINT, which follow everything else */
    SEAL_LEN = 4 + 20 + 4 + 4
};

static void put_username(struct stun_builder *b, const struct ice_check_message *m) {
    size_t theirs = strlen(m->remote.ufrag), ours = strlen(m->local.ufrag);
    uint8_t *p = stun_put_room(b, STUN_USERNAME, theirs + 1 + ours);
    if (p == NULL)
        return;
    memcpy(p, m->remote.ufrag, theirs); /* RFC 8445 section 7.2.2: the receiver's comes first */
    p[theirs] = ':';
    memcpy(p + theirs + 1, m->local.ufrag, ours);
}

static void put_filler(struct stun_builder *b, size_t pad_to) {
    size_t without = b->w.len + 4 + SEAL_LEN;
    if (pad_to <= without)
        return;
    size_t len = (pad_to - without) & ~(size_t)3;
    uint8_t *p = stun_put_room(b, ICE_ATTR_FILLER, len);
    if (p != NULL)
        memset(p, 0, len);
}

/* RFC 8445 section 7.2.4: with FINGERPRINT, always. */
static void put_seal(struct stun_builder *b, const char *pwd) {
    stun_put_integrity(b, pwd, strlen(pwd));
    stun_put_fingerprint(b);
}

/* RFC 8445 sections 7.1.1 and 7.1.3: every check says its priority and our role. */
enum bk_err ice_build_check(const struct ice_check_message *m, void *buf, size_t cap, size_t *len) {
    struct stun_builder b = stun_start(buf, cap, STUN_REQUEST, STUN_BINDING, m->txid);
    put_username(&b, m);
    stun_put_u32(&b, STUN_PRIORITY, m->priority);
    stun_put_u64(&b, m->role.controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED,
                 m->role.tie_breaker);
    if (m->use_candidate)
        stun_put_flag(&b, STUN_USE_CANDIDATE);
    if (m->use_candidate && m->nomination != 0)
        stun_put_u32(&b, ICE_ATTR_NOMINATION, m->nomination);
    put_filler(&b, m->pad_to);
    put_seal(&b, m->remote.pwd);
    return stun_finish(&b, len);
}

/* RFC 8489 section 14.8 and RFC 8445 section 16.2 name the phrases. */
static const char *reason_of(uint16_t code) {
    if (code == STUN_CODE_ROLE_CONFLICT)
        return "Role Conflict";
    return code == STUN_CODE_UNKNOWN_ATTRIBUTE ? "Unknown Attribute" : "Bad Request";
}

enum bk_err ice_build_answer(const struct ice_answer_message *m, void *buf, size_t cap,
                             size_t *len) {
    enum stun_class cls = m->code == 0 ? STUN_SUCCESS : STUN_ERROR;
    struct stun_builder b = stun_start(buf, cap, cls, STUN_BINDING, m->txid);
    if (m->code == 0)
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &m->mapped);
    else
        stun_put_error(&b, m->code, reason_of(m->code));
    if (m->code == STUN_CODE_UNKNOWN_ATTRIBUTE && m->unknown != NULL)
        stun_put_unknown(&b, m->unknown);
    put_seal(&b, m->local.pwd); /* RFC 8489 section 9.1.3: the key of the request */
    return stun_finish(&b, len);
}

/* A counter that breaks its format is no counter: the attribute is optional and from a draft. */
static uint32_t read_nomination(const struct stun_msg *msg) {
    uint32_t counter = 0;
    enum bk_err err = stun_get_u32(msg, ICE_ATTR_NOMINATION, &counter);
    return err == BK_OK ? counter : 0;
}

static enum bk_err read_role(const struct stun_msg *msg, struct ice_request *out) {
    bool controlling = stun_has(msg, STUN_ICE_CONTROLLING);
    bool controlled = stun_has(msg, STUN_ICE_CONTROLLED);
    if (controlling && controlled)
        return BK_ERR_MALFORMED;
    out->has_role = controlling || controlled;
    out->role.controlling = controlling;
    if (!out->has_role)
        return BK_OK;
    return stun_get_u64(msg, controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED,
                        &out->role.tie_breaker);
}

enum bk_err ice_read_request(const struct stun_msg *msg, struct ice_request *out) {
    struct ice_request r = {.txid = msg->txid,
                            .use_candidate = stun_has(msg, STUN_USE_CANDIDATE),
                            .nomination = read_nomination(msg)};
    enum bk_err err = stun_get_u32(msg, STUN_PRIORITY, &r.priority);
    if (err != BK_OK && err != BK_ERR_NOT_FOUND)
        return BK_ERR_MALFORMED;
    r.has_priority = err == BK_OK;
    if (read_role(msg, &r) != BK_OK)
        return BK_ERR_MALFORMED;
    *out = r;
    return BK_OK;
}
