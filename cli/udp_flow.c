/* SPDX-License-Identifier: MIT */
#include "cli/udp_flow.h"

#include "wire/reader.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_LEN = 4, /* in front of a QUIC datagram: the stream's number */
    LENGTH_LEN = 2, /* in front of a frame on the stream */
    FRAME_MAX = LENGTH_LEN + UINT16_MAX
};

enum bk_err udp_flows_init(struct udp_flows *u, struct net_loop *loop,
                           void (*on_open)(void *ctx, struct udp_flow *f, bool ok),
                           void (*on_moved)(void *ctx), void *ctx) {
    *u = (struct udp_flows){.loop = loop, .on_open = on_open, .on_moved = on_moved, .ctx = ctx};
    u->flows = calloc(UDP_FLOWS_MAX, sizeof *u->flows);
    return u->flows == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

void udp_flows_fini(struct udp_flows *u) {
    for (size_t i = 0; u->flows != NULL && i < UDP_FLOWS_MAX; i++)
        udp_flow_close(&u->flows[i]);
    free(u->flows);
    u->flows = NULL;
}

static struct udp_flow *free_flow(struct udp_flows *u) {
    for (size_t i = 0; i < UDP_FLOWS_MAX; i++)
        if (u->flows[i].owner == NULL)
            return &u->flows[i];
    return NULL;
}

struct udp_flow *udp_flow_of_client(struct udp_flows *u, struct net_udp *udp,
                                    const struct bk_datagram *in, struct bk_time now) {
    for (size_t i = 0; i < UDP_FLOWS_MAX; i++) {
        struct udp_flow *f = &u->flows[i];
        if (f->owner != NULL && f->udp == udp && bk_addr_equal(&f->remote, &in->remote))
            return f;
    }
    struct udp_flow *f = free_flow(u);
    if (f == NULL)
        return NULL;
    *f = (struct udp_flow){
        .owner = u, .udp = udp, .local = in->local, .remote = in->remote, .used = now};
    return f;
}

struct udp_flow *udp_flow_of_stream(struct udp_flows *u, const struct session *s, int64_t stream) {
    for (size_t i = 0; u->flows != NULL && i < UDP_FLOWS_MAX; i++) {
        struct udp_flow *f = &u->flows[i];
        if (f->owner != NULL && f->session == s && f->stream == stream)
            return f;
    }
    return NULL;
}

struct udp_flow *udp_flow_take(struct udp_flows *u, struct session *s, int64_t stream,
                               struct bk_time now) {
    struct udp_flow *f = free_flow(u);
    if (f != NULL)
        *f = (struct udp_flow){.owner = u, .session = s, .stream = stream, .used = now};
    return f;
}

void udp_flow_close(struct udp_flow *f) {
    if (f->owner == NULL)
        return;
    net_resolve_cancel(f->resolve);
    if (f->owns_udp)
        net_udp_close(f->udp);
    free(f->frame);
    *f = (struct udp_flow){.owner = NULL};
}

void udp_flow_hang_up(struct udp_flow *f) {
    if (f->session == NULL)
        return;
    quic_stream_reset(session_quic(f->session), f->stream, 0);
    quic_stream_stop(session_quic(f->session), f->stream, 0);
    f->owner->on_moved(f->owner->ctx);
}

/* --- the listener's socket --- */

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct udp_flow *f = ctx;
    for (size_t i = 0; i < n; i++)
        if (bk_addr_equal(&in[i].remote, &f->remote)) /* nobody else may answer */
            udp_flow_to_peer(f, in[i].data, in[i].len, now);
    f->owner->on_moved(f->owner->ctx);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    struct udp_flow *f = ctx;
    const struct net_udp_events events = {.on_batch = on_batch, .ctx = f};
    f->resolve = NULL;
    if (err == BK_OK && n > 0) {
        struct bk_addr any = {.ip = {.family = addrs[0].ip.family}};
        f->remote = addrs[0];
        f->local = any;
        f->owns_udp =
            net_udp_open(f->owner->loop, &any, &net_udp_config_default, &events, &f->udp) == BK_OK;
    }
    f->owner->on_open(f->owner->ctx, f, f->owns_udp);
}

void udp_flow_open(struct udp_flow *f, const char *host, uint16_t port) {
    if (net_resolve(f->owner->loop, host, port, on_resolved, f, &f->resolve) == BK_OK)
        return;
    f->resolve = NULL;
    f->owner->on_open(f->owner->ctx, f, false);
}

/* --- to the peer --- */

