/* SPDX-License-Identifier: MIT
 * One allocation, over whatever the server's URI says, and what there is to know about it. */
#define _GNU_SOURCE
#include "box/box.h"
#include "cli/command.h"
#include "cli/turn.h"
#include "cli/turn_link.h"
#include "cli/turn_load.h"
#include "cli/turn_socket.h"
#include "net/alloc.h"
#include "net/dtls.h"
#include "net/interfaces.h"
#include "net/stream.h"
#include "net/udp.h"

#include <stdio.h>

enum {
    SETTLE_NS = 300000000, /* the last echo comes back */
    PATIENCE_S = 45
}; /* UDP's retransmissions end after 39.5 s, RFC 8489 section 6.2.1 */

struct line { /* to the server */
    struct turn_cli *cli;
    struct net_loop *loop;
    struct net_udp *udp;
    struct net_stream *stream;
    struct net_dtls *dtls;
    struct net_tls *tls;
    struct bk_turn *turn;
    struct net_timer timer, limit;
    struct net_deferred round;
    int64_t begun_us, open_us, closing_us, moving_us;
    bool closing, ok, redirected;
    struct turn_link_line link; /* --tcp-peer */
    struct bk_addr *second;     /* not the first one: here goes its relayed address */
    /* Echoes */
    bool echo;
    struct net_timer next;
    struct turn_pace pace;
    struct turn_histogram times;
    struct turn_usage before;
};

static void finish(struct line *l, bool ok) {
    l->ok = ok;
    net_loop_stop(l->loop);
}

/* ---- the client's verbs --------------------------------------------------------------------- */

static void send_out(struct line *l, const struct bk_datagram *out) {
    enum bk_err err = BK_ERR_STATE;
    if (l->udp != NULL)
        err = net_udp_send(l->udp, out);
    else if (l->stream != NULL)
        err = net_stream_write(l->stream, out->data, out->len);
    else if (l->dtls != NULL)
        err = net_dtls_send(l->dtls, out->data, out->len);
    if (err != BK_OK)
        fprintf(stderr, "bodkin turn: sending: %s\n", bk_err_text(err));
}

static void give_back(struct line *l) {
    l->closing = true;
    l->closing_us = net_clock().us;
    if (l->cli->keep)
        finish(l, true);
    else
        bk_turn_close(l->turn, net_now(l->loop));
}

/* ---- echoes ------------------------------------------------------------------------------- */

static void end_echoes(struct line *l) {
    struct turn_usage after = turn_usage_of(l->cli->pid);
    turn_result_addr(&l->cli->result, "peer", &l->cli->peer);
    turn_result_number(&l->cli->result, "sent", (double)l->pace.sent);
    turn_result_number(&l->cli->result, "came_back", (double)l->times.count);
    turn_result_histogram(&l->cli->result, "round_trip", &l->times);
    turn_result_usage(&l->cli->result, &l->before, &after, 2 * l->times.count);
    give_back(l);
    net_defer(&l->round);
}

static void send_echo(struct line *l) {
    const struct turn_message m = {.word = TURN_WORD_ECHO, .sent_ns = turn_wall_ns()};
    uint8_t data[TURN_DATAGRAM] = {0};
    struct bk_datagram out;
    (void)turn_message_write(&m, data);
    if (bk_turn_send(l->turn, &l->cli->peer, data, l->cli->size, &out) == BK_OK)
        send_out(l, &out);
    l->pace.sent++;
}

static void on_next(void *ctx, struct bk_time now) {
    struct line *l = ctx;
    int64_t ns = now.us * 1000;
    if (ns >= l->pace.until_ns + SETTLE_NS) {
        end_echoes(l);
        return;
    }
    if (turn_pace_due(&l->pace, ns) > 0)
        send_echo(l);
    int64_t at = ns < l->pace.until_ns ? turn_pace_next(&l->pace) : l->pace.until_ns + SETTLE_NS;
    net_timer_set(&l->next, (struct bk_time){at / 1000 + 1});
}

