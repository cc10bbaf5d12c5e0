/* SPDX-License-Identifier: MIT
 * links: punch
 * A punch whose peer, sockets and STUN servers do what the input says: it stays within its budget,
 * sends to nobody but the peer, uses no socket that is not open, and always moves on. */
#include "fuzz.h"

#include <punch/note.h>
#include <punch/punch.h>

#include <base/rng.h>

enum { ROUNDS = 64, PACKETS_MAX = 300, TURNS_MAX = 64, IPS = 4 };

struct input {
    const uint8_t *data;
    size_t len;
};

struct play {
    struct input in;
    struct punch *punch;
    struct bk_time now;
    bool open[PUNCH_SOCKETS_MAX], ready[PUNCH_SOCKETS_MAX], asked[PUNCH_SOCKETS_MAX];
    bool peer[IPS];
    uint32_t checks, fresh;
    struct punch_note last; /* of the punch */
};

static uint32_t take(struct input *in, uint32_t below) {
    uint32_t value = 0;
    for (int i = 0; i < 2 && in->len > 0; i++, in->len--)
        value = value << 8 | *in->data++;
    return value % below;
}

static struct bk_ip ip(uint32_t number) {
    return bk_ipv4(203, 0, 113, (uint8_t)number);
}

static struct bk_addr addr(struct input *in) {
    struct bk_addr a = {.port = (uint16_t)take(in, 65536)};
    if (take(in, 8) > 0)
        a.ip = ip(take(in, IPS));
    return a;
}

/* One of `below` - 1 that are known, or, rarely, 0: that costs the oracle time. */
static unsigned mostly(struct input *in, uint32_t below) {
    return take(in, 16) == 1 ? 0 : 1 + take(in, below - 1);
}

static struct bk_nat_traits traits(struct input *in) {
    struct bk_nat_traits t = {
        .udp_blocked = take(in, 8) == 1 ? BK_UNKNOWN : BK_NO,
        .mapping = (enum bk_nat_dep)mostly(in, 4),
        .filtering = (enum bk_nat_dep)mostly(in, 4),
        .ports = (enum bk_nat_ports)mostly(in, 5),
        .step = (int32_t)take(in, 5) - 2,
        .ports_per_s = (double)take(in, 65536),
        .foreign_per_s = (double)take(in, 300),
        .inbound_first = (enum bk_maybe)take(in, 3),
        .paired = (enum bk_maybe)take(in, 3),
    };
    if (take(in, 3) == 0) {
        t.port_min = (uint16_t)take(in, 65536);
        t.port_max = (uint16_t)(t.port_min + take(in, 3000));
        t.port_count = take(in, 3000);
    }
    if (take(in, 4) == 0)
        t.mappings_max = take(in, 300);
    return t;
}

/* Half of them answer the punch's own last one. */
static struct punch_note note(struct play *f) {
    struct input *in = &f->in;
    struct punch_note n = f->last;
    if (take(in, 2) == 0) {
        n.step = (uint8_t)take(in, 12);
        n.attempt = (uint8_t)take(in, 3);
        n.method = (uint8_t)take(in, 20);
        n.reached = (uint8_t)take(in, 3);
        n.both = take(in, 2) == 1;
        n.window = (uint16_t)take(in, take(in, 2) == 0 ? 20 : 65536);
        for (int i = 0; i < 2; i++) {
            n.sockets[i] = (uint16_t)take(in, 300);
            n.ports[i] = (uint16_t)take(in, 3000);
        }
    }
    n.spent = take(in, 3) == 0;
    n.aim = addr(in);
    n.stride = (int16_t)(take(in, 65536) - 32768);
    n.min = (uint16_t)take(in, 65536);
    n.max = (uint16_t)(n.min + take(in, 3000));
    if (take(in, 4) == 0)
        n.run = n.gap = (uint16_t)take(in, 300);
    return n;
}

static void check(struct play *f, const struct punch_action *a) {
    fuzz_check(a->socket == PUNCH_SHARED || f->open[a->socket]);
    fuzz_check(a->remote.port != 0 && a->remote.ip.family == BK_IPV4);
    fuzz_check(f->peer[a->remote.ip.bytes[3]]);
    fuzz_check(++f->checks <= PACKETS_MAX);
}

static void obey(struct play *f, const struct punch_action *a) {
    fuzz_check(a->socket < PUNCH_SOCKETS_MAX);
    switch (a->kind) {
    case PUNCH_OPEN:
        fuzz_check(a->socket != PUNCH_SHARED && !f->open[a->socket]);
        f->open[a->socket] = true;
        f->fresh++;
        if (take(&f->in, 16) != 1) { /* or later, or never */
            punch_bound(f->punch, a->socket,
                        a->port != 0 ? a->port : (uint16_t)(40000 + a->socket));
            f->ready[a->socket] = true;
            punch_opened(f->punch, a->socket, BK_OK, f->now);
        }
        break;
    case PUNCH_CLOSE:
        fuzz_check(a->socket != PUNCH_SHARED && f->open[a->socket]);
        f->open[a->socket] = f->ready[a->socket] = f->asked[a->socket] = false;
        f->fresh--;
        break;
    case PUNCH_ASK:
        fuzz_check(f->open[a->socket]);
        f->asked[a->socket] = true;
        break;
    case PUNCH_CHECK:
        check(f, a);
        break;
    }
}

