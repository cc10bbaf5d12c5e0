/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: fileno, getpwnam */
#include "server/check.h"

#include "net/interfaces.h"
#include "net/names.h"
#include "net/tls.h"
#include "server/turn_start.h"
#include "server/users_keeper.h"
#include <inttypes.h>
#include <pwd.h>
#include <string.h>

struct check {
    const struct server_options *options;
    FILE *out;
    struct net_interface own[NET_INTERFACES_MAX];
    size_t own_count;
    bool fine;
};

static void wrong(struct check *c, const char *what, const char *why) {
    c->fine = false;
    fprintf(c->out, "wrong: %s: %s\n", what, why);
}

static bool is_own(const struct check *c, const struct bk_ip *ip) {
    for (size_t i = 0; i < c->own_count; i++)
        if (bk_ip_equal(&c->own[i].ip, ip) || (bk_ip_is_any(ip)))
            return true;
    return ip->family == BK_IPV4 && ip->bytes[0] == 127; /* all of 127/8 is */
}

static void check_own(struct check *c, const char *option, const struct server_listen *list) {
    for (size_t i = 0; i < list->count; i++) {
        char what[128], ip[BK_ADDR_TEXT_MAX];
        snprintf(what, sizeof what, "%s %s", option, bk_ip_format(&list->ips[i], ip));
        if (!is_own(c, &list->ips[i]))
            wrong(c, what, "that is no address of this machine");
    }
}

static void say_port(struct check *c, const char *name, int64_t port, int64_t otherwise) {
    if (port == 0)
        fprintf(c->out, "%s: none\n", name);
    else
        fprintf(c->out, "%s: port %" PRId64 "\n", name, port < 0 ? otherwise : port);
}

static void check_ports(struct check *c) {
    const struct server_options *o = c->options;
    say_port(c, "HTTPS", o->https_port, 443);
    say_port(c, "STUN and TURN over UDP, TCP and TLS", o->stun_port, 3478);
    if (turn_options_on(&o->turn))
        say_port(c, "TURN over TLS and DTLS", o->turn.turns_port, 5349);
    check_own(c, "listen", &o->listen);
    check_own(c, "stun-address", &o->stun_address);
    check_own(c, "relay-address", &o->turn.relay);
}

static void check_certificate(struct check *c) {
    const struct server_options *o = c->options;
    const struct net_tls_server_config config = {
        .cert_file = o->cert.text,
        .key_file = o->key.text[0] == '\0' ? NULL : o->key.text,
    };
    char why[NET_REASON_MAX] = "";
    struct net_tls *tls;
    if (o->cert.text[0] == '\0') {
        fputs("certificate: self-signed; browsers and WebRTC over TLS want one of a CA\n", c->out);
        return;
    }
    if (net_tls_server_new(&config, &tls, why) != BK_OK) {
        wrong(c, "cert", why);
        return;
    }
    net_tls_unref(tls);
    fprintf(c->out, "certificate: %s\n", o->cert.text);
}

static void check_user(struct check *c) {
    const char *user = c->options->user.text;
    if (user[0] != '\0' && getpwnam(user) == NULL)
        wrong(c, "user", "there is none of that name");
}

static void say_relay(struct check *c, const char *family, const struct bk_ip *relay,
                      const struct bk_ip *outside) {
    char text[BK_ADDR_TEXT_MAX];
    if (relay->family == BK_FAMILY_NONE) {
        fprintf(c->out, "relays, %s: none\n", family);
        return;
    }
    fprintf(c->out, "relays, %s: %s", family, bk_ip_format(relay, text));
    if (outside->family != BK_FAMILY_NONE)
        fprintf(c->out, ", clients are told %s", bk_ip_format(outside, text));
    else if (bk_ip_scope(relay) != BK_SCOPE_GLOBAL)
        fputs("; private: behind a one-to-one NAT add =OUTSIDE to --relay-address", c->out);
    fputc('\n', c->out);
}

static void say_peers(struct check *c) {
    const struct turn_options *o = &c->options->turn;
    char ip[BK_ADDR_TEXT_MAX];
    fputs("peers: global addresses", c->out);
    for (size_t i = 0; i < o->allow.count; i++)
        fprintf(c->out, ", and %s/%u", bk_ip_format(&o->allow.list[i].ip, ip),
                (unsigned)o->allow.list[i].bits);
    for (size_t i = 0; i < o->deny.count; i++)
        fprintf(c->out, ", but not %s/%u", bk_ip_format(&o->deny.list[i].ip, ip),
                (unsigned)o->deny.list[i].bits);
    fputc('\n', c->out);
}

static void check_url(struct check *c) {
    const char *text = c->options->turn.users_url.text;
    struct users_url url;
    if (text[0] == '\0' || users_url_parse(text, &url) != BK_OK)
        return; /* that it is none was said already */
    fprintf(c->out, "other users: %s is asked\n", text);
    if (url.is_name && !net_names_prepare(url.host))
        wrong(c, "users-url", "the host's name cannot be looked up");
}

static void check_turn(struct check *c) {
    const struct server_options *o = c->options;
    const struct bk_ip any[2] = {{.family = BK_IPV6}, {.family = BK_IPV4}};
    struct bk_ip relay[2], outside[2];
    char reason[SERVER_TEXT_MAX] = "";
    size_t users = 0;
    if (!turn_options_on(&o->turn)) {
        fputs("TURN: off; nobody can log in: turn-user, turn-secret or users\n", c->out);
        return;
    }
    if (users_keeper_try(&o->turn, &users, reason) != BK_OK)
        wrong(c, "users", reason);
    fprintf(c->out, "TURN: on, realm \"%s\", %zu users, %zu secrets, %zu token keys\n",
            o->turn.realm.text, users, o->turn.secrets.count, o->turn.token_keys.count);
    check_url(c);
    server_turn_addresses(o, o->listen.count > 0 ? o->listen.ips : any,
                          o->listen.count > 0 ? o->listen.count : 2, relay, outside);
    say_relay(c, "IPv4", &relay[0], &outside[0]);
    say_relay(c, "IPv6", &relay[1], &outside[1]);
    if (relay[0].family == BK_FAMILY_NONE && relay[1].family == BK_FAMILY_NONE)
        wrong(c, "relay-address", "there is no address for relays");
    unsigned ports = o->turn.ports.max - o->turn.ports.min + 1u;
    fprintf(c->out, "relay ports: %u-%u%s\n", (unsigned)o->turn.ports.min,
            (unsigned)o->turn.ports.max, o->turn.shared_ports ? ", shared" : "");
    if (!o->turn.shared_ports && ports < (uint64_t)o->turn.allocations_max)
        fprintf(c->out, "note: there are %u relay ports for %" PRId64 " allocations\n", ports,
                o->turn.allocations_max);
    say_peers(c);
}

bool server_check(const struct server_options *options, FILE *out) {
    static struct check c;
    c = (struct check){.options = options, .out = out, .fine = true};
    if (net_interfaces(c.own, NET_INTERFACES_MAX, &c.own_count) != BK_OK)
        c.own_count = 0;
    check_user(&c);
    check_ports(&c);
    check_certificate(&c);
    check_turn(&c);
    return c.fine;
}
