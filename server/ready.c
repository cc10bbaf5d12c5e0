/* SPDX-License-Identifier: MIT
 * What is said once, when everything is up: some lines one after the other, `ready` and
 * `ready_...`, of which each says what there is, what there is not, and why. */
#include "server/server_int.h"

#include "fastpath/fastpath.h"
#include "server/discovery.h"
#include "server/home_line.h"
#include "server/turn_start.h"
#include <stdio.h>

static void start(struct log_line *l, const char *event) {
    log_begin(l, LOG_INFO, LOG_ALWAYS, event);
}

static void say_server(const struct server *s) {
    struct log_line l;
    start(&l, "ready");
    log_number(&l, "workers", s->fleet.count);
    log_number(&l, "https", s->https_port);
    log_number(&l, "stun", s->stun_port);
    if (s->turns_port != 0)
        log_number(&l, "turns", s->turns_port);
    if (s->plain_port != 0)
        log_number(&l, "plain_http", s->plain_port);
    log_number(&l, "connections", s->fleet.limits.total_max); /* ulimit -n may allow fewer */
    log_text(&l, "state", s->state_dir);
    log_end(&l);
}

/* So that whoever runs the server knows what its clients can find out about their NAT. */
static void say_discovery(const struct server *s) {
    const struct stun_discovery *d = s->fleet.discovery;
    bool v6 = false;
    struct log_line l;
    for (size_t i = 0; i < s->stun_ip_count; i++)
        v6 = v6 || s->stun_ips[i].family == BK_IPV6;
    start(&l, "nat_discovery");
    log_text(&l, "ipv4", discovery_text(stun_discovery_reach(d, BK_IPV4)));
    if (v6)
        log_text(&l, "ipv6", discovery_text(stun_discovery_reach(d, BK_IPV6)));
    log_end(&l);
}

/* ---- TURN ------------------------------------------------------------------------------------ */

static void say_users(const struct server *s) {
    const struct turn_options *o = &s->options->turn;
    struct log_line l;
    start(&l, "ready_turn");
    log_text(&l, "realm", o->realm.text);
    log_number(&l, "users", users_book_count(s->users.book));
    log_number(&l, "secrets", o->secrets.count);
    if (o->token_keys.count > 0)
        log_number(&l, "token_keys", o->token_keys.count);
    if (o->users_db.text[0] != '\0')
        log_text(&l, "users_file", o->users_db.text);
    if (o->users_url.text[0] != '\0')
        log_text(&l, "users_url", o->users_url.text);
    log_end(&l);
}

static void say_family(struct log_line *l, const char *name, const struct bk_ip *relay,
                       const struct bk_ip *outside) {
    char text[2 * BK_ADDR_TEXT_MAX + 8], ip[BK_ADDR_TEXT_MAX], told[BK_ADDR_TEXT_MAX];
    if (relay->family == BK_FAMILY_NONE) {
        log_text(l, name,
                 "none: no address of that family is served, or --relay-address names "
                 "only the other");
        return;
    }
    bk_ip_format(relay, ip);
    bk_ip_format(outside, told);
    snprintf(text, sizeof text, outside->family == BK_FAMILY_NONE ? "%s" : "%s=%s", ip, told);
    log_text(l, name, text);
}

static bool is_private(const struct bk_ip *relay, const struct bk_ip *outside) {
    return relay->family != BK_FAMILY_NONE && outside->family == BK_FAMILY_NONE &&
           bk_ip_scope(relay) != BK_SCOPE_GLOBAL && bk_ip_scope(relay) != BK_SCOPE_LOOPBACK;
}

static void say_relays(const struct server *s) {
    const struct turn_options *o = &s->options->turn;
    struct bk_ip relay[2], outside[2];
    char ports[2 * sizeof "65535"];
    struct log_line l;
    server_turn_addresses(s->options, s->ips, s->ip_count, relay, outside);
    snprintf(ports, sizeof ports, "%u-%u", (unsigned)o->ports.min, (unsigned)o->ports.max);
    start(&l, "ready_relays");
    say_family(&l, "ipv4", &relay[0], &outside[0]);
    say_family(&l, "ipv6", &relay[1], &outside[1]);
    log_text(&l, "ports", ports);
    log_number(&l, "allocations", (uint64_t)o->allocations_max);
    log_text(&l, "peers", o->allow.count > 0 ? "global, and --allow-peer" : "global");
    log_end(&l);
    if (is_private(&relay[0], &outside[0]) || is_private(&relay[1], &outside[1]))
        log_event(LOG_WARN, "private_relay", "reason",
                  "clients elsewhere cannot reach a private relay address; behind a one-to-one NAT "
                  "say --relay-address INSIDE=OUTSIDE");
}

static void say_kernel(struct log_line *l, const struct fleet *fleet) {
    struct fastpath_interface list[FASTPATH_INTERFACES_MAX];
    size_t count = fleet->fastpath == NULL
                       ? 0
                       : fastpath_interfaces(fleet->fastpath, list, FASTPATH_INTERFACES_MAX);
    if (count == 0)
        log_text(l, "fastpath_off", fleet->fastpath_off);
    for (size_t i = 0; i < count; i++)
        if (list[i].mode != FASTPATH_OFF)
            log_text(l, "fastpath", list[i].name);
}

static void say_tier(const struct server *s) {
    struct log_line l;
    start(&l, "ready_tier");
    log_text(&l, "io", net_plane_name(s->workers[0]->plane));
    say_kernel(&l, &s->fleet);
    log_end(&l);
}

static void say_off(const struct server *s) {
    const struct turn_options *o = &s->options->turn;
    struct log_line l;
    bool hidden = !o->no_userhash && o->secrets.count == 0;
    if (!o->no_tcp_relay && !o->no_mobility && hidden && s->turns_port != 0)
        return;
    start(&l, "ready_off");
    if (s->turns_port == 0)
        log_text(&l, "turns",
                 o->turns_port == 0 ? "--turns 0" : "port 5349 is taken or not permitted");
    if (o->no_tcp_relay)
        log_text(&l, "tcp_to_peers", "--no-tcp-relay");
    if (o->no_mobility)
        log_text(&l, "mobility", "--no-mobility");
    if (!hidden)
        log_text(&l, "hidden_names",
                 o->no_userhash ? "--no-userhash" : "of time-limited names there is no list");
    log_end(&l);
}

static void say_turn(const struct server *s) {
    if (!turn_options_on(&s->options->turn)) {
        log_event(LOG_INFO, "ready_turn", "off",
                  "nobody can log in; --turn-user NAME:PASSWORD is the shortest way");
        return;
    }
    say_users(s);
    say_relays(s);
    say_tier(s);
    say_off(s);
}

void server_announce(const struct server *s) {
    char line[HOME_LINE_MAX];
    const struct home_line home = {.host = s->name,
                                   .port = s->https_port,
                                   .stun_port = s->stun_port,
                                   .pin =
                                       net_tls_is_self_signed(s->tls) ? net_tls_pin(s->tls) : NULL};
    say_server(s);
    say_discovery(s);
    say_turn(s);
    puts(home_line_put(&home, line));
    fflush(stdout);
}
