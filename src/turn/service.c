/* SPDX-License-Identifier: MIT */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/wipe.h"
#include "wire/channel.h"

#include <string.h>

enum { REALM_MAX = 28, PORTS_LOW = 1024 };

const struct turn_service_config turn_service_config_default = {
    .realm = "bodkin",
    .nonce_us = 3600 * BK_US_PER_S, /* RFC 8656 section 5 */
    .port_min = 49152,              /* RFC 8656 section 7.2 */
    .port_max = 65535,
    .allocations_max = 1000,
    .per_user_max = 100,
    .permissions_max = 64,
    .channels_max = 64,
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

const char *turn_service_config_check(const struct turn_service_config *c) {
    if (c->realm == NULL || strlen(c->realm) > REALM_MAX ||
        stun_text_check(c->realm, strlen(c->realm)) != BK_OK)
        return "realm";
    if (c->nonce_us < BK_US_PER_S || c->nonce_us > 3600 * BK_US_PER_S)
        return "nonce_us";
    if (c->users.find == NULL)
        return "users";
    if (!families_are_right(c))
        return "relay";
    /* RFC 8656 section 7.2: not below 1024 */
    if (c->port_min < PORTS_LOW || c->port_max < c->port_min)
        return "port_min";
    if (c->allocations_max < 1 || c->allocations_max > 1000000)
        return "allocations_max";
    if (c->per_user_max < 1)
        return "per_user_max";
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
    f->deny = copy(s, c->filter.deny, f->deny_count * sizeof *f->deny, &err);
    return err;
}

static enum bk_err make_tables(struct turn_service *s) {
    const struct turn_service_config *c = &s->config;
    enum bk_err err = turn_allocs_init(&s->allocs, c->allocations_max, &s->rng, &s->alloc);
    if (err == BK_OK)
        err = turn_permissions_init(&s->perms, c->permissions_all, &s->rng, &s->alloc);
    if (err == BK_OK)
        err = turn_channels_init(&s->chans, c->channels_all, &s->rng, &s->alloc);
    for (size_t i = 0; err == BK_OK && i < TURN_FAMILIES; i++)
        if (c->relay[i].family != BK_FAMILY_NONE)
            err = turn_ports_init(&s->ports[i], c->port_min, c->port_max, &s->alloc);
    size_t timers = (size_t)c->allocations_max + c->permissions_all + c->channels_all;
    return err != BK_OK ? err : heap_init(&s->timers, timers, &s->alloc);
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
    s->action_cap = 2 * TURN_RELAY_PORTS_MAX * (config->allocations_max + 4);
    s->actions = s->alloc.get(s->alloc.ctx, s->action_cap * sizeof *s->actions);
    s->buf = s->alloc.get(s->alloc.ctx, TURN_OUT_MAX);
    return s->actions == NULL || s->buf == NULL ? BK_ERR_NO_MEMORY : BK_OK;
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
    if (service->timers.nodes != NULL)
        heap_fini(&service->timers);
    put_back(service, service->config.filter.allow);
    put_back(service, service->config.filter.deny);
    put_back(service, service->actions);
    put_back(service, service->buf);
    stun_realm_fini(&service->realm);
    wipe(service, sizeof *service);
    alloc.put(alloc.ctx, service);
}

/* ---- Actions ------------------------------------------------------------------------------ */

bool turn_service_has_room(const struct turn_service *s) {
    uint32_t to_close = (s->allocs.count + 1) * TURN_RELAY_PORTS_MAX;
    return s->action_count + to_close + TURN_RELAY_PORTS_MAX <= s->action_cap;
}

void turn_service_push(struct turn_service *s, enum turn_action_kind kind, size_t family,
                       uint16_t port) {
    uint32_t at = (s->action_at + s->action_count) % s->action_cap;
    bk_assert(s->action_count < s->action_cap);
    s->actions[at] = (struct turn_due){(uint8_t)kind, (uint8_t)family, port};
    s->action_count++;
}

/* A port is free for others only once the caller knows that it is to be closed. */
bool turn_service_next_action(struct turn_service *service, struct turn_action *out) {
    if (service->action_count == 0)
        return false;
    const struct turn_due *due = &service->actions[service->action_at];
    *out = (struct turn_action){.kind = due->kind,
                                .addr = bk_addr(service->config.relay[due->family], due->port)};
    service->action_at = (service->action_at + 1) % service->action_cap;
    service->action_count--;
    if (out->kind == TURN_CLOSE)
        turn_ports_give_back(&service->ports[turn_family_index(out->addr.ip.family)],
                             out->addr.port);
    return true;
}

void turn_service_cannot_open(struct turn_service *service, const struct bk_addr *addr,
                              struct bk_time now) {
    uint32_t i = turn_relay_owner(service, addr);
    service->now = bk_later(service->now, now);
    if (i == TURN_NONE)
        return;
    size_t family = turn_family_index(addr->ip.family);
    turn_ports_set_owner(&service->ports[family], addr->port, TURN_NOBODY);
    service->allocs.list[i].port[family] = 0; /* stays taken: somebody else has it */
    turn_service_end(service, i);
    service->has_out = false;
}

struct bk_addr turn_service_public(const struct turn_service *s, size_t family, uint16_t port) {
    const struct bk_ip *ip = &s->config.public[family];
    return bk_addr(ip->family == BK_FAMILY_NONE ? s->config.relay[family] : *ip, port);
}

/* ---- Ends --------------------------------------------------------------------------------- */

uint32_t turn_service_timer_of_perm(const struct turn_service *s, uint32_t perm) {
    return s->allocs.max + perm;
}

uint32_t turn_service_timer_of_chan(const struct turn_service *s, uint32_t chan) {
    return s->allocs.max + s->perms.max + chan;
}

static void end_perm(struct turn_service *s, uint32_t i) {
    heap_set(&s->timers, turn_service_timer_of_perm(s, i), BK_NEVER);
    turn_permissions_remove(&s->perms, &s->allocs.list[s->perms.list[i].owner], i);
}

static void end_chan(struct turn_service *s, uint32_t i) {
    heap_set(&s->timers, turn_service_timer_of_chan(s, i), BK_NEVER);
    turn_channels_remove(&s->chans, &s->allocs.list[s->chans.list[i].owner], i);
}

/* RFC 8656 sections 9 and 12: permissions and channels end with their allocation. */
void turn_service_end(struct turn_service *s, uint32_t alloc) {
    struct turn_alloc *a = &s->allocs.list[alloc];
    while (a->first_perm != TURN_NONE)
        end_perm(s, a->first_perm);
    while (a->first_chan != TURN_NONE)
        end_chan(s, a->first_chan);
    for (size_t family = 0; family < TURN_FAMILIES; family++) {
        if (a->port[family] == 0)
            continue;
        turn_ports_set_owner(&s->ports[family], a->port[family], TURN_NOBODY);
        turn_service_push(s, TURN_CLOSE, family, a->port[family]);
    }
    heap_set(&s->timers, alloc, BK_NEVER);
    turn_allocs_remove(&s->allocs, alloc);
}

void turn_service_drop_reservation(struct turn_service *s, struct turn_reservation *r) {
    turn_ports_give_back(&s->ports[r->family], r->port);
    memset(r, 0, sizeof *r);
}

/* ---- The verbs ---------------------------------------------------------------------------- */

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

enum bk_err turn_service_recv(struct turn_service *service, const struct bk_datagram *in,
                              struct bk_time now) {
    service->now = bk_later(service->now, now);
    service->has_out = false;
    uint32_t owner = turn_relay_owner(service, &in->local);
    if (owner != TURN_NONE)
        return turn_peer_in(service, owner, in);
    enum bk_err err = in->remote.port == 0 ? BK_ERR_NOT_OURS : from_client(service, in);
    if (err == BK_ERR_NOT_OURS)
        service->counts[TURN_COUNT_DROP_OTHER]++;
    else if (err != BK_OK)
        service->counts[TURN_COUNT_DROP_MALFORMED]++;
    return err;
}

static void expire(struct turn_service *s, uint32_t timer) {
    if (timer < s->allocs.max) {
        s->counts[TURN_COUNT_EXPIRED]++;
        turn_service_end(s, timer);
    } else if (timer - s->allocs.max < s->perms.max) {
        end_perm(s, timer - s->allocs.max);
    } else {
        end_chan(s, timer - s->allocs.max - s->perms.max);
    }
}

void turn_service_advance(struct turn_service *service, struct bk_time now) {
    uint32_t timer;
    service->now = bk_later(service->now, now);
    service->has_out = false;
    while (heap_take_due(&service->timers, service->now, &timer))
        expire(service, timer);
    for (size_t i = 0; i < TURN_RESERVATIONS; i++) {
        struct turn_reservation *r = &service->reservations[i];
        if (r->token != 0 && bk_due(r->expires, service->now))
            turn_service_drop_reservation(service, r);
    }
}

struct bk_time turn_service_deadline(const struct turn_service *service) {
    struct bk_time at = heap_earliest(&service->timers);
    for (size_t i = 0; i < TURN_RESERVATIONS; i++)
        if (service->reservations[i].token != 0)
            at = bk_earlier(at, service->reservations[i].expires);
    return at;
}

bool turn_service_next_datagram(struct turn_service *service, struct bk_datagram *out) {
    if (!service->has_out)
        return false;
    *out = service->out;
    service->has_out = false;
    return true;
}

void turn_service_info(const struct turn_service *service, struct turn_service_info *out) {
    memcpy(out->counts, service->counts, sizeof out->counts);
    out->allocations = service->allocs.count;
    out->permissions = service->perms.count;
    out->channels = service->chans.count;
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
    };
    return names[count];
}
