/* SPDX-License-Identifier: MIT
 * Questions in flight: when each is sent, how often, which packet answers it. All of them together
 * never send more than the configuration allows. */
#include "natcheck/state.h"

#include "base/assert.h"
#include "base/rng.h"
#include "stun/seal.h"
#include "wire/stun_stream.h"

#include <string.h>

struct pace pace_first(const struct bk_natcheck *nc) {
    const struct pace p = {.wait_us = nc->config.rto_us,
                           .last_us = 3 * nc->config.rto_us,
                           .sends = 3,
                           .doubles = true};
    return p;
}

/* RFC 8489 section 6.2.1 wants 500 ms where nothing is known; here the RTT is. Not less than 100
 * ms, which a busy host may take by itself. */
static int64_t rto_us(const struct bk_natcheck *nc) {
    int64_t rto = 2 * nc->rtt_us + 30 * BK_US_PER_MS;
    rto = rto > 100 * BK_US_PER_MS ? rto : 100 * BK_US_PER_MS;
    return rto < 3 * BK_US_PER_S ? rto : 3 * BK_US_PER_S;
}

struct pace pace_soon(const struct bk_natcheck *nc, uint8_t sends) {
    int64_t rto = rto_us(nc);
    const struct pace p = {.wait_us = rto, .last_us = 2 * rto, .sends = sends, .doubles = true};
    return p;
}

struct pace pace_even(const struct bk_natcheck *nc, uint8_t sends) {
    int64_t rtt = nc->rtt_us;
    const struct pace p = {.wait_us = rtt + 40 * BK_US_PER_MS,
                           .last_us = 2 * rtt + 200 * BK_US_PER_MS,
                           .sends = sends};
    return p;
}

static uint32_t note(struct bk_natcheck *nc, const struct ask *ask) {
    struct bk_nat_record *r = &nc->record;
    uint32_t index = (uint32_t)r->observation_count++;
    r->observations[index] = (struct bk_nat_observation){.test = ask->test,
                                                         .attrs = ask->attrs,
                                                         .remote = ask->remote,
                                                         .sent_us = -1,
                                                         .answered_us = -1,
                                                         .idle_us = ask->idle_us};
    return index;
}

uint32_t probe_ask(struct bk_natcheck *nc, const struct ask *ask) {
    if (nc->probe_count == PROBES_MAX || ask->socket == NONE)
        return NONE;
    uint32_t index = nc->probe_count++;
    struct probe *p = &nc->probes[index];
    *p = (struct probe){.ask = *ask, .state = PROBE_PLANNED, .observation = note(nc, ask)};
    if (!p->ask.elsewhere)
        p->ask.hears = p->ask.socket;
    p->due = bk_after(nc->now, ask->delay_us);
    p->answered = BK_NEVER;
    rng_fill(&nc->rng, p->txid, sizeof p->txid);
    nc->changed = true;
    if (nc->sockets[ask->socket].state == SOCKET_FAILED)
        probe_socket_lost(nc, ask->socket);
    return index;
}

static void give_up(struct bk_natcheck *nc, struct probe *p, enum bk_nat_reason why) {
    p->state = PROBE_SILENT;
    p->why = why;
    p->want_send = false;
    p->due = BK_NEVER;
    nc->changed = true;
}

static bool is_open(const struct probe *p) {
    return p->state == PROBE_PLANNED || p->state == PROBE_WAITING;
}

void probe_cancel(struct bk_natcheck *nc, uint32_t probe) {
    if (probe != NONE && is_open(&nc->probes[probe]))
        give_up(nc, &nc->probes[probe], BK_NAT_REASON_NOT_APPLICABLE);
}

void probe_hurry(struct bk_natcheck *nc, uint32_t probe) {
    if (probe == NONE || !is_open(&nc->probes[probe]))
        return;
    struct probe *p = &nc->probes[probe];
    struct pace *pace = &p->ask.pace;
    pace->last_us = 2 * nc->rtt_us + 100 * BK_US_PER_MS;
    if (p->sends >= pace->sends)
        return;
    pace->sends = (uint8_t)(p->sends + 1);
    p->due = nc->now;
    nc->changed = true;
}

void probe_socket_ready(struct bk_natcheck *nc, uint32_t socket) {
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        struct bk_nat_observation *o = &nc->record.observations[nc->probes[i].observation];
        if (nc->probes[i].ask.socket == socket && nc->probes[i].state == PROBE_PLANNED)
            o->local = nc->sockets[socket].local;
    }
    nc->changed = true;
}

void probe_socket_lost(struct bk_natcheck *nc, uint32_t socket) {
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        struct probe *p = &nc->probes[i];
        if (is_open(p) && (p->ask.socket == socket || p->ask.hears == socket))
            give_up(nc, p, BK_NAT_REASON_NO_SOCKET);
    }
    nc->changed = true;
}

