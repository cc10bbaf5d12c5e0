/* SPDX-License-Identifier: MIT
 * Which request is due, and its bytes. */
#include "turn/client.h"

#include "base/assert.h"
#include "base/rng.h"
#include "stun/seal.h"
#include "wire/channel.h"

#include <string.h>

enum {
    CLOSE_TRIES = 3, /* a server that is silent is left to its timers */
    TCP_PROTOCOL = 6,
    UDP_PROTOCOL = 17,
    WIRE_IPV4 = 1,
    WIRE_IPV6 = 2,
    PEER_MAX = 24, /* XOR-PEER-ADDRESS with an IPv6 address */
    /* XOR-free attributes of an Allocate: transport, lifetime, family, even port 8 each,
     * DONT-FRAGMENT 4, SOFTWARE 12, an empty ticket 4, a reservation 12. */
    ALLOCATE_MAX = 64,
    SPARE_TOKEN = 256, /* for bk_turn_set_token() */
    SPARE_USER = 64
};

static const char software[] = "bodkin";

size_t turn_request_max(const struct creds *creds, const struct bk_turn_config *c) {
    size_t body = (size_t)TURN_BATCH * PEER_MAX, extra = 0;
    if (c->token != NULL)
        extra += 4 + c->token_len + SPARE_TOKEN + 3 + SPARE_USER;
    if (c->mobility)
        extra += 4 + TURN_CLIENT_TICKET_MAX + 3;
    return STUN_HEADER_LEN + (body > ALLOCATE_MAX ? body : ALLOCATE_MAX) + creds_put_max(creds) +
           extra;
}

void turn_start(struct bk_turn *t, struct turn_task *task, enum task_kind kind) {
    struct stun_txn_config config = stun_txn_config_default;
    uint8_t txid[STUN_TXID_LEN];
    config.rto_us = t->rto_us;
    config.rc = t->tries;
    config.reliable = t->stream;
    if (kind == TASK_RELEASE && config.rc > CLOSE_TRIES) {
        config.rc = CLOSE_TRIES;
        config.rm = 4;
        config.ti_us = 2 * BK_US_PER_S;
    }
    rng_fill(&t->rng, txid, sizeof txid);
    task->kind = (uint8_t)kind;
    task->version = t->creds.version;
    stun_txn_start(&task->txn, &config, txid, t->now);
}

void turn_stop(struct bk_turn *t, struct turn_task *task) {
    uint8_t number = (uint8_t)(task - t->tasks + 1);
    for (size_t i = 0; task->kind == TASK_PERMIT && i < t->peers.max; i++)
        if (t->peers.perms[i].task == number)
            t->peers.perms[i].task = 0;
    if (task->kind == TASK_BIND)
        t->peers.chans[task->chan].task = 0;
    task->kind = TASK_NONE;
    stun_txn_stop(&task->txn);
    if (t->state == TURN_ON)
        t->peers_at = t->now; /* there is room for another request */
}

static struct turn_task *free_task(struct bk_turn *t) {
    for (size_t i = 1; i < TURN_TASKS; i++)
        if (t->tasks[i].kind == TASK_NONE)
            return &t->tasks[i];
    return NULL;
}

static bool perm_is_due(const struct bk_turn *t, const struct turn_perm *p) {
    return (p->state == PERM_ASKED || p->state == PERM_ON) && p->task == 0 &&
           bk_due(p->renew, t->now);
}

/* One request for several peers, unless one of them may be refused for all (section 10.2). */
static void start_permit(struct bk_turn *t, size_t first) {
    struct turn_task *task = free_task(t);
    if (task == NULL)
        return;
    uint8_t number = (uint8_t)(task - t->tasks + 1);
    bool alone = t->peers.perms[first].alone;
    t->peers.perms[first].task = number;
    for (size_t i = first + 1, n = 1; !alone && i < t->peers.max && n < TURN_BATCH; i++) {
        struct turn_perm *p = &t->peers.perms[i];
        if (!perm_is_due(t, p) || p->alone)
            continue;
        p->task = number;
        n++;
    }
    turn_start(t, task, TASK_PERMIT);
}

static bool chan_is_due(const struct bk_turn *t, const struct turn_chan *c) {
    return (c->state == CHAN_ASKED || c->state == CHAN_BOUND) && c->task == 0 &&
           bk_due(c->renew, t->now);
}

