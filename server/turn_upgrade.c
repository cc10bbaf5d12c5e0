/* SPDX-License-Identifier: MIT */
#include "server/turn_upgrade.h"

#include "net/alloc.h"
#include "net/handed.h"
#include "server/turn_int.h"
#include "server/worker.h"
#include <string.h>
#include <unistd.h>

enum { FAMILIES = 2, PORT_WORDS = 65536 / 32 };

/* What is being handed over. */
struct turn_moving {
    struct turn_exported *list;
    uint32_t count, max;
    size_t cap;                          /* of `bytes` */
    uint32_t kept[FAMILIES][PORT_WORDS]; /* relay ports that have a client who stays */
    struct upgrade_out *out;
    uint8_t bytes[];
};

void turn_moving_free(struct server_turn *t) {
    const struct bk_alloc *alloc = net_alloc();
    if (t->moving == NULL)
        return;
    alloc->put(alloc->ctx, t->moving->list);
    alloc->put(alloc->ctx, t->moving);
    t->moving = NULL;
}

uint32_t server_turn_count(const struct server_turn *t) {
    struct turn_service_info info;
    turn_service_info(t->service, &info);
    return info.allocations;
}

static enum bk_err moving_new(struct server_turn *t, struct upgrade_out *out) {
    const struct bk_alloc *alloc = net_alloc();
    const size_t cap = turn_service_export_max(t->service);
    const uint32_t count = server_turn_count(t);
    struct turn_moving *m = alloc->get(alloc->ctx, sizeof *m + cap);
    if (m == NULL)
        return BK_ERR_NO_MEMORY;
    t->moving = m;
    m->cap = cap;
    m->out = out;
    m->max = count;
    m->list = alloc->get(alloc->ctx, (count + 1) * sizeof *m->list);
    if (m->list != NULL)
        return BK_OK;
    turn_moving_free(t);
    return BK_ERR_NO_MEMORY;
}

/* ---- Who stays ------------------------------------------------------------------------------ */

static bool keeps_port(const struct turn_moving *m, const struct turn_exported *e) {
    for (size_t i = 0; i < FAMILIES; i++)
        if (e->relay[i].ip.family != BK_FAMILY_NONE &&
            (m->kept[i][e->relay[i].port / 32] >> e->relay[i].port % 32 & 1) != 0)
            return true;
    return false;
}

static bool stays(const struct turn_moving *m, const struct turn_exported *e) {
    return e->client.protocol != BK_UDP || keeps_port(m, e);
}

/* Does it keep one that was not known to be kept? */
static bool keep_ports(struct turn_moving *m, const struct turn_exported *e) {
    bool more = false;
    for (size_t i = 0; i < FAMILIES; i++) {
        uint32_t *word = &m->kept[i][e->relay[i].port / 32];
        const uint32_t bit = UINT32_C(1) << e->relay[i].port % 32;
        if (e->relay[i].ip.family == BK_FAMILY_NONE || (*word & bit) != 0)
            continue;
        *word |= bit;
        more = true;
    }
    return more;
}

/* A relay port that is shared goes whole or not at all, and so does an allocation with two. */
static void mark_kept(struct server_turn *t) {
    struct turn_moving *m = t->moving;
    bool more = t->shares;
    while (more) {
        struct turn_exported e;
        uint32_t cursor = 0;
        more = false;
        while (turn_service_export(t->service, &cursor, m->bytes, m->cap, &e))
            more = (stays(m, &e) && keep_ports(m, &e)) || more;
    }
}

/* ---- Handing over --------------------------------------------------------------------------- */

void server_turn_let_go(struct server_turn *t, struct bk_time now) {
    turn_flows_off(t, now);
}

static void say_stays(const struct server_turn *t, const struct turn_exported *e) {
    struct upgrade_record r = {
        .kind = UPGRADE_STAY, .remote = e->client.remote, .local = e->client.local};
    if (e->client.protocol == BK_UDP)
        upgrade_out_put(t->moving->out, &r, NULL);
    r.kind = UPGRADE_ELSEWHERE;
    for (size_t i = 0; i < FAMILIES; i++) {
        r.local = e->relay[i];
        if (r.local.ip.family != BK_FAMILY_NONE)
            upgrade_out_put(t->moving->out, &r, NULL);
    }
}

/* A socket goes with the first allocation that has it; it rests from then on. */
static void say_moves(struct server_turn *t, const struct turn_exported *e) {
    struct turn_moving *m = t->moving;
    int fds[FAMILIES];
    struct upgrade_record r = {.kind = UPGRADE_ALLOC,
                               .remote = e->client.remote,
                               .local = e->client.local,
                               .data = m->bytes,
                               .len = e->len};
    for (size_t i = 0; i < FAMILIES; i++) {
        struct turn_relay *relay =
            e->relay[i].ip.family == BK_FAMILY_NONE ? NULL : turn_relay_at(t, &e->relay[i]);
        if (relay == NULL || net_port_rests(turn_relay_port(relay)))
            continue;
        fds[r.fds++] = net_port_socket(turn_relay_port(relay));
        (void)!net_port_rest(turn_relay_port(relay), true); /* only reading again can fail */
    }
    upgrade_out_put(m->out, &r, fds);
    m->list[m->count++] = *e;
}