static bool budget_left(const struct bk_natcheck *nc, const struct probe *p) {
    if (p->ask.test == BK_NAT_TEST_TCP)
        return true; /* not a datagram */
    return p->ask.deep ? nc->record.deep_packets_sent < nc->config.deep_packets_max
                       : nc->record.packets_sent < nc->config.packets_max;
}

static void plan_next(const struct bk_natcheck *nc, struct probe *p) {
    const struct pace *pace = &p->ask.pace;
    int64_t wait = pace->doubles ? pace->wait_us << (p->sends - 1) : pace->wait_us;
    p->due = bk_after(nc->now, p->sends == pace->sends ? pace->last_us : wait);
}

static void count_packet(struct bk_natcheck *nc, const struct probe *p) {
    if (p->ask.test == BK_NAT_TEST_TCP)
        return;
    if (p->ask.deep)
        nc->record.deep_packets_sent++;
    else
        nc->record.packets_sent++;
}

/* Decides on a send; probe_next_datagram() fetches it. */
static void send_now(struct bk_natcheck *nc, struct probe *p) {
    struct bk_nat_observation *o = &nc->record.observations[p->observation];
    if (p->want_send)
        return; /* the last one has not been fetched yet */
    if (!budget_left(nc, p)) {
        give_up(nc, p, BK_NAT_REASON_BUDGET);
        return;
    }
    if (p->sends == 0) {
        p->order = nc->sends_seen++;
        p->first_sent = nc->now;
        o->sent_us = bk_elapsed_us(nc->start, nc->now);
        o->local = nc->sockets[p->ask.socket].local;
    }
    nc->changed = nc->changed || p->sends > 0; /* a retransmission makes other tests wonder */
    p->state = PROBE_WAITING;
    p->last_sent = nc->now;
    p->sends++;
    o->sends = p->sends;
    p->want_send = true;
    count_packet(nc, p);
    plan_next(nc, p);
}

static void advance_one(struct bk_natcheck *nc, struct probe *p) {
    if (!is_open(p) || !bk_due(p->due, nc->now))
        return;
    if (!socket_is_open(nc, p->ask.socket))
        return; /* probe_socket_ready() or probe_socket_lost() will tell */
    if (p->sends == p->ask.pace.sends)
        give_up(nc, p, BK_NAT_REASON_NO_ANSWER);
    else
        send_now(nc, p);
}

void probe_advance(struct bk_natcheck *nc) {
    for (uint32_t i = 0; i < nc->probe_count; i++)
        advance_one(nc, &nc->probes[i]);
}

struct bk_time probe_deadline(const struct bk_natcheck *nc) {
    struct bk_time least = BK_NEVER;
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        const struct probe *p = &nc->probes[i];
        if (is_open(p) && !p->want_send && socket_is_open(nc, p->ask.socket))
            least = bk_earlier(least, p->due);
    }
    return least;
}

bool probe_next_datagram(struct bk_natcheck *nc, uint32_t *socket, struct bk_datagram *out) {
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        struct probe *p = &nc->probes[i];
        if (!p->want_send)
            continue;
        p->want_send = false;
        struct bk_addr to = p->ask.remote;
        if (p->ask.test == BK_NAT_TEST_UPNP && p->sends == 1)
            to = upnp_group();
        *out = (struct bk_datagram){.local = nc->sockets[p->ask.socket].local,
                                    .remote = to,
                                    .data = nc->out,
                                    .len = message_build(nc, p, nc->out, sizeof nc->out)};
        *socket = p->ask.socket;
        return true;
    }
    return false;
}

/* Karn's rule: after two sends nobody knows which one was answered. Timers then take the last, or a
 * quarter of the time since the first, until there is something better. */
static void measure(struct bk_natcheck *nc, const struct probe *p) {
    if (p->ask.test != BK_NAT_TEST_BINDING)
        return;
    bool exact = p->sends == 1;
    int64_t took = bk_elapsed_us(p->last_sent, nc->now);
    int64_t quarter = bk_elapsed_us(p->first_sent, nc->now) / 4;
    took = took > quarter ? took : quarter;
    took = took > 0 ? took : 1;
    if (nc->rtt_us == 0 || (exact && (!nc->rtt_exact || took < nc->rtt_us)))
        nc->rtt_us = took;
    nc->rtt_exact = nc->rtt_exact || exact;
    nc->record.rtt_us = nc->rtt_us;
}

