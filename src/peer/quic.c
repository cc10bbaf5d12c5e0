/* SPDX-License-Identifier: MIT
 * The connection object: creation, packets and time in, deadline and statistics out. */
#include <base/assert.h>
#include <peer/quic_internal.h>
#include <string.h>

const struct quic_config quic_config_default = {
    .handshake_timeout_ms = 30000,
    .idle_timeout_ms = 60000,
    .keep_alive_ms = 0,
    .initial_rtt_ms = 333,
    .congestion = QUIC_CUBIC,
    .streams_max = 256,
    .stream_window_max = UINT64_C(32) << 20, /* ngtcp2 renews half a window at a time: 1 Gbit/s over
                                               100 ms (12.5 MB) needs twice that */
    .window_max = UINT64_C(48) << 20,
    .stream_send_max = UINT64_C(16) << 20,
    .stream_unsent_max = UINT64_C(1) << 20,
    .send_max = UINT64_C(48) << 20,
    .datagram_queue_max = 256 << 10,
};

enum { CLOCK_START_NS = 1000000000 }; /* ngtcp2 takes 0 for "not set" in places */

static bool config_is_good(const struct quic_config *c) {
    return c->identity != NULL && c->rng.fill != NULL && c->alloc.get != NULL &&
           c->streams_max >= 1 && c->streams_max <= 65536 && c->stream_window_max >= 4096 &&
           c->window_max >= c->stream_window_max && c->stream_send_max >= 4096 &&
           c->stream_unsent_max >= 4096 && c->send_max >= c->stream_send_max &&
           c->datagram_queue_max >= 4096 && c->datagram_queue_max <= 64 << 20 &&
           c->handshake_timeout_ms >= 1 && c->initial_rtt_ms >= 1;
}

enum bk_err quic_new(const struct quic_config *config, struct bk_time now, struct quic **out) {
    if (!config_is_good(config))
        return BK_ERR_ARGUMENT;
    struct quic *q = config->alloc.get(config->alloc.ctx, sizeof *q);
    if (q == NULL)
        return BK_ERR_NO_MEMORY;
    q->config = *config;
    q->origin = q->now = now;
    quic_ccerr_default(&q->ccerr);
    enum bk_err e = quic_streams_init(q);
    if (e == BK_OK)
        e = quic_tls_init(q);
    if (e == BK_OK && !config->server)
        e = quic_conn_client(q, quic_clock(q, now));
    if (e != BK_OK) {
        quic_free(q);
        return e;
    }
    *out = q;
    return BK_OK;
}

void quic_free(struct quic *q) {
    if (q == NULL)
        return;
    if (q->conn != NULL)
        ngtcp2_conn_del(q->conn);
    q->conn = NULL;
    q->state = QUIC_FINISHED; /* not a transition: nothing may call into the connection any more */
    quic_tls_fini(q);
    quic_streams_fini(q);
    quic_datagrams_fini(q);
    struct bk_alloc alloc = q->config.alloc;
    alloc.put(alloc.ctx, q);
}

uint64_t quic_clock(struct quic *q, struct bk_time now) {
    if (!bk_is_never(now))
        q->now = bk_later(q->now, now);
    return (uint64_t)bk_elapsed_us(q->origin, q->now) * 1000 + CLOCK_START_NS + q->warp_ns;
}

bool quic_tag(const uint8_t *data, size_t len, uint32_t *tag) {
    if (len < 1 || (data[0] & 0x40) == 0)
        return false;
    bool is_long = (data[0] & 0x80) != 0;
    size_t at = is_long ? 6 : 1; /* RFC 9000 sections 17.2 and 17.3.1 */
    if (len < at + QUIC_TAG_LEN || (is_long && data[5] < QUIC_TAG_LEN))
        return false;
    const uint8_t *p = data + at;
    *tag = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return true;
}

/* --- packets in --- */

/* Only a first packet that carries the agreed binding gets a connection; see struct quic_config. */
static bool first_is_ours(const struct quic *q, const ngtcp2_pkt_hd *hd) {
    return hd->version == NGTCP2_PROTO_VER_V1 && hd->dcid.datalen == QUIC_FIRST_CID_LEN &&
           memcmp(hd->dcid.data + QUIC_TAG_LEN, q->config.binding, QUIC_BINDING_LEN) == 0;
}

static enum bk_err accept_first(struct quic *q, const uint8_t *data, size_t len, uint64_t ts) {
    ngtcp2_pkt_hd hd;
    if (ngtcp2_accept(&hd, data, len) != 0 || !first_is_ours(q, &hd)) {
        q->stats.packets_dropped++;
        return BK_ERR_NOT_OURS;
    }
    return quic_conn_server(q, &hd, ts);
}

