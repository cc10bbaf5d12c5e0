/* SPDX-License-Identifier: MIT
 * `bodkin map`: asks the routers for ports, says what came of it, keeps it until interrupted, gives
 * it back.
 *
 * To see whether a UDP mapping lets packets in, the port itself must be ours for a second; when
 * another program has it, the mapping is kept all the same, and it is said that it was not tried.
 */
#define _GNU_SOURCE /* NOLINT: sigset_t needs it */
#include "cli/command.h"
#include "cli/map_show.h"
#include "cli/nat_server.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "net/alloc.h"
#include "net/resolve.h"
#include "net/udp.h"
#include "node/portmap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIGNALS = 3,
    PORTS_MAX = 16,
    PORT_LOW = 1024, /* routers keep these for themselves: never asked for */
    LIFETIME_MIN_S = 120,
    LIFETIME_S = 7200
};
#define PROBE_US (22 * BK_US_PER_S) /* a UPnP device that hangs is given up a little earlier */

static const char help[] =
    "Asks the router to let a port in, by PCP, NAT-PMP and UPnP at once, and keeps\n"
    "it until interrupted.\n"
    "\n"
    "  bodkin map 40000               UDP port 40000 of this machine\n"
    "  bodkin map --tcp 25565         TCP port 25565\n"
    "  bodkin map --probe             what does the router speak? Maps nothing\n"
    "\n"
    "      --tcp            TCP; without it UDP\n"
    "      --external PORT  the port outside (1024 or more), if it is free\n"
    "      --exact          that port outside or none\n"
    "      --for TIME       90, 10m or 2h; without it until interrupted\n"
    "      --way WAY        pcp, nat-pmp or upnp only\n"
    "      --server HOST[:PORT]  the STUN server that tries the mapping from outside\n"
    "      --home URL       the home server does (or $BODKIN_HOME)\n"
    "      --probe          say what each router speaks\n"
    "  -4, -6               at routers of this IP version only\n"
    "      --json           one JSON object a line\n"
    "      --help           this text\n"
    "\n"
    "Ends with 0 when it was mapped and given back, with 16 when no router gave a port.\n";

struct map_options {
    const char *home, *server, *way, *time;
    uint32_t external;
    bool tcp, exact, probe, json, only4, only6;
};

struct wanted {
    struct map *map;
    uint16_t port;
    uint32_t number;
    struct net_udp *sockets[2]; /* while it is being tried; IPv4, IPv6 */
    bool failed[BK_PORTMAP_ROUTERS_MAX];
    struct bk_portmap_lease last[BK_PORTMAP_ROUTERS_MAX];
    bool has_last[BK_PORTMAP_ROUTERS_MAX];
};

struct map {
    struct report report;
    struct map_options options;
    uint32_t for_s;
    struct nat_server server;
    bool has_server;
    struct net_loop *loop;
    struct net_signal *signals[SIGNALS];
    struct net_resolve *resolve;
    struct net_timer timer; /* --for, --probe */
    struct mapper *mapper;
    struct mapper_config config;
    struct wanted wanted[PORTS_MAX];
    size_t count;
    bool mapped, stopping;
    enum exit_code code;
};

/* --- the end --- */

static void stop(struct map *m) {
    if (m->stopping)
        return; /* a second interrupt cannot make it faster: it takes a second at most */
    m->stopping = true;
    if (m->mapper == NULL) {
        net_loop_stop(m->loop);
        return;
    }
    bk_portmap_stop(mapper_portmap(m->mapper), net_clock());
    mapper_touch(m->mapper);
}

static void on_signal(void *ctx, int number) {
    struct map *m = ctx;
    if (!m->mapped)
        m->code = (enum exit_code)(EXIT_SIGNAL + number);
    stop(m);
}

static void fail(struct map *m, enum exit_code code) {
    m->code = code;
    stop(m);
}

/* --- the wanted port, while it is being tried --- */

