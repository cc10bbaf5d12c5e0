/* SPDX-License-Identifier: MIT
 * Life of a connection: HTTP (wait for 101) -> KEY (wait for the server's key) -> INFO (our
 * ClientInfo is under way) -> OPEN -> ENDED. A fast start begins in INFO, because the key is known.
 * Bytes wait in two queues: `hello` holds the request and ClientInfo, `out` all frames after them;
 * `out` is held back until ClientInfo is in `hello`. */
#include "relay/client.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/rng.h"
#include "base/wipe.h"
#include "box/box.h"
#include "relay/info.h"
#include "relay/upgrade.h"
#include "wire/derp.h"

#include <string.h>

enum {
    HELLO_MAX = 2048, /* request with a host of 255, then ClientInfo */
    INFO_MAX = 1024,  /* our JSON, and the longest ServerInfo text we read */
    FRAME_KEPT_MAX = DERP_HEADER_LEN + DERP_KEY_LEN + DERP_PACKET_MAX,
    IN_MAX = 2 * FRAME_KEPT_MAX,
    CONTROL_ROOM = 512, /* of the send queue, for pongs and pings when packets fill it */
    SEND_MIN = 131072
};

enum state { CLIENT_HTTP, CLIENT_KEY, CLIENT_INFO, CLIENT_OPEN, CLIENT_ENDED };

struct relay_client {
    enum state state;
    struct relay_client_config config;
    uint8_t key[RELAY_KEY_LEN], server_key[RELAY_KEY_LEN];
    bool server_key_known;
    struct bk_rng rng;
    struct bk_alloc alloc;
    struct relay_response response;
    struct byteq hello, out, in;
    size_t shown;  /* bytes at the front of `in` that the last event's view covers */
    size_t skip;   /* bytes still to come of a frame that is not kept */
    bool starved;  /* somebody was told BK_ERR_FULL */
    bool want_end; /* `why` is waiting to be told */
    enum bk_err why;
    unsigned http_status;
    uint8_t ping[DERP_PING_LEN];
    struct bk_time ping_at, handshake_by, heard_at, now;
    struct bk_time heard_by; /* in doubt: something must be heard by then; BK_NEVER: no doubt */
    int64_t silence_us;      /* before the last question */
};

const struct relay_client_config relay_client_config_default = {
    .start = RELAY_START_HTTP,
    .send_max = 262144,
    .handshake_us = 10 * BK_US_PER_S,
    .silence_us = 120 * BK_US_PER_S,
    .probe_us = 25 * BK_US_PER_S,
    .answer_us = 4 * BK_US_PER_S,
};

/* A host that could end the header line would let it write headers of its own. */
static bool host_is_valid(const char *host) {
    size_t len = host == NULL ? 0 : strlen(host);
    if (len == 0 || len > 255)
        return false;
    for (size_t i = 0; i < len; i++)
        if (host[i] <= ' ' || host[i] == 0x7f)
            return false;
    return true;
}

static bool config_is_valid(const struct relay_client_config *c) {
    if (c->start != RELAY_START_RAW && !host_is_valid(c->host))
        return false;
    if (c->start == RELAY_START_FAST && !c->server_key_known)
        return false;
    return c->send_max >= SEND_MIN && c->handshake_us > 0 && c->silence_us > 0 &&
           c->probe_us >= 0 && c->answer_us > 0;
}

static void end(struct relay_client *c, enum bk_err why) {
    if (c->state == CLIENT_ENDED)
        return;
    c->state = CLIENT_ENDED;
    c->why = why;
    c->want_end = true;
}

/* Seals our ClientInfo for the server; from here on frames may follow. */
static enum bk_err put_client_info(struct relay_client *c) {
    char json[INFO_MAX];
    uint8_t box[INFO_MAX + BOX_OVERHEAD];
    uint8_t frame[DERP_HEADER_LEN + DERP_KEY_LEN + sizeof box];
    struct relay_info info = {.version = DERP_VERSION, .can_ack_pings = true};
    info.mesh_key_known = c->config.mesh_key_set;
    memcpy(info.mesh_key, c->config.mesh_key, sizeof info.mesh_key);
    struct text t = text_in(json, sizeof json);
    relay_info_put_client(&t, &info);
    enum bk_err err =
        box_seal(&c->rng, c->server_key, c->config.secret, (const uint8_t *)json, t.len, box);
    wipe(json, sizeof json);
    wipe(&info, sizeof info);
    if (err != BK_OK)
        return err;
    struct wire_writer w = wire_writer(frame, sizeof frame);
    derp_put_client_info(&w, c->key, box, t.len + BOX_OVERHEAD);
    bk_assert(!w.failed && byteq_push(&c->hello, frame, w.len) == BK_OK);
    c->state = CLIENT_INFO;
    return BK_OK;
}

