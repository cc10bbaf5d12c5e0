/* SPDX-License-Identifier: MIT
 * Which addresses and ports are served. */
#include "server/server_int.h"

#include "base/text.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "net/udp.h"
#include "server/discovery.h"
#include <stdio.h>
#include <string.h>

enum { HTTPS_PORT = 443, HTTPS_FALLBACK = 8443, TURNS_PORT = 5349, FREE_PORT_TRIES = 16 };

static enum bk_err say_bind(char *reason, enum bk_err err, const struct bk_addr *at,
                            const char *what) {
    char addr[BK_ADDR_TEXT_MAX];
    struct text t = text_in(reason, SERVER_TEXT_MAX);
    text_str(&t, "cannot serve ");
    text_str(&t, what);
    text_str(&t, " on ");
    text_str(&t, bk_addr_format(at, addr));
    text_str(&t, ": ");
    text_str(&t, err == BK_ERR_EXISTS ? "the port is taken by another program; choose another one"
                 : err == BK_ERR_PERMISSION  ? "this port needs root; choose another one"
                 : err == BK_ERR_UNREACHABLE ? "that is no address of this machine"
                                             : bk_err_text(err));
    return err;
}

/* Binds one kind of port on every address of every worker. *port 0 becomes the port that the first
 * socket got. */
static enum bk_err bind_kind(struct server *s, enum port_kind kind, const char *what,
                             uint16_t *port, char *reason) {
    bool stun = kind == PORT_STUN_TCP;
    for (size_t i = 0; i < (stun ? s->stun_ip_count : s->ip_count); i++) {
        for (size_t k = 0; k < s->fleet.count; k++) {
            struct bk_addr at = bk_addr(stun ? s->stun_ips[i] : s->ips[i], *port), bound;
            enum bk_err err =
                worker_listen(s->workers[k], kind, &at, kind == PORT_PLAIN ? NULL : s->tls, &bound);
            if (err != BK_OK)
                return say_bind(reason, err, &at, what);
            *port = bound.port;
        }
    }
    return BK_OK;
}

static enum bk_err bind_https(struct server *s, char *reason) {
    int64_t wanted = s->options->https_port;
    s->https_port = wanted < 0 ? HTTPS_PORT : (uint16_t)wanted;
    enum bk_err err = bind_kind(s, PORT_HTTPS, "HTTPS", &s->https_port, reason);
    if (err != BK_ERR_PERMISSION || wanted >= 0)
        return err;
    log_event(LOG_WARN, "https_port", "reason",
              "port 443 is not permitted to this user, using 8443");
    s->https_port = HTTPS_FALLBACK;
    return bind_kind(s, PORT_HTTPS, "HTTPS", &s->https_port, reason);
}

/* Is `*port`, 0: any, free for UDP and TCP both? *port becomes the one that was tried. */
static bool is_free_port(struct server *s, uint16_t *port) {
    const struct net_udp_events nobody = {NULL, NULL};
    const struct net_listener_events no_one = {NULL, NULL};
    struct bk_addr at = bk_addr(s->ips[0], *port);
    struct net_udp *udp;
    struct net_listener *tcp;
    if (net_udp_open(s->loop, &at, &net_udp_config_default, &nobody, &udp) != BK_OK)
        return false;
    *port = at.port = net_udp_local(udp).port;
    bool both =
        net_listener_open(s->loop, &at, &net_listener_config_default, &no_one, &tcp) == BK_OK;
    net_udp_close(udp);
    if (both)
        net_listener_close(tcp);
    return both;
}

/* For --stun 0: a port that is free, the next one too if that can be had. 0: none was found. */
static uint16_t free_port(struct server *s) {
    uint16_t found = 0;
    for (int i = 0; i < FREE_PORT_TRIES; i++) {
        uint16_t port = 0;
        if (!is_free_port(s, &port))
            continue;
        found = port;
        uint16_t next = (uint16_t)(port + 1);
        if (next != 0 && is_free_port(s, &next))
            break;
    }
    return found;
}

