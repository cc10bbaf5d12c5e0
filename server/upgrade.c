/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: close */
#include "server/upgrade.h"

#include "base/text.h"
#include "base/wipe.h"
#include "fastpath/fastpath.h"
#include "net/alloc.h"
#include "server/server_int.h"
#include "server/turn_start.h"
#include "server/upgrade_launcher.h"
#include "wire/reader.h"
#include <string.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 256 };

#define PREPARE_US (30 * BK_US_PER_S) /* loading the fast path alone takes seconds */
#define ATTACH_US (10 * BK_US_PER_S)
#define PAUSE_US (4 * BK_US_PER_S) /* nobody reads in this time */
#define SEND_US (2 * BK_US_PER_S)
#define LOOK_US (BK_US_PER_S / 4)

static void set_state(struct server *s, enum upgrade_state state, int64_t wait_us) {
    struct upgrade *u = &s->upgrade;
    u->state = state;
    net_timer_set(&u->timer, wait_us == 0 ? BK_NEVER : bk_after(net_now(s->loop), wait_us));
}

static void do_step(struct server *s, enum upgrade_step step) {
    upgrade_workers_do(s->workers, s->fleet.count, &s->upgrade.crew, step);
}

/* ---- When it comes to nothing --------------------------------------------------------------- */

static void close_channel(struct upgrade *u) {
    net_watch_free(u->watch);
    u->watch = NULL;
    close(u->crew.channel);
    u->crew.channel = -1;
}

static void say_failed(const struct upgrade *u) {
    struct log_line l;
    log_begin(&l, LOG_ERROR, LOG_ALWAYS, "upgrade_failed");
    log_text(&l, "reason", u->why);
    if (u->fast_path_went)
        log_text(&l, "fastpath", "off until a restart");
    log_end(&l);
}

/* Everything is as it was. */
static void forget(struct server *s) {
    close_channel(&s->upgrade);
    set_state(s, UPGRADE_NOT, 0);
    say_failed(&s->upgrade);
}

/* The workers do one step at a time; who is in one goes on when that is done, on_done(). */
static void give_up(struct server *s, const char *why, size_t len) {
    struct upgrade *u = &s->upgrade;
    struct text t = text_in(u->why, sizeof u->why);
    if (u->why[0] == '\0')
        text_bytes(&t, why, len);
    if (u->watch != NULL)
        net_watch_set(u->watch, 0);
    switch (u->state) {
    case UPGRADE_STARTING:
    case UPGRADE_WAITING:
        forget(s);
        return;
    case UPGRADE_HANDING:
    case UPGRADE_COMMITTED:
        if (atomic_load(&u->crew.left) > 0)
            return;
        set_state(s, UPGRADE_GOING_ON, 0);
        do_step(s, UPGRADE_STEP_GO_ON);
        return;
    case UPGRADE_LETTING_GO:
    case UPGRADE_GOING_ON:
    case UPGRADE_NOT:
    case UPGRADE_LEAVING:
    case UPGRADE_LEFT:
    case UPGRADE_STATES:
        return;
    }
}

static void give_up_because(struct server *s, const char *why) {
    give_up(s, why, strlen(why));
}

/* ---- The new process ------------------------------------------------------------------------ */

static void tell(struct server *s, enum upgrade_kind kind) {
    const struct upgrade_record r = {.kind = kind};
    if (upgrade_channel_say(s->upgrade.crew.channel, &r, -1) != BK_OK)
        give_up_because(s, "the new process is gone");
}

static struct upgrade_record hello_of(const struct server *s) {
    const struct nonce_secrets *secrets = &s->fleet.secrets;
    struct upgrade_record r = {.kind = UPGRADE_HELLO,
                               .hello = {.workers = (uint16_t)s->fleet.count,
                                         .https_port = s->https_port,
                                         .stun_port = s->stun_port,
                                         .plain_port = s->plain_port,
                                         .turns_port = s->turns_port,
                                         .turn = s->users.book != NULL,
                                         .has_previous = secrets->has_previous,
                                         .nonce_clock_us = secrets->clock_us}};
    memcpy(r.hello.secret, secrets->current, sizeof r.hello.secret);
    memcpy(r.hello.previous, secrets->previous, sizeof r.hello.previous);
    return r;
}

static void put_doors(const struct worker *w, struct upgrade_out *out) {
    struct upgrade_record r = {.kind = UPGRADE_DOOR, .fds = 1, .door = UPGRADE_DOOR_UDP};
    out->worker = (uint16_t)w->index;
    for (size_t i = 0; i < w->udp_count; i++) {
        const int fd = net_port_socket(w->udp[i].port);
        upgrade_out_put(out, &r, &fd);
    }
    for (size_t i = 0; i < w->door_count; i++) {
        const int fd = net_listener_socket(w->doors[i].listener);
        r.door = (uint8_t)w->doors[i].kind;
        upgrade_out_put(out, &r, &fd);
    }
}