static void put_request(struct relay_client *c, const char *host) {
    char request[HELLO_MAX / 2];
    struct text t = text_in(request, sizeof request);
    relay_request_put(&t, host, c->config.start == RELAY_START_FAST);
    bk_assert(!t.cut && byteq_push(&c->hello, request, t.len) == BK_OK);
}

static enum bk_err start(struct relay_client *c) {
    switch (c->config.start) {
    case RELAY_START_HTTP:
        c->state = CLIENT_HTTP;
        put_request(c, c->config.host);
        break;
    case RELAY_START_RAW:
        c->state = CLIENT_KEY;
        break;
    case RELAY_START_FAST:
        put_request(c, c->config.host);
        return put_client_info(c);
    }
    return BK_OK;
}

enum bk_err relay_client_new(const struct relay_client_config *config, const struct bk_rng *rng,
                             const struct bk_alloc *alloc, struct bk_time now,
                             struct relay_client **out) {
    uint8_t key[RELAY_KEY_LEN];
    if (!config_is_valid(config) || box_public(config->secret, key) != BK_OK)
        return BK_ERR_ARGUMENT;
    struct relay_client *c = alloc->get(alloc->ctx, sizeof *c);
    if (c == NULL)
        return BK_ERR_NO_MEMORY;
    c->config = *config;
    c->rng = *rng;
    c->alloc = *alloc;
    c->server_key_known = config->server_key_known;
    memcpy(c->server_key, config->server_key, sizeof c->server_key);
    memcpy(c->key, key, sizeof c->key);
    c->now = c->heard_at = now;
    c->ping_at = c->heard_by = BK_NEVER;
    c->handshake_by = bk_after(now, config->handshake_us);
    relay_response_init(&c->response);
    enum bk_err err = byteq_init(&c->hello, HELLO_MAX, alloc);
    if (err == BK_OK)
        err = byteq_init(&c->out, config->send_max + CONTROL_ROOM, alloc);
    if (err == BK_OK)
        err = byteq_init(&c->in, IN_MAX, alloc);
    if (err == BK_OK)
        err = start(c);
    if (err != BK_OK) {
        relay_client_free(c);
        return err;
    }
    c->config.host = NULL;
    *out = c;
    return BK_OK;
}

void relay_client_free(struct relay_client *c) {
    if (c == NULL)
        return;
    struct bk_alloc alloc = c->alloc;
    byteq_fini(&c->hello);
    byteq_fini(&c->out);
    byteq_fini(&c->in);
    wipe(c, sizeof *c);
    alloc.put(alloc.ctx, c);
}

/* Lets go of the bytes behind the last event's view. */
static void release_shown(struct relay_client *c) {
    byteq_drop(&c->in, c->shown);
    c->shown = 0;
}

static void recv_response(struct relay_client *c) {
    size_t used = 0;
    enum bk_err err =
        relay_response_recv(&c->response, byteq_front(&c->in), byteq_len(&c->in), &used);
    if (err == BK_OK || err == BK_ERR_SHORT)
        byteq_drop(&c->in, used);
    if (err == BK_ERR_SHORT)
        return;
    c->http_status = c->response.status;
    if (err != BK_OK) {
        end(c, err);
        return;
    }
    if (c->response.status != 101 || !c->response.upgrade_derp) {
        end(c, BK_ERR_REFUSED);
        return;
    }
    if (c->server_key_known && c->response.key_known &&
        !equal_secret(c->response.server_key, c->server_key, RELAY_KEY_LEN)) {
        end(c, BK_ERR_AUTH);
        return;
    }
    c->state = CLIENT_KEY;
}

static void recv_server_key(struct relay_client *c, const struct derp_frame *f) {
    if (c->server_key_known && !equal_secret(f->key, c->server_key, RELAY_KEY_LEN)) {
        end(c, BK_ERR_AUTH);
        return;
    }
    memcpy(c->server_key, f->key, RELAY_KEY_LEN);
    c->server_key_known = true;
    /* On a fast start ClientInfo is sent already: the frame only confirms what we knew. */
    if (c->state == CLIENT_KEY && put_client_info(c) != BK_OK)
        end(c, BK_ERR_MALFORMED);
}

