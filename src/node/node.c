/* SPDX-License-Identifier: MIT
 * The order of teardown: sockets and the home link first (no more packets in), then the endpoint.
 */
#include "node/node.h"

#include "box/box.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "net/resolve.h"
#include "net/udp.h"
#include "node/extra.h"
#include "node/home.h"
#include "node/lan.h"
#include "node/nat64.h"
#include "node/ports.h"
#include "node/survey.h"

#include "base/assert.h"

#include <string.h>

enum {
    TRAINS_PER_ROUND = 64, /* then packets are read again, so that acks are not kept waiting */
    BACKLOG_RETRY_US = 500,
    UDP_BUFFER = 4 * 1024 * 1024
};

struct node {
    struct net_loop *loop;
    struct node_config config;
    struct node_events events;
    void *ctx;
    struct endpoint *endpoint;
    struct home_link home;
    struct net_udp *udp4, *udp6;
    struct extra extra;
    struct survey survey;
    struct net_resolve *resolve;
    struct net_interface_watch *watch;
    struct node_lan lan;
    struct node_nat64 nat64;
    struct node_ports ports;
    struct bk_addr stun[GATHER_SERVERS_MAX]; /* the home's name as addresses */
    size_t stun_count;
    struct net_timer timer;
    struct net_deferred round;
    struct node_traffic traffic;
    bool alone; /* this machine has no network but itself */
};

/* --- packets out, events, the next deadline: once per turn --- */

/* Ports tell sockets apart. */
static struct net_udp *socket_for(struct node *n, const struct bk_datagram *out) {
    struct net_udp *shared = out->remote.ip.family == BK_IPV6 ? n->udp6 : n->udp4;
    if (shared != NULL && out->local.port != 0 && out->local.port != net_udp_local(shared).port)
        return extra_find(&n->extra, out->local.port);
    return shared;
}

/* Is the kernel's buffer full? Then QUIC keeps its packets: a queue here would only add delay. */
static bool is_congested(const struct node *n) {
    return (n->udp4 != NULL && net_udp_backlog(n->udp4) > 0) ||
           (n->udp6 != NULL && net_udp_backlog(n->udp6) > 0);
}

/* Returns true when there may be more. */
static bool send_datagrams(struct node *n, struct bk_time now) {
    struct bk_datagram out;
    for (int i = 0; i < TRAINS_PER_ROUND; i++) {
        if (is_congested(n))
            return false;
        if (!endpoint_next_datagram(n->endpoint, now, &out))
            return extra_serve(&n->extra);
        struct net_udp *udp = socket_for(n, &out);
        if (udp != NULL && net_udp_send(udp, &out) == BK_OK)
            n->traffic.direct_bytes_out += out.len;
    }
    return true;
}

static void send_relayed(struct node *n, struct bk_time now) {
    struct endpoint_relay_packet out;
    while (home_link_has_room(&n->home, ENDPOINT_RELAY_MAX) &&
           endpoint_next_relay(n->endpoint, now, &out)) {
        home_link_send(&n->home, out.to, out.data, out.len);
        n->traffic.relay_bytes_out += out.len;
    }
}

static void tell_events(struct node *n) {
    struct endpoint_event event;
    while (endpoint_next_event(n->endpoint, &event))
        n->events.on_event(n->ctx, &event);
}

static void round_of_packets(void *ctx) {
    struct node *n = ctx;
    struct bk_time now = net_now(n->loop);
    tell_events(n);
    if (n->events.on_progress != NULL)
        n->events.on_progress(n->ctx);
    if (endpoint_take_home_doubt(n->endpoint))
        home_link_doubt(&n->home);
    send_relayed(n, now);
    bool more = send_datagrams(n, now);
    node_lan_round(&n->lan);
    tell_events(n);
    struct bk_time next = endpoint_deadline(n->endpoint);
    if (more)
        next = now;
    else if (is_congested(n))
        next = bk_earlier(next, bk_after(now, BACKLOG_RETRY_US));
    net_timer_set(&n->timer, next);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct node *n = ctx;
    endpoint_advance(n->endpoint, now);
    net_defer(&n->round);
}

