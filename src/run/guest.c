/* SPDX-License-Identifier: MIT
 * Connections that somebody opened to our TCP port. Whom they want is said by their first message,
 * a framed Binding request (RFC 6544 section 7.2, RFC 4571): it is held here until it is whole. Few
 * guests, and not for long: anybody can connect and say nothing. */
#include "run/driver.h"

#include <string.h>

enum {
    GUEST_PATIENCE_US = 10000000,
    GUEST_FRAME = 2, /* the length in front of each message, RFC 4571 section 2 */
    GUEST_FIRST_MAX = 1024
};

struct run_guest {
    struct run_guest *next; /* the newest first */
    struct bk_run *run;
    struct net_stream *stream;
    struct net_timer timer;
    size_t len;
    uint8_t first[GUEST_FIRST_MAX];
};

static void drop(struct run_guest *g) {
    struct run_guest **at = &g->run->guests;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    g->run->guest_count--;
    net_timer_set(&g->timer, BK_NEVER);
    run_put(g);
}

static void show_out(struct run_guest *g) {
    net_stream_close(g->stream);
    drop(g);
}

static void on_patience(void *ctx, struct bk_time now) {
    (void)now;
    show_out(ctx);
}

/* The first agent of that name that takes it; NULL: none does. */
static struct driven *introduce(struct run_guest *g, const char *ufrag, size_t len, uint32_t *id) {
    struct bk_run *run = g->run;
    struct bk_addr local = net_stream_local(g->stream), remote = net_stream_remote(g->stream);
    uint32_t offers[DEMUX_OFFERS];
    size_t n = demux_find_named(&run->demux, ufrag, len, offers);
    for (size_t i = 0; i < n; i++) {
        struct driven *a = run->agents[offers[i]];
        if (a == NULL || bk_ice_accepted(a->ice, &local, &remote, net_now(run->loop), id) != BK_OK)
            continue;
        if (run_conn_adopt(a, g->stream, *id))
            return a;
        bk_ice_hung_up(a->ice, *id, net_now(run->loop));
    }
    return NULL;
}

/* The first message is here, and with it `len` bytes that did not fit behind it. */
static void place(struct run_guest *g, size_t message_len, const uint8_t *data, size_t len) {
    const char *ufrag;
    size_t ufrag_len;
    uint32_t id = 0;
    struct driven *a = NULL;
    if (bk_ice_peek_ufrag(g->first + GUEST_FRAME, message_len, &ufrag, &ufrag_len))
        a = introduce(g, ufrag, ufrag_len, &id);
    if (a == NULL) {
        show_out(g);
        return;
    }
    driven_hold(a);
    run_conn_input(a, id, g->first, g->len);
    run_conn_input(a, id, data, len);
    driven_release(a);
    drop(g);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct run_guest *g = ctx;
    size_t room = sizeof g->first - g->len, taken = len < room ? len : room;
    memcpy(g->first + g->len, data, taken);
    g->len += taken;
    if (g->len < GUEST_FRAME)
        return;
    size_t message_len = (size_t)g->first[0] << 8 | g->first[1];
    if (message_len > sizeof g->first - GUEST_FRAME)
        show_out(g);
    else if (g->len >= GUEST_FRAME + message_len)
        place(g, message_len, data + taken, len - taken);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    (void)err;
    (void)reason;
    drop(ctx);
}

static void make_room(struct bk_run *run) {
    struct run_guest *oldest = run->guests;
    if (run->guest_count < RUN_GUESTS_MAX)
        return;
    while (oldest->next != NULL)
        oldest = oldest->next;
    show_out(oldest);
}

void run_guest_accept(void *ctx, struct net_stream *s) {
    static const struct net_stream_events events = {.on_bytes = on_bytes, .on_close = on_close};
    struct bk_run *run = ctx;
    make_room(run);
    struct run_guest *g = run_get(sizeof *g);
    if (g == NULL) {
        net_stream_close(s);
        return;
    }
    *g = (struct run_guest){.next = run->guests, .run = run, .stream = s};
    run->guests = g;
    run->guest_count++;
    net_timer_init(&g->timer, run->loop, on_patience, g);
    net_timer_set(&g->timer, bk_after(net_now(run->loop), GUEST_PATIENCE_US));
    net_stream_adopt(s, &events, g);
}

void run_guest_end_all(struct bk_run *run) {
    while (run->guests != NULL)
        show_out(run->guests);
}
