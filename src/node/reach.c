/* SPDX-License-Identifier: MIT
 * Everything happens in callbacks of streams and one timer. A way that ends only writes down why;
 * step() then decides, from the loop: start the next way, wait, or tell that all have failed. */
#include "node/reach.h"

#include "base/assert.h"
#include "base/text.h"
#include "box/box.h"
#include <string.h>

enum {
    HTTPS_PORT = 443,
    STRAIGHT = REACH_WAYS - 1, /* the way past a proxy */
    LOGINS_MAX = 2,            /* a login, and another for a nonce that has aged */
    NEXT_WAY_US = 1500 * 1000, /* head start of a way: a lost SYN is sent again after 1 s */
    WAY_US = 8 * 1000 * 1000,  /* for one way; users wait ten seconds */
    WRITE_MAX = 192 * 1024,
    WRITE_LOW = 64 * 1024
};

static void step(struct reach *r, struct bk_time now);
static void dial(struct reach_way *w);

/* --- the end of a way --- */

static void way_drop(struct reach_way *w) {
    net_stream_close(w->stream);
    w->stream = NULL;
    tunnel_fini(&w->tunnel);
}

static void way_fail(struct reach_way *w, enum bk_err err, const char *reason) {
    struct text t = text_in(w->reason, sizeof w->reason);
    text_str(&t, reason);
    w->err = err;
    w->state = WAY_FAILED;
    way_drop(w);
    net_timer_set(&w->reach->timer, net_now(w->reach->loop)); /* step() decides what follows */
}

/* A failure of the connection itself. On the way to a proxy it is the proxy's. */
static void way_fail_proxy(struct reach_way *w, enum bk_err err, const char *reason) {
    char text[NET_REASON_MAX], proxy[PROXY_TEXT_MAX];
    struct text t = text_in(text, sizeof text);
    text_str(&t, "the proxy ");
    text_str(&t, proxy_format(w->proxy, proxy));
    if (w->state == WAY_DIALING) {
        text_str(&t, " cannot be used: ");
        text_str(&t, reason);
    } else {
        text_str(&t, err == BK_ERR_TIMEOUT ? " does not answer"
                                           : " closes the connection without an answer");
    }
    way_fail(w, err, text);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct reach_way *w = ctx;
    w->stream = NULL;
    if (w->proxy != NULL && w->state != WAY_TLS)
        way_fail_proxy(w, err == BK_OK ? BK_ERR_CLOSED : err, reason);
    else
        way_fail(w, err == BK_OK ? BK_ERR_CLOSED : err, reason);
}

/* --- the way through --- */

static void way_won(struct reach_way *w, const uint8_t *data, size_t len) {
    struct reach *r = w->reach;
    struct net_stream *s = w->stream;
    r->first = (unsigned)(w - r->ways);
    w->stream = NULL;
    reach_stop(r);
    r->events.on_open(r->events.ctx, s, data, len);
}

static void put_request(struct reach_way *w) {
    const uint8_t *out;
    size_t len = tunnel_next(&w->tunnel, &out);
    enum bk_err err = len == 0 ? BK_OK : net_stream_write(w->stream, out, len);
    if (err != BK_OK)
        way_fail(w, err, bk_err_text(err));
}

static void on_open(void *ctx) {
    struct reach_way *w = ctx;
    if (w->state != WAY_DIALING || w->proxy == NULL) {
        way_won(w, NULL, 0);
        return;
    }
    w->state = WAY_TUNNEL;
    w->reached = true;
    enum bk_err err = tunnel_init(&w->tunnel, w->proxy, &w->reach->memory, w->reach->home->host,
                                  w->port, &w->reach->rng);
    if (err == BK_OK)
        put_request(w);
    else
        way_fail(w, err, bk_err_text(err));
}

