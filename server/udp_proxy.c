/* SPDX-License-Identifier: MIT */
#include "server/udp_proxy.h"

#include "base/links.h"
#include "base/table.h"
#include "box/box.h"
#include "net/alloc.h"
#include "server/lease.h"
#include "server/proxy.h"
#include "server/turn_int.h"
#include "server/worker.h"
#include <string.h>

enum { BINDING_REQUEST = 0x0001, TUPLE_LEN = 38 };

/* A client behind one address and port of a proxy's. */
struct behind {
    struct turn_link turn; /* first */
    struct link link;      /* by `proxy` and `door_addr` */
    struct behind *next, *prev;
    struct udp_proxy *owner;
    struct udp_door *door;
    struct bk_addr proxy, door_addr; /* where datagrams come from and to */
    struct bk_addr client, server;   /* what the header says about that */
    struct lease lease;
    struct net_timer timer;
    uint32_t index;
};

struct udp_proxy {
    struct worker *worker;
    struct pool pool;
    struct links links;
    struct behind *list;
    uint64_t seed[2];
};

/* --- who is behind it -------------------------------------------------------------------------
 */

static uint32_t hash_of(const struct udp_proxy *p, const struct bk_datagram *in) {
    uint8_t key[TUPLE_LEN] = {in->remote.ip.family, (uint8_t)(in->remote.port >> 8),
                              (uint8_t)in->remote.port, (uint8_t)(in->local.port >> 8),
                              (uint8_t)in->local.port};
    size_t len = in->remote.ip.family == BK_IPV4 ? 4 : 16;
    memcpy(key + 5, in->remote.ip.bytes, len);
    memcpy(key + 21, in->local.ip.bytes, len);
    return (uint32_t)siphash24(p->seed, key, sizeof key);
}

static struct behind *find(const struct udp_proxy *p, const struct bk_datagram *in) {
    uint32_t i = links_first(&p->links, hash_of(p, in));
    for (; i != POOL_NONE; i = links_next(&p->links, i)) {
        struct behind *b = pool_at(&p->pool, i);
        if (bk_addr_equal(&b->proxy, &in->remote) && bk_addr_equal(&b->door_addr, &in->local))
            return b;
    }
    return NULL;
}

static struct bk_datagram client_of(const struct behind *b) {
    return (struct bk_datagram){.local = b->server, .remote = b->client, .protocol = TURN_PROXIED};
}

static void forget(struct behind *b) {
    struct udp_proxy *p = b->owner;
    const struct bk_datagram client = client_of(b);
    net_timer_set(&b->timer, BK_NEVER);
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        p->list = b->next;
    if (b->next != NULL)
        b->next->prev = b->prev;
    links_remove(&p->links, b->index);
    if (p->worker->turn != NULL)
        server_turn_left(p->worker->turn, &client, net_now(p->worker->loop));
    const struct bk_datagram from = {.local = b->door_addr, .remote = b->proxy};
    upgrade_worker_lost(p->worker, &from);
    pool_give(&p->pool, b->index);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct behind *b = ctx;
    struct bk_time end = lease_end(&b->lease);
    if (bk_due(end, now))
        forget(b);
    else
        net_timer_set(&b->timer, end);
}

static void send_route(struct turn_link *link, const struct turn_route *route,
                       const uint8_t *data) {
    struct behind *b = (struct behind *)(void *)link; /* its first member */
    const struct bk_datagram whole = {.data = data, .segment = route->len};
    struct turn_route back = *route;
    back.local = b->door_addr;
    back.remote = b->proxy;
    turn_port_send(udp_link_port(&b->door->link), &back, &whole, 1);
    if (route->head_len == 0 && lease_is_answer(data + route->skip, route->len))
        (void)lease_learn(&b->lease, data + route->skip, route->len,
                          net_now(b->owner->worker->loop));
}

static const struct turn_link_type link_type = {.send = send_route};

/* NULL: there are too many. */
static struct behind *behind_new(struct udp_proxy *p, struct udp_door *door,
                                 const struct bk_datagram *in, struct bk_time now) {
    uint32_t i = pool_take(&p->pool);
    if (i == POOL_NONE)
        return NULL;
    struct behind *b = pool_at(&p->pool, i);
    memset(b, 0, sizeof *b);
    b->turn.type = &link_type;
    b->owner = p;
    b->door = door;
    b->proxy = in->remote;
    b->door_addr = in->local;
    b->lease.last = b->lease.until = now;
    b->index = i;
    links_add(&p->links, i, hash_of(p, in));
    b->next = p->list;
    if (b->next != NULL)
        b->next->prev = b;
    p->list = b;
    net_timer_init(&b->timer, p->worker->loop, on_timer, b);
    net_timer_set(&b->timer, lease_end(&b->lease));
    return b;
}

