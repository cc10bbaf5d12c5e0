/* SPDX-License-Identifier: MIT
 * A load in four acts: allocations and channels, HELLO through each of them, the load itself, and
 * the question what arrived. */
#define _GNU_SOURCE
#include "cli/command.h"
#include "cli/turn_flows.h"
#include "cli/turn_load.h"

#include "box/box.h"
#include "net/loop.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ACT_MS = 10000,  /* the most that HELLO, START and ASK may take */
    AGAIN_MS = 200,  /* until they are said again */
    SETTLE_MS = 300, /* what is under way arrives; and as often again as something did */
    SETTLES_MAX = 60,
    ROUND_NS = 200000
};

struct flood {
    struct turn_cli *cli;
    struct turn_flows flows;
    uint32_t run;
    size_t proved;
    bool started, told_came;
    struct turn_told told; /* by the peer */
    struct turn_told here; /* of what came down */
    struct turn_histogram times, echoes;
    int64_t arrived_ns;     /* the last of these */
    uint64_t sent, refused; /* datagrams; refused: our own buffers were full */
    uint8_t *train;
    pid_t own_peer;
};

/* ---- what comes from the peer --------------------------------------------------------------- */

static void say(struct flood *f, size_t flow, struct turn_message *m) {
    uint8_t out[CHANNEL_HEADER_LEN + TURN_LOAD_MAX];
    m->run = f->run;
    m->flow = (uint32_t)flow;
    size_t len = turn_message_write(m, out + CHANNEL_HEADER_LEN);
    channel_write_header(out, f->flows.list[flow].channel, len);
    (void)turn_flows_send(&f->flows, flow, out, CHANNEL_HEADER_LEN + len, 0);
}

static void on_welcome(struct flood *f, size_t flow, const struct turn_message *m) {
    struct turn_flow *w = &f->flows.list[flow];
    if (w->seen == 2)
        return;
    bool again = w->seen == 1 && w->cookie == m->cookie;
    w->cookie = m->cookie;
    w->seen = again ? 2 : 1;
    f->proved += again;
    if (!again) {
        struct turn_message hello = {.word = TURN_WORD_HELLO, .cookie = w->cookie};
        say(f, flow, &hello);
    }
}

static void on_data(void *ctx, size_t flow, const struct turn_in *in) {
    struct flood *f = ctx;
    struct turn_message m;
    if (!turn_message_read(in->data, in->len, &m) || m.run != f->run)
        return;
    if (m.word == TURN_WORD_DATA) {
        f->here.packets++;
        f->here.bytes += in->len;
        if (m.sent_ns != 0 && in->stamp_ns != 0)
            turn_histogram_add(&f->times, in->stamp_ns - m.sent_ns);
    } else if (m.word == TURN_WORD_WELCOME) {
        on_welcome(f, flow, &m);
    } else if (m.word == TURN_WORD_ECHO) {
        turn_histogram_add(&f->echoes, turn_wall_ns() - m.sent_ns);
    } else if (m.word == TURN_WORD_STARTED) {
        f->started = true;
    } else if (m.word == TURN_WORD_TOLD) {
        f->told = m.told;
        f->told_came = true;
    }
}

/* ---- the acts ----------------------------------------------------------------------------- */

static void listen_once(struct flood *f) {
    uint64_t before = f->here.packets;
    turn_flows_turn(&f->flows);
    if (f->here.packets != before)
        f->arrived_ns = turn_clock_ns();
}

static void wait_ms(struct flood *f, int64_t ms, const bool *enough) {
    int64_t until = turn_clock_ns() + ms * 1000000;
    while (turn_clock_ns() < until && (enough == NULL || !*enough)) {
        listen_once(f);
        turn_sleep_until(turn_clock_ns() + ROUND_NS);
    }
}

/* A window at a time, and again those that were lost. */
static bool say_hello(struct flood *f) {
    int64_t until = turn_clock_ns() + (int64_t)ACT_MS * 1000000;
    while (f->proved < f->flows.count && turn_clock_ns() < until) {
        size_t said = 0;
        for (size_t i = 0; i < f->flows.count; i++) {
            struct turn_message hello = {.word = TURN_WORD_HELLO,
                                         .cookie = f->flows.list[i].cookie};
            if (f->flows.list[i].seen == 2)
                continue;
            say(f, i, &hello);
            if (++said % f->cli->window == 0)
                wait_ms(f, 1, NULL);
        }
        for (int n = 0; n < AGAIN_MS / 10 && f->proved < f->flows.count; n++)
            wait_ms(f, 10, NULL);
    }
    if (f->proved < f->flows.count)
        fprintf(stderr, "bodkin turn: the peer answered on %zu of %zu flows\n", f->proved,
                f->flows.count);
    return f->proved == f->flows.count;
}

