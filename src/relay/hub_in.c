/* SPDX-License-Identifier: MIT
 * What a connection says: frames out of bytes, the handshake, and the way of a packet. */
#include "relay/hub_int.h"

#include "base/wipe.h"
#include "box/box.h"
#include "relay/info.h"

#include <string.h>

static void partial_add(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    c->in_next = NONE;
    c->in_prev = h->in_last;
    if (h->in_last != NONE)
        h->conn[h->in_last].in_next = conn;
    else
        h->in_first = conn;
    h->in_last = conn;
}

static void partial_remove(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    if (c->in_prev != NONE)
        h->conn[c->in_prev].in_next = c->in_next;
    else
        h->in_first = c->in_next;
    if (c->in_next != NONE)
        h->conn[c->in_next].in_prev = c->in_prev;
    else
        h->in_last = c->in_prev;
}

/* The packet being read leaves the connection; the caller owns it. */
static uint32_t partial_take(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    uint32_t packet = c->in;
    if (packet == NONE)
        return NONE;
    h->in_chunks -= h->chunk[packet].count;
    partial_remove(h, conn);
    c->in = NONE;
    return packet;
}

void conn_in_done(struct relay_hub *h, uint32_t conn) {
    uint32_t packet = partial_take(h, conn);
    if (packet != NONE)
        packet_free(h, packet);
}

/* Half-sent frames may hold a quarter of the pool. Beyond that the oldest is given up: honest
 * frames are complete within a round trip, so it is most likely one that never will be. */
static void partial_limit(struct relay_hub *h, uint32_t except) {
    while (h->in_chunks > h->chunks / 4) {
        uint32_t oldest = h->in_first;
        if (oldest == except)
            oldest = h->conn[oldest].in_next;
        if (oldest == NONE)
            return;
        conn_in_done(h, oldest);
        h->conn[oldest].skip = true;
        count_drop(h, RELAY_DROP_QUEUE_TAIL, false);
    }
}

static bool type_is_packet(enum derp_type type) {
    return type == DERP_SEND_PACKET || type == DERP_FORWARD_PACKET;
}

/* Is a payload of this length acceptable from a client in this state? Frames that are skipped may
 * be as long as frames get; those that are kept must fit one chunk, packets apart. That departs
 * from Go's 256 KiB for ClientInfo: real ones have 200 bytes. */
static enum relay_close header_check(const struct conn *c) {
    size_t keys = c->type == DERP_FORWARD_PACKET ? 2 * DERP_KEY_LEN : DERP_KEY_LEN;
    if (c->state == CONN_HELLO)
        return c->type == DERP_CLIENT_INFO && c->body_len <= INFO_MAX ? RELAY_CLOSE_NOT
                                                                      : RELAY_CLOSE_HANDSHAKE;
    switch (c->type) {
    case DERP_SEND_PACKET:
        return c->body_len <= keys + DERP_PACKET_MAX ? RELAY_CLOSE_NOT : RELAY_CLOSE_PROTOCOL;
    case DERP_FORWARD_PACKET:
        if (!c->mesh)
            return RELAY_CLOSE_PERMISSION;
        return c->body_len <= keys + DERP_PACKET_MAX ? RELAY_CLOSE_NOT : RELAY_CLOSE_PROTOCOL;
    case DERP_WATCH_CONNS:
    case DERP_CLOSE_PEER:
        if (!c->mesh)
            return RELAY_CLOSE_PERMISSION;
        return c->body_len <= DERP_PING_MAX ? RELAY_CLOSE_NOT : RELAY_CLOSE_PROTOCOL;
    case DERP_PING:
    case DERP_PONG:
    case DERP_NOTE_PREFERRED:
        return c->body_len <= DERP_PING_MAX ? RELAY_CLOSE_NOT : RELAY_CLOSE_PROTOCOL;
    case DERP_CLIENT_INFO:
        return RELAY_CLOSE_PROTOCOL; /* one handshake is enough */
    case DERP_SERVER_KEY:
    case DERP_SERVER_INFO:
    case DERP_RECV_PACKET:
    case DERP_KEEP_ALIVE:
    case DERP_PEER_GONE:
    case DERP_PEER_PRESENT:
    case DERP_HEALTH:
    case DERP_RESTARTING:
    case DERP_UNKNOWN:
        return RELAY_CLOSE_NOT; /* skipped */
    }
    return RELAY_CLOSE_PROTOCOL;
}