static void say_passes(const struct server_turn *t, struct upgrade_out *out) {
    const struct turn_passes *p = &t->passes;
    for (size_t i = 0; p->count > 0 && i < TURN_PASSES; i++) {
        const struct upgrade_record r = {.kind = UPGRADE_PASS,
                                         .to = p->list[i].worker,
                                         .remote = p->list[i].remote,
                                         .local = p->list[i].local};
        if (r.remote.port != 0)
            upgrade_out_put(out, &r, NULL);
    }
}

enum bk_err server_turn_hand_over(struct server_turn *t, struct upgrade_out *out,
                                  struct bk_time now) {
    struct turn_exported e;
    uint32_t cursor = 0;
    turn_service_advance(t->service, now); /* times are told as of now */
    turn_serve(t, now);
    enum bk_err err = moving_new(t, out);
    if (err != BK_OK)
        return err;
    struct turn_moving *m = t->moving;
    mark_kept(t);
    while (out->err == BK_OK && m->count < m->max &&
           turn_service_export(t->service, &cursor, m->bytes, m->cap, &e)) {
        if (stays(m, &e))
            say_stays(t, &e);
        else
            say_moves(t, &e);
    }
    say_passes(t, out);
    return out->err;
}

void server_turn_go_on(struct server_turn *t) {
    struct turn_moving *m = t->moving;
    for (uint32_t k = 0; m != NULL && k < m->count; k++)
        for (size_t i = 0; i < FAMILIES; i++) {
            struct turn_relay *relay = m->list[k].relay[i].ip.family == BK_FAMILY_NONE
                                           ? NULL
                                           : turn_relay_at(t, &m->list[k].relay[i]);
            if (relay != NULL)
                (void)!net_port_rest(turn_relay_port(relay), false); /* else it is lost */
        }
    turn_moving_free(t);
}

void server_turn_moved(struct server_turn *t, struct bk_time now) {
    struct turn_moving *m = t->moving;
    for (uint32_t k = 0; m != NULL && k < m->count; k++) {
        turn_service_exported(t->service, &m->list[k], now);
        turn_serve(t, now);
    }
    turn_moving_free(t);
}

/* ---- Taking over ---------------------------------------------------------------------------- */

static bool is_socket_at(int fd, const struct bk_addr *at) {
    struct net_handed socket;
    return net_handed_look(fd, &socket) == BK_OK && !socket.stream &&
           bk_addr_equal(&socket.local, at);
}

/* The one of `fds` that is bound there, and no other. */
static int pick(int fds[FAMILIES], const struct bk_addr *at) {
    for (size_t i = 0; i < FAMILIES; i++) {
        int fd = fds[i];
        if (fd < 0 || !is_socket_at(fd, at))
            continue;
        fds[i] = -1;
        return fd;
    }
    return -1;
}

/* Of a port that is shared, others have brought the socket. */
static enum bk_err take_relays(struct server_turn *t, const struct turn_imported *made,
                               int fds[FAMILIES]) {
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < FAMILIES && err == BK_OK; i++) {
        const struct bk_addr *at = &made->relay[i];
        if (at->ip.family == BK_FAMILY_NONE || turn_relay_at(t, at) != NULL)
            continue;
        int fd = pick(fds, at);
        err = fd <= 0 ? BK_ERR_NOT_FOUND : turn_relay_adopt(t, at, fd);
    }
    return err;
}

enum bk_err server_turn_take(struct server_turn *t, struct turn_link *link,
                             const struct upgrade_record *r, struct upgrade_message *message,
                             struct bk_time now) {
    struct turn_imported made;
    int fds[FAMILIES] = {-1, -1};
    for (size_t i = 0; i < r->fds && i < FAMILIES; i++)
        fds[i] = upgrade_take_fd(message);
    turn_service_from(t->service, link);
    enum bk_err err = turn_service_import(t->service, r->data, r->len, now, &made);
    if (err == BK_OK && !(bk_addr_equal(&made.client.remote, &r->remote) &&
                          bk_addr_equal(&made.client.local, &r->local)))
        err = BK_ERR_MALFORMED;
    if (err == BK_OK)
        err = take_relays(t, &made, fds);
    if (err == BK_OK || err == BK_ERR_TIMEOUT)
        turn_serve(t, now);
    for (size_t i = 0; i < FAMILIES; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return err;
}

void server_turn_elsewhere(struct server_turn *t, const struct bk_addr *relay, bool open) {
    turn_service_elsewhere(t->service, relay, open);
}

void server_turn_take_pass(struct server_turn *t, const struct upgrade_record *r) {
    const struct bk_datagram in = {.local = r->local, .remote = r->remote};
    turn_pass_remember(t, &in, r->to);
}