void node_touch(struct node *n) {
    net_defer(&n->round);
}

/* --- packets in --- */

static void on_batch(void *ctx, const struct bk_datagram *in, size_t count, struct bk_time now) {
    struct node *n = ctx;
    for (size_t i = 0; i < count; i++) {
        n->traffic.direct_bytes_in += in[i].len;
        if (!node_ports_recv(&n->ports, &in[i]))
            endpoint_recv(n->endpoint, &in[i], now);
    }
    net_defer(&n->round);
}

static void on_relay_packet(void *ctx, const uint8_t *from, const uint8_t *data, size_t len) {
    struct node *n = ctx;
    n->traffic.relay_bytes_in += len;
    endpoint_relay_recv(n->endpoint, from, data, len, net_now(n->loop));
    net_defer(&n->round);
}

static void on_gone(void *ctx, const uint8_t *key, bool not_here) {
    struct node *n = ctx;
    endpoint_peer_gone(n->endpoint, key, not_here, net_now(n->loop));
    net_defer(&n->round);
}

static void on_relay_room(void *ctx) {
    node_touch(ctx);
}

/* A home at a private address is inside this network, and so are the peers that can reach it. */
static void start_ports(struct node *n) {
    bool outside = false;
    for (size_t i = 0; i < n->stun_count; i++)
        outside = outside || bk_ip_scope(&n->stun[i].ip) == BK_SCOPE_GLOBAL;
    if (outside && n->home.up)
        node_ports_start(&n->ports, n->stun, n->stun_count);
}

static void on_up(void *ctx) {
    struct node *n = ctx;
    endpoint_relay_up(n->endpoint, true, net_now(n->loop));
    start_ports(n);
    net_defer(&n->round);
    n->events.on_home(n->ctx, true, BK_OK, "");
}

static void on_down(void *ctx, enum bk_err err, const char *reason) {
    struct node *n = ctx;
    endpoint_relay_up(n->endpoint, false, net_now(n->loop));
    net_defer(&n->round);
    n->events.on_home(n->ctx, false, err, reason);
}

static void on_ports(void *ctx) {
    node_touch(ctx);
}

static void on_beacon(void *ctx) {
    node_touch(ctx);
}

/* --- surroundings --- */

/* Both ports of one server address: see peer/gather.h. */
static void add_server(struct bk_addr *servers, size_t *count, const struct bk_addr *addr) {
    if (addr->ip.family == BK_FAMILY_NONE || *count + 2 > GATHER_SERVERS_MAX)
        return;
    servers[(*count)++] = *addr;
    if (addr->port == UINT16_MAX)
        return;
    servers[*count] = *addr;
    servers[(*count)++].port = (uint16_t)(addr->port + 1);
}

/* One address of each family tells enough; and one by way of the NAT64. */
static void set_servers(void *ctx) {
    struct node *n = ctx;
    struct bk_addr servers[GATHER_SERVERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < n->stun_count; i++)
        add_server(servers, &count, &n->stun[i]);
    if (n->stun_count != 1 || !bk_addr_equal(&n->nat64.stun, &n->stun[0]))
        add_server(servers, &count, &n->nat64.stun);
    endpoint_set_stun(n->endpoint, servers, count, net_now(n->loop));
    net_defer(&n->round);
}

static bool has_family(const struct node *n, uint8_t family) {
    for (size_t i = 0; i < n->stun_count; i++)
        if (n->stun[i].ip.family == family)
            return true;
    return false;
}

/* What the NAT does is worth knowing only for who leaves this machine. */
static void start_survey(struct node *n) {
    struct bk_addr servers[2] = {{.port = 0}};
    for (size_t i = 0; i < n->stun_count; i++)
        servers[n->stun[i].ip.family == BK_IPV6 ? 1 : 0] = n->stun[i];
    if (n->stun_count > 0 && !n->config.relay_only && !n->alone)
        survey_start(&n->survey, &servers[0], &servers[1]);
}

