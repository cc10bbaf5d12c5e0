/* SPDX-License-Identifier: MIT
 * A stream on its way from one loop to another: its descriptor, its TLS session, and copies of what
 * is buffered. Everything here is made with the loop's allocator but counted by no loop. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/stream_private.h"

#include <string.h>
#include <unistd.h>

struct net_stream_pack {
    struct bk_alloc alloc;
    int fd;
    struct bk_addr local, remote;
    struct net_tls *tls;
    gnutls_session_t session;
    uint8_t *in, *out;
    size_t in_len, out_len, in_record;
    size_t write_max, write_low;
    int64_t open_timeout_us;
    bool in_end, paused, read_ended, shut, shut_out;
};

static bool copy(const struct bk_alloc *alloc, const uint8_t *from, size_t len, uint8_t **to) {
    if (len == 0)
        return true;
    *to = alloc->get(alloc->ctx, len);
    if (*to == NULL)
        return false;
    memcpy(*to, from, len);
    return true;
}

void net_stream_pack_drop(struct net_stream_pack *pack) {
    if (pack == NULL)
        return;
    struct bk_alloc alloc = pack->alloc;
    if (pack->session != NULL)
        tls_session_free(pack->session);
    net_tls_unref(pack->tls);
    if (pack->fd >= 0)
        close(pack->fd);
    alloc.put(alloc.ctx, pack->in);
    alloc.put(alloc.ctx, pack->out);
    alloc.put(alloc.ctx, pack);
}

static void fill_pack(struct net_stream_pack *pack, const struct net_stream *s) {
    pack->local = s->local;
    pack->remote = s->remote;
    pack->in_len = s->in_len;
    pack->out_len = s->out_len;
    pack->in_record = s->in_record;
    pack->write_max = s->write_max;
    pack->write_low = s->write_low;
    pack->open_timeout_us = s->open_timeout_us;
    pack->in_end = s->in_end;
    pack->paused = s->paused;
    pack->read_ended = s->read_ended;
    pack->shut = s->shut;
    pack->shut_out = s->shut_out;
}

enum bk_err net_stream_pack(struct net_stream *s, struct net_stream_pack **out) {
    const struct bk_alloc *alloc = &s->loop->alloc;
    if (s->state != STREAM_OPEN || s->finishing)
        return BK_ERR_STATE;
    struct net_stream_pack *pack = alloc->get(alloc->ctx, sizeof *pack);
    if (pack == NULL)
        return BK_ERR_NO_MEMORY;
    pack->alloc = *alloc;
    pack->fd = -1;
    if (!copy(alloc, s->in, s->in_len, &pack->in) ||
        (s->out_len > 0 && !copy(alloc, s->out + s->out_head, s->out_len, &pack->out))) {
        net_stream_pack_drop(pack);
        return BK_ERR_NO_MEMORY;
    }
    fill_pack(pack, s);
    pack->session = s->session;
    pack->tls = s->tls;
    s->session = NULL;
    s->tls = NULL;
    pack->fd = stream_end_but_fd(s);
    *out = pack;
    return BK_OK;
}

/* Moves `*from`, which no loop counts, into memory of `loop`. */
static bool take_bytes(struct net_loop *loop, const uint8_t *from, size_t len, uint8_t **to) {
    if (len == 0)
        return true;
    *to = loop_get(loop, len);
    if (*to == NULL)
        return false;
    memcpy(*to, from, len);
    return true;
}

static enum bk_err take_rest(struct net_stream *s, struct net_stream_pack *pack) {
    if (!take_bytes(s->loop, pack->in, pack->in_len, &s->held) ||
        !take_bytes(s->loop, pack->out, pack->out_len, &s->out))
        return BK_ERR_NO_MEMORY;
    s->in = s->held;
    s->in_len = pack->in_len;
    s->out_len = s->out_cap = pack->out_len;
    s->in_record = pack->in_record;
    s->local = pack->local;
    s->remote = pack->remote;
    s->in_end = pack->in_end;
    s->paused = pack->paused;
    s->read_ended = pack->read_ended;
    s->shut = pack->shut;
    s->shut_out = pack->shut_out;
    return BK_OK;
}

enum bk_err net_stream_unpack(struct net_loop *loop, struct net_stream_pack *pack,
                              const struct net_stream_events *events, void *ctx,
                              struct net_stream **out) {
    const struct net_stream_config config = {.write_max = pack->write_max,
                                             .write_low = pack->write_low,
                                             .open_timeout_us = pack->open_timeout_us};
    struct net_stream *s;
    enum bk_err err = stream_new(loop, &config, &s);
    if (err == BK_OK) {
        err = take_rest(s, pack);
        if (err == BK_OK) {
            s->events = *events;
            s->ctx = ctx;
            s->tls = pack->tls;
            s->session = pack->session;
            pack->tls = NULL;
            pack->session = NULL;
            int fd = pack->fd;
            pack->fd = -1;
            err = stream_resume_socket(s, fd);
        }
        if (err != BK_OK)
            stream_end(s);
    }
    net_stream_pack_drop(pack);
    if (err == BK_OK)
        *out = s;
    return err;
}
