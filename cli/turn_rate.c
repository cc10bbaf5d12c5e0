/* SPDX-License-Identifier: MIT
 * How many requests a server answers in a second, with a window of them under way. No bk_turn: at
 * these rates the client must cost less than the server, so one key is derived for all, and a
 * client is a socket and a few bytes.
 *
 * An allocation is what RFC 8656 makes of it: a bare Allocate, its 401, the signed one, its answer.
 * Every client asks for a nonce of its own, as a server may bind it to the address. */
#define _GNU_SOURCE
#include "base/rng.h"
#include "cli/command.h"
#include "cli/turn.h"
#include "cli/turn_socket.h"

#include "box/box.h"
#include "net/loop.h"
#include "stun/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    PATIENCE_NS = 500000000,  /* then a request is sent again */
    GIVE_UP_NS = 2000000000,  /* nothing at all for so long: the server is dead */
    TRANSPORT_UDP = 17 << 24, /* REQUESTED-TRANSPORT, RFC 8656 section 18.8 */
    TRIES_MAX = 10,
    EVENTS = 256,
    NONCE_KEPT = 96 /* longer ones are asked for again */
};

enum ask_state { ASK_IDLE, ASK_BARE, ASK_SIGNED, ASK_HELD, ASK_RELEASE, ASK_GONE };

struct asker {
    int fd;
    uint8_t state; /* enum ask_state */
    uint8_t tries;
    uint8_t txid[STUN_TXID_LEN];
    uint8_t nonce[NONCE_KEPT], nonce_len;
    int64_t asked_ns, began_ns;
};

struct rate {
    struct turn_cli *cli;
    struct asker *list;
    size_t count, opened;
    int epoll;
    struct rng_seeded seeded;
    struct bk_rng rng;
    struct stun_login login;
    size_t under_way, done, again;
    uint16_t code; /* the first error that was not expected; 0: none */
    int64_t heard_ns;
    struct turn_histogram times;
};

/* ---- requests ----------------------------------------------------------------------------- */

/* With the transaction that `a` has. */
static void put(struct rate *r, struct asker *a, enum stun_method method, bool sign) {
    uint8_t buf[1024];
    size_t len;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, (uint16_t)method, a->txid);
    if (method == TURN_ALLOCATE)
        stun_put_u32(&b, TURN_REQUESTED_TRANSPORT, TRANSPORT_UDP);
    if (method == TURN_REFRESH || (method == TURN_ALLOCATE && r->cli->lifetime != 0))
        stun_put_u32(&b, TURN_LIFETIME, method == TURN_REFRESH ? 0 : r->cli->lifetime);
    if (sign)
        stun_login_put(&r->login, &b);
    if (stun_finish(&b, &len) == BK_OK)
        (void)turn_send(a->fd, NULL, buf, len, 0);
    a->asked_ns = turn_clock_ns();
}

static void ask(struct rate *r, struct asker *a, enum stun_method method, bool sign) {
    rng_fill(&r->rng, a->txid, sizeof a->txid);
    put(r, a, method, sign);
}

static void use_nonce(struct rate *r, const struct asker *a) {
    memcpy(r->login.nonce, a->nonce, a->nonce_len);
    r->login.nonce_len = a->nonce_len > 0 ? a->nonce_len : r->login.nonce_len;
}

static void start(struct rate *r, struct asker *a) {
    a->state = ASK_BARE;
    r->under_way++;
    ask(r, a, TURN_ALLOCATE, false);
    a->began_ns = a->asked_ns;
}

static void settle(struct rate *r, struct asker *a, enum ask_state state) {
    a->state = (uint8_t)state;
    a->tries = 0;
    r->under_way--;
    r->done++;
}

/* The challenge of one client becomes the shared login's for as long as its answer is built; the
 * key depends on the realm only, so it is derived once. */
