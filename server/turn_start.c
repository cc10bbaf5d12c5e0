/* SPDX-License-Identifier: MIT */
#include "server/turn_start.h"

#include "base/wipe.h"
#include "box/box.h"
#include "fastpath/fastpath.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "server/log.h"
#include "server/token_keys.h"
#include "server/turn_int.h"
#include "server/turn_ledger.h"
#include "server/upgrade_take.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BITS = 8, FLOWS_MAX = 262144 };

static const uint8_t families[2] = {BK_IPV4, BK_IPV6};

static bool is_better(const struct bk_ip *ip, const struct bk_ip *than) {
    return than->family == BK_FAMILY_NONE || bk_ip_scope(ip) > bk_ip_scope(than);
}

static struct bk_ip own_address(uint8_t family) {
    struct net_interface own[NET_INTERFACES_MAX];
    struct bk_ip best = {.family = BK_FAMILY_NONE};
    size_t count = 0;
    if (net_interfaces(own, NET_INTERFACES_MAX, &count) != BK_OK)
        return best;
    for (size_t i = 0; i < count; i++)
        if (own[i].ip.family == family && !own[i].temporary &&
            bk_ip_scope(&own[i].ip) != BK_SCOPE_LINK && is_better(&own[i].ip, &best))
            best = own[i].ip;
    return best;
}

static struct bk_ip served_address(const struct bk_ip *served, size_t count, uint8_t family) {
    bool wildcard = false;
    for (size_t i = 0; i < count; i++) {
        if (!bk_ip_is_any(&served[i]) && served[i].family == family)
            return served[i];
        wildcard = wildcard || (bk_ip_is_any(&served[i]) &&
                                (served[i].family == family || served[i].family == BK_IPV6));
    }
    return wildcard ? own_address(family) : (struct bk_ip){.family = BK_FAMILY_NONE};
}

void server_turn_addresses(const struct server_options *o, const struct bk_ip *served, size_t count,
                           struct bk_ip relay[2], struct bk_ip outside[2]) {
    const struct server_listen *named = &o->turn.relay;
    for (size_t i = 0; i < 2; i++) {
        relay[i] = outside[i] = (struct bk_ip){.family = BK_FAMILY_NONE};
        for (size_t k = 0; k < named->count; k++) {
            if (named->ips[k].family != families[i])
                continue;
            relay[i] = named->ips[k];
            outside[i] = named->outside[k];
        }
        /* Who names one family wants that one only. */
        if (named->count == 0)
            relay[i] = served_address(served, count, families[i]);
    }
}

uint32_t server_turn_relays(const struct server_options *o, const struct bk_ip *served,
                            size_t count) {
    struct bk_ip relay[2], outside[2];
    uint32_t ports = (uint32_t)o->turn.ports.max - o->turn.ports.min + 1, used = 0;
    server_turn_addresses(o, served, count, relay, outside);
    for (size_t i = 0; i < 2; i++)
        used += relay[i].family != BK_FAMILY_NONE;
    if (!turn_options_on(&o->turn))
        return 0;
    return used * (o->turn.allocations_max < ports ? (uint32_t)o->turn.allocations_max : ports);
}

struct net_plane_config server_turn_plane(const struct server_options *o) {
    static const enum net_plane_io ios[] = {
        [SERVER_IO_AUTO] = NET_IO_AUTO,
        [SERVER_IO_BATCH] = NET_IO_BATCH,
        [SERVER_IO_PORTABLE] = NET_IO_PORTABLE,
    };
    struct net_plane_config config = net_plane_config_default;
    config.io = ios[o->turn.io];
    return config;
}

enum { PEERS_EACH = 4 }; /* permissions and channels of a user, for each allocation it may have */

static void set_limits(const struct turn_options *o, struct turn_service_config *c) {
    c->allocations_max = (uint32_t)o->allocations_max; /* the kernel may hand all to one worker */
    c->per_user_max = o->user_allocations_max == 0 ? UINT32_MAX : (uint32_t)o->user_allocations_max;
    c->per_address_max = (uint32_t)o->address_allocations_max;
    if (o->user_allocations_max == 0)
        c->permissions_per_user = c->channels_per_user = UINT32_MAX;
    else if (c->per_user_max * PEERS_EACH > c->permissions_per_user)
        c->permissions_per_user = c->channels_per_user = c->per_user_max * PEERS_EACH;
    c->bytes_per_s = (uint64_t)o->bandwidth / BITS;
    c->user_bytes_per_s = (uint64_t)o->user_bandwidth / BITS;
    c->port_min = o->ports.min;
    c->port_max = o->ports.max;
    c->filter.allow = o->allow.list;
    c->filter.allow_count = o->allow.count;
    c->filter.deny = o->deny.list;
    c->filter.deny_count = o->deny.count;
}

