/* SPDX-License-Identifier: MIT
 * Sockets, connections and names of an agent in the simulated world: what a driver does. */
#include "base/assert.h"
#include "sim/agent_state.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

/* ---- sockets ---- */

static struct sim_agent_socket *free_socket(struct sim_agent *a) {
    for (size_t i = 0; i < a->sockets; i++) {
        if (!a->socket[i].open)
            return &a->socket[i];
    }
    bk_assert(a->sockets < SIM_AGENT_SOCKETS);
    return &a->socket[a->sockets++];
}

static void add_base(struct sim_agent *a, const struct bk_addr *addr, enum bk_protocol protocol,
                     uint16_t stream, uint16_t component) {
    struct bk_ice_base base = {.size = sizeof base,
                               .addr = *addr,
                               .protocol = protocol,
                               .stream = stream,
                               .component = component};
    enum bk_err e = bk_ice_add_base(a->ice, &base, world_now(a->world));
    bk_assert(e == BK_OK || e == BK_ERR_FULL);
}

static void open_socket(struct sim_agent *a, size_t place, struct bk_ip ip, uint16_t stream,
                        uint16_t component) {
    struct sim_agent_socket *s = free_socket(a);
    enum bk_err e = world_udp_bind(a->world, a->place[place].actor, bk_addr(ip, 0), &s->id);
    bk_assert(e == BK_OK);
    s->open = true;
    s->place = place;
    s->local = world_udp_local(a->world, s->id);
    add_base(a, &s->local, BK_UDP, stream, component);
    if (!a->config.ice.tcp)
        return;
    /* The listener has the same number. */
    e = world_stream_listen(a->world, a->place[place].actor, s->local.port);
    bk_assert(e == BK_OK);
    add_base(a, &s->local, BK_TCP, stream, component);
}

static bool wants(const struct sim_agent *a, const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? a->config.ice.ipv4 : a->config.ice.ipv6;
}

void agent_io_open(struct sim_agent *a, size_t place) {
    struct bk_ip ip;
    a->place[place].up = true;
    for (size_t i = 0; world_address(a->world, a->place[place].host, i, &ip); i++) {
        for (uint16_t s = 0; wants(a, &ip) && s < a->config.ice.streams; s++) {
            for (uint16_t c = 1; c <= a->config.ice.components; c++)
                open_socket(a, place, ip, s, c);
        }
    }
}

/* Listeners cannot be closed in this world; what comes to them is refused. */
void agent_io_close(struct sim_agent *a, size_t place) {
    a->place[place].up = false;
    for (size_t i = 0; i < a->sockets; i++) {
        struct sim_agent_socket *s = &a->socket[i];
        if (!s->open || s->place != place)
            continue;
        world_udp_close(a->world, s->id);
        s->open = false;
        if (a->ice == NULL)
            continue;
        (void)!bk_ice_remove_base(a->ice, &s->local, BK_UDP, world_now(a->world));
        if (a->config.ice.tcp)
            (void)!bk_ice_remove_base(a->ice, &s->local, BK_TCP, world_now(a->world));
    }
}

void agent_io_close_all(struct sim_agent *a) {
    for (size_t i = 0; i < a->config.hosts; i++)
        agent_io_close(a, i);
    for (size_t i = 0; i < SIM_AGENT_CONNS; i++) {
        if (a->conn[i].id != 0)
            world_stream_close(a->world, a->conn[i].stream);
        a->conn[i].id = 0;
    }
}

void agent_io_send(struct sim_agent *a, const struct bk_datagram *out) {
    agent_data_watch(a, out, world_now(a->world));
    for (size_t i = 0; i < a->sockets; i++) {
        if (a->socket[i].open && bk_addr_equal(&a->socket[i].local, &out->local)) {
            world_udp_send(a->world, a->socket[i].id, out);
            return;
        }
    }
    a->seen.unbound++;
}

/* ---- connections ---- */

static struct sim_agent_conn *conn_by_id(struct sim_agent *a, uint32_t id) {
    for (size_t i = 0; i < SIM_AGENT_CONNS; i++) {
        if (a->conn[i].id == id)
            return &a->conn[i];
    }
    return NULL;
}

static struct sim_agent_conn *conn_by_stream(struct sim_agent *a, stream_id stream) {
    for (size_t i = 0; i < SIM_AGENT_CONNS; i++) {
        if (a->conn[i].id != 0 && a->conn[i].stream == stream)
            return &a->conn[i];
    }
    return NULL;
}

static void hang_up(struct sim_agent *a, struct sim_agent_conn *c) {
    world_stream_close(a->world, c->stream);
    c->id = 0;
}

static size_t place_of(const struct sim_agent *a, const struct bk_ip *ip) {
    struct bk_ip has;
    for (size_t i = 0; i < a->config.hosts; i++) {
        for (size_t k = 0; world_address(a->world, a->place[i].host, k, &has); k++) {
            if (bk_ip_equal(&has, ip))
                return i;
        }
    }
    return 0;
}

/* TLS is a plain stream here: nobody in this world listens in. DTLS there is none. */
static void dial(struct sim_agent *a, const struct bk_ice_request *r, struct bk_time now) {
    struct sim_agent_conn *c = conn_by_id(a, 0);
    enum bk_err e = r->protocol == BK_UDP ? BK_ERR_UNSUPPORTED : BK_ERR_FULL;
    if (r->protocol == BK_TCP && c != NULL)
        e = world_stream_open_from(a->world, a->place[place_of(a, &r->local.ip)].actor,
                                   r->reuse ? r->local.port : 0, r->remote, &c->stream);
    if (e == BK_OK)
        *c = (struct sim_agent_conn){.id = r->id, .stream = c->stream};
    else
        (void)!bk_ice_dialled(a->ice, r->id, e, NULL, now);
}