static bool event_connected(struct relay_client *c, const struct derp_frame *f,
                            struct relay_client_event *ev) {
    uint8_t json[INFO_MAX];
    struct relay_info info;
    if (c->state != CLIENT_INFO)
        return false; /* a later ServerInfo may tell new limits; we have no use for them */
    if (f->len > sizeof json + BOX_OVERHEAD) {
        end(c, BK_ERR_TOO_LONG);
        return false;
    }
    if (box_open(c->server_key, c->config.secret, f->data, f->len, json) != BK_OK) {
        end(c, BK_ERR_AUTH);
        return false;
    }
    if (relay_info_parse(json, f->len - BOX_OVERHEAD, &info) != BK_OK) {
        end(c, BK_ERR_MALFORMED);
        return false;
    }
    c->state = CLIENT_OPEN;
    c->handshake_by = BK_NEVER;
    ev->type = RELAY_CLIENT_CONNECTED;
    memcpy(ev->key, c->server_key, RELAY_KEY_LEN);
    return true;
}

static void answer_ping(struct relay_client *c, const struct derp_frame *f) {
    uint8_t buf[DERP_HEADER_LEN + DERP_PING_LEN];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_pong(&w, f->data);
    /* A server that pings faster than it reads gets fewer pongs. */
    if (byteq_room(&c->out) >= w.len)
        bk_assert(byteq_push(&c->out, buf, w.len) == BK_OK);
}

static bool event_pong(struct relay_client *c, const struct derp_frame *f,
                       struct relay_client_event *ev) {
    if (bk_is_never(c->ping_at) || memcmp(f->data, c->ping, sizeof c->ping) != 0)
        return false;
    ev->type = RELAY_CLIENT_PONG;
    ev->rtt_us = bk_elapsed_us(c->ping_at, c->now);
    ev->silence_us = c->silence_us;
    c->ping_at = BK_NEVER;
    return true;
}

static bool event_keyed(enum relay_client_event_type type, const struct derp_frame *f,
                        struct relay_client_event *ev) {
    ev->type = type;
    memcpy(ev->key, f->key, RELAY_KEY_LEN);
    ev->data = f->data;
    ev->len = f->len;
    ev->not_here = type == RELAY_CLIENT_PEER_GONE && f->flag == DERP_GONE_NOT_HERE;
    return true;
}

/* Acts on one frame; true: it is an event for the caller. */
static bool recv_frame(struct relay_client *c, const struct derp_frame *f,
                       struct relay_client_event *ev) {
    memset(ev, 0, sizeof *ev);
    if (c->state == CLIENT_KEY && f->type != DERP_SERVER_KEY) {
        end(c, BK_ERR_MALFORMED);
        return false;
    }
    switch (f->type) {
    case DERP_SERVER_KEY:
        recv_server_key(c, f);
        return false;
    case DERP_SERVER_INFO:
        return event_connected(c, f, ev);
    case DERP_RECV_PACKET:
        return event_keyed(RELAY_CLIENT_PACKET, f, ev);
    case DERP_PEER_GONE:
        return event_keyed(RELAY_CLIENT_PEER_GONE, f, ev);
    case DERP_PEER_PRESENT:
        return event_keyed(RELAY_CLIENT_PRESENT, f, ev);
    case DERP_PING:
        answer_ping(c, f);
        return false;
    case DERP_PONG:
        return event_pong(c, f, ev);
    case DERP_HEALTH:
        ev->type = RELAY_CLIENT_HEALTH;
        ev->data = f->data;
        ev->len = f->len;
        return true;
    case DERP_RESTARTING:
        ev->type = RELAY_CLIENT_RESTARTING;
        ev->reconnect_ms = f->reconnect_ms;
        ev->try_ms = f->try_ms;
        return true;
    case DERP_CLIENT_INFO:
    case DERP_SEND_PACKET:
    case DERP_KEEP_ALIVE:
    case DERP_NOTE_PREFERRED:
    case DERP_FORWARD_PACKET:
    case DERP_WATCH_CONNS:
    case DERP_CLOSE_PEER:
    case DERP_UNKNOWN:
        return false; /* not for clients, or of a later version: skipped */
    }
    return false;
}

/* Frames too long to keep are none we know: their bytes are let through unseen. */
static bool skip_long(struct relay_client *c) {
    size_t have = byteq_len(&c->in);
    size_t n = c->skip < have ? c->skip : have;
    byteq_drop(&c->in, n);
    c->skip -= n;
    return c->skip == 0;
}