static enum bk_err bind_stun_udp(struct server *s, uint16_t *port, char *reason) {
    for (size_t i = 0; i < s->stun_ip_count; i++) {
        for (size_t k = 0; k < s->fleet.count; k++) {
            struct bk_addr at = bk_addr(s->stun_ips[i], *port), bound;
            enum bk_err err = worker_listen_udp(s->workers[k], &at, &bound);
            if (err != BK_OK)
                return say_bind(reason, err, &at, "STUN over UDP");
            *port = bound.port;
        }
    }
    return BK_OK;
}

/* The next port answers, too: a client that is told two different addresses by two ports of one
 * server is behind a NAT whose mapping depends on the destination (RFC 4787 section 4.1). Nothing
 * else needs it, so a port in use is no failure. */
static bool bind_second_stun(struct server *s, bool tcp) {
    char reason[SERVER_TEXT_MAX];
    uint16_t port = (uint16_t)(s->stun_port + 1);
    if (port != 0 && tcp && bind_kind(s, PORT_STUN_TCP, "STUN over TCP", &port, reason) == BK_OK)
        return true;
    if (port != 0 && !tcp && bind_stun_udp(s, &port, reason) == BK_OK)
        return true;
    log_event(LOG_WARN, "second_stun_port", "reason",
              tcp ? "the TCP port after STUN's is taken; clients cannot tell a NAT's TCP mapping"
                  : "the port after STUN's is taken; clients cannot tell a symmetric NAT");
    return false;
}

static bool is_own(struct server *s, const struct bk_ip *ip, enum bk_err *err) {
    const struct net_udp_events nobody = {NULL, NULL};
    const struct bk_addr at = bk_addr(*ip, 0);
    struct net_udp *probe;
    *err = net_udp_open(s->loop, &at, &net_udp_config_default, &nobody, &probe);
    if (*err == BK_OK)
        net_udp_close(probe);
    return *err == BK_OK;
}

/* The addresses of RFC 5780 that the wildcard carries must be ours, or answers would not leave; and
 * those of relays, or nobody would get one. */
static enum bk_err check_own(struct server *s, char *reason) {
    const struct server_listen *relay = &s->options->turn.relay;
    char text[BK_ADDR_TEXT_MAX];
    enum bk_err err;
    for (size_t i = 0; i < s->options->stun_address.count; i++) {
        const struct bk_addr at = bk_addr(s->options->stun_address.ips[i], 0);
        if (!is_own(s, &at.ip, &err))
            return say_bind(reason, err, &at, "STUN");
    }
    for (size_t i = 0; turn_options_on(&s->options->turn) && i < relay->count; i++)
        if (!is_own(s, &relay->ips[i], &err)) {
            snprintf(reason, SERVER_TEXT_MAX,
                     "relay-address: %s is no address of this machine; behind a one-to-one NAT it "
                     "is INSIDE=OUTSIDE",
                     bk_ip_format(&relay->ips[i], text));
            return err;
        }
    return BK_OK;
}

static enum bk_err make_discovery(struct server *s, bool second_udp, bool second_tcp,
                                  char *reason) {
    struct stun_discovery_config config = stun_discovery_config_default;
    struct bk_rng rng = box_rng();
    struct net_interface own[NET_INTERFACES_MAX];
    size_t own_count = 0;
    if (net_interfaces(own, NET_INTERFACES_MAX, &own_count) != BK_OK)
        own_count = 0; /* then it is one address only, which is said below */
    discovery_pick(&s->options->stun_address, &s->options->listen, own, own_count, &config);
    config.ports[0] = s->stun_port;
    config.ports[1] = second_udp ? (uint16_t)(s->stun_port + 1) : 0;
    enum bk_err err = stun_discovery_new(&config, &rng, net_alloc(), &s->fleet.discovery);
    if (err != BK_OK)
        return server_say(reason, err, "cannot start the RFC 5780 service", bk_err_text(err));
    for (size_t k = 0; k < s->fleet.count; k++) {
        s->workers[k]->stun.discovery = s->fleet.discovery;
        s->workers[k]->stun_tcp.discovery = second_tcp && second_udp ? s->fleet.discovery : NULL;
    }
    return BK_OK;
}

