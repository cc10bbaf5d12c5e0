/* SPDX-License-Identifier: MIT
 * TCP allocations, RFC 6062: connections to peers, from Connect or ConnectionAttempt until
 * ConnectionBind was answered. From then on they are bytes, and the owner's.
 *
 * A link's ConnectionBind travels on a connection of its own, which has its own nonce, hence its
 * own copy of the credentials (section 4.3: MUST be the same ones). */
#include "turn/client.h"

#include "stun/seal.h"

#include <string.h>

#define READY_US (30 * BK_US_PER_S) /* sections 5.2 and 5.3: then the server closes it */

enum {
    ANSWER_ROOM = 256, /* of an answer to ConnectionBind, besides its challenge */
    SPARE_USER = 64
};

/* ---- The table ---------------------------------------------------------------------------- */

enum bk_err turn_links_init(struct bk_turn *t, const struct bk_turn_config *c) {
    const char *password = c->token != NULL ? "" : c->password;
    struct turn_links *links =
        t->alloc.get(t->alloc.ctx, sizeof *links + c->links_max * sizeof *links->list);
    if (links == NULL)
        return BK_ERR_NO_MEMORY;
    t->links = links;
    links->texts_len =
        (creds_size(c->user, password, c->challenge_max) + SPARE_USER + 3) & ~(size_t)3;
    links->frame_len = (STUN_HEADER_LEN + c->challenge_max + ANSWER_ROOM + 3) & ~(size_t)3;
    links->room = t->alloc.get(t->alloc.ctx, c->links_max * (links->texts_len + links->frame_len));
    links->max = links->room == NULL ? 0 : (uint16_t)c->links_max;
    return links->room == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

static size_t count(const struct bk_turn *t) {
    return t->links == NULL ? 0 : t->links->max;
}

static void free_link(struct turn_link *l) {
    if (l->state == LINK_JOINING)
        creds_fini(&l->creds);
    memset(l, 0, sizeof *l);
}

void turn_links_fini(struct bk_turn *t) {
    turn_links_end(t);
    if (t->links != NULL)
        t->alloc.put(t->alloc.ctx, t->links->room);
    t->alloc.put(t->alloc.ctx, t->links);
    t->links = NULL;
}

void turn_links_end(struct bk_turn *t) {
    for (size_t i = 0; i < count(t); i++)
        free_link(&t->links->list[i]);
}

static struct turn_link *new_link(struct bk_turn *t) {
    for (size_t i = 0; i < count(t); i++) {
        struct turn_link *l = &t->links->list[i];
        if (l->state != LINK_FREE)
            continue;
        l->task.chan = (uint16_t)i;
        return l;
    }
    return NULL;
}

static struct turn_link *by_number(const struct bk_turn *t, uint32_t number) {
    for (size_t i = 0; i < count(t); i++) {
        struct turn_link *l = &t->links->list[i];
        if ((l->state == LINK_READY || l->state == LINK_JOINING) && l->number == number)
            return l;
    }
    return NULL;
}

/* ---- Connect and ConnectionAttempt -------------------------------------------------------- */

enum bk_err bk_turn_connect(struct bk_turn *turn, const struct bk_addr *peer, struct bk_time now) {
    turn->now = bk_later(turn->now, now);
    if (!turn->tcp || turn->state != TURN_ON || turn->adrift)
        return BK_ERR_STATE;
    bool fits = peer->ip.family == turn->family || (turn->both && peer->ip.family == BK_IPV6);
    if (!fits || peer->port == 0 || peer->ip.zone != 0)
        return BK_ERR_ARGUMENT;
    for (size_t i = 0; i < count(turn); i++)
        if (turn->links->list[i].state == LINK_ASKED &&
            bk_addr_equal(&turn->links->list[i].peer, peer))
            return BK_ERR_EXISTS; /* the server would say 446 */
    struct turn_link *l = new_link(turn);
    if (l == NULL)
        return BK_ERR_FULL;
    l->state = LINK_ASKED;
    l->peer = *peer;
    turn_start(turn, &l->task, TASK_CONNECT);
    return BK_OK;
}

static void make_ready(struct bk_turn *t, struct turn_link *l, uint32_t number) {
    stun_txn_stop(&l->task.txn);
    l->task.kind = TASK_NONE;
    l->state = LINK_READY;
    l->number = number;
    l->tell = true;
    l->expires = bk_after(t->now, READY_US);
}

void turn_link_fail(struct bk_turn *t, struct turn_link *l, enum bk_err err, uint16_t code) {
    (void)t;
    if (l->state == LINK_JOINING)
        creds_fini(&l->creds);
    stun_txn_stop(&l->task.txn);
    l->task.kind = TASK_NONE;
    l->state = LINK_OVER;
    l->tell = true;
    l->err = err;
    l->code = code;
}

/* Section 4.3. */
void turn_link_answered(struct bk_turn *t, struct turn_link *l, const struct stun_msg *m,
                        uint16_t code) {
    uint32_t number = 0;
    if (code != 0)
        turn_link_fail(t, l, BK_ERR_REFUSED, code);
    else if (stun_get_u32(m, TURN_CONNECTION_ID, &number) != BK_OK || by_number(t, number) != NULL)
        turn_link_fail(t, l, BK_ERR_MALFORMED, 0);
    else
        make_ready(t, l, number);
    if (code == TURN_CODE_ALLOCATION_MISMATCH)
        turn_take_unknown(t);
}

/* Section 4.4. Indications are not authenticated; it is believed as much as data are: only for
 * peers that have a permission, and there is nothing behind it but a connection to our server. */
enum bk_err turn_take_attempt(struct bk_turn *t, const struct stun_msg *m) {
    struct bk_addr peer;
    uint32_t number;
    if (!t->tcp || t->state != TURN_ON)
        return BK_ERR_NOT_OURS;
    if (stun_get_u32(m, TURN_CONNECTION_ID, &number) != BK_OK ||
        stun_get_addr(m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK)
        return BK_ERR_MALFORMED;
    const struct turn_perm *p = turn_peers_perm(&t->peers, &peer.ip);
    if (p == NULL || !p->wanted || by_number(t, number) != NULL)
        return BK_ERR_NOT_OURS;
    struct turn_link *l = new_link(t);
    if (l == NULL)
        return BK_ERR_FULL; /* the server gives it up after 30 s */
    l->peer = peer;
    l->incoming = true;
    make_ready(t, l, number);
    return BK_OK;
}

/* ---- ConnectionBind ----------------------------------------------------------------------- */

enum bk_err bk_turn_bind(struct bk_turn *turn, uint32_t connection, struct bk_time now) {
    struct turn_link *l = by_number(turn, connection);
    turn->now = bk_later(turn->now, now);
    if (l == NULL || l->state != LINK_READY || bk_due(l->expires, turn->now))
        return BK_ERR_NOT_FOUND;
    uint8_t *room = turn->links->room +
                    (size_t)l->task.chan * (turn->links->texts_len + turn->links->frame_len);
    creds_copy(&l->creds, room, &turn->creds);
    turn_stream_init(&l->in, room + turn->links->texts_len, turn->links->frame_len);
    l->state = LINK_JOINING;
    l->tell = false;
    turn_start(turn, &l->task, TASK_JOIN);
    return BK_OK;
}

bool bk_turn_next_bind(struct bk_turn *turn, uint32_t connection, struct bk_datagram *out) {
    struct turn_link *l = by_number(turn, connection);
    return l != NULL && l->state == LINK_JOINING && turn_put_out(turn, &l->task, out);
}

/* Section 4.3. BK_ERR_SHORT: nothing is decided. */
static enum bk_err judge(struct bk_turn *t, struct turn_link *l, const struct stun_msg *m) {
    struct stun_types unknown;
    uint16_t code = 0;
    if (!stun_txn_matches(&l->task.txn, m) || stun_check_fingerprint(m) == BK_ERR_NOT_OURS)
        return BK_ERR_MALFORMED; /* nothing else has any business here */
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    if (unknown.count > 0)
        return BK_ERR_MALFORMED;
    switch (creds_check(&l->creds, m)) {
    case STUN_LOGIN_ACCEPT:
        if (m->cls == STUN_ERROR && stun_get_error(m, &code, NULL) == BK_OK)
            return BK_ERR_REFUSED;
        return BK_OK;
    case STUN_LOGIN_RETRY:
        turn_start(t, &l->task, TASK_JOIN);
        return BK_ERR_SHORT;
    case STUN_LOGIN_IGNORE: /* RFC 8489 section 9.2.5: on a stream it ends the transaction */
    case STUN_LOGIN_REFUSED:
        break;
    }
    return BK_ERR_AUTH;
}

enum bk_err bk_turn_bind_recv(struct bk_turn *turn, uint32_t connection, const void *data,
                              size_t len, struct bk_time now, size_t *taken) {
    struct turn_link *l = by_number(turn, connection);
    struct stun_msg m;
    const uint8_t *bytes;
    size_t n;
    turn->now = bk_later(turn->now, now);
    if (l == NULL || l->state != LINK_JOINING)
        return BK_ERR_NOT_FOUND;
    turn_stream_push(&l->in, data, len);
    enum bk_err err = BK_ERR_SHORT;
    while (err == BK_ERR_SHORT) {
        err = turn_stream_next(&l->in, &bytes, &n);
        if (err == BK_ERR_SHORT && l->in.skipped > 0)
            err = BK_ERR_MALFORMED; /* far longer than any answer */
        if (err == BK_ERR_SHORT)
            return err;
        if (err == BK_OK)
            err = stun_parse(&m, bytes, n) == BK_OK ? judge(turn, l, &m) : BK_ERR_MALFORMED;
    }
    *taken = len - l->in.in_len;
    free_link(l);
    return err;
}

void bk_turn_unbind(struct bk_turn *turn, uint32_t connection) {
    struct turn_link *l = by_number(turn, connection);
    if (l != NULL)
        free_link(l);
}

/* ---- Time and events ---------------------------------------------------------------------- */

void turn_links_advance(struct bk_turn *t) {
    for (size_t i = 0; i < count(t); i++) {
        struct turn_link *l = &t->links->list[i];
        if (l->state == LINK_READY && bk_due(l->expires, t->now))
            free_link(l);
        if (l->state != LINK_ASKED && l->state != LINK_JOINING)
            continue;
        stun_txn_advance(&l->task.txn, t->now);
        if (l->task.txn.state == STUN_TXN_TIMED_OUT)
            turn_link_fail(t, l, BK_ERR_TIMEOUT, 0);
    }
}

struct bk_time turn_links_deadline(const struct bk_turn *t) {
    struct bk_time at = BK_NEVER;
    for (size_t i = 0; i < count(t); i++) {
        const struct turn_link *l = &t->links->list[i];
        if (l->state == LINK_READY)
            at = bk_earlier(at, l->expires);
        else if (l->state == LINK_ASKED || l->state == LINK_JOINING)
            at = bk_earlier(at, stun_txn_deadline(&l->task.txn));
    }
    return at;
}

bool turn_links_next_datagram(struct bk_turn *t, struct bk_datagram *out) {
    for (size_t i = 0; i < count(t); i++)
        if (t->links->list[i].state == LINK_ASKED && turn_put_out(t, &t->links->list[i].task, out))
            return true;
    return false;
}

struct turn_task *turn_links_task(const struct bk_turn *t, const struct stun_msg *m) {
    for (size_t i = 0; i < count(t); i++)
        if (t->links->list[i].state == LINK_ASKED &&
            stun_txn_matches(&t->links->list[i].task.txn, m))
            return &t->links->list[i].task;
    return NULL;
}

bool turn_links_next_event(struct bk_turn *t, struct bk_turn_event *out) {
    for (size_t i = 0; i < count(t); i++) {
        struct turn_link *l = &t->links->list[i];
        if (!l->tell)
            continue;
        l->tell = false;
        out->kind = l->state == LINK_OVER ? BK_TURN_NO_CONNECTION : BK_TURN_CONNECTION;
        out->peer = l->peer;
        out->connection = l->number;
        out->incoming = l->incoming;
        out->err = l->err;
        out->code = l->code;
        if (l->state == LINK_OVER)
            free_link(l);
        return true;
    }
    return false;
}
