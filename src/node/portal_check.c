/* SPDX-License-Identifier: MIT */
#include "node/portal_check.h"

#include "box/box.h"
#include <bodkin/addr.h>
#include <string.h>

enum {
    HTTP_PORT = 80,
    CHECK_US = 2 * 1000 * 1000, /* a portal is near */
    PAUSE_US = 10 * 1000 * 1000 /* between two checks */
};

static void end(struct portal_check *c) {
    net_stream_close(c->stream);
    c->stream = NULL;
    net_timer_set(&c->timer, BK_NEVER);
}

static void fail(struct portal_check *c) {
    end(c);
    c->there = false;
    c->on_done(c->ctx);
}

static void on_timer(void *ctx, struct bk_time now) {
    (void)now;
    fail(ctx);
}

static void on_open(void *ctx) {
    struct portal_check *c = ctx;
    char request[PORTAL_REQUEST_MAX];
    size_t len = portal_init(&c->portal, c->host, &c->rng, request);
    if (net_stream_write(c->stream, request, len) != BK_OK)
        fail(c);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct portal_check *c = ctx;
    enum portal_verdict verdict = PORTAL_UNKNOWN;
    if (portal_recv(&c->portal, data, len, &verdict) == BK_ERR_SHORT)
        return;
    c->there = verdict == PORTAL_THERE;
    memcpy(c->url, c->portal.url, sizeof c->url);
    end(c);
    c->on_done(c->ctx);
}

/* Nobody there, or nothing said: no portal would be that shy. */
static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct portal_check *c = ctx;
    (void)err;
    (void)reason;
    c->stream = NULL;
    fail(c);
}

static bool is_this_machine(const char *host) {
    struct bk_ip ip;
    return strcmp(host, "localhost") == 0 ||
           (bk_ip_parse(host, &ip) == BK_OK && bk_ip_scope(&ip) == BK_SCOPE_LOOPBACK);
}

bool portal_check_start(struct portal_check *c) {
    static const struct net_stream_events events = {
        .on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
    struct net_stream_config config = net_stream_config_default;
    struct bk_time now = net_now(c->loop);
    if (c->stream != NULL)
        return true;
    if (!bk_due(c->again_at, now) || is_this_machine(c->host))
        return false;
    c->again_at = bk_after(now, PAUSE_US);
    if (net_stream_connect(c->loop, c->host, HTTP_PORT, &config, &events, c, &c->stream) != BK_OK)
        return false;
    net_timer_set(&c->timer, bk_after(now, CHECK_US));
    return true;
}

bool portal_check_is_running(const struct portal_check *c) {
    return c->stream != NULL;
}

void portal_check_forget(struct portal_check *c) {
    end(c);
    c->there = false;
    c->again_at = net_now(c->loop);
}

void portal_check_init(struct portal_check *c, struct net_loop *loop, const char *host,
                       void (*on_done)(void *ctx), void *ctx) {
    memset(c, 0, sizeof *c);
    c->loop = loop;
    c->host = host;
    c->on_done = on_done;
    c->ctx = ctx;
    c->rng = box_rng();
    c->again_at = net_now(loop);
    net_timer_init(&c->timer, loop, on_timer, c);
}

void portal_check_fini(struct portal_check *c) {
    if (c->loop != NULL)
        end(c);
}
