/* SPDX-License-Identifier: MIT
 * Moving a stream's bytes. Received bytes land in the loop's buffer and are used up before anything
 * else can receive into it; only a stream that is paused in the middle keeps a copy of the rest. So
 * an idle stream owns no buffers: that is what makes ten thousand of them cheap. */
#define _GNU_SOURCE /* NOLINT: struct iovec, and libuv needs it */
#include "net/stream_private.h"

#include "base/assert.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    READ_ROUNDS = 8,         /* receive calls per turn: other streams want their turn too */
    READ_SIZE = 65536,       /* bytes per receive call */
    RECORD_MAX = 16384,      /* RFC 8446 section 5.1 */
    PLAIN_AT = 2 * READ_SIZE /* where in the loop's buffer decrypted bytes go */
};

void stream_watch(struct net_stream *s) {
    int wanted = 0;
    if (s->fd < 0)
        return;
    bool live = s->state == STREAM_HANDSHAKE || s->state == STREAM_OPEN;
    if (live && !s->in_end && (!s->paused || s->state == STREAM_HANDSHAKE))
        wanted |= UV_READABLE;
    if (live && s->blocked)
        wanted |= UV_WRITABLE;
    if (wanted == s->watched)
        return;
    s->watched = wanted;
    if (wanted == 0)
        uv_poll_stop(&s->poll);
    else
        bk_assert(uv_poll_start(&s->poll, wanted, stream_on_poll) == 0);
}

static bool is_live(const struct net_stream *s) {
    return s->state == STREAM_HANDSHAKE || s->state == STREAM_OPEN;
}

static void fail_io(struct net_stream *s, int error) {
    enum bk_err err = loop_err(error);
    if (err == BK_ERR_CLOSED)
        stream_fail(s, err, "the other side cut the connection");
    else if (err == BK_ERR_TIMEOUT)
        stream_fail(s, err, "the other side does not answer any more");
    else
        stream_fail(s, err, strerror(error));
}

static void fail_tls(struct net_stream *s, int error) {
    if (error == GNUTLS_E_CERTIFICATE_ERROR || error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        stream_fail(s, BK_ERR_AUTH, s->reason[0] == '\0' ? gnutls_strerror(error) : NULL);
    } else if (error == GNUTLS_E_PREMATURE_TERMINATION || error == GNUTLS_E_PUSH_ERROR ||
               error == GNUTLS_E_PULL_ERROR) {
        stream_fail(s, BK_ERR_CLOSED, "the other side cut the connection");
    } else {
        struct text t = text_in(s->reason, sizeof s->reason);
        text_str(&t, "TLS failed: ");
        text_str(&t, error == GNUTLS_E_FATAL_ALERT_RECEIVED
                         ? gnutls_alert_get_name(gnutls_alert_get(s->session))
                         : gnutls_strerror(error));
        while (t.len > 0 && t.out[t.len - 1] == '.')
            t.out[--t.len] = '\0';
        stream_fail(s, BK_ERR_IO, NULL);
    }
}

/* GnuTLS asks for received bytes. */
static ssize_t on_pull(gnutls_transport_ptr_t ptr, void *out, size_t len) {
    struct net_stream *s = ptr;
    if (s->in_len == 0) {
        if (s->in_end)
            return 0;
        gnutls_transport_set_errno(s->session, EAGAIN);
        return -1;
    }
    size_t n = len < s->in_len ? len : s->in_len;
    memcpy(out, s->in, n);
    s->in += n;
    s->in_len -= n;
    return (ssize_t)n;
}

/* GnuTLS never blocks in a pull; its question whether there is anything is answered from memory. */
static int on_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms) {
    const struct net_stream *s = ptr;
    (void)ms;
    return s->in_len > 0 || s->in_end ? 1 : 0;
}

