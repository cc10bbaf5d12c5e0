/* SPDX-License-Identifier: MIT
 * Creation, time, and what the client has to say. */
#include "turn/client.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <string.h>

const struct bk_turn_config bk_turn_config_default = {
    .size = sizeof(struct bk_turn_config),
    .family = BK_IPV4,
    .again = true,
    .rto_us = 500 * BK_US_PER_MS, /* RFC 8489 section 6.2.1 */
    .tries = 7,                   /* RFC 8489 section 6.2.1 */
    .peers_max = 64,
    .data_max = 1500, /* what an Ethernet frame holds, and more than passes a relay unfragmented */
    .challenge_max = 320, /* coturn: 16 to 48 bytes of nonce; ours 53 and 8 of algorithms */
    .links_max = 8,
};

/* Fields that a caller built against an older header does not have keep their defaults. */
static struct bk_turn_config whole(const struct bk_turn_config *config) {
    struct bk_turn_config c = bk_turn_config_default;
    memcpy(&c, config, config->size < sizeof c ? config->size : sizeof c);
    return c;
}

/* A password, or a token and its key. */
static const char *check_secret(const struct bk_turn_config *c) {
    if (c->token == NULL)
        return c->password == NULL || stun_text_check(c->password, strlen(c->password)) != BK_OK ||
                       strlen(c->password) > STUN_KEY_MAX
                   ? "password"
                   : NULL;
    if (c->token_len < 1 || c->token_len > BK_TURN_TOKEN_MAX)
        return "token_len";
    if (c->token_key == NULL)
        return "token_key";
    return c->token_key_len < CREDS_KEY_MIN || c->token_key_len > CREDS_KEY_MAX ? "token_key_len"
                                                                                : NULL;
}

static const char *check_relay(const struct bk_turn_config *c) {
    if (c->family != BK_IPV4 && c->family != BK_IPV6)
        return "family";
    /* RFC 8656 section 7.1: ADDITIONAL-ADDRESS-FAMILY can only add IPv6, and not to a reservation
     */
    if (c->both && (c->family != BK_IPV4 || c->reserve))
        return "both";
    if (c->reservation != 0 && (c->both || c->even_port || c->reserve))
        return "reservation"; /* RFC 8656 section 7.1: not beside EVEN-PORT or a family */
    /* RFC 6062 section 4.1: over a connection, and MUST NOT have what is for datagrams */
    if (c->tcp &&
        (!c->stream || c->even_port || c->reserve || c->reservation != 0 || c->dont_fragment))
        return "tcp";
    return c->links_max < 1 || c->links_max > 64 ? "links_max" : NULL;
}

static const char *check(const struct bk_turn_config *c) {
    if (c->server.port == 0 || (c->server.ip.family != BK_IPV4 && c->server.ip.family != BK_IPV6))
        return "server";
    if (c->user == NULL || stun_text_check(c->user, strlen(c->user)) != BK_OK ||
        strlen(c->user) > STUN_USER_MAX)
        return "user";
    if (check_secret(c) != NULL)
        return check_secret(c);
    if (check_relay(c) != NULL)
        return check_relay(c);
    if (c->rto_us < BK_US_PER_MS || c->rto_us > 60 * BK_US_PER_S)
        return "rto_us";
    if (c->tries < 1 || c->tries > 16)
        return "tries";
    if (c->peers_max < 1 || c->peers_max > 4096)
        return "peers_max";
    if (c->data_max < 64 || c->data_max > 65000)
        return "data_max";
    return c->challenge_max < 64 || c->challenge_max > 1600 ? "challenge_max" : NULL;
}

const char *bk_turn_config_check(const struct bk_turn_config *config) {
    if (config->size < offsetof(struct bk_turn_config, both) || config->size > sizeof *config)
        return "size"; /* a program newer than its library asks for what is not there */
    const struct bk_turn_config c = whole(config);
    return check(&c);
}

static size_t work_size(const struct bk_turn_config *c, const struct creds *creds) {
    size_t data = BK_TURN_HEADROOM + (size_t)c->data_max + BK_TURN_TAILROOM;
    size_t request = turn_request_max(creds, c);
    return data > request ? data : request;
}

size_t bk_turn_work_size(const struct bk_turn_config *config) {
    const struct bk_turn_config c = whole(config);
    const struct creds longest = {.user_len = STUN_USER_MAX,
                                  .challenge_max = (uint16_t)c.challenge_max};
    return work_size(&c, &longest);
}

