/* SPDX-License-Identifier: MIT
 * TCP allocations, RFC 6062: Connect, ConnectionBind, ConnectionAttempt. The bytes between client
 * and peer are the caller's; here is who may be joined to whom. */
#include "turn/service_int.h"

#include "stun/seal.h"

#include <string.h>

/* The caller gives up after 30 s and says so: section 5.2. This is for one who never does. */
#define CONNECT_US (60 * BK_US_PER_S)
#define BIND_US (30 * BK_US_PER_S) /* sections 5.2 and 5.3: MUST be closed after */

enum { RULE_CONNS_MAX = 64 }; /* of one allocation */

static void push(struct turn_service *s, enum turn_action_kind kind, uint32_t conn) {
    const struct turn_due due = {.kind = (uint8_t)kind,
                                 .id = turn_conn_at(&s->conns, conn)->number};
    turn_service_push(s, &due);
}

void turn_conn_end(struct turn_service *s, uint32_t i, bool cut) {
    struct turn_alloc *a = turn_service_alloc(s, turn_conn_at(&s->conns, i)->owner);
    if (cut)
        push(s, TURN_CUT, i);
    turn_conns_remove(&s->conns, a, i);
}

static void wait_for(struct turn_service *s, uint32_t i, enum turn_conn_state state, int64_t us) {
    turn_conn_at(&s->conns, i)->state = state;
    waits_set(&s->conns.waits, i, us == 0 ? BK_NEVER : bk_after(s->now, us), s->now);
}

/* ---- Connect ------------------------------------------------------------------------------ */

/* RFC 6062 section 5.2. 0: *peer may be connected to. */
static uint16_t judge_connect(struct turn_service *s, struct turn_ask *ask, struct bk_addr *peer) {
    const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    if (a->relayed != BK_TCP || stun_get_addr(&ask->m, TURN_XOR_PEER_ADDRESS, peer) != BK_OK ||
        peer->port == 0)
        return STUN_CODE_BAD_REQUEST;
    ask->peer = *peer;
    uint16_t code = turn_peer_judge(s, a, peer);
    if (code == 0 && !turn_peer_is_open(s, peer))
        code = STUN_CODE_FORBIDDEN;
    if (code != 0)
        return code;
    if (turn_conns_by_peer(&s->conns, ask->alloc, peer) != TURN_NONE)
        return TURN_CODE_CONNECTION_EXISTS; /* MUST: one under way, waiting or in use */
    bool room = a->conns < RULE_CONNS_MAX && turn_service_has_room(s, 1);
    return room ? 0 : TURN_CODE_INSUFFICIENT_CAPACITY;
}

static void keep_reply(struct turn_reply *r, const struct turn_ask *ask) {
    memcpy(r->txid, ask->m.txid, STUN_TXID_LEN);
    r->key_len = (uint8_t)ask->user.key.len;
    memcpy(r->key, ask->user.key.bytes, r->key_len);
    r->sha256 = ask->claim.sha256;
    r->fingerprint = ask->m.fingerprint_at != 0;
}

/* A request that is being worked on: its retransmission is not another one. */
static bool is_under_way(const struct turn_service *s, const struct turn_ask *ask) {
    uint32_t i = turn_service_alloc(s, ask->alloc)->first_conn;
    for (; i != TURN_NONE; i = turn_conn_at(&s->conns, i)->next)
        if (turn_conn_at(&s->conns, i)->state == TURN_CONN_CONNECTING &&
            memcmp(turn_conn_at(&s->conns, i)->reply.txid, ask->m.txid, STUN_TXID_LEN) == 0)
            return true;
    return false;
}

void turn_do_connect(struct turn_service *s, struct turn_ask *ask) {
    struct bk_addr peer;
    if (is_under_way(s, ask))
        return;
    uint16_t code = judge_connect(s, ask, &peer);
    uint32_t i = TURN_NONE;
    if (code == 0 && ask->user.key.len <= sizeof turn_conn_at(&s->conns, 0)->reply.key)
        i = turn_conns_add(&s->conns, turn_service_alloc(s, ask->alloc), ask->alloc, &peer);
    if (code == 0 && i == TURN_NONE) {
        turn_refuse(s, ask, TURN_RULE_ROOM, TURN_CODE_INSUFFICIENT_CAPACITY);
        code = TURN_CODE_INSUFFICIENT_CAPACITY;
    }
    if (code != 0) {
        turn_answer_error(s, ask, code);
        return;
    }
    keep_reply(&turn_conn_at(&s->conns, i)->reply, ask);
    wait_for(s, i, TURN_CONN_CONNECTING, CONNECT_US);
    push(s, TURN_CONNECT, i);
}

/* The answer to Connect, section 5.2: CONNECTION-ID, or 447. */
static void answer_connect(struct turn_service *s, const struct turn_conn *c, uint16_t code) {
    const struct turn_reply *r = &c->reply;
    size_t len = 0;
    struct stun_builder b = stun_start(s->buf, TURN_OUT_MAX, code == 0 ? STUN_SUCCESS : STUN_ERROR,
                                       TURN_METHOD_CONNECT, r->txid);
    if (code == 0)
        stun_put_u32(&b, TURN_CONNECTION_ID, c->number);
    else
        stun_put_error(&b, code, NULL);
    struct stun_key key = {.len = r->key_len};
    memcpy(key.bytes, r->key, r->key_len);
    const struct stun_claim claim = {.sha256 = r->sha256};
    stun_claim_sign(&claim, &b, &key);
    if (r->fingerprint)
        stun_put_fingerprint(&b);
    if (stun_finish(&b, &len) == BK_OK)
        turn_service_to_client(s, turn_service_alloc(s, c->owner), len);
}