static bool take_challenge(struct rate *r, struct asker *a, const struct stun_msg *m) {
    struct wire_span nonce;
    if (!r->login.ready && stun_login_check(&r->login, m) != STUN_LOGIN_RETRY)
        return false;
    if (stun_get_bytes(m, STUN_NONCE, &nonce) != BK_OK || nonce.len > sizeof r->login.nonce)
        return false;
    memcpy(r->login.nonce, nonce.data, nonce.len);
    r->login.nonce_len = nonce.len;
    a->nonce_len = nonce.len <= sizeof a->nonce ? (uint8_t)nonce.len : 0;
    memcpy(a->nonce, nonce.data, a->nonce_len);
    return true;
}

static void refused(struct rate *r, struct asker *a, uint16_t code) {
    if (r->code == 0)
        r->code = code;
    settle(r, a, ASK_GONE);
}

static void on_answer(struct rate *r, struct asker *a, const struct stun_msg *m, int64_t now) {
    uint16_t code = 0;
    if (m->cls == STUN_ERROR && stun_get_error(m, &code, NULL) != BK_OK)
        return;
    switch ((enum ask_state)a->state) {
    case ASK_BARE:
        if (code != STUN_CODE_UNAUTHENTICATED || !take_challenge(r, a, m)) {
            refused(r, a, code);
            break;
        }
        a->state = ASK_SIGNED;
        ask(r, a, TURN_ALLOCATE, true);
        break;
    case ASK_SIGNED:
        if (code != 0) {
            refused(r, a, code);
            break;
        }
        turn_histogram_add(&r->times, now - a->began_ns);
        settle(r, a, ASK_HELD);
        break;
    case ASK_RELEASE:
        if (code == STUN_CODE_STALE_NONCE && take_challenge(r, a, m))
            ask(r, a, TURN_REFRESH, true);
        else
            settle(r, a, ASK_GONE);
        break;
    case ASK_IDLE:
    case ASK_HELD:
    case ASK_GONE:
        break;
    }
}

static void receive(struct rate *r, struct asker *a) {
    struct turn_in in[TURN_BATCH_MAX];
    struct stun_msg m;
    size_t n = turn_recv(a->fd, in, NULL);
    int64_t now = turn_clock_ns();
    for (size_t i = 0; i < n; i++) {
        if (stun_parse(&m, in[i].data, in[i].len) != BK_OK ||
            memcmp(m.txid, a->txid, sizeof a->txid) != 0)
            continue;
        r->heard_ns = now;
        on_answer(r, a, &m, now);
    }
}

/* A lost request or answer: what it was is in the state. */
static void ask_again(struct rate *r, struct asker *a) {
    if (++a->tries > TRIES_MAX) {
        refused(r, a, 0);
        return;
    }
    r->again++;
    if (a->state == ASK_RELEASE) {
        ask(r, a, TURN_REFRESH, true);
        return;
    }
    if (a->state == ASK_SIGNED && a->nonce_len > 0) {
        use_nonce(r, a); /* RFC 8489 section 6.2.1: the same transaction, or it would be 437 */
        put(r, a, TURN_ALLOCATE, true);
        return;
    }
    a->state = ASK_BARE;
    ask(r, a, TURN_ALLOCATE, false);
}

/* ---- rounds ------------------------------------------------------------------------------- */

static void look_for_late(struct rate *r, int64_t now) {
    for (size_t i = 0; i < r->count; i++) {
        struct asker *a = &r->list[i];
        bool waits = a->state == ASK_BARE || a->state == ASK_SIGNED || a->state == ASK_RELEASE;
        if (waits && now - a->asked_ns > PATIENCE_NS)
            ask_again(r, a);
    }
}

