/* SPDX-License-Identifier: MIT
 * One round per turn of the loop: jobs, datagrams, events, then the timer. The order of teardown:
 * sockets, announcements and UPnP first (nothing more comes in), then the object. */
#include "node/portmap.h"

#include "box/box.h"
#include "net/alloc.h"
#include "net/announce.h"
#include "net/gateway.h"
#include "net/interfaces.h"
#include "net/udp.h"
#include "node/upnp.h"

#include <string.h>

enum {
    QUEUE_MAX = 65536, /* bytes a socket may queue: it sends a few hundred in its life */
    GIVE_BACK_US = 500000
};

struct door { /* a router's socket */
    struct mapper *mapper;
    struct net_udp *udp;
    struct bk_ip local;
};

struct found {
    struct bk_portmap_router routers[BK_PORTMAP_ROUTERS_MAX];
    uint32_t interfaces[BK_PORTMAP_ROUTERS_MAX];
    size_t count;
};

struct mapper {
    struct net_loop *loop;
    struct bk_portmap *pm;
    struct mapper_config config;
    struct mapper_events events;
    struct net_timer timer;
    struct net_deferred round;
    struct net_interface_watch *watch;
    struct net_announce *announce;
    struct upnp *upnp;
    struct door doors[BK_PORTMAP_ROUTERS_MAX];
    struct found used, by_ipv4; /* routers; all those of IPv4, used or not */
    bool has_read;              /* the list of routers */
};

/* --- rounds --- */

static struct door *door_of(struct mapper *m, const struct bk_ip *local) {
    for (size_t i = 0; i < BK_PORTMAP_ROUTERS_MAX; i++)
        if (m->doors[i].udp != NULL && bk_ip_equal(&m->doors[i].local, local))
            return &m->doors[i];
    return NULL;
}

/* A packet that cannot be queued is a packet lost, and asked again. */
static void send_one(struct mapper *m, const struct bk_datagram *out) {
    struct door *door = door_of(m, &out->local.ip);
    if (out->local.port != 0) {
        if (m->events.send != NULL)
            m->events.send(m->events.ctx, out);
        return;
    }
    enum bk_err err = door != NULL ? net_udp_send(door->udp, out) : BK_ERR_UNREACHABLE;
    (void)err;
}

/* The router by IPv4 on the same interface: devices are looked for by IPv4, where they all are. */
static const struct bk_portmap_router *upnp_by(const struct mapper *m,
                                               const struct bk_portmap_router *router) {
    uint32_t interface = 0;
    for (size_t i = 0; i < m->used.count; i++)
        if (bk_ip_equal(&m->used.routers[i].local, &router->local))
            interface = m->used.interfaces[i];
    for (size_t i = 0; i < m->by_ipv4.count; i++)
        if (m->by_ipv4.interfaces[i] == interface)
            return &m->by_ipv4.routers[i];
    return router;
}

static void do_job(struct mapper *m, const struct bk_portmap_job *job) {
    enum bk_err err = BK_ERR_UNSUPPORTED;
    if (m->upnp != NULL)
        err = upnp_start(m->upnp, job, upnp_by(m, &job->router));
    if (err == BK_OK)
        return;
    const struct bk_portmap_result failed = {.number = job->number, .err = err};
    bk_portmap_job_done(m->pm, &failed, net_now(m->loop));
}

static void on_round(void *ctx) {
    struct mapper *m = ctx;
    struct bk_portmap_event event;
    struct bk_portmap_job job;
    struct bk_datagram out;
    while (bk_portmap_next_job(m->pm, &job))
        do_job(m, &job);
    while (bk_portmap_next_datagram(m->pm, &out))
        send_one(m, &out);
    while (bk_portmap_next_event(m->pm, &event))
        m->events.on_event(m->events.ctx, &event);
    net_timer_set(&m->timer, bk_portmap_deadline(m->pm));
}

static void on_timer(void *ctx, struct bk_time now) {
    struct mapper *m = ctx;
    bk_portmap_advance(m->pm, now);
    net_defer(&m->round);
}

void mapper_touch(struct mapper *m) {
    net_defer(&m->round);
}

/* --- packets in --- */

