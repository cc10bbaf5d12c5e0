/* SPDX-License-Identifier: MIT
 * The public face of node and session: bodkin/peer.h. A bk_session is a session; the loop is ours.
 */
#include <bodkin/peer.h>

#include "node/node.h"

#include "base/assert.h"
#include "base/rng.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/tls.h"
#include "peer/ticket.h"

#include <string.h>

_Static_assert((int)BK_KEY_TEXT_MAX >= (int)PEER_KEY_TEXT_MAX &&
                   (int)BK_TICKET_TEXT_MAX >= (int)TICKET_TEXT_MAX &&
                   (int)BK_REASON_MAX >= (int)NET_REASON_MAX,
               "the public sizes hold what is written there");

struct bk_peer {
    struct net_loop *loop;
    struct node *node; /* NULL: no home yet */
    struct identity identity;
    struct home home;
    struct proxy proxy; /* kind PROXY_NONE: none */
    bool relay_only, private_addresses, no_beacons, no_portmap;
    uint16_t udp_port;
    struct bk_peer_events events;
    void *ctx;
    struct net_timer timeout;
};

const struct bk_peer_config bk_peer_config_default = {.size = sizeof(struct bk_peer_config)};

static struct session *inner(struct bk_session *s) {
    return (struct session *)s;
}

static const struct session *inner_const(const struct bk_session *s) {
    return (const struct session *)s;
}

static struct bk_session *outer(struct session *s) {
    return (struct bk_session *)s;
}

static struct quic *quic_of(const struct bk_session *s) {
    return session_quic((struct session *)(uintptr_t)s); /* reading changes nothing */
}

/* --- events --- */

static const enum bk_session_end ends[] = {
    [SESSION_END_CLOSED] = BK_END_CLOSED,
    [SESSION_END_REFUSED_TICKET] = BK_END_TICKET_REFUSED,
    [SESSION_END_REFUSED_PEER] = BK_END_PEER_REFUSED,
    [SESSION_END_REFUSED_BUSY] = BK_END_BUSY,
    [SESSION_END_NOT_HOME] = BK_END_NOT_HOME,
    [SESSION_END_NO_ANSWER] = BK_END_NO_ANSWER,
    [SESSION_END_IMPOSTOR] = BK_END_IMPOSTOR,
    [SESSION_END_LOST] = BK_END_LOST,
    [SESSION_END_FAILED] = BK_END_FAILED,
};

static void tell_stream(struct bk_peer *p, struct session *s, const struct quic_event *e,
                        enum bk_stream_event what) {
    if (p->events.on_stream != NULL)
        p->events.on_stream(p->ctx, outer(s), e->stream, what);
}

static void on_quic(struct bk_peer *p, struct session *s, const struct quic_event *e) {
    switch (e->type) {
    case QUIC_STREAM_OPENED:
        tell_stream(p, s, e, BK_STREAM_OPENED);
        break;
    case QUIC_STREAM_READABLE:
        tell_stream(p, s, e, BK_STREAM_READABLE);
        break;
    case QUIC_STREAM_WRITABLE:
        tell_stream(p, s, e, BK_STREAM_WRITABLE);
        break;
    case QUIC_STREAM_RESET:
        tell_stream(p, s, e, BK_STREAM_RESET);
        break;
    case QUIC_STREAM_STOPPED:
        tell_stream(p, s, e, BK_STREAM_STOPPED);
        break;
    case QUIC_STREAM_CLOSED:
        tell_stream(p, s, e, BK_STREAM_CLOSED);
        break;
    case QUIC_DATAGRAM:
        if (p->events.on_datagram != NULL)
            p->events.on_datagram(p->ctx, outer(s));
        break;
    case QUIC_HANDSHAKE_DONE:
    case QUIC_STREAMS_ALLOWED:
    case QUIC_CLOSED:
        break;
    }
}

static void on_session(struct bk_peer *p, struct session *s, const struct session_event *e) {
    switch (e->type) {
    case SESSION_SECURED:
        if (p->events.on_open != NULL)
            p->events.on_open(p->ctx, outer(s));
        break;
    case SESSION_PATH:
        if (p->events.on_path != NULL)
            p->events.on_path(p->ctx, outer(s));
        break;
    case SESSION_QUIC:
        on_quic(p, s, &e->quic);
        break;
    case SESSION_ENDED:
        if (p->events.on_end != NULL)
            p->events.on_end(p->ctx, outer(s), ends[e->end], e->code, e->reason);
        endpoint_release(node_endpoint(p->node), s);
        break;
    case SESSION_EXCHANGED:
        break;
    }
}