static void on_batch(void *ctx, const struct bk_datagram *in, size_t count, struct bk_time now) {
    struct wanted *w = ctx;
    (void)now;
    for (size_t i = 0; i < count; i++)
        (void)mapper_recv(w->map->mapper, &in[i]);
}

static void close_port(struct wanted *w) {
    for (size_t i = 0; i < 2; i++) {
        net_udp_close(w->sockets[i]);
        w->sockets[i] = NULL;
    }
}

/* false: another program has it. */
static bool open_port(struct wanted *w) {
    static const uint8_t families[2] = {BK_IPV4, BK_IPV6};
    const struct net_udp_events events = {.on_batch = on_batch, .ctx = w};
    struct net_udp_config config = net_udp_config_default;
    bool any = false;
    config.v6only = true;
    for (size_t i = 0; i < 2; i++) {
        struct bk_addr at = {.ip = {.family = families[i]}, .port = w->port};
        if (net_udp_open(w->map->loop, &at, &config, &events, &w->sockets[i]) != BK_OK)
            w->sockets[i] = NULL;
        any = any || w->sockets[i] != NULL;
    }
    return any;
}

static void send_from_port(void *ctx, const struct bk_datagram *out) {
    struct map *m = ctx;
    for (size_t i = 0; i < m->count; i++) {
        struct net_udp *udp = m->wanted[i].sockets[out->local.ip.family == BK_IPV6];
        if (m->wanted[i].port == out->local.port && udp != NULL)
            (void)!net_udp_send(udp, out);
    }
}

/* --- events --- */

static struct wanted *wanted_of(struct map *m, uint32_t number) {
    for (size_t i = 0; i < m->count; i++)
        if (m->wanted[i].number == number)
            return &m->wanted[i];
    return NULL;
}

static bool is_being_tried(struct map *m, const struct wanted *w) {
    struct bk_portmap_lease lease;
    for (size_t i = 0; i < mapper_routers(m->mapper); i++)
        if (bk_portmap_lease(mapper_portmap(m->mapper), w->number, i, &lease) == BK_OK &&
            lease.proof == BK_PORTMAP_TRYING)
            return true;
    return false;
}

/* A lease is shown once it is known whether it works. */
static void show(struct map *m, struct wanted *w, size_t router) {
    struct bk_portmap_lease lease;
    if (bk_portmap_lease(mapper_portmap(m->mapper), w->number, router, &lease) != BK_OK ||
        lease.proof == BK_PORTMAP_TRYING)
        return;
    if (!is_being_tried(m, w))
        close_port(w);
    m->mapped = true;
    w->last[router] = lease;
    w->has_last[router] = true;
    map_show_lease(&lease, m->options.json, net_now(m->loop));
}

static void show_end(struct map *m, struct wanted *w, size_t router, const char *word) {
    if (!w->has_last[router])
        return;
    w->has_last[router] = false;
    map_show_end(&w->last[router], word, m->options.json);
}

/* Nobody gave a port for it, at any router. */
static void give_up(struct map *m, struct wanted *w, size_t router) {
    char reason[MAP_REASON_MAX];
    struct bk_portmap *pm = mapper_portmap(m->mapper);
    w->failed[router] = true;
    for (size_t i = 0; i < mapper_routers(m->mapper); i++)
        if (!w->failed[i])
            return; /* another may still give one */
    if (m->mapped)
        return; /* it was there once: asked for again and again */
    report_error(&m->report, "%s",
                 map_show_reason(pm, w->number, mapper_routers(m->mapper),
                                 mapper_has_upnp(m->mapper), reason));
    fail(m, EXIT_NO_MAPPING);
}

static void show_routers(struct map *m) {
    m->mapped = map_show_routers(mapper_portmap(m->mapper), mapper_routers(m->mapper),
                                 mapper_has_upnp(m->mapper), m->options.json);
    m->code = m->mapped ? EXIT_FINE : EXIT_NO_MAPPING;
    stop(m);
}

