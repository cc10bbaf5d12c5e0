/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/turn_socket.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* <linux/udp.h>; the C library has it since glibc 2.27 */
#endif

enum { CONTROL = 128 };

int turn_socket(const struct bk_addr *from, const struct bk_addr *to) {
    union net_sockaddr sa;
    uint8_t family = from->ip.family != BK_FAMILY_NONE ? from->ip.family : to->ip.family;
    int fd = socket(family == BK_IPV6 ? AF_INET6 : AF_INET,
                    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sockaddr_from(from, false, &sa);
    if (fd >= 0 && len > 0 && bind(fd, &sa.any, len) != 0) {
        close(fd);
        return -1;
    }
    len = sockaddr_from(to, false, &sa);
    if (fd >= 0 && len > 0 && connect(fd, &sa.any, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct bk_addr turn_socket_local(int fd) {
    union net_sockaddr sa;
    struct bk_addr addr = {.port = 0};
    socklen_t len = sizeof sa;
    if (getsockname(fd, &sa.any, &len) == 0)
        sockaddr_to(&sa, &addr);
    return addr;
}

void turn_socket_room(int fd, int bytes) {
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void turn_socket_stamp(int fd) {
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
}

size_t turn_socket_limit(void) {
    struct rlimit limit, more;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    more = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return more.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static socklen_t length_of(const union net_sockaddr *sa) {
    return sa->any.sa_family == AF_INET6 ? sizeof sa->v6 : sizeof sa->v4;
}

bool turn_send(int fd, const union net_sockaddr *to, const void *data, size_t len, size_t segment) {
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } control;
    struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (to != NULL) {
        m.msg_name = (void *)(uintptr_t)to;
        m.msg_namelen = length_of(to);
    }
    if (segment > 0 && segment < len) {
        memset(&control, 0, sizeof control);
        m.msg_control = &control;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t size = (uint16_t)segment;
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    return sendmsg(fd, &m, MSG_DONTWAIT) >= 0;
}

static void read_control(struct msghdr *m, struct turn_in *in, uint64_t *lost) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            in->stamp_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        } else if (c->cmsg_type == SO_RXQ_OVFL && lost != NULL) {
            uint32_t so_far;
            memcpy(&so_far, CMSG_DATA(c), sizeof so_far);
            *lost = so_far > *lost ? so_far : *lost;
        }
    }
}

size_t turn_recv(int fd, struct turn_in in[TURN_BATCH_MAX], uint64_t *lost) {
    static uint8_t data[TURN_BATCH_MAX][TURN_DATAGRAM];
    static union net_sockaddr from[TURN_BATCH_MAX];
    static _Alignas(struct cmsghdr) char control[TURN_BATCH_MAX][CONTROL];
    struct mmsghdr m[TURN_BATCH_MAX];
    struct iovec io[TURN_BATCH_MAX];
    memset(m, 0, sizeof m);
    for (size_t i = 0; i < TURN_BATCH_MAX; i++) {
        io[i] = (struct iovec){.iov_base = data[i], .iov_len = TURN_DATAGRAM};
        m[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                       .msg_namelen = sizeof from[i],
                                       .msg_iov = &io[i],
                                       .msg_iovlen = 1,
                                       .msg_control = control[i],
                                       .msg_controllen = CONTROL};
    }
    int n = recvmmsg(fd, m, TURN_BATCH_MAX, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        in[i] = (struct turn_in){.data = data[i], .len = m[i].msg_len, .from = &from[i]};
        read_control(&m[i].msg_hdr, &in[i], lost);
    }
    return n > 0 ? (size_t)n : 0;
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t turn_wall_ns(void) {
    return clock_ns(CLOCK_REALTIME);
}

int64_t turn_clock_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

void turn_sleep_until(int64_t at_ns) {
    static bool sharp;
    if (!sharp) /* 50 us late, which is the default, would be two packets at 40 000 a second */
        (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    sharp = true;
    struct timespec t = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
