/* SPDX-License-Identifier: MIT */
#include "server/turn_int.h"

#include "box/box.h"
#include "net/alloc.h"
#include "server/turn_tcp.h"
#include "server/worker.h"

/* --- what the service wants
 * ---------------------------------------------------------------------- */

static void act(struct server_turn *t, const struct turn_action *a, struct bk_time now) {
    switch (a->kind) {
    case TURN_OPEN:
        if (a->protocol != BK_UDP || turn_relay_open(t, &a->addr) != BK_OK)
            turn_service_cannot_open(t->service, &a->addr, now);
        return;
    case TURN_CLOSE:
        turn_relay_close(t, &a->addr);
        return;
    case TURN_CONNECT:
    case TURN_JOIN:
    case TURN_CUT:
    case TURN_FLOW:
    case TURN_FLOW_END:
    case TURN_PASS:
        return;
    }
}

static void answer(struct server_turn *t, struct turn_link *link, const struct bk_datagram *out) {
    const struct turn_route route = {.to_client = true,
                                     .local = out->local,
                                     .remote = out->remote,
                                     .chan = UINT32_MAX,
                                     .alloc = UINT32_MAX,
                                     .len = (uint32_t)out->len,
                                     .protocol = out->protocol};
    if (link == NULL)
        link = turn_service_via(t->service);
    if (link != NULL)
        link->type->send(link, &route, out->data);
}

static void set_timer(struct server_turn *t) {
    const struct bk_time deadline = turn_service_deadline(t->service);
    if (deadline.us == t->deadline.us)
        return;
    t->deadline = deadline;
    net_timer_set(&t->timer, deadline);
}

void turn_serve(struct server_turn *t, struct turn_link *link, struct bk_time now) {
    struct turn_action action;
    struct bk_datagram out;
    while (turn_service_next_action(t->service, &action))
        act(t, &action, now);
    if (turn_service_next_datagram(t->service, &out) && !turn_relay_send(t, &out))
        answer(t, link, &out);
    set_timer(t);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct server_turn *t = ctx;
    t->deadline = BK_NEVER;
    turn_service_advance(t->service, now);
    turn_serve(t, NULL, now);
}

enum bk_err server_turn_recv(struct server_turn *t, struct turn_link *link,
                             const struct bk_datagram *in, struct bk_time now) {
    struct bk_datagram whole = *in;
    whole.segment = in->len;
    if (turn_run(t, &whole, true, now) > 0)
        return BK_OK;
    turn_service_from(t->service, link);
    enum bk_err err = turn_service_recv(t->service, in, now);
    turn_serve(t, link, now);
    return err;
}

void server_turn_left(struct server_turn *t, const struct bk_datagram *client, struct bk_time now) {
    turn_service_left(t->service, client, now);
    turn_serve(t, NULL, now);
}

void server_turn_drain(struct server_turn *turn) {
    turn_serve(turn, NULL, net_now(turn->worker->loop));
}

struct turn_tcp *server_turn_tcp(struct server_turn *turn) {
    (void)turn;
    return NULL;
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

enum bk_err server_turn_new(struct worker *w, const struct server_turn_config *config,
                            struct server_turn **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct bk_rng rng = box_rng();
    struct server_turn *t = alloc->get(alloc->ctx, sizeof *t);
    if (t == NULL)
        return BK_ERR_NO_MEMORY;
    struct turn_service_config service = config->service;
    t->users = config->service.users;
    t->worker = w;
    service.worker = (uint16_t)w->index;
    service.workers = (uint16_t)w->fleet->count;
    service.dont_fragment = net_plane_can_keep_whole(w->plane);
    net_timer_init(&t->timer, w->loop, on_timer, t);
    t->deadline = BK_NEVER;
    enum bk_err err = turn_relays_init(t, &service);
    if (err == BK_OK)
        err = turn_service_new(&service, alloc, &rng, net_clock(), &t->service);
    if (err != BK_OK) {
        server_turn_free(t);
        return err;
    }
    *out = t;
    return BK_OK;
}

void server_turn_free(struct server_turn *t) {
    const struct bk_alloc *alloc = net_alloc();
    if (t == NULL)
        return;
    net_timer_set(&t->timer, BK_NEVER);
    turn_relays_fini(t);
    turn_service_free(t->service);
    alloc->put(alloc->ctx, t);
}