/* A probe is over as soon as nothing is asked any more. */
static bool is_settled(const struct map *m) {
    struct bk_portmap_view v;
    for (size_t i = 0; i < mapper_routers(m->mapper); i++)
        for (unsigned way = 0; way < BK_PORTMAP_WAYS; way++)
            if (bk_portmap_view(mapper_portmap(m->mapper), i, (enum bk_portmap_way)way, &v) ==
                    BK_OK &&
                v.offer == BK_PORTMAP_ASKING)
                return false;
    return true;
}

static void on_event(void *ctx, const struct bk_portmap_event *e) {
    struct map *m = ctx;
    struct wanted *w = wanted_of(m, e->want);
    switch (e->kind) {
    case BK_PORTMAP_WAY:
        if (m->options.probe && !m->stopping && is_settled(m))
            show_routers(m);
        return;
    case BK_PORTMAP_MAPPED:
    case BK_PORTMAP_TRIED:
        if (w != NULL)
            show(m, w, e->router);
        return;
    case BK_PORTMAP_LOST:
        if (w != NULL)
            show_end(m, w, e->router, "lost");
        return;
    case BK_PORTMAP_FAILED:
        if (w != NULL)
            give_up(m, w, e->router);
        return;
    case BK_PORTMAP_STOPPED:
        for (size_t i = 0; i < m->count; i++)
            for (size_t router = 0; router < BK_PORTMAP_ROUTERS_MAX; router++)
                show_end(m, &m->wanted[i], router, "released");
        net_loop_stop(m->loop);
        return;
    }
}

static void on_routers(void *ctx, size_t count) {
    struct map *m = ctx;
    if (count > 0 || m->mapped)
        return;
    report_error(&m->report, "there is no router to ask: this machine has no default route");
    fail(m, EXIT_NO_MAPPING);
}

/* --- the start --- */

static void want_ports(struct map *m) {
    const struct map_options *o = &m->options;
    for (size_t i = 0; i < m->count && !m->stopping; i++) {
        struct wanted *w = &m->wanted[i];
        struct bk_portmap_want want = {.protocol = o->tcp ? BK_TCP : BK_UDP,
                                       .internal_port = w->port,
                                       .external_port = (uint16_t)o->external,
                                       .exact = o->exact,
                                       .verify = m->has_server};
        if (m->for_s != 0 && m->for_s < LIFETIME_S)
            want.lifetime_s = m->for_s < LIFETIME_MIN_S ? LIFETIME_MIN_S : m->for_s;
        if (want.verify && !o->tcp)
            want.verify = open_port(w);
        enum bk_err err =
            bk_portmap_add(mapper_portmap(m->mapper), &want, net_now(m->loop), &w->number);
        if (err != BK_OK) {
            report_error(&m->report, "port %u: %s", w->port, bk_err_text(err));
            fail(m, EXIT_OTHER);
        }
    }
    mapper_touch(m->mapper);
}

static void start(struct map *m) {
    const struct mapper_events events = {
        .on_event = on_event, .send = send_from_port, .on_routers = on_routers, .ctx = m};
    enum bk_err err = mapper_new(m->loop, &m->config, &events, &m->mapper);
    if (err != BK_OK) {
        report_error(&m->report, "the network cannot be used: %s", bk_err_text(err));
        fail(m, EXIT_OTHER);
        return;
    }
    if (m->stopping)
        return; /* no router: told when the mapper looked around */
    if (m->options.probe)
        net_timer_set(&m->timer, bk_after(net_now(m->loop), PROBE_US));
    else if (m->for_s != 0)
        net_timer_set(&m->timer, bk_after(net_now(m->loop), m->for_s * BK_US_PER_S));
    want_ports(m);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct map *m = ctx;
    (void)now;
    if (m->options.probe)
        show_routers(m);
    else
        stop(m);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t count) {
    struct map *m = ctx;
    char text[NAT_SERVER_TEXT_MAX];
    m->resolve = NULL;
    if (err != BK_OK) {
        report_error(&m->report, "the server %s is not found, so nothing is tried from outside",
                     nat_server_text(&m->server, text));
        m->has_server = false;
    }
    for (size_t i = 0; i < count && err == BK_OK; i++) {
        struct bk_addr *to =
            addrs[i].ip.family == BK_IPV4 ? &m->config.portmap.stun : &m->config.portmap.stun6;
        if (to->ip.family == BK_FAMILY_NONE)
            *to = addrs[i];
    }
    start(m);
}

