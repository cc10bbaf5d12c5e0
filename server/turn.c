/* SPDX-License-Identifier: MIT */
#include "server/turn_int.h"

#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "server/turn_tcp.h"
#include "server/worker.h"
#include <string.h>

/* --- what the service wants
 * ---------------------------------------------------------------------- */

void server_turn_cannot_open(struct server_turn *t, const struct bk_addr *addr, enum bk_err err,
                             struct bk_time now) {
    turn_service_cannot_open(t->service, addr, err, now);
}

static void open_port(struct server_turn *t, const struct turn_action *a, struct bk_time now) {
    enum bk_err err = BK_ERR_UNSUPPORTED;
    if (a->protocol == BK_TCP && t->tcp != NULL) {
        turn_tcp_act(t->tcp, a);
        return;
    }
    if (a->protocol == BK_UDP)
        err = turn_relay_open(t, &a->addr);
    if (err != BK_OK)
        server_turn_cannot_open(t, &a->addr, err, now);
}

/* RFC 8016. Streams move to the other worker as a whole; of what came in a DTLS session the other
 * worker could do nothing with the answer. */
static bool can_pass(const struct turn_link *link) {
    return link == NULL || link->type->pass != NULL || udp_link_port(link) != NULL;
}

static void pass(struct server_turn *t, uint16_t worker) {
    if (t->link == NULL || t->in == NULL)
        return;
    if (t->link->type->pass != NULL)
        t->link->type->pass(t->link, worker);
    else if (udp_link_port(t->link) != NULL)
        turn_pass_start(t, t->in, worker);
}

static void act(struct server_turn *t, const struct turn_action *a, struct bk_time now) {
    switch (a->kind) {
    case TURN_OPEN:
        open_port(t, a, now);
        return;
    case TURN_CLOSE:
        if (a->protocol == BK_UDP)
            turn_relay_close(t, &a->addr);
        else if (t->tcp != NULL)
            turn_tcp_act(t->tcp, a);
        return;
    case TURN_CONNECT:
    case TURN_CUT:
        if (t->tcp != NULL)
            turn_tcp_act(t->tcp, a);
        return;
    case TURN_JOIN: {
        struct turn_link *link = a->via;
        if (link != NULL && link->type->join != NULL)
            link->type->join(link, t, a->connection);
        return;
    }
    case TURN_FLOW:
        turn_flow_set(t, &a->flow);
        return;
    case TURN_FLOW_END:
        turn_flow_stop(t, a->flow.id, now);
        return;
    case TURN_PASS:
        pass(t, a->worker);
        return;
    }
}

/* To the client whose message is being served, or to one whose allocation has news. */
static void answer(struct server_turn *t, const struct bk_datagram *out) {
    const struct turn_route route = {.to_client = true,
                                     .local = out->local,
                                     .remote = out->remote,
                                     .chan = UINT32_MAX,
                                     .alloc = UINT32_MAX,
                                     .len = (uint32_t)out->len,
                                     .protocol = out->protocol};
    bool asked = t->in != NULL && bk_addr_equal(&t->in->remote, &out->remote);
    struct turn_link *link = asked ? t->link : turn_service_via(t->service);
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

void turn_serve(struct server_turn *t, struct bk_time now) {
    struct turn_action action;
    struct bk_datagram out;
    while (turn_service_next_action(t->service, &action))
        act(t, &action, now);
    if (turn_service_next_datagram(t->service, &out) && !turn_relay_send(t, &out))
        answer(t, &out);
    set_timer(t);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct server_turn *t = ctx;
    t->deadline = BK_NEVER;
    turn_service_advance(t->service, now);
    turn_serve(t, now);
}

enum bk_err server_turn_recv(struct server_turn *t, struct turn_link *link,
                             const struct bk_datagram *in, struct bk_time now) {
    struct bk_datagram whole = *in;
    whole.segment = in->len;
    if (turn_run(t, &whole, true, now) > 0)
        return BK_OK;
    t->link = link;
    t->in = in;
    turn_probe(&t->requests, TURN_TIMED_REQUESTS, now);
    turn_service_from(t->service, link);
    turn_service_stay(t->service, !can_pass(link));
    enum bk_err err = turn_service_recv(t->service, in, now);
    turn_serve(t, now);
    t->link = NULL;
    t->in = NULL;
    if (err != BK_ERR_UNREACHABLE)
        return err;
    if (!turn_later_keep(&t->later, link, in))
        metric_add(&t->worker->metrics, METRIC_TURN_LOST_WAIT, 1);
    return BK_OK;
}

void server_turn_again(void *ctx) {
    struct server_turn *t = ctx;
    turn_later_again(&t->later, t, net_now(t->worker->loop));
}

void server_turn_left(struct server_turn *t, const struct bk_datagram *client, struct bk_time now) {
    turn_later_forget(&t->later, client);
    turn_service_left(t->service, client, now);
    turn_serve(t, now);
}

void server_turn_drain(struct server_turn *turn) {
    turn_serve(turn, net_now(turn->worker->loop));
}

struct turn_tcp *server_turn_tcp(struct server_turn *turn) {
    return turn->tcp;
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static uint32_t turn_channels_max(const struct turn_service_config *c) {
    return c->channels_all == 0 ? c->allocations_max * 4 : c->channels_all;
}

enum bk_err server_turn_new(struct worker *w, const struct server_turn_config *config,
                            struct server_turn **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct bk_rng rng = box_rng();
    struct server_turn *t = alloc->get(alloc->ctx, sizeof *t);
    if (t == NULL)
        return BK_ERR_NO_MEMORY;
    struct turn_service_config service = config->service;
    t->users = config->service.users;
    t->secrets = config->secrets;
    t->shares = config->service.shared;
    t->worker = w;
    service.worker = (uint16_t)w->index;
    service.workers = (uint16_t)w->fleet->count;
    service.tcp = config->tcp_relay;
    service.flows = w->fleet->fastpath != NULL;
    service.dont_fragment = net_plane_can_keep_whole(w->plane);
    net_timer_init(&t->timer, w->loop, on_timer, t);
    turn_passes_init(&t->passes);
    turn_probe_init(&t->data, w->loop, &w->metrics, TURN_LATENCY_DATA);
    turn_probe_init(&t->requests, w->loop, &w->metrics, TURN_LATENCY_REQUEST);
    t->deadline = BK_NEVER;
    enum bk_err err = turn_board_init(&t->board, service.realm);
    if (err != BK_OK) {
        alloc->put(alloc->ctx, t);
        return err;
    }
    w->metrics.board = &t->board;
    err = turn_relays_init(t, &service);
    if (err == BK_OK)
        err = turn_flows_init(t, turn_channels_max(&service));
    if (err == BK_OK)
        err = turn_service_new(&service, alloc, &rng, net_clock(), &t->service);
    if (err == BK_OK && config->tcp_relay)
        err = turn_tcp_new(w->loop, t, t->service, &t->tcp);
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
    turn_probe_fini(&t->data);
    turn_probe_fini(&t->requests);
    t->worker->metrics.board = NULL;
    turn_board_fini(&t->board);
    turn_tcp_free(t->tcp);
    turn_flows_fini(t);
    turn_relays_fini(t);
    turn_moving_free(t);
    turn_service_free(t->service);
    wipe(&t->secrets, sizeof t->secrets);
    alloc->put(alloc->ctx, t);
}