bool mapper_recv(struct mapper *m, const struct bk_datagram *in) {
    enum bk_err err = bk_portmap_recv(m->pm, in, net_now(m->loop));
    if (err == BK_OK)
        net_defer(&m->round);
    return err != BK_ERR_NOT_OURS;
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t count, struct bk_time now) {
    struct door *door = ctx;
    (void)now;
    for (size_t i = 0; i < count; i++)
        (void)mapper_recv(door->mapper, &in[i]);
}

static void on_announcement(void *ctx, const struct bk_datagram *in) {
    (void)mapper_recv(ctx, in);
}

static void on_job_done(void *ctx, const struct bk_portmap_result *result) {
    struct mapper *m = ctx;
    bk_portmap_job_done(m->pm, result, net_now(m->loop));
    net_defer(&m->round);
}

/* --- routers --- */

static void add(struct found *f, const struct bk_ip *local, const struct bk_ip *router,
                uint32_t interface) {
    for (size_t i = 0; i < f->count; i++) /* one address of ours is enough */
        if (f->interfaces[i] == interface && bk_ip_equal(&f->routers[i].router, router))
            return;
    if (f->count == BK_PORTMAP_ROUTERS_MAX)
        return;
    f->interfaces[f->count] = interface;
    f->routers[f->count++] = (struct bk_portmap_router){*local, *router};
}

/* Where packets to the internet go; nothing is sent there. */
static struct bk_ip far_away(uint8_t family) {
    static const uint8_t v6[16] = {0x20, 0x01, 0x48, 0x60, [15] = 1};
    return family == BK_IPV4 ? bk_ipv4(8, 8, 8, 8) : bk_ipv6(v6);
}

static bool is_usable(const struct net_interface *i) {
    enum bk_scope scope = bk_ip_scope(&i->ip);
    if (i->loopback)
        return false;
    return i->ip.family == BK_IPV4 ? scope >= BK_SCOPE_PRIVATE : scope == BK_SCOPE_GLOBAL;
}

/* Of several IPv6 addresses the one that the system itself would send from goes first. */
static void add_family(struct found *f, const struct net_interface *list, size_t count,
                       uint8_t family) {
    const struct bk_ip far = far_away(family);
    const struct bk_addr to = bk_addr(far, 9);
    struct bk_ip source = {.family = BK_FAMILY_NONE}, gateway;
    (void)!net_source_for(&to, &source);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++) {
            bool first = bk_ip_equal(&list[i].ip, &source);
            if (first == (round == 0) && list[i].ip.family == family && is_usable(&list[i]) &&
                net_gateway_via(&far, list[i].index, &gateway) == BK_OK)
                add(f, &list[i].ip, &gateway, list[i].index);
        }
}

/* RFC 7723: without a router that could be asked, a PCP server may still be out there. */
static void add_anycast(const struct mapper *m, struct found *f) {
    const bool no[2] = {m->config.no_ipv4, m->config.no_ipv6};
    static const uint8_t v6[16] = {0x20, 0x01, 0x00, 0x01, [15] = 1};
    const struct bk_ip anycast[2] = {bk_ipv4(192, 0, 0, 9), bk_ipv6(v6)};
    struct bk_ip source;
    for (size_t i = 0; i < 2 && f->count == 0; i++) {
        struct bk_addr to = bk_addr(anycast[i], 9);
        if (!no[i] && net_source_for(&to, &source) == BK_OK &&
            bk_ip_scope(&source) != BK_SCOPE_LOOPBACK && bk_ip_scope(&source) != BK_SCOPE_LINK)
            add(f, &source, &anycast[i], 0);
    }
}

static void open_doors(struct mapper *m) {
    struct net_udp_config config = net_udp_config_default;
    config.v6only = true;
    config.queue_max = QUEUE_MAX;
    for (size_t i = 0; i < BK_PORTMAP_ROUTERS_MAX; i++) {
        struct door *door = &m->doors[i];
        const struct net_udp_events events = {.on_batch = on_batch, .ctx = door};
        const struct bk_ip none = {.family = BK_FAMILY_NONE};
        const struct bk_ip *local = i < m->used.count ? &m->used.routers[i].local : &none;
        if (door->udp != NULL && bk_ip_equal(&door->local, local))
            continue;
        net_udp_close(door->udp);
        *door = (struct door){.mapper = m, .local = *local};
        struct bk_addr bind = bk_addr(*local, 0);
        if (i < m->used.count &&
            net_udp_open(m->loop, &bind, &config, &events, &door->udp) != BK_OK)
            door->udp = NULL;
    }
}