static void on_event(void *ctx, const struct endpoint_event *event) {
    struct bk_peer *p = ctx;
    if (event->type == ENDPOINT_INCOMING && p->events.on_incoming != NULL)
        p->events.on_incoming(p->ctx, outer(event->session));
    if (event->type == ENDPOINT_SESSION)
        on_session(p, event->session, &event->event);
}

static void on_home(void *ctx, bool up, enum bk_err err, const char *reason) {
    struct bk_peer *p = ctx;
    if (p->events.on_home != NULL)
        p->events.on_home(p->ctx, up, err, reason);
}

/* --- this machine --- */

static void on_timeout(void *ctx, struct bk_time now) {
    (void)ctx, (void)now; /* that the turn ends is all */
}

static void say(char *reason, const char *text) {
    size_t len = strlen(text);
    bk_assert(len < BK_REASON_MAX);
    memcpy(reason, text, len + 1);
}

static enum bk_err start_node(struct bk_peer *p, char *reason) {
    static const struct node_events events = {.on_event = on_event, .on_home = on_home};
    const struct node_config config = {.identity = &p->identity,
                                       .home = p->home,
                                       .relay_only = p->relay_only,
                                       .private_addresses = p->private_addresses,
                                       .no_beacons = p->no_beacons,
                                       .no_portmap = p->no_portmap,
                                       .udp_port = p->udp_port,
                                       .proxy = p->proxy.kind == PROXY_NONE ? NULL : &p->proxy,
                                       .proxy_only = true};
    return node_new(p->loop, &config, &events, p, &p->node, reason);
}

static void make_identity(struct bk_peer *p, const uint8_t *seed) {
    struct bk_rng rng = box_rng();
    if (seed != NULL)
        identity_from_seed(&p->identity, seed);
    else
        identity_make(&p->identity, &rng);
}

static enum bk_err start(struct bk_peer *p, const char *home, char *reason) {
    enum bk_err err = net_loop_new(net_alloc(), &p->loop);
    if (err != BK_OK)
        return err;
    net_timer_init(&p->timeout, p->loop, on_timeout, p);
    if (home == NULL)
        return BK_OK;
    if (home_url_parse(home, strlen(home), &p->home) != BK_OK) {
        say(reason, "home is not of the form https://HOST[:PORT][#PIN]");
        return BK_ERR_ARGUMENT;
    }
    return start_node(p, reason);
}

/* Programs built before there was this field do not have it. */
static bool has_proxy(const struct bk_peer_config *config) {
    return config->size >= offsetof(struct bk_peer_config, proxy) + sizeof config->proxy &&
           config->proxy != NULL;
}

enum bk_err bk_peer_new(const struct bk_peer_config *config, const struct bk_peer_events *events,
                        void *ctx, struct bk_peer **out, char *reason) {
    struct bk_peer *p = net_alloc()->get(net_alloc()->ctx, sizeof *p);
    if (p == NULL)
        return BK_ERR_NO_MEMORY;
    p->events = *events;
    p->ctx = ctx;
    p->relay_only = config->relay_only;
    p->private_addresses = config->private_addresses;
    p->no_beacons = config->no_beacons;
    p->no_portmap = config->no_portmap;
    p->udp_port = config->udp_port;
    make_identity(p, config->seed);
    say(reason, "");
    enum bk_err err = BK_OK;
    if (has_proxy(config) && proxy_parse(config->proxy, strlen(config->proxy), &p->proxy) != BK_OK)
        err = BK_ERR_ARGUMENT;
    if (err != BK_OK)
        say(reason, "proxy is not of the form http://[USER:PASSWORD@]HOST[:PORT] or socks5://...");
    else
        err = start(p, config->home, reason);
    if (err != BK_OK) {
        if (reason[0] == '\0')
            say(reason, bk_err_text(err));
        bk_peer_free(p);
        return err;
    }
    *out = p;
    return BK_OK;
}

void bk_peer_free(struct bk_peer *p) {
    if (p == NULL)
        return;
    node_free(p->node);
    if (p->loop != NULL)
        net_timer_set(&p->timeout, BK_NEVER);
    net_loop_free(p->loop);
    identity_fini(&p->identity);
    proxy_fini(&p->proxy);
    net_alloc()->put(net_alloc()->ctx, p);
}

void bk_peer_turn(struct bk_peer *p, int timeout_ms) {
    net_timer_set(&p->timeout, bk_after(net_clock(), (int64_t)timeout_ms * BK_US_PER_MS));
    net_loop_turn(p->loop);
    net_timer_set(&p->timeout, BK_NEVER);
}

int bk_peer_fd(const struct bk_peer *p) {
    return net_loop_fd(p->loop);
}

char *bk_peer_key(const struct bk_peer *p, char *out) {
    return peer_key_format(&p->identity.key, out);
}

