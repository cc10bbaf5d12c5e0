/* SPDX-License-Identifier: MIT
 * Life and calls of a stream; the rules are in stream_private.h. */
#define _GNU_SOURCE /* NOLINT: the TCP options needs it */
#include "net/stream_private.h"

#include "base/assert.h"
#include "base/text.h"
#include "base/wipe.h"
#include "net/metacert.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum {
    OUT_FIRST = 4096, /* first size of the write buffer; it doubles up to write_max */
    OPEN_TIMEOUT_US = 10000000,
    USER_TIMEOUT_MS = 15000, /* unacknowledged data this old ends the connection */
    KEEPALIVE_S = 60,        /* keeps NAT mappings alive: RFC 5382 REQ-5 allows no less than 2 h,
                                real ones forget after minutes */
    KEEPALIVE_GAP_S = 15,
    KEEPALIVE_PROBES = 4,
    UNSENT_MAX = 131072, /* bytes the kernel may hold unsent: more would only be delay, out of reach
                            of whoever decides what goes first */
    SERVER_NAME_MAX = 254
};

const struct net_stream_config net_stream_config_default = {
    .write_max = 262144,
    .write_low = 65536,
    .open_timeout_us = OPEN_TIMEOUT_US,
};

static void on_later(void *ctx);
static void on_timer(void *ctx, struct bk_time now);

/* One function writes the state. */
static void set_state(struct net_stream *s, enum stream_state state) {
    static const bool may[][5] = {
        [STREAM_DIALING] = {[STREAM_HANDSHAKE] = true,
                            [STREAM_OPEN] = true,
                            [STREAM_FAILED] = true,
                            [STREAM_ENDED] = true},
        [STREAM_HANDSHAKE] = {[STREAM_OPEN] = true, [STREAM_FAILED] = true, [STREAM_ENDED] = true},
        [STREAM_OPEN] = {[STREAM_HANDSHAKE] = true, /* net_stream_start_tls() */
                         [STREAM_FAILED] = true,
                         [STREAM_ENDED] = true},
        [STREAM_FAILED] = {[STREAM_ENDED] = true},
        [STREAM_ENDED] = {false},
    };
    bk_assert(may[s->state][state]);
    s->state = state;
}

enum bk_err stream_new(struct net_loop *loop, const struct net_stream_config *config,
                       struct net_stream **out) {
    struct net_stream *s = loop_get(loop, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    s->loop = loop;
    s->fd = -1;
    s->write_max = config->write_max;
    s->write_low = config->write_low;
    net_deferred_init(&s->later, loop, on_later, s);
    net_timer_init(&s->timer, loop, on_timer, s);
    s->open_timeout_us = config->open_timeout_us;
    net_timer_set(&s->timer, bk_after(net_now(loop), s->open_timeout_us));
    if (config->tls != NULL)
        s->tls = net_tls_ref(config->tls);
    s->next = loop->streams;
    if (s->next != NULL)
        s->next->prev = s;
    loop->streams = s;
    *out = s;
    return BK_OK;
}

static void leave_list(struct net_stream *s) {
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->loop->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
}

void loop_end_streams(struct net_loop *loop) {
    while (loop->streams != NULL)
        stream_end(loop->streams);
}

static void stream_free(struct net_stream *s) {
    if (s->session != NULL)
        tls_session_free(s->session);
    net_tls_unref(s->tls);
    loop_put(s->loop, s->server_name);
    loop_put(s->loop, s->out);
    loop_put(s->loop, s->held);
    loop_put(s->loop, s);
}

static void on_closed(uv_handle_t *handle) {
    stream_free(handle->data);
}

static void on_reap(void *ctx) {
    stream_free(ctx);
}

/* The rest of an end: what can go now goes, the descriptor and libuv's handle by the caller. */
static void end_life(struct net_stream *s) {
    set_state(s, STREAM_ENDED);
    leave_list(s);
    net_timer_set(&s->timer, BK_NEVER);
    net_defer_cancel(&s->later);
    dial_cancel(s->dial);
    s->dial = NULL;
}

int stream_end_but_fd(struct net_stream *s) {
    int fd = s->fd;
    bk_assert(fd >= 0 && s->state != STREAM_ENDED);
    end_life(s);
    s->fd = -1;
    uv_close((uv_handle_t *)&s->poll, on_closed); /* which forgets the descriptor at once */
    return fd;
}

void stream_end(struct net_stream *s) {
    if (s->state == STREAM_ENDED)
        return;
    end_life(s);
    if (s->fd < 0) {
        s->later.run = on_reap; /* nothing of libuv's to wait for, but callers to return to */
        net_defer(&s->later);
        return;
    }
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd); /* last: libuv names it once more while closing, and it may soon be another's */
    s->fd = -1;
}

