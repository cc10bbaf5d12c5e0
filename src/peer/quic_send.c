/* SPDX-License-Identifier: MIT
 * Packets out. One packet is filled from the datagram queue and from as many streams as fit;
 * packets of one size make a train, which leaves with one system call (UDP_SEGMENT). On loopback a
 * train brings 10-13 Gbit/s where single packets bring 2.6 (ngtcp2 0.12.1, 2 cores, payload 1400).
 */
#include <base/assert.h>
#include <peer/quic_internal.h>

enum {
    TRAIN_PACKETS_MAX = 44, /* 44 x 1452 is what one UDP_SEGMENT send may carry */
    RUNS_MAX = 3,           /* a packet's bytes cross at most one chunk border */
    FRAMES_MAX = 64         /* frames we offer for one packet: a bound, not a target */
};

/* What one write attempt did. */
enum step { STEP_MORE, STEP_PACKET, STEP_SKIP };

struct packet {
    uint8_t *buf;
    size_t cap;
    uint64_t ts;
    ngtcp2_ssize len;  /* of the finished packet, 0, or a fatal error */
    bool no_data;      /* the connection's flow control credit is used up */
    bool no_datagrams; /* the next datagram does not fit this packet */
};

static size_t gather(const struct quic_stream *s, size_t max, ngtcp2_vec runs[RUNS_MAX],
                     size_t *count) {
    struct fifo_mark mark = s->mark;
    size_t total = 0;
    *count = 0;
    while (*count < RUNS_MAX && total < max) {
        size_t len = 0;
        uint8_t *run = fifo_run(&mark, max - total, &len);
        if (run == NULL)
            break;
        runs[(*count)++] = (ngtcp2_vec){run, len};
        total += len;
    }
    return total;
}

static enum step settle(struct packet *p, ngtcp2_ssize r) {
    if (r == NGTCP2_ERR_WRITE_MORE)
        return STEP_MORE;
    p->len = r;
    return STEP_PACKET;
}

static enum step blocked(struct quic *q, struct quic_stream *s, struct packet *p, int r) {
    if (r == NGTCP2_ERR_STREAM_DATA_BLOCKED &&
        ngtcp2_conn_get_max_stream_data_left(q->conn, s->id) != 0) {
        p->no_data = true; /* not this stream's window but the connection's */
        return STEP_SKIP;
    }
    /* ngtcp2 has no callback for the peer's STOP_SENDING: it refuses the next write, that is all.
     */
    if (r == NGTCP2_ERR_STREAM_SHUT_WR)
        quic_stream_peer_stopped(q, s);
    s->flow_blocked = r == NGTCP2_ERR_STREAM_DATA_BLOCKED;
    quic_stream_unready(q, s);
    return STEP_SKIP;
}

static enum step put_stream(struct quic *q, struct quic_stream *s, struct packet *p) {
    ngtcp2_vec runs[RUNS_MAX];
    size_t count = 0;
    size_t total = s->unsent == 0 ? 0 : gather(s, p->cap, runs, &count);
    bool end = s->tx == TX_FINISHING && total == s->unsent;
    uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE | (end ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0u);
    ngtcp2_ssize took = -1;
    ngtcp2_ssize r = ngtcp2_conn_writev_stream(q->conn, NULL, NULL, p->buf, p->cap, &took, flags,
                                               s->id, runs, count, p->ts);
    if (r == NGTCP2_ERR_STREAM_DATA_BLOCKED || r == NGTCP2_ERR_STREAM_NOT_FOUND ||
        r == NGTCP2_ERR_STREAM_SHUT_WR)
        return blocked(q, s, p, (int)r);
    if (took >= 0)
        quic_stream_sent(q, s, (size_t)took, end && (size_t)took == total);
    return settle(p, r);
}

static enum step put_datagram(struct quic *q, ngtcp2_vec *dgram, struct packet *p) {
    int accepted = 0;
    ngtcp2_ssize r = ngtcp2_conn_writev_datagram(
        q->conn, NULL, NULL, p->buf, p->cap, &accepted, NGTCP2_WRITE_DATAGRAM_FLAG_MORE,
        q->dgram_id, dgram, dgram->len > 0 ? 1 : 0, p->ts); /* asserts that runs are not empty */
    if (accepted != 0) {
        q->dgram_id++;
        q->stats.datagrams_sent++;
        quic_datagram_out_done(q);
    }
    return settle(p, r);
}

static enum step put_nothing(struct quic *q, struct packet *p) {
    p->len = ngtcp2_conn_writev_stream(q->conn, NULL, NULL, p->buf, p->cap, NULL,
                                       NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, p->ts);
    return STEP_PACKET;
}

/* The next stream in turn. Without connection credit only an empty end can be sent. */
static struct quic_stream *next_stream(const struct quic *q, const struct packet *p) {
    struct quic_stream *s = q->ready;
    if (s == NULL || (!p->no_data && ngtcp2_conn_get_max_data_left(q->conn) > 0))
        return s;
    do {
        if (s->unsent == 0)
            return s;
        s = s->ready_next;
    } while (s != q->ready);
    return NULL;
}