static void start_echoes(struct line *l) {
    const struct turn_cli *t = l->cli;
    const struct turn_load load = {
        .burst = 1, .size = t->size, .rate = t->rate, .ms = t->seconds * 1000};
    l->before = turn_usage_of(t->pid);
    net_timer_set(&l->limit, BK_NEVER);
    turn_pace_start(&l->pace, &load, net_clock().us * 1000);
    on_next(l, net_clock());
}

static void on_data(struct line *l, const struct bk_turn_data *data) {
    struct turn_message m;
    if (data->data != NULL && turn_message_read(data->data, data->len, &m) &&
        m.word == TURN_WORD_ECHO)
        turn_histogram_add(&l->times, turn_wall_ns() - m.sent_ns);
}

/* ---- other networks, other clients ---------------------------------------------------------- */

static bool open_line(struct line *l);
static bool run_second(struct turn_cli *t, struct bk_addr *relayed);

/* As when a laptop is carried from one network to the next: another socket or connection. */
static void change_network(struct line *l) {
    l->moving_us = net_clock().us;
    net_udp_close(l->udp);
    net_stream_close(l->stream);
    net_dtls_close(l->dtls);
    l->udp = NULL;
    l->stream = NULL;
    l->dtls = NULL;
    if (!open_line(l))
        finish(l, false);
}

static void on_moved(struct line *l) {
    turn_result_number(&l->cli->result, "move_ms", (double)(net_clock().us - l->moving_us) / 1000);
    if (l->echo)
        start_echoes(l);
    else
        give_back(l);
}

/* The port after this one's, for RTCP, say. */
static bool take_reserved(struct line *l, const struct bk_turn_event *e) {
    struct turn_cli second = *l->cli;
    struct bk_addr relayed = {.port = 0};
    if (e->reservation == 0) {
        fprintf(stderr, "bodkin turn: the server reserves no port\n");
        return false;
    }
    second.reserve = second.mobility = false;
    second.reservation = e->reservation;
    if (!run_second(&second, &relayed))
        return false;
    turn_result_addr(&l->cli->result, "relayed_next", &relayed);
    return true;
}

static void on_link_end(void *ctx, bool ok) {
    struct line *l = ctx;
    if (!ok) {
        finish(l, false);
        return;
    }
    give_back(l);
    net_defer(&l->round);
}

static void ask_for_peer(struct line *l) {
    l->link = (struct turn_link_line){
        .cli = l->cli, .turn = l->turn, .loop = l->loop, .on_end = on_link_end, .ctx = l};
    (void)turn_link_ask(&l->link);
}

static void open_link(struct line *l, const struct bk_turn_event *e) {
    struct net_stream_config c = net_stream_config_default;
    c.tls = l->tls;
    c.server_name = l->cli->uri.host;
    c.from.ip = l->cli->from[0].ip;
    (void)turn_link_open(&l->link, e, &c);
}

/* ---- events ------------------------------------------------------------------------------- */

static void on_allocated(struct line *l, const struct bk_turn_event *e) {
    struct turn_result *r = &l->cli->result;
    int64_t now_us = net_clock().us;
    if (l->second != NULL) {
        *l->second = e->relayed;
        give_back(l);
        return;
    }
    turn_result_addr(r, "relayed", &e->relayed);
    turn_result_addr(r, "relayed_ipv6", &e->relayed6);
    turn_result_addr(r, "mapped", &e->mapped);
    turn_result_number(r, "lifetime_s", e->lifetime_s);
    if (l->open_us > l->begun_us)
        turn_result_number(r, "connect_ms", (double)(l->open_us - l->begun_us) / 1000);
    turn_result_number(r, "allocate_ms", (double)(now_us - l->open_us) / 1000);
    if (e->rtt_us >= 0)
        turn_result_number(r, "round_trip_ms", (double)e->rtt_us / 1000);
    if (l->cli->mobility)
        turn_result_text(r, "mobility", e->mobile ? "yes" : "no");
    if (l->echo) {
        if (bk_turn_permit(l->turn, &l->cli->peer, true, net_now(l->loop)) != BK_OK)
            finish(l, false);
    } else if (l->cli->reserve && !take_reserved(l, e)) {
        finish(l, false);
    } else if (l->cli->tcp_peer.port != 0) {
        ask_for_peer(l);
    } else if (l->cli->mobility && e->mobile) {
        change_network(l);
    } else {
        give_back(l);
    }
}

