/* SPDX-License-Identifier: MIT
 * One socket per hop limit, and its error queue (IP_RECVERR, ip(7)): needs no privilege. */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: SOCK_CLOEXEC needs it */
#include "net/hops.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TIME_EXCEEDED = 11 }; /* RFC 792; another error comes from the end of the way */

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A socket whose only datagram has left with this hop limit; -1: none. */
static int probe(const struct bk_addr *to, int hops) {
    union net_sockaddr sa;
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    socklen_t len = sockaddr_from(to, false, &sa);
    if (connect(fd, &sa.any, len) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof hops) == 0 && send(fd, "", 0, 0) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* The router where the datagram died; unchanged: it met another error. */
static void read_error(int fd, struct bk_ip *out) {
    union {
        struct cmsghdr header;
        uint8_t bytes[512];
    } control;
    struct msghdr m = {.msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(fd, &m, MSG_ERRQUEUE) < 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        struct sock_extended_err e;
        struct sockaddr_in from;
        if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR ||
            c->cmsg_len < CMSG_LEN(sizeof e + sizeof from))
            continue;
        memcpy(&e, CMSG_DATA(c), sizeof e);
        memcpy(&from, CMSG_DATA(c) + sizeof e, sizeof from); /* SO_EE_OFFENDER() */
        bool died = e.ee_origin == SO_EE_ORIGIN_ICMP && e.ee_type == TIME_EXCEEDED;
        if (died && from.sin_family == AF_INET)
            sockaddr_ip4(&from.sin_addr, out);
    }
}

/* Waits for the next errors; how many sockets had one. */
static int collect(struct pollfd polls[NET_HOPS_MAX], int wait_ms, struct bk_ip *out) {
    int told = 0;
    if (poll(polls, NET_HOPS_MAX, wait_ms) <= 0)
        return 0;
    for (int i = 0; i < NET_HOPS_MAX; i++) {
        if (polls[i].fd < 0 || polls[i].revents == 0)
            continue;
        read_error(polls[i].fd, &out[i]);
        (void)close(polls[i].fd);
        polls[i].fd = -1; /* poll() passes over it from now on */
        told++;
    }
    return told;
}

enum bk_err net_hops_towards(const struct bk_addr *to, struct bk_ip out[NET_HOPS_MAX],
                             size_t *count) {
    struct pollfd polls[NET_HOPS_MAX];
    int left = 0;
    if (to->ip.family != BK_IPV4 || to->port == 0)
        return BK_ERR_ARGUMENT;
    memset(out, 0, NET_HOPS_MAX * sizeof *out);
    for (int i = 0; i < NET_HOPS_MAX; i++) {
        polls[i] = (struct pollfd){.fd = probe(to, i + 1)}; /* errors are always polled for */
        left += polls[i].fd >= 0 ? 1 : 0;
    }
    int64_t end = now_ms() + NET_HOPS_WAIT_MS;
    for (int64_t now = now_ms(); left > 0 && now < end; now = now_ms()) {
        int told = collect(polls, (int)(end - now), out);
        left -= told;
        if (told > 0 && now_ms() + NET_HOPS_QUIET_MS < end)
            end = now_ms() + NET_HOPS_QUIET_MS;
    }
    *count = 0;
    for (size_t i = 0; i < NET_HOPS_MAX; i++) {
        if (polls[i].fd >= 0)
            (void)close(polls[i].fd);
        *count = out[i].family != BK_FAMILY_NONE ? i + 1 : *count;
    }
    return BK_OK;
}

#else
typedef int hops_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