static bool type_is_kept(const struct conn *c) {
    switch (c->type) {
    case DERP_CLIENT_INFO:
    case DERP_SEND_PACKET:
    case DERP_FORWARD_PACKET:
    case DERP_CLOSE_PEER:
    case DERP_PING:
    case DERP_NOTE_PREFERRED:
        return true;
    case DERP_SERVER_KEY:
    case DERP_SERVER_INFO:
    case DERP_RECV_PACKET:
    case DERP_KEEP_ALIVE:
    case DERP_PEER_GONE:
    case DERP_PEER_PRESENT:
    case DERP_WATCH_CONNS:
    case DERP_PONG:
    case DERP_HEALTH:
    case DERP_RESTARTING:
    case DERP_UNKNOWN:
        return false;
    }
    return false;
}

static bool mesh_key_matches(const struct relay_hub *h, const struct relay_info *info) {
    return h->config.mesh_key_set && info->mesh_key_known &&
           equal_secret(info->mesh_key, h->config.mesh_key, sizeof info->mesh_key);
}

static bool server_info_put(struct relay_hub *h, uint32_t conn, const uint8_t *client_key) {
    char json[128];
    uint8_t box[sizeof json + BOX_OVERHEAD], buf[sizeof box + DERP_HEADER_LEN];
    struct relay_info info = {.version = DERP_VERSION};
    struct text t = text_in(json, sizeof json);
    relay_info_put_server(&t, &info);
    if (box_seal(&h->rng, client_key, h->config.secret, (const uint8_t *)json, t.len, box) != BK_OK)
        return false;
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_server_info(&w, box, t.len + BOX_OVERHEAD);
    return ctl_put(h, conn, &w);
}

static enum relay_close handshake(struct relay_hub *h, uint32_t conn, const struct derp_frame *f) {
    struct conn *c = &h->conn[conn];
    uint8_t json[INFO_MAX];
    struct relay_info info;
    if (box_open(f->key, h->config.secret, f->data, f->len, json) != BK_OK)
        return RELAY_CLOSE_HANDSHAKE;
    enum bk_err err = relay_info_parse(json, f->len - BOX_OVERHEAD, &info);
    wipe(json, sizeof json); /* it may hold the mesh key */
    if (err != BK_OK || info.version < DERP_VERSION)
        return RELAY_CLOSE_HANDSHAKE;
    c->mesh = mesh_key_matches(h, &info);
    c->prober = info.is_prober;
    wipe(&info, sizeof info);
    if (!server_info_put(h, conn, f->key))
        return RELAY_CLOSE_RESOURCES;
    c->state = CONN_OPEN;
    c->hello_by = BK_NEVER;
    h->stats.handshakes++;
    return peer_join(h, conn, f->key) ? RELAY_CLOSE_NOT : RELAY_CLOSE_RESOURCES;
}

static void answer_ping(struct relay_hub *h, uint32_t conn, const struct derp_frame *f) {
    uint8_t buf[DERP_HEADER_LEN + DERP_QUIET_LEN];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    h->stats.pings++;
    if (f->quiet_s > 0) {
        h->conn[conn].quiet_s = f->quiet_s;
        keepalive_later(h, conn);
        conn_schedule(h, conn);
    }
    if (ctl_len(h, conn) > CTL_SOFT)
        return; /* it asks without listening */
    if (f->quiet_s > 0)
        derp_put_quiet_pong(&w, f->data, f->quiet_s);
    else
        derp_put_pong(&w, f->data);
    (void)ctl_put(h, conn, &w); /* no memory for a pong: the pinger will ask again */
}

static enum relay_close close_peer(struct relay_hub *h, const uint8_t *key) {
    uint32_t i = peer_find(h, key);
    for (uint32_t k = i == NONE ? NONE : h->peer[i].active; k != NONE; k = h->conn[k].same_next)
        conn_fail(h, k, RELAY_CLOSE_PEER);
    return RELAY_CLOSE_NOT;
}

