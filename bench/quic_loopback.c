/* SPDX-License-Identifier: MIT
 * Two QUIC connections in one process, trains handed over in memory: what a gigabyte costs in QUIC,
 * TLS and our buffers, without sockets. QUIC's time is virtual (each hand-over takes 100 us), so
 * that pacing and round trips do not depend on the machine's load. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl*): POSIX's own name */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include <base/rng.h>
#include <box/box.h>
#include <peer/quic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

struct bench {
    struct quic *end[2];
    size_t payload_max;
    struct bk_time now; /* QUIC's */
    uint64_t trains;    /* of the sender */
    uint8_t train[QUIC_TRAIN_MAX];
};

static struct bk_time clock_now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (struct bk_time){(int64_t)t.tv_sec * BK_US_PER_S + t.tv_nsec / 1000};
}

static void check(enum bk_err e, const char *what) {
    if (e == BK_OK)
        return;
    fprintf(stderr, "quic_loopback: %s: %s\n", what, bk_err_text(e));
    exit(1);
}

static void start(struct bench *b) {
    struct identity id[2];
    struct bk_rng rng = box_rng();
    identity_make(&id[0], &rng);
    identity_make(&id[1], &rng);
    for (int i = 0; i < 2; i++) {
        struct quic_config c = quic_config_default;
        c.server = i == 1;
        c.identity = &id[i];
        c.peer = id[!i].key;
        c.rng = rng;
        c.alloc = (struct bk_alloc){get, put, NULL};
        c.local_tag = (uint32_t)i + 1;
        c.remote_tag = (uint32_t)!i + 1;
        check(quic_new(&c, b->now, &b->end[i]), "new");
    }
    identity_fini(&id[0]);
    identity_fini(&id[1]);
}

/* Moves every train that is ready; true: there was one. */
static bool carry(struct bench *b, int from) {
    size_t len = 0, segment = 0;
    bool any = false;
    struct bk_time now = b->now = bk_after(b->now, 100);
    quic_advance(b->end[from], now);
    while (quic_next_train(b->end[from], b->train, sizeof b->train, b->payload_max, now, &len,
                           &segment)) {
        check(quic_recv_train(b->end[!from], b->train, len, segment, now), "recv");
        b->trains += from == 0;
        any = true;
    }
    return any;
}

static bool told(struct bench *b, int end, enum quic_event_type type) {
    struct quic_event ev;
    bool found = false;
    while (quic_next_event(b->end[end], &ev)) {
        found |= ev.type == type;
        if (ev.type == QUIC_CLOSED) {
            fprintf(stderr, "quic_loopback: closed: %s\n", ev.reason);
            exit(1);
        }
    }
    return found;
}

static uint64_t read_all(struct bench *b, int64_t id) {
    const uint8_t *data = NULL;
    size_t len = 0;
    uint64_t total = 0;
    while (quic_stream_peek(b->end[1], id, &data, &len) && len > 0) {
        total += len;
        quic_stream_consume(b->end[1], id, len);
    }
    return total;
}

static uint64_t stream_round(struct bench *b, int64_t id) {
    static uint8_t bytes[65536];
    while (quic_stream_write(b->end[0], id, bytes, sizeof bytes) == sizeof bytes) {}
    (void)carry(b, 0);
    uint64_t got = read_all(b, id);
    (void)carry(b, 1);
    (void)told(b, 0, QUIC_CLOSED);
    (void)told(b, 1, QUIC_CLOSED);
    return got;
}

static uint64_t datagram_round(struct bench *b) {
    static uint8_t bytes[1350];
    const uint8_t *data = NULL;
    size_t len = 0;
    uint64_t got = 0;
    for (int i = 0; i < 150; i++)
        if (quic_datagram_send(b->end[0], bytes, sizeof bytes) != BK_OK)
            break;
    (void)carry(b, 0);
    for (; quic_datagram_peek(b->end[1], &data, &len); quic_datagram_drop(b->end[1]))
        got += len;
    (void)carry(b, 1);
    return got;
}

static void run(const char *what, size_t payload_max, bool datagrams, uint64_t total) {
    static struct bench b;
    int64_t id = -1;
    b = (struct bench){.payload_max = payload_max, .now = {BK_US_PER_S}};
    start(&b);
    while (!quic_is_established(b.end[0]) || !quic_is_established(b.end[1])) {
        (void)carry(&b, 0);
        (void)carry(&b, 1);
    }
    check(quic_stream_open(b.end[0], &id), "open");
    struct bk_time wall = clock_now(CLOCK_MONOTONIC), cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t moved = 0;
    while (moved < total)
        moved += datagrams ? datagram_round(&b) : stream_round(&b, id);
    double wall_s = (double)bk_elapsed_us(wall, clock_now(CLOCK_MONOTONIC)) / 1e6;
    double cpu_s = (double)bk_elapsed_us(cpu, clock_now(CLOCK_PROCESS_CPUTIME_ID)) / 1e6;
    struct quic_stats stats;
    quic_stats(b.end[0], &stats);
    unsigned long long lost = stats.packets_lost + stats.datagrams_lost;
    double gigabytes = (double)moved / 1e9;
    printf("%-28s %6.2f Gbit/s  %5.2f CPU-s/GB (both ends)  %5.1f packets/train  %llu lost\n", what,
           gigabytes * 8 / wall_s, cpu_s / gigabytes, (double)stats.packets_sent / (double)b.trains,
           lost);
    quic_free(b.end[0]);
    quic_free(b.end[1]);
}

int main(int argc, char **argv) {
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : UINT64_C(1000000000);
    run("quic stream, payload 1400", 1400, false, total);
    run("quic stream, payload 1200", 1200, false, total);
    run("quic datagrams of 1350", 1400, true, total);
    return 0;
}
