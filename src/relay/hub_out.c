/* SPDX-License-Identifier: MIT
 * What a connection is told: control frames, and the order in which everything leaves. */
#include "relay/hub_int.h"

#include <string.h>

enum { SMALL_FRAME = DERP_HEADER_LEN + 64 };

bool conn_has_output(const struct conn *c) {
    return c->staged.first != NONE || c->ctl != NONE || c->lane[LANE_BULK].packets > 0 ||
           c->lane[LANE_URGENT].packets > 0;
}

size_t ctl_len(const struct relay_hub *h, uint32_t conn) {
    uint32_t ctl = h->conn[conn].ctl;
    return ctl == NONE ? 0 : h->chunk[ctl].bytes;
}

/* Control frames share chunks: forty of them fit into one. Together they may hold a quarter of the
 * pool, which only a mesh peer's list of a large server comes near. */
bool ctl_put(struct relay_hub *h, uint32_t conn, const struct wire_writer *frame) {
    struct conn *c = &h->conn[conn];
    bk_assert(!frame->failed);
    if (ctl_len(h, conn) + frame->len > (size_t)h->chunks / 4 * RELAY_HUB_CHUNK)
        return false;
    if (h->chunks_free < 1 + frame->len / RELAY_HUB_CHUNK + 1)
        return false;
    if (c->ctl == NONE)
        c->ctl = packet_new(h, 0, 0);
    bk_assert(packet_append(h, c->ctl, frame->data, frame->len, 0));
    conn_output(h, conn);
    return true;
}

/* For frames whose loss would leave the client with a wrong picture for good. */
static void ctl_must(struct relay_hub *h, uint32_t conn, const struct wire_writer *frame) {
    if (h->conn[conn].state == CONN_CLOSING)
        return;
    if (!ctl_put(h, conn, frame))
        conn_fail(h, conn, RELAY_CLOSE_RESOURCES);
}

void ctl_peer_gone(struct relay_hub *h, uint32_t conn, const uint8_t *key, enum derp_gone reason) {
    uint8_t buf[SMALL_FRAME];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_peer_gone(&w, key, reason);
    ctl_must(h, conn, &w);
}

void ctl_peer_present(struct relay_hub *h, uint32_t conn, const struct conn *who,
                      const uint8_t *key) {
    uint8_t buf[SMALL_FRAME];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    int flags = (who->mesh ? DERP_PRESENT_MESH : 0) | (who->prober ? DERP_PRESENT_PROBER : 0);
    derp_put_peer_present(&w, key, &who->remote,
                          (uint8_t)(flags == 0 ? DERP_PRESENT_REGULAR : flags));
    ctl_must(h, conn, &w);
}

static void broadcast(struct relay_hub *h, const struct wire_writer *frame) {
    for (uint32_t i = 0; i < h->config.conns_max; i++)
        if (h->conn[i].state == CONN_OPEN)
            (void)ctl_put(h, i, frame); /* a hint: who has no room for it misses nothing vital */
}

void relay_hub_health(struct relay_hub *h, const char *text) {
    uint8_t buf[512];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    size_t len = strlen(text), max = sizeof buf - DERP_HEADER_LEN;
    derp_put_health(&w, text, len < max ? len : max);
    broadcast(h, &w);
}

void relay_hub_restarting(struct relay_hub *h, uint32_t reconnect_ms, uint32_t try_ms) {
    uint8_t buf[SMALL_FRAME];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_restarting(&w, reconnect_ms, try_ms);
    broadcast(h, &w);
}

/* Fixes the order of the next bytes: control first, then packets by turn. What is staged can no
 * longer be dropped or overtaken, so it is kept to one TLS record. */
static void stage(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    while (c->staged_bytes < STAGE_BYTES) {
        uint32_t packet = c->ctl;
        if (packet != NONE)
            c->ctl = NONE;
        else
            packet = queue_take(h, conn);
        if (packet == NONE)
            return;
        c->staged_bytes += h->chunk[packet].bytes;
        packets_push(h, &c->staged, packet);
    }
}

size_t relay_hub_next_bytes(struct relay_hub *h, uint32_t conn, struct relay_piece *pieces,
                            size_t max) {
    struct conn *c = &h->conn[conn];
    bk_assert(c->state != CONN_FREE);
    stage(h, conn);
    size_t count = 0;
    for (uint32_t p = c->staged.first; p != NONE; p = h->chunk[p].next_packet) {
        for (uint32_t i = p; i != NONE && count < max; i = h->chunk[i].next) {
            const struct chunk *k = &h->chunk[i];
            if (k->off < k->end)
                pieces[count++] =
                    (struct relay_piece){chunk_data(h, i) + k->off, (size_t)k->end - k->off};
        }
    }
    if (count == 0)
        c->told_write = false;
    return count;
}

/* Takes `len` bytes off the packet's front; the emptied chunks stay until the packet goes. */
static void packet_consume(struct relay_hub *h, uint32_t packet, size_t len) {
    h->chunk[packet].bytes -= (uint32_t)len;
    for (uint32_t i = packet; len > 0; i = h->chunk[i].next) {
        struct chunk *k = &h->chunk[i];
        size_t n = (size_t)k->end - k->off;
        if (n > len)
            n = len;
        k->off = (uint16_t)(k->off + n);
        len -= n;
    }
}

void relay_hub_sent(struct relay_hub *h, uint32_t conn, size_t len, struct bk_time now) {
    struct conn *c = &h->conn[conn];
    h->now = bk_later(h->now, now);
    bk_assert(len <= c->staged_bytes);
    if (len == 0)
        return;
    c->taken += len;
    c->staged_bytes -= (uint32_t)len;
    while (len > 0) {
        uint32_t packet = c->staged.first;
        size_t bytes = h->chunk[packet].bytes;
        if (bytes > len) {
            packet_consume(h, packet, len);
            break;
        }
        len -= bytes;
        packet_free(h, packets_pop(h, &c->staged));
    }
    bool more = conn_has_output(c);
    if (!more)
        c->told_write = false;
    c->stalled_at = more ? bk_after(h->now, h->config.stall_us) : BK_NEVER;
    conn_schedule(h, conn);
}
