/* SPDX-License-Identifier: MIT
 * Requests: who asks, and what of. Nothing is looked at but the credential until that is proved. */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/wipe.h"
#include "stun/seal.h"

enum { AMPLIFY_TENTHS = 26 };

static bool is_ours(uint16_t method) {
    return method == TURN_ALLOCATE || method == TURN_REFRESH || method == TURN_CREATE_PERMISSION ||
           method == TURN_CHANNEL_BIND || method == TURN_METHOD_CONNECT ||
           method == TURN_CONNECTION_BIND;
}

/* Ends the message under way and makes it the datagram to be sent. */
static void send(struct turn_service *s, struct turn_ask *ask) {
    size_t len = 0;
    if (ask->m.fingerprint_at != 0)
        stun_put_fingerprint(&ask->b);
    enum bk_err err = stun_finish(&ask->b, &len);
    bk_assert(err == BK_OK);
    const struct bk_datagram out = {.local = ask->in->local,
                                    .remote = ask->in->remote,
                                    .data = s->buf,
                                    .len = len,
                                    .protocol = ask->in->protocol};
    s->out = out;
    s->has_out = true;
}

void turn_answer_start(struct turn_service *s, struct turn_ask *ask) {
    ask->b = stun_start_reply(s->buf, TURN_OUT_MAX, STUN_SUCCESS, &ask->m);
}

void turn_answer_send(struct turn_service *s, struct turn_ask *ask) {
    static const char software[] = "bodkin";
    if (ask->m.method == TURN_ALLOCATE || ask->m.method == TURN_REFRESH)
        stun_put_bytes(&ask->b, STUN_SOFTWARE, software, sizeof software - 1); /* section 5 */
    stun_claim_sign(&ask->claim, &ask->b, &ask->user.key);
    send(s, ask);
}

void turn_answer_error_start(struct turn_service *s, struct turn_ask *ask, uint16_t code) {
    s->counts[code == STUN_CODE_FORBIDDEN ? TURN_COUNT_FORBIDDEN : TURN_COUNT_REFUSED]++;
    ask->b = stun_start_reply(s->buf, TURN_OUT_MAX, STUN_ERROR, &ask->m);
    stun_put_error(&ask->b, code, NULL);
}

void turn_answer_error(struct turn_service *s, struct turn_ask *ask, uint16_t code) {
    if (code == STUN_CODE_FORBIDDEN)
        turn_refuse(s, ask, TURN_RULE_PEER, code);
    if (code == TURN_CODE_WRONG_CREDENTIALS)
        turn_refuse(s, ask, TURN_RULE_OTHER_USER, code);
    turn_answer_error_start(s, ask, code);
    turn_answer_send(s, ask);
}

/* What an unproved request gets must not be worth forging its source for. */
static bool is_amplifier(const struct turn_service *s, const struct bk_datagram *in) {
    size_t headers = in->remote.ip.family == BK_IPV6 ? 48 : 28;
    return in->protocol == BK_UDP &&
           (s->out.len + headers) * 10 > (in->len + headers) * AMPLIFY_TENTHS;
}

/* A stream's address is its own; a datagram's may be a victim's. */
static bool is_too_often(struct turn_service *s, const struct bk_datagram *in) {
    struct bk_ip ip = in->remote.ip;
    bk_ip_unmap(&ip);
    return in->protocol != BK_TCP && in->protocol != TURN_DTLS && s->config.throttle != NULL &&
           !throttle_take(s->config.throttle, &ip, s->now);
}

static void answer_unproved(struct turn_service *s, struct turn_ask *ask, uint16_t code) {
    if (is_too_often(s, ask->in)) {
        s->counts[TURN_COUNT_DROP_THROTTLED]++;
        return;
    }
    ask->b = stun_start_reply(s->buf, TURN_OUT_MAX, STUN_ERROR, &ask->m);
    stun_put_error(&ask->b, code, NULL);
    if (code != STUN_CODE_BAD_REQUEST)
        stun_realm_challenge(&s->realm, &ask->b, &ask->in->remote, s->now);
    send(s, ask);
    if (is_amplifier(s, ask->in)) {
        s->has_out = false;
        s->counts[TURN_COUNT_DROP_SMALL]++;
    }
}

/* With the key at hand, or another one that the same name may have. */
static uint16_t verify(const struct turn_users *users, struct turn_ask *ask, bool found) {
    uint16_t code = stun_claim_verify(&ask->claim, &ask->m, found ? &ask->user.key : NULL);
    for (unsigned n = 1; found && code == STUN_CODE_UNAUTHENTICATED && users->another != NULL &&
                         users->another(users->ctx, &ask->claim, n, &ask->user);
         n++)
        code = stun_claim_verify(&ask->claim, &ask->m, &ask->user.key);
    if (code == 0 && ask->user.ended && ask->m.method == TURN_ALLOCATE)
        return STUN_CODE_UNAUTHENTICATED;
    return code;
}

