/* SPDX-License-Identifier: MIT
 * Sockets are bound to the wildcard address, one for each family, and tell by IP_PKTINFO which of
 * the machine's addresses a datagram came to; sending names the address it leaves from. So the host
 * candidates of all interfaces share one descriptor, and an interface may come or go without one
 * being opened or closed. Components need ports that differ, because data do not say which
 * component they belong to.
 *
 * Of the agents that use TURN over UDP only the first one may share, the others get ports of their
 * own: an allocation belongs to a 5-tuple (RFC 8656 section 2.2), so a second agent on the same
 * port would be refused by the server of the first one, with 437; also when the first one is gone
 * and its allocation is not yet. With STUN over TCP it is the same: there is one connection from a
 * port to a server.
 *
 * Simultaneous open has a port beside the passive one, any: RFC 6544 has a connection belong to one
 * candidate, and all the checker knows of it is our port. */
#include "run/driver.h"

#include "agent/agent.h"
#include "sdp/uri.h"

enum {
    SHARED_BUFFER = 4 * 1024 * 1024, /* for the kernel, each way */
    OWN_BUFFER = 1024 * 1024,
    OWN_QUEUE = 65536 /* bytes queued here while the kernel's buffer is full */
};

/* --- coming in --- */

static void take(struct bk_run *run, const struct bk_datagram *in, struct bk_time now) {
    uint32_t offers[DEMUX_OFFERS];
    size_t n = demux_find(&run->demux, in, offers);
    for (size_t i = 0; i < n; i++) {
        struct driven *a = driven_feed(run, offers[i]);
        if (a != NULL && driven_recv(a, in, now))
            return;
    }
}

/* A train's datagrams one by one. */
static void take_train(struct bk_run *run, const struct bk_datagram *train, struct bk_time now) {
    for (size_t at = 0; at < train->len; at += train->segment) {
        struct bk_datagram one = *train;
        one.data += at;
        one.len = train->len - at < train->segment ? train->len - at : train->segment;
        one.segment = 0;
        take(run, &one, now);
    }
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    const struct run_port *p = ctx;
    struct bk_run *run = p->run; /* a handler may end an agent, and with it the port */
    for (size_t i = 0; i < n; i++) {
        if (in[i].segment == 0)
            take(run, &in[i], now);
        else
            take_train(run, &in[i], now);
    }
    driven_fed(run);
}

/* --- opening --- */

static enum bk_err open_udp(struct run_port *p, size_t family, uint16_t number, bool own) {
    struct net_udp_config config = net_udp_config_default;
    const struct net_udp_events events = {.on_batch = on_batch, .ctx = p};
    const struct bk_addr any = {.ip = {.family = family == 0 ? BK_IPV4 : BK_IPV6}, .port = number};
    if (p->udp[family] != NULL)
        return BK_OK;
    config.v6only = true;
    config.gro = true;
    config.prompt = true;
    config.sndbuf = config.rcvbuf = own ? OWN_BUFFER : SHARED_BUFFER;
    if (own)
        config.queue_max = OWN_QUEUE;
    return net_udp_open(p->run->loop, &any, &config, &events, &p->udp[family]);
}

/* Without a listener there are no passive candidates, no more. Shared with the connections that are
 * opened from its port, to STUN servers (RFC 6544 section 5.2) and to simultaneous-open candidates,
 * which take connections as well (section 7.2). */
static void open_tcp(const struct run_port *p, size_t family, uint16_t number,
                     struct net_listener **out) {
    struct net_listener_config config = net_listener_config_default;
    const struct net_listener_events events = {.on_accept = run_guest_accept, .ctx = p->run};
    const struct bk_addr any = {.ip = {.family = family == 0 ? BK_IPV4 : BK_IPV6}, .port = number};
    config.v6only = true;
    config.reuse_port = true;
    if (*out == NULL && net_listener_open(p->run->loop, &any, &config, &events, out) != BK_OK)
        *out = NULL;
}

static enum bk_err open_port(const struct driven *a, struct run_port *p, uint16_t number) {
    const bool wanted[RUN_FAMILIES] = {a->ipv4, a->ipv6};
    enum bk_err first = BK_OK;
    for (size_t family = 0; family < RUN_FAMILIES; family++) {
        if (!wanted[family])
            continue;
        enum bk_err err = open_udp(p, family, number, a->owns_ports);
        if (first == BK_OK)
            first = err;
        if (a->tcp && err == BK_OK) {
            open_tcp(p, family, number, &p->tcp[family]);
            open_tcp(p, family, 0, &p->so[family]);
        }
    }
    bool any = p->udp[0] != NULL || p->udp[1] != NULL;
    return any ? BK_OK : first;
}

/* Is there one of these among its servers, in the clear over UDP or by whatever over TCP? */
static bool uses(const struct bk_ice_config *config, bool turn, enum bk_protocol protocol) {
    struct server_uri uri;
    for (size_t i = 0; i < config->server_count; i++)
        if (uri_read(config->servers[i].uri, &uri) == BK_OK && uri.turn == turn &&
            uri.protocol == protocol && (!uri.secure || protocol == BK_TCP))
            return true;
    return false;
}

/* Notes that the shared ports are used by such an agent. false: one did before. */
static bool may_share(struct bk_run *run, const struct bk_ice_config *config) {
    bool turn = uses(config, true, BK_UDP);
    bool stun = config->tcp && uses(config, false, BK_TCP);
    bool taken = (turn && run->turn_taken) || (stun && run->stun_taken);
    run->turn_taken = run->turn_taken || turn;
    run->stun_taken = run->stun_taken || stun;
    return !taken;
}

enum bk_err run_ports_give(struct driven *a) {
    const struct bk_ice_config *config = &a->ice->config;
    struct bk_run *run = a->run;
    a->streams = config->streams;
    a->components = config->components;
    a->tcp = config->tcp;
    a->ipv4 = config->ipv4;
    a->ipv6 = config->ipv6;
    a->owns_ports = run->config.own_ports || !may_share(run, config);
    a->ports = run->ports;
    size_t count = (size_t)a->streams * a->components;
    if (a->owns_ports) {
        a->ports = run_get(count * sizeof *a->ports);
        if (a->ports == NULL)
            return BK_ERR_NO_MEMORY;
    }
    uint16_t number = a->owns_ports ? 0 : run->config.port;
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < count && err == BK_OK; i++) {
        a->ports[i].run = run;
        err = open_port(a, &a->ports[i], number == 0 ? 0 : (uint16_t)(number + i));
    }
    return err;
}

void run_port_close(struct run_port *p) {
    for (size_t family = 0; family < RUN_FAMILIES; family++) {
        net_udp_close(p->udp[family]);
        net_listener_close(p->tcp[family]);
        net_listener_close(p->so[family]);
        p->udp[family] = NULL;
        p->tcp[family] = p->so[family] = NULL;
    }
}

void run_ports_take(struct driven *a) {
    if (!a->owns_ports || a->ports == NULL)
        return;
    for (size_t i = 0; i < (size_t)a->streams * a->components; i++)
        run_port_close(&a->ports[i]);
    run_put(a->ports);
    a->ports = NULL;
}

struct net_udp *run_port_of(const struct driven *a, const struct bk_addr *local) {
    size_t family = run_family(&local->ip), count = (size_t)a->streams * a->components;
    for (size_t i = 0; i < count; i++) {
        struct net_udp *udp = a->ports == NULL ? NULL : a->ports[i].udp[family];
        if (udp != NULL && net_udp_local(udp).port == local->port)
            return udp;
    }
    return NULL;
}
