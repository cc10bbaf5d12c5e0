/* SPDX-License-Identifier: MIT
 * The queue of a UDP socket. Outgoing datagrams are copied into an arena and described by slots;
 * neighbours that a train can hold share one. A flush at the end of the turn hands the slots to the
 * kernel; what the kernel cannot take stays, up to a limit, until the socket is writable.
 *
 * A prompt socket sends the first datagram of a turn at once if it was the only one of the turn
 * before: waiting for others would be in vain. Bursts are joined as ever, all but the first one's
 * first datagram. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/udp.h"

#include "base/assert.h"
#include "net/batch.h"
#include "net/loop_private.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SLOTS_MAX = 1024,
    RECV_ROUNDS = 8,      /* batches per turn: other sockets want their turn too */
    EARLY_FLUSH = 262144, /* bytes: beyond this the copies fall out of the CPU's cache */
    DIRECT_MIN = 8192     /* a train from this size on is sent without a copy if nothing waits */
};

const struct net_udp_config net_udp_config_default = {
    .dont_fragment = true,
    .queue_max = 1048576,
};

struct net_udp {
    uv_poll_t poll;
    struct net_loop *loop;
    struct batch_socket socket;
    struct net_udp_events events;
    struct net_deferred flush;
    struct net_udp_counters counters;
    struct bk_datagram slots[SLOTS_MAX]; /* slots[first..last) wait; their data is in the arena */
    size_t first, last;
    uint8_t *arena;
    size_t used, arena_max; /* arena[0..used) holds the data of the slots, in order */
    bool prompt;
    bool alone;     /* the last turn that sent had one datagram; ... */
    size_t in_turn; /* ... this one has so many by now */
    bool blocked;   /* the kernel's buffer is full: waiting for writable */
    bool closed;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct net_udp *u) {
    int failed = uv_poll_start(&u->poll, UV_READABLE | (u->blocked ? UV_WRITABLE : 0), on_poll);
    bk_assert(failed == 0); /* it cannot fail for a live descriptor */
}

static size_t datagrams_in(const struct bk_datagram *d) {
    return d->segment == 0 ? 1 : (d->len + d->segment - 1) / d->segment;
}

static void count_sent(struct net_udp *u, const struct bk_datagram *d) {
    u->counters.out += datagrams_in(d);
    u->counters.out_bytes += d->len;
}

static void count_lost(struct net_udp *u, const struct bk_datagram *d, int error) {
    uint64_t *counter = &u->counters.out_error;
    if (error == EMSGSIZE)
        counter = &u->counters.out_too_long;
    else if (error == ENOBUFS || error == ENOMEM)
        counter = &u->counters.out_full;
    else if (error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNREFUSED ||
             error == EPERM || error == EACCES || error == ENETDOWN || error == EADDRNOTAVAIL)
        counter = &u->counters.out_unreachable;
    *counter += datagrams_in(d);
}

/* Sends a train's datagrams one at a time, because the kernel would not split it. *d shrinks to
 * what is left; false: the kernel's buffer is full. */
static bool send_singly(struct net_udp *u, struct bk_datagram *d) {
    while (d->len > 0) {
        struct bk_datagram one = *d;
        int error = 0;
        one.len = d->len < d->segment ? d->len : d->segment;
        one.segment = 0;
        if (batch_send(&u->socket, &one, 1, &error) == 1)
            count_sent(u, &one);
        else if (error == EAGAIN)
            return false;
        else
            count_lost(u, &one, error);
        d->data += one.len;
        d->len -= one.len;
    }
    return true;
}

/* Deals with a datagram or train the kernel did not take. true: it is done with. */
static bool handle_refusal(struct net_udp *u, struct bk_datagram *d, int error) {
    if (error == EAGAIN)
        return false;
    bool train = d->segment != 0 && d->len > d->segment;
    if (train && (error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP)) {
        u->counters.gso_refused++;
        /* EIO: the route's device cannot checksum (a TUN, IPsec); it will not learn to. EINVAL and
         * EMSGSIZE: these segments exceed this route's MTU, others may not. */
        if (error == EIO || error == EOPNOTSUPP)
            u->socket.gso = false;
        return send_singly(u, d);
    }
    count_lost(u, d, error);
    return true;
}

/* Sends one datagram or train. true: it is done with, sent or lost. */
static bool send_one(struct net_udp *u, struct bk_datagram *d) {
    int error = 0;
    if (d->segment != 0 && !u->socket.gso)
        return send_singly(u, d);
    if (batch_send(&u->socket, d, 1, &error) == 1) {
        count_sent(u, d);
        return true;
    }
    return handle_refusal(u, d, error);
}