/* Reads one frame from `in`. false: there is none yet. */
static bool next_frame(struct relay_client *c, struct derp_frame *f) {
    struct derp_header h;
    if (!skip_long(c))
        return false;
    enum bk_err err = derp_header_parse(byteq_front(&c->in), byteq_len(&c->in), &h);
    if (err == BK_ERR_SHORT)
        return false;
    if (err != BK_OK) {
        end(c, err);
        return false;
    }
    size_t whole = DERP_HEADER_LEN + (size_t)h.len;
    if (whole > FRAME_KEPT_MAX) {
        if (h.type != DERP_UNKNOWN && h.type != DERP_HEALTH)
            end(c, BK_ERR_TOO_LONG);
        c->skip = whole;
        return false;
    }
    err = derp_parse(byteq_front(&c->in), byteq_len(&c->in), f, &c->shown);
    if (err != BK_OK && err != BK_ERR_SHORT)
        end(c, err);
    return err == BK_OK;
}

static bool frame_event(struct relay_client *c, struct relay_client_event *out) {
    release_shown(c);
    while (c->state != CLIENT_HTTP && c->state != CLIENT_ENDED) {
        struct derp_frame f;
        size_t before = c->skip;
        if (next_frame(c, &f)) {
            if (recv_frame(c, &f, out))
                return true;
            release_shown(c);
        } else if (c->skip == before || byteq_len(&c->in) == 0) {
            break;
        }
    }
    return false;
}

bool relay_client_next_event(struct relay_client *c, struct relay_client_event *out) {
    struct relay_client_event ev;
    if (frame_event(c, &ev)) {
        *out = ev;
        return true;
    }
    memset(&ev, 0, sizeof ev);
    if (c->starved && c->state != CLIENT_ENDED && byteq_len(&c->out) <= c->config.send_max / 2) {
        c->starved = false;
        ev.type = RELAY_CLIENT_ROOM;
        *out = ev;
        return true;
    }
    if (!c->want_end)
        return false;
    c->want_end = false;
    ev.type = RELAY_CLIENT_CLOSED;
    ev.why = c->why;
    ev.http_status = c->why == BK_ERR_REFUSED ? c->http_status : 0;
    *out = ev;
    return true;
}

size_t relay_client_recv(struct relay_client *c, const uint8_t *data, size_t len,
                         struct bk_time now) {
    c->now = bk_later(c->now, now);
    c->heard_at = c->now;
    c->heard_by = BK_NEVER;
    if (c->state == CLIENT_ENDED)
        return len;
    release_shown(c);
    size_t taken = byteq_push_some(&c->in, data, len);
    if (c->state == CLIENT_HTTP && byteq_len(&c->in) > 0)
        recv_response(c);
    return taken;
}

void relay_client_eof(struct relay_client *c, enum bk_err why) {
    end(c, why);
}

/* When silence alone makes us ask whether the server is still there. */
static struct bk_time probe_time(const struct relay_client *c) {
    if (c->state != CLIENT_OPEN || c->config.probe_us == 0 || !bk_is_never(c->heard_by))
        return BK_NEVER;
    return bk_after(c->heard_at, c->config.probe_us);
}

static struct bk_time end_time(const struct relay_client *c) {
    /* Where longer silence is agreed upon, the unanswered question ends it. */
    int64_t asked_us = c->config.probe_us == 0 ? 0 : c->config.probe_us + c->config.answer_us;
    int64_t patience_us = c->config.silence_us > asked_us ? c->config.silence_us : asked_us;
    struct bk_time t = bk_after(c->heard_at, patience_us);
    return bk_earlier(bk_earlier(c->handshake_by, c->heard_by), t);
}

void relay_client_doubt_for(struct relay_client *c, int64_t answer_us, struct bk_time now) {
    c->now = bk_later(c->now, now);
    if (c->state != CLIENT_OPEN)
        return;
    struct bk_time by = bk_after(c->now, answer_us);
    bool asked = !bk_is_never(c->heard_by);
    c->heard_by = bk_earlier(c->heard_by, by);
    if (asked)
        return;
    enum bk_err err = relay_client_ping(c, c->now);
    (void)err; /* a full queue is unanswered, too, if the server does not take it */
}

void relay_client_doubt(struct relay_client *c, struct bk_time now) {
    relay_client_doubt_for(c, c->config.answer_us, now);
}

