/* SPDX-License-Identifier: MIT
 * The client goes elsewhere: to another address of ours with a ticket (RFC 8016), to another server
 * that the first one names (300, RFC 8489 section 10), on with another access token (RFC 7635). */
#include "turn/client.h"

#include "base/wipe.h"
#include "stun/seal.h"

#include <string.h>

#define SETTLED_US (2 * BK_US_PER_S) /* what a network still delivers, it has delivered */

enum {
    ASKED_S = 300, /* RFC 8489 section 10: five minutes */
    SPARE_TOKEN = 256,
    SPARE_USER = 64
};

/* ---- Mobility ----------------------------------------------------------------------------- */

/* RFC 8016 section 3.2.1: the one of the latest answer is the one to bring. An answer without one
 * leaves the one we have; where it was spent, the next move finds out. */
void turn_keep_ticket(struct bk_turn *t, const struct stun_msg *m) {
    struct wire_span ticket;
    if (t->ticket == NULL || stun_get_bytes(m, TURN_MOBILITY_TICKET, &ticket) != BK_OK)
        return;
    bool fits = ticket.len > 0 && ticket.len <= TURN_CLIENT_TICKET_MAX;
    t->ticket_len = fits ? (uint8_t)ticket.len : 0;
    if (fits)
        memcpy(t->ticket, ticket.data, ticket.len);
}

/* RFC 8016 section 3.2.1: a ticket is refused at an address that has the allocation already, as
 * when the answer to the first Refresh was lost. Then it is asked for once more without. */
void turn_take_moved(struct bk_turn *t, uint16_t code) {
    bool passes = code == STUN_CODE_SERVER_ERROR || code == STUN_CODE_TRY_ALTERNATE;
    if (code == 0) {
        t->adrift = t->asked_anew = false;
        t->news |= NEWS_MOVED;
        t->peers_at = t->now;
        if (t->doubtful)
            t->refresh_at = bk_after(t->now, SETTLED_US);
        t->doubtful = false;
    } else if (t->ticket_len > 0 && !passes) {
        t->ticket_len = 0;
        t->refresh_at = t->now;
    } else if (!passes) {
        turn_lose(t, BK_ERR_REFUSED, code);
    }
}

static void drift(struct bk_turn *t) {
    for (size_t i = 0; i < TURN_TASKS; i++)
        turn_stop(t, &t->tasks[i]);
    t->adrift = true;
    t->asked_anew = false;
    t->refresh_at = t->now;
}

static void leave(struct bk_turn *t) {
    t->doubtful = t->doubtful || t->adrift;
    if (t->ticket_len == 0)
        turn_lose(t, BK_ERR_UNREACHABLE, 0);
    else
        drift(t);
}

/* RFC 8656 section 5: it is gone. Or a NAT gave us another address, which nobody told us of; or the
 * server took a late Refresh for a move back. The ticket shows which. */
void turn_take_unknown(struct bk_turn *t) {
    if (t->state != TURN_ON)
        return;
    if (t->ticket_len == 0 || t->adrift || ++t->mismatches >= TURN_MISMATCH_MAX)
        turn_lose(t, BK_ERR_REFUSED, TURN_CODE_ALLOCATION_MISMATCH);
    else
        drift(t);
}

static void leave_closing(struct bk_turn *t) {
    if (t->ticket_len > 0) {
        t->adrift = true;
        turn_start(t, &t->tasks[0], TASK_RELEASE);
    } else { /* nothing can be said about it any more */
        t->news |= NEWS_CLOSED;
        turn_become(t, TURN_DONE);
    }
}

static void reset_stream(struct bk_turn *t) {
    if (!t->stream)
        return;
    turn_stream_init(&t->in, t->in.buf, t->in.cap);
    memset(&t->waiting, 0, sizeof t->waiting);
}

void bk_turn_move(struct bk_turn *turn, const struct bk_addr *local, struct bk_time now) {
    turn->now = bk_later(turn->now, now);
    turn->local = *local;
    reset_stream(turn);
    switch (turn->state) {
    case TURN_RELEASING:
        turn_become(turn, TURN_ALLOCATING);
        turn->retry_at = turn->now;
        break;
    case TURN_ALLOCATING:
        turn_stop(turn, &turn->tasks[0]);
        turn->retry_at = turn->now;
        break;
    case TURN_ON:
        leave(turn);
        break;
    case TURN_CLOSING:
        leave_closing(turn);
        break;
    case TURN_REDIRECTED:
    case TURN_DONE:
    case TURN_STATES:
        break;
    }
    turn_pump(turn);
}

/* ---- Another server ----------------------------------------------------------------------- */

/* FNV-1a. */
static uint32_t digest_of(const struct bk_addr *server) {
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < sizeof server->ip.bytes; i++)
        h = (h ^ server->ip.bytes[i]) * 16777619U;
    return ((h ^ (server->port >> 8)) * 16777619U ^ (server->port & 0xff)) * 16777619U;
}

static bool is_recent(const struct bk_turn *t, const struct turn_asked *a) {
    return a->digest != 0 && (uint32_t)(t->now.us / BK_US_PER_S) - a->when_s < ASKED_S;
}

/* Was this one asked within the last five minutes, the present one included? */
static bool was_asked(const struct bk_turn *t, const struct bk_addr *server) {
    uint32_t digest = digest_of(server);
    bool found = bk_addr_equal(server, &t->server);
    for (size_t i = 0; i < TURN_SERVERS_MAX; i++)
        found = found || (is_recent(t, &t->asked[i]) && t->asked[i].digest == digest);
    return found;
}