/* RFC 8489 section 10; over TLS the certificate there is checked for the name it gave. */
static void on_redirect(struct line *l, const struct bk_turn_event *e) {
    char text[BK_ADDR_TEXT_MAX];
    turn_result_addr(&l->cli->result, "redirected_to", &e->alternate);
    fprintf(stderr, "bodkin turn: the server says: ask %s\n", bk_addr_format(&e->alternate, text));
    l->cli->server = e->alternate;
    if (e->domain != NULL)
        (void)snprintf(l->cli->uri.host, sizeof l->cli->uri.host, "%s", e->domain);
    l->redirected = true;
    change_network(l);
}

static void on_event(struct line *l, const struct bk_turn_event *e) {
    switch (e->kind) {
    case BK_TURN_ALLOCATED:
        on_allocated(l, e);
        break;
    case BK_TURN_MOVED:
        on_moved(l);
        break;
    case BK_TURN_CONNECTION:
        open_link(l, e);
        break;
    case BK_TURN_NO_CONNECTION:
        fprintf(stderr, "bodkin turn: no connection to the peer: %s", bk_err_text(e->err));
        fprintf(stderr, e->code != 0 ? ", code %u\n" : "\n", (unsigned)e->code);
        finish(l, false);
        break;
    case BK_TURN_CLOSED:
        if (l->second == NULL)
            turn_result_number(&l->cli->result, "release_ms",
                               (double)(net_clock().us - l->closing_us) / 1000);
        finish(l, true);
        break;
    case BK_TURN_REDIRECT:
        on_redirect(l, e);
        break;
    case BK_TURN_FAILED:
    case BK_TURN_LOST:
        fprintf(stderr, "bodkin turn: no allocation: %s", bk_err_text(e->err));
        fprintf(stderr, e->code != 0 ? ", code %u\n" : "\n", (unsigned)e->code);
        finish(l, false);
        break;
    case BK_TURN_REFUSED:
        fprintf(stderr, "bodkin turn: the peer is not permitted, code %u\n", (unsigned)e->code);
        finish(l, false);
        break;
    case BK_TURN_PERMITTED:
        if (l->cli->mobility && l->moving_us == 0)
            change_network(l);
        else if (l->pace.until_ns == 0)
            start_echoes(l);
        break;
    case BK_TURN_ICMP:
        break;
    }
}

static void round_of(void *ctx) {
    struct line *l = ctx;
    struct bk_datagram out;
    struct bk_turn_event e;
    bk_turn_advance(l->turn, net_now(l->loop));
    while (bk_turn_next_event(l->turn, &e))
        on_event(l, &e);
    while (bk_turn_next_datagram(l->turn, &out))
        send_out(l, &out);
    net_timer_set(&l->timer, bk_turn_deadline(l->turn));
}

static void on_due(void *ctx, struct bk_time now) {
    struct line *l = ctx;
    (void)now;
    net_defer(&l->round);
}

static void on_limit(void *ctx, struct bk_time now) {
    (void)now;
    fprintf(stderr, "bodkin turn: no answer\n");
    finish(ctx, false);
}

/* ---- transports --------------------------------------------------------------------------- */

/* On the new network, or at the new server. */
static void go_on(struct line *l, const struct bk_addr *local) {
    enum bk_err err = BK_OK;
    if (l->redirected)
        err = bk_turn_follow(l->turn, local, net_now(l->loop));
    else
        bk_turn_move(l->turn, local, net_now(l->loop));
    l->redirected = false;
    if (err != BK_OK)
        finish(l, false);
    net_defer(&l->round);
}

