/* SPDX-License-Identifier: MIT
 * As in dtls.c, GnuTLS asks for datagrams and gets the one that has just come, or EAGAIN.
 *
 * A session is freed by end(), at once, or, while calls of its owner or of GnuTLS's are on the
 * stack, when the last of them returns: `calls` counts them. Once `gone` it is in no table. */
#define _GNU_SOURCE /* NOLINT: ssize_t is POSIX's */
#include "net/dtls_server.h"

#include "base/assert.h"
#include "base/links.h"
#include "base/table.h"
#include "base/wipe.h"
#include "net/loop_private.h"
#include "net/tls_private.h"
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/dtls.h>
#include <string.h>

enum {
    HANDSHAKE_MTU = 1200, /* fragments that any path carries, RFC 9147 section 4.4 */
    DATA_MTU = 16384 + 256,
    DATA_MAX = 16384, /* a record's content, RFC 6347 section 4.1 */
    HELLO_MIN = 60,   /* a record with a ClientHello is longer, and a HelloVerifyRequest shorter */
    RECORD_TYPE = 0,  /* RFC 6347 section 4.1 */
    RECORD_EPOCH = 3,
    HANDSHAKE_TYPE = 13, /* section 4.2.2: behind the record's header */
    HELLO_RANDOM = 27,   /* RFC 5246 section 7.4.1.2: behind both headers and the version */
    RANDOM_LEN = 32,
    TYPE_HANDSHAKE = 22,
    CLIENT_HELLO = 1,
    TUPLE_LEN = 2 * 19 /* family, address, port, twice */
};

enum session_state { SESSION_HANDSHAKE, SESSION_OPEN, SESSION_GONE };

struct net_dtls_session {
    struct net_dtls_server *server;
    struct link link;
    struct bk_addr local, remote;
    void *door, *owner;
    gnutls_session_t session;
    struct net_tls *tls;
    struct net_timer timer; /* a handshake's retransmissions and end; the deadline */
    struct bk_time give_up;
    const uint8_t *in; /* the datagram being read; NULL: none */
    size_t in_len;
    struct net_dtls_session *next, *prev; /* in the server's list */
    uint8_t random[RANDOM_LEN];           /* of its ClientHello */
    uint32_t index, calls;
    enum session_state state;
};

struct net_dtls_server {
    struct net_loop *loop;
    struct net_dtls_server_events events;
    struct net_dtls_server_config config;
    struct net_dtls_server_counters counters;
    struct net_tls *tls;
    gnutls_datum_t cookie_key;
    uint64_t seed[2];
    struct pool pool;
    struct links by_tuple;
    struct net_dtls_session *sessions;
    uint8_t plain[DATA_MAX], pieces[DATA_MAX]; /* one record, in and out */
};

/* What the cookie's sender needs to know. */
struct unknown {
    struct net_dtls_server *server;
    void *door;
    const struct bk_datagram *in;
};

const struct net_dtls_server_config net_dtls_server_config_default = {
    .sessions_max = 10000,
    .handshakes_max = 500,
    .handshake_us = 10000000,
    .idle_us = 30000000,
};

/* --- which session --- */

static void put_addr(uint8_t *out, const struct bk_addr *a) {
    out[0] = a->ip.family;
    memcpy(out + 1, a->ip.bytes, a->ip.family == BK_IPV4 ? 4 : 16);
    out[17] = (uint8_t)(a->port >> 8);
    out[18] = (uint8_t)a->port;
}

static void put_tuple(uint8_t out[TUPLE_LEN], const struct bk_datagram *in) {
    memset(out, 0, TUPLE_LEN);
    put_addr(out, &in->local);
    put_addr(out + TUPLE_LEN / 2, &in->remote);
}

static uint32_t hash_of(const struct net_dtls_server *d, const struct bk_datagram *in) {
    uint8_t tuple[TUPLE_LEN];
    put_tuple(tuple, in);
    return (uint32_t)siphash24(d->seed, tuple, sizeof tuple);
}

static struct net_dtls_session *find(const struct net_dtls_server *d, const struct bk_datagram *in,
                                     uint32_t hash) {
    for (uint32_t i = links_first(&d->by_tuple, hash); i != POOL_NONE;
         i = links_next(&d->by_tuple, i)) {
        struct net_dtls_session *s = pool_at(&d->pool, i);
        if (bk_addr_equal(&s->remote, &in->remote) && bk_addr_equal(&s->local, &in->local))
            return s;
    }
    return NULL;
}

/* --- GnuTLS's side --- */

