/* SPDX-License-Identifier: MIT
 * The least a relay can cost with sockets: turn_floor plain|gro ADDRESS PORT RELAY-ADDRESS. It says
 * yes to every Allocate and ChannelBind without looking at anything, and forwards: with recvfrom
 * and sendto, or whole trains with UDP_GRO and UDP_SEGMENT. One thread, epoll. It stands on nothing
 * of bodkin, as it is what bodkin is measured against. A client is known by its port alone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 20, TRAIN = 65536, SEGMENTS = 64, EVENTS = 256 };
enum { ALLOCATE = 0x0003, REFRESH = 0x0004, CREATE_PERMISSION = 0x0008, CHANNEL_BIND = 0x0009 };

static struct relay {
    int fd;
    uint16_t channel;
    struct sockaddr_in client;
} relays[65536]; /* by the client's port */

static int door, poller;
static bool gro;
static in_addr_t relay_address;

static void check(bool ok, const char *what) {
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int open_socket(in_addr_t address, uint16_t port, uint32_t name) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), room = 4 << 20, on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = name};
    a.sin_addr.s_addr = address;
    check(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0, "bind");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (gro)
        check(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0, "UDP_GRO");
    check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) == 0, "epoll");
    return fd;
}

/* ---- control ------------------------------------------------------------------------------ */

static uint8_t *put_xor_addr(uint8_t *at, uint16_t type, const struct sockaddr_in *a) {
    uint16_t port = ntohs(a->sin_port) ^ 0x2112;
    uint32_t ip = ntohl(a->sin_addr.s_addr) ^ 0x2112a442;
    const uint8_t bytes[12] = {(uint8_t)(type >> 8),
                               (uint8_t)type,
                               0,
                               8,
                               0,
                               1,
                               (uint8_t)(port >> 8),
                               (uint8_t)port,
                               (uint8_t)(ip >> 24),
                               (uint8_t)(ip >> 16),
                               (uint8_t)(ip >> 8),
                               (uint8_t)ip};
    memcpy(at, bytes, sizeof bytes);
    return at + sizeof bytes;
}

static void read_bind(struct relay *r, const uint8_t *m, size_t len) {
    struct sockaddr_in peer = {.sin_family = AF_INET};
    for (size_t at = HEADER; at + 8 <= len;
         at += 4 + ((((unsigned)m[at + 2] << 8 | m[at + 3]) + 3) & ~3u)) {
        unsigned type = (unsigned)m[at] << 8 | m[at + 1];
        const uint8_t *v = m + at + 4;
        if (type == 0x000c)
            r->channel = (uint16_t)(v[0] << 8 | v[1]);
        if (type == 0x0012 && at + 12 <= len) {
            peer.sin_port = htons((uint16_t)((v[2] << 8 | v[3]) ^ 0x2112));
            peer.sin_addr.s_addr =
                htonl(((uint32_t)v[4] << 24 | (uint32_t)v[5] << 16 | (uint32_t)v[6] << 8 | v[7]) ^
                      0x2112a442);
        }
    }
    (void)connect(r->fd, (struct sockaddr *)&peer, sizeof peer);
}

static void answer(const uint8_t *m, size_t len, const struct sockaddr_in *from) {
    struct relay *r = &relays[ntohs(from->sin_port)];
    unsigned type = (unsigned)m[0] << 8 | m[1];
    struct sockaddr_in local;
    socklen_t local_len = sizeof local;
    uint8_t out[128], *at = out + HEADER;
    memcpy(out, m, HEADER);
    if (type == ALLOCATE && r->fd == 0)
        r->fd = open_socket(relay_address, 0, ntohs(from->sin_port));
    r->client = *from;
    if (type == ALLOCATE) {
        check(getsockname(r->fd, (struct sockaddr *)&local, &local_len) == 0, "getsockname");
        at = put_xor_addr(at, 0x0016, &local);
        at = put_xor_addr(at, 0x0020, from);
    } else if (type == CHANNEL_BIND && r->fd != 0) {
        read_bind(r, m, len);
    }
    if (type == ALLOCATE || type == REFRESH) {
        static const uint8_t lifetime[8] = {0, 0x0d, 0, 4, 0, 0, 2, 0x58};
        memcpy(at, lifetime, sizeof lifetime);
        at += sizeof lifetime;
    }
    out[0] |= 1; /* success */
    out[2] = 0;
    out[3] = (uint8_t)(at - out - HEADER);
    (void)sendto(door, out, (size_t)(at - out), 0, (const struct sockaddr *)from, sizeof *from);
}

/* ---- data, one by one --------------------------------------------------------------------- */