/* What comes after every call; then nothing is due any more. */
static void settle(struct play *f) {
    struct punch_action a;
    int turns = 0;
    do {
        while (punch_next_action(f->punch, &a))
            obey(f, &a);
        if (punch_take_note(f->punch, &f->last)) {
            uint8_t bytes[PUNCH_NOTE_LEN];
            struct punch_note same;
            punch_note_put(&f->last, bytes);
            fuzz_check(punch_note_get(&same, bytes, sizeof bytes) == BK_OK);
        }
        if (!bk_due(punch_deadline(f->punch), f->now))
            break;
        punch_advance(f->punch, f->now);
    } while (++turns < TURNS_MAX);
    fuzz_check(turns < TURNS_MAX);
    fuzz_check(punch_stats(f->punch)->packets <= PACKETS_MAX);
    fuzz_check(punch_stats(f->punch)->sockets == f->fresh);
}

static void answer(struct play *f) {
    uint16_t socket = (uint16_t)take(&f->in, 4);
    struct bk_addr seen = addr(&f->in);
    if (f->asked[socket]) {
        f->asked[socket] = false;
        punch_mapped(f->punch, socket, &seen, f->now);
    } else if (f->open[socket]) { /* if it was opened before, that is old news */
        f->ready[socket] = true;
        punch_opened(f->punch, socket, BK_OK, f->now);
    }
}

static void set_peer(struct play *f) {
    struct bk_addr peers[3] = {{.port = 0}};
    size_t count = take(&f->in, 4);
    memset(f->peer, 0, sizeof f->peer);
    for (size_t i = 0; i < count; i++) {
        peers[i] = addr(&f->in);
        if (peers[i].ip.family != BK_FAMILY_NONE)
            f->peer[peers[i].ip.bytes[3]] = true;
    }
    punch_set_peer(f->punch, peers, count);
}

static void stop(struct play *f) {
    uint16_t keep = take(&f->in, 2) == 0 ? PUNCH_SHARED : (uint16_t)take(&f->in, 8);
    punch_stop(f->punch, take(&f->in, 2) == 1, keep, f->now);
    if (keep != PUNCH_SHARED && f->ready[keep]) { /* it is the owner's now */
        f->open[keep] = f->ready[keep] = f->asked[keep] = false;
        f->fresh--;
    }
    settle(f);
    fuzz_check(f->fresh == 0);
}

static void tell_traits(struct play *f) {
    struct bk_nat_traits mine = traits(&f->in), theirs = traits(&f->in);
    punch_set_traits(f->punch, &mine, &theirs, f->now);
}

static void step(struct play *f) {
    struct punch_note n;
    struct bk_addr mapped;
    switch (take(&f->in, 9)) {
    case 0:
        f->checks = 0;
        punch_start(f->punch, (uint8_t)take(&f->in, 3), f->now);
        break;
    case 1:
        stop(f);
        break;
    case 2:
        set_peer(f);
        break;
    case 3:
        tell_traits(f);
        break;
    case 4:
        mapped = addr(&f->in);
        punch_set_mapped(f->punch, &mapped);
        punch_set_rtt(f->punch, (int64_t)take(&f->in, 1000) * 1000,
                      (int64_t)take(&f->in, 1000) * 1000);
        punch_set_ttl(f->punch, (uint8_t)take(&f->in, 4));
        break;
    case 5:
    case 6:
        n = note(f);
        punch_note_recv(f->punch, &n, f->now);
        break;
    case 7:
        answer(f);
        break;
    default:
        f->now = bk_after(f->now, (int64_t)take(&f->in, 1000) * 1000);
        punch_advance(f->punch, f->now);
        break;
    }
    settle(f);
}

/* Time runs on until nothing is planned: that takes less than a few minutes. */
static void run_out(struct play *f) {
    struct bk_time last = bk_after(f->now, 600 * BK_US_PER_S);
    for (int i = 0; i < 100000; i++) {
        struct bk_time next = punch_deadline(f->punch);
        if (bk_is_never(next))
            return;
        fuzz_check(bk_before(next, last));
        f->now = bk_later(f->now, next);
        punch_advance(f->punch, f->now);
        settle(f);
    }
    fuzz_check(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play f = {.in = {data, size}, .now = {BK_US_PER_S}};
    struct rng_seeded seed;
    struct punch_config config = punch_config_default;
    rng_seed(&seed, size);
    config.leader = take(&f.in, 2) == 1;
    config.packets_max = PACKETS_MAX;
    config.sockets_max = (uint16_t)take(&f.in, PUNCH_SOCKETS_MAX);
    config.rng = rng_from_seeded(&seed);
    fuzz_check(punch_new(&config, &fuzz_alloc, &f.punch) == BK_OK);
    set_peer(&f);
    tell_traits(&f);
    punch_start(f.punch, 0, f.now);
    settle(&f);
    for (int i = 0; i < ROUNDS && f.in.len > 0; i++)
        step(&f);
    run_out(&f);
    punch_free(f.punch);
    return 0;
}