static void start_client(struct line *l, const struct bk_addr *local) {
    const struct turn_cli *t = l->cli;
    if (l->turn != NULL) {
        go_on(l, local);
        return;
    }
    struct bk_turn_config c = bk_turn_config_default;
    const struct bk_rng rng = box_rng();
    c.local = *local;
    c.server = t->server;
    turn_credentials(t, &c);
    c.stream = t->uri.protocol == BK_TCP;
    c.family = t->ipv6 ? BK_IPV6 : BK_IPV4;
    c.both = t->both;
    c.dont_fragment = t->dont_fragment;
    c.even_port = t->even_port;
    c.reserve = t->reserve;
    c.reservation = t->reservation;
    c.mobility = t->mobility;
    c.secure = t->uri.secure;
    c.tcp = t->tcp_peer.port != 0;
    c.lifetime_s = t->lifetime;
    c.again = false;
    l->open_us = net_clock().us;
    enum bk_err err = bk_turn_new(&c, net_alloc(), &rng, net_now(l->loop), &l->turn);
    if (err == BK_OK) {
        net_defer(&l->round);
        return;
    }
    const char *field = bk_turn_config_check(&c);
    fprintf(stderr, "bodkin turn: %s%s%s\n", bk_err_text(err), field != NULL ? ": " : "",
            field != NULL ? field : "");
    finish(l, false);
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct line *l = ctx;
    struct bk_turn_data data;
    for (size_t i = 0; i < n && l->turn != NULL; i++)
        if (bk_turn_recv(l->turn, &in[i], now, &data) == BK_OK)
            on_data(l, &data);
    net_defer(&l->round);
}

static void on_message(void *ctx, const uint8_t *data, size_t len) {
    struct line *l = ctx;
    struct bk_turn_data out;
    const struct bk_datagram in = {
        .local = net_dtls_local(l->dtls), .remote = l->cli->server, .data = data, .len = len};
    if (bk_turn_recv(l->turn, &in, net_now(l->loop), &out) != BK_OK)
        return;
    on_data(l, &out);
    net_defer(&l->round);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct line *l = ctx;
    struct bk_turn_data out;
    if (bk_turn_stream_recv(l->turn, data, len, net_now(l->loop)) != BK_OK)
        finish(l, false);
    while (bk_turn_next_data(l->turn, &out))
        on_data(l, &out);
    net_defer(&l->round);
}

static void on_stream_open(void *ctx) {
    struct line *l = ctx;
    const struct bk_addr local = net_stream_local(l->stream);
    start_client(l, &local);
}

static void on_dtls_open(void *ctx) {
    struct line *l = ctx;
    const struct bk_addr local = net_dtls_local(l->dtls);
    start_client(l, &local);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct line *l = ctx;
    l->stream = NULL;
    l->dtls = NULL;
    if (!l->closing)
        fprintf(stderr, "bodkin turn: %s: %s\n", bk_err_text(err), reason);
    finish(l, l->closing);
}

static bool make_tls(struct line *l) {
    struct net_tls_client_config c = net_tls_client_config_default;
    char reason[NET_REASON_MAX] = "";
    c.insecure = l->cli->insecure;
    c.ca_file = l->cli->ca_file;
    c.alpn = "stun.turn"; /* RFC 7443 */
    enum bk_err err = net_tls_client_new(&c, &l->tls, reason);
    if (err != BK_OK)
        fprintf(stderr, "bodkin turn: %s: %s\n", bk_err_text(err), reason);
    return err == BK_OK;
}

static enum bk_err open_udp(struct line *l) {
    const struct net_udp_events events = {on_batch, l};
    struct bk_addr at = l->cli->from[0];
    if (l->cli->from_count == 0 && net_source_for(&l->cli->server, &at.ip) != BK_OK)
        return BK_ERR_UNREACHABLE;
    enum bk_err err = net_udp_open(l->loop, &at, &net_udp_config_default, &events, &l->udp);
    if (err != BK_OK)
        return err;
    at = net_udp_local(l->udp);
    start_client(l, &at);
    return BK_OK;
}

