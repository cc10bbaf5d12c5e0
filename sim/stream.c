/* SPDX-License-Identifier: MIT
 * Byte streams: what a session needs of TCP, and no more.
 *
 * Both ends know each other directly (`peer`), so there are no acknowledgements on the wire: a
 * sender learns at once what was delivered, and a segment that is lost somewhere finds its own way
 * back to be sent again after a timeout. What is real is the path: every segment travels through
 * links and NAT boxes with the flags a NAT looks at, and arrives only where the addresses lead.
 *
 * Life of an end: CONNECTING -> OPEN -> CLOSED (until its FIN is delivered) -> free, or -> BROKEN
 * until its actor closes it. References carry a generation, so nothing ever reaches a slot's next
 * user. */
#include "sim/state.h"

#include "base/assert.h"

#include <string.h>

static struct stream_ref ref_to(const struct world *w, stream_id id) {
    return (struct stream_ref){.id = id, .generation = w->streams[id].generation};
}

static struct stream *find(const struct world *w, struct stream_ref ref) {
    if (ref.id >= w->config.streams_max)
        return NULL;
    struct stream *s = &w->streams[ref.id];
    return s->state != STREAM_FREE && s->generation == ref.generation ? s : NULL;
}

static stream_id id_of(const struct world *w, const struct stream *s) {
    return (stream_id)(s - w->streams);
}

static struct stream *take_stream(struct world *w, actor_id actor, enum stream_state state) {
    for (stream_id i = 0; i < w->config.streams_max; i++) {
        struct stream *s = &w->streams[i];
        if (s->state != STREAM_FREE)
            continue;
        uint32_t generation = s->generation + 1;
        *s = (struct stream){.state = state,
                             .generation = generation,
                             .actor = actor,
                             .host = w->actors[actor].host,
                             .peer.id = SIM_NONE,
                             .waiting = SIM_NONE};
        return s;
    }
    return NULL;
}

static void free_stream(struct world *w, struct stream *s) {
    uint32_t index = s->waiting;
    while (index != SIM_NONE) {
        uint32_t next = w->packets[index].next;
        packet_give(w, index);
        index = next;
    }
    s->state = STREAM_FREE;
}

static void tell(struct world *w, struct stream *s, enum world_stream_event event,
                 const uint8_t *data, size_t len) {
    actor_id actor = s->actor;
    const struct world_actor *calls = &w->actors[actor].calls;
    if (calls->on_stream != NULL)
        calls->on_stream(calls->ctx, w, id_of(w, s), event, data, len);
    actor_turn(w, actor);
}

static void break_stream(struct world *w, struct stream *s) {
    if (s->state == STREAM_CLOSED) {
        free_stream(w, s);
    } else if (s->state != STREAM_BROKEN) {
        s->state = STREAM_BROKEN;
        tell(w, s, WORLD_STREAM_BROKEN, NULL, 0);
    }
}

static uint8_t flags_of(enum segment_kind kind) {
    static const uint8_t flags[] = {
        [SEGMENT_SYN] = NAT_TCP_SYN,  [SEGMENT_SYN_ACK] = NAT_TCP_SYN | NAT_TCP_ACK,
        [SEGMENT_DATA] = NAT_TCP_ACK, [SEGMENT_FIN] = NAT_TCP_FIN | NAT_TCP_ACK,
        [SEGMENT_ACK] = NAT_TCP_ACK,  [SEGMENT_RST] = NAT_TCP_RST,
    };
    return flags[kind];
}

static bool is_sequenced(enum segment_kind kind) {
    return kind != SEGMENT_ACK && kind != SEGMENT_RST;
}

/* false: no packet left. */
static bool send_segment(struct world *w, struct stream *s, enum segment_kind kind,
                         const uint8_t *data, size_t len) {
    uint32_t index = packet_take(w);
    if (index == SIM_NONE)
        return false;
    struct sim_packet *p = &w->packets[index];
    p->kind = PACKET_SEGMENT;
    p->segment = kind;
    memset(&p->sent, 0, sizeof p->sent);
    p->sent.flow = (struct nat_flow){.proto = NAT_TCP, .src = s->local, .dst = s->remote};
    p->sent.tcp_flags = flags_of(kind);
    p->header = p->sent;
    p->origin = s->host;
    p->ttl = DEFAULT_TTL;
    p->from = ref_to(w, id_of(w, s));
    p->seq = is_sequenced(kind) ? s->tx_seq++ : 0;
    p->attempts = 0;
    p->len = (uint16_t)len;
    if (len > 0)
        memcpy(p->data, data, len);
    hash_payload(w, p->data, len);
    route_send(w, index);
    return true;
}