static ssize_t on_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count) {
    struct net_stream *s = ptr;
    union { /* sendmsg() takes no const */
        const giovec_t *in;
        struct iovec *out;
    } pieces = {.in = iov};
    const struct msghdr message = {.msg_iov = pieces.out, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        gnutls_transport_set_errno(s->session, errno);
    return sent;
}

void stream_bind_session(struct net_stream *s) {
    gnutls_transport_set_ptr(s->session, s);
    gnutls_transport_set_pull_function(s->session, on_pull);
    gnutls_transport_set_pull_timeout_function(s->session, on_pull_timeout);
    gnutls_transport_set_vec_push_function(s->session, on_push);
}

/* Receives into the loop's buffer. false: nothing there, or an end or error, which is noted. */
static bool fill(struct net_stream *s) {
    ssize_t got;
    if (s->in_end)
        return false;
    do {
        got = recv(s->fd, s->loop->rx, READ_SIZE, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (got < 0) {
        fail_io(s, errno);
        return false;
    }
    s->in = s->loop->rx;
    s->in_len = (size_t)got;
    s->in_end = got == 0;
    return true;
}

static void deliver(struct net_stream *s, const uint8_t *data, size_t len) {
    if (!s->finishing)
        s->events.on_bytes(s->ctx, data, len);
}

/* The other side's end, told once. */
static void tell_end(struct net_stream *s) {
    if (s->read_ended)
        return;
    s->read_ended = true;
    if (s->finishing) {
        if (s->shut_out)
            stream_end(s);
        else
            stream_watch(s); /* what is buffered still leaves; send_end() then ends it */
        return;
    }
    if (s->events.on_eof != NULL)
        s->events.on_eof(s->ctx);
    if (s->state != STREAM_OPEN)
        return;
    if (s->shut_out)
        stream_fail(s, BK_OK, "both sides are done");
    else if (s->events.on_eof == NULL)
        stream_fail(s, BK_ERR_CLOSED, "the other side closed the connection");
    else
        stream_watch(s);
}

static void use_plain(struct net_stream *s) {
    const uint8_t *data = s->in;
    size_t len = s->in_len;
    s->in_len = 0;
    if (len > 0)
        deliver(s, data, len);
    else if (s->in_end)
        tell_end(s);
}

static void use_records(struct net_stream *s) {
    uint8_t *plain = s->loop->rx + PLAIN_AT;
    while (s->state == STREAM_OPEN && !s->paused && !s->read_ended) {
        ssize_t got = gnutls_record_recv(s->session, plain, RECORD_MAX);
        if (got == GNUTLS_E_AGAIN)
            return;
        if (got > 0) {
            deliver(s, plain, (size_t)got);
        } else if (got == 0) {
            s->in_end = true;
            tell_end(s);
        } else if (got == GNUTLS_E_REHANDSHAKE) { /* TLS 1.2 renegotiation: RFC 9325 says no */
            (void)gnutls_alert_send(s->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
        } else if (gnutls_error_is_fatal((int)got) != 0) {
            fail_tls(s, (int)got);
        }
    }
}

/* Takes the handshake as far as the received bytes allow. */
static void use_handshake(struct net_stream *s) {
    int result;
    do {
        result = gnutls_handshake(s->session);
    } while (result < 0 && result != GNUTLS_E_AGAIN && gnutls_error_is_fatal(result) == 0);
    if (result == GNUTLS_E_AGAIN) {
        bool blocked = gnutls_record_get_direction(s->session) == 1;
        if (blocked != s->blocked) {
            s->blocked = blocked;
            stream_watch(s);
        }
        return;
    }
    s->blocked = false;
    if (result == 0) {
        stream_opened(s);
        return;
    }
    (void)gnutls_alert_send_appropriate(s->session, result);
    fail_tls(s, result);
}

static bool is_read(const struct net_stream *s) {
    return s->state == STREAM_OPEN && !s->paused && !s->read_ended;
}

/* Uses what was received. Plain bytes may turn out to be the first ones of TLS. */
static void use(struct net_stream *s) {
    if (s->session == NULL && is_read(s))
        use_plain(s);
    if (s->state == STREAM_HANDSHAKE)
        use_handshake(s);
    if (s->session != NULL && is_read(s))
        use_records(s);
}

/* What is left unread when the turn is over must leave the loop's buffer. */
static void hold_rest(struct net_stream *s, uint8_t *old) {
    uint8_t *rest = NULL;
    if (s->in_len > 0 && is_live(s)) {
        rest = loop_get(s->loop, s->in_len);
        if (rest == NULL)
            stream_fail(s, BK_ERR_NO_MEMORY, "out of memory");
        else
            memcpy(rest, s->in, s->in_len);
    }
    if (rest == NULL)
        s->in_len = 0;
    s->in = s->held = rest;
    loop_put(s->loop, old);
}

void stream_read(struct net_stream *s) {
    uint8_t *old = s->held;
    s->held = NULL; /* ours until hold_rest() */
    use(s);
    for (int round = 0; round < READ_ROUNDS && s->in_len == 0; round++) {
        bool stop = s->paused && s->state == STREAM_OPEN;
        if (!is_live(s) || stop || !fill(s))
            break;
        bool last = s->in_len < READ_SIZE;
        use(s);
        if (last && s->in_len == 0 && !s->in_end)
            break; /* asking again would only hear EAGAIN */
    }
    hold_rest(s, old);
    if (is_live(s))
        stream_watch(s);
}

void stream_on_poll(uv_poll_t *poll, int status, int events) {
    struct net_stream *s = poll->data;
    if (!is_live(s))
        return;
    if (status < 0) {
        /* libuv stops the poll on an error; reading or sending shows which it is. */
        s->watched = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if ((events & UV_WRITABLE) != 0 && s->state == STREAM_OPEN)
        stream_send(s); /* also stops watching for room once nothing is held up */
    if ((events & UV_READABLE) != 0 || s->state == STREAM_HANDSHAKE)
        stream_read(s);
    if (status < 0 && is_live(s) && s->watched == 0) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
            fail_io(s, error);
        else
            stream_watch(s);
    }
}

size_t stream_send_some(struct net_stream *s, const uint8_t *data, size_t len) {
    ssize_t sent;
    do {
        sent = send(s->fd, data, len, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        fail_io(s, errno);
    else if (sent < (ssize_t)len)
        s->blocked = true;
    return sent < 0 ? 0 : (size_t)sent;
}

static size_t send_record(struct net_stream *s) {
    size_t len = s->out_len < RECORD_MAX ? s->out_len : RECORD_MAX;
    /* A record the kernel did not take whole stays in GnuTLS; asking with NULL sends the rest. */
    ssize_t sent = s->in_record > 0 ? gnutls_record_send(s->session, NULL, 0)
                                    : gnutls_record_send(s->session, s->out + s->out_head, len);
    if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED) {
        if (s->in_record == 0)
            s->in_record = len;
        s->blocked = true;
        return 0;
    }
    if (sent < 0) {
        fail_tls(s, (int)sent);
        return 0;
    }
    s->in_record = 0;
    return (size_t)sent;
}

static void release_buffer(struct net_stream *s) {
    loop_put(s->loop, s->out);
    s->out = NULL;
    s->out_head = s->out_len = s->out_cap = 0;
}

/* Sends the end of our side. */
static void send_end(struct net_stream *s) {
    if (s->session != NULL) {
        int result = gnutls_bye(s->session, GNUTLS_SHUT_WR);
        if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED) {
            s->blocked = true;
            stream_watch(s);
            return;
        }
    }
    (void)shutdown(s->fd, SHUT_WR);
    s->shut_out = true;
    if (!s->read_ended)
        return;
    if (s->finishing)
        stream_end(s);
    else
        stream_fail(s, BK_OK, "both sides are done");
}

void stream_send(struct net_stream *s) {
    bool was_blocked = s->blocked;
    if (s->state != STREAM_OPEN)
        return;
    s->blocked = false;
    while (s->out_len > 0 && s->state == STREAM_OPEN && !s->blocked) {
        size_t sent = s->session == NULL ? stream_send_some(s, s->out + s->out_head, s->out_len)
                                         : send_record(s);
        s->out_head += sent;
        s->out_len -= sent;
    }
    if (s->state != STREAM_OPEN)
        return;
    if (s->out_len == 0)
        release_buffer(s);
    if (s->out_len == 0 && s->shut && !s->shut_out)
        send_end(s);
    if (s->state != STREAM_OPEN)
        return;
    if (s->blocked != was_blocked)
        stream_watch(s);
    if (s->was_full && s->out_len <= s->write_low && !s->shut) {
        s->was_full = false;
        if (s->events.on_room != NULL)
            s->events.on_room(s->ctx);
    }
}