/* Room for one more; NULL: it has been sent about enough for now. */
static struct turn_asked *next_asked(struct bk_turn *t) {
    for (size_t i = 0; i < TURN_SERVERS_MAX; i++)
        if (!is_recent(t, &t->asked[i]))
            return &t->asked[i];
    return NULL;
}

/* RFC 8489 section 14.15: of the family we asked on. The rest is what cannot be a server. */
static bool may_be_asked(struct bk_turn *t, const struct bk_addr *server) {
    return server->ip.family == t->server.ip.family && server->port != 0 &&
           bk_ip_scope(&server->ip) != BK_SCOPE_NONE && next_asked(t) != NULL &&
           !was_asked(t, server);
}

/* ALTERNATE-DOMAIN, over TLS and DTLS only; a text that is none is as if it were not there, so that
 * the certificate is checked for the name we know. */
static void keep_domain(struct bk_turn *t, const struct stun_msg *m) {
    struct wire_span domain;
    if (t->domain == NULL || stun_get_bytes(m, STUN_ALTERNATE_DOMAIN, &domain) != BK_OK ||
        domain.len == 0 || domain.len > TURN_DOMAIN_MAX ||
        stun_text_check(domain.data, domain.len) != BK_OK)
        return;
    memcpy(t->domain, domain.data, domain.len);
    t->domain[domain.len] = '\0';
}

/* RFC 8489 section 10: a server that was asked within five minutes MUST be ignored, and the
 * transaction has failed; that ends loops. */
void turn_redirect(struct bk_turn *t, const struct stun_msg *m) {
    struct bk_addr server;
    if (stun_get_addr(m, STUN_ALTERNATE_SERVER, &server) != BK_OK || !may_be_asked(t, &server)) {
        turn_fail(t, BK_ERR_REFUSED, STUN_CODE_TRY_ALTERNATE);
        return;
    }
    keep_domain(t, m);
    t->icmp.peer = server;
    t->news |= NEWS_REDIRECT;
    turn_become(t, TURN_REDIRECTED);
}

enum bk_err bk_turn_follow(struct bk_turn *turn, const struct bk_addr *local, struct bk_time now) {
    if (turn->state != TURN_REDIRECTED)
        return BK_ERR_STATE;
    turn->now = bk_later(turn->now, now);
    struct turn_asked *asked = next_asked(turn);
    if (asked != NULL)
        *asked =
            (struct turn_asked){digest_of(&turn->server), (uint32_t)(turn->now.us / BK_US_PER_S)};
    turn->server = turn->icmp.peer;
    turn->local = *local;
    reset_stream(turn);
    creds_restart(&turn->creds); /* section 10: the same credentials, MUST; its own challenge */
    turn->asked_anew = false;
    turn->mismatches = turn->retries = 0;
    turn->news &= (uint8_t)~NEWS_REDIRECT;
    turn_become(turn, TURN_ALLOCATING);
    turn->retry_at = turn->now;
    turn_pump(turn);
    return BK_OK;
}

/* ---- Access tokens ------------------------------------------------------------------------ */

static enum bk_err set_access(struct bk_turn *t, void *texts, const struct bk_turn_token *token,
                              size_t challenge_max) {
    const struct wire_span key = {token->key, token->key_len};
    enum bk_err err = creds_init_key(&t->creds, texts, token->kid, &key, challenge_max);
    if (err != BK_OK)
        return err;
    memcpy(t->access->bytes, token->token, token->token_len);
    t->access->len = (uint16_t)token->token_len;
    return BK_OK;
}

enum bk_err turn_access_init(struct bk_turn *t, const struct bk_turn_config *c) {
    const struct bk_turn_token token = {c->user, c->token, c->token_key, c->token_len,
                                        c->token_key_len};
    size_t texts_max = creds_size(c->user, "", c->challenge_max) + SPARE_USER;
    size_t max = c->token_len + SPARE_TOKEN;
    t->access = t->alloc.get(t->alloc.ctx, sizeof *t->access + max);
    if (t->access == NULL)
        return BK_ERR_NO_MEMORY;
    t->access->max = (uint16_t)max;
    t->access->texts_max = (uint16_t)texts_max;
    void *texts = t->alloc.get(t->alloc.ctx, texts_max);
    if (texts == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = set_access(t, texts, &token, c->challenge_max);
    if (err != BK_OK)
        t->alloc.put(t->alloc.ctx, texts);
    return err;
}

/* RFC 7635 section 9: the new token MUST be used to refresh what the old one began. */
enum bk_err bk_turn_set_token(struct bk_turn *turn, const struct bk_turn_token *token,
                              struct bk_time now) {
    if (turn->access == NULL)
        return BK_ERR_STATE;
    if (stun_text_check(token->kid, strlen(token->kid)) != BK_OK || token->token_len == 0 ||
        token->key_len < CREDS_KEY_MIN || token->key_len > CREDS_KEY_MAX)
        return BK_ERR_ARGUMENT;
    size_t challenge_max = turn->creds.challenge_max;
    if (token->token_len > turn->access->max ||
        creds_size(token->kid, "", challenge_max) > turn->access->texts_max)
        return BK_ERR_TOO_LONG;
    uint8_t version = turn->creds.version;
    char *texts = turn->creds.texts;
    creds_fini(&turn->creds);
    enum bk_err err = set_access(turn, texts, token, challenge_max);
    turn->creds.version = (uint8_t)(version + 1);
    turn->asked_anew = false;
    bk_turn_refresh(turn, now);
    return err;
}
