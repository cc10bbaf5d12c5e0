/* SPDX-License-Identifier: MIT
 * The peer of a load. Under load it sleeps by the clock and reads in rounds (turn_flows.c says
 * why); for echoes and when nothing happens it waits for the next datagram. It sends a load only
 * to addresses that proved to be there, for a limited time. */
#define _GNU_SOURCE
#include "cli/command.h"
#include "cli/turn.h"
#include "cli/turn_load.h"
#include "cli/turn_socket.h"

#include "base/rng.h"
#include "box/box.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOAD_MS_MAX = 600000,
    ROUND_NS = 200000,
    BUSY = 8, /* DATA in one round from which the next one is by the clock */
    IDLE_MS = 1000,
    ROOM = 64 << 20
};

struct place { /* where a flow comes from */
    union net_sockaddr addr;
    uint32_t cookie;
    bool proved;
};

struct peer {
    int fd;
    struct bk_rng rng;
    uint32_t run, count, next; /* places; whose turn it is */
    struct place *places;
    bool started;
    struct turn_pace pace;
    struct turn_told told;
    uint64_t lost, lost_before;
    struct turn_histogram times;
    uint8_t *train;
};

static volatile sig_atomic_t stopped;

static void on_stop(int number) {
    (void)number;
    stopped = 1;
}

/* ---- what it is told ---------------------------------------------------------------------- */

static bool same_place(const union net_sockaddr *a, const union net_sockaddr *b) {
    struct bk_addr x, y;
    sockaddr_to(a, &x);
    sockaddr_to(b, &y);
    return bk_addr_equal(&x, &y);
}

static void new_run(struct peer *p, uint32_t run) {
    p->run = run;
    p->count = p->next = 0;
    p->started = false;
    p->told = (struct turn_told){.packets = 0};
    p->lost_before = p->lost;
    p->pace.until_ns = 0;
    memset(&p->times, 0, sizeof p->times);
    memset(p->places, 0, TURN_LOAD_FLOWS * sizeof *p->places);
}

static void answer(const struct peer *p, const struct turn_message *m, const struct turn_in *in) {
    uint8_t out[TURN_LOAD_MAX];
    (void)turn_send(p->fd, in->from, out, turn_message_write(m, out), 0);
}

static void on_hello(struct peer *p, const struct turn_message *m, const struct turn_in *in) {
    if (m->flow >= TURN_LOAD_FLOWS)
        return;
    if (m->run != p->run)
        new_run(p, m->run);
    struct place *at = &p->places[m->flow];
    if (!same_place(&at->addr, in->from)) {
        *at = (struct place){.addr = *in->from, .cookie = rng_u32(&p->rng) | 1};
        at->proved = false;
    }
    at->proved = at->proved || m->cookie == at->cookie;
    if (m->flow >= p->count)
        p->count = m->flow + 1;
    struct turn_message out = {.word = TURN_WORD_WELCOME, .run = m->run, .flow = m->flow};
    out.cookie = at->cookie;
    answer(p, &out, in);
}

static void make_train(struct peer *p, const struct turn_load *l) {
    const struct turn_message m = {.word = TURN_WORD_DATA, .run = p->run};
    uint8_t head[TURN_LOAD_MAX];
    size_t len = turn_message_write(&m, head);
    memset(p->train, 0, (size_t)TURN_TRAIN * TURN_DATAGRAM);
    for (size_t i = 0; i < l->burst; i++)
        memcpy(p->train + i * l->size, head, len);
}

static void on_start(struct peer *p, const struct turn_message *m, const struct turn_in *in) {
    const struct turn_load *l = &m->load;
    bool sane = l->burst >= 1 && l->burst <= TURN_TRAIN && l->size >= TURN_LOAD_HEADER &&
                l->size < TURN_DATAGRAM && l->ms <= LOAD_MS_MAX && m->run == p->run;
    if (!sane)
        return;
    if (!p->started) {
        make_train(p, l);
        turn_pace_start(&p->pace, l, turn_clock_ns());
        p->started = true;
    }
    const struct turn_message out = {.word = TURN_WORD_STARTED, .run = m->run};
    answer(p, &out, in);
}

static void on_ask(struct peer *p, const struct turn_message *m, const struct turn_in *in) {
    struct turn_message out = {.word = TURN_WORD_TOLD, .run = m->run, .flow = m->flow};
    if (m->run == p->run)
        out.told = p->told;
    out.told.lost = p->lost - p->lost_before;
    out.told.p50_ns = (uint64_t)turn_histogram_at(&p->times, 500);
    out.told.p90_ns = (uint64_t)turn_histogram_at(&p->times, 900);
    out.told.p99_ns = (uint64_t)turn_histogram_at(&p->times, 990);
    out.told.max_ns = (uint64_t)p->times.max_ns;
    out.told.stamped = p->times.count;
    answer(p, &out, in);
}

static void on_message(struct peer *p, const struct turn_message *m, const struct turn_in *in) {
    switch (m->word) {
    case TURN_WORD_DATA:
        p->told.packets += m->run == p->run;
        p->told.bytes += m->run == p->run ? in->len : 0;
        if (m->sent_ns != 0)
            turn_histogram_add(&p->times,
                               (in->stamp_ns ? in->stamp_ns : turn_wall_ns()) - m->sent_ns);
        break;
    case TURN_WORD_ECHO:
        (void)turn_send(p->fd, in->from, in->data, in->len, 0);
        break;
    case TURN_WORD_HELLO:
        on_hello(p, m, in);
        break;
    case TURN_WORD_START:
        on_start(p, m, in);
        break;
    case TURN_WORD_ASK:
        on_ask(p, m, in);
        break;
    default: /* a peer's own words, or none */
        break;
    }
}