void stream_fail(struct net_stream *s, enum bk_err err, const char *reason) {
    if (s->state == STREAM_FAILED || s->state == STREAM_ENDED)
        return;
    set_state(s, STREAM_FAILED);
    s->failed = err;
    if (reason != NULL) {
        struct text t = text_in(s->reason, sizeof s->reason);
        text_str(&t, reason);
    }
    net_timer_set(&s->timer, BK_NEVER);
    stream_watch(s);
    net_defer(&s->later);
}

/* The deferred call: flush, use what was left unread, or tell the failure. */
static void on_later(void *ctx) {
    struct net_stream *s = ctx;
    if (s->state != STREAM_FAILED) {
        stream_send(s);
        if (s->in_len > 0 || (s->session != NULL && gnutls_record_check_pending(s->session) > 0))
            stream_read(s);
        return;
    }
    struct net_stream_events events = s->events;
    void *owner = s->ctx;
    bool tell = !s->finishing && events.on_close != NULL;
    enum bk_err err = s->failed;
    char reason[NET_REASON_MAX];
    memcpy(reason, s->reason, sizeof reason);
    stream_end(s);
    if (tell)
        events.on_close(owner, err, reason);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct net_stream *s = ctx;
    (void)now;
    if (s->finishing) {
        stream_end(s);
        return;
    }
    stream_fail(s, BK_ERR_TIMEOUT,
                s->state == STREAM_DIALING ? "the other side does not answer"
                                           : "the other side does not finish the TLS handshake");
}

static void set_int(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void set_options(int fd) {
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_USER_TIMEOUT
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
#endif
#ifdef TCP_NOTSENT_LOWAT
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX);
#endif
#ifdef TCP_KEEPIDLE
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_GAP_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
#endif
}

static enum bk_err start_session(struct net_stream *s) {
    enum bk_err err = tls_session_new(s->tls, s->server_name, s->reason, &s->session);
    if (err != BK_OK)
        return err;
    stream_bind_session(s);
    set_state(s, STREAM_HANDSHAKE);
    stream_watch(s);
    return BK_OK;
}

enum bk_err stream_take_socket(struct net_stream *s, int fd, const struct bk_addr *remote) {
    union net_sockaddr sa;
    socklen_t len = sizeof sa;
    if (uv_poll_init(s->loop->uv, &s->poll, fd) != 0) {
        close(fd);
        return BK_ERR_IO;
    }
    s->fd = fd;
    s->poll.data = s;
    s->remote = *remote;
    if (getsockname(fd, &sa.any, &len) == 0)
        sockaddr_to(&sa, &s->local);
    set_options(fd);
    return s->tls == NULL ? BK_OK /* the caller opens it when the owner is ready to hear */
                          : start_session(s);
}

enum bk_err net_stream_start_tls(struct net_stream *s, struct net_tls *tls, const uint8_t *data,
                                 size_t len) {
    bool plain = s->session == NULL && s->fd >= 0 && s->dial == NULL;
    if (!plain || (s->state != STREAM_DIALING && s->state != STREAM_OPEN) || s->out_len > 0)
        return BK_ERR_STATE;
    s->tls = net_tls_ref(tls);
    enum bk_err err = start_session(s);
    if (err != BK_OK)
        return err;
    net_timer_set(&s->timer, bk_after(net_now(s->loop), s->open_timeout_us));
    s->in = data; /* stream_read() goes on with it after this callback */
    s->in_len = len;
    return BK_OK;
}

enum bk_err stream_resume_socket(struct net_stream *s, int fd) {
    if (uv_poll_init(s->loop->uv, &s->poll, fd) != 0) {
        close(fd);
        return BK_ERR_IO;
    }
    s->fd = fd;
    s->poll.data = s;
    set_state(s, STREAM_OPEN);
    net_timer_set(&s->timer, BK_NEVER);
    if (s->session != NULL)
        stream_bind_session(s);
    stream_watch(s);
    net_defer(&s->later); /* for what it brought along in both directions */
    return BK_OK;
}