static void on_survey(void *ctx, const struct bk_nat_record *record, uint8_t opener_ttl) {
    struct node *n = ctx;
    endpoint_set_nat(n->endpoint, &record->traits, opener_ttl, net_now(n->loop));
    net_defer(&n->round);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t count) {
    struct node *n = ctx;
    n->resolve = NULL;
    if (err != BK_OK)
        return; /* the home link reports the name's trouble; host candidates still work */
    n->stun_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!has_family(n, addrs[i].ip.family))
            n->stun[n->stun_count++] = addrs[i];
    set_servers(n);
    start_survey(n);
    start_ports(n);
}

static void resolve_stun(struct node *n) {
    if (n->config.home.stun_port == 0 || n->config.relay_only || n->resolve != NULL)
        return;
    enum bk_err err = net_resolve(n->loop, n->config.home.host, n->config.home.stun_port,
                                  on_resolved, n, &n->resolve);
    if (err != BK_OK)
        n->resolve = NULL;
}

/* Can a peer elsewhere, or in this host, send to this address? */
static bool is_usable(const struct net_interface *i, bool loopback) {
    enum bk_scope scope = bk_ip_scope(&i->ip);
    return i->loopback == loopback && scope != BK_SCOPE_NONE && scope != BK_SCOPE_LINK;
}

static size_t pick_bases(struct node *n, const struct net_interface *list, size_t count,
                         bool loopback, struct bk_addr *bases) {
    size_t used = 0;
    for (size_t i = 0; i < count && used < GATHER_BASES_MAX; i++) {
        struct net_udp *udp = list[i].ip.family == BK_IPV6 ? n->udp6 : n->udp4;
        if (udp != NULL && is_usable(&list[i], loopback))
            bases[used++] = bk_addr(list[i].ip, net_udp_local(udp).port);
    }
    return used;
}

static uint16_t port_of(const struct net_udp *udp) {
    return udp == NULL ? 0 : net_udp_local(udp).port;
}

static void read_interfaces(struct node *n) {
    struct net_interface list[NET_INTERFACES_MAX];
    struct bk_addr bases[GATHER_BASES_MAX];
    size_t count;
    if (n->config.relay_only || net_interfaces(list, NET_INTERFACES_MAX, &count) != BK_OK)
        return;
    node_lan_set(&n->lan, list, count, port_of(n->udp4), port_of(n->udp6));
    count = net_interfaces_choose(list, count);
    net_interfaces_rank(list, count);
    size_t used = pick_bases(n, list, count, false, bases);
    n->alone = used == 0;
    if (n->alone) /* a machine by itself: both peers are on it */
        used = pick_bases(n, list, count, true, bases);
    node_nat64_look(&n->nat64, bases, used);
    endpoint_set_bases(n->endpoint, bases, used, net_now(n->loop));
    net_defer(&n->round);
}

static void on_interfaces(void *ctx) {
    struct node *n = ctx;
    read_interfaces(n);
    start_survey(n);
    resolve_stun(n);
    home_link_retry(&n->home);
}

/* --- life --- */

static enum bk_err open_socket(struct node *n, enum bk_family family, struct net_udp **out) {
    struct net_udp_config config = net_udp_config_default;
    const struct net_udp_events events = {.on_batch = on_batch, .ctx = n};
    struct bk_addr any = {.ip = {.family = (uint8_t)family}, .port = n->config.udp_port};
    config.v6only = true;
    config.gro = true;
    config.sndbuf = UDP_BUFFER;
    config.rcvbuf = UDP_BUFFER;
    return net_udp_open(n->loop, &any, &config, &events, out);
}

static enum bk_err open_sockets(struct node *n) {
    enum bk_err err4 = open_socket(n, BK_IPV4, &n->udp4);
    enum bk_err err6 = open_socket(n, BK_IPV6, &n->udp6);
    return err4 == BK_OK || err6 == BK_OK ? BK_OK : err4;
}