/* The proxy is out of the way: what follows is between the home and us. */
static void tunnel_opened(struct reach_way *w, const uint8_t *data, size_t len) {
    struct reach *r = w->reach;
    if (r->tls == NULL) {
        way_won(w, data, len);
        return;
    }
    w->state = WAY_TLS;
    enum bk_err err = net_stream_start_tls(w->stream, r->tls, data, len);
    if (err != BK_OK)
        way_fail(w, err, bk_err_text(err));
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct reach_way *w = ctx;
    size_t used;
    if (w->state != WAY_TUNNEL)
        return; /* only between failure and close */
    enum bk_err err = tunnel_recv(&w->tunnel, data, len, &used);
    if (err == BK_OK) {
        tunnel_opened(w, data + used, len - used);
    } else if (err == BK_ERR_SHORT) {
        put_request(w);
    } else if (w->tunnel.again && w->logins < LOGINS_MAX) {
        w->logins++;
        way_drop(w);
        dial(w);
    } else {
        w->reach->login_refused = err == BK_ERR_AUTH;
        way_fail(w, err, w->tunnel.reason);
    }
}

static void dial(struct reach_way *w) {
    static const struct net_stream_events events = {
        .on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
    struct reach *r = w->reach;
    struct net_stream_config config = net_stream_config_default;
    const char *host = w->proxy != NULL ? w->proxy->host : r->home->host;
    config.tls = w->proxy != NULL ? NULL : r->tls;
    config.server_name = r->home->host;
    config.write_max = WRITE_MAX;
    config.write_low = WRITE_LOW;
    config.open_timeout_us = WAY_US;
    w->state = WAY_DIALING;
    enum bk_err err = net_stream_connect(r->loop, host, w->proxy != NULL ? w->proxy->port : w->port,
                                         &config, &events, w, &w->stream);
    if (err != BK_OK)
        way_fail(w, err, bk_err_text(err));
}

/* --- the round --- */

/* May this way be started, seeing what the others did? */
static bool is_wanted(const struct reach *r, const struct reach_way *w) {
    if (w->state != WAY_WAITING)
        return false;
    if (w->proxy != NULL && r->login_refused)
        return false; /* who guesses too often is locked out */
    if (w->proxy != NULL || r->proxy.kind == PROXY_NONE)
        return true;
    /* The straight way past a proxy is for networks where that proxy does not exist. */
    return r->first == STRAIGHT || (r->ways[0].state == WAY_FAILED && !r->ways[0].reached);
}

static struct reach_way *next_way(struct reach *r) {
    for (unsigned i = 0; i < REACH_WAYS; i++) {
        struct reach_way *w = &r->ways[(r->first + i) % REACH_WAYS];
        if (is_wanted(r, w))
            return w;
    }
    return NULL;
}

static bool is_under_way(const struct reach_way *w) {
    return w->state == WAY_DIALING || w->state == WAY_TUNNEL || w->state == WAY_TLS;
}

static bool any_under_way(const struct reach *r) {
    for (unsigned i = 0; i < REACH_WAYS; i++)
        if (is_under_way(&r->ways[i]))
            return true;
    return false;
}

/* The first way's failure is the one to tell, unless nobody answered there and somebody did
 * elsewhere. */
static const struct reach_way *telling(const struct reach *r) {
    const struct reach_way *first = &r->ways[0];
    bool silent = first->err == BK_ERR_TIMEOUT || first->err == BK_ERR_UNREACHABLE;
    for (unsigned i = 1; i < REACH_WAYS && silent; i++)
        if (r->ways[i].state == WAY_FAILED && r->ways[i].err == BK_ERR_AUTH)
            return &r->ways[i];
    return first;
}

static void all_failed(struct reach *r) {
    const struct reach_way *w = telling(r);
    char reason[NET_REASON_MAX];
    memcpy(reason, w->reason, sizeof reason);
    enum bk_err err = w->err;
    r->first = 0;
    reach_stop(r);
    r->events.on_failed(r->events.ctx, err, reason);
}

static void time_out(struct reach *r) {
    for (unsigned i = 0; i < REACH_WAYS; i++) {
        struct reach_way *w = &r->ways[i];
        if (w->state == WAY_WAITING)
            w->state = WAY_UNUSED;
        if (!is_under_way(w))
            continue;
        if (w->proxy != NULL && w->state != WAY_TLS)
            way_fail_proxy(w, BK_ERR_TIMEOUT, "the other side does not answer");
        else
            way_fail(w, BK_ERR_TIMEOUT, "the other side does not answer");
    }
}

static void start_next(struct reach *r, struct bk_time now) {
    struct reach_way *w = next_way(r);
    if (w == NULL) {
        r->next_at = BK_NEVER;
        return;
    }
    dial(w);
    r->next_at = bk_after(now, NEXT_WAY_US);
}

static void tell_slow(struct reach *r) {
    if (r->told_slow)
        return;
    r->told_slow = true;
    if (r->events.on_slow != NULL)
        r->events.on_slow(r->events.ctx);
}

static void step(struct reach *r, struct bk_time now) {
    bool late = bk_due(r->next_at, now);
    if (late)
        tell_slow(r);
    if (bk_due(r->end_at, now))
        time_out(r);
    if (late || !any_under_way(r))
        start_next(r, now);
    if (!any_under_way(r) && next_way(r) == NULL) {
        all_failed(r);
        return;
    }
    net_timer_set(&r->timer, bk_earlier(r->next_at, r->end_at));
}

static void on_timer(void *ctx, struct bk_time now) {
    step(ctx, now);
}

static void plan(struct reach *r, unsigned i, const struct proxy *proxy, uint16_t port) {
    struct reach_way *w = &r->ways[i];
    *w = (struct reach_way){.reach = r, .state = WAY_WAITING, .proxy = proxy, .port = port};
}

/* Which ways there are, in the order of preference. */
static void plan_round(struct reach *r) {
    const struct home *home = r->home;
    const struct proxy *proxy = reach_has_proxy(r) ? &r->proxy : NULL;
    for (unsigned i = 0; i < REACH_WAYS; i++)
        r->ways[i] = (struct reach_way){.reach = r, .state = WAY_UNUSED};
    plan(r, 0, proxy, home->https_port);
    /* Many networks, and most proxies, let nothing out but 443. The certificate says whether what
     * answers there is the home. */
    if (!home->plain && home->https_port != HTTPS_PORT)
        plan(r, 1, proxy, HTTPS_PORT);
    if (proxy != NULL && !r->proxy_only)
        plan(r, STRAIGHT, NULL, home->https_port);
}

/* --- what the link calls --- */

void reach_init(struct reach *r, struct net_loop *loop, const struct home *home,
                const struct proxy *proxy, bool proxy_only, const struct reach_events *events) {
    memset(r, 0, sizeof *r);
    r->loop = loop;
    r->home = home;
    if (proxy != NULL)
        r->proxy = *proxy;
    r->proxy_only = proxy_only;
    r->events = *events;
    r->rng = box_rng();
    r->next_at = r->end_at = BK_NEVER;
    net_timer_init(&r->timer, loop, on_timer, r);
}

void reach_set_tls(struct reach *r, struct net_tls *tls) {
    r->tls = tls;
}

void reach_start(struct reach *r) {
    struct bk_time now = net_now(r->loop);
    bk_assert(!r->running);
    r->running = true;
    r->told_slow = r->login_refused = false;
    plan_round(r);
    r->end_at = bk_after(now, WAY_US + NEXT_WAY_US);
    start_next(r, now);
    net_timer_set(&r->timer, bk_earlier(r->next_at, r->end_at));
}

void reach_stop(struct reach *r) {
    for (unsigned i = 0; i < REACH_WAYS; i++)
        way_drop(&r->ways[i]);
    net_timer_set(&r->timer, BK_NEVER);
    r->running = false;
}

void reach_fini(struct reach *r) {
    if (r->loop == NULL)
        return;
    reach_stop(r);
    proxy_fini(&r->proxy);
}

void reach_forget(struct reach *r) {
    r->first = 0;
}

bool reach_is_running(const struct reach *r) {
    return r->running;
}

bool reach_has_proxy(const struct reach *r) {
    return r->proxy.kind != PROXY_NONE;
}

char *reach_way_text(const struct reach *r, char *out) {
    char proxy[PROXY_TEXT_MAX];
    struct text t = text_in(out, REACH_TEXT_MAX);
    if (reach_has_proxy(r) && r->first != STRAIGHT) {
        text_str(&t, "through ");
        text_str(&t, proxy_format(&r->proxy, proxy));
    }
    if (r->first == 1) {
        text_str(&t, t.len > 0 ? " " : "");
        text_str(&t, "at port 443");
    }
    return out;
}

bool reach_is_stuck(const struct reach *r) {
    for (unsigned i = 0; i < REACH_WAYS; i++)
        if (r->ways[i].stream != NULL &&
            net_stream_remote(r->ways[i].stream).ip.family != BK_FAMILY_NONE)
            return false;
    return true;
}
