/* SPDX-License-Identifier: MIT
 * Datagrams (RFC 9221): two bounded queues. What does not fit is dropped and counted; nobody waits
 * for a datagram. */
#include <base/assert.h>
#include <peer/quic_internal.h>

enum {
    DGRAM_HEAD = 2,
    /* Around a datagram in a packet of its own: first byte, connection ID, packet number, frame
     * type and length, AEAD tag. */
    DGRAM_OVERHEAD = 1 + QUIC_CID_LEN + 4 + 1 + 2 + 16
};

size_t quic_datagram_max(size_t payload_max) {
    return payload_max > DGRAM_OVERHEAD ? payload_max - DGRAM_OVERHEAD : 0;
}

static enum bk_err push(struct quic *q, struct byteq *queue, const uint8_t *data, size_t len) {
    const uint8_t head[DGRAM_HEAD] = {(uint8_t)(len >> 8), (uint8_t)len};
    if (queue->data == NULL) { /* twice the limit: then making room moves each byte once at most */
        enum bk_err e =
            byteq_init(queue, 2 * (size_t)q->config.datagram_queue_max, &q->config.alloc);
        if (e != BK_OK)
            return e;
    }
    if (byteq_len(queue) + len + DGRAM_HEAD > q->config.datagram_queue_max)
        return BK_ERR_FULL;
    enum bk_err e = byteq_push(queue, head, sizeof head);
    if (e == BK_OK && len > 0)
        e = byteq_push(queue, data, len);
    bk_assert(e == BK_OK);
    return BK_OK;
}

static bool front(const struct byteq *queue, const uint8_t **data, size_t *len) {
    if (queue->data == NULL || byteq_len(queue) == 0)
        return false;
    const uint8_t *at = byteq_front(queue);
    *len = (size_t)at[0] << 8 | at[1];
    *data = at + DGRAM_HEAD;
    return true;
}

static void drop(struct byteq *queue) {
    const uint8_t *data = NULL;
    size_t len = 0;
    if (front(queue, &data, &len))
        byteq_drop(queue, len + DGRAM_HEAD);
}

enum bk_err quic_datagram_send(struct quic *q, const void *data, size_t len) {
    if (q->state != QUIC_OPEN || !q->handshake_done)
        return BK_ERR_STATE;
    const ngtcp2_transport_params *theirs = ngtcp2_conn_get_remote_transport_params(q->conn);
    if (theirs == NULL || theirs->max_datagram_frame_size == 0)
        return BK_ERR_UNSUPPORTED;
    if (len > quic_datagram_max(QUIC_PAYLOAD_MAX) || len + 3 > theirs->max_datagram_frame_size)
        return BK_ERR_TOO_LONG;
    enum bk_err e = push(q, &q->dgram_out, data, len);
    q->stats.datagrams_dropped += e == BK_ERR_FULL;
    return e;
}

bool quic_datagram_peek(const struct quic *q, const uint8_t **data, size_t *len) {
    return front(&q->dgram_in, data, len);
}

void quic_datagram_drop(struct quic *q) {
    drop(&q->dgram_in);
}

void quic_datagram_received(struct quic *q, const uint8_t *data, size_t len) {
    if (len > UINT16_MAX || push(q, &q->dgram_in, data, len) != BK_OK) {
        q->stats.datagrams_dropped++;
        return;
    }
    q->stats.datagrams_received++;
    q->tell_datagram = true;
}

bool quic_datagram_next_out(const struct quic *q, ngtcp2_vec *out) {
    const uint8_t *data = NULL;
    if (!front(&q->dgram_out, &data, &out->len))
        return false;
    out->base = q->dgram_out.data + (data - q->dgram_out.data);
    return true;
}

void quic_datagram_out_done(struct quic *q) {
    drop(&q->dgram_out);
}

void quic_datagrams_fini(struct quic *q) {
    if (q->dgram_in.data != NULL)
        byteq_fini(&q->dgram_in);
    if (q->dgram_out.data != NULL)
        byteq_fini(&q->dgram_out);
}