/* A control frame whose payload is complete. */
static enum relay_close control_frame(struct relay_hub *h, uint32_t conn, uint32_t packet) {
    struct conn *c = &h->conn[conn];
    struct derp_frame f;
    const uint8_t *body = packet == NONE ? NULL : chunk_data(h, packet) + HOLE;
    enum bk_err err = derp_body_parse(c->type, body, packet == NONE ? 0 : c->body_len, &f);
    if (err != BK_OK)
        return c->state == CONN_HELLO ? RELAY_CLOSE_HANDSHAKE : RELAY_CLOSE_PROTOCOL;
    if (c->type == DERP_CLIENT_INFO)
        return handshake(h, conn, &f);
    if (c->type == DERP_PING)
        answer_ping(h, conn, &f);
    if (c->type == DERP_CLOSE_PEER)
        return close_peer(h, f.key);
    return RELAY_CLOSE_NOT;
}

/* Nobody has that key. Only senders of disco and signalling are told, and not often: everybody else
 * learns it by silence, so that a scan for keys learns slowly (Go server, the same figures). */
static void tell_not_here(struct relay_hub *h, uint32_t conn, const uint8_t *dst) {
    struct conn *c = &h->conn[conn];
    int64_t since_us = bk_elapsed_us(c->not_here_at, h->now);
    if (c->not_here_tokens < NOT_HERE_BURST && since_us >= BK_US_PER_S) {
        int64_t more = since_us / BK_US_PER_S + c->not_here_tokens;
        c->not_here_tokens = (uint8_t)(more < NOT_HERE_BURST ? more : NOT_HERE_BURST);
        c->not_here_at = h->now;
    }
    if (c->not_here_tokens == 0)
        return;
    if (c->not_here_tokens-- == NOT_HERE_BURST)
        c->not_here_at = h->now;
    h->stats.peer_gone_not_here++;
    ctl_peer_gone(h, conn, dst, DERP_GONE_NOT_HERE);
}

/* Puts the RecvPacket header in front of the data. The body starts at HOLE: a destination (32
 * bytes) that the source replaces, or on a forwarded packet source and destination. */
static void make_recv_header(struct relay_hub *h, uint32_t packet, const uint8_t *src,
                             bool forwarded) {
    uint8_t *data = chunk_data(h, packet);
    uint32_t key_at = forwarded ? HOLE + DERP_KEY_LEN : HOLE;
    uint32_t start = key_at - DERP_HEADER_LEN;
    memmove(data + key_at, src, DERP_KEY_LEN);
    packet_move_start(h, packet, start);
    struct wire_writer w = wire_writer(data + start, DERP_HEADER_LEN);
    derp_put_header(&w, DERP_RECV_PACKET, h->chunk[packet].bytes - DERP_HEADER_LEN);
}

/* For another hub: the keys wait in the hole until the caller fetches the event. */
static void forward(struct relay_hub *h, uint32_t src, uint32_t dst, uint32_t packet, bool urgent) {
    uint8_t *hole = chunk_data(h, packet);
    if (h->forward_chunks > h->chunks / 4) {
        packet_free(h, packet);
        count_drop(h, RELAY_DROP_QUEUE_TAIL, urgent);
        return;
    }
    memcpy(hole, h->peer[src].key, DERP_KEY_LEN);
    memcpy(hole + DERP_KEY_LEN, &h->peer[dst].remote, sizeof h->peer[dst].remote);
    h->forward_chunks += h->chunk[packet].count;
    packets_push(h, &h->forward, packet);
    h->stats.forwarded_out++;
}

static void unroutable(struct relay_hub *h, uint32_t from, const uint8_t *dst, uint32_t packet,
                       bool urgent, bool forwarded) {
    count_drop(h, forwarded ? RELAY_DROP_UNKNOWN_DEST_ON_FWD : RELAY_DROP_UNKNOWN_DEST, urgent);
    if (urgent && from != NONE && !forwarded)
        tell_not_here(h, from, dst);
    packet_free(h, packet);
}

/* Takes `packet`, whose body starts at HOLE, from peer `src` (read from connection `from`, or NONE)
 * to whoever has the key `dst`. */