static void look_around(struct mapper *m) {
    struct net_interface list[NET_INTERFACES_MAX];
    struct found f = {.count = 0};
    size_t count = 0, before = m->used.count;
    if (net_interfaces(list, NET_INTERFACES_MAX, &count) != BK_OK)
        count = 0;
    m->by_ipv4.count = 0;
    add_family(&m->by_ipv4, list, count, BK_IPV4);
    if (!m->config.no_ipv4)
        f = m->by_ipv4;
    if (!m->config.no_ipv6)
        add_family(&f, list, count, BK_IPV6);
    if (f.count == 0)
        add_anycast(m, &f);
    m->used = f;
    open_doors(m);
    if (m->announce != NULL)
        net_announce_set_interfaces(m->announce, list, count);
    bk_portmap_set_routers(m->pm, f.routers, f.count, net_now(m->loop));
    net_defer(&m->round);
    if (m->events.on_routers != NULL && (!m->has_read || (before == 0) != (f.count == 0)))
        m->events.on_routers(m->events.ctx, f.count);
    m->has_read = true;
}

static void on_interfaces(void *ctx) {
    look_around(ctx);
}

/* --- life --- */

static enum bk_err start(struct mapper *m) {
    const struct bk_rng rng = box_rng();
    struct bk_portmap_config without = m->config.portmap;
    enum bk_err err = BK_OK;
    if (!without.off[BK_PORTMAP_UPNP])
        err = upnp_new(m->loop, on_job_done, m, &m->upnp);
    if (err != BK_OK && err != BK_ERR_UNSUPPORTED)
        return err;
    without.off[BK_PORTMAP_UPNP] = m->upnp == NULL;
    err = bk_portmap_new(&without, net_alloc(), &rng, net_now(m->loop), &m->pm);
    if (err == BK_OK)
        err = net_announce_new(m->loop, on_announcement, m, &m->announce);
    if (err == BK_OK)
        err = net_interface_watch_new(m->loop, on_interfaces, m, &m->watch);
    return err;
}

enum bk_err mapper_new(struct net_loop *loop, const struct mapper_config *config,
                       const struct mapper_events *events, struct mapper **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct mapper *m = alloc->get(alloc->ctx, sizeof *m);
    if (m == NULL)
        return BK_ERR_NO_MEMORY;
    m->loop = loop;
    m->config = *config;
    m->events = *events;
    net_timer_init(&m->timer, loop, on_timer, m);
    net_deferred_init(&m->round, loop, on_round, m);
    enum bk_err err = start(m);
    if (err != BK_OK) {
        mapper_free(m);
        return err;
    }
    *out = m;
    look_around(m);
    return BK_OK;
}

void mapper_give_back(struct mapper *m) {
    struct bk_portmap_result result;
    struct bk_portmap_job job;
    struct bk_datagram out;
    struct bk_time until = bk_after(net_clock(), GIVE_BACK_US);
    bk_portmap_stop(m->pm, net_clock());
    while (bk_portmap_next_datagram(m->pm, &out))
        send_one(m, &out);
    while (m->upnp != NULL && bk_portmap_next_job(m->pm, &job) &&
           upnp_start(m->upnp, &job, upnp_by(m, &job.router)) == BK_OK &&
           upnp_wait(m->upnp, bk_elapsed_us(net_clock(), until), &result))
        bk_portmap_job_done(m->pm, &result, net_clock());
}

void mapper_free(struct mapper *m) {
    if (m == NULL)
        return;
    net_timer_set(&m->timer, BK_NEVER);
    net_defer_cancel(&m->round);
    net_interface_watch_free(m->watch);
    net_announce_free(m->announce);
    upnp_free(m->upnp);
    for (size_t i = 0; i < BK_PORTMAP_ROUTERS_MAX; i++)
        net_udp_close(m->doors[i].udp);
    bk_portmap_free(m->pm);
    net_alloc()->put(net_alloc()->ctx, m);
}

struct bk_portmap *mapper_portmap(struct mapper *m) {
    return m->pm;
}

size_t mapper_routers(const struct mapper *m) {
    return m->used.count;
}

bool mapper_has_upnp(const struct mapper *m) {
    return m->upnp != NULL;
}