/* RFC 8656 section 7.2: MUST be authenticated by the long-term mechanism. BK_ERR_AUTH: it was not,
 * and has its answer. BK_ERR_UNREACHABLE: whether it is remains to be seen. */
static enum bk_err authenticate(struct turn_service *s, struct turn_ask *ask) {
    const struct turn_users *users = &s->config.users;
    uint16_t code = stun_realm_claim(&s->realm, &ask->m, &ask->in->remote, s->now, &ask->claim);
    enum turn_count count =
        code == STUN_CODE_UNAUTHENTICATED ? TURN_COUNT_CHALLENGED : TURN_COUNT_REFUSED;
    if (code == 0) {
        enum turn_found found = users->find(users->ctx, &ask->claim, &ask->user);
        if (found == TURN_USER_LATER)
            return BK_ERR_UNREACHABLE;
        code = verify(users, ask, found == TURN_USER_FOUND);
        count = code == STUN_CODE_STALE_NONCE ? TURN_COUNT_STALE : TURN_COUNT_UNAUTHORIZED;
        if (code == STUN_CODE_UNAUTHENTICATED) {
            ask->user.id = 0; /* nobody was proved */
            turn_refuse(s, ask, TURN_RULE_CREDENTIALS, code);
        }
    }
    if (code == 0)
        return BK_OK;
    s->counts[count]++;
    answer_unproved(s, ask, code);
    return BK_ERR_AUTH;
}

/* RFC 8489 section 6.3.1, and RFC 8656 section 7.2: DONT-FRAGMENT is unknown to who cannot do it.
 */
static bool has_unknown(struct turn_service *s, struct turn_ask *ask) {
    struct stun_types unknown;
    stun_unknown_required(&ask->m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    if (!s->config.dont_fragment && stun_has(&ask->m, TURN_DONT_FRAGMENT) &&
        unknown.count < STUN_UNKNOWN_MAX)
        unknown.types[unknown.count++] = TURN_DONT_FRAGMENT;
    if (unknown.count == 0)
        return false;
    s->counts[TURN_COUNT_REFUSED]++;
    ask->b = stun_start_reply(s->buf, TURN_OUT_MAX, STUN_ERROR, &ask->m);
    stun_put_error(&ask->b, STUN_CODE_UNKNOWN_ATTRIBUTE, NULL);
    stun_put_unknown(&ask->b, &unknown);
    turn_answer_send(s, ask);
    return true;
}

/* A client whose connection broke (RFC 8016) and that is back on the same 5-tuple. */
static void take_up(struct turn_service *s, const struct turn_ask *ask) {
    struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    if (a->adrift && a->user == ask->user.id) {
        a->adrift = false;
        a->via = s->via;
    }
}

static void dispatch(struct turn_service *s, struct turn_ask *ask) {
    if (ask->alloc != TURN_NONE)
        take_up(s, ask);
    if (ask->m.method == TURN_ALLOCATE) {
        turn_do_allocate(s, ask);
        return;
    }
    if (ask->m.method == TURN_CONNECTION_BIND) {
        turn_do_connection_bind(s, ask);
        return;
    }
    /* RFC 8016 section 3.2.2: a ticket stands for the 5-tuple that it was given to */
    if (ask->alloc == TURN_NONE && ask->m.method == TURN_REFRESH &&
        stun_has(&ask->m, TURN_MOBILITY_TICKET) && !turn_do_move(s, ask))
        return;
    /* RFC 8656 section 5: MUST be 437 without an allocation, 441 with another one's user */
    if (ask->alloc == TURN_NONE)
        turn_answer_error(s, ask, TURN_CODE_ALLOCATION_MISMATCH);
    else if (turn_service_alloc(s, ask->alloc)->user != ask->user.id)
        turn_answer_error(s, ask, TURN_CODE_WRONG_CREDENTIALS);
    else if (ask->m.method == TURN_REFRESH)
        turn_do_refresh(s, ask);
    else if (ask->m.method == TURN_CREATE_PERMISSION)
        turn_do_create_permission(s, ask);
    else if (ask->m.method == TURN_METHOD_CONNECT)
        turn_do_connect(s, ask);
    else
        turn_do_channel_bind(s, ask);
}

enum bk_err turn_service_request(struct turn_service *s, const struct bk_datagram *in,
                                 const struct stun_msg *m) {
    struct turn_ask ask = {.in = in, .m = *m, .alloc = TURN_NONE};
    if (!is_ours(m->method) || stun_check_fingerprint(m) == BK_ERR_NOT_OURS)
        return BK_ERR_NOT_OURS;
    enum bk_err err = authenticate(s, &ask);
    if (err == BK_OK) {
        ask.alloc = turn_allocs_find(&s->allocs, in);
        if (!has_unknown(s, &ask))
            dispatch(s, &ask);
    }
    wipe(&ask.user, sizeof ask.user);
    return err == BK_ERR_UNREACHABLE ? err : BK_OK;
}