/* Every client once: `begin` starts the next one. false: the server fell silent. */
static bool all(struct rate *r, void (*begin)(struct rate *r, struct asker *a)) {
    struct epoll_event events[EVENTS];
    size_t next = 0;
    int64_t looked = turn_clock_ns();
    r->done = r->under_way = 0;
    r->heard_ns = looked;
    while (r->done < r->count && turn_clock_ns() - r->heard_ns < GIVE_UP_NS) {
        while (next < r->count && r->under_way < r->cli->window)
            begin(r, &r->list[next++]);
        int n = epoll_wait(r->epoll, events, EVENTS, 50);
        for (int i = 0; i < n; i++)
            receive(r, &r->list[events[i].data.u32]);
        int64_t now = turn_clock_ns();
        if (now - looked > PATIENCE_NS / 5) {
            look_for_late(r, now);
            looked = now;
        }
    }
    return r->done == r->count;
}

static void begin_release(struct rate *r, struct asker *a) {
    if (a->state != ASK_HELD) {
        r->done++;
        return;
    }
    a->state = ASK_RELEASE;
    r->under_way++;
    use_nonce(r, a);
    ask(r, a, TURN_REFRESH, true);
}

static bool open_sockets(struct rate *r) {
    const struct turn_cli *t = r->cli;
    const struct bk_addr any = {.port = 0};
    for (; r->opened < r->count; r->opened++) {
        struct asker *a = &r->list[r->opened];
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)r->opened};
        a->fd =
            turn_socket(t->from_count > 0 ? &t->from[r->opened % t->from_count] : &any, &t->server);
        if (a->fd < 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, a->fd, &e) != 0)
            return false;
    }
    return true;
}

static bool begin_rate(struct rate *r, struct turn_cli *t, size_t count) {
    *r = (struct rate){.cli = t, .count = count, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    const struct bk_rng secure = box_rng();
    rng_seed(&r->seeded, rng_u64(&secure));
    r->rng = rng_from_seeded(&r->seeded);
    r->list = calloc(count, sizeof *r->list);
    (void)turn_socket_limit();
    if (r->list != NULL && r->epoll >= 0 && open_sockets(r))
        return true;
    fprintf(stderr, "bodkin turn: client %zu of %zu: %s\n", r->opened + 1, count, strerror(errno));
    return false;
}

static void end_rate(struct rate *r) {
    for (size_t i = 0; r->list != NULL && i < r->count; i++)
        if (r->list[i].fd > 0)
            close(r->list[i].fd);
    free(r->list);
    if (r->epoll >= 0)
        close(r->epoll);
    stun_login_fini(&r->login);
}

/* ---- allocations -------------------------------------------------------------------------- */

static size_t held(const struct rate *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++)
        n += r->list[i].state == ASK_HELD;
    return n;
}

static void nap_s(uint32_t seconds) {
    turn_sleep_until(turn_clock_ns() + (int64_t)seconds * 1000000000);
}

static void release_all(struct rate *r) {
    struct turn_result *out = &r->cli->result;
    struct turn_usage before = turn_usage_of(r->cli->pid);
    int64_t begun = turn_clock_ns();
    (void)all(r, begin_release);
    turn_result_number(out, "releases_per_s",
                       (double)r->count * 1e9 / (double)(turn_clock_ns() - begun));
    struct turn_usage after = turn_usage_of(r->cli->pid);
    if (!before.known || !after.known)
        return;
    turn_result_number(out, "release_cpu_s_per_million",
                       (double)(after.cpu_ns - before.cpu_ns) / 1e3 / (double)r->count);
    nap_s(5);
    turn_result_number(out, "rss_kb_5_s_later", (double)turn_usage_of(r->cli->pid).rss_kb);
}

static void show_allocations(const struct rate *r, const struct turn_usage *before,
                             double seconds) {
    struct turn_result *out = &r->cli->result;
    struct turn_usage after = turn_usage_of(r->cli->pid);
    size_t got = held(r);
    turn_result_number(out, "allocated", (double)got);
    turn_result_number(out, "asked", (double)r->count);
    turn_result_number(out, "sent_again", (double)r->again);
    if (r->code != 0)
        turn_result_number(out, "error_code", r->code);
    turn_result_number(out, "seconds", seconds);
    turn_result_number(out, "allocations_per_s", (double)got / seconds);
    turn_result_histogram(out, "allocate", &r->times);
    turn_result_usage(out, before, &after, got);
    if (before->known && after.known && got > 0)
        turn_result_number(out, "rss_kb_each",
                           (double)(after.rss_kb - before->rss_kb) / (double)got);
}

