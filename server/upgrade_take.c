/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: close, unsetenv */
#include "server/upgrade_take.h"

#include "base/text.h"
#include "base/wipe.h"
#include "net/alloc.h"
#include "net/handed.h"
#include "server/log.h"
#include "server/turn_upgrade.h"
#include "server/upgrade_channel.h"
#include "server/upgrade_launcher.h"
#include "server/upgrade_stay.h"
#include "server/worker.h"
#include "wire/reader.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DOORS_MAX = SERVER_WORKERS_MAX * WORKER_SOCKETS_MAX * (PORT_KINDS + 4),
    MESSAGES_A_TURN = 256,
    ELSEWHERE_FIRST = 64,
    ELSEWHERE_MAX = 1 << 17 /* two families */
};

/* The old one answers at once, or not at all. */
#define WAIT_US (10 * BK_US_PER_S)

struct door_of_old {
    struct bk_addr at;
    int fd; /* 0: taken */
    uint16_t worker;
    uint8_t kind;
};

struct takeover {
    int channel;
    struct upgrade_hello hello;
    struct door_of_old doors[DOORS_MAX];
    size_t door_count;
    struct fleet *fleet;
    struct net_watch *watch; /* on the channel, once it is over; NULL: the old one is gone */
    bool over;               /* and the workers know it */
    struct upgrade_crew crew;
    uint64_t allocations, stays; /* taken over; known to stay */
    size_t ended;                /* workers that have told all */
    struct upgrade_message message;
};

static enum bk_err say(char *reason, enum bk_err err, const char *what) {
    struct text t = text_in(reason, SERVER_TEXT_MAX);
    text_str(&t, "taking over: ");
    text_str(&t, what);
    return err;
}

static enum bk_err say_heard(char *reason, enum bk_err err) {
    return say(reason, err,
               err == BK_ERR_CLOSED    ? "the server that was to be replaced is gone, or goes on"
               : err == BK_ERR_TIMEOUT ? "the server that was to be replaced does not answer"
               : err == BK_ERR_UNSUPPORTED ? "the server that was to be replaced is of a version "
                                             "that this one does not understand"
                                           : "what the other server says makes no sense");
}

static enum bk_err tell(const struct takeover *t, enum upgrade_kind kind) {
    const struct upgrade_record r = {.kind = kind};
    return upgrade_channel_say(t->channel, &r, -1);
}

void takeover_refuse(const struct takeover *t, const char *reason) {
    enum { TEXT_MAX = 512 };
    if (t == NULL)
        return;
    const size_t len = strlen(reason);
    const struct upgrade_record r = {.kind = UPGRADE_REFUSED,
                                     .data = (const uint8_t *)reason,
                                     .len = len < TEXT_MAX ? len : TEXT_MAX};
    (void)!upgrade_channel_say(t->channel, &r, -1);
}