static void drain(struct server_turn *t) {
    bool emptied = t->refuses && t->drain_to.ip.family != BK_FAMILY_NONE;
    bool elsewhere = t->alternate.ip.family != BK_FAMILY_NONE;
    const struct bk_addr *to = emptied ? &t->drain_to : &t->alternate;
    turn_service_drain(t->service, elsewhere || t->refuses ? to : NULL);
}

static void set_alternates(struct server_turn *t, const struct turn_options *o) {
    t->alternate = o->alternate;
    t->drain_to = o->drain_to;
    drain(t);
}

void server_turn_refuse(struct server_turn *t) {
    t->refuses = true;
    drain(t);
}

static void set_secrets(struct server_turn *t) {
    const struct nonce_secrets *s = &t->secrets;
    turn_service_set_secret(t->service, s->current, s->has_previous ? s->previous : NULL);
}

/* How far the time since 1970 is ahead of ours. */
static int64_t unix_ahead_us(void) {
    struct timespec now = {0};
    (void)timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * BK_US_PER_S + now.tv_nsec / 1000 - net_clock().us;
}

/* `keys` is what it views. */
static struct turn_tokens tokens_of(const struct server_options *o, struct token_keys *keys) {
    if (!token_keys_read(&o->turn.token_keys, keys) || keys->count == 0)
        return (struct turn_tokens){.server = NULL};
    return (struct turn_tokens){o->name.text[0] == '\0' ? o->turn.realm.text : o->name.text,
                                keys->list, keys->count, unix_ahead_us()};
}

void server_turn_change(struct server_turn *t, const struct server_options *options) {
    const struct turn_options *o = &options->turn;
    struct turn_service_config c = turn_service_config_default;
    struct token_keys keys;
    struct turn_tokens tokens = tokens_of(options, &keys);
    set_limits(o, &c);
    c.realm = o->realm.text;
    c.users = t->users;
    c.relay[0] = bk_ipv4(192, 0, 2, 1); /* not looked at, but a service has one */
    enum bk_err err = turn_service_change(t->service, &c);
    if (err == BK_OK)
        err = turn_service_set_tokens(t->service, &tokens);
    wipe(&keys, sizeof keys);
    if (err != BK_OK)
        log_event(LOG_ERROR, "reload_failed", "reason", bk_err_text(err));
    if (nonce_secrets_change(&t->secrets, &o->nonce_keys))
        set_secrets(t);
    set_alternates(t, o);
}

static void say_fastpath(struct fleet *fleet, const char *reason) {
    struct fastpath_interface list[FASTPATH_INTERFACES_MAX];
    const struct fastpath *f = fleet->fastpath;
    size_t count = f == NULL ? 0 : fastpath_interfaces(f, list, FASTPATH_INTERFACES_MAX);
    snprintf(fleet->fastpath_off, sizeof fleet->fastpath_off, "%s", reason);
    for (size_t i = 0; i < count; i++) {
        struct log_line l;
        log_begin(&l, LOG_INFO, LOG_ALWAYS, "fastpath");
        log_text(&l, "interface", list[i].name);
        log_text(&l, "as",
                 list[i].mode == FASTPATH_XDP  ? list[i].offloaded ? "xdp" : "generic xdp"
                 : list[i].mode == FASTPATH_TC ? "tc"
                                               : "nothing");
        if (list[i].reason[0] != '\0')
            log_text(&l, "reason", list[i].reason);
        log_end(&l);
    }
}

/* A server without it relays as well, only dearer. */
static struct fastpath_config fastpath_config_of(const struct server_options *o) {
    const uint32_t allocs = (uint32_t)o->turn.allocations_max;
    return (struct fastpath_config){.mode = (enum fastpath_mode)o->turn.fastpath,
                                    .flows_max = allocs < FLOWS_MAX / 2 ? allocs * 2 : FLOWS_MAX,
                                    .allocs_max = allocs};
}

void server_turn_prepare(struct fleet *fleet, const struct server_options *o) {
    const struct fastpath_config config = fastpath_config_of(o);
    char reason[FASTPATH_REASON_MAX] = "";
    snprintf(fleet->fastpath_off, sizeof fleet->fastpath_off, "--fastpath off");
    if (!turn_options_on(&o->turn) || config.mode == FASTPATH_OFF)
        return;
    if (fastpath_load(&config, net_alloc(), &fleet->fastpath, reason) == BK_OK)
        return;
    fleet->fastpath = NULL;
    say_fastpath(fleet, reason);
}

/* Where this server is itself: a port that is served is no relay's. */
static void own_ports(const struct worker *w, uint16_t out[TURN_OWN_PORTS]) {
    size_t n = 0;
    for (size_t i = 0; i < w->udp_count + w->door_count && n < TURN_OWN_PORTS; i++) {
        uint16_t port = i < w->udp_count
                            ? net_port_local(w->udp[i].port).port
                            : net_listener_local(w->doors[i - w->udp_count].listener).port;
        size_t k = 0;
        while (k < n && out[k] != port)
            k++;
        if (k == n)
            out[n++] = port;
    }
}

