/* SPDX-License-Identifier: MIT
 * What bench/lab.sh runs in the lab's hosts: small packets, and round trips.
 *
 *   bench-lab sink PORT SIZE                   counts datagrams of that size until it was quiet for
 *                                              a second; several at once where they come so
 * (UDP_GRO) bench-lab send ADDRESS PORT SIZE SECONDS SEGMENTS as fast as it can; SEGMENTS > 1: that
 * many with one system call and one walk through the stack (UDP_SEGMENT) bench-lab pong PORT
 * returns what it gets bench-lab ping ADDRESS PORT COUNT          round trips one after the other
 */
#define _GNU_SOURCE /* NOLINT: sendmmsg() and recvmmsg() need it */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

enum { BATCH = 64, SIZE_MAX_BYTES = 65000, PINGS_MAX = 1000000 };

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long number(const char *text) {
    return strtol(text, NULL, 10);
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int open_socket(const char *address, const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(port))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 64 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) /* root's */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    int failed = address == NULL ? bind(fd, (const struct sockaddr *)&a, sizeof a)
                                 : inet_pton(AF_INET, address, &a.sin_addr) != 1 ||
                                       connect(fd, (const struct sockaddr *)&a, sizeof a) != 0;
    if (failed) {
        perror("bench-lab");
        exit(2);
    }
    return fd;
}

static int sink(const char *port, size_t size) {
    static uint8_t bytes[BATCH][65536];
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    struct timeval patience = {.tv_sec = 1};
    int fd = open_socket(NULL, port), on = 1;
    uint64_t packets = 0;
    (void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
    int64_t first = 0, last = 0;
    for (int i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pieces[i], .msg_iovlen = 1}};
    }
    puts("ready");
    fflush(stdout);
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    double cpu = cpu_s();
    first = now_ns();
    while (got > 0) {
        for (int i = 0; i < got; i++)
            packets += (messages[i].msg_len + size - 1) / size;
        last = now_ns();
        got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    }
    double seconds = (double)(last - first) / 1e9;
    printf("received %llu pps %.0f cpu %.2f\n", (unsigned long long)packets,
           (double)packets / seconds, cpu_s() - cpu);
    return 0;
}

static int blast(char **argv) {
    static uint8_t bytes[SIZE_MAX_BYTES];
    struct mmsghdr messages[BATCH];
    int fd = open_socket(argv[0], argv[1]), size = (int)number(argv[2]),
        segments = (int)number(argv[4]);
    struct iovec piece = {bytes, (size_t)(size * segments)};
    int64_t end = now_ns() + (int64_t)(strtod(argv[3], NULL) * 1e9);
    uint64_t sent = 0;
    if (segments > 1 && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0) {
        perror("bench-lab: UDP_SEGMENT");
        return 2;
    }
    for (int i = 0; i < BATCH; i++)
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
    while (now_ns() < end) {
        int done = sendmmsg(fd, messages, BATCH, 0);
        sent += done > 0 ? (uint64_t)done * (uint64_t)segments : 0;
    }
    printf("sent %llu cpu %.2f\n", (unsigned long long)sent, cpu_s());
    return 0;
}

static _Noreturn void pong(const char *port) {
    struct sockaddr_in from;
    uint8_t bytes[2048];
    int fd = open_socket(NULL, port);
    puts("ready");
    fflush(stdout);
    for (;;) {
        socklen_t len = sizeof from;
        ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &len);
        if (got >= 0)
            (void)!sendto(fd, bytes, (size_t)got, 0, (struct sockaddr *)&from, len);
    }
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int ping(char **argv) {
    static int64_t took[PINGS_MAX];
    struct timeval patience = {.tv_sec = 1};
    uint8_t bytes[64] = {0};
    int fd = open_socket(argv[0], argv[1]), want = (int)number(argv[2]), count = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < want && i < PINGS_MAX; i++) {
        int64_t start = now_ns();
        (void)!send(fd, bytes, sizeof bytes, 0);
        if (recv(fd, bytes, sizeof bytes, 0) > 0)
            took[count++] = now_ns() - start;
    }
    if (count == 0)
        return 1;
    qsort(took, (size_t)count, sizeof *took, compare);
    printf("rtt_us %.1f p95_us %.1f answers %d of %d\n", (double)took[count / 2] / 1000,
           (double)took[count * 95 / 100] / 1000, count, want);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "sink") == 0)
        return sink(argv[2], (size_t)number(argv[3]));
    if (argc == 7 && strcmp(argv[1], "send") == 0)
        return blast(argv + 2);
    if (argc == 3 && strcmp(argv[1], "pong") == 0)
        pong(argv[2]);
    if (argc == 5 && strcmp(argv[1], "ping") == 0)
        return ping(argv + 2);
    fputs("bench/lab.sh uses this: sink PORT SIZE | send ADDRESS PORT SIZE SECONDS SEGMENTS | pong "
          "PORT | "
          "ping ADDRESS PORT COUNT\n",
          stderr);
    return 2;
}