static void route_packet(struct relay_hub *h, uint32_t src, uint32_t from, uint32_t packet,
                         bool forwarded, const uint8_t *dst) {
    uint32_t keys = forwarded ? 2 * DERP_KEY_LEN : DERP_KEY_LEN;
    bool urgent = packet_is_urgent(h, packet, keys);
    uint32_t to = peer_find(h, dst);
    const struct peer *p = to == NONE ? NULL : &h->peer[to];
    h->stats.packets_in++;
    h->stats.bytes_in += h->chunk[packet].bytes - keys;
    if (from != NONE && to != NONE)
        pause_note(h, from, to);
    if (p != NULL && p->active != NONE && (forwarded || !p->remote_newer)) {
        uint32_t edge = edge_get(h, src, p->active);
        if (edge == NONE) {
            packet_free(h, packet);
            count_drop(h, RELAY_DROP_QUEUE_TAIL, urgent);
            return;
        }
        const uint8_t *key = chunk_data(h, packet) + HOLE;
        make_recv_header(h, packet, forwarded ? key : h->peer[src].key, forwarded);
        queue_packet(h, edge, urgent ? LANE_URGENT : LANE_BULK, packet);
        if (from != NONE)
            pause_consider(h, from, edge);
        else if (h->config.announce)
            pressure_consider(h, edge);
    } else if (p != NULL && p->remote != NONE && !forwarded) {
        if (from != NONE)
            pause_burst(h, from, h->chunk[packet].bytes);
        forward(h, src, to, packet, urgent);
    } else {
        unroutable(h, from, dst, packet, urgent, forwarded);
    }
}

static enum relay_close packet_frame(struct relay_hub *h, uint32_t conn, uint32_t packet) {
    struct conn *c = &h->conn[conn];
    bool forwarded = c->type == DERP_FORWARD_PACKET;
    uint8_t dst[DERP_KEY_LEN];
    uint32_t keys = forwarded ? 2 * DERP_KEY_LEN : DERP_KEY_LEN;
    if (c->body_len < keys) {
        packet_free(h, packet);
        return RELAY_CLOSE_PROTOCOL;
    }
    const uint8_t *body = chunk_data(h, packet) + HOLE;
    memcpy(dst, body + keys - DERP_KEY_LEN, sizeof dst);
    uint32_t src = c->peer;
    if (forwarded) {
        uint32_t known = peer_find(h, body);
        src = known != NONE && peer_is_here(&h->peer[known]) ? known : ANONYMOUS;
        h->stats.forwarded_in++;
    }
    route_packet(h, src, conn, packet, forwarded, dst);
    return RELAY_CLOSE_NOT;
}

static void take_tokens(struct relay_hub *h, struct conn *c) {
    if (h->config.rate_bytes_per_s > 0 && !c->mesh)
        c->tokens -= (int64_t)(DERP_HEADER_LEN + c->body_len);
}

static void frame_done(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    uint32_t packet = partial_take(h, conn);
    enum relay_close close = RELAY_CLOSE_NOT;
    c->head_len = 0;
    if (c->state == CONN_OPEN) {
        peer_heard(h, conn);
        take_tokens(h, c);
    }
    if (c->type == DERP_UNKNOWN)
        h->stats.unknown_frames++;
    if (c->skip) {
        c->skip = false;
    } else if (packet != NONE && type_is_packet(c->type)) {
        close = packet_frame(h, conn, packet);
        packet = NONE;
    } else if (type_is_kept(c)) {
        close = control_frame(h, conn, packet);
    } else if (c->type == DERP_WATCH_CONNS) {
        if (c->body_len != 0)
            close = RELAY_CLOSE_PROTOCOL;
        else
            watch_start(h, conn);
    }
    if (packet != NONE)
        packet_free(h, packet);
    if (close != RELAY_CLOSE_NOT)
        conn_fail(h, conn, close);
}

/* The header is complete: make room for what must be kept. */
static void frame_start(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    struct derp_header head;
    if (derp_header_parse(c->head, sizeof c->head, &head) != BK_OK) {
        conn_fail(h, conn, RELAY_CLOSE_PROTOCOL);
        return;
    }
    c->type = head.type;
    c->body_len = head.len;
    c->body_have = 0;
    enum relay_close close = header_check(c);
    if (close != RELAY_CLOSE_NOT) {
        conn_fail(h, conn, close);
        return;
    }
    if (!type_is_kept(c))
        return;
    c->in = packet_new(h, HOLE, type_is_packet(c->type) ? pool_reserve(h) : 0);
    if (c->in != NONE) {
        partial_add(h, conn);
        h->in_chunks++;
        partial_limit(h, conn);
    } else if (type_is_packet(c->type)) {
        c->skip = true;
        count_drop(h, RELAY_DROP_QUEUE_TAIL, false);
    } else {
        conn_fail(h, conn, RELAY_CLOSE_RESOURCES);
    }
}

