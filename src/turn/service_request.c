/* SPDX-License-Identifier: MIT
 * Requests: who asks, and what of. Nothing is looked at but the credential until that is proved. */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/table.h"
#include "base/wipe.h"
#include "stun/seal.h"

#include <string.h>

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

/* A stream's address is its own; a datagram's may be a victim's. */
static bool may_be_forged(const struct bk_datagram *in) {
    return in->protocol != BK_TCP && in->protocol != TURN_DTLS;
}

/* What an unproved request gets must not be worth forging its source for. */
static bool is_amplifier(const struct turn_service *s, const struct bk_datagram *in) {
    size_t headers = in->remote.ip.family == BK_IPV6 ? 48 : 28;
    return may_be_forged(in) && (s->out.len + headers) * 10 > (in->len + headers) * AMPLIFY_TENTHS;
}

static bool is_too_often(struct turn_service *s, const struct bk_datagram *in) {
    struct bk_ip ip = in->remote.ip;
    bk_ip_unmap(&ip);
    return may_be_forged(in) && s->config.throttle != NULL &&
           !throttle_take(s->config.throttle, &ip, s->now);
}

/* Whoever logs in had our challenge, so its source was not forged: it cost nobody anything. Many
 * clients behind one address may come at once. */
static void give_back(struct turn_service *s, const struct turn_ask *ask) {
    struct bk_ip ip = ask->in->remote.ip;
    bk_ip_unmap(&ip);
    if (may_be_forged(ask->in) && s->config.throttle != NULL && ask->m.method == TURN_ALLOCATE)
        throttle_give_back(s->config.throttle, &ip, s->now);
}

/* RFC 7635 section 3; left out where it would make an amplifier of the answer. */
static void offer_tokens(const struct turn_service *s, struct turn_ask *ask) {
    size_t headers = ask->in->remote.ip.family == BK_IPV6 ? 48 : 28;
    size_t tail = ask->m.fingerprint_at != 0 ? 8 : 0, len = strlen(s->config.tokens.server);
    size_t whole = ask->b.w.len + 4 + ((len + 3) & ~(size_t)3) + tail + headers;
    if (!may_be_forged(ask->in) || whole * 10 <= (ask->in->len + headers) * AMPLIFY_TENTHS)
        stun_put_bytes(&ask->b, STUN_THIRD_PARTY_AUTHORIZATION, s->config.tokens.server, len);
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
    if (code == STUN_CODE_UNAUTHENTICATED && s->config.tokens.server != NULL)
        offer_tokens(s, ask);
    send(s, ask);
    if (is_amplifier(s, ask->in)) {
        s->has_out = false;
        s->counts[TURN_COUNT_DROP_SMALL]++;
    }
}

/* With the key at hand, or another one that the same name may have. */
/* A token's key is 160 bits (RFC 7635 section 6.2), all of which sign. coturn and its clients
 * (4.6.1) sign with the first 128, the length of a long-term key. Who knows these was given them by
 * the maker of the token, and nobody guesses them, so they will do as well. */
static uint16_t verify_half(struct turn_ask *ask) {
    enum { COTURN_KEY_LEN = 16 };
    if (ask->user.key.len <= COTURN_KEY_LEN)
        return STUN_CODE_UNAUTHENTICATED;
    ask->user.key.len = COTURN_KEY_LEN;
    return stun_claim_verify(&ask->claim, &ask->m, &ask->user.key);
}

static uint16_t verify(const struct turn_users *users, struct turn_ask *ask, bool found) {
    uint16_t code = stun_claim_verify(&ask->claim, &ask->m, found ? &ask->user.key : NULL);
    for (unsigned n = 1; found && code == STUN_CODE_UNAUTHENTICATED && users->another != NULL &&
                         users->another(users->ctx, &ask->claim, n, &ask->user);
         n++)
        code = stun_claim_verify(&ask->claim, &ask->m, &ask->user.key);
    if (code == STUN_CODE_UNAUTHENTICATED && found && ask->kid != 0)
        code = verify_half(ask);
    if (code == 0 && ask->user.ended && ask->m.method == TURN_ALLOCATE)
        return STUN_CODE_UNAUTHENTICATED;
    return code;
}

/* ---- Third-party authorization, RFC 7635 --------------------------------------------------- */

/* A token of one of the makers we share a key with. What it says stands for the user: no two
 * clients have the same key. */
