/* SPDX-License-Identifier: MIT */
#include "node/home.h"

#include "base/rng.h"
#include "base/text.h"
#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "net/metacert.h"

#include <string.h>

enum {
    PAUSES = 6,
    CERTS_MAX = 8,
    KNOCK_US = 1000 * 1000,
    BLAME_US = 10 * 1000 * 1000,
    SOON_US = 1500 * 1000,
    LOGIN_PAUSE_US = 60 * 1000 * 1000
};

static const int64_t pause_us[PAUSES] = {100000, 300000, 1000000, 2000000, 4000000, 5000000};

/* --- the end of a connection, and the next one --- */

/* Was it our question after a silence that got no answer? A box that has forgotten the connection
 * swallows it, or answers with a reset. */
static void note_silence(struct home_link *h) {
    h->died_silent_us = relay_client_silence_us(h->client);
    h->died_at = net_now(h->loop);
}

static void drop_connection(struct home_link *h) {
    if (h->client != NULL)
        note_silence(h);
    net_stream_close(h->stream);
    relay_client_free(h->client);
    h->stream = NULL;
    h->client = NULL;
    h->up = false;
}

/* Pauses grow, and are spread by a quarter so that clients of a restarted server do not return in
 * one instant. */
static void try_later(struct home_link *h) {
    int64_t pause = pause_us[h->failures < PAUSES ? h->failures : PAUSES - 1];
    h->failures++;
    pause += rng_below(&h->rng, (uint32_t)(pause / 4));
    net_timer_set(&h->timer, bk_after(net_now(h->loop), pause));
}

/* A portal explains every failure better than the failure itself does. */
static void tell_down(struct home_link *h, enum bk_err err, const char *reason) {
    char text[NET_REASON_MAX];
    struct text t = text_in(text, sizeof text);
    h->held = BK_OK;
    if (h->portal.there) {
        text_str(&t, "this network wants you to log in first: open ");
        text_str(&t, h->portal.url);
        text_str(&t, " in a browser");
        err = BK_ERR_UNREACHABLE;
    } else {
        text_str(&t, reason);
    }
    h->events.on_down(h->events.ctx, err, text);
}

static void hold(struct home_link *h, enum bk_err err, const char *reason) {
    struct text t = text_in(h->held_reason, sizeof h->held_reason);
    text_str(&t, reason);
    h->held = err;
}

/* Something may stand between us and the home; a proxy that does is known. */
static bool suspect_portal(struct home_link *h) {
    return !reach_has_proxy(&h->reach) && !h->home.plain && portal_check_start(&h->portal);
}

/* Behind a portal that drops packets, TCP asks at ever longer intervals. The user who has logged in
 * waits: asking anew is quicker. */
static void knock(struct home_link *h) {
    if (reach_is_running(&h->reach) && reach_is_stuck(&h->reach)) {
        reach_stop(&h->reach);
        net_timer_set(&h->timer, bk_after(net_now(h->loop), KNOCK_US));
    }
}

static void on_portal_checked(void *ctx) {
    struct home_link *h = ctx;
    if (h->held != BK_OK) {
        tell_down(h, h->held, h->held_reason);
    } else if (h->portal.there && h->client == NULL) {
        knock(h);
        tell_down(h, BK_ERR_UNREACHABLE, "");
    }
}

static void lost(struct home_link *h, enum bk_err err, const char *reason) {
    char copy[NET_REASON_MAX]; /* the text may belong to what is dropped now */
    struct text t = text_in(copy, sizeof copy);
    text_str(&t, reason);
    drop_connection(h);
    try_later(h);
    tell_down(h, err, copy);
}

/* No way leads to the home. Another's certificate may be a portal's: programs give up on it, so it
 * is told only when that is known. */
static void on_unreachable(void *ctx, enum bk_err err, const char *reason) {
    struct home_link *h = ctx;
    try_later(h);
    if (err == BK_ERR_AUTH && reach_has_proxy(&h->reach)) /* it may count wrong passwords */
        net_timer_set(&h->timer, bk_after(net_now(h->loop), LOGIN_PAUSE_US));
    if (suspect_portal(h) && err == BK_ERR_AUTH)
        hold(h, err, reason);
    else
        tell_down(h, err, reason);
}

static void on_slow(void *ctx) {
    struct home_link *h = ctx;
    if (h->portal.there)
        knock(h);
    (void)suspect_portal(h);
}

static const char *reason_of(enum bk_err why) {
    if (why == BK_ERR_TIMEOUT)
        return "the home server does not answer";
    if (why == BK_ERR_AUTH)
        return "the home server is not the expected one";
    if (why == BK_ERR_REFUSED)
        return "the home server answered, but it is not a relay";
    if (why == BK_ERR_CLOSED)
        return "the home server closed the connection";
    return "the home server does not speak the relay protocol";
}

/* --- the relay client's output --- */

/* The network works, so it was that connection alone that died. */
static void blame_silence(struct home_link *h) {
    if (h->died_silent_us > 0 && bk_elapsed_us(h->died_at, net_now(h->loop)) < BLAME_US)
        keepalive_died(&h->keepalive, h->died_silent_us);
    h->died_silent_us = 0;
    relay_client_set_probe(h->client, h->keepalive.interval_us);
}