static bool insist(struct flood *f, struct turn_message *m, const bool *done, const char *what) {
    for (int n = 0; n < ACT_MS / AGAIN_MS && !*done; n++) {
        say(f, 0, m);
        wait_ms(f, AGAIN_MS, done);
    }
    if (!*done)
        fprintf(stderr, "bodkin turn: the peer does not answer %s\n", what);
    return *done;
}

/* Asks until nothing more arrives: a server's buffers may hold seconds of a load. */
static bool settle(struct flood *f) {
    struct turn_message ask = {.word = TURN_WORD_ASK};
    uint64_t before = UINT64_MAX, now = 0;
    for (int n = 0; n < SETTLES_MAX && now != before; n++) {
        before = now;
        wait_ms(f, SETTLE_MS, NULL);
        f->told_came = false;
        if (!insist(f, &ask, &f->told_came, "ASK"))
            return false;
        now = f->told.packets + f->told.lost + f->here.packets;
        if (n == 0)
            before = now + 1;
    }
    return true;
}

static struct turn_load load_of(const struct turn_cli *t) {
    return (struct turn_load){.burst = t->burst,
                              .size = t->size,
                              .rate = t->rate,
                              .ms = t->seconds * 1000,
                              .stamp = t->latency};
}

static void make_train(struct flood *f, uint8_t word, int64_t sent_ns) {
    const struct turn_cli *t = f->cli;
    const struct turn_message m = {.word = word, .run = f->run, .sent_ns = sent_ns};
    for (size_t i = 0; i < t->burst; i++) {
        uint8_t *at = f->train + i * (CHANNEL_HEADER_LEN + (size_t)t->size);
        channel_write_header(at, f->flows.list[0].channel, t->size);
        (void)turn_message_write(&m, at + CHANNEL_HEADER_LEN);
    }
}

/* Flows that were bound under other numbers than the first: the header is theirs for a moment. */
static void renumber(struct flood *f, uint16_t channel) {
    for (size_t i = 0; i < f->cli->burst; i++)
        channel_write_header(f->train + i * (CHANNEL_HEADER_LEN + (size_t)f->cli->size), channel,
                             f->cli->size);
}

static void send_up(struct flood *f, struct turn_pace *pace, size_t *next, uint8_t word) {
    const struct turn_cli *t = f->cli;
    size_t segment = CHANNEL_HEADER_LEN + (size_t)t->size;
    uint32_t trains = turn_pace_due(pace, turn_clock_ns());
    uint16_t in_train = f->flows.list[0].channel;
    for (uint32_t i = 0; i < trains; i++) {
        uint16_t channel = f->flows.list[*next].channel;
        if (t->latency || word == TURN_WORD_ECHO)
            make_train(f, word, turn_wall_ns());
        if (channel != in_train)
            renumber(f, in_train = channel);
        if (turn_flows_send(&f->flows, *next, f->train, t->burst * segment, segment))
            f->sent += t->burst;
        else
            f->refused += t->burst;
        pace->sent += t->burst;
        *next = *next + 1 < f->flows.count ? *next + 1 : 0;
    }
    if (in_train != f->flows.list[0].channel)
        renumber(f, f->flows.list[0].channel);
}

/* Sleeping between two packets is not worth it when many are late: receive once in a while. */
static void run_load(struct flood *f, uint8_t word) {
    const struct turn_load load = load_of(f->cli);
    struct turn_pace pace;
    size_t next = 0;
    int64_t received_ns = 0;
    bool up = (f->cli->ways & TURN_UP) != 0 || word == TURN_WORD_ECHO;
    make_train(f, word, 0);
    turn_pace_start(&pace, &load, turn_clock_ns());
    for (int64_t now = pace.begun_ns; now < pace.until_ns; now = turn_clock_ns()) {
        if (up)
            send_up(f, &pace, &next, word);
        if (now - received_ns >= ROUND_NS || word == TURN_WORD_ECHO) {
            listen_once(f);
            received_ns = now;
        }
        int64_t at = up ? turn_pace_next(&pace) : now + ROUND_NS;
        if (word == TURN_WORD_ECHO && at > now + 20000)
            at = now + 20000; /* an echo is read at most this late */
        turn_sleep_until(at);
    }
}

/* ---- the whole ---------------------------------------------------------------------------- */

