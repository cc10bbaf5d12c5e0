/* SPDX-License-Identifier: MIT
 * What an answer, or silence, changes. */
#include "turn/client.h"

#include "stun/seal.h"

#include <string.h>

#define RENEW_PERMISSION_US (240 * BK_US_PER_S) /* a minute before it ends, RFC 8656 section 9 */
#define CHANNEL_US (600 * BK_US_PER_S)          /* RFC 8656 section 12 */
#define RENEW_CHANNEL_US (510 * BK_US_PER_S)
#define AGAIN_US (5 * BK_US_PER_S)          /* after an error that may pass */
#define REFRESH_EARLY_US (90 * BK_US_PER_S) /* room for two full rounds of retransmission */
#define MISMATCH_US (250 * BK_US_PER_MS)

/* ---- The allocation ----------------------------------------------------------------------- */

/* Lifetimes count from when the request was sent: the server's own count cannot be ahead. Refreshed
 * in time, RFC 8656 section 8. */
static void note_lifetime(struct bk_turn *t, const struct turn_task *task, uint32_t lifetime_s) {
    int64_t us = (int64_t)lifetime_s * BK_US_PER_S;
    int64_t early_us = us / 2 < REFRESH_EARLY_US ? us / 2 : REFRESH_EARLY_US;
    t->lifetime_s = lifetime_s;
    t->expires = bk_after(task->txn.started, us);
    t->refresh_at = bk_after(task->txn.started, us - early_us);
}

/* RFC 8656 section 7.3: the addresses MUST be of a family that was asked for. With `both` there are
 * two XOR-RELAYED-ADDRESS attributes. */
static bool read_relayed(const struct bk_turn *t, const struct stun_msg *m, struct bk_addr *first,
                         struct bk_addr *second) {
    struct stun_iter it = stun_attrs(m);
    struct stun_attr a;
    first->ip.family = second->ip.family = BK_FAMILY_NONE;
    while (stun_next_attr(&it, &a)) {
        struct bk_addr addr;
        if (a.type != TURN_XOR_RELAYED_ADDRESS)
            continue;
        if (stun_read_addr(m, &a, &addr) != BK_OK || addr.port == 0)
            return false;
        if (addr.ip.family == t->family)
            *first = addr;
        else if (t->both && addr.ip.family == BK_IPV6)
            *second = addr;
        else
            return false;
    }
    if (first->ip.family == BK_FAMILY_NONE) { /* section 7.2 point 9: partly met is a success */
        *first = *second;
        second->ip.family = BK_FAMILY_NONE;
    }
    return first->ip.family != BK_FAMILY_NONE;
}

/* RFC 8656 section 7.3: the next port is held for whoever brings this. */
static void keep_reservation(struct bk_turn *t, const struct stun_msg *m) {
    if (t->reserve && stun_get_u64(m, TURN_RESERVATION_TOKEN, &t->reservation) != BK_OK)
        t->reservation = 0;
}

static void take_allocation(struct bk_turn *t, struct turn_task *task, const struct stun_msg *m) {
    struct bk_addr relayed = {.port = 0}, relayed6 = {.port = 0}, mapped = {.port = 0};
    uint32_t lifetime_s = 0;
    struct stun_rtt rtt = stun_txn_answer(&task->txn, t->now);
    bool ok = read_relayed(t, m, &relayed, &relayed6) &&
              stun_get_u32(m, TURN_LIFETIME, &lifetime_s) == BK_OK && lifetime_s > 0 &&
              stun_get_addr(m, STUN_XOR_MAPPED_ADDRESS, &mapped) == BK_OK;
    if (!ok) { /* RFC 8656 section 7.3: MUST delete it and MUST NOT try again */
        turn_stop(t, task);
        turn_become(t, TURN_CLOSING);
        t->err = BK_ERR_MALFORMED;
        return;
    }
    turn_become(t, TURN_ON);
    note_lifetime(t, task, lifetime_s);
    t->relayed = relayed;
    t->relayed6 = relayed6;
    t->mapped = mapped;
    t->adrift = false;
    turn_keep_ticket(t, m);
    keep_reservation(t, m);
    t->rtt_us = rtt.exact ? rtt.us : -1;
    t->mismatches = t->retries = 0;
    t->asked_anew = false;
    t->err = BK_OK;
    t->code = 0;
    t->news |= NEWS_ALLOCATED;
    turn_peers_restart(&t->peers, t->now);
    t->peers_at = t->now;
}