static bool send_datagram(struct udp_flow *f, const uint8_t *data, size_t len) {
    uint8_t buf[QUIC_PAYLOAD_MAX];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    wire_put_u32(&w, (uint32_t)(f->stream / 4));
    wire_put_bytes(&w, data, len);
    return !w.failed && quic_datagram_send(session_quic(f->session), buf, w.len) == BK_OK;
}

static bool send_frame(struct udp_flow *f, const uint8_t *data, size_t len) {
    struct quic *quic = session_quic(f->session);
    const uint8_t header[LENGTH_LEN] = {(uint8_t)(len >> 8), (uint8_t)len};
    if (len > UINT16_MAX || quic_stream_room(quic, f->stream) < LENGTH_LEN + len)
        return false;
    return quic_stream_write(quic, f->stream, header, sizeof header) == sizeof header &&
           quic_stream_write(quic, f->stream, data, len) == len;
}

void udp_flow_to_peer(struct udp_flow *f, const uint8_t *data, size_t len, struct bk_time now) {
    f->used = now;
    if (f->session == NULL) {
        f->owner->dropped++;
        return;
    }
    bool brief = NUMBER_LEN + len <= quic_datagram_max(QUIC_PAYLOAD_MIN); /* fits every path */
    if (!(f->answered && brief ? send_datagram(f, data, len) : send_frame(f, data, len)))
        f->owner->dropped++;
}

/* --- from the peer --- */

static void to_network(struct udp_flow *f, const uint8_t *data, size_t len, struct bk_time now) {
    const struct bk_datagram out = {
        .local = f->local, .remote = f->remote, .data = data, .len = len};
    f->used = now;
    if (f->udp == NULL || net_udp_send(f->udp, &out) != BK_OK)
        f->owner->dropped++;
}

static void read_datagram(struct udp_flows *u, struct session *s, const uint8_t *data, size_t len,
                          struct bk_time now) {
    struct wire_reader r = wire_reader(data, len);
    int64_t stream = (int64_t)wire_u32(&r) * 4; /* flows are opened by the QUIC client: ids 0, 4 */
    struct udp_flow *f = r.failed ? NULL : udp_flow_of_stream(u, s, stream);
    size_t left = wire_left(&r);
    if (f != NULL)
        to_network(f, wire_bytes(&r, left), left, now);
    else
        u->dropped++;
}

/* The length of a whole frame, or of what must be read to know it. */
static size_t frame_length(const struct udp_flow *f) {
    if (f->frame_len < LENGTH_LEN)
        return LENGTH_LEN;
    return LENGTH_LEN + ((size_t)f->frame[0] << 8 | f->frame[1]);
}

static void read_frames(struct udp_flow *f, struct bk_time now) {
    const uint8_t *data;
    size_t len;
    struct quic *quic = session_quic(f->session);
    while (quic_stream_peek(quic, f->stream, &data, &len) && len > 0) {
        if (f->frame == NULL)
            f->frame = calloc(1, FRAME_MAX);
        if (f->frame == NULL)
            return;
        size_t want = frame_length(f) - f->frame_len;
        size_t n = len < want ? len : want;
        memcpy(f->frame + f->frame_len, data, n);
        f->frame_len += n;
        quic_stream_consume(quic, f->stream, n);
        if (f->frame_len < LENGTH_LEN || f->frame_len < frame_length(f))
            continue;
        to_network(f, f->frame + LENGTH_LEN, f->frame_len - LENGTH_LEN, now);
        f->frame_len = 0;
    }
}

void udp_flows_from_peer(struct udp_flows *u, struct session *s, struct bk_time now) {
    const uint8_t *data;
    size_t len;
    if (u->flows == NULL)
        return;
    while (quic_datagram_peek(session_quic(s), &data, &len)) {
        read_datagram(u, s, data, len, now);
        quic_datagram_drop(session_quic(s));
    }
    for (size_t i = 0; i < UDP_FLOWS_MAX; i++) {
        struct udp_flow *f = &u->flows[i];
        if (f->owner != NULL && f->session == s && f->answered)
            read_frames(f, now);
    }
}

void udp_flows_expire(struct udp_flows *u, const struct session *gone, struct bk_time now) {
    for (size_t i = 0; u->flows != NULL && i < UDP_FLOWS_MAX; i++) {
        struct udp_flow *f = &u->flows[i];
        if (f->owner == NULL)
            continue;
        bool idle = bk_elapsed_us(f->used, now) > UDP_FLOW_IDLE_S * BK_US_PER_S;
        bool over = gone != NULL && f->session == gone;
        if (idle && !over)
            udp_flow_hang_up(f);
        if (idle || over)
            udp_flow_close(f);
    }
}