static ssize_t on_pull(gnutls_transport_ptr_t ptr, void *out, size_t len) {
    struct net_dtls_session *s = ptr;
    if (s->in == NULL) {
        gnutls_transport_set_errno(s->session, EAGAIN);
        return -1;
    }
    size_t n = s->in_len < len ? s->in_len : len;
    memcpy(out, s->in, n);
    s->in = NULL;
    return (ssize_t)n;
}

static int on_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms) {
    const struct net_dtls_session *s = ptr;
    (void)ms;
    return s->in != NULL ? 1 : 0;
}

static ssize_t on_push(gnutls_transport_ptr_t ptr, const void *data, size_t len) {
    const struct net_dtls_session *s = ptr;
    const struct bk_datagram out = {
        .local = s->local, .remote = s->remote, .data = data, .len = len};
    s->server->events.send(s->server->events.ctx, s->door, &out);
    return (ssize_t)len;
}

static ssize_t on_push_cookie(gnutls_transport_ptr_t ptr, const void *data, size_t len) {
    const struct unknown *u = ptr;
    const struct bk_datagram out = {
        .local = u->in->local, .remote = u->in->remote, .data = data, .len = len};
    if (len <= u->in->len) /* no amplifier, whatever GnuTLS makes of it */
        u->server->events.send(u->server->events.ctx, u->door, &out);
    return (ssize_t)len;
}

/* --- ends --- */

static void release(struct net_dtls_session *s) {
    struct net_dtls_server *d = s->server;
    tls_session_free(s->session);
    net_tls_unref(s->tls);
    pool_give(&d->pool, s->index);
}

/* Leaves the table. The memory stays as long as somebody is inside. */
static void leave(struct net_dtls_session *s) {
    struct net_dtls_server *d = s->server;
    if (s->state == SESSION_HANDSHAKE)
        d->counters.handshakes--;
    s->state = SESSION_GONE;
    d->counters.sessions--;
    net_timer_set(&s->timer, BK_NEVER);
    links_remove(&d->by_tuple, s->index);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        d->sessions = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
}

static void enter(struct net_dtls_session *s) {
    s->calls++;
}

/* Back from a call. false: the session is gone. */
static bool survived(struct net_dtls_session *s) {
    bool alive = s->state != SESSION_GONE;
    if (--s->calls == 0 && !alive)
        release(s);
    return alive;
}

void net_dtls_session_close(struct net_dtls_session *s) {
    if (s->state == SESSION_GONE)
        return;
    enter(s);
    if (s->state == SESSION_OPEN)
        (void)gnutls_bye(s->session, GNUTLS_SHUT_WR);
    leave(s);
    (void)survived(s);
}

static void end(struct net_dtls_session *s, enum net_dtls_end why) {
    struct net_dtls_server *d = s->server;
    bool was_open = s->state == SESSION_OPEN;
    enter(s);
    if (was_open && why == NET_DTLS_IDLE)
        (void)gnutls_bye(s->session, GNUTLS_SHUT_WR);
    leave(s);
    if (was_open)
        d->events.on_close(d->events.ctx, s, why);
    (void)survived(s);
}

/* --- moving on --- */

static void wait_for_answer(struct net_dtls_session *s) {
    struct bk_time now = net_now(s->server->loop);
    int64_t wait_us = (int64_t)gnutls_dtls_get_timeout(s->session) * BK_US_PER_MS;
    net_timer_set(&s->timer, bk_earlier(bk_after(now, wait_us + BK_US_PER_MS), s->give_up));
}

static void opened(struct net_dtls_session *s) {
    struct net_dtls_server *d = s->server;
    s->state = SESSION_OPEN;
    d->counters.handshakes--;
    d->counters.opened++;
    gnutls_dtls_set_mtu(s->session, DATA_MTU); /* the kernel may fragment: RFC 8656 section 3.1 */
    net_timer_set(&s->timer, bk_after(net_now(d->loop), d->config.idle_us));
    d->events.on_open(d->events.ctx, s);
}

/* Takes the handshake as far as the datagrams allow. */
static void handshake(struct net_dtls_session *s) {
    int result;
    do {
        result = gnutls_handshake(s->session);
    } while (result < 0 && result != GNUTLS_E_AGAIN && gnutls_error_is_fatal(result) == 0);
    if (result == GNUTLS_E_AGAIN) {
        wait_for_answer(s);
    } else if (result == 0) {
        opened(s);
    } else {
        (void)gnutls_alert_send_appropriate(s->session, result);
        s->server->counters.failed++;
        end(s, NET_DTLS_BROKEN);
    }
}