static bool begin(struct flood *f, struct turn_cli *t) {
    *f = (struct flood){.cli = t};
    const struct bk_rng rng = box_rng();
    f->run = rng_u32(&rng);
    f->train = calloc(t->burst, CHANNEL_HEADER_LEN + (size_t)t->size);
    if (f->train == NULL ||
        (t->peer.ip.family == BK_FAMILY_NONE && !turn_peer_start(t, &f->own_peer))) {
        fprintf(stderr, "bodkin turn: no peer: %s\n", strerror(errno));
        return false;
    }
    return true;
}

static bool set_up(struct flood *f) {
    if (!turn_flows_open(&f->flows, f->cli, &f->cli->peer))
        return false;
    f->flows.on_data = on_data;
    f->flows.ctx = f;
    return say_hello(f);
}

static void end(struct flood *f) {
    turn_flows_close(&f->flows);
    turn_peer_stop(f->own_peer);
    free(f->train);
}

static void told_times(struct turn_result *r, const char *name, const struct turn_told *t) {
    char text[128];
    if (t->stamped == 0)
        return;
    (void)snprintf(text, sizeof text, "%s_p50_us", name);
    turn_result_number(r, text, (double)t->p50_ns / 1000);
    (void)snprintf(text, sizeof text, "%s_p99_us", name);
    turn_result_number(r, text, (double)t->p99_ns / 1000);
    (void)snprintf(text, sizeof text, "%s_max_us", name);
    turn_result_number(r, text, (double)t->max_ns / 1000);
}

static void show(struct flood *f, double seconds) {
    struct turn_result *r = &f->cli->result;
    uint64_t arrived = f->told.packets + f->told.lost;
    turn_result_number(r, "flows", (double)f->flows.count);
    turn_result_number(r, "seconds", seconds);
    if ((f->cli->ways & TURN_UP) != 0) {
        turn_result_number(r, "up_sent", (double)f->sent);
        turn_result_number(r, "up_not_sent", (double)f->refused);
        turn_result_number(r, "up_relayed", (double)arrived);
        turn_result_number(r, "up_lost_at_peer", (double)f->told.lost);
        turn_result_number(r, "up_pps", (double)arrived / seconds);
        told_times(r, "up", &f->told);
    }
    if ((f->cli->ways & TURN_DOWN) != 0) {
        turn_result_number(r, "down_sent", (double)f->told.sent);
        turn_result_number(r, "down_relayed", (double)f->here.packets);
        turn_result_number(r, "down_pps", (double)f->here.packets / seconds);
        turn_result_histogram(r, "down", &f->times);
    }
}

static bool load_and_count(struct flood *f) {
    struct turn_cli *t = f->cli;
    struct turn_message start = {.word = TURN_WORD_START, .load = load_of(t)};
    struct turn_usage before = turn_usage_of(t->pid);
    int64_t begun = turn_clock_ns();
    if ((t->ways & TURN_DOWN) != 0 && !insist(f, &start, &f->started, "START"))
        return false;
    run_load(f, TURN_WORD_DATA);
    int64_t ended = turn_clock_ns();
    bool ok = settle(f);
    struct turn_usage after = turn_usage_of(t->pid);
    if (f->arrived_ns > ended)
        ended = f->arrived_ns;
    show(f, (double)(ended - begun) / 1e9);
    turn_result_usage(&t->result, &before, &after,
                      f->told.packets + f->told.lost + f->here.packets);
    turn_result_histogram(&t->result, "allocate", &f->flows.allocate);
    return ok;
}

int turn_flood(struct turn_cli *t) {
    struct flood f;
    bool ok = begin(&f, t) && set_up(&f) && load_and_count(&f);
    end(&f);
    return ok ? EXIT_FINE : EXIT_OTHER;
}

int turn_echo(struct turn_cli *t) {
    struct flood f;
    if (t->uri.protocol == BK_TCP || t->uri.secure || t->mobility)
        return turn_echo_line(t);
    bool ok = begin(&f, t) && set_up(&f);
    if (ok) {
        struct turn_usage before = turn_usage_of(t->pid);
        run_load(&f, TURN_WORD_ECHO);
        wait_ms(&f, SETTLE_MS, NULL);
        struct turn_usage after = turn_usage_of(t->pid);
        turn_result_addr(&t->result, "peer", &t->peer);
        turn_result_number(&t->result, "sent", (double)f.sent);
        turn_result_number(&t->result, "came_back", (double)f.echoes.count);
        turn_result_histogram(&t->result, "round_trip", &f.echoes);
        turn_result_histogram(&t->result, "allocate", &f.flows.allocate);
        turn_result_usage(&t->result, &before, &after, 2 * f.echoes.count);
        ok = f.echoes.count > 0;
    }
    end(&f);
    return ok ? EXIT_FINE : EXIT_OTHER;
}
