/* SPDX-License-Identifier: MIT
 * The data path: messages of 1200 and of 100 bytes from one agent to another, beside two plain UDP
 * sockets with sendto() and recv(), in the same process and thread, over loopback. A burst is sent
 * and received, then the next one; the kinds take turns, medians of several rounds.
 *
 *   raw        sendto() for each message of a burst, then recv() until there is none
 *   message    bk_run_send() for each: the driver joins neighbours
 *   train      bk_run_send_train() for a burst
 *   raw, 1     sendto() and recv() of one message at a time: nothing can be joined, and nobody
 * waits loop, 1    the same by a program that waits for it: sendto(), a turn of libuv, recv()
 *   message, 1 the same with agents
 *
 * "Send" is the time in the sending call alone, where messages go one by one.
 * Goals: message at least 95 % of raw, train at least twice. */
#define _GNU_SOURCE /* NOLINT: sockets and getrusage() need it */
#include "ice_pairs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LEN_MAX = 1200, BURST = 50, ROUNDS = 9, ROUND_MS = 200, KINDS = 6, SINGLE = 3 };

static const char *const names[KINDS] = {"raw",    "message", "train",
                                         "raw, 1", "loop, 1", "message, 1"};
static uint8_t data[BURST * LEN_MAX];
static size_t length, received;
static double sending; /* seconds in the call */

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
        if (sendto(out_fd, data + i * length, length, 0, (const struct sockaddr *)&to, sizeof to) !=
            (ssize_t)length)
            pairs_die("sendto failed");
    while (recv(in_fd, in, sizeof in, 0) == (ssize_t)length)
        received++;
}

static void raw_send_one(void) {
    double start = now_s();
    if (sendto(out_fd, data, length, 0, (const struct sockaddr *)&to, sizeof to) != (ssize_t)length)
        pairs_die("sendto failed");
    sending += now_s() - start;
}

/* false: it is not there yet, which a busy machine makes happen. */
static bool raw_recv_one(void) {
    static uint8_t in[65536];
    bool came = recv(in_fd, in, sizeof in, 0) == (ssize_t)length;
    received += came;
    return came;
}

static void raw_one(void) {
    double limit = now_s() + 1;
    raw_send_one();
    while (!raw_recv_one())
        if (now_s() > limit)
            pairs_die("a message got lost");
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)poll;
    (void)status;
    (void)events;
    (void)raw_recv_one();
}

static void on_data(void *ctx, struct bk_ice *ice, const struct bk_ice_data *d) {
    (void)ctx;
    (void)ice;
    received += d->len == length;
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
        if (bk_run_send(pairs.runs[0], pairs.sides[0].ice, 0, 1, data + i * length, length) !=
            BK_OK)
            pairs_die("bk_run_send failed");
    drain(until);
}

static void train_burst(void) {
    size_t until = received + BURST;
    if (bk_run_send_train(pairs.runs[0], pairs.sides[0].ice, 0, 1, data, BURST * length, length) !=
        BK_OK)
        pairs_die("bk_run_send_train failed");
    drain(until);
}

static void loop_one(void) {
    raw_send_one();
    drain(received + 1);
}

static void message_one(void) {
    double start = now_s();
    if (bk_run_send(pairs.runs[0], pairs.sides[0].ice, 0, 1, data, length) != BK_OK)
        pairs_die("bk_run_send failed");
    sending += now_s() - start;
    drain(received + 1);
}

struct result {
    double rate, cpu, send; /* messages a second; CPU seconds per million; microseconds */
};

static struct result run_round(void (*burst)(void)) {
    double start = now_s(), cpu = cpu_s();
    received = 0;
    sending = 0;
    do {
        burst();
    } while (now_s() < start + ROUND_MS / 1e3);
    return (struct result){(double)received / (now_s() - start),
                           (cpu_s() - cpu) / (double)received * 1e6,
                           sending / (double)received * 1e6};
}

static int compare(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static struct result results[KINDS][ROUNDS];

/* The median of one of its fields over the rounds of a kind. */
static double middle(int kind, size_t field) {
    double values[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&results[kind][i] + field, sizeof values[i]);
    return median(values);
}

static void print_row(int kind) {
    /* A burst is measured by a burst, what goes one by one by those who wait, too. */
    static const int likes[KINDS] = {0, 0, 0, SINGLE, SINGLE, SINGLE};
    double rate = middle(kind, offsetof(struct result, rate));
    double cpu = middle(kind, offsetof(struct result, cpu));
    double send = middle(kind, offsetof(struct result, send));
    double of_raw = rate / middle(likes[kind], offsetof(struct result, rate));
    printf("%-10s %6zu %14.0f %7.0f%% %18.2f", names[kind], length, rate, of_raw * 100, cpu);
    if (kind >= SINGLE)
        printf(" %10.2f", send);
    printf(
        "\n{\"bench\":\"ice_data\",\"kind\":\"%s\",\"length\":%zu,\"per_s\":%.0f,\"of_raw\":%.3f,"
        "\"cpu_s_per_million\":%.3f,\"send_us\":%.3f}\n",
        names[kind], length, rate, of_raw, cpu, send);
}

static void measure(size_t len) {
    static void (*const bursts[KINDS])(void) = {raw_burst, message_burst, train_burst,
                                                raw_one,   loop_one,      message_one};
    length = len;
    for (int round = -1; round < ROUNDS; round++) /* the first one warms up */
        for (int kind = 0; kind < KINDS; kind++) {
            uv_poll_t poll;
            uv_poll_init(&pairs.uv, &poll, in_fd);
            if (bursts[kind] == loop_one)
                uv_poll_start(&poll, UV_READABLE, on_readable);
            results[kind][round < 0 ? 0 : round] = run_round(bursts[kind]);
            uv_close((uv_handle_t *)&poll, NULL);
            uv_run(&pairs.uv, UV_RUN_NOWAIT);
        }
    for (int kind = 0; kind < KINDS; kind++)
        print_row(kind);
}

int main(void) {
    struct bk_ice_config config = bk_ice_config_default;
    config.ipv6 = false;
    raw_open();
    pairs.on_data = NULL;
    pairs_init(&pairs, 1);
    pairs.on_data = on_data;
    pairs_add(&pairs, &config, 1);
    printf("bursts of %d, loopback, one thread; medians of %d rounds\n", BURST, ROUNDS);
    printf("%-10s %6s %14s %8s %18s %10s\n", "", "bytes", "messages/s", "of raw",
           "CPU s per million", "send, us");
    measure(LEN_MAX);
    measure(100);
    pairs_fini(&pairs);
    close(out_fd);
    close(in_fd);
    return 0;
}
