/* SPDX-License-Identifier: MIT
 * Streams: the table of those that exist, and their two buffers. The rings and lists link streams
 * by pointer; a stream leaves all of them before it is freed. */
#include <base/assert.h>
#include <peer/quic_internal.h>
#include <string.h>

enum bk_err quic_streams_init(struct quic *q) {
    const struct bk_alloc *alloc = &q->config.alloc;
    fifo_pool_init(&q->pool, alloc);
    q->slot_count = 2 * q->config.streams_max;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
    q->slots = alloc->get(alloc->ctx, q->slot_count * sizeof *q->slots);
    if (q->slots == NULL)
        return BK_ERR_NO_MEMORY;
    return table_init(&q->by_id, sizeof(int64_t), q->slot_count, &q->config.rng, alloc);
}

void quic_streams_fini(struct quic *q) {
    for (uint32_t i = 0; q->slots != NULL && i < q->slot_count; i++)
        if (q->slots[i] != NULL)
            quic_stream_free(q, q->slots[i]);
    q->config.alloc.put(q->config.alloc.ctx, q->slots);
    q->slots = NULL;
    table_fini(&q->by_id);
    fifo_pool_fini(&q->pool);
}

struct quic_stream *quic_stream_find(const struct quic *q, int64_t id) {
    uint32_t slot = 0;
    return table_get(&q->by_id, &id, &slot) ? q->slots[slot] : NULL;
}

struct quic_stream *quic_stream_add(struct quic *q, int64_t id, bool local) {
    uint32_t slot = 0;
    while (slot < q->slot_count && q->slots[slot] != NULL)
        slot++;
    if (slot == q->slot_count)
        return NULL;
    struct quic_stream *s = q->config.alloc.get(q->config.alloc.ctx, sizeof *s);
    if (s == NULL)
        return NULL;
    s->id = id;
    s->slot = slot;
    s->local = local;
    if (table_put(&q->by_id, &id, slot) != BK_OK) {
        q->config.alloc.put(q->config.alloc.ctx, s);
        return NULL;
    }
    q->slots[slot] = s;
    q->local_open += local;
    q->stats.streams_open++;
    return s;
}

/* --- what waits to be told --- */

void quic_stream_tell(struct quic *q, struct quic_stream *s, uint8_t pending) {
    s->pending |= pending;
    if (s->listed)
        return;
    s->listed = true;
    s->event_next = NULL;
    if (q->event_last == NULL)
        q->event_first = s;
    else
        q->event_last->event_next = s;
    q->event_last = s;
}

static void unlist(struct quic *q, struct quic_stream *s) {
    struct quic_stream *before = NULL;
    struct quic_stream *at = q->event_first;
    while (at != NULL && at != s) {
        before = at;
        at = at->event_next;
    }
    if (at == NULL)
        return;
    if (before == NULL)
        q->event_first = s->event_next;
    else
        before->event_next = s->event_next;
    if (q->event_last == s)
        q->event_last = before;
    s->listed = false;
}

/* A stream's last event comes when ngtcp2 is done with it and the user has read everything. */
static void tell_if_closed(struct quic *q, struct quic_stream *s) {
    if (s->forgotten && (s->in.len == 0 || s->rx == RX_ENDED))
        quic_stream_tell(q, s, PENDING_CLOSED);
}

/* --- the ring of streams that have something to send --- */

void quic_stream_ready(struct quic *q, struct quic_stream *s) {
    bool end_only = s->unsent == 0 && s->tx == TX_FINISHING; /* needs no flow control credit */
    bool data = s->unsent > 0 && !s->flow_blocked && (s->tx == TX_OPEN || s->tx == TX_FINISHING);
    if (s->ready || s->forgotten || (!data && !end_only))
        return;
    s->ready = true;
    if (q->ready == NULL) {
        s->ready_next = s->ready_prev = s;
        q->ready = s;
        return;
    }
    s->ready_next = q->ready;
    s->ready_prev = q->ready->ready_prev;
    s->ready_prev->ready_next = s;
    q->ready->ready_prev = s;
}

void quic_stream_unready(struct quic *q, struct quic_stream *s) {
    if (!s->ready)
        return;
    s->ready = false;
    if (s->ready_next == s) {
        q->ready = NULL;
        return;
    }
    s->ready_prev->ready_next = s->ready_next;
    s->ready_next->ready_prev = s->ready_prev;
    if (q->ready == s)
        q->ready = s->ready_next;
}

/* --- sending side --- */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t room(const struct quic *q, const struct quic_stream *s) {
    if (s->tx != TX_OPEN || q->state != QUIC_OPEN)
        return 0;
    uint64_t own = q->config.stream_send_max - s->out.len;
    uint64_t unsent = q->config.stream_unsent_max - s->unsent;
    return least(least(own, unsent), q->config.send_max - q->buffered_send);
}