void relay_client_set_probe(struct relay_client *c, int64_t probe_us) {
    bk_assert(probe_us > 0);
    c->config.probe_us = probe_us;
}

int64_t relay_client_silence_us(const struct relay_client *c) {
    return bk_is_never(c->heard_by) ? 0 : c->silence_us;
}

void relay_client_advance(struct relay_client *c, struct bk_time now) {
    c->now = bk_later(c->now, now);
    if (c->state == CLIENT_ENDED)
        return;
    if (bk_due(end_time(c), c->now))
        end(c, BK_ERR_TIMEOUT);
    else if (bk_due(probe_time(c), c->now))
        relay_client_doubt(c, c->now);
}

struct bk_time relay_client_deadline(const struct relay_client *c) {
    return c->state == CLIENT_ENDED ? BK_NEVER : bk_earlier(end_time(c), probe_time(c));
}

bool relay_client_next_bytes(struct relay_client *c, struct relay_piece *out) {
    bool may_send = c->state == CLIENT_INFO || c->state == CLIENT_OPEN;
    const struct byteq *q = byteq_len(&c->hello) > 0 ? &c->hello : may_send ? &c->out : NULL;
    if (q == NULL || byteq_len(q) == 0 || c->state == CLIENT_ENDED)
        return false;
    *out = (struct relay_piece){byteq_front(q), byteq_len(q)};
    return true;
}

void relay_client_sent(struct relay_client *c, size_t len) {
    byteq_drop(byteq_len(&c->hello) > 0 ? &c->hello : &c->out, len);
}

bool relay_client_has_room(const struct relay_client *c, size_t len) {
    size_t whole = DERP_HEADER_LEN + DERP_KEY_LEN + len;
    return byteq_room(&c->out) >= CONTROL_ROOM && byteq_room(&c->out) - CONTROL_ROOM >= whole;
}

enum bk_err relay_client_send(struct relay_client *c, const uint8_t dst[RELAY_KEY_LEN],
                              const struct relay_piece *pieces, size_t count) {
    size_t len = relay_pieces_len(pieces, count);
    if (c->state == CLIENT_ENDED)
        return BK_ERR_CLOSED;
    if (len > RELAY_MESSAGE_MAX)
        return BK_ERR_TOO_LONG;
    if (!relay_client_has_room(c, len)) {
        c->starved = true;
        return BK_ERR_FULL;
    }
    uint8_t head[DERP_HEADER_LEN];
    struct wire_writer w = wire_writer(head, sizeof head);
    derp_put_header(&w, DERP_SEND_PACKET, DERP_KEY_LEN + len);
    bk_assert(byteq_push(&c->out, head, w.len) == BK_OK);
    bk_assert(byteq_push(&c->out, dst, DERP_KEY_LEN) == BK_OK);
    for (size_t i = 0; i < count; i++)
        bk_assert(byteq_push(&c->out, pieces[i].data, pieces[i].len) == BK_OK);
    return BK_OK;
}

size_t relay_client_queued(const struct relay_client *c) {
    return byteq_len(&c->hello) + byteq_len(&c->out);
}

static enum bk_err put_control(struct relay_client *c, const struct wire_writer *w) {
    if (c->state == CLIENT_ENDED)
        return BK_ERR_CLOSED;
    return byteq_push(&c->out, w->data, w->len);
}

enum bk_err relay_client_ping(struct relay_client *c, struct bk_time now) {
    uint8_t buf[DERP_HEADER_LEN + DERP_QUIET_LEN], bytes[DERP_PING_LEN];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    rng_fill(&c->rng, bytes, sizeof bytes);
    if (c->config.quiet_s > 0)
        derp_put_quiet_ping(&w, bytes, c->config.quiet_s);
    else
        derp_put_ping(&w, bytes);
    enum bk_err err = put_control(c, &w);
    if (err != BK_OK)
        return err;
    memcpy(c->ping, bytes, sizeof bytes);
    c->now = bk_later(c->now, now);
    c->ping_at = c->now;
    c->silence_us = bk_elapsed_us(c->heard_at, c->now);
    return BK_OK;
}

enum bk_err relay_client_note_preferred(struct relay_client *c, bool preferred) {
    uint8_t buf[DERP_HEADER_LEN + 1];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_note_preferred(&w, preferred);
    return put_control(c, &w);
}

bool relay_client_is_connected(const struct relay_client *c) {
    return c->state == CLIENT_OPEN;
}

const uint8_t *relay_client_key(const struct relay_client *c) {
    return c->key;
}