/* 437: the server holds an allocation on this 5-tuple, left by somebody before us, perhaps by us.
 * RFC 8656 section 7.4 would take another local port; that is the caller's to do. What we can do is
 * to release it, which works if the user is the same. */
static void take_mismatch(struct bk_turn *t, struct turn_task *task) {
    turn_stop(t, task);
    if (++t->mismatches >= TURN_MISMATCH_MAX) {
        turn_fail(t, BK_ERR_REFUSED, TURN_CODE_ALLOCATION_MISMATCH);
        return;
    }
    turn_become(t, TURN_RELEASING);
}

static void allocate_later(struct bk_turn *t, struct turn_task *task, int64_t delay_us) {
    turn_stop(t, task);
    t->retry_at = bk_after(t->now, delay_us);
}

static bool lists_dont_fragment(const struct stun_msg *m) {
    struct stun_types types = {.count = 0};
    bool found = false;
    if (stun_get_unknown(m, &types) != BK_OK)
        return false;
    for (size_t i = 0; i < types.count; i++)
        found = found || types.types[i] == TURN_DONT_FRAGMENT;
    return found;
}

/* RFC 8656 section 7.4. */
static void take_allocate_error(struct bk_turn *t, struct turn_task *task, const struct stun_msg *m,
                                uint16_t code) {
    if (code == STUN_CODE_TRY_ALTERNATE) {
        turn_stop(t, task);
        turn_redirect(t, m);
    } else if (code == TURN_CODE_MOBILITY_FORBIDDEN && t->mobility) {
        t->mobility = false; /* RFC 8016 section 3.1.4: not asked for again */
        allocate_later(t, task, 0);
    } else if (code == TURN_CODE_ALLOCATION_MISMATCH) {
        take_mismatch(t, task);
    } else if (code == STUN_CODE_UNKNOWN_ATTRIBUTE && t->dont_fragment && lists_dont_fragment(m)) {
        t->dont_fragment = false;
        allocate_later(t, task, 0);
    } else if (code == STUN_CODE_SERVER_ERROR && t->retries < 2) {
        t->retries++; /* RFC 8489 section 6.3.4: may be sent again, a limited number of times */
        allocate_later(t, task, BK_US_PER_S);
    } else {
        turn_stop(t, task);
        turn_fail(t, BK_ERR_REFUSED, code);
    }
}

/* RFC 8656 sections 5 and 8.3. Only 437 says that it is gone; all else may pass before it expires.
 */
static void take_refresh(struct bk_turn *t, struct turn_task *task, const struct stun_msg *m,
                         uint16_t code) {
    uint32_t lifetime_s = 0;
    bool fine = code == 0 && stun_get_u32(m, TURN_LIFETIME, &lifetime_s) == BK_OK && lifetime_s > 0;
    if (fine)
        note_lifetime(t, task, lifetime_s);
    else
        t->refresh_at = bk_after(t->now, AGAIN_US);
    turn_stop(t, task);
    if (fine) {
        turn_keep_ticket(t, m);
        t->mismatches = t->adrift ? t->mismatches : 0;
    }
    if (code == TURN_CODE_ALLOCATION_MISMATCH)
        turn_take_unknown(t);
    else if (t->adrift && (fine || code != 0))
        turn_take_moved(t, code);
}

/* Whatever the answer is, there is nothing more to do (437: section 8.3). */
static void take_release(struct bk_turn *t, struct turn_task *task, uint16_t code) {
    turn_stop(t, task);
    if (t->state == TURN_CLOSING) {
        t->news |= t->err == BK_OK ? NEWS_CLOSED : NEWS_FAILED;
        turn_become(t, TURN_DONE);
    } else if (code == TURN_CODE_WRONG_CREDENTIALS) { /* somebody else's */
        turn_fail(t, BK_ERR_REFUSED, TURN_CODE_ALLOCATION_MISMATCH);
    } else {
        turn_become(t, TURN_ALLOCATING);
        t->retry_at = bk_after(t->now, t->mismatches == 1 ? 0 : MISMATCH_US << t->mismatches);
    }
}

/* ---- Peers -------------------------------------------------------------------------------- */

/* May this error be different in a while? */
static bool may_pass(uint16_t code) {
    return code == STUN_CODE_SERVER_ERROR || code == STUN_CODE_TRY_ALTERNATE;
}

