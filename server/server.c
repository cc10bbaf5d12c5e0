/* SPDX-License-Identifier: MIT
 * Starting and stopping. The order matters: read or make the keys, bind, give up privileges, start
 * the threads, say that we are ready; then this thread only waits for signals. */
#define _POSIX_C_SOURCE 200809L /* NOLINT: sysconf, fflush's friends */
#include "server/server.h"

#include "base/text.h"
#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "net/metacert.h"
#include "net/udp.h"
#include "server/discovery.h"
#include "server/home_line.h"
#include "server/privileges.h"
#include "server/store.h"
#include "server/turn_start.h"
#include "server/users_keeper.h"
#include "server/worker.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    HTTPS_PORT = 443,
    HTTPS_FALLBACK = 8443,
    TURNS_PORT = 5349,
    FREE_PORT_TRIES = 16,
    PATH_LEN = 4096,
    POOL_TOTAL = 128 << 20, /* bytes of relayed packets waiting, in all */
    POOL_LEAST = 16 << 20
};

/* The metacert is valid for 30 days; RFC-less, from derper. */
static const int64_t metacert_renew_us = INT64_C(7) * 86400 * BK_US_PER_S;

struct server {
    const struct server_options *options;
    struct fleet fleet;
    struct worker *workers[SERVER_WORKERS_MAX];
    struct metrics *metrics[SERVER_WORKERS_MAX];
    struct bk_ip ips[SERVER_LISTEN_MAX];
    size_t ip_count;
    struct bk_ip stun_ips[WORKER_SOCKETS_MAX]; /* these, and of --stun-address what they lack */
    size_t stun_ip_count;
    char state_dir[PATH_LEN], name[SERVER_TEXT_MAX];
    struct net_tls *tls;
    uint16_t https_port, stun_port, plain_port, turns_port; /* the last two, 0: off */
    struct net_loop *loop;
    struct net_timer renew;
    struct net_signal *signals[3];
    bool stopping;
    struct users_keeper users;
};

static enum bk_err say(char *reason, enum bk_err err, const char *what, const char *why) {
    struct text t = text_in(reason, SERVER_TEXT_MAX);
    text_str(&t, what);
    text_str(&t, ": ");
    text_str(&t, why);
    return err;
}

/* --- keys and certificates ----------------------------------------------------------------------
 */

static enum bk_err make_metacert(const struct server *s, gnutls_datum_t *out) {
    return net_metacert_make(s->fleet.relay_key, (int64_t)time(NULL), out);
}

static const char *or_null(const struct server_text *t) {
    return t->text[0] == '\0' ? NULL : t->text;
}

/* Reads the certificate's files, or makes the self-signed one. */
static enum bk_err load_tls(const struct server *s, struct net_tls **out, char *reason) {
    gnutls_datum_t metacert;
    enum bk_err err = make_metacert(s, &metacert);
    if (err != BK_OK)
        return say(reason, err, "cannot make the relay's certificate", bk_err_text(err));
    const struct net_tls_server_config config = {.cert_file = or_null(&s->options->cert),
                                                 .key_file = or_null(&s->options->key),
                                                 .state_dir = s->state_dir,
                                                 .name = s->name,
                                                 .metacert = metacert.data,
                                                 .metacert_len = metacert.size,
                                                 .alpn = "stun.turn,stun.nat-discovery"};
    char why[NET_REASON_MAX] = "";
    err = net_tls_server_new(&config, out, why);
    gnutls_free(metacert.data);
    if (err != BK_OK) {
        struct text t = text_in(reason, SERVER_TEXT_MAX);
        text_str(&t, why);
    }
    return err;
}

static void use_tls(struct server *s, struct net_tls *tls) {
    net_tls_unref(s->tls);
    s->tls = tls;
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_set_tls(s->workers[i], tls);
}

static void reload(struct server *s) {
    struct net_tls *tls;
    char reason[SERVER_TEXT_MAX];
    if (s->options->cert.text[0] == '\0') {
        log_event(LOG_INFO, "reload", "certificate", "self-signed, nothing to read again");
        return;
    }
    if (load_tls(s, &tls, reason) != BK_OK) {
        log_event(LOG_ERROR, "reload_failed", "reason", reason);
        return;
    }
    use_tls(s, tls);
    log_event(LOG_INFO, "reload", "certificate", s->options->cert.text);
}

