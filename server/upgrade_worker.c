/* SPDX-License-Identifier: MIT */
#include "server/upgrade_worker.h"

#include "net/alloc.h"
#include "server/conn.h"
#include "server/turn_upgrade.h"
#include "server/udp_proxy.h"
#include "server/upgrade_stay.h"

enum {
    RECONNECT_MS = 100, /* Restarting frames: the new process is there already */
    TRY_FOR_MS = 10000,
    LINGER_US = 100000,
    LOOK_US = 250000,
    RELAY_LOOKS = 4 /* the Restarting frames have left by then */
};

/* ---- Handing over --------------------------------------------------------------------------- */

static void say_stays(void *ctx, const struct bk_datagram *tuple) {
    struct upgrade_out *out = ctx;
    const struct upgrade_record r = {
        .kind = UPGRADE_STAY, .remote = tuple->remote, .local = tuple->local};
    upgrade_out_put(out, &r, NULL);
}

/* From here on what clients send waits in the kernel. */
static void rest_doors(struct worker *w) {
    net_plane_flush(w->plane);
    for (size_t i = 0; i < w->udp_count; i++)
        (void)!net_port_rest(w->udp[i].port, true); /* only reading again can fail */
}

static enum bk_err tell(struct worker *w, struct upgrade_message *m) {
    const struct bk_time now = net_clock();
    struct upgrade_out out = upgrade_out_start(w->upgrade.crew->channel, m);
    const struct upgrade_record end = {.kind = UPGRADE_WORKER_END};
    enum bk_err err = BK_OK;
    out.worker = (uint16_t)w->index;
    if (w->turn != NULL)
        err = server_turn_hand_over(w->turn, &out, now);
    if (w->dtls != NULL)
        udp_dtls_each(w->dtls, say_stays, &out);
    if (w->proxied != NULL)
        udp_proxy_each(w->proxied, say_stays, &out);
    upgrade_out_put(&out, &end, NULL);
    enum bk_err last = upgrade_out_end(&out);
    return err == BK_OK ? last : err;
}

static enum bk_err hand_over(struct worker *w) {
    const struct bk_alloc *alloc = net_alloc();
    struct upgrade_message *m = alloc->get(alloc->ctx, sizeof *m);
    rest_doors(w);
    enum bk_err err = m == NULL ? BK_ERR_NO_MEMORY : tell(w, m);
    if (m != NULL)
        alloc->put(alloc->ctx, m);
    return err;
}

static void go_on(struct worker *w) {
    for (size_t i = 0; i < w->udp_count; i++)
        (void)!net_port_rest(w->udp[i].port, false);
    if (w->turn != NULL)
        server_turn_go_on(w->turn);
}

/* ---- Afterwards ----------------------------------------------------------------------------- */

static bool is_of_relay(const struct conn *c) {
    return c->state == CONN_RELAY || c->state == CONN_HTTP;
}

static void count(void *ctx, const struct bk_datagram *tuple) {
    unsigned *n = ctx;
    (void)tuple;
    ++*n;
}

/* Connections of the relay come again, to the new process, where all its clients are; TURN's
 * cannot. Who has said nothing yet may turn out to be either. */
static void on_look(void *ctx, struct bk_time now) {
    struct worker *w = ctx;
    unsigned n = w->turn == NULL ? 0 : server_turn_count(w->turn);
    bool all = w->upgrade.looks >= RELAY_LOOKS;
    w->upgrade.looks += !all;
    for (struct conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (all && is_of_relay(c))
            conn_end(c, LINGER_US);
        else
            n++;
    }
    if (w->dtls != NULL)
        udp_dtls_each(w->dtls, count, &n);
    atomic_store(&w->upgrade.remaining, n);
    net_timer_set(&w->upgrade.look, bk_after(now, LOOK_US));
}

static void leave(struct worker *w) {
    if (w->turn != NULL)
        server_turn_moved(w->turn, net_clock());
    for (size_t i = 0; i < w->door_count; i++) {
        net_listener_close(w->doors[i].listener);
        w->doors[i].listener = NULL;
    }
    relay_hub_restarting(w->hub, RECONNECT_MS, TRY_FOR_MS);
    worker_hub_touched(w);
    atomic_store(&w->upgrade.remaining, 1); /* not counted yet */
    w->upgrade.has_left = true;
    net_timer_set(&w->upgrade.look, bk_after(net_clock(), LOOK_US));
}

void upgrade_worker_lost(struct worker *w, const struct bk_datagram *client) {
    const struct upgrade_record r = {.kind = UPGRADE_STAY_END,
                                     .worker = (uint16_t)w->index,
                                     .remote = client->remote,
                                     .local = client->local};
    uint8_t bytes[128];
    struct wire_writer out = wire_writer(bytes, sizeof bytes);
    if (w->upgrade.has_left && !w->stopping && upgrade_put(&out, &r) == BK_OK)
        (void)!upgrade_channel_try(w->upgrade.crew->channel, bytes, out.len);
}

/* The new one. */
static void be_alone(struct worker *w) {
    struct upgrade_worker *u = &w->upgrade;
    if (u->stay != NULL)
        upgrade_stay_end(u->stay);
    for (size_t i = 0; w->turn != NULL && i < u->elsewhere_count; i++)
        server_turn_elsewhere(w->turn, &u->elsewhere[i], false);
    u->elsewhere_count = 0;
}

/* ---- Steps ---------------------------------------------------------------------------------- */

static enum bk_err do_step(struct worker *w, enum upgrade_step step) {
    switch (step) {
    case UPGRADE_STEP_LET_GO:
        if (w->turn != NULL)
            server_turn_let_go(w->turn, net_clock());
        return BK_OK;
    case UPGRADE_STEP_HAND_OVER:
        return hand_over(w);
    case UPGRADE_STEP_GO_ON:
        go_on(w);
        return BK_OK;
    case UPGRADE_STEP_LEAVE:
        leave(w);
        return BK_OK;
    case UPGRADE_STEP_ALONE:
        be_alone(w);
        return BK_OK;
    }
    return BK_OK;
}

void upgrade_worker_step(struct worker *w) {
    struct upgrade_crew *crew = w->upgrade.crew;
    int fine = BK_OK;
    enum bk_err err = do_step(w, (enum upgrade_step)atomic_load(&w->upgrade.step));
    if (err != BK_OK)
        (void)atomic_compare_exchange_strong(&crew->err, &fine, (int)err);
    if (atomic_fetch_sub(&crew->left, 1) == 1)
        net_wakeup_send(crew->wakeup);
}

void upgrade_workers_do(struct worker *const workers[], size_t count_of, struct upgrade_crew *crew,
                        enum upgrade_step step) {
    atomic_store(&crew->err, (int)BK_OK);
    atomic_store(&crew->left, (unsigned)count_of);
    for (size_t i = 0; i < count_of; i++) {
        workers[i]->upgrade.crew = crew;
        atomic_store(&workers[i]->upgrade.step, (unsigned)step);
        worker_upgrade(workers[i]);
    }
}

void upgrade_worker_init(struct worker *w) {
    net_timer_init(&w->upgrade.look, w->loop, on_look, w);
}

void upgrade_worker_fini(struct worker *w) {
    const struct bk_alloc *alloc = net_alloc();
    net_timer_set(&w->upgrade.look, BK_NEVER);
    upgrade_stay_free(w->upgrade.stay);
    alloc->put(alloc->ctx, w->upgrade.elsewhere);
}