/* The first words, which wait in the channel until it has begun. */
static enum bk_err greet(struct server *s) {
    struct upgrade *u = &s->upgrade;
    struct upgrade_out out = upgrade_out_start(u->crew.channel, u->message);
    struct upgrade_record hello = hello_of(s);
    const struct upgrade_record end = {.kind = UPGRADE_DOORS_END};
    upgrade_out_put(&out, &hello, NULL);
    wipe(&hello, sizeof hello);
    for (size_t i = 0; i < s->fleet.count; i++)
        put_doors(s->workers[i], &out);
    out.worker = 0;
    upgrade_out_put(&out, &end, NULL);
    enum bk_err err = upgrade_out_end(&out);
    wipe(u->message->bytes, sizeof u->message->bytes);
    return err;
}

static void commit(struct server *s) {
    struct upgrade *u = &s->upgrade;
    if (u->state != UPGRADE_HANDING || !u->taken || atomic_load(&u->crew.left) > 0)
        return;
    set_state(s, UPGRADE_COMMITTED, PAUSE_US);
    tell(s, UPGRADE_COMMIT);
}

static void let_go(struct server *s) {
    fastpath_close(s->fleet.fastpath);
    s->upgrade.fast_path_went = s->fleet.fastpath != NULL;
    s->fleet.fastpath = NULL;
    set_state(s, UPGRADE_WAITING, ATTACH_US);
    tell(s, UPGRADE_LET_GO);
}

static void on_left(struct server *s) {
    struct upgrade *u = &s->upgrade;
    struct log_line l;
    const int64_t grace_s = s->options->upgrade_grace_s;
    u->until = bk_after(net_now(s->loop), grace_s * BK_US_PER_S);
    set_state(s, UPGRADE_LEFT, LOOK_US);
    log_begin(&l, LOG_INFO, LOG_ALWAYS, "handed_over");
    log_number(&l, "paused_us", (uint64_t)(net_now(s->loop).us - u->paused_at.us));
    log_number(&l, "grace_s", (uint64_t)grace_s);
    log_end(&l);
}

/* All workers have done their step. */
static void on_done(void *ctx) {
    struct server *s = ctx;
    struct upgrade *u = &s->upgrade;
    if (atomic_load(&u->crew.left) > 0)
        return; /* told of an earlier step */
    switch (u->state) {
    case UPGRADE_LETTING_GO:
        if (u->why[0] == '\0') {
            let_go(s);
            return;
        }
        u->fast_path_went = s->fleet.fastpath != NULL;
        forget(s);
        return;
    case UPGRADE_HANDING:
        if (u->why[0] != '\0')
            give_up_because(s, u->why);
        else if (atomic_load(&u->crew.err) != (int)BK_OK)
            give_up_because(s, bk_err_text((enum bk_err)atomic_load(&u->crew.err)));
        else
            commit(s);
        return;
    case UPGRADE_GOING_ON:
        forget(s);
        return;
    case UPGRADE_LEAVING:
        on_left(s);
        return;
    case UPGRADE_NOT:
    case UPGRADE_STARTING:
    case UPGRADE_WAITING:
    case UPGRADE_COMMITTED:
    case UPGRADE_LEFT:
    case UPGRADE_STATES:
        return;
    }
}

/* ---- What it says --------------------------------------------------------------------------- */

static void use_datagram(struct server *s, const struct upgrade_record *r) {
    const struct bk_datagram in = {
        .local = r->local, .remote = r->remote, .data = r->data, .len = r->len};
    if (r->worker < s->fleet.count)
        worker_give_datagram(s->workers[r->worker], &in);
}

static void use_record(struct server *s, const struct upgrade_record *r) {
    struct upgrade *u = &s->upgrade;
    if (r->kind == UPGRADE_REFUSED) {
        give_up(s, (const char *)r->data, r->len);
    } else if (r->kind == UPGRADE_PREPARED && u->state == UPGRADE_STARTING) {
        set_state(s, UPGRADE_LETTING_GO, 0);
        do_step(s, UPGRADE_STEP_LET_GO);
    } else if (r->kind == UPGRADE_READY && u->state == UPGRADE_WAITING) {
        u->paused_at = net_clock();
        set_state(s, UPGRADE_HANDING, PAUSE_US);
        do_step(s, UPGRADE_STEP_HAND_OVER);
    } else if (r->kind == UPGRADE_TAKEN && u->state == UPGRADE_HANDING) {
        u->taken = true;
        commit(s);
    } else if (r->kind == UPGRADE_STARTED && u->state == UPGRADE_COMMITTED) {
        set_state(s, UPGRADE_LEAVING, 0);
        do_step(s, UPGRADE_STEP_LEAVE);
    } else if (r->kind == UPGRADE_DATAGRAM && u->state >= UPGRADE_COMMITTED) {
        use_datagram(s, r);
    } else {
        give_up_because(s, "the new process does not keep to the rules");
    }
}

static void on_gone(struct server *s, enum bk_err err) {
    if (s->upgrade.state == UPGRADE_LEFT) {
        net_watch_set(s->upgrade.watch, 0);
        return; /* who came by streams is still here */
    }
    give_up_because(s, err == BK_ERR_CLOSED
                           ? "the new process ended without a word; its own log says more"
                           : bk_err_text(err));
}