static void start_bind(struct bk_turn *t, size_t chan) {
    struct turn_task *task = free_task(t);
    if (task == NULL)
        return;
    t->peers.chans[chan].task = (uint8_t)(task - t->tasks + 1);
    task->chan = (uint16_t)chan;
    turn_start(t, task, TASK_BIND);
}

/* When must the tables be looked at again? What is due now and found no free task waits for
 * turn_stop(). */
static struct bk_time next_look(const struct bk_turn *t) {
    struct bk_time at = BK_NEVER;
    for (size_t i = 0; i < t->peers.max; i++) {
        const struct turn_perm *p = &t->peers.perms[i];
        const struct turn_chan *c = &t->peers.chans[i];
        if (p->state != PERM_FREE && p->task == 0 && bk_before(t->now, p->renew))
            at = bk_earlier(at, p->renew);
        if (c->state == CHAN_LINGER && bk_before(t->now, c->expires))
            at = bk_earlier(at, c->expires);
        else if (c->state != CHAN_FREE && c->task == 0 && bk_before(t->now, c->renew))
            at = bk_earlier(at, c->renew);
    }
    return at;
}

static void pump_peers(struct bk_turn *t) {
    turn_peers_tidy(&t->peers, t->now);
    for (size_t i = 0; i < t->peers.max; i++) {
        struct turn_chan *c = &t->peers.chans[i];
        if (c->state == CHAN_BOUND && bk_due(c->expires, t->now))
            c->state = CHAN_ASKED; /* nobody answered for minutes: Send indications until then */
        if (chan_is_due(t, c))
            start_bind(t, i);
        if (perm_is_due(t, &t->peers.perms[i]))
            start_permit(t, i);
    }
    t->peers_at = next_look(t);
}

void turn_pump(struct bk_turn *t) {
    struct turn_task *main = &t->tasks[0];
    if (t->state == TURN_ALLOCATING && main->kind == TASK_NONE && bk_due(t->retry_at, t->now)) {
        t->retry_at = BK_NEVER;
        turn_start(t, main, TASK_ALLOCATE);
    }
    if (t->state != TURN_ON)
        return;
    if (main->kind == TASK_NONE && bk_due(t->refresh_at, t->now))
        turn_start(t, main, TASK_REFRESH);
    if (bk_due(t->peers_at, t->now) && !t->adrift) /* nobody knows us before the Refresh */
        pump_peers(t);
}

/* RFC 8656 section 7.1; the reserved bits stay 0, section 18.6. */
static void put_allocate(const struct bk_turn *t, struct stun_builder *b) {
    /* RFC 6062 section 4.1 for TCP */
    uint32_t protocol = t->tcp ? TCP_PROTOCOL : UDP_PROTOCOL;
    bool redeems = t->reservation != 0 && !t->reserve;
    stun_put_u32(b, TURN_REQUESTED_TRANSPORT, protocol << 24); /* MUST */
    if (t->lifetime_wanted_s != 0)
        stun_put_u32(b, TURN_LIFETIME, t->lifetime_wanted_s);
    if (redeems) /* RFC 8656 section 7.1: MUST NOT be beside EVEN-PORT or a family */
        stun_put_u64(b, TURN_RESERVATION_TOKEN, t->reservation);
    else if (t->family == BK_IPV6)
        stun_put_u32(b, TURN_REQUESTED_ADDRESS_FAMILY, (uint32_t)WIRE_IPV6 << 24);
    if (t->both)
        stun_put_u32(b, TURN_ADDITIONAL_ADDRESS_FAMILY, (uint32_t)WIRE_IPV6 << 24);
    if (t->reserve)
        stun_put_bytes(b, TURN_EVEN_PORT, "\x80", 1); /* R: and the next one for later */
    else if (t->even_port)
        stun_put_bytes(b, TURN_EVEN_PORT, "", 1);
    if (t->mobility) /* RFC 8016 section 3.1.1: empty */
        stun_put_bytes(b, TURN_MOBILITY_TICKET, "", 0);
    if (t->dont_fragment)
        stun_put_flag(b, TURN_DONT_FRAGMENT);
}