/* Waking a writer for a few bytes costs more than it brings. */
static void tell_if_room(struct quic *q, struct quic_stream *s) {
    uint64_t limit = least(q->config.stream_send_max, q->config.stream_unsent_max);
    if (!s->want_room || room(q, s) < least(limit, q->config.send_max) / 4)
        return;
    s->want_room = false;
    q->waiting_for_room--;
    quic_stream_tell(q, s, PENDING_WRITABLE);
}

static void want_no_room(struct quic *q, struct quic_stream *s) {
    q->waiting_for_room -= s->want_room;
    s->want_room = false;
}

/* Bytes left the send buffers; writers who waited for the common limit may go on. */
static void release_send(struct quic *q, uint64_t len) {
    uint64_t mark = q->config.send_max - q->config.send_max / 4;
    bool was_full = q->buffered_send >= mark;
    q->buffered_send -= len;
    if (!was_full || q->buffered_send >= mark)
        return;
    for (uint32_t i = 0; q->waiting_for_room > 0 && i < q->slot_count; i++)
        if (q->slots[i] != NULL)
            tell_if_room(q, q->slots[i]);
}

static void drop_out(struct quic *q, struct quic_stream *s, uint64_t len) {
    fifo_drop(&s->out, &q->pool, len);
    if (s->out.len == 0)
        s->mark = (struct fifo_mark){NULL, 0};
    release_send(q, len);
}

void quic_stream_acked(struct quic *q, struct quic_stream *s, uint64_t len) {
    bk_assert(len <= s->out.len - s->unsent || s->tx == TX_ENDED);
    q->stats.stream_bytes_acked += len;
    drop_out(q, s, least(len, s->out.len));
    tell_if_room(q, s);
}

void quic_stream_sent(struct quic *q, struct quic_stream *s, size_t len, bool fin) {
    fifo_skip(&s->mark, len);
    s->unsent -= len;
    q->stats.stream_bytes_sent += len;
    if (fin)
        s->tx = TX_FIN_SENT;
    if (s->unsent == 0 && s->tx != TX_FINISHING)
        quic_stream_unready(q, s);
    tell_if_room(q, s);
}

/* The bytes stay until ngtcp2 closes the stream: packets in flight still point at them. */
static void end_sending(struct quic *q, struct quic_stream *s) {
    quic_stream_unready(q, s);
    want_no_room(q, s);
    s->tx = TX_ENDED;
}

void quic_stream_peer_stopped(struct quic *q, struct quic_stream *s) {
    if (s->tx == TX_ENDED)
        return;
    end_sending(q, s);
    quic_stream_tell(q, s, PENDING_STOPPED);
}

enum bk_err quic_stream_open(struct quic *q, int64_t *id) {
    bool early = q->config.server && q->config.early_server_data && q->early_keys;
    if (q->state != QUIC_OPEN || (!q->handshake_done && !early))
        return BK_ERR_STATE;
    q->want_allowed = true;
    if (q->local_open >= q->config.streams_max)
        return BK_ERR_FULL;
    int64_t opened = -1;
    if (ngtcp2_conn_open_bidi_stream(q->conn, &opened, NULL) != 0)
        return BK_ERR_FULL;
    struct quic_stream *s = quic_stream_add(q, opened, true);
    if (s == NULL) {
        (void)quic_shutdown_write(q->conn, opened, 0);
        (void)quic_shutdown_read(q->conn, opened, 0);
        return BK_ERR_NO_MEMORY;
    }
    ngtcp2_conn_set_stream_user_data(q->conn, opened, s);
    q->want_allowed = false;
    *id = opened;
    return BK_OK;
}

size_t quic_stream_room(const struct quic *q, int64_t id) {
    const struct quic_stream *s = quic_stream_find(q, id);
    return s == NULL ? 0 : (size_t)room(q, s);
}

size_t quic_stream_write(struct quic *q, int64_t id, const void *data, size_t len) {
    struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL || s->tx != TX_OPEN || q->state != QUIC_OPEN)
        return 0;
    size_t take = (size_t)least(len, room(q, s));
    size_t took = fifo_push(&s->out, &q->pool, data, take);
    fifo_settle(&s->out, &s->mark);
    s->unsent += took;
    q->buffered_send += took;
    if (took < len && !s->want_room) {
        s->want_room = true;
        q->waiting_for_room++;
    }
    quic_stream_ready(q, s);
    return took;
}