void stream_opened(struct net_stream *s) {
    set_state(s, STREAM_OPEN);
    net_timer_set(&s->timer, BK_NEVER);
    stream_watch(s);
    if (s->events.on_open != NULL)
        s->events.on_open(s->ctx);
}

static void on_dialed(void *ctx, int fd, const struct bk_addr *remote, enum bk_err err,
                      const char *reason) {
    struct net_stream *s = ctx;
    s->dial = NULL;
    if (fd < 0) {
        stream_fail(s, err, reason);
        return;
    }
    err = stream_take_socket(s, fd, remote);
    if (err != BK_OK)
        stream_fail(s, err, bk_err_text(err));
    else if (s->session == NULL)
        stream_opened(s);
    else
        stream_read(s); /* the client speaks first */
}

static enum bk_err set_server_name(struct net_stream *s, const char *name) {
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0)
        return BK_OK;
    if (len >= SERVER_NAME_MAX)
        return BK_ERR_ARGUMENT;
    s->server_name = loop_get(s->loop, len + 1);
    if (s->server_name == NULL)
        return BK_ERR_NO_MEMORY;
    memcpy(s->server_name, name, len);
    return BK_OK;
}

static enum bk_err start(struct net_loop *loop, const struct dial_target *target,
                         const struct net_stream_config *config,
                         const struct net_stream_events *events, void *ctx,
                         struct net_stream **out) {
    struct net_stream *s;
    if (target->port == 0 || events->on_bytes == NULL || events->on_close == NULL)
        return BK_ERR_ARGUMENT;
    enum bk_err err = stream_new(loop, config, &s);
    if (err != BK_OK)
        return err;
    s->events = *events;
    s->ctx = ctx;
    const struct dial_events dial_events = {on_dialed, s};
    err = set_server_name(s, config->server_name == NULL ? target->host : config->server_name);
    if (err == BK_OK)
        err = dial_new(loop, target, &dial_events, &s->dial);
    if (err != BK_OK) {
        stream_end(s);
        return err;
    }
    *out = s;
    return BK_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the port belongs beside its host */
enum bk_err net_stream_connect(struct net_loop *loop, const char *host, uint16_t port,
                               const struct net_stream_config *config,
                               const struct net_stream_events *events, void *ctx,
                               struct net_stream **out) {
    const struct dial_target target = {.host = host, .port = port, .from = config->from};
    return start(loop, &target, config, events, ctx, out);
}

enum bk_err net_stream_connect_addr(struct net_loop *loop, const struct bk_addr *to,
                                    const struct net_stream_config *config,
                                    const struct net_stream_events *events, void *ctx,
                                    struct net_stream **out) {
    const struct dial_target target = {.to = to, .port = to->port, .from = config->from};
    return start(loop, &target, config, events, ctx, out);
}

/* Makes room for `len` more bytes, which fit within write_max. */
static enum bk_err grow(struct net_stream *s, size_t len) {
    size_t need = s->out_len + len, cap = s->out_cap == 0 ? OUT_FIRST : s->out_cap;
    if (s->out_head + need <= s->out_cap)
        return BK_OK;
    while (cap < need)
        cap *= 2;
    if (cap == s->out_cap) {
        memmove(s->out, s->out + s->out_head, s->out_len);
        s->out_head = 0;
        return BK_OK;
    }
    uint8_t *bigger = loop_get(s->loop, cap);
    if (bigger == NULL)
        return BK_ERR_NO_MEMORY;
    if (s->out_len > 0)
        memcpy(bigger, s->out + s->out_head, s->out_len);
    loop_put(s->loop, s->out);
    s->out = bigger;
    s->out_cap = cap;
    s->out_head = 0;
    return BK_OK;
}

enum bk_err net_stream_write_pieces(struct net_stream *s, const struct net_piece *pieces,
                                    size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += pieces[i].len;
    if (s->state != STREAM_OPEN || s->shut)
        return BK_ERR_STATE;
    if (len > s->write_max)
        return BK_ERR_TOO_LONG;
    if (s->out_len > s->write_max || len > s->write_max - s->out_len) {
        s->was_full = true;
        return BK_ERR_FULL;
    }
    if (len == 0)
        return BK_OK;
    enum bk_err err = grow(s, len);
    if (err != BK_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0)
            memcpy(s->out + s->out_head + s->out_len, pieces[i].data, pieces[i].len);
        s->out_len += pieces[i].len;
    }
    s->was_full = s->was_full || s->out_len >= s->write_max;
    if (!s->blocked)
        loop_defer_late(&s->later);
    return BK_OK;
}