static size_t sendable_run(const struct net_udp *u) {
    size_t n = 0;
    while (u->first + n < u->last && n < BATCH_SEND_MAX &&
           (u->socket.gso || u->slots[u->first + n].segment == 0))
        n++;
    return n;
}

/* Sends slots until none is left or the kernel takes no more. */
static void send_slots(struct net_udp *u) {
    while (u->first < u->last) {
        size_t n = sendable_run(u);
        int error = 0;
        size_t sent = n == 0 ? 0 : batch_send(&u->socket, &u->slots[u->first], n, &error);
        for (size_t i = 0; i < sent; i++)
            count_sent(u, &u->slots[u->first + i]);
        u->first += sent;
        if (sent > 0)
            continue;
        struct bk_datagram *d = &u->slots[u->first];
        if (!(n == 0 ? send_singly(u, d) : handle_refusal(u, d, error)))
            break;
        u->first++;
    }
    u->blocked = u->first < u->last;
}

/* Moves what waits to the front of arena and slots. */
static void compact(struct net_udp *u) {
    size_t base = u->first == u->last ? u->used : (size_t)(u->slots[u->first].data - u->arena);
    memmove(u->arena, u->arena + base, u->used - base);
    u->used -= base;
    memmove(u->slots, u->slots + u->first, (u->last - u->first) * sizeof u->slots[0]);
    u->last -= u->first;
    u->first = 0;
    for (size_t i = 0; i < u->last; i++)
        u->slots[i].data -= base;
}

void net_udp_flush(struct net_udp *u) {
    bool was_blocked = u->blocked;
    if (u->closed)
        return;
    send_slots(u);
    if (u->first == u->last)
        u->first = u->last = u->used = 0;
    if (u->blocked != was_blocked)
        watch(u);
}

static void on_flush(void *ctx) {
    struct net_udp *u = ctx;
    u->alone = u->in_turn == 1;
    u->in_turn = 0;
    if (!u->blocked)
        net_udp_flush(u);
}