static void begin(struct map *m) {
    if (!m->has_server || m->options.probe) {
        start(m);
        return;
    }
    enum bk_err err =
        net_resolve(m->loop, m->server.host, m->server.port, on_resolved, m, &m->resolve);
    if (err != BK_OK)
        on_resolved(m, err, NULL, 0);
}

/* --- options --- */

static bool read_number(const char *text, uint32_t max, uint32_t *out, const char **rest) {
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long n = strtoul(text, &end, 10);
    if (n == 0 || n > max)
        return false;
    *out = (uint32_t)n;
    *rest = end;
    return true;
}

/* "90", "90s", "10m", "2h" */
static bool read_time(const char *text, uint32_t *out) {
    const char *rest;
    uint32_t n, unit = 1;
    if (!read_number(text, 1000000, &n, &rest))
        return false;
    if (*rest == 'm')
        unit = 60;
    else if (*rest == 'h')
        unit = 3600;
    else if (*rest != 's' && *rest != '\0')
        return false;
    *out = n * unit;
    return *rest == '\0' || rest[1] == '\0';
}

static enum exit_code read_ports(struct map *m, const struct option_words *words) {
    for (size_t i = 0; i < words->count; i++) {
        const char *rest;
        uint32_t port;
        if (!read_number(words->items[i], UINT16_MAX, &port, &rest) || *rest != '\0') {
            report_error(&m->report, "\"%s\" is not a port: 1 to 65535", words->items[i]);
            return EXIT_USAGE;
        }
        m->wanted[m->count++] = (struct wanted){.map = m, .port = (uint16_t)port};
    }
    if ((m->count == 0) == m->options.probe)
        return EXIT_FINE;
    report_error(&m->report, m->options.probe ? "--probe maps nothing, so it takes no port"
                                              : "which port? For example: bodkin map 40000");
    return EXIT_USAGE;
}

static enum exit_code read_way(struct map *m) {
    static const char *const names[BK_PORTMAP_WAYS] = {"pcp", "nat-pmp", "upnp"};
    unsigned only = 0;
    if (m->options.way == NULL)
        return EXIT_FINE;
    while (only < BK_PORTMAP_WAYS && strcmp(m->options.way, names[only]) != 0)
        only++;
    if (only == BK_PORTMAP_WAYS) {
        report_error(&m->report, "\"%s\" is not a way: pcp, nat-pmp or upnp", m->options.way);
        return EXIT_USAGE;
    }
    for (unsigned way = 0; way < BK_PORTMAP_WAYS; way++)
        m->config.portmap.off[way] = way != only;
    return EXIT_FINE;
}

/* Without a word about a server, and without a home, nothing is tried from outside. */
static enum exit_code read_server(struct map *m) {
    const struct map_options *o = &m->options;
    const char *from_env = getenv("BODKIN_HOME");
    struct home home;
    if (o->server != NULL) {
        m->has_server = nat_server_parse(o->server, &m->server) == BK_OK;
        if (m->has_server)
            return EXIT_FINE;
        report_error(&m->report, "\"%s\" is not a server: HOST, HOST:PORT or [IPV6]:PORT",
                     o->server);
        return EXIT_USAGE;
    }
    if (o->home == NULL && (from_env == NULL || from_env[0] == '\0'))
        return EXIT_FINE;
    enum exit_code code = settings_home(&m->report, o->home, &home);
    if (code != EXIT_FINE || home.stun_port == 0)
        return code;
    nat_server_of_home(&home, &m->server);
    m->has_server = true;
    return EXIT_FINE;
}

