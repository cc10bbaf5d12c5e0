/* SPDX-License-Identifier: MIT
 * A peer connection, from the first to the last:
 *
 *     CONNECTING   ours, RFC 6062 section 5.2; the service waits for turn_service_connected()
 *     WAITING      open and not read from, until a client binds it (section 5.4) or the service
 *                  cuts it for nobody did within 30 s
 *     JOINED       bytes go both ways
 *
 * Joined, each stream is read only while the other one has room for a whole read, so nothing is
 * ever dropped or held elsewhere. The end of one direction is handed on as that; when both are
 * over, or one connection breaks, the other one sends what it has and ends. */
#include "server/turn_tcp.h"

#include "base/links.h"
#include "base/table.h"
#include "box/box.h"
#include "net/alloc.h"
#include <string.h>

enum {
    BACKLOG = 16,
    CONNECT_US = 30000000, /* RFC 6062 section 5.2 */
    READ_MAX = 65536,      /* bytes that one on_bytes brings at most */
    WRITE_MAX = 3 * READ_MAX,
    WRITE_LOW = READ_MAX,
    LINGER_US = 10000000 /* for the last bytes to leave */
};

struct port {
    struct link link; /* by its address */
    struct port *next, *prev;
    struct turn_tcp *tcp;
    struct net_listener *listener;
    struct bk_addr addr;
    uint32_t index;
};

enum peer_state { PEER_CONNECTING, PEER_WAITING, PEER_JOINED };

struct peer {
    struct link link; /* by its number */
    struct peer *next, *prev;
    struct turn_tcp *tcp;
    struct net_stream *peer, *client; /* client: PEER_JOINED */
    void (*on_end)(void *ctx);
    void *ctx;
    uint32_t number, index;
    enum peer_state state;
    bool peer_done, client_done; /* will send no more */
};

struct turn_tcp {
    struct net_loop *loop;
    struct server_turn *turn;
    struct turn_service *service;
    struct pool ports, peers;
    struct links by_addr, by_number;
    struct port *port_list;
    struct peer *peer_list;
    uint64_t seed[2];
};

static struct bk_time now_of(const struct turn_tcp *t) {
    return net_now(t->loop);
}

static uint32_t hash_number(const struct turn_tcp *t, uint32_t number) {
    return (uint32_t)siphash24(t->seed, &number, sizeof number);
}

static uint32_t hash_addr(const struct turn_tcp *t, const struct bk_addr *addr) {
    uint8_t key[19] = {addr->ip.family, (uint8_t)(addr->port >> 8), (uint8_t)addr->port};
    memcpy(key + 3, addr->ip.bytes, addr->ip.family == BK_IPV4 ? 4 : 16);
    return (uint32_t)siphash24(t->seed, key, sizeof key);
}

static struct peer *find_peer(const struct turn_tcp *t, uint32_t number) {
    uint32_t i = links_first(&t->by_number, hash_number(t, number));
    for (; i != POOL_NONE; i = links_next(&t->by_number, i)) {
        struct peer *p = pool_at(&t->peers, i);
        if (p->number == number)
            return p;
    }
    return NULL;
}

static struct port *find_port(const struct turn_tcp *t, const struct bk_addr *addr) {
    uint32_t i = links_first(&t->by_addr, hash_addr(t, addr));
    for (; i != POOL_NONE; i = links_next(&t->by_addr, i)) {
        struct port *p = pool_at(&t->ports, i);
        if (bk_addr_equal(&p->addr, addr))
            return p;
    }
    return NULL;
}

/* --- peer connections -------------------------------------------------------------------------
 */

static struct peer *peer_new(struct turn_tcp *t, uint32_t number) {
    uint32_t i = pool_take(&t->peers);
    if (i == POOL_NONE)
        return NULL;
    struct peer *p = pool_at(&t->peers, i);
    memset(p, 0, sizeof *p);
    p->tcp = t;
    p->index = i;
    p->number = number;
    links_add(&t->by_number, i, hash_number(t, number));
    p->next = t->peer_list;
    if (p->next != NULL)
        p->next->prev = p;
    t->peer_list = p;
    return p;
}

/* Forgets it and tells the client's owner. Streams that still have something to send do so. */
static void peer_end(struct peer *p, int64_t linger_us) {
    struct turn_tcp *t = p->tcp;
    struct net_stream *streams[2] = {p->peer, p->client};
    void (*on_end)(void *ctx) = p->on_end;
    void *ctx = p->ctx;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        t->peer_list = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    links_remove(&t->by_number, p->index);
    pool_give(&t->peers, p->index);
    for (int i = 0; i < 2; i++) {
        if (streams[i] != NULL && linger_us > 0)
            net_stream_finish(streams[i], linger_us);
        else
            net_stream_close(streams[i]);
    }
    if (on_end != NULL)
        on_end(ctx);
}

/* The same, for a reason that the service does not know yet. */
static void peer_lost(struct peer *p) {
    struct turn_tcp *t = p->tcp;
    uint32_t number = p->number;
    peer_end(p, LINGER_US);
    turn_service_disconnected(t->service, number, now_of(t));
    server_turn_drain(t->turn);
}