int turn_alloc_rate(struct turn_cli *t) {
    struct rate r;
    bool ok = begin_rate(&r, t, t->count);
    if (ok && stun_login_init(&r.login, t->user, t->password) != BK_OK) {
        fprintf(stderr, "bodkin turn: --user NAME:PASSWORD is not usable\n");
        ok = false;
    }
    if (ok) {
        struct turn_usage before = turn_usage_of(t->pid);
        int64_t begun = turn_clock_ns();
        ok = all(&r, start);
        show_allocations(&r, &before, (double)(turn_clock_ns() - begun) / 1e9);
        ok = ok && held(&r) == r.count;
        if (!ok)
            fprintf(stderr, "bodkin turn: %zu of %zu allocations, error code %u\n", held(&r),
                    r.count, (unsigned)r.code);
        nap_s(t->hold);
        if (!t->keep)
            release_all(&r);
    }
    end_rate(&r);
    return ok ? EXIT_FINE : EXIT_OTHER;
}

/* ---- Binding ------------------------------------------------------------------------------ */

static void ask_binding(struct rate *r, struct asker *a) {
    uint8_t buf[STUN_HEADER_LEN];
    size_t len;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, a->txid);
    if (stun_finish(&b, &len) == BK_OK)
        (void)turn_send(a->fd, NULL, buf, len, 0);
    (void)r;
}

/* Every answer is a new question, so that `window` are under way; who was not answered in a tenth
 * of a second lost one, and asks again. */
static void run_binding(struct rate *r, int64_t until) {
    struct epoll_event events[EVENTS];
    struct turn_in in[TURN_BATCH_MAX];
    int64_t now = turn_clock_ns(), looked = now;
    for (; now < until; now = turn_clock_ns()) {
        int n = epoll_wait(r->epoll, events, EVENTS, 10);
        for (int i = 0; i < n; i++) {
            struct asker *a = &r->list[events[i].data.u32];
            size_t got = turn_recv(a->fd, in, NULL);
            r->done += got;
            a->asked_ns = now;
            for (size_t k = 0; k < got; k++)
                ask_binding(r, a);
        }
        for (size_t i = 0; now - looked > 50000000 && i < r->count; i++) {
            if (now - r->list[i].asked_ns < 100000000)
                continue;
            r->again++;
            ask_binding(r, &r->list[i]);
            r->list[i].asked_ns = now;
        }
        if (now - looked > 50000000)
            looked = now;
    }
}

int turn_binding_rate(struct turn_cli *t) {
    struct rate r;
    bool ok = begin_rate(&r, t, t->flows) && r.count > 0;
    if (ok) {
        for (size_t i = 0; i < r.count; i++)
            rng_fill(&r.rng, r.list[i].txid, STUN_TXID_LEN);
        for (uint32_t i = 0; i < t->window; i++)
            ask_binding(&r, &r.list[i % r.count]);
        struct turn_usage before = turn_usage_of(t->pid);
        int64_t begun = turn_clock_ns();
        run_binding(&r, begun + (int64_t)t->seconds * 1000000000);
        double seconds = (double)(turn_clock_ns() - begun) / 1e9;
        struct turn_usage after = turn_usage_of(t->pid);
        turn_result_number(&t->result, "answers", (double)r.done);
        turn_result_number(&t->result, "seconds", seconds);
        turn_result_number(&t->result, "answers_per_s", (double)r.done / seconds);
        turn_result_number(&t->result, "sent_again", (double)r.again);
        turn_result_usage(&t->result, &before, &after, r.done);
        ok = r.done > 0;
    }
    end_rate(&r);
    return ok ? EXIT_FINE : EXIT_OTHER;
}
