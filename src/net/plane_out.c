/* SPDX-License-Identifier: MIT
 * The queue. A train is a list of pieces; the piece that a flow's next datagrams make joins the
 * flow's last train if that has room and their size fits: all datagrams of a train but the last
 * have the same size. Trains leave in the order in which they were begun, so a flow's datagrams
 * stay in order. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/plane_private.h"

#include "base/assert.h"
#include <errno.h>
#include <string.h>

void plane_count_sent(struct net_plane *p, const struct plane_train *t) {
    p->counters.out += t->count;
    p->counters.out_bytes += t->bytes;
    p->counters.trains_out++;
}

void plane_count_lost(struct net_plane *p, uint32_t count, int error) {
    uint64_t *counter = &p->counters.out_error;
    if (error == EMSGSIZE)
        counter = &p->counters.out_too_long;
    else if (error == EAGAIN || error == ENOBUFS || error == ENOMEM)
        counter = &p->counters.out_full;
    else if (error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNREFUSED ||
             error == EPERM || error == EACCES || error == ENETDOWN || error == EADDRNOTAVAIL)
        counter = &p->counters.out_unreachable;
    *counter += count;
}

void net_plane_flush(struct net_plane *p) {
    for (uint32_t i = 0, n; i < p->train_count; i += n) {
        n = 1;
        while (i + n < p->train_count && p->trains[i + n].port == p->trains[i].port)
            n++;
        p->tier->send(p, i, n);
    }
    p->train_count = p->piece_count = 0;
    p->copied = 0;
    p->flush++;
}

static uint32_t *place_of(struct net_plane *p, uint64_t flow) {
    return &p->flows[(flow * UINT64_C(0x9e3779b97f4a7c15)) >> 51]; /* PLANE_FLOWS of them */
}

static bool takes(const struct plane_train *t, const struct net_out *out, size_t count) {
    size_t size = out->head_len + out->size;
    return !t->shut && t->ecn == out->ecn && t->dont_fragment == out->dont_fragment && size > 0 &&
           (size == t->size || (size < t->size && count == 1)) &&
           t->count + count <= PLANE_SEGMENTS_MAX && t->bytes + count * size <= PLANE_TRAIN_MAX &&
           bk_addr_equal(&t->remote, &out->remote) && bk_ip_equal(&t->local.ip, &out->local.ip);
}

/* The train that `count` more datagrams may join. NULL: none. */
static struct plane_train *open_train(struct net_plane *p, const struct net_port *port,
                                      const struct net_out *out, size_t count) {
    uint32_t i = out->flow == 0 ? PLANE_TRAINS : *place_of(p, out->flow) - p->flush * PLANE_TRAINS;
    if (i >= p->train_count)
        return NULL;
    struct plane_train *t = &p->trains[i];
    return t->flow == out->flow && t->port == port && takes(t, out, count) ? t : NULL;
}

static struct plane_train *new_train(struct net_plane *p, struct net_port *port,
                                     const struct net_out *out) {
    uint32_t i = p->train_count++;
    struct plane_train *t = &p->trains[i];
    *t = (struct plane_train){.port = port,
                              .local = out->local,
                              .remote = out->remote,
                              .flow = out->flow,
                              .size = (uint32_t)(out->head_len + out->size),
                              .first = PLANE_NONE,
                              .ecn = out->ecn,
                              .dont_fragment = out->dont_fragment};
    if (out->flow != 0)
        *place_of(p, out->flow) = i + p->flush * PLANE_TRAINS;
    return t;
}

static const uint8_t *keep(struct net_plane *p, const uint8_t *data, size_t len) {
    uint8_t *at = p->copies + p->copied;
    if (len > 0)
        memcpy(at, data, len);
    p->copied += len;
    return at;
}

static bool is_received(const struct net_plane *p, const uint8_t *data) {
    uintptr_t at = (uintptr_t)data;
    return at - (uintptr_t)p->slots < (uintptr_t)PLANE_SLOTS * PLANE_SLOT ||
           at - (uintptr_t)p->moved < (uintptr_t)PLANE_MOVED; /* they wrap around below */
}

static void add(struct net_plane *p, struct plane_train *t, const struct net_out *out,
                size_t count) {
    uint32_t i = p->piece_count++;
    size_t span = out->stride * (count - 1) + out->size;
    p->pieces[i] = (struct plane_piece){
        .data = is_received(p, out->data) ? out->data : keep(p, out->data, span),
        .head = keep(p, out->head, out->head_len),
        .size = (uint32_t)out->size,
        .stride = (uint32_t)out->stride,
        .next = PLANE_NONE,
        .count = (uint8_t)count,
        .head_len = (uint8_t)out->head_len,
    };
    if (t->first == PLANE_NONE)
        t->first = i;
    else
        p->pieces[t->last].next = i;
    t->last = i;
    t->count += (uint32_t)count;
    t->bytes += (uint32_t)(count * (out->head_len + out->size));
    t->shut = out->head_len + out->size < t->size;
}

static void make_room(struct net_plane *p, size_t bytes) {
    if (p->train_count == PLANE_TRAINS || p->piece_count == PLANE_PIECES ||
        p->copied + bytes > PLANE_COPIES)
        net_plane_flush(p);
}

static bool is_sendable(const struct net_port *port, const struct net_out *out) {
    uint8_t family = out->remote.ip.family;
    size_t size = out->head_len + out->size;
    if (port->closed || out->remote.port == 0 || size > PLANE_TRAIN_MAX ||
        out->head_len > NET_OUT_HEAD_MAX || out->count == 0)
        return false;
    return port->v6 ? family == BK_IPV4 || family == BK_IPV6 : family == BK_IPV4;
}

void net_port_send(struct net_port *port, const struct net_out *out) {
    struct net_plane *p = port->plane;
    size_t size = out->head_len + out->size;
    if (!is_sendable(port, out)) {
        p->counters.out_error += out->count;
        return;
    }
    size_t most = size == 0 ? 1 : PLANE_TRAIN_MAX / size;
    struct net_out part = *out;
    for (size_t left = out->count, n; left > 0; left -= n) {
        n = left < most ? left : most;
        n = n < PLANE_SEGMENTS_MAX ? n : PLANE_SEGMENTS_MAX;
        make_room(p, out->head_len + out->stride * (n - 1) + out->size);
        struct plane_train *t = open_train(p, port, &part, n);
        add(p, t == NULL ? new_train(p, port, &part) : t, &part, n);
        part.data += n * out->stride;
    }
}

void net_port_send_one(struct net_port *port, const struct bk_datagram *out) {
    const struct net_out one = {.local = out->local,
                                .remote = out->remote,
                                .data = out->data,
                                .size = out->len,
                                .stride = out->len,
                                .count = 1,
                                .ecn = out->ecn};
    net_port_send(port, &one);
}
