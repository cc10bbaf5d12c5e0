/* SPDX-License-Identifier: MIT
 * What every program hands to the core: memory, randomness, the time. The core takes none of them
 * by itself. */
#ifndef EXAMPLES_ENV_H
#define EXAMPLES_ENV_H

#include <bodkin/env.h>
#include <bodkin/time.h>

#include <arpa/inet.h>
#include <bodkin/addr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

static void *env_get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void env_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

/* Must be a cryptographic generator: passwords and transaction ids come from it. */
static void env_fill(void *ctx, void *out, size_t len) {
    (void)ctx;
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom((char *)out + done, len - done, 0);
        done += n > 0 ? (size_t)n : 0;
    }
}

static const struct bk_alloc env_alloc = {env_get, env_put, NULL};
static const struct bk_rng env_rng = {env_fill, NULL};

static inline struct bk_time env_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    struct bk_time now = {(int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000};
    return now;
}

/* Milliseconds until `deadline`, for poll(): rounded up, 0 when it is due, -1 for never. */
static inline int env_wait_ms(struct bk_time deadline) {
    if (bk_is_never(deadline))
        return -1;
    int64_t us = bk_elapsed_us(env_now(), deadline);
    return us <= 0 ? 0 : us >= 60000000 ? 60000 : (int)((us + 999) / 1000);
}

/* ---- IPv4 sockets ------------------------------------------------------------------------- */

static inline struct sockaddr_in env_sockaddr(const struct bk_addr *addr) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
    memcpy(&sa.sin_addr, addr->ip.bytes, 4);
    return sa;
}

static inline struct bk_addr env_addr(const struct sockaddr_in *sa) {
    const uint8_t *b = (const uint8_t *)&sa->sin_addr;
    return bk_addr(bk_ipv4(b[0], b[1], b[2], b[3]), ntohs(sa->sin_port));
}

/* A UDP socket on this address; port 0 picks one. *addr becomes what it is bound to. Ends the
 * program when there is none to be had. */
static inline int env_bind(struct bk_addr *addr) {
    struct sockaddr_in sa = env_sockaddr(addr);
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        perror("bind");
        exit(1);
    }
    *addr = env_addr(&sa);
    return fd;
}

/* What UDP cannot send is lost, like what the network loses. */
static inline void env_send(int fd, const struct bk_datagram *d) {
    struct sockaddr_in sa = env_sockaddr(&d->remote);
    (void)!sendto(fd, d->data, d->len, 0, (const struct sockaddr *)&sa, sizeof sa);
}

/* One datagram into buf[0..cap); false: there was none. */
static inline int env_recv(int fd, const struct bk_addr *local, uint8_t *buf, size_t cap,
                           struct bk_datagram *out) {
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;
    ssize_t n = recvfrom(fd, buf, cap, MSG_DONTWAIT, (struct sockaddr *)&sa, &len);
    memset(out, 0, sizeof *out);
    if (n < 0)
        return 0;
    out->local = *local;
    out->remote = env_addr(&sa);
    out->data = buf;
    out->len = (size_t)n;
    return 1;
}

#endif