static void permitted(struct bk_turn *t, struct turn_perm *p, struct bk_time since) {
    if (p->state == PERM_ASKED && p->wanted)
        turn_peers_tell_perm(&t->peers, p);
    p->state = PERM_ON;
    p->renew = bk_after(since, RENEW_PERMISSION_US);
}

static void judge_permission(struct bk_turn *t, struct turn_perm *p, struct bk_time since,
                             uint16_t code, bool batch) {
    bool unwanted = !p->wanted && p->channels == 0;
    if (unwanted || p->state == PERM_REFUSED)
        return;
    if (code == 0) {
        permitted(t, p, since);
    } else if (batch) { /* section 10.2: one forbidden address refuses them all */
        p->alone = true;
        p->renew = t->now;
    } else if (may_pass(code) || (code == TURN_CODE_INSUFFICIENT_CAPACITY && p->state == PERM_ON)) {
        p->renew = bk_after(t->now, AGAIN_US);
    } else {
        turn_peers_refuse(&t->peers, p, code, t->now);
    }
}

/* RFC 8656 section 10.3. */
static void take_permit(struct bk_turn *t, struct turn_task *task, uint16_t code) {
    uint8_t number = (uint8_t)(task - t->tasks + 1);
    struct bk_time since = task->txn.started;
    size_t count = 0;
    for (size_t i = 0; i < t->peers.max; i++)
        count += t->peers.perms[i].task == number;
    for (size_t i = 0; code != TURN_CODE_ALLOCATION_MISMATCH && i < t->peers.max; i++)
        if (t->peers.perms[i].task == number)
            judge_permission(t, &t->peers.perms[i], since, code, count > 1);
    turn_stop(t, task);
    if (code == TURN_CODE_ALLOCATION_MISMATCH)
        turn_take_unknown(t);
}

static void bound(struct bk_turn *t, struct turn_chan *c, struct bk_time since) {
    struct turn_perm *p = &t->peers.perms[c->perm];
    if (c->state == CHAN_ASKED)
        turn_peers_tell_chan(&t->peers, c);
    c->state = CHAN_BOUND;
    c->expires = bk_after(since, CHANNEL_US);
    c->renew = bk_after(since, RENEW_CHANNEL_US);
    permitted(t, p, since); /* section 12.3 */
}

/* RFC 8656 section 12.3 recommends a new allocation when the server refuses a channel unexpectedly
 * (400). This departs from it: the relayed address is worth more than 32 bytes a packet, so Send
 * indications stand in. */
static void take_bind(struct bk_turn *t, struct turn_task *task, uint16_t code) {
    struct turn_chan *c = &t->peers.chans[task->chan];
    struct turn_perm *p = &t->peers.perms[c->perm];
    struct bk_time since = task->txn.started;
    turn_stop(t, task);
    if (code == TURN_CODE_ALLOCATION_MISMATCH) {
        turn_take_unknown(t);
    } else if (c->state == CHAN_LINGER) {
        return; /* forgotten meanwhile */
    } else if (code == 0) {
        bound(t, c, since);
    } else if (may_pass(code)) {
        c->renew = bk_after(t->now, AGAIN_US);
    } else if (code == STUN_CODE_BAD_REQUEST || code == TURN_CODE_INSUFFICIENT_CAPACITY) {
        c->state = CHAN_REFUSED;
        c->renew = BK_NEVER;
        p->wanted = true; /* its permission alone, then, and to be told */
        p->renew = t->now;
    } else {
        turn_peers_refuse(&t->peers, p, code, t->now);
    }
}

/* ---- All answers -------------------------------------------------------------------------- */

/* The server does not take our name and password (any more). */
static void take_refusal(struct bk_turn *t, struct turn_task *task, uint16_t code) {
    bool allocate = task->kind == TASK_ALLOCATE;
    if (task->kind == TASK_RELEASE) {
        take_release(t, task, code);
    } else if (allocate && t->creds.ready && !t->asked_anew) {
        t->asked_anew = true; /* the challenge we know may be a former server's: once, from zero */
        creds_restart(&t->creds);
        turn_start(t, task, TASK_ALLOCATE);
    } else if (allocate) {
        turn_stop(t, task);
        turn_fail(t, BK_ERR_AUTH, code);
    } else if (task->kind == TASK_CONNECT) {
        turn_link_fail(t, &t->links->list[task->chan], BK_ERR_AUTH, code);
    } else if (task->kind == TASK_REFRESH && (t->adrift || t->access != NULL) && !t->asked_anew) {
        t->asked_anew = true; /* of an address or for a token that the server has not seen yet */
        creds_restart(&t->creds);
        turn_start(t, task, TASK_REFRESH);
    } else if (task->kind == TASK_REFRESH && t->adrift) {
        turn_stop(t, task);
        turn_lose(t, BK_ERR_AUTH, code);
    } else if (task->kind == TASK_REFRESH) {
        turn_stop(t, task);
        t->refresh_at =
            BK_NEVER; /* RFC 8489 section 9.2.5: not again; what we have lasts a while */
        t->err = BK_ERR_AUTH;
        t->code = code;
    } else if (task->kind == TASK_PERMIT) {
        take_permit(t, task, code);
    } else {
        take_bind(t, task, code);
    }
}