enum bk_err world_stream_listen(struct world *w, actor_id actor, uint16_t port) {
    uint8_t key[KEY_NODE_PORT];
    key_node_port(key, w->actors[actor].host, port);
    if (table_get(&w->by_listener, key, NULL))
        return BK_ERR_EXISTS;
    return table_put(&w->by_listener, key, actor);
}

enum bk_err world_stream_open(struct world *w, actor_id actor, struct bk_addr remote,
                              stream_id *out) {
    return world_stream_open_from(w, actor, 0, remote, out);
}

enum bk_err world_stream_open_from(struct world *w, actor_id actor, uint16_t port,
                                   struct bk_addr remote, stream_id *out) {
    node_id host = w->actors[actor].host;
    struct bk_addr local = {.port = port != 0 ? port : node_free_port(w, host)};
    if (!topology_host_address(w, host, remote.ip.family, &local.ip))
        return BK_ERR_UNREACHABLE;
    struct stream *s = take_stream(w, actor, STREAM_CONNECTING);
    if (s == NULL)
        return BK_ERR_FULL;
    s->local = local;
    s->remote = remote;
    if (!send_segment(w, s, SEGMENT_SYN, NULL, 0)) {
        free_stream(w, s);
        return BK_ERR_FULL;
    }
    *out = id_of(w, s);
    return BK_OK;
}

size_t world_stream_write(struct world *w, stream_id stream, const uint8_t *data, size_t len) {
    struct stream *s = &w->streams[stream];
    size_t taken = 0;
    while (s->state == STREAM_OPEN && taken < len) {
        size_t room = w->config.stream_window - s->in_flight, n = len - taken;
        n = n < SEGMENT_MAX ? n : SEGMENT_MAX;
        n = n < room ? n : room;
        if (n == 0 || !send_segment(w, s, SEGMENT_DATA, data + taken, n))
            break;
        s->in_flight += (uint32_t)n;
        taken += n;
    }
    s->refused = s->refused || taken < len;
    return taken;
}

void world_stream_close(struct world *w, stream_id stream) {
    struct stream *s = &w->streams[stream];
    switch (s->state) {
    case STREAM_FREE:
    case STREAM_CLOSED:
        return;
    case STREAM_CONNECTING:
    case STREAM_BROKEN:
        free_stream(w, s);
        return;
    case STREAM_OPEN:
        s->state = STREAM_CLOSED;
        if (!send_segment(w, s, SEGMENT_FIN, NULL, 0))
            free_stream(w, s);
        return;
    }
}

struct bk_addr world_stream_remote(const struct world *w, stream_id stream) {
    return w->streams[stream].remote;
}

struct bk_addr world_stream_local(const struct world *w, stream_id stream) {
    return w->streams[stream].local;
}

void stream_lost(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    struct stream *s = find(w, p->from);
    if (s == NULL || s->state == STREAM_BROKEN || !is_sequenced(p->segment)) {
        packet_give(w, index);
        return;
    }
    if (p->attempts == w->config.stream_retries) {
        packet_give(w, index);
        break_stream(w, s);
        return;
    }
    int64_t wait = w->config.stream_rto_us << p->attempts; /* RFC 6298 section 5.5 */
    p->attempts++;
    p->at = SIM_NONE;
    packet_schedule(w, index, bk_after(w->now, wait));
}

void stream_resend(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    const struct stream *s = find(w, p->from);
    p->header = p->sent;
    p->ttl = DEFAULT_TTL;
    p->at = p->origin;
    if (s == NULL || s->state == STREAM_BROKEN) {
        packet_give(w, index);
    } else if (!topology_host_has(w, p->origin, &p->sent.flow.src.ip)) {
        route_lose(w, index, TRACE_NO_ROUTE); /* the host has moved: its old streams starve */
    } else {
        w->counters.retransmitted++;
        trace_packet(w, TRACE_RESEND, p->origin, p, NAT_DROP_NONE);
        route_send(w, index);
    }
}

/* The segment becomes the reset that kills its sender. */
void stream_refuse(struct world *w, node_id by, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    if (!is_sequenced(p->segment)) {
        packet_give(w, index);
        return;
    }
    struct bk_addr src = p->header.flow.dst;
    p->header.flow.dst = p->header.flow.src;
    p->header.flow.src = src;
    p->header.tcp_flags = NAT_TCP_RST;
    p->segment = SEGMENT_RST;
    p->origin = by;
    p->ttl = DEFAULT_TTL;
    p->len = 0;
    if (w->nodes[by].kind == NODE_HOST)
        route_send(w, index);
    else
        route_from(w, by, index);
}