/* The one a header speaks of; a port of the proxy's may have got another client. */
static struct behind *behind_for(struct udp_proxy *p, struct udp_door *door,
                                 const struct bk_datagram *in, const struct proxy_header *h,
                                 struct bk_time now) {
    const struct bk_addr client = h->local ? in->remote : h->client;
    const struct bk_addr server = h->local ? in->local : h->server;
    struct behind *b = find(p, in);
    if (b != NULL && bk_addr_equal(&b->client, &client) && bk_addr_equal(&b->server, &server))
        return b;
    if (b != NULL)
        forget(b);
    b = behind_new(p, door, in, now);
    if (b != NULL) {
        b->client = client;
        b->server = server;
    }
    return b;
}

/* --- its datagrams ----------------------------------------------------------------------------
 */

/* There is no other way to the client than through the proxy: RFC 5780's requests for one are
 * unknown here, as over TCP. */
static void answer_binding(struct behind *b, const struct bk_datagram *in, struct bk_time now) {
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    if (!stun_service_answered(
            stun_service_answer_stream(&b->owner->worker->stun_tcp, in, now, buffer, &reply)))
        return;
    reply.local = b->door_addr;
    reply.remote = b->proxy;
    udp_door_send(b->door, &reply);
    b->lease.last = now;
}

static void use(struct behind *b, const uint8_t *data, size_t len, struct bk_time now) {
    struct worker *w = b->owner->worker;
    struct bk_datagram in = client_of(b);
    enum bk_err err = BK_ERR_NOT_OURS;
    in.data = data;
    in.len = len;
    bool binding = len >= 2 && (data[0] << 8 | data[1]) == BINDING_REQUEST;
    if (w->turn != NULL && !binding)
        err = server_turn_recv(w->turn, &b->turn, &in, now);
    if (err == BK_OK)
        b->lease.last = now;
    else if (err == BK_ERR_NOT_OURS)
        answer_binding(b, &in, now);
}

void udp_proxy_recv(struct udp_proxy *p, struct udp_door *door, const struct bk_datagram *in,
                    struct bk_time now) {
    struct proxy_header h = {.len = 0};
    struct behind *b = NULL;
    enum bk_err err = proxy_header_parse_datagram(&h, in->data, in->len);
    if (err == BK_OK)
        b = behind_for(p, door, in, &h, now);
    else if (err == BK_ERR_NOT_OURS)
        b = find(p, in);
    if (b != NULL)
        use(b, in->data + h.len, in->len - h.len, now);
}

void udp_proxy_each(const struct udp_proxy *p,
                    void (*each)(void *ctx, const struct bk_datagram *client), void *ctx) {
    for (const struct behind *b = p->list; b != NULL; b = b->next) {
        const struct bk_datagram from = {.local = b->door_addr, .remote = b->proxy};
        each(ctx, &from);
    }
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

enum bk_err udp_proxy_new(struct worker *w, struct udp_proxy **out) {
    const struct bk_alloc *alloc = net_alloc();
    const struct bk_rng rng = box_rng();
    struct udp_proxy *p = alloc->get(alloc->ctx, sizeof *p);
    if (p == NULL)
        return BK_ERR_NO_MEMORY;
    p->worker = w;
    rng.fill(rng.ctx, p->seed, sizeof p->seed);
    enum bk_err err = pool_init(&p->pool, sizeof(struct behind), UDP_PROXY_CLIENTS_MAX, alloc);
    if (err == BK_OK)
        err = links_init(&p->links, &p->pool, offsetof(struct behind, link), alloc);
    if (err != BK_OK) {
        udp_proxy_free(p);
        return err;
    }
    *out = p;
    return BK_OK;
}

void udp_proxy_free(struct udp_proxy *p) {
    const struct bk_alloc *alloc = net_alloc();
    if (p == NULL)
        return;
    while (p->list != NULL)
        forget(p->list);
    links_fini(&p->links);
    pool_fini(&p->pool);
    alloc->put(alloc->ctx, p);
}
