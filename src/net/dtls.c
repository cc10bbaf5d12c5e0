/* SPDX-License-Identifier: MIT
 * GnuTLS asks for datagrams and gets the one that has just come, or EAGAIN; what it sends goes to
 * the socket. Its retransmission timer becomes one of the loop's. A failure is told by a deferred
 * call, so that on_close never comes from inside the owner's own call. */
#define _GNU_SOURCE /* NOLINT: ssize_t is POSIX's */
#include "net/dtls.h"

#include "base/text.h"
#include "net/loop_private.h"
#include "net/tls_private.h"
#include "net/udp.h"
#include <errno.h>
#include <gnutls/dtls.h>
#include <string.h>

enum {
    HANDSHAKE_MTU = 1200, /* fragments that any path carries, RFC 9147 section 4.4 */
    DATA_MTU = 16384 + 256,
    DATA_MAX = 16384, /* a record's content, RFC 6347 section 4.1 */
    QUEUE_MAX = 262144
};

enum dtls_state { DTLS_HANDSHAKE, DTLS_OPEN, DTLS_FAILED };

struct net_dtls {
    struct net_loop *loop;
    struct net_udp *udp;
    struct net_tls *tls;
    gnutls_session_t session;
    struct net_dtls_events events;
    void *ctx;
    enum dtls_state state;
    struct bk_addr to;
    struct bk_time give_up;
    struct net_timer timer;    /* the handshake's retransmissions and end */
    struct net_deferred later; /* the first flight, or the failure */
    const uint8_t *in;         /* the datagram being read; NULL: none */
    size_t in_len;
    uint32_t calls; /* of the owner's that we are in */
    bool closed;    /* in one of them */
    enum bk_err failed;
    char reason[NET_REASON_MAX];
};

const struct net_dtls_config net_dtls_config_default = {.open_timeout_us = 10000000};

/* --- GnuTLS's side --- */

static ssize_t on_pull(gnutls_transport_ptr_t ptr, void *out, size_t len) {
    struct net_dtls *d = ptr;
    if (d->in == NULL) {
        gnutls_transport_set_errno(d->session, EAGAIN);
        return -1;
    }
    size_t n = d->in_len < len ? d->in_len : len;
    memcpy(out, d->in, n);
    d->in = NULL;
    return (ssize_t)n;
}

static int on_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms) {
    const struct net_dtls *d = ptr;
    (void)ms;
    return d->in != NULL ? 1 : 0;
}

static ssize_t on_push(gnutls_transport_ptr_t ptr, const void *data, size_t len) {
    struct net_dtls *d = ptr;
    const struct bk_datagram out = {.remote = d->to, .data = data, .len = len};
    /* What does not leave is lost, as on any network: the handshake repeats itself. */
    enum bk_err err = net_udp_send(d->udp, &out);
    (void)err;
    return (ssize_t)len;
}

/* --- ends --- */

static void destroy(struct net_dtls *d) {
    net_timer_set(&d->timer, BK_NEVER);
    net_defer_cancel(&d->later);
    if (d->session != NULL)
        tls_session_free(d->session);
    net_udp_close(d->udp);
    net_tls_unref(d->tls);
    loop_put(d->loop, d);
}

void net_dtls_close(struct net_dtls *d) {
    if (d == NULL)
        return;
    if (d->state == DTLS_OPEN)
        (void)gnutls_bye(d->session, GNUTLS_SHUT_WR);
    d->state = DTLS_FAILED;
    d->closed = true;
    if (d->calls == 0)
        destroy(d);
}

/* Back from a call of the owner's. false: it closed us. */
static bool survived(struct net_dtls *d) {
    bool alive = !d->closed;
    if (--d->calls == 0 && !alive)
        destroy(d);
    return alive;
}

static void fail(struct net_dtls *d, enum bk_err err, const char *reason) {
    if (d->state == DTLS_FAILED)
        return;
    d->state = DTLS_FAILED;
    d->failed = err;
    if (reason != NULL)
        tls_reason(d->reason, reason, NULL, NULL);
    net_timer_set(&d->timer, BK_NEVER);
    net_defer(&d->later);
}