/* The first packet had the right address and nothing else: forget it and wait for the real one. */
static enum bk_err back_to_idle(struct quic *q) {
    ngtcp2_conn_del(q->conn);
    q->conn = NULL;
    q->early_keys = false;
    q->stats.packets_dropped++;
    quic_set_state(q, QUIC_IDLE);
    enum bk_err e = quic_tls_init(q);
    if (e != BK_OK)
        quic_timed_out(q, "the TLS library failed");
    return BK_ERR_NOT_OURS;
}

static enum bk_err read_packet(struct quic *q, const uint8_t *data, size_t len, uint64_t ts) {
    ngtcp2_path path;
    ngtcp2_pkt_info info = {0};
    quic_path(q, &path);
    uint64_t before = quic_packets_opened();
    int r = ngtcp2_conn_read_pkt(q->conn, &path, &info, data, len, ts);
    if (r == 0 && quic_packets_opened() == before) {
        q->stats.packets_dropped++; /* ngtcp2 is silent about packets that do not decrypt */
        return BK_ERR_NOT_OURS;
    }
    q->stats.packets_received++;
    q->stats.bytes_received += len;
    if (r == 0)
        return BK_OK;
    if (r == NGTCP2_ERR_DRAINING) {
        quic_peer_closed(q);
        return BK_OK;
    }
    if (r == NGTCP2_ERR_DROP_CONN || r == NGTCP2_ERR_RETRY)
        return back_to_idle(q);
    quic_fail(q, r);
    return BK_ERR_MALFORMED;
}

/* RFC 9000 section 10.2.1: answer late packets with the close packet, ever less often. */
static enum bk_err recv_closing(struct quic *q) {
    q->close_answers++;
    if (q->state == QUIC_CLOSING && (q->close_answers & (q->close_answers - 1)) == 0)
        q->want_close_packet = true;
    return BK_ERR_CLOSED;
}

enum bk_err quic_recv(struct quic *q, const uint8_t *data, size_t len, struct bk_time now) {
    uint64_t ts = quic_clock(q, now);
    uint32_t tag = 0;
    if (!quic_tag(data, len, &tag) || tag != q->config.local_tag) {
        q->stats.packets_dropped++;
        return BK_ERR_NOT_OURS;
    }
    if (q->state != QUIC_IDLE && q->state != QUIC_OPEN && q->state != QUIC_LEAVING)
        return recv_closing(q);
    if (q->state == QUIC_IDLE) {
        enum bk_err e = accept_first(q, data, len, ts);
        if (e != BK_OK)
            return e;
    }
    enum bk_err e = read_packet(q, data, len, ts);
    if (q->state == QUIC_LEAVING && q->confirmed)
        quic_leave(q);
    return e;
}

enum bk_err quic_recv_train(struct quic *q, const uint8_t *data, size_t len, size_t segment,
                            struct bk_time now) {
    enum bk_err first = BK_OK;
    if (segment == 0)
        segment = len;
    for (size_t at = 0; at < len; at += segment) {
        size_t n = len - at < segment ? len - at : segment;
        enum bk_err e = quic_recv(q, data + at, n, now);
        if (first == BK_OK)
            first = e;
    }
    return first;
}

/* --- time --- */

static struct bk_time handshake_deadline(const struct quic *q) {
    return bk_after(q->origin, (int64_t)q->config.handshake_timeout_ms * BK_US_PER_MS);
}

static void advance_conn(struct quic *q, uint64_t ts) {
    if (ngtcp2_conn_get_expiry(q->conn) > ts)
        return;
    int r = ngtcp2_conn_handle_expiry(q->conn, ts);
    if (r != 0)
        quic_fail(q, r);
}

void quic_advance(struct quic *q, struct bk_time now) {
    uint64_t ts = quic_clock(q, now);
    switch (q->state) {
    case QUIC_IDLE:
        if (bk_due(handshake_deadline(q), q->now))
            quic_timed_out(q, "the peer's first packet never came");
        return;
    case QUIC_OPEN:
        advance_conn(q, ts);
        return;
    case QUIC_LEAVING:
        if (bk_due(q->close_deadline, q->now))
            quic_leave(q);
        else
            advance_conn(q, ts);
        return;
    case QUIC_CLOSING:
    case QUIC_DRAINING:
        if (bk_due(q->close_deadline, q->now))
            quic_set_state(q, QUIC_FINISHED);
        return;
    case QUIC_FINISHED:
    case QUIC_STATES:
        return;
    }
}