static void plain_up(void) {
    static uint8_t buf[2048];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t n;
    while ((n = recvfrom(door, buf, sizeof buf, 0, (struct sockaddr *)&from, &from_len)) > 0) {
        const struct relay *r = &relays[ntohs(from.sin_port)];
        if (n >= 4 && buf[0] >= 0x40 && r->fd != 0)
            (void)send(r->fd, buf + 4, (size_t)(buf[2] << 8 | buf[3]), 0);
        else if (n >= HEADER)
            answer(buf, (size_t)n, &from);
        from_len = sizeof from;
    }
}

static void plain_down(const struct relay *r) {
    static uint8_t buf[2048];
    ssize_t n;
    while ((n = recv(r->fd, buf + 4, sizeof buf - 4, 0)) >= 0) {
        buf[0] = (uint8_t)(r->channel >> 8);
        buf[1] = (uint8_t)r->channel;
        buf[2] = (uint8_t)(n >> 8);
        buf[3] = (uint8_t)n;
        (void)sendto(door, buf, (size_t)n + 4, 0, (const struct sockaddr *)&r->client,
                     sizeof r->client);
    }
}

/* ---- data, in trains ---------------------------------------------------------------------- */

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static ssize_t receive_train(int fd, uint8_t *buf, struct sockaddr_in *from, size_t *segment) {
    union control control;
    struct iovec io = {buf, TRAIN};
    struct msghdr m = {.msg_name = from,
                       .msg_namelen = sizeof *from,
                       .msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, 0);
    *segment = n > 0 ? (size_t)n : 0;
    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c != NULL; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            *segment = (size_t)size;
        }
    return n;
}

static void send_train(int fd, const struct sockaddr_in *to, struct iovec *io, size_t parts,
                       size_t segment, bool many) {
    union control control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = io, .msg_iovlen = parts};
    if (to != NULL) {
        m.msg_name = (void *)(uintptr_t)to;
        m.msg_namelen = sizeof *to;
    }
    if (many) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(uint16_t));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t size = (uint16_t)segment;
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    (void)sendmsg(fd, &m, 0);
}

static void gro_up(void) {
    static uint8_t buf[TRAIN];
    struct iovec io[SEGMENTS];
    struct sockaddr_in from;
    size_t segment;
    ssize_t n;
    while ((n = receive_train(door, buf, &from, &segment)) > 0) {
        const struct relay *r = &relays[ntohs(from.sin_port)];
        if (buf[0] < 0x40 || r->fd == 0) {
            if (n >= HEADER)
                answer(buf, segment, &from);
            continue;
        }
        size_t parts = 0;
        for (size_t at = 0; at + 4 < (size_t)n && parts < SEGMENTS; at += segment)
            io[parts++] = (struct iovec){buf + at + 4,
                                         (at + segment < (size_t)n ? segment : (size_t)n - at) - 4};
        send_train(r->fd, NULL, io, parts, segment - 4, parts > 1);
    }
}

static void gro_down(const struct relay *r) {
    static uint8_t buf[TRAIN], heads[SEGMENTS][4];
    struct iovec io[2 * SEGMENTS];
    struct sockaddr_in from;
    size_t segment;
    ssize_t n;
    while ((n = receive_train(r->fd, buf, &from, &segment)) > 0) {
        size_t parts = 0;
        for (size_t at = 0; at < (size_t)n && parts < SEGMENTS; at += segment, parts++) {
            size_t len = at + segment < (size_t)n ? segment : (size_t)n - at;
            const uint8_t head[4] = {(uint8_t)(r->channel >> 8), (uint8_t)r->channel,
                                     (uint8_t)(len >> 8), (uint8_t)len};
            memcpy(heads[parts], head, 4);
            io[2 * parts] = (struct iovec){heads[parts], 4};
            io[2 * parts + 1] = (struct iovec){buf + at, len};
        }
        send_train(door, &r->client, io, 2 * parts, segment + 4, parts > 1);
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    const struct rlimit files = {1 << 17, 1 << 17};
    if (argc != 5)
        return fprintf(stderr, "turn_floor plain|gro ADDRESS PORT RELAY-ADDRESS\n"), 2;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    gro = strcmp(argv[1], "gro") == 0;
    relay_address = inet_addr(argv[4]);
    poller = epoll_create1(0);
    door = open_socket(inet_addr(argv[2]), (uint16_t)atoi(argv[3]), 0);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            const struct relay *r = &relays[events[i].data.u32];
            if (events[i].data.u32 == 0)
                gro ? gro_up() : plain_up();
            else
                gro ? gro_down(r) : plain_down(r);
        }
    }
}
