/* SPDX-License-Identifier: MIT
 * Who may have how much (RFC 8656 section 7.2, point 10, and section 21.3.1), and whom the operator
 * is told of. A user has a quota, and so has an address: many names may be one person. */
#include "turn/service_int.h"

#include <string.h>

static void push(struct turn_service *s, const struct turn_refusal *r) {
    s->refused[r->rule]++;
    if (s->refusal_count == TURN_REFUSALS) {
        s->refusal_at = (s->refusal_at + 1) % TURN_REFUSALS;
        s->refusal_count--;
    }
    s->refusals[(s->refusal_at + s->refusal_count++) % TURN_REFUSALS] = *r;
}

/* Who claims to be somebody by USERHASH has a name, too, where the source of users knows it. */
static struct wire_span name_of(const struct turn_ask *ask) {
    const char *known = ask->user.name;
    if (known[0] == '\0')
        return ask->claim.user;
    return (struct wire_span){(const uint8_t *)known, strlen(known)};
}

void turn_refuse(struct turn_service *s, const struct turn_ask *ask, enum turn_rule rule,
                 uint16_t code) {
    struct turn_refusal r = {
        .rule = rule, .code = code, .client = ask->in->remote, .user = ask->user.id};
    const struct wire_span name = name_of(ask);
    if (rule == TURN_RULE_PEER || rule == TURN_RULE_SHARED_PORT)
        r.peer = ask->peer;
    size_t len = name.data == NULL ? 0 : name.len;
    if (len > sizeof r.name - 1)
        len = sizeof r.name - 1;
    if (len > 0)
        memcpy(r.name, name.data, len);
    push(s, &r);
}

bool turn_service_next_refusal(struct turn_service *service, struct turn_refusal *out) {
    if (service->refusal_count == 0)
        return false;
    *out = service->refusals[service->refusal_at];
    service->refusal_at = (service->refusal_at + 1) % TURN_REFUSALS;
    service->refusal_count--;
    return true;
}

static uint16_t refuse(struct turn_service *s, const struct turn_ask *ask, enum turn_rule rule,
                       uint16_t code) {
    turn_refuse(s, ask, rule, code);
    return code;
}

/* ---- Allocations -------------------------------------------------------------------------- */

static bool open_accounts(struct turn_service *s, const struct turn_user *user, uint64_t address,
                          struct turn_alloc *a) {
    uint64_t rate = user->bytes_per_s != 0 ? user->bytes_per_s : s->config.user_bytes_per_s;
    a->payer[TURN_USER] = turn_accounts_enter(&s->accounts, user->id, rate, s->now);
    if (a->payer[TURN_USER] == POOL_NONE)
        return false;
    turn_account_is(turn_account_at(&s->accounts, a->payer[TURN_USER]), NULL, 0);
    a->payer[TURN_ADDRESS] = turn_accounts_enter(&s->accounts, address, 0, s->now);
    if (a->payer[TURN_ADDRESS] != POOL_NONE)
        return true;
    turn_accounts_leave(&s->accounts, a->payer[TURN_USER]);
    return false;
}

uint16_t turn_quota_enter(struct turn_service *s, const struct turn_ask *ask,
                          struct turn_alloc *a) {
    const struct turn_ledger *l = &s->ledger;
    const struct turn_user *user = &ask->user;
    uint32_t user_max = user->allocations_max != 0 ? user->allocations_max : s->config.per_user_max;
    uint32_t address_max = s->config.per_address_max != 0 ? s->config.per_address_max : UINT32_MAX;
    uint64_t address = turn_account_key(&s->accounts, &ask->in->remote.ip);
    if (!l->enter(l->ctx, user->id, user_max))
        return refuse(s, ask, TURN_RULE_USER_ALLOCATIONS, TURN_CODE_QUOTA_REACHED);
    if (!l->enter(l->ctx, address, address_max)) {
        l->leave(l->ctx, user->id);
        return refuse(s, ask, TURN_RULE_ADDRESS_ALLOCATIONS, TURN_CODE_QUOTA_REACHED);
    }
    if (open_accounts(s, user, address, a)) {
        turn_quota_name(s, ask, a);
        return 0;
    }
    l->leave(l->ctx, user->id);
    l->leave(l->ctx, address);
    return refuse(s, ask, TURN_RULE_ROOM, TURN_CODE_INSUFFICIENT_CAPACITY);
}