static void fail_tls(struct net_dtls *d, int error) {
    if (error == GNUTLS_E_CERTIFICATE_ERROR || error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
        fail(d, BK_ERR_AUTH, d->reason[0] == '\0' ? gnutls_strerror(error) : NULL);
    else if (error == GNUTLS_E_TIMEDOUT)
        fail(d, BK_ERR_TIMEOUT, "the other side does not answer");
    else
        fail(d, BK_ERR_IO, gnutls_strerror(error));
}

/* --- moving on --- */

static void wait_for_answer(struct net_dtls *d) {
    struct bk_time now = net_now(d->loop);
    int64_t wait_us = (int64_t)gnutls_dtls_get_timeout(d->session) * BK_US_PER_MS;
    net_timer_set(&d->timer, bk_earlier(bk_after(now, wait_us + BK_US_PER_MS), d->give_up));
}

/* Takes the handshake as far as the datagrams allow. false: the owner closed us. */
static bool handshake(struct net_dtls *d) {
    int result;
    do {
        result = gnutls_handshake(d->session);
    } while (result < 0 && result != GNUTLS_E_AGAIN && gnutls_error_is_fatal(result) == 0);
    if (result == GNUTLS_E_AGAIN) {
        wait_for_answer(d);
    } else if (result != 0) {
        (void)gnutls_alert_send_appropriate(d->session, result);
        fail_tls(d, result);
    } else {
        d->state = DTLS_OPEN;
        net_timer_set(&d->timer, BK_NEVER);
        gnutls_dtls_set_mtu(d->session, DATA_MTU);
        d->calls++;
        d->events.on_open(d->ctx);
        return survived(d);
    }
    return true;
}

/* The records of one datagram. false: the owner closed us. */
static bool read_records(struct net_dtls *d) {
    uint8_t plain[DATA_MAX];
    while (d->state == DTLS_OPEN) {
        ssize_t got = gnutls_record_recv(d->session, plain, sizeof plain);
        if (got == GNUTLS_E_AGAIN)
            return true;
        if (got == 0) {
            fail(d, BK_ERR_CLOSED, "the other side closed the connection");
        } else if (got < 0) {
            if (gnutls_error_is_fatal((int)got) != 0)
                fail_tls(d, (int)got);
        } else {
            d->calls++;
            d->events.on_message(d->ctx, plain, (size_t)got);
            if (!survived(d))
                return false;
        }
    }
    return true;
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct net_dtls *d = ctx;
    (void)now;
    for (size_t i = 0; i < n; i++) {
        if (!bk_addr_equal(&in[i].remote, &d->to))
            continue;
        d->in = in[i].data;
        d->in_len = in[i].len;
        if (d->state == DTLS_HANDSHAKE && !handshake(d))
            return;
        if (d->state == DTLS_OPEN && !read_records(d))
            return;
        d->in = NULL;
    }
}

static void on_timer(void *ctx, struct bk_time now) {
    struct net_dtls *d = ctx;
    if (bk_due(d->give_up, now))
        fail(d, BK_ERR_TIMEOUT, "the other side does not answer");
    else
        (void)handshake(d);
}

static void on_later(void *ctx) {
    struct net_dtls *d = ctx;
    if (d->state == DTLS_HANDSHAKE) { /* the client speaks first */
        (void)handshake(d);
        return;
    }
    struct net_dtls_events events = d->events;
    void *owner = d->ctx;
    enum bk_err err = d->failed;
    char reason[NET_REASON_MAX];
    memcpy(reason, d->reason, sizeof reason);
    destroy(d);
    events.on_close(owner, err, reason);
}

/* --- life --- */

static enum bk_err open_socket(struct net_dtls *d, const struct bk_addr *from) {
    const struct net_udp_events events = {.on_batch = on_batch, .ctx = d};
    struct net_udp_config config = net_udp_config_default;
    struct bk_addr bind = *from;
    config.queue_max = QUEUE_MAX;
    config.v6only = true;
    if (bind.ip.family == BK_FAMILY_NONE)
        bind.ip.family = d->to.ip.family;
    return net_udp_open(d->loop, &bind, &config, &events, &d->udp);
}

static void bind_session(struct net_dtls *d) {
    gnutls_transport_set_ptr(d->session, d);
    gnutls_transport_set_pull_function(d->session, on_pull);
    gnutls_transport_set_pull_timeout_function(d->session, on_pull_timeout);
    gnutls_transport_set_push_function(d->session, on_push);
    gnutls_dtls_set_mtu(d->session, HANDSHAKE_MTU);
}

enum bk_err net_dtls_connect(struct net_loop *loop, const struct bk_addr *to,
                             const struct net_dtls_config *config,
                             const struct net_dtls_events *events, void *ctx,
                             struct net_dtls **out) {
    struct net_dtls *d = loop_get(loop, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    d->loop = loop;
    d->events = *events;
    d->ctx = ctx;
    d->to = *to;
    d->tls = net_tls_ref(config->tls);
    d->give_up = bk_after(net_now(loop), config->open_timeout_us);
    net_timer_init(&d->timer, loop, on_timer, d);
    net_deferred_init(&d->later, loop, on_later, d);
    enum bk_err err = open_socket(d, &config->from);
    if (err == BK_OK)
        err = tls_session_new_datagram(d->tls, config->server_name, d->reason, &d->session);
    if (err != BK_OK) {
        destroy(d);
        return err;
    }
    bind_session(d);
    net_defer(&d->later);
    *out = d;
    return BK_OK;
}

enum bk_err net_dtls_send(struct net_dtls *d, const void *data, size_t len) {
    if (d->state != DTLS_OPEN)
        return BK_ERR_STATE;
    if (len > DATA_MAX)
        return BK_ERR_TOO_LONG;
    if (net_udp_backlog(d->udp) > 0)
        return BK_ERR_FULL;
    ssize_t sent = gnutls_record_send(d->session, data, len);
    return sent == (ssize_t)len ? BK_OK : BK_ERR_IO;
}

struct bk_addr net_dtls_local(const struct net_dtls *d) {
    return net_udp_local(d->udp);
}