static size_t body_recv(struct relay_hub *h, uint32_t conn, const uint8_t *data, size_t len) {
    struct conn *c = &h->conn[conn];
    size_t want = (size_t)c->body_len - c->body_have;
    size_t n = len < want ? len : want;
    c->body_have += (uint32_t)n;
    if (c->in == NONE)
        return n;
    uint32_t before = h->chunk[c->in].count;
    bool ok = packet_append(h, c->in, data, n, pool_reserve(h));
    h->in_chunks += h->chunk[c->in].count - before;
    if (!ok) {
        conn_in_done(h, conn);
        c->skip = true;
        count_drop(h, RELAY_DROP_QUEUE_TAIL, false);
    }
    partial_limit(h, conn);
    return n;
}

static size_t head_recv(struct relay_hub *h, uint32_t conn, const uint8_t *data, size_t len) {
    struct conn *c = &h->conn[conn];
    size_t want = sizeof c->head - (size_t)c->head_len;
    size_t n = len < want ? len : want;
    memcpy(c->head + c->head_len, data, n);
    c->head_len = (uint8_t)(c->head_len + n);
    if (c->head_len == sizeof c->head)
        frame_start(h, conn);
    return n;
}

static bool conn_is_live(const struct conn *c) {
    return c->state == CONN_HELLO || c->state == CONN_OPEN;
}

/* Fills the bucket for the time passed, and sets when the connection may read again if it is empty.
 */
static void rate_advance(struct relay_hub *h, struct conn *c) {
    uint64_t rate = h->config.rate_bytes_per_s;
    int64_t burst = (int64_t)h->config.rate_burst_bytes;
    if (rate == 0 || c->mesh)
        return;
    int64_t since_us = bk_elapsed_us(c->tokens_at, h->now);
    if (since_us > 60 * BK_US_PER_S)
        since_us = 60 * BK_US_PER_S; /* keeps the product below small */
    int64_t more = (int64_t)((uint64_t)since_us * rate / (uint64_t)BK_US_PER_S);
    if (more > 0) {
        c->tokens = c->tokens + more < burst ? c->tokens + more : burst;
        c->tokens_at = h->now;
    }
    c->rate_until = BK_NEVER;
    if (c->tokens < 0) {
        uint64_t missing = (uint64_t)-c->tokens; /* cppcheck-suppress signConversionCond ; < 0 */
        c->rate_until = bk_after(h->now, (int64_t)(missing * (uint64_t)BK_US_PER_S / rate) + 1);
    }
}

void rate_tick(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    bool was = bk_is_never(c->rate_until);
    rate_advance(h, c);
    if (was != bk_is_never(c->rate_until)) {
        c->retell = true;
        conn_wake(h, conn);
    }
}

void relay_hub_recv(struct relay_hub *h, uint32_t conn, const uint8_t *data, size_t len,
                    struct bk_time now) {
    struct conn *c = &h->conn[conn];
    bk_assert(c->state != CONN_FREE);
    h->now = bk_later(h->now, now);
    while (len > 0 && conn_is_live(c)) {
        size_t n = c->head_len < sizeof c->head ? head_recv(h, conn, data, len)
                                                : body_recv(h, conn, data, len);
        data += n;
        len -= n;
        if (conn_is_live(c) && c->head_len == sizeof c->head && c->body_have == c->body_len)
            frame_done(h, conn);
    }
    rate_tick(h, conn);
    conn_schedule(h, conn);
}

void relay_hub_remote_packet(struct relay_hub *h, const uint8_t src[RELAY_HUB_KEY_LEN],
                             const uint8_t dst[RELAY_HUB_KEY_LEN], const uint8_t *data, size_t len,
                             struct bk_time now) {
    h->now = bk_later(h->now, now);
    h->stats.forwarded_in++;
    uint32_t known = peer_find(h, src);
    uint32_t packet = packet_new(h, HOLE, pool_reserve(h));
    bool ok = packet != NONE && len <= DERP_PACKET_MAX &&
              packet_append(h, packet, src, DERP_KEY_LEN, 0) &&
              packet_append(h, packet, dst, DERP_KEY_LEN, 0) &&
              packet_append(h, packet, data, len, pool_reserve(h));
    if (!ok) {
        if (packet != NONE)
            packet_free(h, packet);
        count_drop(h, RELAY_DROP_QUEUE_TAIL, derp_is_urgent(data, len));
        return;
    }
    bool usable = known != NONE && peer_is_here(&h->peer[known]);
    route_packet(h, usable ? known : ANONYMOUS, NONE, packet, true, dst);
}