static enum turn_found find_token(const struct turn_service *s, struct turn_ask *ask) {
    struct wire_span bytes;
    struct turn_token token;
    const struct turn_token_key *key = turn_token_key(&s->config.tokens, &ask->claim.user);
    if (key == NULL || stun_get_bytes(&ask->m, STUN_ACCESS_TOKEN, &bytes) != BK_OK ||
        turn_token_open(&s->config.tokens, key, &bytes, s->now, &token) != BK_OK)
        return TURN_USER_UNKNOWN;
    memcpy(ask->user.key.bytes, token.key, token.key_len);
    ask->user.key.len = token.key_len;
    ask->user.id = siphash24(s->accounts.seed, token.key, token.key_len) | 1;
    ask->user.lifetime_s = token.lifetime_s;
    ask->kid = (uint32_t)siphash24(s->accounts.seed, key->kid, strlen(key->kid)) | 1;
    wipe(&token, sizeof token);
    /* A newer token for what an older one began on this 5-tuple (RFC 7635 section 9), which may be
     * made with another key: makers change theirs. Nonces are bound to addresses, so nobody else is
     * here. */
    uint32_t i = turn_allocs_find(&s->allocs, ask->in);
    if (i != TURN_NONE && turn_service_alloc(s, i)->kid != 0)
        ask->user.id = turn_service_alloc(s, i)->user;
    return TURN_USER_FOUND;
}

/* Later requests of a 5-tuple need not bring the token again. */
static bool remember_token(const struct turn_service *s, struct turn_ask *ask) {
    uint32_t i = turn_allocs_find(&s->allocs, ask->in);
    const struct turn_token_key *key = turn_token_key(&s->config.tokens, &ask->claim.user);
    const struct turn_alloc *a = i == TURN_NONE ? NULL : turn_service_alloc(s, i);
    if (key == NULL || a == NULL || a->token_key_len == 0 ||
        a->kid != ((uint32_t)siphash24(s->accounts.seed, key->kid, strlen(key->kid)) | 1))
        return false;
    memcpy(ask->user.key.bytes, a->token_key, a->token_key_len);
    ask->user.key.len = a->token_key_len;
    ask->user.id = a->user;
    ask->user.lifetime_s = (a->good_until.us - s->now.us) / BK_US_PER_S;
    if (ask->user.lifetime_s < 1)
        ask->user.lifetime_s = 1;
    return true;
}

static enum turn_found find_user(const struct turn_service *s, struct turn_ask *ask) {
    const struct turn_users *users = &s->config.users;
    if (s->config.tokens.server != NULL) {
        if (stun_has(&ask->m, STUN_ACCESS_TOKEN))
            return find_token(s, ask);
        if (remember_token(s, ask))
            return TURN_USER_FOUND;
    }
    return users->find(users->ctx, &ask->claim, &ask->user);
}

void turn_keep_token(struct turn_service *s, const struct turn_ask *ask, uint32_t alloc) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    if (ask->kid == 0)
        return;
    a->kid = ask->kid;
    a->token_key_len = (uint8_t)ask->user.key.len;
    memcpy(a->token_key, ask->user.key.bytes, a->token_key_len);
    a->good_until = bk_after(s->now, ask->user.lifetime_s * BK_US_PER_S);
}

/* RFC 8656 section 7.2: MUST be authenticated by the long-term mechanism. BK_ERR_AUTH: it was not,
 * and has its answer. BK_ERR_UNREACHABLE: whether it is remains to be seen. */
static enum bk_err authenticate(struct turn_service *s, struct turn_ask *ask) {
    const struct turn_users *users = &s->config.users;
    uint16_t code = stun_realm_claim(&s->realm, &ask->m, &ask->in->remote, s->now, &ask->claim);
    enum turn_count count =
        code == STUN_CODE_UNAUTHENTICATED ? TURN_COUNT_CHALLENGED : TURN_COUNT_REFUSED;
    if (code == 0) {
        enum turn_found found = find_user(s, ask);
        if (found == TURN_USER_LATER)
            return BK_ERR_UNREACHABLE;
        code = verify(users, ask, found == TURN_USER_FOUND);
        count = code == STUN_CODE_STALE_NONCE ? TURN_COUNT_STALE : TURN_COUNT_UNAUTHORIZED;
        if (code == STUN_CODE_UNAUTHENTICATED) {
            ask->user.id = 0; /* nobody was proved */
            turn_refuse(s, ask, TURN_RULE_CREDENTIALS, code);
        }
    }
    if (code == 0) {
        give_back(s, ask);
        return BK_OK;
    }
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
    if (s->config.tokens.server == NULL && stun_has(&ask->m, STUN_ACCESS_TOKEN) &&
        unknown.count < STUN_UNKNOWN_MAX)
        unknown.types[unknown.count++] = STUN_ACCESS_TOKEN;
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
    turn_quota_name(s, ask, a);
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