enum bk_err quic_stream_finish(struct quic *q, int64_t id) {
    struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL)
        return BK_ERR_NOT_FOUND;
    if (s->tx == TX_ENDED)
        return BK_ERR_STATE;
    if (s->tx == TX_OPEN)
        s->tx = TX_FINISHING;
    want_no_room(q, s);
    quic_stream_ready(q, s);
    return BK_OK;
}

void quic_stream_reset(struct quic *q, int64_t id, uint64_t code) {
    struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL || s->tx == TX_ENDED || s->forgotten || q->state != QUIC_OPEN)
        return;
    end_sending(q, s);
    (void)quic_shutdown_write(q->conn, id, code);
}

uint64_t quic_stream_unacked(const struct quic *q, int64_t id) {
    const struct quic_stream *s = quic_stream_find(q, id);
    return s == NULL ? 0 : s->out.len;
}

/* --- receiving side --- */

bool quic_stream_received(struct quic *q, struct quic_stream *s, const uint8_t *data, size_t len,
                          bool fin) {
    q->stats.stream_bytes_received += len;
    if (s->rx == RX_ENDED) {
        ngtcp2_conn_extend_max_offset(q->conn, len);
        return true;
    }
    if (fifo_push(&s->in, &q->pool, data, len) != len)
        return false;
    q->stats.buffered_receive += len;
    if (fin)
        s->rx = RX_FIN;
    if (len > 0 || fin)
        quic_stream_tell(q, s, PENDING_READABLE);
    return true;
}

/* Drops what is unread and gives the peer the connection's credit for it back. */
static void end_receiving(struct quic *q, struct quic_stream *s) {
    uint64_t unread = s->in.len;
    fifo_clear(&s->in, &q->pool);
    q->stats.buffered_receive -= unread;
    if (q->state == QUIC_OPEN)
        ngtcp2_conn_extend_max_offset(q->conn, unread);
    s->rx = RX_ENDED;
    s->pending &= (uint8_t)~PENDING_READABLE;
    tell_if_closed(q, s);
}

void quic_stream_peer_reset(struct quic *q, struct quic_stream *s, uint64_t code) {
    if (s->rx == RX_ENDED)
        return;
    s->reset_code = code;
    end_receiving(q, s);
    quic_stream_tell(q, s, PENDING_RESET);
}

void quic_stream_stop(struct quic *q, int64_t id, uint64_t code) {
    struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL || s->rx == RX_ENDED || q->state != QUIC_OPEN)
        return;
    if (!s->forgotten && s->rx == RX_OPEN)
        (void)quic_shutdown_read(q->conn, id, code);
    end_receiving(q, s);
}

bool quic_stream_peek(const struct quic *q, int64_t id, const uint8_t **data, size_t *len) {
    const struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL || s->rx == RX_ENDED || (s->in.len == 0 && s->rx != RX_FIN))
        return false;
    *data = fifo_front(&s->in, len);
    return true;
}

void quic_stream_consume(struct quic *q, int64_t id, size_t len) {
    struct quic_stream *s = quic_stream_find(q, id);
    if (s == NULL || s->rx == RX_ENDED)
        return;
    bk_assert(len <= s->in.len);
    fifo_drop(&s->in, &q->pool, len);
    q->stats.buffered_receive -= len;
    if (q->state == QUIC_OPEN) {
        ngtcp2_conn_extend_max_offset(q->conn, len);
        if (!s->forgotten && s->rx == RX_OPEN)
            (void)ngtcp2_conn_extend_max_stream_offset(q->conn, id, len);
    }
    tell_if_closed(q, s);
}

/* --- the end of a stream --- */

void quic_stream_forgotten(struct quic *q, struct quic_stream *s, uint64_t code) {
    s->forgotten = true;
    s->close_code = code;
    end_sending(q, s);
    s->unsent = 0;
    drop_out(q, s, s->out.len);
    tell_if_closed(q, s);
}

void quic_stream_free(struct quic *q, struct quic_stream *s) {
    quic_stream_unready(q, s);
    if (s->listed)
        unlist(q, s);
    want_no_room(q, s);
    q->stats.buffered_receive -= s->in.len;
    q->buffered_send -= s->out.len;
    fifo_clear(&s->in, &q->pool);
    fifo_clear(&s->out, &q->pool);
    (void)table_remove(&q->by_id, &s->id);
    q->slots[s->slot] = NULL;
    q->local_open -= s->local;
    q->stats.streams_open--;
    if (q->state == QUIC_OPEN && !s->local)
        ngtcp2_conn_extend_max_streams_bidi(q->conn, 1);
    if (q->state == QUIC_OPEN && s->local && q->want_allowed &&
        ngtcp2_conn_get_streams_bidi_left(q->conn) > 0)
        q->tell_allowed = true;
    q->config.alloc.put(q->config.alloc.ctx, s);
}