static void receive(struct net_udp *u) {
    struct bk_datagram in[NET_UDP_BATCH];
    bool more = true;
    for (int round = 0; round < RECV_ROUNDS && more && !u->closed; round++) {
        size_t truncated = 0;
        size_t n = batch_recv(&u->socket, u->loop->rx, in, &truncated, &more);
        u->counters.in_truncated += truncated;
        for (size_t i = 0; i < n; i++) {
            u->counters.in += datagrams_in(&in[i]);
            u->counters.in_bytes += in[i].len;
        }
        if (n > 0)
            u->events.on_batch(u->events.ctx, in, n, net_now(u->loop));
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct net_udp *u = poll->data;
    if (u->closed)
        return;
    if (status < 0) {
        /* An error on the socket stopped the poll. Reading the error clears it; packets are lost in
         * networks, sockets are not. */
        int error;
        socklen_t len = sizeof error;
        (void)getsockopt(u->socket.fd, SOL_SOCKET, SO_ERROR, &error, &len);
        watch(u);
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        net_udp_flush(u);
    if ((events & UV_READABLE) != 0)
        receive(u);
}

enum bk_err net_udp_open(struct net_loop *loop, const struct bk_addr *bind,
                         const struct net_udp_config *config, const struct net_udp_events *events,
                         struct net_udp **out) {
    struct net_udp *u = loop_get(loop, sizeof *u);
    if (u == NULL)
        return BK_ERR_NO_MEMORY;
    u->loop = loop;
    u->events = *events;
    u->prompt = config->prompt;
    u->arena_max = config->queue_max < BATCH_TRAIN_MAX ? BATCH_TRAIN_MAX : config->queue_max;
    u->arena = loop_get(loop, u->arena_max);
    enum bk_err err = u->arena == NULL ? BK_ERR_NO_MEMORY : batch_open(bind, config, &u->socket);
    if (err != BK_OK)
        goto out;
    if (uv_poll_init(loop->uv, &u->poll, u->socket.fd) != 0) {
        batch_close(&u->socket);
        err = BK_ERR_IO;
        goto out;
    }
    u->poll.data = u;
    net_deferred_init(&u->flush, loop, on_flush, u);
    watch(u);
    *out = u;
    return BK_OK;
out:
    loop_put(loop, u->arena);
    loop_put(loop, u);
    return err;
}

static void on_closed(uv_handle_t *handle) {
    struct net_udp *u = handle->data;
    loop_put(u->loop, u->arena);
    loop_put(u->loop, u);
}

void net_udp_close(struct net_udp *u) {
    if (u == NULL || u->closed)
        return;
    net_udp_flush(u);
    u->closed = true;
    net_defer_cancel(&u->flush);
    uv_close((uv_handle_t *)&u->poll, on_closed);
    batch_close(&u->socket);
}

struct bk_addr net_udp_local(const struct net_udp *u) {
    return u->socket.local;
}

size_t net_udp_backlog(const struct net_udp *u) {
    size_t bytes = 0;
    for (size_t i = u->first; u->blocked && i < u->last; i++)
        bytes += u->slots[i].len;
    return bytes;
}

const struct net_udp_counters *net_udp_counters(const struct net_udp *u) {
    return &u->counters;
}

static bool same_way(const struct bk_datagram *a, const struct bk_datagram *b) {
    return a->ttl == b->ttl && a->ecn == b->ecn && bk_addr_equal(&a->remote, &b->remote) &&
           bk_ip_equal(&a->local.ip, &b->local.ip);
}

/* May the single datagram `d` be the next wagon of the train in `slot`? All wagons but the last
 * have the same length. */
static bool fits_train(const struct net_udp *u, const struct bk_datagram *slot,
                       const struct bk_datagram *d) {
    size_t size = slot->segment == 0 ? slot->len : slot->segment;
    return u->socket.gso && size > 0 && d->len > 0 && d->len <= size && slot->len % size == 0 &&
           slot->len + d->len <= BATCH_TRAIN_MAX && slot->len / size < BATCH_SEGMENTS_MAX &&
           same_way(slot, d);
}

static bool make_room(struct net_udp *u, size_t len) {
    if (u->used + len <= u->arena_max && u->last < SLOTS_MAX)
        return true;
    if (!u->blocked)
        net_udp_flush(u);
    compact(u);
    return u->used + len <= u->arena_max && u->last < SLOTS_MAX;
}

/* Copies one datagram or train that obeys the kernel's limits into the queue. */
static enum bk_err enqueue(struct net_udp *u, const struct bk_datagram *d) {
    if (!make_room(u, d->len)) {
        count_lost(u, d, ENOBUFS);
        return BK_ERR_FULL;
    }
    uint8_t *copy = u->arena + u->used;
    if (d->len > 0)
        memcpy(copy, d->data, d->len);
    u->used += d->len;
    struct bk_datagram *last = u->last > u->first ? &u->slots[u->last - 1] : NULL;
    if (last != NULL && d->segment == 0 && fits_train(u, last, d)) {
        last->segment = last->segment == 0 ? last->len : last->segment;
        last->len += d->len;
    } else {
        u->slots[u->last] = *d;
        u->slots[u->last].data = copy;
        u->last++;
    }
    if (u->used >= EARLY_FLUSH && !u->blocked)
        net_udp_flush(u);
    return BK_OK;
}

/* Sends one datagram or train that obeys the kernel's limits, now if that saves a copy or if no
 * other one is expected. */
static enum bk_err submit(struct net_udp *u, struct bk_datagram d) {
    bool now = d.len >= DIRECT_MIN || (u->prompt && u->alone && u->in_turn == 0);
    u->in_turn++;
    loop_defer_late(&u->flush); /* also to know when the turn is over */
    if (now && u->first == u->last && send_one(u, &d))
        return BK_OK;
    return enqueue(u, &d);
}

static bool is_sendable(const struct net_udp *u, const struct bk_datagram *d) {
    uint8_t family = d->remote.ip.family;
    if (d->remote.port == 0 || (d->segment == 0 && d->len > BATCH_TRAIN_MAX) ||
        d->segment > BATCH_TRAIN_MAX)
        return false;
    return u->socket.v6 ? family == BK_IPV4 || family == BK_IPV6 : family == BK_IPV4;
}

enum bk_err net_udp_send(struct net_udp *u, const struct bk_datagram *out) {
    if (u->closed || !is_sendable(u, out))
        return BK_ERR_ARGUMENT;
    if (out->segment == 0 || out->segment >= out->len) {
        struct bk_datagram one = *out;
        one.segment = 0;
        return submit(u, one);
    }
    size_t wagons = BATCH_TRAIN_MAX / out->segment;
    if (wagons > BATCH_SEGMENTS_MAX)
        wagons = BATCH_SEGMENTS_MAX;
    enum bk_err err = BK_OK;
    for (size_t at = 0; at < out->len && err == BK_OK; at += wagons * out->segment) {
        struct bk_datagram part = *out;
        part.data += at;
        part.len = out->len - at < wagons * out->segment ? out->len - at : wagons * out->segment;
        if (part.len <= part.segment)
            part.segment = 0;
        err = submit(u, part);
    }
    return err;
}