static void take_answer(struct bk_natcheck *nc, struct probe *p, const struct bk_addr *from) {
    struct bk_nat_observation *o = &nc->record.observations[p->observation];
    p->state = PROBE_ANSWERED;
    p->want_send = false;
    p->due = BK_NEVER;
    p->answered = nc->now;
    p->from = o->from = *from;
    o->seen = p->seen;
    o->answered_us = bk_elapsed_us(nc->start, nc->now);
    measure(nc, p);
    nc->changed = true;
}

/* A server that does not send the answer elsewhere says so to who asked. */
static struct probe *find(struct bk_natcheck *nc, uint32_t socket, const struct stun_msg *m) {
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        struct probe *p = &nc->probes[i];
        bool here = p->ask.hears == socket || (p->ask.socket == socket && m->cls == STUN_ERROR);
        if (p->state == PROBE_WAITING && here && memcmp(p->txid, m->txid, STUN_TXID_LEN) == 0)
            return p;
    }
    return NULL;
}

/* A hairpinned packet is our own request; everything else is a response. */
static bool fits(const struct probe *p, const struct stun_msg *m) {
    bool request = m->cls == STUN_REQUEST, hairpin = p->ask.test == BK_NAT_TEST_HAIRPIN;
    return m->method == STUN_BINDING && m->cls != STUN_INDICATION && request == hairpin;
}

static enum bk_err recv_message(struct bk_natcheck *nc, uint32_t socket, const uint8_t *data,
                                size_t len, const struct bk_addr *from) {
    struct stun_msg m;
    enum bk_err err = stun_parse(&m, data, len);
    if (err != BK_OK)
        return err;
    struct probe *p = find(nc, socket, &m);
    if (p == NULL || stun_check_fingerprint(&m) == BK_ERR_NOT_OURS || !fits(p, &m))
        return BK_ERR_NOT_OURS;
    if (p->ask.test != BK_NAT_TEST_HAIRPIN)
        err = message_read(p, &m);
    if (err != BK_OK)
        return BK_ERR_MALFORMED;
    take_answer(nc, p, from);
    return BK_OK;
}

/* The protocols of routers have no transaction ids: the address and the port must do. */
static enum bk_err recv_portmap(struct bk_natcheck *nc, uint32_t socket,
                                const struct bk_datagram *in) {
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        struct probe *p = &nc->probes[i];
        if (p->state != PROBE_WAITING || p->ask.socket != socket || !portmap_is(p->ask.test))
            continue;
        if (!portmap_read(p, in))
            return BK_ERR_NOT_OURS;
        take_answer(nc, p, &in->remote);
        return BK_OK;
    }
    return BK_ERR_NOT_OURS;
}

static enum bk_err recv_stream(struct bk_natcheck *nc, uint32_t socket,
                               const struct bk_datagram *in) {
    struct check_socket *s = &nc->sockets[socket];
    size_t room = sizeof s->buf - s->buffered, len = in->len < room ? in->len : room;
    if (len > 0)
        memcpy(s->buf + s->buffered, in->data, len);
    s->buffered += len;
    if (s->buffered < STUN_HEADER_LEN)
        return BK_OK;
    size_t want = STUN_HEADER_LEN + ((size_t)s->buf[2] << 8 | s->buf[3]);
    if (want <= sizeof s->buf && s->buffered < want)
        return BK_OK;
    enum bk_err err = want > sizeof s->buf ? BK_ERR_MALFORMED
                                           : recv_message(nc, socket, s->buf, want, &s->remote);
    s->buffered = 0; /* one answer is all a connection is for */
    return err == BK_ERR_SHORT ? BK_ERR_MALFORMED : err;
}

enum bk_err probe_recv(struct bk_natcheck *nc, uint32_t socket, const struct bk_datagram *in) {
    if (!socket_is_open(nc, socket))
        return BK_ERR_NOT_OURS;
    if (nc->sockets[socket].tcp)
        return recv_stream(nc, socket, in);
    if (!stun_is_message(in->data, in->len))
        return recv_portmap(nc, socket, in);
    enum bk_err err = recv_message(nc, socket, in->data, in->len, &in->remote);
    return err == BK_ERR_SHORT ? BK_ERR_MALFORMED : err;
}

bool probe_ended(const struct bk_natcheck *nc, uint32_t probe) {
    return probe == NONE || !is_open(&nc->probes[probe]);
}

bool probe_answered(const struct bk_natcheck *nc, uint32_t probe) {
    return probe != NONE && nc->probes[probe].state == PROBE_ANSWERED &&
           nc->probes[probe].code == 0;
}

void probe_witness(struct bk_natcheck *nc, uint32_t probe, enum bk_nat_attr attr) {
    if (probe != NONE)
        nc->record.observations[nc->probes[probe].observation].attrs |= attr_bit(attr);
}