static void dialled(struct sim_agent *a, struct sim_agent_conn *c, struct bk_time now) {
    struct bk_addr local = world_stream_local(a->world, c->stream);
    c->open = true;
    if (bk_ice_dialled(a->ice, c->id, BK_OK, &local, now) != BK_OK)
        hang_up(a, c);
}

static void accepted(struct sim_agent *a, stream_id stream, struct bk_time now) {
    struct bk_addr local = world_stream_local(a->world, stream),
                   remote = world_stream_remote(a->world, stream);
    struct sim_agent_conn *c = conn_by_id(a, 0);
    uint32_t id;
    if (c != NULL && bk_ice_accepted(a->ice, &local, &remote, now, &id) == BK_OK)
        *c = (struct sim_agent_conn){.id = id, .stream = stream, .open = true};
    else
        world_stream_close(a->world, stream);
}

static void broken(struct sim_agent *a, struct sim_agent_conn *c, struct bk_time now) {
    uint32_t id = c->id;
    bool was_open = c->open;
    hang_up(a, c);
    if (was_open)
        bk_ice_hung_up(a->ice, id, now);
    else
        (void)!bk_ice_dialled(a->ice, id, BK_ERR_REFUSED, NULL, now);
}

static void bytes(struct sim_agent *a, struct sim_agent_conn *c, const uint8_t *data, size_t len,
                  struct bk_time now) {
    struct bk_ice_data in;
    enum bk_err e = bk_ice_stream_recv(a->ice, c->id, data, len, now);
    while (bk_ice_next_data(a->ice, &in))
        agent_data_take(a, &in, now);
    if (e == BK_ERR_MALFORMED)
        broken(a, c, now);
}

void agent_io_on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                        const uint8_t *data, size_t len) {
    const struct sim_agent_place *place = ctx;
    struct sim_agent *a = place->agent;
    struct bk_time now = world_now(w);
    struct sim_agent_conn *c = conn_by_stream(a, stream);
    bool wanted = event == WORLD_STREAM_ACCEPTED ? place->up : c != NULL;
    if (a->ice == NULL || !wanted)
        world_stream_close(w, stream);
    else if (event == WORLD_STREAM_ACCEPTED)
        accepted(a, stream, now);
    else if (event == WORLD_STREAM_OPEN)
        dialled(a, c, now);
    else if (event == WORLD_STREAM_BYTES)
        bytes(a, c, data, len, now);
    else if (event == WORLD_STREAM_END || event == WORLD_STREAM_BROKEN)
        broken(a, c, now);
}

/* ---- names ---- */

static void resolve(struct sim_agent *a, const struct bk_ice_request *r) {
    uint8_t buf[WORLD_DATAGRAM_MAX];
    struct wire_writer m = wire_writer(buf, sizeof buf);
    wire_put_u8(&m, AGENT_RESOLVED_TAG);
    wire_put_u32(&m, r->id);
    wire_put_bytes(&m, r->name, strlen(r->name) + 1);
    int64_t delay_us = a->config.names != NULL ? a->config.names->delay_us : 0;
    world_post(a->world, a->place[0].actor, delay_us, m.data, m.len);
}

void agent_io_resolved(struct sim_agent *a, const uint8_t *data, size_t len, struct bk_time now) {
    enum { USED = 8 };
    struct bk_ip ip[USED];
    struct wire_reader m = wire_reader(data, len);
    size_t count = 0;
    (void)wire_u8(&m);
    uint32_t id = wire_u32(&m);
    const char *name = (const char *)wire_bytes(&m, wire_left(&m));
    for (size_t i = 0; a->config.names != NULL && i < a->config.hosts; i++) {
        node_id link = world_parent(a->world, a->place[i].host);
        count = count > 0 ? count : sim_names_find(a->config.names, name, link, ip, USED);
    }
    bk_ice_resolved(a->ice, id, ip, count, now);
}

static void publish(struct sim_agent *a, const struct bk_ice_request *r) {
    node_id link = world_parent(a->world, a->place[place_of(a, &r->local.ip)].host);
    if (a->config.names != NULL)
        sim_names_add(a->config.names, r->name, r->local.ip, link);
}

/* ---- requests ---- */

static void serve(struct sim_agent *a, const struct bk_ice_request *r, struct bk_time now) {
    struct sim_agent_conn *c = conn_by_id(a, r->id);
    switch (r->kind) {
    case BK_ICE_DIAL:
        dial(a, r, now);
        return;
    case BK_ICE_HANG_UP:
        if (c != NULL)
            hang_up(a, c);
        return;
    case BK_ICE_RESOLVE:
        resolve(a, r);
        return;
    case BK_ICE_PUBLISH:
        publish(a, r);
        return;
    }
}

bool agent_io_drain(struct sim_agent *a, struct bk_time now) {
    struct bk_ice_request r;
    const uint8_t *data;
    size_t len;
    uint32_t id;
    bool any = false;
    while (bk_ice_next_stream_data(a->ice, &id, &data, &len)) {
        const struct sim_agent_conn *c = conn_by_id(a, id);
        any = true;
        if (c == NULL)
            continue;
        size_t taken = world_stream_write(a->world, c->stream, data, len);
        bk_assert(taken == len || !c->open); /* the window holds all a test writes */
    }
    while (bk_ice_next_request(a->ice, &r)) {
        any = true;
        serve(a, &r, now);
    }
    return any;
}