static struct bk_time open_deadline(const struct quic *q) {
    uint64_t expiry = ngtcp2_conn_get_expiry(q->conn);
    uint64_t zero = CLOCK_START_NS + q->warp_ns;
    if (expiry >= (uint64_t)INT64_MAX)
        return BK_NEVER;
    if (expiry <= zero)
        return q->now;
    return bk_later(q->now, bk_after(q->origin, (int64_t)((expiry - zero + 999) / 1000)));
}

struct bk_time quic_deadline(const struct quic *q) {
    switch (q->state) {
    case QUIC_IDLE:
        return handshake_deadline(q);
    case QUIC_OPEN:
        return open_deadline(q);
    case QUIC_LEAVING:
        return bk_earlier(open_deadline(q), q->close_deadline);
    case QUIC_CLOSING:
    case QUIC_DRAINING:
        return q->close_deadline;
    case QUIC_FINISHED:
    case QUIC_STATES:
        break;
    }
    return BK_NEVER;
}

/* Where ngtcp2 does not let time go back, the jump is for good: packets in flight look older by it,
 * and one of them, if acknowledged after all, gives a round-trip sample that is too long by it. So
 * not before the first sample, which would count in full, and not by more than half the idle
 * timeout. */
static bool jump_for_good(struct quic *q, uint64_t by) {
    quic_conn_info info;
    quic_get_conn_info(q->conn, &info);
    uint64_t limit = (uint64_t)q->config.idle_timeout_ms * NGTCP2_MILLISECONDS / 2;
    if (info.min_rtt == UINT64_MAX || (limit != 0 && by > limit))
        return false;
    q->warp_ns += by;
    return true;
}

/* ngtcp2 offers no way to send a probe before its timer, and the timer doubles with every silent
 * probe (RFC 9002 section 6.2.1). But we own its clock: show it the moment the timer would fire,
 * and go back to the present. If the idle timer would fire first, nothing happens. */
void quic_nudge(struct quic *q, struct bk_time now) {
    uint64_t ts = quic_clock(q, now);
    if (q->state != QUIC_OPEN)
        return;
    uint64_t timer = quic_loss_timer(q->conn);
    if (timer == UINT64_MAX)
        return;
    if (timer <= ts) {
        quic_advance(q, now);
        return;
    }
    if (!quic_time_may_step_back() && !jump_for_good(q, timer - ts))
        return;
    int r = ngtcp2_conn_handle_expiry(q->conn, timer);
    if (r != 0 && r != NGTCP2_ERR_IDLE_CLOSE && r != NGTCP2_ERR_HANDSHAKE_TIMEOUT)
        quic_fail(q, r);
}

/* --- what it looks like --- */

bool quic_is_established(const struct quic *q) {
    return q->state == QUIC_OPEN && q->handshake_done;
}

bool quic_is_finished(const struct quic *q) {
    return q->state == QUIC_FINISHED;
}

static void stats_of_conn(const struct quic *q, struct quic_stats *out) {
    quic_conn_info info;
    memset(&info, 0, sizeof info);
    quic_get_conn_info(q->conn, &info);
    bool sampled = info.min_rtt != UINT64_MAX;
    out->srtt_us = sampled ? (int64_t)(info.smoothed_rtt / 1000) : 0;
    out->min_rtt_us = sampled ? (int64_t)(info.min_rtt / 1000) : 0;
    out->rttvar_us = sampled ? (int64_t)(info.rttvar / 1000) : 0;
    out->cwnd = info.cwnd;
    out->ssthresh = info.ssthresh;
    out->bytes_in_flight = info.bytes_in_flight;
}

void quic_stats(const struct quic *q, struct quic_stats *out) {
    *out = q->stats;
    out->buffered_send = q->buffered_send;
    if (q->conn == NULL)
        return;
    stats_of_conn(q, out);
    for (uint32_t i = 0; i < q->slot_count; i++)
        if (q->slots[i] != NULL && !q->slots[i]->forgotten)
            out->packets_lost += ngtcp2_conn_get_stream_loss_count(q->conn, q->slots[i]->id);
}

void quic_rtt(const struct quic *q, int64_t *srtt_us, int64_t *rttvar_us) {
    struct quic_stats stats = {0};
    if (q->conn != NULL)
        stats_of_conn(q, &stats);
    *srtt_us = stats.srtt_us;
    *rttvar_us = stats.rttvar_us;
}