/* ---- its rounds --------------------------------------------------------------------------- */

/* How many DATA came. */
static size_t receive(struct peer *p) {
    struct turn_in in[TURN_BATCH_MAX];
    struct turn_message m;
    size_t data = 0, n;
    do {
        n = turn_recv(p->fd, in, &p->lost);
        for (size_t i = 0; i < n; i++) {
            if (!turn_message_read(in[i].data, in[i].len, &m))
                continue;
            on_message(p, &m, &in[i]);
            data += m.word == TURN_WORD_DATA;
        }
    } while (n == TURN_BATCH_MAX && data < 4096);
    return data;
}

static void stamp(struct peer *p, const struct turn_load *l) {
    struct turn_message m = {.word = TURN_WORD_DATA, .run = p->run, .sent_ns = turn_wall_ns()};
    uint8_t head[TURN_LOAD_MAX];
    size_t len = turn_message_write(&m, head);
    for (size_t i = 0; i < l->burst; i++)
        memcpy(p->train + i * l->size, head, len);
}

static void send_due(struct peer *p) {
    const struct turn_load *l = &p->pace.load;
    uint32_t trains = p->started ? turn_pace_due(&p->pace, turn_clock_ns()) : 0;
    for (uint32_t i = 0; i < trains; i++) {
        const struct place *at = &p->places[p->next];
        p->next = p->next + 1 < p->count ? p->next + 1 : 0;
        p->pace.sent += l->burst;
        if (!at->proved)
            continue;
        if (l->stamp != 0)
            stamp(p, l);
        if (turn_send(p->fd, &at->addr, p->train, (size_t)l->burst * l->size, l->size))
            p->told.sent += l->burst;
    }
}

static void rest(struct peer *p, size_t data) {
    int64_t now = turn_clock_ns();
    if (p->started && now < p->pace.until_ns) {
        if (p->pace.load.rate > 0)
            turn_sleep_until(turn_pace_next(&p->pace));
        return;
    }
    if (data >= BUSY) {
        turn_sleep_until(now + ROUND_NS);
        return;
    }
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
    (void)poll(&pfd, 1, IDLE_MS);
}

/* `parent`: whoever it works for, 0: nobody but the user; it ends with it. */
static void serve(struct peer *p, pid_t parent) {
    while (!stopped && (parent == 0 || getppid() == parent)) {
        size_t data = receive(p);
        send_due(p);
        rest(p, data);
    }
}

static int run(const struct bk_addr *at, pid_t parent) {
    const struct bk_addr nobody = {.port = 0};
    char text[BK_ADDR_TEXT_MAX];
    struct peer *p = calloc(1, sizeof *p);
    struct place *places = calloc(TURN_LOAD_FLOWS, sizeof *places);
    uint8_t *train = calloc(TURN_TRAIN, TURN_DATAGRAM);
    int fd = turn_socket(at, &nobody);
    int code = EXIT_OTHER;
    if (p == NULL || places == NULL || train == NULL || fd < 0) {
        fprintf(stderr, "bodkin turn: %s: %s\n", bk_addr_format(at, text), strerror(errno));
    } else {
        *p = (struct peer){.fd = fd, .rng = box_rng(), .places = places, .train = train};
        turn_socket_room(fd, ROOM);
        turn_socket_stamp(fd);
        struct sigaction sa = {.sa_handler = on_stop};
        (void)sigaction(SIGINT, &sa, NULL);
        (void)sigaction(SIGTERM, &sa, NULL);
        const struct bk_addr local = turn_socket_local(fd);
        printf("peer %s\n", bk_addr_format(&local, text));
        (void)fflush(stdout);
        serve(p, parent);
        code = EXIT_FINE;
    }
    if (fd >= 0)
        close(fd);
    free(train);
    free(places);
    free(p);
    return code;
}

int turn_peer(const struct bk_addr *at) {
    return run(at, 0);
}

bool turn_peer_start(struct turn_cli *t, pid_t *out) {
    const struct bk_addr any = {.port = 0};
    int probe = turn_socket(&any, &t->server), ends[2];
    struct bk_addr at = probe >= 0 ? turn_socket_local(probe) : any;
    if (probe >= 0)
        close(probe);
    probe = turn_socket(&(struct bk_addr){.ip = at.ip}, &any); /* a port that is free */
    t->peer = probe >= 0 ? turn_socket_local(probe) : any;
    if (probe >= 0)
        close(probe);
    if (t->peer.port == 0 || pipe(ends) != 0)
        return false;
    const pid_t self = getpid(); /* asked here: it may be gone when the child asks */
    *out = fork();
    if (*out == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        _exit(run(&t->peer, self));
    }
    char line[8];
    close(ends[1]);
    bool ready = *out > 0 && read(ends[0], line, sizeof line) > 0;
    close(ends[0]);
    return ready;
}

void turn_peer_stop(pid_t pid) {
    if (pid <= 0)
        return;
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
}