void turn_service_connected(struct turn_service *service, uint32_t connection, enum bk_err err,
                            struct bk_time now) {
    uint32_t i = turn_conns_by_number(&service->conns, connection);
    turn_service_begin(service, now);
    if (i == TURN_NONE || turn_conn_at(&service->conns, i)->state != TURN_CONN_CONNECTING)
        return;
    answer_connect(service, turn_conn_at(&service->conns, i),
                   err == BK_OK ? 0 : TURN_CODE_CONNECTION_FAILED);
    if (err == BK_OK)
        wait_for(service, i, TURN_CONN_WAITING, BIND_US);
    else
        turn_conn_end(service, i, false);
}

/* ---- ConnectionAttempt -------------------------------------------------------------------- */

/* RFC 6062 section 5.3. */
static void tell_attempt(struct turn_service *s, const struct turn_conn *c) {
    uint8_t txid[STUN_TXID_LEN];
    size_t len = 0;
    s->rng.fill(s->rng.ctx, txid, sizeof txid);
    struct stun_builder b =
        stun_start(s->buf, TURN_OUT_MAX, STUN_INDICATION, TURN_CONNECTION_ATTEMPT, txid);
    stun_put_u32(&b, TURN_CONNECTION_ID, c->number);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &c->peer);
    if (stun_finish(&b, &len) == BK_OK)
        turn_service_to_client(s, turn_service_alloc(s, c->owner), len);
}

enum bk_err turn_service_accepted(struct turn_service *service, const struct bk_addr *local,
                                  const struct bk_addr *peer, struct bk_time now,
                                  uint32_t *connection) {
    turn_service_begin(service, now);
    uint32_t owner = turn_relay_owner(service, local);
    if (owner == TURN_NONE || turn_service_alloc(service, owner)->relayed != BK_TCP)
        return BK_ERR_AUTH;
    struct turn_alloc *a = turn_service_alloc(service, owner);
    uint32_t p = turn_permissions_find(&service->perms, owner, &peer->ip);
    if (p == TURN_NONE || bk_due(turn_permission_at(&service->perms, p)->wait.when, service->now)) {
        service->counts[TURN_COUNT_DROP_PEER]++;
        return BK_ERR_AUTH; /* section 5.3: MUST be closed at once */
    }
    if (a->conns >= RULE_CONNS_MAX || !turn_service_has_room(service, 1))
        return BK_ERR_FULL;
    uint32_t i = turn_conns_add(&service->conns, a, owner, peer);
    if (i == TURN_NONE)
        return BK_ERR_FULL;
    wait_for(service, i, TURN_CONN_WAITING, BIND_US);
    *connection = turn_conn_at(&service->conns, i)->number;
    tell_attempt(service, turn_conn_at(&service->conns, i));
    return BK_OK;
}

/* ---- ConnectionBind ----------------------------------------------------------------------- */

/* RFC 6062 section 5.4. The request comes on a connection of its own, which has no allocation. */
void turn_do_connection_bind(struct turn_service *s, struct turn_ask *ask) {
    uint32_t number;
    if (ask->in->protocol != BK_TCP || ask->alloc != TURN_NONE ||
        stun_get_u32(&ask->m, TURN_CONNECTION_ID, &number) != BK_OK) {
        turn_answer_error(s, ask, STUN_CODE_BAD_REQUEST); /* MUST */
        return;
    }
    uint16_t worker = turn_conn_worker(number);
    if (worker != s->config.worker && worker < s->config.workers) {
        turn_service_pass(s, worker);
        return;
    }
    uint32_t i = turn_conns_by_number(&s->conns, number);
    struct turn_conn *c = i == TURN_NONE ? NULL : turn_conn_at(&s->conns, i);
    if (c == NULL || c->state != TURN_CONN_WAITING) {
        turn_answer_error(s, ask, STUN_CODE_BAD_REQUEST);
        return;
    }
    if (turn_service_alloc(s, c->owner)->user != ask->user.id) {
        turn_answer_error(s, ask, TURN_CODE_WRONG_CREDENTIALS); /* MUST be the same user */
        return;
    }
    wait_for(s, i, TURN_CONN_JOINED, 0);
    push(s, TURN_JOIN, i);
    turn_answer_start(s, ask);
    turn_answer_send(s, ask);
}

void turn_service_disconnected(struct turn_service *service, uint32_t connection,
                               struct bk_time now) {
    uint32_t i = turn_conns_by_number(&service->conns, connection);
    turn_service_begin(service, now);
    if (i == TURN_NONE)
        return;
    if (turn_conn_at(&service->conns, i)->state == TURN_CONN_CONNECTING)
        answer_connect(service, turn_conn_at(&service->conns, i), TURN_CODE_CONNECTION_FAILED);
    turn_conn_end(service, i, false);
}

void turn_conns_expire(struct turn_service *s) {
    uint32_t i;
    while (waits_take_due(&s->conns.waits, s->now, &i))
        turn_conn_end(s, i, true);
}