/* The records of one datagram. */
static void read_records(struct net_dtls_session *s) {
    struct net_dtls_server *d = s->server;
    while (s->state == SESSION_OPEN) {
        ssize_t got = gnutls_record_recv(s->session, d->plain, sizeof d->plain);
        if (got > 0)
            d->events.on_message(d->events.ctx, s, d->plain, (size_t)got);
        else if (got == GNUTLS_E_AGAIN)
            return;
        else if (got == 0)
            end(s, NET_DTLS_CLOSED);
        else if (got == GNUTLS_E_REHANDSHAKE) /* RFC 9325 section 3.5 */
            (void)gnutls_alert_send(s->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
        else if (gnutls_error_is_fatal((int)got) != 0)
            end(s, NET_DTLS_BROKEN);
    }
}

static void on_timer(void *ctx, struct bk_time now) {
    struct net_dtls_session *s = ctx;
    bool late = s->state == SESSION_HANDSHAKE && bk_due(s->give_up, now);
    s->server->counters.late += late ? 1 : 0;
    if (late || s->state == SESSION_OPEN) {
        end(s, NET_DTLS_IDLE);
        return;
    }
    enter(s);
    handshake(s);
    (void)survived(s);
}

/* --- the door --- */

/* RFC 6347 section 4.2.1: nothing is kept, and little is sent, before the client has shown that it
 * gets what is sent to its address. */
static bool has_cookie(struct net_dtls_server *d, const struct unknown *u,
                       gnutls_dtls_prestate_st *prestate) {
    uint8_t tuple[TUPLE_LEN];
    union { /* GnuTLS takes no const */
        const uint8_t *in;
        uint8_t *out;
    } bytes = {.in = u->in->data};
    put_tuple(tuple, u->in);
    int result = gnutls_dtls_cookie_verify(&d->cookie_key, tuple, sizeof tuple, bytes.out,
                                           u->in->len, prestate);
    if (result == 0)
        return true;
    struct unknown to = *u;
    if (gnutls_dtls_cookie_send(&d->cookie_key, tuple, sizeof tuple, prestate, &to,
                                on_push_cookie) >= 0)
        d->counters.cookies++;
    return false;
}

/* A ClientHello in the clear, whole or its first fragment. */
static bool is_hello(const struct bk_datagram *in) {
    return in->len >= HELLO_MIN && in->data[RECORD_TYPE] == TYPE_HANDSHAKE &&
           in->data[RECORD_EPOCH] == 0 && in->data[RECORD_EPOCH + 1] == 0 &&
           in->data[HANDSHAKE_TYPE] == CLIENT_HELLO;
}

static bool start_session(struct net_dtls_server *d, struct net_dtls_session *s,
                          gnutls_dtls_prestate_st *prestate) {
    if (tls_session_new_datagram(d->tls, NULL, NULL, &s->session) != BK_OK)
        return false;
    s->tls = net_tls_ref(d->tls);
    gnutls_dtls_prestate_set(s->session, prestate);
    gnutls_transport_set_ptr(s->session, s);
    gnutls_transport_set_pull_function(s->session, on_pull);
    gnutls_transport_set_pull_timeout_function(s->session, on_pull_timeout);
    gnutls_transport_set_push_function(s->session, on_push);
    gnutls_dtls_set_mtu(s->session, HANDSHAKE_MTU);
    return true;
}

static struct net_dtls_session *session_new(const struct unknown *u,
                                            gnutls_dtls_prestate_st *prestate) {
    struct net_dtls_server *d = u->server;
    uint32_t i =
        d->counters.handshakes < d->config.handshakes_max ? pool_take(&d->pool) : POOL_NONE;
    if (i == POOL_NONE) {
        d->counters.full++;
        return NULL;
    }
    struct net_dtls_session *s = pool_at(&d->pool, i);
    if (!start_session(d, s, prestate)) {
        pool_give(&d->pool, i);
        d->counters.full++;
        return NULL;
    }
    s->server = d;
    s->index = i;
    s->local = u->in->local;
    s->remote = u->in->remote;
    s->door = u->door;
    s->give_up = bk_after(net_now(d->loop), d->config.handshake_us);
    net_timer_init(&s->timer, d->loop, on_timer, s);
    memcpy(s->random, u->in->data + HELLO_RANDOM, RANDOM_LEN);
    links_add(&d->by_tuple, i, hash_of(d, u->in));
    s->next = d->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    d->sessions = s;
    d->counters.sessions++;
    d->counters.handshakes++;
    return s;
}

static void use(struct net_dtls_session *s, const struct bk_datagram *in) {
    enter(s);
    s->in = in->data;
    s->in_len = in->len;
    if (s->state == SESSION_HANDSHAKE)
        handshake(s);
    if (s->state == SESSION_OPEN)
        read_records(s);
    s->in = NULL;
    (void)survived(s);
}

void net_dtls_server_recv(struct net_dtls_server *d, void *door, const struct bk_datagram *in) {
    struct unknown u = {d, door, in};
    struct net_dtls_session *s = find(d, in, hash_of(d, in));
    bool begins_anew =
        s != NULL && is_hello(in) && memcmp(in->data + HELLO_RANDOM, s->random, RANDOM_LEN) != 0;
    if (s != NULL && !begins_anew) {
        use(s, in);
        return;
    }
    if (!is_hello(in)) {
        d->counters.dropped++;
        return;
    }
    gnutls_dtls_prestate_st prestate;
    memset(&prestate, 0, sizeof prestate);
    if (!has_cookie(d, &u, &prestate))
        return;
    if (begins_anew) /* RFC 6347 section 4.2.8: it has lost its state, and proved its address */
        end(s, NET_DTLS_REPLACED);
    s = session_new(&u, &prestate);
    if (s != NULL)
        use(s, in);
}

/* --- the owner's calls --- */

enum bk_err net_dtls_session_send(struct net_dtls_session *s, const struct net_piece *pieces,
                                  size_t count) {
    struct net_dtls_server *d = s->server;
    size_t len = 0;
    if (s->state != SESSION_OPEN)
        return BK_ERR_STATE;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > sizeof d->pieces - len)
            return BK_ERR_TOO_LONG;
        if (pieces[i].len > 0)
            memcpy(d->pieces + len, pieces[i].data, pieces[i].len);
        len += pieces[i].len;
    }
    ssize_t sent = len == 0 ? 0 : gnutls_record_send(s->session, d->pieces, len);
    return sent == (ssize_t)len ? BK_OK : BK_ERR_IO;
}