/* Both only inform: a full queue is no reason to do anything. */
static void measure(struct home_link *h) {
    enum bk_err err = relay_client_ping(h->client, net_now(h->loop));
    (void)err;
}

static void greet(struct home_link *h) {
    measure(h);
    enum bk_err err = relay_client_note_preferred(h->client, true);
    (void)err;
}

/* false: the connection was lost while handling the event; everything is gone. */
static bool on_relay_event(struct home_link *h, const struct relay_client_event *event) {
    switch (event->type) {
    case RELAY_CLIENT_CONNECTED:
        h->up = true;
        h->failures = 0;
        h->held = BK_OK;
        portal_check_forget(&h->portal);
        blame_silence(h);
        greet(h);
        h->events.on_up(h->events.ctx);
        break;
    case RELAY_CLIENT_PACKET:
        h->events.on_packet(h->events.ctx, event->key, event->data, event->len);
        break;
    case RELAY_CLIENT_PEER_GONE:
        h->events.on_gone(h->events.ctx, event->key, event->not_here);
        break;
    case RELAY_CLIENT_ROOM:
        h->events.on_room(h->events.ctx);
        break;
    case RELAY_CLIENT_PONG:
        h->rtt_us = event->rtt_us;
        keepalive_survived(&h->keepalive, event->silence_us);
        relay_client_set_probe(h->client, h->keepalive.interval_us);
        break;
    case RELAY_CLIENT_CLOSED:
        lost(h, event->why, reason_of(event->why));
        return false;
    case RELAY_CLIENT_HEALTH:
    case RELAY_CLIENT_RESTARTING: /* the end of the stream follows, and we connect again */
    case RELAY_CLIENT_PRESENT:
        break;
    }
    return true;
}

static bool drain_events(struct home_link *h) {
    struct relay_client_event event;
    while (h->client != NULL && relay_client_next_event(h->client, &event))
        if (!on_relay_event(h, &event))
            return false;
    return h->client != NULL;
}

static void drain_bytes(struct home_link *h) {
    struct relay_piece piece;
    while (net_stream_room(h->stream) > 0 && relay_client_next_bytes(h->client, &piece)) {
        size_t room = net_stream_room(h->stream);
        size_t len = piece.len < room ? piece.len : room;
        if (net_stream_write(h->stream, piece.data, len) != BK_OK)
            return;
        relay_client_sent(h->client, len);
        h->bytes_out += len;
    }
}

static void drain(void *ctx) {
    struct home_link *h = ctx;
    if (h->client == NULL || !drain_events(h))
        return;
    drain_bytes(h);
    if (drain_events(h)) /* sending made room: ROOM */
        net_timer_set(&h->timer, relay_client_deadline(h->client));
}

/* --- the stream's callbacks --- */

/* Looks for the server's relay key among what it sent behind its certificate (fast start). */
static bool find_relay_key(struct home_link *h, uint8_t key[RELAY_KEY_LEN]) {
    const uint8_t *der;
    size_t len;
    for (size_t i = 0; i < CERTS_MAX && net_stream_peer_cert(h->stream, i, &der, &len) == BK_OK;
         i++) {
        gnutls_datum_t cert = {.data = (unsigned char *)(uintptr_t)der, .size = (unsigned)len};
        if (net_metacert_find(&cert, 1, key) == BK_OK)
            return true;
    }
    return false;
}

static void start_client(struct home_link *h) {
    struct relay_client_config config = relay_client_config_default;
    config.host = h->home.host;
    memcpy(config.secret, h->secret, sizeof config.secret);
    config.probe_us = h->keepalive.interval_us;
    config.quiet_s = (uint32_t)(h->keepalive.max_us / BK_US_PER_S);
    if (net_stream_tls_version(h->stream) == 13 && find_relay_key(h, config.server_key)) {
        config.start = RELAY_START_FAST;
        config.server_key_known = true;
    }
    enum bk_err err = relay_client_new(&config, &h->rng, net_alloc(), net_now(h->loop), &h->client);
    wipe(&config, sizeof config);
    if (err != BK_OK)
        lost(h, err, bk_err_text(err));
    else
        drain(h);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct home_link *h = ctx;
    h->bytes_in += len;
    while (len > 0 && h->client != NULL) {
        size_t taken = relay_client_recv(h->client, data, len, net_now(h->loop));
        data += taken;
        len -= taken;
        if (!drain_events(h))
            return;
    }
    net_defer(&h->drain);
}

static void on_room(void *ctx) {
    struct home_link *h = ctx;
    net_defer(&h->drain);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct home_link *h = ctx;
    h->stream = NULL;
    lost(h, err == BK_OK ? BK_ERR_CLOSED : err, reason);
}