/* With a token (RFC 7635) USERNAME says whose key it was made with, not who brings it. */
void turn_quota_name(struct turn_service *s, const struct turn_ask *ask,
                     const struct turn_alloc *a) {
    const struct wire_span name = name_of(ask);
    if (a->user == ask->user.id && a->payer[TURN_USER] != POOL_NONE && a->kid == 0 && ask->kid == 0)
        turn_account_is(turn_account_at(&s->accounts, a->payer[TURN_USER]), name.data, name.len);
}

bool turn_quota_take_over(struct turn_service *s, struct turn_alloc *a) {
    const struct turn_ledger *l = &s->ledger;
    const struct turn_user user = {.id = a->user};
    uint64_t address = turn_account_key(&s->accounts, &a->client.ip);
    if (!l->enter(l->ctx, user.id, UINT32_MAX))
        return false;
    if (!l->enter(l->ctx, address, UINT32_MAX)) {
        l->leave(l->ctx, user.id);
        return false;
    }
    if (open_accounts(s, &user, address, a))
        return true;
    l->leave(l->ctx, user.id);
    l->leave(l->ctx, address);
    return false;
}

void turn_quota_leave(struct turn_service *s, struct turn_alloc *a) {
    const struct turn_ledger *l = &s->ledger;
    struct turn_account *user = turn_account_at(&s->accounts, a->payer[TURN_USER]);
    if (user->allocs == 1 && user->bucket.bytes_per_s != 0)
        l->settle(l->ctx, user->key, user->bucket.credit);
    for (size_t p = 0; p < TURN_PAYERS; p++) {
        l->leave(l->ctx, turn_account_at(&s->accounts, a->payer[p])->key);
        turn_accounts_leave(&s->accounts, a->payer[p]);
    }
}

/* ---- Permissions and channels ------------------------------------------------------------- */

static bool exceeds(size_t have, size_t more, uint32_t max) {
    return max != 0 && more > 0 && have + more > max;
}

/* By all allocations of a payer, in all workers. Two workers that are asked at the same moment may
 * both say yes: it can be one request's worth too many. */
static uint32_t held(const struct turn_service *s, const struct turn_alloc *a, enum turn_payer who,
                     enum turn_held what) {
    const struct turn_ledger *l = &s->ledger;
    return l->held(l->ctx, turn_account_at(&s->accounts, a->payer[who])->key, what);
}

void turn_quota_hold(struct turn_service *s, const struct turn_alloc *a, enum turn_held what,
                     int32_t more) {
    const struct turn_ledger *l = &s->ledger;
    for (size_t p = 0; p < TURN_PAYERS; p++)
        l->hold(l->ctx, turn_account_at(&s->accounts, a->payer[p])->key, what, more);
}

uint16_t turn_quota_permissions(struct turn_service *s, const struct turn_ask *ask, size_t more) {
    const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    if (exceeds(a->perms, more, s->config.permissions_max))
        return refuse(s, ask, TURN_RULE_ALLOCATION_PERMISSIONS, TURN_CODE_INSUFFICIENT_CAPACITY);
    if (exceeds(s->perms.pool.count, more, s->perms.pool.max))
        return refuse(s, ask, TURN_RULE_ROOM, TURN_CODE_INSUFFICIENT_CAPACITY);
    if (exceeds(held(s, a, TURN_USER, TURN_HELD_PERMISSIONS), more, s->config.permissions_per_user))
        return refuse(s, ask, TURN_RULE_USER_PERMISSIONS, TURN_CODE_QUOTA_REACHED);
    if (exceeds(held(s, a, TURN_ADDRESS, TURN_HELD_PERMISSIONS), more,
                s->config.permissions_per_address))
        return refuse(s, ask, TURN_RULE_ADDRESS_PERMISSIONS, TURN_CODE_QUOTA_REACHED);
    return 0;
}

uint16_t turn_quota_channels(struct turn_service *s, const struct turn_ask *ask, size_t more) {
    const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    if (exceeds(a->chans, more, s->config.channels_max))
        return refuse(s, ask, TURN_RULE_ALLOCATION_CHANNELS, TURN_CODE_INSUFFICIENT_CAPACITY);
    if (exceeds(s->chans.pool.count, more, s->chans.pool.max))
        return refuse(s, ask, TURN_RULE_ROOM, TURN_CODE_INSUFFICIENT_CAPACITY);
    if (exceeds(held(s, a, TURN_USER, TURN_HELD_CHANNELS), more, s->config.channels_per_user))
        return refuse(s, ask, TURN_RULE_USER_CHANNELS, TURN_CODE_QUOTA_REACHED);
    if (exceeds(held(s, a, TURN_ADDRESS, TURN_HELD_CHANNELS), more, s->config.channels_per_address))
        return refuse(s, ask, TURN_RULE_ADDRESS_CHANNELS, TURN_CODE_QUOTA_REACHED);
    return 0;
}