void net_dtls_session_keep(struct net_dtls_session *s, struct bk_time until) {
    if (s->state == SESSION_OPEN)
        net_timer_set(&s->timer, until);
}

struct bk_addr net_dtls_session_local(const struct net_dtls_session *s) {
    return s->local;
}

struct bk_addr net_dtls_session_remote(const struct net_dtls_session *s) {
    return s->remote;
}

void net_dtls_session_set_owner(struct net_dtls_session *s, void *owner) {
    s->owner = owner;
}

void *net_dtls_session_owner(const struct net_dtls_session *s) {
    return s->owner;
}

bool net_dtls_session_is_alpn(const struct net_dtls_session *s, const char *name) {
    return tls_session_is_alpn(s->session, name);
}

const struct net_dtls_server_counters *net_dtls_server_counters(const struct net_dtls_server *d) {
    return &d->counters;
}

/* --- life --- */

void net_dtls_server_set_tls(struct net_dtls_server *d, struct net_tls *tls) {
    struct net_tls *old = d->tls;
    d->tls = net_tls_ref(tls);
    net_tls_unref(old);
}

enum bk_err net_dtls_server_new(struct net_loop *loop, const struct net_dtls_server_config *config,
                                const struct net_dtls_server_events *events,
                                struct net_dtls_server **out) {
    struct net_dtls_server *d = loop_get(loop, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    d->loop = loop;
    d->events = *events;
    d->config = *config;
    d->tls = net_tls_ref(config->tls);
    enum bk_err err = gnutls_key_generate(&d->cookie_key, GNUTLS_COOKIE_KEY_SIZE) == 0 &&
                              gnutls_rnd(GNUTLS_RND_KEY, d->seed, sizeof d->seed) == 0
                          ? pool_init(&d->pool, sizeof(struct net_dtls_session),
                                      config->sessions_max, &loop->alloc)
                          : BK_ERR_NO_MEMORY;
    if (err == BK_OK)
        err = links_init(&d->by_tuple, &d->pool, offsetof(struct net_dtls_session, link),
                         &loop->alloc);
    if (err != BK_OK) {
        net_dtls_server_free(d);
        return err;
    }
    *out = d;
    return BK_OK;
}

void net_dtls_server_free(struct net_dtls_server *d) {
    if (d == NULL)
        return;
    while (d->sessions != NULL)
        net_dtls_session_close(d->sessions);
    links_fini(&d->by_tuple);
    pool_fini(&d->pool);
    if (d->cookie_key.data != NULL)
        wipe(d->cookie_key.data, d->cookie_key.size);
    gnutls_free(d->cookie_key.data);
    net_tls_unref(d->tls);
    loop_put(d->loop, d);
}