static enum bk_err bind_stun(struct server *s, char *reason) {
    const struct upgrade_hello *before = takeover_hello(s->fleet.takeover);
    s->stun_port = (uint16_t)s->options->stun_port;
    if (s->stun_port == 0)
        s->stun_port = before != NULL ? before->stun_port : free_port(s);
    enum bk_err err = check_own(s, reason);
    if (err == BK_OK)
        err = bind_stun_udp(s, &s->stun_port, reason);
    if (err == BK_OK)
        err = bind_kind(s, PORT_STUN_TCP, "STUN over TCP", &s->stun_port, reason);
    if (err != BK_OK)
        return err;
    bool udp = bind_second_stun(s, false), tcp = bind_second_stun(s, true);
    return make_discovery(s, udp, tcp, reason);
}

/* TURN over TLS and DTLS has a port of its own, too (RFC 8656 section 3.1); nobody needs it who has
 * not asked for it, so a port in use is no failure then. */
static enum bk_err bind_turns(struct server *s, char *reason) {
    int64_t wanted = s->options->turn.turns_port;
    uint16_t port = wanted < 0 ? TURNS_PORT : (uint16_t)wanted;
    if (port == 0)
        return BK_OK;
    enum bk_err err = bind_kind(s, PORT_TURNS, "TURN over TLS", &port, reason);
    if (err == BK_OK)
        err = bind_stun_udp(s, &port, reason);
    if (err == BK_OK)
        s->turns_port = port;
    if (err == BK_OK || wanted >= 0)
        return err;
    log_event(LOG_WARN, "turns_port", "reason",
              "port 5349 is taken or not permitted: TURN over TLS is on --stun only; --turns "
              "PORT chooses another");
    return BK_OK;
}

static enum bk_err start_dtls(struct server *s) {
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++)
        err = worker_start_dtls(s->workers[i], s->tls);
    for (size_t i = 0; s->fleet.proxies.allow_count > 0 && i < s->fleet.count && err == BK_OK; i++)
        err = worker_trust_proxies(s->workers[i]);
    return err;
}

enum bk_err server_bind(struct server *s, char *reason) {
    enum bk_err err = bind_https(s, reason);
    if (err == BK_OK)
        err = bind_stun(s, reason);
    if (err == BK_OK)
        err = bind_turns(s, reason);
    if (err == BK_OK && start_dtls(s) != BK_OK)
        err = server_say(reason, BK_ERR_NO_MEMORY, "cannot start DTLS", "out of memory");
    if (err == BK_OK && s->options->plain_http_port >= 0) {
        s->plain_port = (uint16_t)s->options->plain_http_port;
        err = bind_kind(s, PORT_PLAIN, "plain HTTP", &s->plain_port, reason);
    }
    return err;
}

/* Every address: [::] carries IPv4 too, but some machines have no IPv6. */
static void choose_listen(struct server *s) {
    const struct server_listen *listen = &s->options->listen;
    const struct net_udp_events nobody = {NULL, NULL};
    struct bk_addr any = {.ip.family = BK_IPV6};
    struct net_udp *probe;
    if (listen->count > 0) {
        memcpy(s->ips, listen->ips, sizeof s->ips);
        s->ip_count = listen->count;
        return;
    }
    bool v6 = net_udp_open(s->loop, &any, &net_udp_config_default, &nobody, &probe) == BK_OK;
    if (v6)
        net_udp_close(probe);
    s->ips[0] = (struct bk_ip){.family = v6 ? BK_IPV6 : BK_IPV4};
    s->ip_count = 1;
}

static bool is_served(const struct server *s, const struct bk_ip *ip) {
    for (size_t i = 0; i < s->ip_count; i++)
        if (bk_ip_equal(&s->ips[i], ip) ||
            (bk_ip_is_any(&s->ips[i]) &&
             (s->ips[i].family == ip->family || s->ips[i].family == BK_IPV6)))
            return true;
    return false;
}

void server_choose_addresses(struct server *s) {
    choose_listen(s);
    memcpy(s->stun_ips, s->ips, sizeof s->ips);
    s->stun_ip_count = s->ip_count;
    for (size_t i = 0; i < s->options->stun_address.count; i++)
        if (!is_served(s, &s->options->stun_address.ips[i]))
            s->stun_ips[s->stun_ip_count++] = s->options->stun_address.ips[i];
}