/* ---- Bandwidth ---------------------------------------------------------------------------- */

enum {
    LEASES_A_SECOND = 128, /* at full rate */
    LEASE_MIN = 1500,
    LEASE_WAIT_US = 1000 /* before a user who may send nothing is asked for again */
};

static bool user_is_open(struct turn_service *s, struct turn_account *user) {
    struct turn_bucket *b = &user->bucket;
    if (b->bytes_per_s == 0 || b->credit > 0)
        return true;
    if (!bk_due(b->at, s->now))
        return false;
    int64_t slice = (int64_t)(b->bytes_per_s / LEASES_A_SECOND);
    if (slice < LEASE_MIN)
        slice = LEASE_MIN;
    const struct turn_ledger *l = &s->ledger;
    if (b->credit < 0) { /* overdrawn by a train or a fast path: time pays for it, in the ledger */
        (void)l->lease(l->ctx, user->key, b->bytes_per_s, 0, s->now);
        l->settle(l->ctx, user->key, b->credit);
        b->credit = 0;
    }
    b->credit += l->lease(l->ctx, user->key, b->bytes_per_s, slice, s->now);
    b->at = b->credit > 0 ? s->now : bk_after(s->now, LEASE_WAIT_US);
    return b->credit > 0;
}

bool turn_user_is_open(struct turn_service *s, uint32_t alloc) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    return user_is_open(s, turn_account_at(&s->accounts, a->payer[TURN_USER]));
}

static void say_over(struct turn_service *s, const struct turn_alloc *a, enum turn_rule rule) {
    const struct turn_refusal r = {.rule = rule, .client = a->client, .user = a->user};
    push(s, &r);
}

bool turn_bandwidth_is_open(struct turn_service *s, uint32_t alloc) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    struct turn_account *user = turn_account_at(&s->accounts, a->payer[TURN_USER]);
    bool own = turn_bucket_is_open(&a->bucket, s->now);
    if (own && user_is_open(s, user)) {
        a->over = false;
        return true;
    }
    s->counts[TURN_COUNT_DROP_BANDWIDTH]++;
    if (!a->over)
        say_over(s, a, own ? TURN_RULE_USER_BANDWIDTH : TURN_RULE_ALLOCATION_BANDWIDTH);
    a->over = true;
    return false;
}

const char *turn_rule_name(enum turn_rule rule) {
    static const char *const names[TURN_RULES] = {
        [TURN_RULE_CREDENTIALS] = "wrong credentials",
        [TURN_RULE_OTHER_USER] = "the allocation is another user's",
        [TURN_RULE_PEER] = "the peer's address is not allowed",
        [TURN_RULE_USER_ALLOCATIONS] = "quota of the user: allocations",
        [TURN_RULE_USER_PERMISSIONS] = "quota of the user: permissions",
        [TURN_RULE_USER_CHANNELS] = "quota of the user: channels",
        [TURN_RULE_USER_BANDWIDTH] = "quota of the user: bandwidth",
        [TURN_RULE_ADDRESS_ALLOCATIONS] = "quota of the address: allocations",
        [TURN_RULE_ADDRESS_PERMISSIONS] = "quota of the address: permissions",
        [TURN_RULE_ADDRESS_CHANNELS] = "quota of the address: channels",
        [TURN_RULE_ALLOCATION_PERMISSIONS] = "limit of the allocation: permissions",
        [TURN_RULE_ALLOCATION_CHANNELS] = "limit of the allocation: channels",
        [TURN_RULE_ALLOCATION_BANDWIDTH] = "limit of the allocation: bandwidth",
        [TURN_RULE_ALLOCATIONS] = "limit of the server: allocations",
        [TURN_RULE_PORTS] = "limit of the server: relay ports",
        [TURN_RULE_ROOM] = "limit of the server: a table is full",
        [TURN_RULE_DESCRIPTORS] = "limit of the system: open files",
        [TURN_RULE_DRAINING] = "the server is draining",
        [TURN_RULE_SHARED_PORT] = "another client of a shared relay port has that peer",
    };
    return names[rule];
}