static enum bk_err start(struct node *n, char *reason) {
    const struct home_link_events home_events = {.on_up = on_up,
                                                 .on_down = on_down,
                                                 .on_packet = on_relay_packet,
                                                 .on_gone = on_gone,
                                                 .on_room = on_relay_room,
                                                 .ctx = n};
    const struct home_link_config home = {.home = &n->config.home,
                                          .identity = n->config.identity,
                                          .proxy = n->config.proxy,
                                          .proxy_only = n->config.proxy_only,
                                          .keepalive_max_s = n->config.keepalive_max_s};
    struct endpoint_config config = endpoint_config_default;
    config.identity = n->config.identity;
    config.rng = box_rng();
    config.alloc = *net_alloc();
    config.trace = n->config.trace;
    config.relay_only = n->config.relay_only;
    config.private_addresses = n->config.private_addresses;
    config.no_beacons = n->config.no_beacons;
    enum bk_err err = endpoint_new(&config, &n->endpoint);
    survey_init(&n->survey, n->loop, &(struct survey_events){.on_known = on_survey, .ctx = n});
    if (err == BK_OK) {
        extra_init(&n->extra, n->loop, n->endpoint,
                   &(struct net_udp_events){.on_batch = on_batch, .ctx = n});
        node_lan_init(&n->lan, n->loop, n->endpoint, on_beacon, n);
        node_nat64_init(&n->nat64, n->loop, n->endpoint, &n->config.home, set_servers, n);
        err = open_sockets(n);
    }
    if (!n->config.no_portmap && !n->config.relay_only)
        n->ports = (struct node_ports){.loop = n->loop,
                                       .endpoint = n->endpoint,
                                       .udp = {n->udp4, n->udp6},
                                       .private_addresses = n->config.private_addresses,
                                       .on_change = on_ports,
                                       .ctx = n};
    if (err == BK_OK)
        err = net_interface_watch_new(n->loop, on_interfaces, n, &n->watch);
    if (err == BK_OK)
        err = home_link_init(&n->home, n->loop, &home, &home_events, reason);
    return err;
}

enum bk_err node_new(struct net_loop *loop, const struct node_config *config,
                     const struct node_events *events, void *ctx, struct node **out, char *reason) {
    const struct bk_alloc *alloc = net_alloc();
    struct node *n = alloc->get(alloc->ctx, sizeof *n);
    if (n == NULL)
        return BK_ERR_NO_MEMORY;
    n->loop = loop;
    n->config = *config;
    n->events = *events;
    n->ctx = ctx;
    net_timer_init(&n->timer, loop, on_timer, n);
    net_deferred_init(&n->round, loop, round_of_packets, n);
    enum bk_err err = start(n, reason);
    if (err != BK_OK) {
        node_free(n);
        return err;
    }
    read_interfaces(n);
    resolve_stun(n);
    *out = n;
    return BK_OK;
}

/* The last packets, goodbyes among them, leave before the sockets close. */
static void send_last(struct node *n) {
    struct bk_time now = net_now(n->loop);
    send_relayed(n, now);
    (void)send_datagrams(n, now);
}

void node_free(struct node *n) {
    if (n == NULL)
        return;
    if (n->endpoint != NULL && n->home.loop != NULL)
        send_last(n);
    net_timer_set(&n->timer, BK_NEVER);
    net_defer_cancel(&n->round);
    net_resolve_cancel(n->resolve);
    net_interface_watch_free(n->watch);
    node_ports_fini(&n->ports);
    node_lan_fini(&n->lan);
    node_nat64_fini(&n->nat64);
    home_link_fini(&n->home);
    survey_fini(&n->survey);
    extra_fini(&n->extra);
    net_udp_close(n->udp4);
    net_udp_close(n->udp6);
    endpoint_free(n->endpoint);
    net_alloc()->put(net_alloc()->ctx, n);
}

struct endpoint *node_endpoint(struct node *n) {
    return n->endpoint;
}

int64_t node_home_rtt_us(const struct node *n) {
    return n->home.rtt_us;
}

bool node_home_is_up(const struct node *n) {
    return n->home.up;
}

enum home_trouble node_home_trouble(const struct node *n) {
    return home_link_trouble(&n->home);
}

char *node_home_way(const struct node *n, char *out) {
    return home_link_way(&n->home, out);
}

void node_traffic(const struct node *n, struct node_traffic *out) {
    *out = n->traffic;
}
