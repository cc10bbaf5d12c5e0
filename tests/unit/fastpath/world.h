/* SPDX-License-Identifier: MIT
 * A client, a server and a peer in network namespaces of their own:
 *
 *     client c0 192.0.2.2  ----- s0 192.0.2.1     server     s1 198.51.100.1 ----- p0 198.51.100.2
 * peer 2001:db8:1::2       2001:db8:1::1                2001:db8:2::1        2001:db8:2::2
 *
 * The test's process is in the server's; sockets are made in the others. Virtual links send what
 * is checksummed by nobody (CHECKSUM_PARTIAL), unless told otherwise. For tests and measurements.
 */
#ifndef TESTS_FASTPATH_WORLD_H
#define TESTS_FASTPATH_WORLD_H

#include "fastpath/fastpath.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What cannot fail where this could be made. */
static inline void world_need(bool done, const char *what) {
    if (done)
        return;
    perror(what);
    abort();
}

enum world_side { CLIENT, SERVER, PEER, SIDES };

struct world {
    bool ready;
    int home, ns[SIDES];
    char why[FASTPATH_REASON_MAX];
};

static inline void world_enter(const struct world *w, enum world_side side) {
    world_need(setns(w->ns[side], CLONE_NEWNET) == 0, "setns");
}

/* A command in one of the namespaces, quietly. */
static inline bool world_run(const struct world *w, enum world_side side, const char *command) {
    char line[700];
    (void)snprintf(line, sizeof line, "(%.600s) >/dev/null 2>&1", command);
    world_enter(w, side);
    int status = system(line); // NOLINT: the test's own commands
    world_enter(w, SERVER);
    return status == 0;
}

/* One of ethtool's switches: ETHTOOL_SGRO, ETHTOOL_STXCSUM ... */
static inline bool world_switch(const struct world *w, enum world_side side, const char *name,
                                uint32_t command, uint32_t value) {
    struct ethtool_value v = {command, value};
    struct ifreq r = {0};
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    r.ifr_data = (void *)&v;
    world_enter(w, side);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool done = ioctl(fd, SIOCETHTOOL, &r) == 0;
    (void)close(fd);
    world_enter(w, SERVER);
    return done;
}

/* A link, and both ends know each other without asking. */
static inline bool world_link(const struct world *w, const char *ours, const char *theirs,
                              enum world_side side, const char *net4, const char *net6) {
    char line[600];
    (void)snprintf(line, sizeof line,
                   "ip link add %s address 02:00:00:00:%02d:01 type veth peer name %s "
                   "address 02:00:00:00:%02d:02 && ip link set %s netns /proc/%d/fd/%d && "
                   "ip addr add %s.1/24 dev %s && ip addr add %s::1/64 dev %s nodad && "
                   "ip link set %s up",
                   ours, (int)side, theirs, (int)side, theirs, (int)getpid(), w->ns[side], net4,
                   ours, net6, ours, ours);
    if (!world_run(w, SERVER, line))
        return false;
    (void)snprintf(line, sizeof line,
                   "for to in %s.2 %s::2; do ip neigh add $to lladdr 02:00:00:00:%02d:02 dev %s "
                   "|| exit 1; done",
                   net4, net6, (int)side, ours);
    if (!world_run(w, SERVER, line))
        return false;
    (void)snprintf(line, sizeof line,
                   "ip link set lo up; ip addr add %s.2/24 dev %s && "
                   "ip addr add %s::2/64 dev %s nodad && ip link set %s up && "
                   "for to in %s.1 %s::1; do ip neigh add $to lladdr 02:00:00:00:%02d:01 dev %s "
                   "|| exit 1; done",
                   net4, theirs, net6, theirs, theirs, net4, net6, (int)side, theirs);
    /* GRO gives a link the queue that XDP of its other end sends into. */
    return world_run(w, side, line) && world_switch(w, side, theirs, ETHTOOL_SGRO, 1);
}

static inline bool world_make(struct world *w) {
    *w = (struct world){.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    for (int i = 0; i < SIDES; i++) {
        if (unshare(CLONE_NEWNET) != 0) {
            (void)snprintf(w->why, sizeof w->why, "no namespaces here: %s", strerror(errno));
            return false;
        }
        w->ns[i] = open("/proc/self/ns/net", O_RDONLY); /* inherited by ip(8) */
    }
    world_enter(w, SERVER);
    w->ready = world_run(w, SERVER, "ip link set lo up") &&
               world_link(w, "s0", "c0", CLIENT, "192.0.2", "2001:db8:1") &&
               world_link(w, "s1", "p0", PEER, "198.51.100", "2001:db8:2");
    if (!w->ready)
        (void)snprintf(w->why, sizeof w->why, "the links cannot be made with ip(8)");
    return w->ready;
}

static inline void world_end(struct world *w) {
    if (w->home <= 0)
        return;
    (void)setns(w->home, CLONE_NEWNET);
    for (int i = 0; i < SIDES; i++)
        if (w->ns[i] > 0)
            (void)close(w->ns[i]);
    (void)close(w->home);
}

static inline struct bk_addr world_addr(const char *text) {
    struct bk_addr a;
    world_need(bk_addr_parse(text, &a) == BK_OK, text);
    return a;
}

/* A UDP socket of `side`, bound; it waits at most `wait_ms` for what it receives. */
static inline int world_socket(const struct world *w, enum world_side side, const char *bind_to,
                               int wait_ms) {
    union net_sockaddr sa;
    const struct bk_addr a = world_addr(bind_to);
    const struct timeval patience = {wait_ms / 1000, wait_ms % 1000 * 1000};
    int size = 8 << 20;
    world_enter(w, side);
    int fd = socket(a.ip.family == BK_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    world_enter(w, SERVER);
    world_need(fd >= 0, "socket");
    socklen_t len = sockaddr_from(&a, a.ip.family == BK_IPV6, &sa);
    world_need(bind(fd, &sa.any, len) == 0, bind_to);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
}

static inline void world_send(int fd, const char *to, const void *bytes, size_t len) {
    union net_sockaddr sa;
    const struct bk_addr a = world_addr(to);
    socklen_t sa_len = sockaddr_from(&a, a.ip.family == BK_IPV6, &sa);
    world_need(sendto(fd, bytes, len, 0, &sa.any, sa_len) == (ssize_t)len, to);
}

#endif