static struct net_stream **other_of(struct peer *p, bool from_peer) {
    return from_peer ? &p->client : &p->peer;
}

static void forward(struct peer *p, bool from_peer, const uint8_t *data, size_t len) {
    struct net_stream *to = *other_of(p, from_peer), *from = from_peer ? p->peer : p->client;
    if (net_stream_write_through(to, data, len) != BK_OK) {
        peer_lost(p); /* no memory, or its end is near: on_close would come next */
        return;
    }
    if (net_stream_room(to) < READ_MAX) {
        net_stream_pause(from);
        net_stream_want_room(to);
    }
}

static void end_of_bytes(struct peer *p, bool from_peer) {
    bool *done = from_peer ? &p->peer_done : &p->client_done;
    *done = true;
    net_stream_shutdown(*other_of(p, from_peer));
}

static void closed(struct peer *p, bool is_peer) {
    *(is_peer ? &p->peer : &p->client) = NULL;
    peer_lost(p);
}

static void on_peer_bytes(void *ctx, const uint8_t *data, size_t len) {
    forward(ctx, true, data, len);
}

static void on_client_bytes(void *ctx, const uint8_t *data, size_t len) {
    forward(ctx, false, data, len);
}

static void on_peer_eof(void *ctx) {
    end_of_bytes(ctx, true);
}

static void on_client_eof(void *ctx) {
    end_of_bytes(ctx, false);
}

/* The peer's stream has room again: the client's is read on. */
static void on_peer_room(void *ctx) {
    struct peer *p = ctx;
    if (p->client != NULL)
        net_stream_resume(p->client);
}

static void on_client_room(void *ctx) {
    struct peer *p = ctx;
    net_stream_resume(p->peer);
}

static void on_client_close(void *ctx, enum bk_err err, const char *reason) {
    (void)err;
    (void)reason;
    closed(ctx, false);
}

/* --- connecting -------------------------------------------------------------------------------
 */

static void on_peer_open(void *ctx) {
    struct peer *p = ctx;
    struct turn_tcp *t = p->tcp;
    if (p->state != PEER_CONNECTING)
        return;
    p->state = PEER_WAITING;
    net_stream_pause(p->peer);
    turn_service_connected(t->service, p->number, BK_OK, now_of(t));
    server_turn_drain(t->turn);
}

static void on_peer_close(void *ctx, enum bk_err err, const char *reason) {
    struct peer *p = ctx;
    struct turn_tcp *t = p->tcp;
    uint32_t number = p->number;
    (void)reason;
    if (p->state != PEER_CONNECTING) {
        closed(p, true);
        return;
    }
    p->peer = NULL;
    peer_end(p, 0);
    turn_service_connected(t->service, number, err == BK_OK ? BK_ERR_CLOSED : err, now_of(t));
    server_turn_drain(t->turn);
}

static const struct net_stream_events peer_events = {on_peer_open, on_peer_bytes, on_peer_eof,
                                                     on_peer_room, on_peer_close};
static const struct net_stream_events client_events = {NULL, on_client_bytes, on_client_eof,
                                                       on_client_room, on_client_close};

/* RFC 6062 section 5.2. turn.c fetches the answer right after this, if it is there already. */
static void connect_peer(struct turn_tcp *t, const struct turn_action *a) {
    struct net_stream_config config = net_stream_config_default;
    struct peer *p = peer_new(t, a->connection);
    enum bk_err err = p == NULL ? BK_ERR_FULL : BK_OK;
    config.from = a->addr;
    config.open_timeout_us = CONNECT_US;
    config.write_max = WRITE_MAX;
    config.write_low = WRITE_LOW;
    if (p != NULL)
        err = net_stream_connect_addr(t->loop, &a->peer, &config, &peer_events, p, &p->peer);
    if (err == BK_OK)
        return;
    if (p != NULL)
        peer_end(p, 0);
    turn_service_connected(t->service, a->connection, err, now_of(t));
}

/* --- relay ports ------------------------------------------------------------------------------
 */

/* RFC 6062 section 5.3. */
static void on_accept(void *ctx, struct net_stream *stream) {
    struct port *port = ctx;
    struct turn_tcp *t = port->tcp;
    struct bk_addr remote = net_stream_remote(stream);
    uint32_t number;
    if (turn_service_accepted(t->service, &port->addr, &remote, now_of(t), &number) != BK_OK) {
        net_stream_close(stream);
        server_turn_drain(t->turn);
        return;
    }
    struct peer *p = peer_new(t, number);
    if (p == NULL) {
        net_stream_close(stream);
        turn_service_disconnected(t->service, number, now_of(t));
        server_turn_drain(t->turn);
        return;
    }
    p->state = PEER_WAITING;
    p->peer = stream;
    net_stream_adopt(stream, &peer_events, p);
    net_stream_pause(stream);
    server_turn_drain(t->turn);
}