enum bk_err net_stream_write(struct net_stream *s, const void *data, size_t len) {
    const struct net_piece piece = {data, len};
    return net_stream_write_pieces(s, &piece, 1);
}

enum bk_err net_stream_write_through(struct net_stream *s, const void *data, size_t len) {
    size_t sent = 0;
    bool straight = s->state == STREAM_OPEN && !s->shut && s->session == NULL && s->out_len == 0 &&
                    !s->blocked && len <= s->write_max;
    if (straight)
        sent = stream_send_some(s, data, len);
    if (s->state != STREAM_OPEN)
        return BK_ERR_STATE;
    enum bk_err err = net_stream_write(s, (const uint8_t *)data + sent, len - sent);
    if (straight && sent < len)
        stream_watch(s); /* the kernel took no more: it will say when it does */
    return err;
}

void net_stream_want_room(struct net_stream *s) {
    s->was_full = true;
    if (s->out_len <= s->write_low)
        loop_defer_late(&s->later);
}

void net_stream_set_buffer(struct net_stream *s, size_t write_max, size_t write_low) {
    s->write_max = write_max;
    s->write_low = write_low;
}

size_t net_stream_room(const struct net_stream *s) {
    bool takes = s->state == STREAM_OPEN && !s->shut && s->out_len < s->write_max;
    return takes ? s->write_max - s->out_len : 0;
}

size_t net_stream_pending(const struct net_stream *s) {
    return s->out_len;
}

void net_stream_flush(struct net_stream *s) {
    if (!s->blocked)
        stream_send(s);
}

void net_stream_shutdown(struct net_stream *s) {
    if (s->state != STREAM_OPEN)
        return;
    s->shut = true;
    loop_defer_late(&s->later);
}

void net_stream_pause(struct net_stream *s) {
    s->paused = true;
    stream_watch(s);
}

void net_stream_resume(struct net_stream *s) {
    if (!s->paused)
        return;
    s->paused = false;
    stream_watch(s);
    net_defer(&s->later); /* there may be bytes no poll will announce */
}

void net_stream_close(struct net_stream *s) {
    if (s != NULL)
        stream_end(s);
}

void net_stream_finish(struct net_stream *s, int64_t linger_us) {
    if (s->state != STREAM_OPEN) {
        stream_end(s);
        return;
    }
    s->finishing = true;
    s->paused = false;
    s->shut = true;
    net_timer_set(&s->timer, bk_after(net_now(s->loop), linger_us));
    stream_watch(s);
    loop_defer_late(&s->later);
}

void net_stream_adopt(struct net_stream *s, const struct net_stream_events *events, void *ctx) {
    s->events = *events;
    s->ctx = ctx;
}

void net_stream_no_keepalive(struct net_stream *s) {
    if (s->fd >= 0)
        set_int(s->fd, SOL_SOCKET, SO_KEEPALIVE, 0);
}

struct bk_addr net_stream_local(const struct net_stream *s) {
    return s->local;
}

struct bk_addr net_stream_remote(const struct net_stream *s) {
    return s->remote;
}

enum bk_err net_stream_peer_cert(const struct net_stream *s, size_t index, const uint8_t **der,
                                 size_t *len) {
    unsigned count = 0;
    const gnutls_datum_t *chain =
        s->session == NULL ? NULL : gnutls_certificate_get_peers(s->session, &count);
    if (chain == NULL || index >= count)
        return BK_ERR_NOT_FOUND;
    *der = chain[index].data;
    *len = chain[index].size;
    return BK_OK;
}

enum bk_err net_stream_relay_key(const struct net_stream *s, uint8_t relay_key[32]) {
    unsigned count = 0;
    if (net_stream_tls_version(s) != 13)
        return BK_ERR_UNSUPPORTED;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(s->session, &count);
    return chain == NULL ? BK_ERR_NOT_FOUND : net_metacert_find(chain, count, relay_key);
}

bool net_stream_is_alpn(const struct net_stream *s, const char *name) {
    return s->session != NULL && tls_session_is_alpn(s->session, name);
}

unsigned net_stream_tls_version(const struct net_stream *s) {
    if (s->session == NULL)
        return 0;
    return gnutls_protocol_get_version(s->session) == GNUTLS_TLS1_3 ? 13 : 12;
}