static enum exit_code read_rest(struct map *m, const struct option_words *words) {
    const struct map_options *o = &m->options;
    enum exit_code code = read_ports(m, words);
    if (code == EXIT_FINE && o->only4 && o->only6) {
        report_error(&m->report, "-4 and -6 exclude each other; without either both are asked");
        code = EXIT_USAGE;
    }
    if (code == EXIT_FINE &&
        (o->external > UINT16_MAX || (o->external != 0 && o->external < PORT_LOW))) {
        report_error(&m->report, "--external is 1024 to 65535: lower ports are the router's own");
        code = EXIT_USAGE;
    }
    if (code == EXIT_FINE && o->external != 0 && m->count > 1) {
        report_error(&m->report, "--external is for one port only");
        code = EXIT_USAGE;
    }
    if (code == EXIT_FINE && o->time != NULL && !read_time(o->time, &m->for_s)) {
        report_error(&m->report, "\"%s\" is not a time such as 90, 10m or 2h", o->time);
        code = EXIT_USAGE;
    }
    if (code == EXIT_FINE)
        code = read_way(m);
    return code == EXIT_FINE ? read_server(m) : code;
}

/* --- life --- */

static enum exit_code run(struct map *m) {
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    enum bk_err err = net_loop_new(net_alloc(), &m->loop);
    for (size_t i = 0; i < SIGNALS && err == BK_OK; i++)
        err = net_signal_new(m->loop, numbers[i], on_signal, m, &m->signals[i]);
    if (err != BK_OK) {
        report_error(&m->report, "%s", bk_err_text(err));
        m->code = EXIT_OTHER;
    } else {
        net_timer_init(&m->timer, m->loop, on_timer, m);
        begin(m);
        if (m->mapper != NULL || m->resolve != NULL)
            net_loop_run(m->loop);
        net_timer_set(&m->timer, BK_NEVER);
    }
    net_resolve_cancel(m->resolve);
    for (size_t i = 0; i < m->count; i++)
        close_port(&m->wanted[i]);
    mapper_free(m->mapper);
    for (size_t i = 0; i < SIGNALS; i++)
        net_signal_free(m->signals[i]);
    net_loop_free(m->loop);
    return m->code;
}

int cmd_map(int argc, char **argv) {
    static struct map m; /* large */
    struct map_options *o = &m.options;
    const struct option_row rows[] = {
        {"tcp", '\0', OPTION_FLAG, &o->tcp},     {"external", '\0', OPTION_NUMBER, &o->external},
        {"exact", '\0', OPTION_FLAG, &o->exact}, {"for", '\0', OPTION_TEXT, &o->time},
        {"way", '\0', OPTION_TEXT, &o->way},     {"server", '\0', OPTION_TEXT, &o->server},
        {"home", '\0', OPTION_TEXT, &o->home},   {"probe", '\0', OPTION_FLAG, &o->probe},
        {"ipv4", '4', OPTION_FLAG, &o->only4},   {"ipv6", '6', OPTION_FLAG, &o->only6},
        {"json", '\0', OPTION_FLAG, &o->json},   {NULL, '\0', OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = PORTS_MAX};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    report_init(&m.report, "map", false, net_clock());
    m.config = (struct mapper_config){.portmap = bk_portmap_config_default};
    m.config.portmap.probe = o->probe;
    m.config.no_ipv4 = o->only6;
    m.config.no_ipv6 = o->only4;
    enum exit_code code = read_rest(&m, &words);
    return (int)(code == EXIT_FINE ? run(&m) : code);
}