static enum bk_err open_port(struct turn_tcp *t, const struct bk_addr *addr) {
    uint32_t i = find_port(t, addr) == NULL ? pool_take(&t->ports) : POOL_NONE;
    if (i == POOL_NONE)
        return BK_ERR_FULL;
    struct port *port = pool_at(&t->ports, i);
    const struct net_listener_events events = {on_accept, port};
    struct net_listener_config config = net_listener_config_default;
    config.reuse_port = true; /* connections leave from this port, too: section 5.2 */
    config.v6only = true;
    config.backlog = BACKLOG;
    config.stream.write_max = WRITE_MAX;
    config.stream.write_low = WRITE_LOW;
    enum bk_err err = net_listener_open(t->loop, addr, &config, &events, &port->listener);
    if (err != BK_OK) {
        pool_give(&t->ports, i);
        return err;
    }
    port->tcp = t;
    port->addr = *addr;
    port->index = i;
    links_add(&t->by_addr, i, hash_addr(t, addr));
    port->next = t->port_list;
    if (port->next != NULL)
        port->next->prev = port;
    t->port_list = port;
    return BK_OK;
}

static void close_port(struct port *port) {
    struct turn_tcp *t = port->tcp;
    net_listener_close(port->listener);
    if (port->prev != NULL)
        port->prev->next = port->next;
    else
        t->port_list = port->next;
    if (port->next != NULL)
        port->next->prev = port->prev;
    links_remove(&t->by_addr, port->index);
    pool_give(&t->ports, port->index);
}

/* --- what the service wants -------------------------------------------------------------------
 */

void turn_tcp_act(struct turn_tcp *t, const struct turn_action *action) {
    struct port *port;
    struct peer *p;
    if (action->kind == TURN_OPEN) {
        enum bk_err err = open_port(t, &action->addr);
        if (err != BK_OK)
            server_turn_cannot_open(t->turn, &action->addr, err, now_of(t));
    } else if (action->kind == TURN_CLOSE) {
        port = find_port(t, &action->addr);
        if (port != NULL)
            close_port(port);
    } else if (action->kind == TURN_CONNECT) {
        connect_peer(t, action);
    } else if (action->kind == TURN_CUT) {
        p = find_peer(t, action->connection);
        if (p != NULL)
            peer_end(p, LINGER_US);
    }
}

enum bk_err turn_tcp_join(struct turn_tcp *t, uint32_t connection,
                          const struct turn_tcp_client *client) {
    struct peer *p = find_peer(t, connection);
    if (p == NULL || p->state != PEER_WAITING)
        return BK_ERR_NOT_FOUND;
    if (net_stream_write(p->peer, client->first, client->first_len) != BK_OK) {
        peer_lost(p);
        return BK_ERR_CLOSED;
    }
    p->state = PEER_JOINED;
    p->client = client->stream;
    p->on_end = client->on_end;
    p->ctx = client->ctx;
    net_stream_adopt(p->client, &client_events, p);
    net_stream_set_buffer(p->client, WRITE_MAX, WRITE_LOW);
    net_stream_resume(p->peer);
    return BK_OK;
}

void turn_tcp_cut(struct turn_tcp *t, uint32_t connection) {
    struct peer *p = t == NULL ? NULL : find_peer(t, connection);
    if (p == NULL)
        return;
    p->on_end = NULL;
    peer_end(p, 0);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

enum bk_err turn_tcp_new(struct net_loop *loop, struct server_turn *turn,
                         struct turn_service *service, struct turn_tcp **out) {
    const struct bk_alloc *alloc = net_alloc();
    const struct bk_rng rng = box_rng();
    struct turn_tcp *t = alloc->get(alloc->ctx, sizeof *t);
    if (t == NULL)
        return BK_ERR_NO_MEMORY;
    t->loop = loop;
    t->turn = turn;
    t->service = service;
    rng.fill(rng.ctx, t->seed, sizeof t->seed);
    enum bk_err err = pool_init(&t->ports, sizeof(struct port), TURN_TCP_PORTS_MAX, alloc);
    if (err == BK_OK)
        err = pool_init(&t->peers, sizeof(struct peer), TURN_TCP_PEERS_MAX, alloc);
    if (err == BK_OK)
        err = links_init(&t->by_addr, &t->ports, offsetof(struct port, link), alloc);
    if (err == BK_OK)
        err = links_init(&t->by_number, &t->peers, offsetof(struct peer, link), alloc);
    if (err != BK_OK) {
        turn_tcp_free(t);
        return err;
    }
    *out = t;
    return BK_OK;
}

void turn_tcp_free(struct turn_tcp *t) {
    const struct bk_alloc *alloc = net_alloc();
    if (t == NULL)
        return;
    while (t->peer_list != NULL)
        peer_end(t->peer_list, 0);
    while (t->port_list != NULL)
        close_port(t->port_list);
    links_fini(&t->by_number);
    links_fini(&t->by_addr);
    pool_fini(&t->peers);
    pool_fini(&t->ports);
    alloc->put(alloc->ctx, t);
}