/* Datagrams that this path will never carry are dropped here, so that they cannot block. */
static bool next_datagram(struct quic *q, const struct packet *p, size_t payload_max,
                          ngtcp2_vec *out) {
    while (!p->no_datagrams && quic_datagram_next_out(q, out)) {
        if (out->len <= quic_datagram_max(p->cap))
            return true;
        /* Inside a train of short packets ngtcp2 decides: packet numbers are mostly shorter than
         * the overhead assumes. If it does not fit, the train ends and the next one takes it. */
        if (p->cap < payload_max)
            return out->len < p->cap;
        q->stats.datagrams_dropped++;
        quic_datagram_out_done(q);
    }
    return false;
}

static enum step put_next(struct quic *q, struct packet *p, size_t payload_max) {
    ngtcp2_vec dgram;
    bool have_dgram = next_datagram(q, p, payload_max, &dgram);
    struct quic_stream *s = next_stream(q, p);
    if (have_dgram && (s == NULL || q->datagram_turn)) {
        q->datagram_turn = false;
        return put_datagram(q, &dgram, p);
    }
    q->datagram_turn = true;
    return s != NULL ? put_stream(q, s, p) : put_nothing(q, p);
}

/* Returns the packet's length, 0: nothing to send now, or less: a fatal error. */
static ngtcp2_ssize write_packet(struct quic *q, uint8_t *buf, size_t cap, size_t payload_max,
                                 uint64_t ts) {
    struct packet p = {.buf = buf, .cap = cap, .ts = ts};
    enum step step = STEP_MORE;
    for (int i = 0; i < FRAMES_MAX && step != STEP_PACKET; i++)
        step = put_next(q, &p, payload_max);
    if (step != STEP_PACKET)
        (void)put_nothing(q, &p);
    if (q->ready != NULL)
        q->ready = q->ready->ready_next;
    return p.len;
}

struct train {
    size_t len, packets, segment;
};

/* May another packet join? It must not be longer than the first, and the train not longer than what
 * congestion control wants to see leave at once. */
static bool train_goes_on(const struct quic *q, const struct train *t, size_t last,
                          size_t payload_max, size_t cap) {
    if (t->packets >= TRAIN_PACKETS_MAX || last < t->segment || t->len + t->segment > cap)
        return false;
    if (t->segment == payload_max)
        return true;
    /* A train of short packets: worth it for datagrams of one size, which fill no packet. */
    ngtcp2_vec dgram;
    return t->segment >= QUIC_PAYLOAD_MIN && quic_datagram_next_out(q, &dgram);
}

static void fill_train(struct quic *q, struct train *t, uint8_t *buf, size_t cap,
                       size_t payload_max, uint64_t ts) {
    size_t limit = payload_max;
    size_t last = 0;
    do {
        ngtcp2_ssize n = write_packet(q, buf + t->len, limit, payload_max, ts);
        if (n < 0)
            quic_fail(q, (int)n);
        if (n <= 0)
            break;
        last = (size_t)n;
        if (t->packets == 0)
            t->segment = limit = last;
        t->len += last;
        t->packets++;
    } while (train_goes_on(q, t, last, payload_max, cap));
    /* Pacing starts after the handshake: before it, the rate comes from the guessed round trip (333
     * ms), and the client's Finished would wait 27 ms behind its first packet. */
    if (t->packets > 0 && q->state == QUIC_OPEN && q->handshake_done)
        ngtcp2_conn_update_pkt_tx_time(q->conn, ts);
}

static size_t clamp(size_t v, size_t low, size_t high) {
    return v < low ? low : v > high ? high : v;
}

/* NOLINTNEXTLINE(readability-function-size): a struct would only rename the parameters */
bool quic_next_train(struct quic *q, uint8_t *buf, size_t cap, size_t payload_max,
                     struct bk_time now, size_t *len, size_t *segment) {
    uint64_t ts = quic_clock(q, now);
    struct train t = {0};
    payload_max = clamp(payload_max, QUIC_PAYLOAD_MIN, QUIC_PAYLOAD_MAX);
    bk_assert(cap >= payload_max);
    if (q->state == QUIC_OPEN || q->state == QUIC_LEAVING) {
        size_t quantum = ngtcp2_conn_get_send_quantum(q->conn);
        size_t most = cap < QUIC_TRAIN_MAX ? cap : QUIC_TRAIN_MAX;
        fill_train(q, &t, buf, quantum > payload_max && quantum < most ? quantum : most,
                   payload_max, ts);
    }
    if (t.packets == 0)
        t.len = t.segment = quic_close_packet(q, buf, payload_max);
    if (t.len == 0)
        return false;
    q->stats.packets_sent += t.packets == 0 ? 1 : t.packets;
    q->stats.bytes_sent += t.len;
    *len = t.len;
    *segment = t.packets > 1 ? t.segment : 0;
    return true;
}