/* RFC 8656 section 10.1: one or more peers. */
static void put_permissions(const struct bk_turn *t, const struct turn_task *task,
                            struct stun_builder *b) {
    uint8_t number = (uint8_t)(task - t->tasks + 1);
    for (size_t i = 0; i < t->peers.max; i++) {
        const struct turn_perm *p = &t->peers.perms[i];
        const struct bk_addr peer = bk_addr(p->ip, p->port);
        if (p->task == number)
            stun_put_addr(b, TURN_XOR_PEER_ADDRESS, &peer);
    }
}

static uint16_t method_of(enum task_kind kind) {
    switch (kind) {
    case TASK_NONE:
    case TASK_ALLOCATE:
        break;
    case TASK_REFRESH:
    case TASK_RELEASE:
        return TURN_REFRESH;
    case TASK_PERMIT:
        return TURN_CREATE_PERMISSION;
    case TASK_BIND:
        return TURN_CHANNEL_BIND;
    case TASK_CONNECT:
        return TURN_METHOD_CONNECT;
    case TASK_JOIN:
        return TURN_CONNECTION_BIND;
    }
    return TURN_ALLOCATE;
}

/* RFC 8016 section 3.2.1: the ticket MUST NOT go from an address that has the allocation. */
static void put_ticket(const struct bk_turn *t, struct stun_builder *b) {
    if (t->adrift && t->ticket_len > 0)
        stun_put_bytes(b, TURN_MOBILITY_TICKET, t->ticket, t->ticket_len);
}

/* RFC 7635 section 9: MUST be in Allocate and Refresh only. Departs from it for ConnectionBind,
 * which comes from another 5-tuple, for which the server can have remembered none. */
static void put_token(const struct bk_turn *t, const struct turn_task *task,
                      struct stun_builder *b) {
    bool fits = task->kind == TASK_ALLOCATE || task->kind == TASK_REFRESH ||
                task->kind == TASK_RELEASE || task->kind == TASK_JOIN;
    if (t->access != NULL && fits)
        stun_put_bytes(b, STUN_ACCESS_TOKEN, t->access->bytes, t->access->len);
}

static void put_body(const struct bk_turn *t, const struct turn_task *task,
                     struct stun_builder *b) {
    switch ((enum task_kind)task->kind) {
    case TASK_NONE:
        break;
    case TASK_ALLOCATE:
        put_allocate(t, b);
        break;
    case TASK_REFRESH:
        if (t->lifetime_wanted_s != 0)
            stun_put_u32(b, TURN_LIFETIME, t->lifetime_wanted_s);
        put_ticket(t, b);
        break;
    case TASK_RELEASE:
        stun_put_u32(b, TURN_LIFETIME, 0);
        put_ticket(t, b);
        break;
    case TASK_CONNECT: /* RFC 6062 section 4.3 */
        stun_put_addr(b, TURN_XOR_PEER_ADDRESS, &t->links->list[task->chan].peer);
        break;
    case TASK_JOIN:
        stun_put_u32(b, TURN_CONNECTION_ID, t->links->list[task->chan].number);
        break;
    case TASK_PERMIT:
        put_permissions(t, task, b);
        break;
    case TASK_BIND:
        stun_put_port(b, TURN_CHANNEL_NUMBER, (uint16_t)(CHANNEL_MIN + task->chan));
        stun_put_addr(b, TURN_XOR_PEER_ADDRESS, &t->peers.chans[task->chan].peer);
        break;
    }
}

struct creds *turn_creds_of(struct bk_turn *t, const struct turn_task *task) {
    return task->kind == TASK_JOIN ? &t->links->list[task->chan].creds : &t->creds;
}

size_t turn_build(struct bk_turn *t, const struct turn_task *task) {
    const struct creds *creds = turn_creds_of(t, task);
    uint16_t method = method_of((enum task_kind)task->kind);
    struct stun_builder b = stun_start(t->work, t->work_len, STUN_REQUEST, method, task->txn.txid);
    size_t len = 0;
    put_body(t, task, &b);
    if (method == TURN_ALLOCATE || method == TURN_REFRESH) /* RFC 8656 section 5: SHOULD */
        stun_put_bytes(&b, STUN_SOFTWARE, software, sizeof software - 1);
    if (creds->ready)
        put_token(t, task, &b);
    creds_put(creds, &b);
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK);
    return len;
}
