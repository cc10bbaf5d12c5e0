/* SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: recvmmsg() and in6_pktinfo needs it */
#include "net/batch.h"

#include "net/control_linux.h"
#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONTROL_MAX = 160, /* pktinfo, ttl, tos and segment size need 112 */
    LONE_CALLS = 8     /* a burst waits for so many turns of the loop at most */
};

struct control {
    _Alignas(struct cmsghdr) uint8_t bytes[CONTROL_MAX];
};

static void set_int(int fd, int level, int name, int value) {
    /* What an old kernel does not know, we do without. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void set_buffer(int fd, int name, int force_name, int bytes) {
    if (bytes <= 0)
        return;
    /* With CAP_NET_ADMIN beyond net.core.{r,w}mem_max, otherwise up to it. */
    if (setsockopt(fd, SOL_SOCKET, force_name, &bytes, sizeof bytes) != 0)
        set_int(fd, SOL_SOCKET, name, bytes);
}

static void set_options(struct batch_socket *s, const struct net_udp_config *config,
                        bool wildcard) {
    int fd = s->fd;
    int probe = 1;
    if (config->reuse_port)
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, config->sndbuf);
    set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, config->rcvbuf);
    set_int(fd, IPPROTO_IP, IP_RECVTOS, 1); /* an IPv6 socket carries IPv4 too */
    if (config->dont_fragment)
        set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (wildcard && !s->v6)
        set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (s->v6) {
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, config->v6only ? 1 : 0);
        set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        if (wildcard)
            set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        if (config->dont_fragment)
            set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    }
    s->gro = config->gro && setsockopt(fd, SOL_UDP, UDP_GRO, &probe, sizeof probe) == 0;
    probe = 0;
    s->gso = setsockopt(fd, SOL_UDP, UDP_SEGMENT, &probe, sizeof probe) == 0;
}

enum bk_err batch_open(const struct bk_addr *bind_to, const struct net_udp_config *config,
                       struct batch_socket *out) {
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(bind_to, false, &sa);
    if (len == 0)
        return BK_ERR_ARGUMENT;
    struct batch_socket s = {.v6 = bind_to->ip.family == BK_IPV6};
    s.fd = socket(sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    if (s.fd < 0)
        return loop_err(errno);
    set_options(&s, config, bk_ip_is_any(&bind_to->ip));
    if (bind(s.fd, &sa.any, len) != 0 || getsockname(s.fd, &sa.any, &len) != 0) {
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

static void read_message(const struct batch_socket *s, struct mmsghdr *m, struct bk_datagram *d) {
    *d = (struct bk_datagram){
        .local = s->local, .data = m->msg_hdr.msg_iov->iov_base, .len = m->msg_len};
    sockaddr_to(m->msg_hdr.msg_name, &d->remote);
    control_read(&m->msg_hdr, d);
}

/* recvmmsg() of one is dearer than recvmsg(). */
static int receive(int fd, struct mmsghdr *messages, size_t count) {
    if (count > 1)
        return recvmmsg(fd, messages, (unsigned)count, 0, NULL);
    ssize_t got = recvmsg(fd, &messages[0].msg_hdr, 0);
    messages[0].msg_len = got < 0 ? 0 : (unsigned)got;
    return got < 0 ? -1 : 1;
}

/* Where datagrams come one by one, asking for another costs more than the turn of the loop that it
 * saves now and then. */
static void expect(struct batch_socket *s, size_t asked, int got, const struct bk_datagram *out) {
    if (got == 1 && out->segment == 0)
        s->lone = asked == 1 ? s->lone - 1 : LONE_CALLS;
    else if (got > 0)
        s->lone = 0;
}

size_t batch_recv(struct batch_socket *s, uint8_t *rx, struct bk_datagram *out, size_t *truncated,
                  bool *more) {
    const size_t asked = s->lone > 0 ? 1 : NET_UDP_BATCH;
    struct mmsghdr messages[NET_UDP_BATCH];
    struct iovec iov[NET_UDP_BATCH];
    union net_sockaddr names[NET_UDP_BATCH];
    struct control controls[NET_UDP_BATCH];
    for (size_t i = 0; i < asked; i++) {
        iov[i] = (struct iovec){rx + i * NET_RX_SLOT, NET_RX_SLOT};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                              .msg_namelen = sizeof names[i],
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1,
                                              /* The kernel writes it before we read. */
                                              /* cppcheck-suppress [uninitvar, legacyUninitvar] */
                                              .msg_control = controls[i].bytes,
                                              .msg_controllen = CONTROL_MAX};
    }
    int got = receive(s->fd, messages, asked);
    *more = got == NET_UDP_BATCH || (got < 0 && errno == EINTR);
    size_t n = 0;
    for (int i = 0; i < got; i++) {
        if ((messages[i].msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
            (*truncated)++;
        else
            read_message(s, &messages[i], &out[n++]);
    }
    expect(s, asked, n == 0 ? -1 : got, out);
    return n;
}

static void write_message(const struct batch_socket *s, const struct bk_datagram *d,
                          struct msghdr *m, struct iovec *iov, union net_sockaddr *name,
                          struct control *control) {
    bool v4 = d->remote.ip.family == BK_IPV4;
    union { /* the kernel takes the bytes, and will not write them */
        const uint8_t *in;
        void *out;
    } data = {.in = d->data};
    *iov = (struct iovec){data.out, d->len};
    *m = (struct msghdr){
        .msg_name = name, .msg_iov = iov, .msg_iovlen = 1, .msg_control = control->bytes};
    m->msg_namelen = sockaddr_from(&d->remote, s->v6, name);
    memset(control->bytes, 0, sizeof control->bytes);
    if (d->local.ip.family == d->remote.ip.family && !bk_ip_is_any(&d->local.ip) &&
        !bk_ip_equal(&d->local.ip, &s->local.ip))
        control_add_source(m, &d->local.ip);
    int ttl = d->ttl, tos = d->ecn;
    if (ttl != 0)
        control_add(m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, &ttl,
                    sizeof ttl);
    if (tos != 0)
        control_add(m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
    if (d->segment != 0 && d->segment < d->len) {
        uint16_t segment = (uint16_t)d->segment;
        control_add(m, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    }
    if (m->msg_controllen == 0)
        m->msg_control = NULL;
}

size_t batch_send(struct batch_socket *s, const struct bk_datagram *out, size_t count, int *error) {
    struct mmsghdr messages[BATCH_SEND_MAX];
    struct iovec iov[BATCH_SEND_MAX];
    union net_sockaddr names[BATCH_SEND_MAX];
    struct control controls[BATCH_SEND_MAX];
    for (size_t i = 0; i < count; i++)
        write_message(s, &out[i], &messages[i].msg_hdr, &iov[i], &names[i], &controls[i]);
    int sent;
    do {
        if (count > 1)
            sent = sendmmsg(s->fd, messages, (unsigned)count, 0);
        else
            sent = sendmsg(s->fd, &messages[0].msg_hdr, 0) < 0 ? -1 : 1; /* it costs less */
    } while (sent < 0 && errno == EINTR);
    if (sent > 0)
        return (size_t)sent;
    *error = sent < 0 ? errno : EAGAIN;
    return 0;
}

#else
typedef int batch_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