/* May the client go from [row] to [column]? */
static const bool may[TURN_STATES][TURN_STATES] = {
    [TURN_ALLOCATING] = {[TURN_ON] = true,
                         [TURN_RELEASING] = true,
                         [TURN_CLOSING] = true,
                         [TURN_REDIRECTED] = true,
                         [TURN_DONE] = true},
    [TURN_ON] = {[TURN_ALLOCATING] = true, [TURN_CLOSING] = true, [TURN_DONE] = true},
    [TURN_RELEASING] = {[TURN_ALLOCATING] = true, [TURN_CLOSING] = true, [TURN_DONE] = true},
    [TURN_CLOSING] = {[TURN_DONE] = true},
    [TURN_REDIRECTED] = {[TURN_ALLOCATING] = true, [TURN_DONE] = true},
    [TURN_DONE] = {[TURN_STATES - 1] = false},
};

void turn_become(struct bk_turn *t, enum turn_state state) {
    bk_assert(may[t->state][state]);
    t->state = state;
    t->retry_at = t->refresh_at = t->expires = BK_NEVER;
    for (size_t i = 0; i < TURN_TASKS; i++)
        turn_stop(t, &t->tasks[i]);
    t->peers_at = BK_NEVER;
    if (state == TURN_RELEASING || state == TURN_CLOSING)
        turn_start(t, &t->tasks[0], TASK_RELEASE);
    if (state == TURN_ON)
        return;
    turn_links_end(t);
    t->relayed.ip.family = t->relayed6.ip.family = BK_FAMILY_NONE;
}

void turn_fail(struct bk_turn *t, enum bk_err err, uint16_t code) {
    if (t->state == TURN_DONE)
        return;
    t->err = err;
    t->code = code;
    t->news |= t->state == TURN_CLOSING ? NEWS_CLOSED : NEWS_FAILED;
    turn_become(t, TURN_DONE);
}

void turn_lose(struct bk_turn *t, enum bk_err err, uint16_t code) {
    t->err = err;
    t->code = code;
    t->news = (uint8_t)((t->news | NEWS_LOST) & ~(unsigned)NEWS_ALLOCATED);
    t->adrift = false;
    t->ticket_len = 0;
    turn_become(t, t->again ? TURN_ALLOCATING : TURN_DONE);
    turn_peers_restart(&t->peers, t->now);
    t->retry_at = t->again ? t->now : BK_NEVER;
}

static void copy_config(struct bk_turn *t, const struct bk_turn_config *c) {
    t->local = c->local;
    t->server = c->server;
    t->stream = c->stream;
    t->family = (uint8_t)c->family;
    t->dont_fragment = c->dont_fragment;
    t->even_port = c->even_port;
    t->again = c->again && c->reservation == 0;
    t->mobility = c->mobility;
    t->reserve = c->reserve;
    t->tcp = c->tcp;
    t->reservation = c->reservation;
    t->both = c->both;
    t->lifetime_wanted_s = c->lifetime_s;
    t->rto_us = c->rto_us;
    t->tries = c->tries;
    t->data_max = c->data_max;
    t->work = c->work;
}

static void *get(const struct bk_turn *t, size_t size) {
    return t->alloc.get(t->alloc.ctx, size);
}