static void on_reached(void *ctx, struct net_stream *s, const uint8_t *data, size_t len) {
    static const struct net_stream_events events = {
        .on_bytes = on_bytes, .on_room = on_room, .on_close = on_close};
    struct home_link *h = ctx;
    h->stream = s;
    net_stream_adopt(s, &events, h);
    net_stream_no_keepalive(s); /* relay_client asks, and learns how often */
    start_client(h);
    if (len > 0 && h->client != NULL)
        on_bytes(h, data, len);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct home_link *h = ctx;
    if (h->client != NULL) {
        relay_client_advance(h->client, now);
        drain(h);
    } else if (!reach_is_running(&h->reach)) {
        reach_start(&h->reach);
    }
}

/* --- what the node calls --- */

static enum bk_err make_tls(struct home_link *h, char *reason) {
    struct net_tls_client_config tls = net_tls_client_config_default;
    tls.verify_name = !h->home.has_pin; /* the pin says more than any certificate authority */
    tls.pin = h->home.has_pin ? h->home.pin : NULL;
    return net_tls_client_new(&tls, &h->tls, reason);
}

enum bk_err home_link_init(struct home_link *h, struct net_loop *loop,
                           const struct home_link_config *config,
                           const struct home_link_events *events, char *reason) {
    const struct reach_events reach_events = {
        .on_open = on_reached, .on_failed = on_unreachable, .on_slow = on_slow, .ctx = h};
    *h = (struct home_link){.loop = loop, .home = *config->home, .events = *events};
    h->rng = box_rng();
    net_timer_init(&h->timer, loop, on_timer, h);
    net_deferred_init(&h->drain, loop, drain, h);
    reach_init(&h->reach, loop, &h->home, config->proxy, config->proxy_only, &reach_events);
    keepalive_init(&h->keepalive, config->keepalive_max_s);
    portal_check_init(&h->portal, loop, h->home.host, on_portal_checked, h);
    if (!h->home.plain) {
        enum bk_err err = make_tls(h, reason);
        if (err != BK_OK)
            return err;
    }
    reach_set_tls(&h->reach, h->tls);
    memcpy(h->secret, config->identity->relay_secret, sizeof h->secret);
    net_timer_set(&h->timer, net_now(loop));
    return BK_OK;
}

void home_link_fini(struct home_link *h) {
    if (h->loop == NULL)
        return;
    if (h->client != NULL && h->stream != NULL) {
        drain_bytes(h); /* goodbyes on their way */
        net_stream_finish(h->stream, BK_US_PER_S);
        h->stream = NULL;
    }
    drop_connection(h);
    reach_fini(&h->reach);
    portal_check_fini(&h->portal);
    net_timer_set(&h->timer, BK_NEVER);
    net_defer_cancel(&h->drain);
    net_tls_unref(h->tls);
    wipe(h->secret, sizeof h->secret);
}

bool home_link_has_room(const struct home_link *h, size_t len) {
    return h->up && relay_client_has_room(h->client, len);
}

void home_link_send(struct home_link *h, const uint8_t *to, const uint8_t *data, size_t len) {
    struct relay_piece piece = {.data = data, .len = len};
    if (h->client != NULL && relay_client_send(h->client, to, &piece, 1) == BK_OK)
        net_defer(&h->drain);
}

void home_link_doubt(struct home_link *h) {
    if (h->client == NULL)
        return;
    relay_client_doubt(h->client, net_now(h->loop));
    net_defer(&h->drain);
}

/* Does this machine still have the address that the connection has? */
static bool keeps_address(const struct home_link *h) {
    struct net_interface list[NET_INTERFACES_MAX];
    struct bk_addr local = net_stream_local(h->stream);
    size_t count;
    if (net_interfaces(list, NET_INTERFACES_MAX, &count) != BK_OK)
        return true;
    for (size_t i = 0; i < count; i++)
        if (bk_ip_equal(&list[i].ip, &local.ip))
            return true;
    return count == NET_INTERFACES_MAX; /* it may be one that found no room */
}

/* After a link event, death is likelier than delay. */
static void doubt_soon(struct home_link *h) {
    int64_t answer_us = 4 * h->rtt_us;
    if (answer_us < SOON_US || h->rtt_us == 0)
        answer_us = SOON_US;
    relay_client_doubt_for(h->client, answer_us, net_now(h->loop));
    net_defer(&h->drain);
}

void home_link_retry(struct home_link *h) {
    reach_forget(&h->reach);
    portal_check_forget(&h->portal);
    h->failures = 0;
    if (h->client != NULL && keeps_address(h)) {
        doubt_soon(h);
        return;
    }
    keepalive_forget(&h->keepalive);
    if (h->client != NULL)
        lost(h, BK_ERR_UNREACHABLE, "the network has changed");
    else if (reach_is_running(&h->reach) && reach_is_stuck(&h->reach))
        reach_stop(&h->reach);
    net_timer_set(&h->timer, net_now(h->loop));
}

enum home_trouble home_link_trouble(const struct home_link *h) {
    if (h->up)
        return HOME_FINE;
    return h->portal.there ? HOME_PORTAL : HOME_DOWN;
}

char *home_link_way(const struct home_link *h, char *out) {
    return reach_way_text(&h->reach, out);
}