enum bk_err bk_peer_ticket(struct bk_peer *p, char *out) {
    struct ticket ticket = {.key = p->identity.key, .home = p->home};
    struct bk_rng rng = box_rng();
    if (p->node == NULL)
        return BK_ERR_STATE;
    rng_fill(&rng, ticket.secret, sizeof ticket.secret);
    enum bk_err err = endpoint_add_secret(node_endpoint(p->node), ticket.secret);
    if (err == BK_OK)
        ticket_format(&ticket, out);
    ticket_fini(&ticket);
    return err;
}

enum bk_err bk_peer_allow(struct bk_peer *p, const char *key) {
    struct peer_key peer;
    if (p->node == NULL)
        return BK_ERR_STATE;
    if (peer_key_parse(key, strlen(key), &peer) != BK_OK)
        return BK_ERR_MALFORMED;
    return endpoint_add_peer(node_endpoint(p->node), &peer);
}

/* The ticket's home is where its peer is to be found; the first one becomes ours. */
static enum bk_err join_home(struct bk_peer *p, const struct home *home) {
    char reason[NET_REASON_MAX];
    if (p->node != NULL)
        return home_equal(&p->home, home) ? BK_OK : BK_ERR_STATE;
    p->home = *home;
    return start_node(p, reason);
}

enum bk_err bk_peer_connect(struct bk_peer *p, const char *ticket_or_key, struct bk_session **out) {
    struct ticket ticket = {0};
    struct session_offer offer = {.purpose = SIGNAL_PURPOSE_SESSION};
    struct session *s;
    size_t len = strlen(ticket_or_key);
    enum bk_err err = BK_OK;
    if (ticket_parse(ticket_or_key, len, &ticket) == BK_OK) {
        offer.peer = ticket.key;
        offer.secret = ticket.secret;
        err = join_home(p, &ticket.home);
    } else if (peer_key_parse(ticket_or_key, len, &offer.peer) != BK_OK) {
        err = BK_ERR_MALFORMED;
    } else if (p->node == NULL) {
        err = BK_ERR_STATE;
    }
    if (err == BK_OK)
        err = endpoint_connect(node_endpoint(p->node), &offer, net_now(p->loop), &s);
    ticket_fini(&ticket);
    if (err != BK_OK)
        return err;
    node_touch(p->node);
    *out = outer(s);
    return BK_OK;
}

/* --- sessions --- */

void bk_session_path(const struct bk_session *session, struct bk_path *out) {
    struct session_path path;
    session_path(inner_const(session), &path);
    *out = (struct bk_path){.direct = path.direct,
                            .why = path.direct ? "" : why_text(path.why),
                            .local = path.local,
                            .remote = path.remote,
                            .rtt_us = path.rtt_us};
}

char *bk_session_key(const struct bk_session *session, char *out) {
    return peer_key_format(session_peer(inner_const(session)), out);
}

void bk_session_close(struct bk_peer *p, struct bk_session *session, uint64_t code,
                      const char *reason) {
    session_close(inner(session), code, reason == NULL ? "" : reason, net_now(p->loop));
    node_touch(p->node);
}

enum bk_err bk_stream_open(struct bk_peer *p, struct bk_session *session, int64_t *stream) {
    node_touch(p->node);
    return quic_stream_open(quic_of(session), stream);
}

size_t bk_stream_write(struct bk_peer *p, struct bk_session *session, int64_t stream,
                       const void *data, size_t len) {
    node_touch(p->node);
    return quic_stream_write(quic_of(session), stream, data, len);
}

enum bk_err bk_stream_finish(struct bk_peer *p, struct bk_session *session, int64_t stream) {
    node_touch(p->node);
    return quic_stream_finish(quic_of(session), stream);
}

bool bk_stream_peek(const struct bk_session *session, int64_t stream, const uint8_t **data,
                    size_t *len) {
    return quic_stream_peek(quic_of(session), stream, data, len);
}

void bk_stream_consume(struct bk_peer *p, struct bk_session *session, int64_t stream, size_t len) {
    node_touch(p->node);
    quic_stream_consume(quic_of(session), stream, len);
}

void bk_stream_reset(struct bk_peer *p, struct bk_session *session, int64_t stream, uint64_t code) {
    node_touch(p->node);
    quic_stream_reset(quic_of(session), stream, code);
    quic_stream_stop(quic_of(session), stream, code);
}

enum bk_err bk_datagram_send(struct bk_peer *p, struct bk_session *session, const void *data,
                             size_t len) {
    node_touch(p->node);
    return quic_datagram_send(quic_of(session), data, len);
}

bool bk_datagram_peek(const struct bk_session *session, const uint8_t **data, size_t *len) {
    return quic_datagram_peek(quic_of(session), data, len);
}

void bk_datagram_drop(struct bk_session *session) {
    quic_datagram_drop(quic_of(session));
}