static enum bk_err set_up_creds(struct bk_turn *t, const struct bk_turn_config *c) {
    if (c->token != NULL)
        return turn_access_init(t, c);
    void *texts = get(t, creds_size(c->user, c->password, c->challenge_max));
    if (texts == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = creds_init(&t->creds, texts, c->user, c->password, c->challenge_max);
    if (err != BK_OK)
        t->alloc.put(t->alloc.ctx, texts);
    return err;
}

/* What only some clients need. */
static enum bk_err set_up_extras(struct bk_turn *t, const struct bk_turn_config *c) {
    if (c->mobility)
        t->ticket = get(t, TURN_CLIENT_TICKET_MAX);
    if (c->secure)
        t->domain = get(t, TURN_DOMAIN_MAX + 1);
    if ((c->mobility && t->ticket == NULL) || (c->secure && t->domain == NULL))
        return BK_ERR_NO_MEMORY;
    return c->tcp ? turn_links_init(t, c) : BK_OK;
}

/* On failure bk_turn_free() takes back what there is. */
static enum bk_err set_up(struct bk_turn *t, const struct bk_turn_config *c) {
    size_t frame_max = (STUN_HEADER_LEN + 24 + 4 + (size_t)c->data_max + 3) & ~(size_t)3;
    enum bk_err err = set_up_creds(t, c);
    if (err == BK_OK)
        err = set_up_extras(t, c);
    if (err != BK_OK)
        return err;
    t->work_len = work_size(c, &t->creds);
    t->own_work = t->work == NULL;
    if (t->own_work)
        t->work = get(t, t->work_len);
    if (t->work == NULL)
        return BK_ERR_NO_MEMORY;
    if (t->stream) {
        void *frame = get(t, frame_max);
        if (frame == NULL)
            return BK_ERR_NO_MEMORY;
        turn_stream_init(&t->in, frame, frame_max);
    }
    return turn_peers_init(&t->peers, c->peers_max, &t->rng, &t->alloc);
}

enum bk_err bk_turn_new(const struct bk_turn_config *config, const struct bk_alloc *alloc,
                        const struct bk_rng *rng, struct bk_time now, struct bk_turn **out) {
    const struct bk_turn_config c = whole(config);
    if (bk_turn_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    struct bk_turn *t = alloc->get(alloc->ctx, sizeof *t);
    if (t == NULL)
        return BK_ERR_NO_MEMORY;
    t->alloc = *alloc;
    t->rng = *rng;
    t->now = now;
    t->refresh_at = t->expires = t->peers_at = BK_NEVER;
    t->retry_at = now;
    copy_config(t, &c);
    enum bk_err err = set_up(t, &c);
    if (err != BK_OK) {
        bk_turn_free(t);
        return err;
    }
    turn_pump(t);
    *out = t;
    return BK_OK;
}

void bk_turn_free(struct bk_turn *turn) {
    if (turn == NULL)
        return;
    struct bk_alloc alloc = turn->alloc;
    char *texts = turn->creds.texts;
    creds_fini(&turn->creds);
    alloc.put(alloc.ctx, texts);
    turn_links_fini(turn);
    if (turn->access != NULL)
        wipe(turn->access->bytes, turn->access->max);
    alloc.put(alloc.ctx, turn->access);
    alloc.put(alloc.ctx, turn->ticket);
    alloc.put(alloc.ctx, turn->domain);
    if (turn->own_work)
        alloc.put(alloc.ctx, turn->work);
    if (turn->in.buf != NULL)
        alloc.put(alloc.ctx, turn->in.buf);
    turn_peers_fini(&turn->peers, &alloc);
    wipe(turn, sizeof *turn);
    alloc.put(alloc.ctx, turn);
}

static struct bk_time see(struct bk_turn *t, struct bk_time now) {
    t->now = bk_later(t->now, now);
    return t->now;
}

void bk_turn_close(struct bk_turn *turn, struct bk_time now) {
    (void)see(turn, now);
    if (turn->state == TURN_CLOSING)
        return;
    turn->err = BK_OK;
    turn->news = 0;
    /* An Allocate that was never answered without a challenge has made nothing: with the long-term
     * mechanism the server knows nobody yet. */
    bool nothing = turn->state == TURN_DONE || turn->state == TURN_REDIRECTED ||
                   (turn->state == TURN_ALLOCATING && !turn->creds.ready);
    if (nothing)
        turn->news = NEWS_CLOSED;
    if (turn->state != TURN_DONE)
        turn_become(turn, nothing ? TURN_DONE : TURN_CLOSING);
}

enum bk_err bk_turn_permit(struct bk_turn *turn, const struct bk_addr *peer, bool channel,
                           struct bk_time now) {
    (void)see(turn, now);
    /* RFC 8656 sections 10.1 and 12.1: of the relayed address's family */
    bool fits = peer->ip.family == turn->family || (turn->both && peer->ip.family == BK_IPV6);
    if (!fits || peer->ip.zone != 0 || (channel && (peer->port == 0 || turn->tcp)))
        return BK_ERR_ARGUMENT;
    if (turn->state == TURN_CLOSING || turn->state == TURN_DONE)
        return BK_ERR_STATE;
    enum bk_err err = turn_peers_add(&turn->peers, peer, channel, turn->now);
    if (err == BK_OK && turn->state == TURN_ON) {
        turn->peers_at = turn->now;
        turn_pump(turn);
    }
    return err;
}

enum bk_err bk_turn_forget(struct bk_turn *turn, const struct bk_addr *peer) {
    enum bk_err err = turn_peers_forget(&turn->peers, peer, turn->now);
    if (err == BK_OK && turn->state == TURN_ON)
        turn->peers_at = turn->now;
    return err;
}

void bk_turn_refresh(struct bk_turn *turn, struct bk_time now) {
    (void)see(turn, now);
    if (turn->state != TURN_ON)
        return;
    turn->refresh_at = turn->now;
    turn_pump(turn);
}

void bk_turn_advance(struct bk_turn *turn, struct bk_time now) {
    (void)see(turn, now);
    if (turn->state == TURN_ON && bk_due(turn->expires, turn->now))
        turn_lose(turn, turn->err == BK_OK ? BK_ERR_TIMEOUT : turn->err, turn->code);
    for (size_t i = 0; i < TURN_TASKS; i++) {
        struct turn_task *task = &turn->tasks[i];
        if (task->kind == TASK_NONE)
            continue;
        stun_txn_advance(&task->txn, turn->now);
        if (task->txn.state == STUN_TXN_TIMED_OUT)
            turn_take_silence(turn, task);
    }
    turn_links_advance(turn);
    turn_pump(turn);
}

struct bk_time bk_turn_deadline(const struct bk_turn *turn) {
    struct bk_time at = bk_earlier(turn->expires, turn->retry_at);
    at = bk_earlier(at, turn_links_deadline(turn));
    if (!turn->adrift)
        at = bk_earlier(at, turn->peers_at);
    if (turn->tasks[0].kind == TASK_NONE)
        at = bk_earlier(at, turn->refresh_at);
    for (size_t i = 0; i < TURN_TASKS; i++)
        if (turn->tasks[i].kind != TASK_NONE)
            at = bk_earlier(at, stun_txn_deadline(&turn->tasks[i].txn));
    return at;
}

bool turn_put_out(struct bk_turn *t, struct turn_task *task, struct bk_datagram *out) {
    if (task->kind == TASK_NONE || !stun_txn_take_send(&task->txn))
        return false;
    const struct bk_datagram d = {
        .local = t->local,
        .remote = t->server,
        .data = t->work,
        .len = turn_build(t, task),
        .protocol = t->stream ? BK_TCP : BK_UDP,
    };
    *out = d;
    return true;
}

bool bk_turn_next_datagram(struct bk_turn *turn, struct bk_datagram *out) {
    for (size_t i = 0; i < TURN_TASKS; i++)
        if (turn_put_out(turn, &turn->tasks[i], out))
            return true;
    return turn_links_next_datagram(turn, out);
}

static void say_allocated(const struct bk_turn *t, struct bk_turn_event *e) {
    e->kind = BK_TURN_ALLOCATED;
    e->relayed = t->relayed;
    e->relayed6 = t->relayed6;
    e->mapped = t->mapped;
    e->lifetime_s = t->lifetime_s;
    e->rtt_us = t->rtt_us;
    e->mobile = t->ticket_len > 0;
    e->reservation = t->reserve ? t->reservation : 0;
}

static void say_error(const struct bk_turn *t, enum bk_turn_event_kind kind,
                      struct bk_turn_event *e) {
    e->kind = kind;
    e->err = t->err;
    e->code = t->code;
}

static void say_icmp(const struct bk_turn *t, struct bk_turn_event *e) {
    e->kind = BK_TURN_ICMP;
    e->peer = t->icmp.peer;
    e->icmp_type = t->icmp.type;
    e->icmp_code = t->icmp.code;
    e->icmp_data = t->icmp.data;
}

static void say_redirect(const struct bk_turn *t, struct bk_turn_event *e) {
    e->kind = BK_TURN_REDIRECT;
    e->alternate = t->icmp.peer;
    e->domain = t->domain != NULL && t->domain[0] != '\0' ? t->domain : NULL;
    e->code = STUN_CODE_TRY_ALTERNATE;
}

static bool take_news(struct bk_turn *t, unsigned news) {
    bool there = (t->news & news) != 0;
    t->news = (uint8_t)(t->news & ~news);
    return there;
}

bool bk_turn_next_event(struct bk_turn *turn, struct bk_turn_event *out) {
    struct bk_turn_event e = {.rtt_us = -1};
    if (take_news(turn, NEWS_LOST))
        say_error(turn, BK_TURN_LOST, &e);
    else if (take_news(turn, NEWS_ALLOCATED))
        say_allocated(turn, &e);
    else if (take_news(turn, NEWS_MOVED)) {
        e.kind = BK_TURN_MOVED;
        e.lifetime_s = turn->lifetime_s;
    } else if (take_news(turn, NEWS_ICMP))
        say_icmp(turn, &e);
    else if (take_news(turn, NEWS_REDIRECT))
        say_redirect(turn, &e);
    else if (take_news(turn, NEWS_FAILED))
        say_error(turn, BK_TURN_FAILED, &e);
    else if (take_news(turn, NEWS_CLOSED))
        e.kind = BK_TURN_CLOSED;
    else if (turn->state == TURN_DONE ||
             (!turn_links_next_event(turn, &e) && !turn_peers_next(&turn->peers, &e)))
        return false;
    *out = e;
    return true;
}

struct bk_addr bk_turn_relayed(const struct bk_turn *turn) {
    return turn->relayed;
}