/* From memory: by now the files may be out of reach. */
static void on_renew(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    gnutls_datum_t metacert;
    struct net_tls *tls;
    net_timer_set(&s->renew, bk_after(now, metacert_renew_us));
    if (make_metacert(s, &metacert) != BK_OK)
        return;
    enum bk_err err = net_tls_server_renew(s->tls, metacert.data, metacert.size, &tls);
    gnutls_free(metacert.data);
    if (err == BK_OK)
        use_tls(s, tls);
    else
        log_event(LOG_ERROR, "renew_failed", "reason", bk_err_text(err));
}

/* --- binding
 * --------------------------------------------------------------------------------------- */

static enum bk_err say_bind(char *reason, enum bk_err err, const struct bk_addr *at,
                            const char *what) {
    char addr[BK_ADDR_TEXT_MAX];
    struct text t = text_in(reason, SERVER_TEXT_MAX);
    text_str(&t, "cannot serve ");
    text_str(&t, what);
    text_str(&t, " on ");
    text_str(&t, bk_addr_format(at, addr));
    text_str(&t, ": ");
    text_str(&t, err == BK_ERR_EXISTS        ? "the port is taken by another program"
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

/* The addresses of RFC 5780 that the wildcard carries must be ours, or answers would not leave. */
static enum bk_err check_own(struct server *s, char *reason) {
    const struct net_udp_events nobody = {NULL, NULL};
    for (size_t i = 0; i < s->options->stun_address.count; i++) {
        struct bk_addr at = bk_addr(s->options->stun_address.ips[i], 0);
        struct net_udp *probe;
        enum bk_err err = net_udp_open(s->loop, &at, &net_udp_config_default, &nobody, &probe);
        if (err != BK_OK)
            return say_bind(reason, err, &at, "STUN");
        net_udp_close(probe);
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
        return say(reason, err, "cannot start the RFC 5780 service", bk_err_text(err));
    for (size_t k = 0; k < s->fleet.count; k++) {
        s->workers[k]->stun.discovery = s->fleet.discovery;
        s->workers[k]->stun_tcp.discovery = second_tcp && second_udp ? s->fleet.discovery : NULL;
    }
    return BK_OK;
}

static enum bk_err bind_stun(struct server *s, char *reason) {
    s->stun_port = s->options->stun_port == 0 ? free_port(s) : (uint16_t)s->options->stun_port;
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
    log_event(LOG_WARN, "turns_port", "reason", "port 5349 cannot be used, no TURN over TLS on it");
    return BK_OK;
}

static enum bk_err start_dtls(struct server *s) {
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++)
        err = worker_start_dtls(s->workers[i], s->tls);
    return err;
}

static enum bk_err bind_all(struct server *s, char *reason) {
    enum bk_err err = bind_https(s, reason);
    if (err == BK_OK)
        err = bind_stun(s, reason);
    if (err == BK_OK)
        err = bind_turns(s, reason);
    if (err == BK_OK && start_dtls(s) != BK_OK)
        err = say(reason, BK_ERR_NO_MEMORY, "cannot start DTLS", "out of memory");
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

static void choose_addresses(struct server *s) {
    choose_listen(s);
    memcpy(s->stun_ips, s->ips, sizeof s->ips);
    s->stun_ip_count = s->ip_count;
    for (size_t i = 0; i < s->options->stun_address.count; i++)
        if (!is_served(s, &s->options->stun_address.ips[i]))
            s->stun_ips[s->stun_ip_count++] = s->options->stun_address.ips[i];
}

/* --- workers
 * ------------------------------------------------------------------------------------------ */

static size_t worker_count(const struct server_options *o) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (o->workers > 0)
        return (size_t)o->workers;
    return cores < 1 ? 1 : cores > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (size_t)cores;
}

static enum bk_err make_workers(struct server *s, const uint8_t *secret, char *reason) {
    struct relay_hub_config hub = relay_hub_config_default;
    struct bk_rng rng = box_rng();
    uint32_t connections = limits_descriptors((uint32_t)s->options->connections_max);
    size_t count = worker_count(s->options);
    enum bk_err err =
        limits_init(&s->fleet.limits, connections, (uint32_t)s->options->per_address_max, &rng);
    memcpy(hub.secret, secret, sizeof hub.secret);
    hub.conns_max = connections; /* the kernel may hand all of them to one worker */
    hub.remote_keys_max = count > 1 ? connections : 0;
    hub.announce = count > 1;
    hub.pool_bytes = POOL_TOTAL / count < POOL_LEAST ? POOL_LEAST : POOL_TOTAL / count;
    s->fleet.workers = s->workers;
    s->fleet.metrics = s->metrics;
    s->fleet.count = count;
    s->fleet.proxies.allow = s->options->turn.proxy_from.list;
    s->fleet.proxies.allow_count = s->options->turn.proxy_from.count;
    s->fleet.plane = server_turn_plane(s->options);
    for (size_t i = 0; i < count && err == BK_OK; i++) {
        err = worker_new(&s->fleet, (uint32_t)i, &hub, &s->workers[i]);
        if (err == BK_OK)
            s->metrics[i] = &s->workers[i]->metrics;
    }
    wipe(&hub, sizeof hub);
    return err == BK_OK ? BK_OK : say(reason, err, "cannot start the workers", bk_err_text(err));
}

/* --- the run
 * ---------------------------------------------------------------------------------------------- */

static void on_signal(void *ctx, int signum) {
    struct server *s = ctx;
    if (signum == SIGHUP) {
        reload(s);
        return;
    }
    if (s->stopping)
        return;
    s->stopping = true;
    log_event(LOG_INFO, "stopping", "signal", signum == SIGINT ? "SIGINT" : "SIGTERM");
    net_loop_stop(s->loop);
}

static enum bk_err watch_signals(struct server *s) {
    static const int signums[3] = {SIGHUP, SIGINT, SIGTERM};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        enum bk_err err = net_signal_new(s->loop, signums[i], on_signal, s, &s->signals[i]);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

static enum bk_err read_keys(struct server *s, uint8_t secret[STORE_KEY_LEN], char *reason) {
    char why[NET_REASON_MAX] = "";
    enum bk_err err = BK_OK;
    if (s->options->state_dir.text[0] != '\0')
        memcpy(s->state_dir, s->options->state_dir.text, sizeof s->options->state_dir.text);
    else
        err = store_default_dir(s->state_dir, sizeof s->state_dir);
    if (err != BK_OK)
        return say(reason, err, "no folder for the server's keys", "use --state DIR");
    err = store_relay_key(s->state_dir, secret, why);
    if (err == BK_OK)
        err = box_public(secret, s->fleet.relay_key);
    if (err != BK_OK)
        return say(reason, err, "the relay's key", why[0] == '\0' ? bk_err_text(err) : why);
    if (s->options->name.text[0] != '\0')
        memcpy(s->name, s->options->name.text, sizeof s->name);
    else
        home_line_host(s->ips, s->ip_count, s->name, sizeof s->name);
    return load_tls(s, &s->tls, reason);
}

static enum bk_err lock_down(const struct server *s, char *reason) {
    const char *const readable[2] = {or_null(&s->options->cert), or_null(&s->options->key)};
    enum privileges_outcome outcome;
    const char *why;
    enum bk_err err = privileges_drop(or_null(&s->options->user), readable, &outcome, &why);
    if (err != BK_OK)
        return say(reason, err, "cannot become the user",
                   or_null(&s->options->user) == NULL ? "nobody" : s->options->user.text);
    if (outcome == PRIVILEGES_KEPT)
        log_event(LOG_WARN, "still_root", "reason", why);
    return BK_OK;
}

/* Once, so that whoever runs the server knows what its clients can find out about their NAT. */
static void announce_discovery(const struct server *s) {
    const struct stun_discovery *d = s->fleet.discovery;
    bool v6 = false;
    struct log_line l;
    for (size_t i = 0; i < s->stun_ip_count; i++)
        v6 = v6 || s->stun_ips[i].family == BK_IPV6;
    log_begin(&l, LOG_INFO, LOG_ALWAYS, "nat_discovery");
    log_text(&l, "ipv4", discovery_text(stun_discovery_reach(d, BK_IPV4)));
    if (v6)
        log_text(&l, "ipv6", discovery_text(stun_discovery_reach(d, BK_IPV6)));
    log_end(&l);
}

static void announce(const struct server *s) {
    char line[HOME_LINE_MAX];
    const struct home_line home = {.host = s->name,
                                   .port = s->https_port,
                                   .stun_port = s->stun_port,
                                   .pin =
                                       net_tls_is_self_signed(s->tls) ? net_tls_pin(s->tls) : NULL};
    struct log_line l;
    log_begin(&l, LOG_INFO, LOG_ALWAYS, "ready");
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
    announce_discovery(s);
    puts(home_line_put(&home, line));
    fflush(stdout);
}

/* All signals go to this thread, whose loop watches them. */
static enum bk_err start_threads(struct server *s) {
    sigset_t all, before;
    enum bk_err err = BK_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++)
        err = worker_start(s->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static enum bk_err start_turn(struct server *s, char *reason) {
    struct turn_users users[SERVER_WORKERS_MAX];
    if (!turn_options_on(&s->options->turn)) {
        log_event(LOG_INFO, "turn_off", "reason",
                  "nobody can log in; --turn-user NAME:PASSWORD is the shortest way");
        return BK_OK;
    }
    enum bk_err err =
        users_keeper_start(&s->users, s->loop, &s->options->turn, s->fleet.count, reason);
    if (err != BK_OK)
        return err;
    for (size_t i = 0; i < s->fleet.count; i++)
        users[i] = users_keeper_source(&s->users, i);
    return server_turn_start(&s->fleet, s->options, s->ips, s->ip_count, users, reason);
}

static enum bk_err start(struct server *s, char *reason) {
    uint8_t secret[STORE_KEY_LEN];
    choose_addresses(s);
    enum bk_err err = read_keys(s, secret, reason);
    if (err == BK_OK)
        err = make_workers(s, secret, reason);
    wipe(secret, sizeof secret);
    if (err == BK_OK)
        err = bind_all(s, reason);
    if (err == BK_OK)
        err = start_turn(s, reason);
    if (err == BK_OK)
        err = lock_down(s, reason);
    if (err != BK_OK)
        return err;
    err = watch_signals(s);
    if (err == BK_OK)
        err = start_threads(s);
    return err == BK_OK ? BK_OK : say(reason, err, "cannot start", bk_err_text(err));
}

static void stop(struct server *s) {
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_stop(s->workers[i]);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_join(s->workers[i]);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_free(s->workers[i]);
    users_keeper_stop(&s->users);
    limits_fini(&s->fleet.limits);
    stun_discovery_free(s->fleet.discovery);
    for (int i = 0; i < 3; i++)
        net_signal_free(s->signals[i]);
    net_timer_set(&s->renew, BK_NEVER);
    net_tls_unref(s->tls);
    log_event(LOG_INFO, "stopped", "clients", "told to come back");
}

enum bk_err server_run(const struct server_options *options, char *reason) {
    static struct server server; /* one in a process: signals and ports are too */
    struct server *s = &server;
    s->options = options;
    log_setup(options->log_level, options->log_json);
    enum bk_err err = net_loop_new(net_alloc(), &s->loop);
    if (err != BK_OK)
        return say(reason, err, "cannot start", bk_err_text(err));
    err = start(s, reason);
    if (err != BK_OK)
        return err; /* the program ends: the system takes everything back */
    net_timer_init(&s->renew, s->loop, on_renew, s);
    net_timer_set(&s->renew, bk_after(net_now(s->loop), metacert_renew_us));
    announce(s);
    net_loop_run(s->loop);
    stop(s);
    net_loop_free(s->loop);
    return BK_OK;
}
