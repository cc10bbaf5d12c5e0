/* SPDX-License-Identifier: MIT
 * Datagrams one by one, where there is nothing better. The local address of a received datagram is
 * the bound one: programs for such systems bind a socket per interface address. */
#ifndef __linux__
#include "net/batch.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_int(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void set_options(int fd, bool v6, const struct net_udp_config *config) {
    if (config->reuse_port)
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (config->sndbuf > 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, config->sndbuf);
    if (config->rcvbuf > 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, config->rcvbuf);
    if (v6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, config->v6only ? 1 : 0);
}

enum bk_err batch_open(const struct bk_addr *bind_to, const struct net_udp_config *config,
                       struct batch_socket *out) {
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(bind_to, false, &sa);
    if (len == 0)
        return BK_ERR_ARGUMENT;
    struct batch_socket s = {.v6 = bind_to->ip.family == BK_IPV6};
    s.fd = socket(sa.any.sa_family, SOCK_DGRAM, 0);
    if (s.fd < 0)
        return loop_err(errno);
    set_options(s.fd, s.v6, config);
    if (fcntl(s.fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(s.fd, F_SETFD, FD_CLOEXEC) != 0 ||
        bind(s.fd, &sa.any, len) != 0 || getsockname(s.fd, &sa.any, &len) != 0) {
        int error = errno;
        close(s.fd);
        return loop_err(error);
    }
    sockaddr_to(&sa, &s.local);
    *out = s;
    return BK_OK;
}

void batch_close(struct batch_socket *s) {
    close(s->fd);
}

size_t batch_recv(struct batch_socket *s, uint8_t *rx, struct bk_datagram *out, size_t *truncated,
                  bool *more) {
    size_t n = 0;
    (void)truncated;
    while (n < NET_UDP_BATCH) {
        union net_sockaddr sa;
        socklen_t len = sizeof sa;
        uint8_t *slot = rx + n * NET_RX_SLOT;
        ssize_t got = recvfrom(s->fd, slot, NET_RX_SLOT, 0, &sa.any, &len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        out[n] = (struct bk_datagram){.local = s->local, .data = slot, .len = (size_t)got};
        sockaddr_to(&sa, &out[n].remote);
        n++;
    }
    *more = n == NET_UDP_BATCH;
    return n;
}

size_t batch_send(struct batch_socket *s, const struct bk_datagram *out, size_t count, int *error) {
    for (size_t i = 0; i < count; i++) {
        union net_sockaddr sa;
        socklen_t len = sockaddr_from(&out[i].remote, s->v6, &sa);
        ssize_t sent;
        do {
            sent = sendto(s->fd, out[i].data, out[i].len, 0, &sa.any, len);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0) {
            *error = errno;
            return i;
        }
    }
    return count;
}

#else
typedef int batch_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
