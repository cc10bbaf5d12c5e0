/* SPDX-License-Identifier: MIT
 * UDP sockets of the hosts. */
#include "sim/state.h"

#include "base/assert.h"

#include <string.h>

uint16_t node_free_port(struct world *w, node_id host) {
    struct node *n = &w->nodes[host];
    uint16_t port = n->next_port;
    n->next_port = port == 65535 ? FIRST_FREE_PORT : (uint16_t)(port + 1);
    return port;
}

static bool is_taken(const struct world *w, node_id host, const struct bk_addr *local) {
    uint8_t key[KEY_NODE_ADDR];
    key_node_addr(key, host, local);
    return table_get(&w->by_socket, key, NULL);
}

/* false: every free port is taken. */
static bool choose_port(struct world *w, node_id host, struct bk_addr *local) {
    for (int i = 0; i <= 65535 - FIRST_FREE_PORT; i++) {
        local->port = node_free_port(w, host);
        if (!is_taken(w, host, local))
            return true;
    }
    return false;
}

static uint32_t free_slot(const struct world *w) {
    for (uint32_t i = 0; i < w->socket_count; i++) {
        if (!w->sockets[i].open)
            return i;
    }
    return w->socket_count < w->config.sockets_max ? w->socket_count : SIM_NONE;
}

enum bk_err world_udp_bind(struct world *w, actor_id actor, struct bk_addr local, socket_id *out) {
    node_id host = w->actors[actor].host;
    if (!bk_ip_is_any(&local.ip) && !topology_host_has(w, host, &local.ip))
        return BK_ERR_NOT_FOUND;
    uint32_t slot = free_slot(w);
    if (slot == SIM_NONE || (local.port == 0 && !choose_port(w, host, &local)))
        return BK_ERR_FULL;
    if (is_taken(w, host, &local))
        return BK_ERR_EXISTS;
    uint8_t key[KEY_NODE_ADDR];
    key_node_addr(key, host, &local);
    enum bk_err e = table_put(&w->by_socket, key, slot);
    if (e != BK_OK)
        return e;
    if (slot == w->socket_count)
        w->socket_count++;
    w->sockets[slot] =
        (struct udp_socket){.open = true, .host = host, .actor = actor, .local = local};
    *out = slot;
    return BK_OK;
}

void world_udp_close(struct world *w, socket_id socket) {
    struct udp_socket *s = &w->sockets[socket];
    bk_assert(s->open);
    uint8_t key[KEY_NODE_ADDR];
    key_node_addr(key, s->host, &s->local);
    (void)table_remove(&w->by_socket, key);
    s->open = false;
}

struct bk_addr world_udp_local(const struct world *w, socket_id socket) {
    return w->sockets[socket].local;
}

static bool is_chosen(const struct bk_ip *ip) {
    return ip->family != BK_FAMILY_NONE && !bk_ip_is_any(ip);
}

/* As a kernel chooses: the socket's own, else what the caller asks for, else the host's first. */
static bool source_address(const struct world *w, const struct udp_socket *s,
                           const struct bk_datagram *out, struct bk_addr *src) {
    src->port = s->local.port;
    src->ip = is_chosen(&s->local.ip) ? s->local.ip : out->local.ip;
    if (!is_chosen(&src->ip))
        return topology_host_address(w, s->host, out->remote.ip.family, &src->ip);
    return src->ip.family == out->remote.ip.family && topology_host_has(w, s->host, &src->ip);
}

static void send_one(struct world *w, const struct udp_socket *s, const struct bk_datagram *out,
                     const struct bk_addr *src, size_t offset, size_t len) {
    uint32_t index = packet_take(w);
    if (index == SIM_NONE)
        return;
    bk_assert(len <= WORLD_DATAGRAM_MAX);
    struct sim_packet *p = &w->packets[index];
    p->kind = PACKET_DATAGRAM;
    memset(&p->header, 0, sizeof p->header);
    p->header.flow = (struct nat_flow){.proto = NAT_UDP, .src = *src, .dst = out->remote};
    p->origin = s->host;
    p->ttl = out->ttl != 0 ? out->ttl : DEFAULT_TTL;
    p->ecn = out->ecn;
    p->len = (uint16_t)len;
    if (len > 0)
        memcpy(p->data, out->data + offset, len);
    hash_payload(w, p->data, len);
    route_send(w, index);
}

void world_udp_send(struct world *w, socket_id socket, const struct bk_datagram *out) {
    const struct udp_socket *s = &w->sockets[socket];
    struct bk_addr src;
    bk_assert(s->open);
    if (!source_address(w, s, out, &src)) {
        w->counters.no_route++;
        return;
    }
    size_t step = out->segment != 0 ? out->segment : out->len;
    size_t offset = 0;
    do {
        size_t len = out->len - offset < step ? out->len - offset : step;
        send_one(w, s, out, &src, offset, len);
        offset += len;
    } while (offset < out->len);
}

static uint32_t find_socket(const struct world *w, node_id host, const struct bk_addr *dst) {
    uint8_t key[KEY_NODE_ADDR];
    uint32_t found = SIM_NONE;
    key_node_addr(key, host, dst);
    if (table_get(&w->by_socket, key, &found))
        return found;
    struct bk_addr wild = {.ip.family = dst->ip.family, .port = dst->port};
    key_node_addr(key, host, &wild);
    return table_get(&w->by_socket, key, &found) ? found : SIM_NONE;
}

void udp_deliver(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    uint32_t socket = find_socket(w, p->at, &p->header.flow.dst);
    if (socket == SIM_NONE) {
        route_lose(w, index, TRACE_NO_SOCKET);
        return;
    }
    trace_packet(w, TRACE_DELIVER, p->at, p, NAT_DROP_NONE);
    w->counters.delivered++;
    actor_id actor = w->sockets[socket].actor;
    const struct world_actor *calls = &w->actors[actor].calls;
    struct bk_datagram in = {.local = p->header.flow.dst,
                             .remote = p->header.flow.src,
                             .data = p->data,
                             .len = p->len,
                             .ttl = p->ttl,
                             .ecn = p->ecn};
    if (calls->on_datagram != NULL)
        calls->on_datagram(calls->ctx, w, socket, &in);
    packet_give(w, index);
    actor_turn(w, actor);
}