/* Hands every record of the messages that come to `take`, until it says that this is the end. */
static enum bk_err listen(struct takeover *t,
                          enum bk_err (*take)(struct takeover *t, const struct upgrade_record *r,
                                              bool *end, char *reason),
                          char *reason) {
    bool end = false;
    while (!end) {
        enum bk_err err = upgrade_channel_recv(t->channel, &t->message);
        if (err != BK_OK)
            return say_heard(reason, err);
        struct wire_reader r = wire_reader(t->message.bytes, t->message.len);
        while (err == BK_OK && wire_left(&r) > 0) {
            struct upgrade_record record;
            err = end ? BK_ERR_MALFORMED : upgrade_get(&r, &record);
            if (err != BK_OK)
                (void)say_heard(reason, err);
            else
                err = take(t, &record, &end, reason);
            wipe(&record.hello, sizeof record.hello);
        }
        upgrade_message_drop(&t->message);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

/* ---- Doors ---------------------------------------------------------------------------------- */

static bool is_door(const struct net_handed *socket, uint8_t kind) {
    return kind == UPGRADE_DOOR_UDP ? !socket->stream
                                    : kind < PORT_KINDS && socket->stream && socket->listens;
}

static enum bk_err take_door(struct takeover *t, const struct upgrade_record *r, char *reason) {
    struct net_handed socket;
    int fd = upgrade_take_fd(&t->message);
    if (fd <= 0 || t->door_count == DOORS_MAX || net_handed_look(fd, &socket) != BK_OK ||
        !is_door(&socket, r->door)) {
        if (fd >= 0)
            close(fd);
        return say_heard(reason, BK_ERR_MALFORMED);
    }
    t->doors[t->door_count++] = (struct door_of_old){socket.local, fd, r->worker, r->door};
    return BK_OK;
}

static enum bk_err take_first(struct takeover *t, const struct upgrade_record *r, bool *end,
                              char *reason) {
    if (r->kind == UPGRADE_HELLO && t->hello.workers == 0 &&
        r->hello.workers <= SERVER_WORKERS_MAX) {
        t->hello = r->hello;
        return BK_OK;
    }
    if (t->hello.workers == 0)
        return say_heard(reason, BK_ERR_MALFORMED);
    if (r->kind == UPGRADE_DOOR)
        return take_door(t, r, reason);
    *end = r->kind == UPGRADE_DOORS_END;
    return *end ? BK_OK : say_heard(reason, BK_ERR_MALFORMED);
}

/* -1: nobody is to be replaced. */
static int channel_of_environment(void) {
    const char *number = getenv(UPGRADE_ENVIRONMENT);
    char *end;
    if (number == NULL)
        return -1;
    long fd = strtol(number, &end, 10);
    bool good = end != number && *end == '\0' && fd > 2 && fd < 65536;
    (void)unsetenv(UPGRADE_ENVIRONMENT);
    return good ? (int)fd : -1;
}

enum bk_err takeover_begin(struct takeover **out, char *reason) {
    const struct bk_alloc *alloc = net_alloc();
    int channel = channel_of_environment();
    *out = NULL;
    if (channel < 0)
        return BK_OK;
    struct takeover *t = alloc->get(alloc->ctx, sizeof *t);
    if (t == NULL)
        return say(reason, BK_ERR_NO_MEMORY, "out of memory");
    t->channel = channel;
    upgrade_channel_wait(channel, WAIT_US, WAIT_US);
    *out = t;
    return listen(t, take_first, reason);
}

const struct upgrade_hello *takeover_hello(const struct takeover *t) {
    return t == NULL ? NULL : &t->hello;
}

int takeover_door(struct takeover *t, uint16_t worker, uint8_t kind, const struct bk_addr *at) {
    for (size_t i = 0; t != NULL && i < t->door_count; i++) {
        struct door_of_old *d = &t->doors[i];
        int fd = d->fd;
        if (fd == 0 || d->worker != worker || d->kind != kind || !bk_ip_equal(&d->at.ip, &at->ip) ||
            (at->port != 0 && at->port != d->at.port))
            continue;
        d->fd = 0;
        return fd;
    }
    return 0;
}

bool takeover_secrets(const struct takeover *t, struct nonce_secrets *out) {
    if (!t->hello.turn)
        return false;
    memcpy(out->current, t->hello.secret, sizeof out->current);
    memcpy(out->previous, t->hello.previous, sizeof out->previous);
    out->has_previous = t->hello.has_previous;
    out->clock_us = t->hello.nonce_clock_us;
    return true;
}

static enum bk_err take_let_go(struct takeover *t, const struct upgrade_record *r, bool *end,
                               char *reason) {
    (void)t;
    *end = r->kind == UPGRADE_LET_GO;
    return *end ? BK_OK : say_heard(reason, BK_ERR_MALFORMED);
}

enum bk_err takeover_let_go(struct takeover *t, char *reason) {
    enum bk_err err = tell(t, UPGRADE_PREPARED);
    return err == BK_OK ? listen(t, take_let_go, reason) : say_heard(reason, err);
}

/* ---- What clients have ---------------------------------------------------------------------- */

static enum bk_err take_alloc(struct takeover *t, struct worker *w, const struct upgrade_record *r,
                              char *reason) {
    struct turn_link *link = udp_door_link(w, &r->local);
    if (w->turn == NULL)
        return say(reason, BK_ERR_ARGUMENT, "TURN is off in the new configuration");
    if (link == NULL)
        return say(reason, BK_ERR_ARGUMENT,
                   "the new configuration does not serve an address that clients use");
    enum bk_err err = server_turn_take(w->turn, link, r, &t->message, net_clock());
    if (err == BK_ERR_TIMEOUT)
        return BK_OK;
    t->allocations += err == BK_OK;
    if (err == BK_OK)
        return BK_OK;
    return say(reason, err,
               err == BK_ERR_FULL ? "an allocation has no room in the new configuration"
               : err == BK_ERR_ARGUMENT || err == BK_ERR_NOT_FOUND
                   ? "an allocation does not fit the new configuration (relay-address)"
                   : bk_err_text(err));
}

static enum bk_err take_stay(struct takeover *t, struct worker *w, const struct upgrade_record *r,
                             char *reason) {
    enum bk_err err = BK_OK;
    if (w->upgrade.stay == NULL)
        err = upgrade_stay_new(t->channel, (uint16_t)w->index, &w->upgrade.stay);
    if (err == BK_OK)
        err = upgrade_stay_add(w->upgrade.stay, &r->remote, &r->local);
    t->stays += err == BK_OK;
    return err == BK_OK ? BK_OK : say(reason, err, "too many clients cannot move");
}

static enum bk_err take_elsewhere(struct worker *w, const struct upgrade_record *r, char *reason) {
    const struct bk_alloc *alloc = net_alloc();
    struct upgrade_worker *u = &w->upgrade;
    if (w->turn == NULL)
        return BK_OK;
    if (u->elsewhere_count == u->elsewhere_cap) {
        size_t cap = u->elsewhere_cap == 0 ? ELSEWHERE_FIRST : 2 * u->elsewhere_cap;
        struct bk_addr *more =
            cap > ELSEWHERE_MAX ? NULL : alloc->get(alloc->ctx, cap * sizeof *more);
        if (more == NULL)
            return say(reason, BK_ERR_NO_MEMORY, "out of memory");
        if (u->elsewhere_count > 0)
            memcpy(more, u->elsewhere, u->elsewhere_count * sizeof *more);
        alloc->put(alloc->ctx, u->elsewhere);
        u->elsewhere = more;
        u->elsewhere_cap = cap;
    }
    u->elsewhere[u->elsewhere_count++] = r->local;
    server_turn_elsewhere(w->turn, &r->local, true);
    return BK_OK;
}

static enum bk_err take_of_worker(struct takeover *t, const struct upgrade_record *r, bool *end,
                                  char *reason) {
    if (r->worker >= t->fleet->count)
        return say_heard(reason, BK_ERR_MALFORMED);
    struct worker *w = t->fleet->workers[r->worker];
    if (r->kind == UPGRADE_ALLOC)
        return take_alloc(t, w, r, reason);
    if (r->kind == UPGRADE_STAY)
        return take_stay(t, w, r, reason);
    if (r->kind == UPGRADE_ELSEWHERE)
        return take_elsewhere(w, r, reason);
    if (r->kind == UPGRADE_PASS && r->to < t->fleet->count) {
        if (w->turn != NULL)
            server_turn_take_pass(w->turn, r);
        return BK_OK;
    }
    if (r->kind != UPGRADE_WORKER_END)
        return say_heard(reason, BK_ERR_MALFORMED);
    *end = ++t->ended == t->fleet->count;
    return BK_OK;
}

static enum bk_err take_commit(struct takeover *t, const struct upgrade_record *r, bool *end,
                               char *reason) {
    (void)t;
    *end = r->kind == UPGRADE_COMMIT;
    return *end ? BK_OK : say_heard(reason, BK_ERR_MALFORMED);
}

enum bk_err takeover_take(struct takeover *t, struct fleet *fleet, char *reason) {
    t->fleet = fleet;
    t->ended = 0;
    enum bk_err err = tell(t, UPGRADE_READY);
    if (err != BK_OK)
        return say_heard(reason, err);
    err = listen(t, take_of_worker, reason);
    if (err == BK_OK)
        err = tell(t, UPGRADE_TAKEN);
    return err == BK_OK ? listen(t, take_commit, reason) : err;
}

/* ---- Afterwards ----------------------------------------------------------------------------- */

static void on_all_alone(void *ctx) {
    struct takeover *t = ctx;
    t->over = true;
}

static void lose_elder(struct takeover *t) {
    net_watch_free(t->watch);
    t->watch = NULL;
    log_event(LOG_INFO, "upgrade_over", "reason", "the replaced server has ended");
    upgrade_workers_do(t->fleet->workers, t->fleet->count, &t->crew, UPGRADE_STEP_ALONE);
}

static void use_record(const struct takeover *t, const struct upgrade_record *r) {
    if (r->kind != UPGRADE_STAY_END || r->worker >= t->fleet->count)
        return;
    struct upgrade_stay *stay = t->fleet->workers[r->worker]->upgrade.stay;
    if (stay != NULL)
        upgrade_stay_remove(stay, &r->remote, &r->local);
}

static void on_channel(void *ctx, unsigned ready) {
    struct takeover *t = ctx;
    (void)ready;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        enum bk_err err = upgrade_channel_recv(t->channel, &t->message);
        if (err == BK_ERR_TIMEOUT)
            return;
        struct wire_reader r = wire_reader(t->message.bytes, t->message.len);
        while (err == BK_OK && wire_left(&r) > 0) {
            struct upgrade_record record;
            err = upgrade_get(&r, &record);
            if (err == BK_OK)
                use_record(t, &record);
        }
        upgrade_message_drop(&t->message);
        if (err != BK_OK) {
            lose_elder(t);
            return;
        }
    }
}

static void close_doors(struct takeover *t) {
    for (size_t i = 0; i < t->door_count; i++)
        if (t->doors[i].fd != 0)
            close(t->doors[i].fd);
    t->door_count = 0;
}

enum bk_err takeover_started(struct takeover *t, struct fleet *fleet, struct net_loop *loop,
                             char *reason) {
    struct log_line l;
    (void)fleet;
    close_doors(t);
    wipe(&t->hello, sizeof t->hello);
    enum bk_err err = tell(t, UPGRADE_STARTED);
    if (err != BK_OK)
        return say_heard(reason, err);
    upgrade_channel_wait(t->channel, 0, 0);
    t->crew.channel = t->channel;
    err = net_wakeup_new(loop, on_all_alone, t, &t->crew.wakeup);
    if (err == BK_OK)
        err = net_watch_new(loop, t->channel, on_channel, t, &t->watch);
    if (err != BK_OK)
        return say(reason, err, bk_err_text(err));
    net_watch_set(t->watch, NET_READABLE);
    log_begin(&l, LOG_INFO, LOG_ALWAYS, "upgraded");
    log_number(&l, "pid", (uint64_t)getpid());
    log_number(&l, "allocations", t->allocations);
    log_number(&l, "stay", t->stays);
    log_end(&l);
    return BK_OK;
}

bool takeover_has_elder(const struct takeover *t) {
    return t != NULL && !t->over;
}

void takeover_free(struct takeover *t) {
    const struct bk_alloc *alloc = net_alloc();
    if (t == NULL)
        return;
    close_doors(t);
    net_watch_free(t->watch);
    net_wakeup_free(t->crew.wakeup);
    close(t->channel);
    wipe(t, sizeof *t);
    alloc->put(alloc->ctx, t);
}