static void attach_fastpath(struct fleet *fleet, const struct server_options *o,
                            const struct turn_service_config *c, const struct bk_ip *served,
                            size_t count) {
    struct bk_ip serve[SERVER_LISTEN_MAX + 2];
    char reason[FASTPATH_REASON_MAX] = "";
    size_t n = 0;
    bool wildcard = false;
    if (fleet->fastpath == NULL)
        return;
    for (size_t i = 0; i < count && i < SERVER_LISTEN_MAX; i++) {
        wildcard = wildcard || bk_ip_is_any(&served[i]);
        serve[n++] = served[i];
    }
    for (size_t i = 0; i < 2; i++)
        if (c->relay[i].family != BK_FAMILY_NONE)
            serve[n++] = c->relay[i];
    struct fastpath_config config = fastpath_config_of(o);
    config.serve = serve;
    config.serve_count = wildcard ? 0 : n;
    if (fastpath_attach(fleet->fastpath, &config, reason) != BK_OK) {
        fastpath_close(fleet->fastpath);
        fleet->fastpath = NULL;
    }
    say_fastpath(fleet, reason);
}

void server_turn_stop(struct fleet *fleet) {
    fastpath_close(fleet->fastpath);
    fleet->fastpath = NULL;
}

static void start_one(struct server_turn *t, const struct turn_options *o) {
    set_secrets(t); /* the second one */
    set_alternates(t, o);
}

/* Servers with the same key need the same clock, too; as of the start, so that nobody's nonce ends
 * when this machine's is set. */
static void choose_secrets(const struct turn_options *o, const struct takeover *from,
                           struct nonce_secrets *s) {
    struct bk_rng rng = box_rng();
    bool goes_on = from != NULL && takeover_secrets(from, s);
    if (!goes_on) {
        *s = (struct nonce_secrets){.clock_us = unix_ahead_us()};
        rng.fill(rng.ctx, s->current, sizeof s->current);
    }
    (void)nonce_secrets_change(s, &o->nonce_keys);
    s->has_previous = s->has_previous && (goes_on || o->nonce_keys.count > 1);
}

enum bk_err server_turn_start(struct fleet *fleet, const struct server_options *o,
                              const struct bk_ip *served, size_t count,
                              const struct turn_users users[], char *reason) {
    struct server_turn_config config = {.service = turn_service_config_default};
    struct turn_service_config *c = &config.service;
    enum bk_err err = BK_OK;
    if (!turn_options_on(&o->turn))
        return BK_OK;
    struct nonce_secrets *secrets = &fleet->secrets;
    choose_secrets(&o->turn, fleet->takeover, secrets);
    memcpy(c->secret, secrets->current, sizeof c->secret);
    c->nonce_clock_us = secrets->clock_us;
    config.secrets = *secrets;
    c->realm = o->turn.realm.text;
    /* Who hides a name must have it kept here: of a time-limited one there is no list. */
    c->anonymous = !o->turn.no_userhash && o->turn.secrets.count == 0;
    set_limits(&o->turn, c);
    server_turn_addresses(o, served, count, c->relay, c->public);
    own_ports(fleet->workers[0], c->own_ports);
    config.tcp_relay = !o->turn.no_tcp_relay;
    c->throttle = &fleet->throttle;
    c->mobility = !o->turn.no_mobility;
    c->shared = o->turn.shared_ports;
    struct token_keys keys;
    c->tokens = tokens_of(o, &keys);
    c->users = users[0];
    const char *wrong = turn_service_config_check(c);
    if (wrong == NULL)
        err = server_ledger_new((uint16_t)fleet->count,
                                c->allocations_max * 2 * (uint32_t)fleet->count, &fleet->ledger);
    if (wrong == NULL && err == BK_OK)
        attach_fastpath(fleet, o, c, served, count);
    if (wrong == NULL && err == BK_OK)
        c->ledger = server_ledger_face(fleet->ledger);
    for (size_t i = 0; i < fleet->count && wrong == NULL && err == BK_OK; i++) {
        c->users = users[i];
        err = server_turn_new(fleet->workers[i], &config, &fleet->workers[i]->turn);
        if (err == BK_OK)
            start_one(fleet->workers[i]->turn, &o->turn);
    }
    wipe(c->secret, sizeof c->secret);
    wipe(&config.secrets, sizeof config.secrets);
    wipe(&keys, sizeof keys);
    if (wrong == NULL && err == BK_OK)
        return BK_OK;
    snprintf(reason, SERVER_TEXT_MAX, "cannot start TURN: %s",
             wrong != NULL ? wrong : bk_err_text(err));
    return wrong != NULL ? BK_ERR_ARGUMENT : err;
}
