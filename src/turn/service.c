/* SPDX-License-Identifier: MIT */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/wipe.h"
#include "wire/channel.h"

#include <string.h>

enum { REALM_MAX = 28, PORTS_LOW = 1024 };

#define RATE_MAX UINT64_C(1000000000000)

const struct turn_service_config turn_service_config_default = {
    .realm = "bodkin",
    .nonce_us = 3600 * BK_US_PER_S, /* RFC 8656 section 5 */
    .port_min = 49152,              /* RFC 8656 section 7.2 */
    .port_max = 65535,
    .allocations_max = 1000,
    .per_user_max = 100,
    .permissions_max = 64,
    .channels_max = 64,
    .per_address_max = 1000,
    .permissions_per_user = 4096,
    .permissions_per_address = 16384,
    .channels_per_user = 4096,
    .channels_per_address = 16384,
    .bytes_per_s = 125000000,      /* 1 Gbit/s: nobody's video call, and not the whole line */
    .user_bytes_per_s = 250000000, /* 2 Gbit/s */
    .workers = 1,
    .connections_all = 4096,
    .lifetime_s = 600,      /* RFC 8656 section 6 */
    .lifetime_max_s = 3600, /* RFC 8656 section 7.2 */
};

static bool families_are_right(const struct turn_service_config *c) {
    for (size_t i = 0; i < TURN_FAMILIES; i++) {
        uint8_t family = i == 0 ? BK_IPV4 : BK_IPV6;
        if (c->relay[i].family != BK_FAMILY_NONE && c->relay[i].family != family)
            return false;
        if (c->public[i].family != BK_FAMILY_NONE && c->public[i].family != family)
            return false;
    }
    return c->relay[0].family != BK_FAMILY_NONE || c->relay[1].family != BK_FAMILY_NONE;
}

static bool tokens_are_right(const struct turn_tokens *t) {
    size_t len = t->server == NULL ? 0 : strlen(t->server);
    for (size_t i = 0; i < t->count; i++)
        if (t->keys[i].len != AEAD_KEY_128 && t->keys[i].len != AEAD_KEY_256)
            return false;
    return t->server == NULL ||
           (len <= TURN_TOKEN_SERVER_MAX && stun_text_check(t->server, len) == BK_OK);
}

const char *turn_service_config_check(const struct turn_service_config *c) {
    if (c->realm == NULL || strlen(c->realm) > REALM_MAX ||
        stun_text_check(c->realm, strlen(c->realm)) != BK_OK)
        return "realm";
    if (c->nonce_us < BK_US_PER_S || c->nonce_us > 3600 * BK_US_PER_S)
        return "nonce_us";
    if (c->users.find == NULL)
        return "users";
    if (!tokens_are_right(&c->tokens))
        return "tokens";
    if (!families_are_right(c))
        return "relay";
    /* RFC 8656 section 7.2: not below 1024 */
    if (c->port_min < PORTS_LOW || c->port_max < c->port_min)
        return "port_min";
    if (c->allocations_max < 1 || c->allocations_max > 1000000)
        return "allocations_max";
    if (c->per_user_max < 1)
        return "per_user_max";
    if (c->workers < 1 || c->workers > TURN_WORKERS_MAX || c->worker >= c->workers)
        return "workers";
    if (c->connections_all < 1 || c->connections_all > TURN_CONNS_MAX)
        return "connections_all";
    if (c->bytes_per_s > RATE_MAX || c->user_bytes_per_s > RATE_MAX)
        return "bytes_per_s";
    if (c->permissions_max < 1 || c->permissions_max > 65535)
        return "permissions_max";
    if (c->channels_max < 1 || c->channels_max > 4096)
        return "channels_max";
    if (c->permissions_all > 16000000 || c->channels_all > 16000000)
        return "permissions_all";
    if (c->lifetime_s < 1 || c->lifetime_max_s < c->lifetime_s || c->lifetime_max_s > 86400)
        return "lifetime_s";
    return NULL;
}

