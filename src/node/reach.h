/* SPDX-License-Identifier: MIT
 * From nothing to an open and verified stream to the home server, by every way there is: straight,
 * through a proxy, to port 443 when a network lets nothing else out. Ways are started one after the
 * other, as soon as the one before has failed or is slow, and race; the first that carries bytes
 * wins, and is tried first the next time.
 *
 * One round is one reach_start(); it ends with on_open, on_failed or reach_stop(). */
#ifndef NODE_REACH_H
#define NODE_REACH_H

#include "net/loop.h"
#include "net/stream.h"
#include "peer/home_url.h"
#include "tunnel/tunnel.h"

enum { REACH_WAYS = 3, REACH_TEXT_MAX = PROXY_TEXT_MAX + 32 };

struct reach_events {
    /* The stream is the caller's, who adopts it in this call; `data` is what it has brought. */
    void (*on_open)(void *ctx, struct net_stream *s, const uint8_t *data, size_t len);
    /* Every way has failed; err and reason as in net_stream_events, BK_ERR_AUTH for a proxy's
     * login, too. `reason` is a view. */
    void (*on_failed)(void *ctx, enum bk_err err, const char *reason);
    void (*on_slow)(void *ctx); /* the first way takes longer than it should */
    void *ctx;
};

enum reach_state {
    WAY_UNUSED, /* not in this round */
    WAY_WAITING,
    WAY_DIALING, /* TCP, and TLS when there is no proxy */
    WAY_TUNNEL,  /* the proxy is asked */
    WAY_TLS,     /* through the proxy */
    WAY_FAILED
};

struct reach_way {
    struct reach *reach;
    enum reach_state state;
    const struct proxy *proxy; /* NULL: straight */
    uint16_t port;             /* the home's */
    bool reached;              /* the proxy took the connection */
    unsigned logins;           /* connections made anew for the proxy's login */
    struct net_stream *stream;
    struct tunnel tunnel;
    enum bk_err err; /* WAY_FAILED */
    char reason[NET_REASON_MAX];
};

struct reach {
    struct net_loop *loop;
    const struct home *home;
    struct net_tls *tls; /* NULL: plain */
    struct proxy proxy;
    bool proxy_only;
    struct reach_events events;
    struct bk_rng rng;
    struct tunnel_memory memory;
    struct reach_way ways[REACH_WAYS];
    unsigned first; /* the way that worked last */
    bool running, told_slow;
    bool login_refused; /* by the proxy, in this round */
    struct bk_time next_at, end_at;
    struct net_timer timer;
};

/* `home` and `tls` are borrowed for life. `proxy` is copied; NULL: none. Unless `proxy_only`, the
 * straight way is tried when the proxy cannot be reached: another network may need none. */
void reach_init(struct reach *r, struct net_loop *loop, const struct home *home,
                const struct proxy *proxy, bool proxy_only, const struct reach_events *events);
void reach_fini(struct reach *r);
void reach_set_tls(struct reach *r, struct net_tls *tls);
/* Never calls back from inside. */
void reach_start(struct reach *r);
/* No callback follows. */
void reach_stop(struct reach *r);
/* Another network: what worked in the last one means nothing. */
void reach_forget(struct reach *r);
bool reach_is_running(const struct reach *r);
/* Is a proxy, not the network, between us and the home? */
bool reach_has_proxy(const struct reach *r);
/* How the way that worked last differs from the plainest: "through PROXY", "at port 443", or empty.
 * `out` has room for REACH_TEXT_MAX. Returns `out`. */
char *reach_way_text(const struct reach *r, char *out);
/* Has no way got as far as a TCP connection? */
bool reach_is_stuck(const struct reach *r);

#endif