static void accept_stream(struct world *w, uint32_t index, struct stream *from) {
    const struct sim_packet *p = &w->packets[index];
    uint8_t key[KEY_NODE_PORT];
    uint32_t actor;
    key_node_port(key, p->at, p->header.flow.dst.port);
    struct stream *s =
        table_get(&w->by_listener, key, &actor) ? take_stream(w, actor, STREAM_OPEN) : NULL;
    if (s == NULL) {
        stream_refuse(w, p->at, index);
        return;
    }
    s->local = p->header.flow.dst;
    s->remote = p->header.flow.src;
    s->peer = p->from;
    s->rx_next = 1; /* the SYN was number 0 */
    from->peer = ref_to(w, id_of(w, s));
    packet_give(w, index);
    (void)send_segment(w, s, SEGMENT_SYN_ACK, NULL, 0); /* without it the other end breaks */
    tell(w, s, WORLD_STREAM_ACCEPTED, NULL, 0);
}

static void data_arrives(struct world *w, const struct sim_packet *p, struct stream *s) {
    struct stream_ref sender = p->from;
    find(w, sender)->in_flight -= p->len;
    if (s->state == STREAM_OPEN)
        tell(w, s, WORLD_STREAM_BYTES, p->data, p->len);
    struct stream *from = find(w, sender); /* the actor may have done anything */
    if (from == NULL || !from->refused || from->state != STREAM_OPEN)
        return;
    from->refused = false;
    tell(w, from, WORLD_STREAM_WRITABLE, NULL, 0);
}

/* The next segment in order. Both ends exist. */
static void in_order(struct world *w, const struct sim_packet *p, struct stream *s) {
    s->rx_next++;
    switch (p->segment) {
    case SEGMENT_SYN_ACK:
        if (s->state != STREAM_CONNECTING)
            return;
        s->state = STREAM_OPEN;
        (void)send_segment(w, s, SEGMENT_ACK, NULL, 0);
        s->refused = false;
        tell(w, s, WORLD_STREAM_OPEN, NULL, 0);
        return;
    case SEGMENT_DATA:
        data_arrives(w, p, s);
        return;
    case SEGMENT_FIN:
        free_stream(w, find(w, p->from)); /* it waited for this only */
        if (s->state == STREAM_OPEN)
            tell(w, s, WORLD_STREAM_END, NULL, 0);
        return;
    case SEGMENT_SYN:
    case SEGMENT_ACK:
    case SEGMENT_RST:
        return;
    }
}

/* Keeps the list of early segments sorted. */
static void wait_for_turn(struct world *w, struct stream *s, uint32_t index) {
    uint32_t *link = &s->waiting;
    while (*link != SIM_NONE && w->packets[*link].seq < w->packets[index].seq)
        link = &w->packets[*link].next;
    w->packets[index].next = *link;
    *link = index;
}

/* Hands over what is now in order. Each step may end either stream. */
static void drain(struct world *w, struct stream_ref ref) {
    struct stream *s = find(w, ref);
    while (s != NULL && s->waiting != SIM_NONE && w->packets[s->waiting].seq == s->rx_next) {
        uint32_t index = s->waiting;
        s->waiting = w->packets[index].next;
        if (find(w, w->packets[index].from) != NULL)
            in_order(w, &w->packets[index], s);
        packet_give(w, index);
        s = find(w, ref);
    }
}

static bool belongs(const struct sim_packet *p, const struct stream *s) {
    return s != NULL && s->host == p->at && bk_addr_equal(&p->header.flow.dst, &s->local) &&
           bk_addr_equal(&p->header.flow.src, &s->remote);
}

static void reset_arrives(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    struct stream *victim = find(w, p->from);
    bool hits = belongs(p, victim);
    packet_give(w, index);
    if (hits)
        break_stream(w, victim);
}

void stream_deliver(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    trace_packet(w, TRACE_DELIVER, p->at, p, NAT_DROP_NONE);
    w->counters.delivered++;
    if (p->segment == SEGMENT_RST) {
        reset_arrives(w, index);
        return;
    }
    struct stream *from = find(w, p->from);
    if (from == NULL || from->state == STREAM_BROKEN || p->segment == SEGMENT_ACK) {
        packet_give(w, index);
        return;
    }
    if (p->segment == SEGMENT_SYN) {
        accept_stream(w, index, from);
        return;
    }
    struct stream *s = find(w, from->peer);
    if (!belongs(p, s) || s->state == STREAM_BROKEN) {
        stream_refuse(w, p->at, index); /* RFC 9293 section 3.10.7.1: no such connection */
        return;
    }
    wait_for_turn(w, s, index);
    drain(w, ref_to(w, id_of(w, s)));
}