static void *copy(struct turn_service *s, const void *from, size_t len, enum bk_err *err) {
    void *to = NULL;
    if (len > 0 && *err == BK_OK) {
        to = s->alloc.get(s->alloc.ctx, len);
        if (to == NULL)
            *err = BK_ERR_NO_MEMORY;
        else
            memcpy(to, from, len);
    }
    return to;
}

static enum bk_err copy_config(struct turn_service *s, const struct turn_service_config *c) {
    enum bk_err err = BK_OK;
    struct turn_filter *f = &s->config.filter;
    s->config = *c;
    if (c->permissions_all == 0)
        s->config.permissions_all = c->allocations_max * 4;
    if (c->channels_all == 0)
        s->config.channels_all = c->allocations_max * 4;
    s->config.realm = NULL; /* s->realm has it */
    f->allow = copy(s, c->filter.allow, f->allow_count * sizeof *f->allow, &err);
    if (c->tokens.server != NULL)
        s->config.tokens.server = copy(s, c->tokens.server, strlen(c->tokens.server) + 1, &err);
    s->config.tokens.keys = copy(s, c->tokens.keys, c->tokens.count * sizeof *c->tokens.keys, &err);
    f->deny = copy(s, c->filter.deny, f->deny_count * sizeof *f->deny, &err);
    return err;
}

static enum bk_err make_ledger(struct turn_service *s) {
    const struct turn_service_config *c = &s->config;
    if (c->ledger != NULL) {
        s->ledger = *c->ledger;
        return BK_OK;
    }
    enum bk_err err =
        turn_book_new(c->workers, c->allocations_max * TURN_PAYERS, &s->alloc, &s->book);
    if (err == BK_OK)
        s->ledger = turn_book_ledger(s->book);
    return err;
}

/* They would be drawn, found taken, and another drawn in their place. */
static void keep_own_ports(struct turn_service *s, struct turn_ports *ports) {
    for (size_t i = 0; i < TURN_OWN_PORTS; i++)
        if (turn_ports_has(ports, s->config.own_ports[i]))
            (void)turn_ports_take_this(ports, s->config.own_ports[i]); /* or another worker's */
}

static enum bk_err make_tables(struct turn_service *s) {
    const struct turn_service_config *c = &s->config;
    uint64_t seed[2];
    memcpy(seed, c->secret, sizeof seed); /* workers agree on it, and nobody else knows it */
    enum bk_err err = turn_allocs_init(&s->allocs, c->allocations_max, &s->rng, &s->alloc);
    if (err == BK_OK)
        err = turn_permissions_init(&s->perms, c->permissions_all, &s->rng, &s->alloc);
    if (err == BK_OK)
        err = turn_channels_init(&s->chans, c->channels_all, &s->rng, &s->alloc);
    if (err == BK_OK)
        err =
            turn_conns_init(&s->conns, c->connections_all, (uint8_t)c->worker, &s->rng, &s->alloc);
    if (err == BK_OK)
        err = turn_accounts_init(&s->accounts, c->allocations_max * TURN_PAYERS, seed, &s->alloc);
    for (size_t i = 0; err == BK_OK && i < TURN_FAMILIES; i++)
        if (c->relay[i].family != BK_FAMILY_NONE)
            err = turn_ports_init(&s->ports[i], c->port_min, c->port_max, c->worker, c->workers,
                                  &s->alloc);
    for (size_t i = 0; err == BK_OK && i < TURN_FAMILIES; i++)
        keep_own_ports(s, &s->ports[i]);
    if (err == BK_OK)
        err = pool_init(&s->shares, sizeof(struct turn_share), c->allocations_max * TURN_FAMILIES,
                        &s->alloc);
    return err != BK_OK ? err : make_ledger(s);
}