static void on_channel(void *ctx, unsigned ready) {
    struct server *s = ctx;
    struct upgrade *u = &s->upgrade;
    (void)ready;
    for (int i = 0; i < MESSAGES_A_TURN && u->watch != NULL; i++) {
        enum bk_err err = upgrade_channel_recv(u->crew.channel, u->message);
        if (err == BK_ERR_TIMEOUT)
            return;
        struct wire_reader r = wire_reader(u->message->bytes, u->message->len);
        while (err == BK_OK && wire_left(&r) > 0 && u->watch != NULL) {
            struct upgrade_record record;
            err = upgrade_get(&r, &record);
            if (err == BK_OK)
                use_record(s, &record);
        }
        upgrade_message_drop(u->message);
        if (err != BK_OK) {
            on_gone(s, err);
            return;
        }
    }
}

/* ---- Time ----------------------------------------------------------------------------------- */

static unsigned remaining(const struct server *s) {
    unsigned n = 0;
    for (size_t i = 0; i < s->fleet.count; i++)
        n += atomic_load(&s->workers[i]->upgrade.remaining);
    return n;
}

static void look(struct server *s, struct bk_time now) {
    const unsigned left = remaining(s);
    if (left == 0)
        server_end(s, "handed over");
    else if (bk_due(s->upgrade.until, now))
        server_end(s, "the grace after the upgrade is over");
    else
        net_timer_set(&s->upgrade.timer, bk_after(now, LOOK_US));
}

static void on_timer(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    if (s->upgrade.state == UPGRADE_LEFT)
        look(s, now);
    else
        give_up_because(s, "the new process took too long");
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

void upgrade_prepare(struct server *s) {
    struct upgrade *u = &s->upgrade;
    int launcher;
    if (s->source->command == NULL)
        return;
    if (upgrade_launcher_start(s->source->command, &launcher) == BK_OK)
        u->launcher = launcher;
}

static bool may_begin(const struct server *s) {
    const char *why = NULL;
    if (s->upgrade.state != UPGRADE_NOT)
        why = s->upgrade.state == UPGRADE_LEFT ? "this server has handed over already"
                                               : "an upgrade is under way";
    else if (s->stopping)
        why = "the server is stopping";
    else if (s->upgrade.launcher == 0)
        why = "no new process can be started here";
    else if (takeover_has_elder(s->fleet.takeover))
        why = "the server before this one still has clients; end it (SIGTERM) or wait";
    if (why != NULL)
        log_event(LOG_ERROR, "upgrade_refused", "reason", why);
    return why == NULL;
}

static enum bk_err start(struct server *s, int theirs) {
    struct upgrade *u = &s->upgrade;
    upgrade_channel_wait(u->crew.channel, SEND_US, 0);
    enum bk_err err =
        u->crew.wakeup != NULL ? BK_OK : net_wakeup_new(s->loop, on_done, s, &u->crew.wakeup);
    if (err == BK_OK)
        err = net_watch_new(s->loop, u->crew.channel, on_channel, s, &u->watch);
    if (err == BK_OK)
        err = greet(s);
    if (err == BK_OK)
        err = upgrade_launcher_run(u->launcher, theirs);
    return err;
}

void upgrade_begin(struct server *s) {
    struct upgrade *u = &s->upgrade;
    int ends[2];
    if (!may_begin(s))
        return;
    if (u->message == NULL)
        u->message = net_alloc()->get(net_alloc()->ctx, sizeof *u->message);
    if (u->timer.loop == NULL)
        net_timer_init(&u->timer, s->loop, on_timer, s);
    u->taken = u->fast_path_went = false;
    u->why[0] = '\0';
    enum bk_err err = u->message == NULL ? BK_ERR_NO_MEMORY : upgrade_channel_new(ends);
    if (err != BK_OK) {
        log_event(LOG_ERROR, "upgrade_refused", "reason", bk_err_text(err));
        return;
    }
    u->crew.channel = ends[0];
    set_state(s, UPGRADE_STARTING, PREPARE_US);
    err = start(s, ends[1]);
    close(ends[1]);
    if (err == BK_OK) {
        log_event(LOG_INFO, "upgrade", "program", s->source->command[0]);
        net_watch_set(u->watch, NET_READABLE);
    } else {
        give_up_because(s, err == BK_ERR_CLOSED ? "the launcher is gone" : bk_err_text(err));
    }
}

bool upgrade_has_left(const struct server *s) {
    return s->upgrade.state >= UPGRADE_LEAVING;
}

void upgrade_end(struct server *s) {
    struct upgrade *u = &s->upgrade;
    if (u->timer.loop != NULL)
        net_timer_set(&u->timer, BK_NEVER);
    net_watch_free(u->watch);
    net_wakeup_free(u->crew.wakeup);
    if (u->message != NULL)
        net_alloc()->put(net_alloc()->ctx, u->message);
    if (u->launcher != 0)
        close(u->launcher);
}
