/* SPDX-License-Identifier: MIT
 * The data path: messages of 1200 bytes from one agent to another, beside two plain UDP sockets
 * with sendto() and recv(), in the same process and thread, over loopback. A burst is sent and
 * received, then the next one; the kinds take turns, medians of several rounds.
 *
 *   raw        sendto() for each message of a burst, then recv() until there is none
 *   message    bk_run_send() for each: the driver joins neighbours
 *   train      bk_run_send_train() for a burst
 *   raw, 1     sendto() and recv() of one message at a time: nothing can be joined
 *   message, 1 the same with agents: what a turn of the loop costs
 *
 * Goals: message at least 95 % of raw, train at least twice. */
#define _GNU_SOURCE /* NOLINT: sockets and getrusage() need it */
#include "ice_pairs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LEN = 1200, BURST = 50, ROUNDS = 9, ROUND_MS = 300, KINDS = 5 };

static const char *const names[KINDS] = {"raw", "message", "train", "raw, 1", "message, 1"};
static uint8_t data[BURST * LEN];
static size_t received;

static struct pairs pairs;
static int out_fd, in_fd;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct sockaddr_in to;

static int open_socket(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 4 << 20;
    struct sockaddr_in any = {.sin_family = AF_INET};
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof any) != 0)
        pairs_die("no socket");
    return fd;
}

static void raw_open(void) {
    socklen_t len = sizeof to;
    out_fd = open_socket();
    in_fd = open_socket();
    if (getsockname(in_fd, (struct sockaddr *)&to, &len) != 0)
        pairs_die("no address");
}

static void raw_burst(void) {
    static uint8_t in[65536];
    for (size_t i = 0; i < BURST; i++)
        if (sendto(out_fd, data + i * LEN, LEN, 0, (const struct sockaddr *)&to, sizeof to) != LEN)
            pairs_die("sendto failed");
    while (recv(in_fd, in, sizeof in, 0) == LEN)
        received++;
}

static void raw_one(void) {
    static uint8_t in[65536];
    if (sendto(out_fd, data, LEN, 0, (const struct sockaddr *)&to, sizeof to) != LEN ||
        recv(in_fd, in, sizeof in, 0) != LEN)
        pairs_die("a message got lost");
    received++;
}

static void on_data(void *ctx, struct bk_ice *ice, const struct bk_ice_data *d) {
    (void)ctx;
    (void)ice;
    received += d->len == LEN;
}

/* Turns the loop until the burst is there. */
static void drain(size_t until) {
    double limit = now_s() + 1;
    while (received < until && now_s() < limit)
        uv_run(&pairs.uv, UV_RUN_NOWAIT);
}

static void message_burst(void) {
    size_t until = received + BURST;
    for (size_t i = 0; i < BURST; i++)
        if (bk_run_send(pairs.runs[0], pairs.sides[0].ice, 0, 1, data + i * LEN, LEN) != BK_OK)
            pairs_die("bk_run_send failed");
    drain(until);
}

static void train_burst(void) {
    size_t until = received + BURST;
    if (bk_run_send_train(pairs.runs[0], pairs.sides[0].ice, 0, 1, data, sizeof data, LEN) != BK_OK)
        pairs_die("bk_run_send_train failed");
    drain(until);
}

static void message_one(void) {
    if (bk_run_send(pairs.runs[0], pairs.sides[0].ice, 0, 1, data, LEN) != BK_OK)
        pairs_die("bk_run_send failed");
    drain(received + 1);
}

struct result {
    double rate, cpu; /* messages a second; CPU seconds per million */
};

static struct result run_round(void (*burst)(void)) {
    double start = now_s(), cpu = cpu_s();
    received = 0;
    do {
        burst();
    } while (now_s() < start + ROUND_MS / 1e3);
    return (struct result){(double)received / (now_s() - start),
                           (cpu_s() - cpu) / (double)received * 1e6};
}

static int compare(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

int main(void) {
    static void (*const bursts[KINDS])(void) = {raw_burst, message_burst, train_burst, raw_one,
                                                message_one};
    static double rates[KINDS][ROUNDS], cpus[KINDS][ROUNDS];
    struct bk_ice_config config = bk_ice_config_default;
    config.ipv6 = false;
    raw_open();
    pairs.on_data = NULL;
    pairs_init(&pairs, 1);
    pairs.on_data = on_data;
    pairs_add(&pairs, &config, 1);
    for (int round = -1; round < ROUNDS; round++) /* the first one warms up */
        for (int kind = 0; kind < KINDS; kind++) {
            struct result r = run_round(bursts[kind]);
            rates[kind][round < 0 ? 0 : round] = r.rate;
            cpus[kind][round < 0 ? 0 : round] = r.cpu;
        }
    printf("messages of %d bytes, bursts of %d, loopback, one thread; medians of %d rounds\n", LEN,
           BURST, ROUNDS);
    printf("%-10s %14s %8s %22s\n", "", "messages/s", "of raw", "CPU s per million");
    double raw = median(rates[0]), raw_1 = median(rates[3]);
    for (int kind = 0; kind < KINDS; kind++) {
        double rate = median(rates[kind]), cpu = median(cpus[kind]);
        raw = kind < 3 ? raw : raw_1; /* the like of it */
        printf("%-10s %14.0f %7.0f%% %22.2f\n", names[kind], rate, rate / raw * 100, cpu);
        printf("{\"bench\":\"ice_data\",\"kind\":\"%s\",\"per_s\":%.0f,\"of_raw\":%.3f,"
               "\"cpu_s_per_million\":%.3f}\n",
               names[kind], rate, rate / raw, cpu);
    }
    pairs_fini(&pairs);
    close(out_fd);
    close(in_fd);
    return 0;
}