static enum bk_err open_dtls(struct line *l, const char *name) {
    static const struct net_dtls_events events = {on_dtls_open, on_message, on_close};
    struct net_dtls_config c = net_dtls_config_default;
    c.tls = l->tls;
    c.server_name = name;
    c.from = l->cli->from[0];
    return net_dtls_connect(l->loop, &l->cli->server, &c, &events, l, &l->dtls);
}

static enum bk_err open_stream(struct line *l, const char *name) {
    static const struct net_stream_events events = {
        .on_open = on_stream_open, .on_bytes = on_bytes, .on_close = on_close};
    struct net_stream_config c = net_stream_config_default;
    c.tls = l->tls;
    c.server_name = name;
    c.from = l->cli->from[0];
    return net_stream_connect_addr(l->loop, &l->cli->server, &c, &events, l, &l->stream);
}

static bool open_line(struct line *l) {
    const struct server_uri *u = &l->cli->uri;
    if (u->secure && l->tls == NULL && !make_tls(l))
        return false;
    enum bk_err err = u->protocol == BK_TCP ? open_stream(l, u->host)
                      : u->secure           ? open_dtls(l, u->host)
                                            : open_udp(l);
    if (err != BK_OK)
        fprintf(stderr, "bodkin turn: %s\n", bk_err_text(err));
    return err == BK_OK;
}

static void close_line(struct line *l) {
    net_timer_set(&l->timer, BK_NEVER);
    net_timer_set(&l->limit, BK_NEVER);
    net_timer_set(&l->next, BK_NEVER);
    net_defer_cancel(&l->round);
    turn_link_close(&l->link);
    net_udp_close(l->udp);
    net_stream_close(l->stream);
    net_dtls_close(l->dtls);
    bk_turn_free(l->turn);
    net_tls_unref(l->tls);
    net_loop_free(l->loop);
}

static bool run(struct line *l) {
    if (net_loop_new(net_alloc(), &l->loop) != BK_OK)
        return false;
    net_timer_init(&l->timer, l->loop, on_due, l);
    net_timer_init(&l->limit, l->loop, on_limit, l);
    net_timer_init(&l->next, l->loop, on_next, l);
    net_deferred_init(&l->round, l->loop, round_of, l);
    net_timer_set(&l->limit, bk_after(net_clock(), PATIENCE_S * BK_US_PER_S));
    if (open_line(l))
        net_loop_run(l->loop);
    close_line(l);
    return l->ok;
}

/* In a loop of its own, beside the first, which waits: its port is what is asked for. */
static bool run_second(struct turn_cli *t, struct bk_addr *relayed) {
    struct line l = {.cli = t, .begun_us = net_clock().us, .second = relayed};
    return run(&l);
}

static int run_line(struct turn_cli *t, bool echo) {
    static const char *const names[2][2] = {{"udp", "dtls"}, {"tcp", "tls"}};
    static struct line l;
    l = (struct line){.cli = t, .begun_us = net_clock().us, .echo = echo};
    turn_result_addr(&t->result, "server", &t->server);
    turn_result_text(&t->result, "transport", names[t->uri.protocol == BK_TCP][t->uri.secure]);
    return run(&l) ? EXIT_FINE : EXIT_OTHER;
}

int turn_allocate(struct turn_cli *t) {
    return run_line(t, false);
}

int turn_echo_line(struct turn_cli *t) {
    pid_t own = 0;
    if (t->peer.ip.family == BK_FAMILY_NONE && !turn_peer_start(t, &own)) {
        fprintf(stderr, "bodkin turn: no peer\n");
        turn_peer_stop(own);
        return EXIT_OTHER;
    }
    int code = run_line(t, true);
    turn_peer_stop(own);
    return code;
}