static enum bk_err set_up(struct turn_service *s, const struct turn_service_config *config) {
    enum bk_err err = stun_realm_init(&s->realm, config->realm, config->secret, config->nonce_us,
                                      config->anonymous);
    if (err == BK_OK)
        err = copy_config(s, config);
    if (err == BK_OK)
        err = make_tables(s);
    if (err != BK_OK)
        return err;
    s->realm.clock_us = config->nonce_clock_us;
    turn_ticket_keys_set(&s->ticket_keys, config->secret, NULL);
    wipe(s->config.secret, sizeof s->config.secret);
    s->look_home = BK_NEVER;
    s->action_cap = turn_service_actions_for(s);
    s->actions = s->alloc.get(s->alloc.ctx, s->action_cap * sizeof *s->actions);
    s->refusals = s->alloc.get(s->alloc.ctx, TURN_REFUSALS * sizeof *s->refusals);
    s->buf = s->alloc.get(s->alloc.ctx, TURN_OUT_MAX);
    return s->actions == NULL || s->refusals == NULL || s->buf == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

enum bk_err turn_service_new(const struct turn_service_config *config, const struct bk_alloc *alloc,
                             const struct bk_rng *rng, struct bk_time now,
                             struct turn_service **out) {
    if (turn_service_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    struct turn_service *s = alloc->get(alloc->ctx, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    s->alloc = *alloc;
    s->rng = *rng;
    s->now = now;
    enum bk_err err = set_up(s, config);
    if (err != BK_OK) {
        turn_service_free(s);
        return err;
    }
    *out = s;
    return BK_OK;
}

static void put_back(struct turn_service *s, const void *memory) {
    if (memory != NULL)
        s->alloc.put(s->alloc.ctx, (void *)(uintptr_t)memory);
}

void turn_service_free(struct turn_service *service) {
    if (service == NULL)
        return;
    struct bk_alloc alloc = service->alloc;
    turn_allocs_fini(&service->allocs);
    turn_permissions_fini(&service->perms);
    turn_channels_fini(&service->chans);
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        turn_ports_fini(&service->ports[i]);
    turn_conns_fini(&service->conns);
    turn_accounts_fini(&service->accounts);
    pool_fini(&service->shares);
    turn_book_free(service->book);
    put_back(service, service->config.filter.allow);
    put_back(service, service->config.filter.deny);
    if (service->config.tokens.keys != NULL)
        wipe((void *)(uintptr_t)service->config.tokens.keys,
             service->config.tokens.count * sizeof *service->config.tokens.keys);
    put_back(service, service->config.tokens.keys);
    put_back(service, service->config.tokens.server);
    put_back(service, service->actions);
    put_back(service, service->refusals);
    put_back(service, service->buf);
    stun_realm_fini(&service->realm);
    wipe(service, sizeof *service);
    alloc.put(alloc.ctx, service);
}

/* ---- Ends --------------------------------------------------------------------------------- */

static void end_perm(struct turn_service *s, uint32_t i) {
    struct turn_alloc *a = turn_service_alloc(s, turn_permission_at(&s->perms, i)->owner);
    turn_quota_hold(s, a, TURN_HELD_PERMISSIONS, -1);
    turn_permissions_remove(&s->perms, a, i);
}

static void end_chan(struct turn_service *s, uint32_t i) {
    struct turn_alloc *a = turn_service_alloc(s, turn_channel_at(&s->chans, i)->owner);
    turn_flow_end(s, i);
    turn_quota_hold(s, a, TURN_HELD_CHANNELS, -1);
    turn_channels_remove(&s->chans, a, i);
}

void turn_service_end_family(struct turn_service *s, uint32_t alloc, size_t family) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    for (uint32_t i = a->first_chan, next; i != TURN_NONE; i = next) {
        next = turn_channel_at(&s->chans, i)->next;
        if (turn_family_index(turn_channel_at(&s->chans, i)->peer.ip.family) == family)
            end_chan(s, i);
    }
    for (uint32_t i = a->first_perm, next; i != TURN_NONE; i = next) {
        next = turn_permission_at(&s->perms, i)->next;
        if (turn_family_index(turn_permission_at(&s->perms, i)->ip.family) == family)
            end_perm(s, i);
    }
    turn_close_port(s, a, family);
}

/* RFC 8656 sections 9 and 12: permissions and channels end with their allocation. */
void turn_service_end(struct turn_service *s, uint32_t alloc) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    while (a->first_conn != TURN_NONE)
        turn_conn_end(s, a->first_conn, true);
    while (a->first_chan != TURN_NONE)
        end_chan(s, a->first_chan);
    while (a->first_perm != TURN_NONE)
        end_perm(s, a->first_perm);
    for (size_t family = 0; family < TURN_FAMILIES; family++)
        if (a->port[family] != 0)
            turn_close_port(s, a, family);
    turn_quota_leave(s, a);
    turn_allocs_remove(&s->allocs, alloc);
}

/* ---- The verbs ---------------------------------------------------------------------------- */

void turn_service_begin(struct turn_service *s, struct bk_time now) {
    s->now = bk_later(s->now, now);
    s->has_out = false;
    turn_forget_pending(s);
}

void turn_service_to_client(struct turn_service *s, const struct turn_alloc *a, size_t len) {
    const struct bk_datagram out = {.local = a->server,
                                    .remote = a->client,
                                    .data = s->buf,
                                    .len = len,
                                    .protocol = a->protocol};
    s->out = out;
    s->has_out = !a->adrift;
}

static enum bk_err from_client(struct turn_service *s, const struct bk_datagram *in) {
    struct stun_msg m;
    if (channel_is_old_data(in->data, in->len))
        return turn_channel_data_in(s, in);
    enum bk_err err = stun_parse(&m, in->data, in->len);
    if (err != BK_OK)
        return err;
    if (m.cls == STUN_REQUEST)
        return turn_service_request(s, in, &m);
    if (m.cls == STUN_INDICATION && m.method == TURN_SEND)
        return turn_send_in(s, in, &m);
    return BK_ERR_NOT_OURS;
}

static enum bk_err from_peer(struct turn_service *s, const struct bk_datagram *in) {
    uint32_t owner = turn_relay_owner_of(s, &in->local, &in->remote);
    if (owner != TURN_NONE)
        return turn_peer_in(s, owner, in);
    s->counts[TURN_COUNT_DROP_PEER]++;
    return BK_ERR_AUTH;
}

enum bk_err turn_service_recv(struct turn_service *service, const struct bk_datagram *in,
                              struct bk_time now) {
    turn_service_begin(service, now);
    enum bk_err err = BK_ERR_NOT_OURS;
    if (turn_relay_is_here(service, &in->local))
        err = from_peer(service, in);
    else if (in->remote.port != 0)
        err = from_client(service, in);
    if (err == BK_ERR_AUTH) /* data without a permission, counted already */
        return BK_ERR_NOT_OURS;
    if (err == BK_ERR_NOT_OURS)
        service->counts[TURN_COUNT_DROP_OTHER]++;
    else if (err != BK_OK && err != BK_ERR_FULL)
        service->counts[TURN_COUNT_DROP_MALFORMED]++;
    return err;
}

void turn_service_advance(struct turn_service *service, struct bk_time now) {
    uint32_t i;
    turn_service_begin(service, now);
    while (waits_take_due(&service->allocs.waits, service->now, &i)) {
        service->counts[TURN_COUNT_EXPIRED]++;
        turn_service_end(service, i);
    }
    while (waits_take_due(&service->chans.waits, service->now, &i))
        end_chan(service, i);
    while (waits_take_due(&service->perms.waits, service->now, &i))
        end_perm(service, i);
    turn_conns_expire(service);
    turn_look_home(service);
}

struct bk_time turn_service_deadline(const struct turn_service *service) {
    struct bk_time at = service->lent == 0 ? BK_NEVER : service->look_home;
    at = bk_earlier(at, waits_deadline(&service->allocs.waits));
    at = bk_earlier(at, waits_deadline(&service->chans.waits));
    at = bk_earlier(at, waits_deadline(&service->conns.waits));
    return bk_earlier(at, waits_deadline(&service->perms.waits));
}

void turn_service_from(struct turn_service *service, void *via) {
    service->via = via;
}

void turn_service_stay(struct turn_service *service, bool stays) {
    service->stays = stays;
}

/* RFC 8656 section 3.2: the allocation of a connection ends with it. */
void turn_service_left(struct turn_service *service, const struct bk_datagram *client,
                       struct bk_time now) {
    uint32_t i = turn_allocs_find(&service->allocs, client);
    turn_service_begin(service, now);
    if (i == TURN_NONE)
        return;
    struct turn_alloc *a = turn_service_alloc(service, i);
    if (a->ticket == 0) {
        turn_service_end(service, i);
        return;
    }
    a->adrift = true; /* RFC 8016: its client may be on the way */
    a->via = NULL;
}

void turn_service_drain(struct turn_service *service, const struct bk_addr *alternate) {
    turn_service_drain_to(service, alternate, NULL);
}

void turn_service_drain_to(struct turn_service *service, const struct bk_addr *alternate,
                           const char *domain) {
    size_t len = domain == NULL ? 0 : strlen(domain);
    memset(service->alternate_domain, 0, sizeof service->alternate_domain);
    memset(&service->alternate, 0, sizeof service->alternate);
    service->draining = alternate != NULL;
    if (alternate != NULL)
        service->alternate = *alternate;
    if (len > 0)
        memcpy(service->alternate_domain, domain, len < TURN_DOMAIN_MAX ? len : TURN_DOMAIN_MAX);
}

void turn_service_set_secret(struct turn_service *service, const uint8_t current[32],
                             const uint8_t previous[32]) {
    stun_realm_set_secret(&service->realm, current, previous);
    turn_ticket_keys_set(&service->ticket_keys, current, previous);
}

bool turn_service_next_datagram(struct turn_service *service, struct bk_datagram *out) {
    turn_forget_pending(service);
    if (!service->has_out)
        return false;
    *out = service->out;
    service->has_out = false;
    return true;
}

bool turn_service_top(struct turn_service *service, struct turn_top *out) {
    return turn_walk_step(&service->walk, &service->accounts, out);
}

void turn_service_info(const struct turn_service *service, struct turn_service_info *out) {
    memset(out, 0, sizeof *out);
    memcpy(out->counts, service->counts, sizeof out->counts);
    memcpy(out->refused, service->refused, sizeof out->refused);
    memcpy(out->bytes, service->bytes, sizeof out->bytes);
    out->allocations = service->allocs.pool.count;
    out->permissions = service->perms.pool.count;
    out->channels = service->chans.pool.count;
    out->flows = service->flows;
}

const char *turn_count_name(enum turn_count count) {
    static const char *const names[TURN_COUNTS] = {
        [TURN_COUNT_ALLOCATED] = "allocated",
        [TURN_COUNT_REFRESHED] = "refreshed",
        [TURN_COUNT_PERMITTED] = "permitted",
        [TURN_COUNT_BOUND] = "bound",
        [TURN_COUNT_CHALLENGED] = "challenged",
        [TURN_COUNT_UNAUTHORIZED] = "unauthorized",
        [TURN_COUNT_STALE] = "stale",
        [TURN_COUNT_FORBIDDEN] = "forbidden",
        [TURN_COUNT_REFUSED] = "refused",
        [TURN_COUNT_TO_PEER] = "to_peer",
        [TURN_COUNT_TO_CLIENT] = "to_client",
        [TURN_COUNT_DROP_PEER] = "drop_peer",
        [TURN_COUNT_DROP_MALFORMED] = "drop_malformed",
        [TURN_COUNT_DROP_OTHER] = "drop_other",
        [TURN_COUNT_DROP_SMALL] = "drop_small",
        [TURN_COUNT_EXPIRED] = "expired",
        [TURN_COUNT_DROP_BANDWIDTH] = "drop_bandwidth",
        [TURN_COUNT_DROP_THROTTLED] = "drop_throttled",
        [TURN_COUNT_MOVED] = "moved",
    };
    return names[count];
}