static void take_answer(struct bk_turn *t, struct turn_task *task, const struct stun_msg *m) {
    uint16_t code = 0;
    if (m->cls == STUN_ERROR && stun_get_error(m, &code, NULL) != BK_OK)
        return; /* creds_check() has seen to it that there is one */
    switch ((enum task_kind)task->kind) {
    case TASK_NONE:
        break;
    case TASK_ALLOCATE:
        if (code == 0)
            take_allocation(t, task, m);
        else
            take_allocate_error(t, task, m, code);
        break;
    case TASK_REFRESH:
        take_refresh(t, task, m, code);
        break;
    case TASK_RELEASE:
        take_release(t, task, code);
        break;
    case TASK_PERMIT:
        take_permit(t, task, code);
        break;
    case TASK_BIND:
        take_bind(t, task, code);
        break;
    case TASK_CONNECT:
        turn_link_answered(t, &t->links->list[task->chan], m, code);
        break;
    case TASK_JOIN:
        break; /* comes on its own connection */
    }
}

static struct turn_task *task_of(struct bk_turn *t, const struct stun_msg *m) {
    for (size_t i = 0; i < TURN_TASKS; i++)
        if (t->tasks[i].kind != TASK_NONE && stun_txn_matches(&t->tasks[i].txn, m))
            return &t->tasks[i];
    return turn_links_task(t, m);
}

/* 438 to a request that was made with a nonce we have replaced since: several were under way. It
 * says nothing new, and must not count as the server refusing nonce after nonce. */
static bool is_old_news(const struct bk_turn *t, const struct turn_task *task,
                        const struct stun_msg *m) {
    uint16_t code = 0;
    return task->version != t->creds.version && m->cls == STUN_ERROR &&
           stun_get_error(m, &code, NULL) == BK_OK && code == STUN_CODE_STALE_NONCE;
}

enum bk_err turn_take_response(struct bk_turn *t, const struct stun_msg *m) {
    struct turn_task *task = task_of(t, m);
    struct stun_types unknown;
    uint16_t code = 0;
    if (task == NULL || stun_check_fingerprint(m) == BK_ERR_NOT_OURS)
        return BK_ERR_NOT_OURS;
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    if (unknown.count > 0)
        return BK_ERR_MALFORMED; /* RFC 8489 sections 6.3.3 and 6.3.4 */
    if (is_old_news(t, task, m)) {
        turn_start(t, task, (enum task_kind)task->kind);
        return BK_OK;
    }
    switch (creds_check(&t->creds, m)) {
    case STUN_LOGIN_ACCEPT:
        take_answer(t, task, m);
        break;
    case STUN_LOGIN_RETRY:
        turn_start(t, task, (enum task_kind)task->kind);
        break;
    case STUN_LOGIN_IGNORE:
        return BK_ERR_AUTH;
    case STUN_LOGIN_REFUSED:
        if (stun_get_error(m, &code, NULL) == BK_OK)
            take_refusal(t, task, code);
        break;
    }
    return BK_OK;
}

void turn_take_silence(struct bk_turn *t, struct turn_task *task) {
    enum task_kind kind = (enum task_kind)task->kind;
    if (kind == TASK_ALLOCATE) {
        turn_stop(t, task);
        turn_fail(t, BK_ERR_TIMEOUT, 0);
    } else if (kind == TASK_RELEASE) {
        take_release(t, task, 0);
    } else if (kind == TASK_CONNECT) {
        turn_link_fail(t, &t->links->list[task->chan], BK_ERR_TIMEOUT, 0);
    } else {
        turn_stop(t,
                  task); /* still due: it is asked again at once, until the lifetime has passed */
    }
}
