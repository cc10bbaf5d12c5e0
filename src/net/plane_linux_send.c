/* SPDX-License-Identifier: MIT
 * The batch tier's way out: a train is one message with a gather list and UDP_SEGMENT; trains of
 * one port go to the kernel together. */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: sendmmsg() and in6_pktinfo needs it */
#include "net/plane_linux.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/* --- messages ----------------------------------------------------------------------------------
 */

static void add_controls(struct msghdr *m, const struct plane_train *t, bool segmented) {
    bool v4 = t->remote.ip.family == BK_IPV4;
    const struct net_port *port = t->port;
    if (port->wildcard && t->local.ip.family == t->remote.ip.family && !bk_ip_is_any(&t->local.ip))
        control_add_source(m, &t->local.ip);
    if (t->ecn != 0) {
        int tos = t->ecn;
        control_add(m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
    }
    if (segmented) {
        uint16_t size = (uint16_t)t->size;
        control_add(m, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
    }
}

static struct iovec vector(const uint8_t *data, size_t len) {
    union { /* the kernel takes the bytes, and will not write them */
        const uint8_t *in;
        void *out;
    } pointer = {.in = data};
    return (struct iovec){pointer.out, len};
}

/* The gather list of datagrams from..from+count of a piece. */
static size_t gather(const struct plane_piece *piece, uint32_t from, uint32_t count,
                     struct iovec *iov) {
    const uint8_t *data = piece->data + (size_t)from * piece->stride;
    size_t n = 0;
    if (piece->head_len == 0 && piece->stride == piece->size) {
        iov[0] = vector(data, (size_t)piece->size * count);
        return 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (piece->head_len > 0)
            iov[n++] = vector(piece->head, piece->head_len);
        iov[n++] = vector(data + (size_t)i * piece->stride, piece->size);
    }
    return n;
}

static size_t vectors_of(const struct plane_train *t) {
    return (size_t)t->count * 2;
}

static void start_message(struct plane_linux *own, size_t k, const struct plane_train *t,
                          bool segmented, struct iovec *iov) {
    struct msghdr *m = &own->out[k].msg_hdr;
    *m = (struct msghdr){
        .msg_name = &own->out_names[k], .msg_iov = iov, .msg_control = own->out_controls[k].bytes};
    m->msg_namelen = sockaddr_from(&t->remote, t->port->v6, &own->out_names[k]);
    add_controls(m, t, segmented);
    if (m->msg_controllen == 0)
        m->msg_control = NULL;
}

static size_t write_train(struct net_plane *p, size_t k, const struct plane_train *t,
                          struct iovec *iov) {
    struct plane_linux *own = p->own;
    start_message(own, k, t, t->count > 1, iov);
    size_t n = 0;
    for (uint32_t i = t->first; i != PLANE_NONE; i = p->pieces[i].next)
        n += gather(&p->pieces[i], 0, p->pieces[i].count, iov + n);
    own->out[k].msg_hdr.msg_iovlen = n;
    return n;
}

/* --- sending -----------------------------------------------------------------------------------
 */

static struct bk_ip *plain_place(struct plane_linux *own, const struct bk_ip *ip) {
    uint32_t hash = 0;
    for (size_t i = 0; i < sizeof ip->bytes; i++)
        hash = hash * 31 + ip->bytes[i];
    return &own->plain[hash % PLANE_PLAIN];
}

static bool is_plain(struct plane_linux *own, const struct plane_train *t) {
    return t->count > 1 && bk_ip_equal(plain_place(own, &t->remote.ip), &t->remote.ip);
}

/* An error that an earlier datagram left behind is not this one's: once more. */
static int send_message(int fd, const struct msghdr *m) {
    for (int tries = 0;; tries++) {
        if (sendmsg(fd, m, 0) >= 0)
            return 0;
        if (tries > 0 || (errno != EINTR && errno != ECONNREFUSED && errno != EHOSTUNREACH))
            return errno;
    }
}

/* RFC 8656 section 14: there is no control message for it, and it is rare. */
static void set_fragmentation(struct net_port *port, bool dont) {
    int v4 = dont ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
    int v6 = dont ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT;
    if (port->dont_fragment == dont)
        return;
    (void)setsockopt(port->fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4);
    if (port->v6)
        (void)setsockopt(port->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6);
    port->dont_fragment = dont;
}

static void send_singly(struct net_plane *p, const struct plane_train *t) {
    struct plane_linux *own = p->own;
    struct iovec iov[2];
    start_message(own, 0, t, false, iov);
    for (uint32_t i = t->first; i != PLANE_NONE; i = p->pieces[i].next) {
        const struct plane_piece *piece = &p->pieces[i];
        for (uint32_t d = 0; d < piece->count; d++) {
            struct plane_train one = {.count = 1, .bytes = piece->head_len + piece->size};
            own->out[0].msg_hdr.msg_iovlen = gather(piece, d, 1, iov);
            int error = send_message(t->port->fd, &own->out[0].msg_hdr);
            if (error == 0)
                plane_count_sent(p, &one);
            else
                plane_count_lost(p, 1, error);
        }
    }
}

/* The kernel did not take a train. EIO: the route's device cannot checksum (a TUN, IPsec); it will
 * not learn to. EINVAL and EMSGSIZE: these segments exceed this route's MTU, others may not. */
static void handle_refusal(struct net_plane *p, const struct plane_train *t, int error) {
    struct plane_linux *own = p->own;
    if (t->count == 1 ||
        (error != EIO && error != EINVAL && error != EMSGSIZE && error != EOPNOTSUPP)) {
        plane_count_lost(p, t->count, error);
        return;
    }
    p->counters.gso_refused++;
    if (error == EIO || error == EOPNOTSUPP)
        *plain_place(own, &t->remote.ip) = t->remote.ip;
    send_singly(p, t);
}

static void send_alone(struct net_plane *p, const struct plane_train *t) {
    struct plane_linux *own = p->own;
    if (is_plain(own, t)) {
        send_singly(p, t);
        return;
    }
    (void)write_train(p, 0, t, own->out_iov);
    int error = send_message(t->port->fd, &own->out[0].msg_hdr);
    if (error == 0)
        plane_count_sent(p, t);
    else
        handle_refusal(p, t, error);
}

static bool goes_with_others(struct plane_linux *own, const struct plane_train *t) {
    return t->dont_fragment == t->port->dont_fragment && !is_plain(own, t);
}

/* How many of the trains fit into one call. */
static uint32_t write_trains(struct net_plane *p, uint32_t first, uint32_t count) {
    struct plane_linux *own = p->own;
    uint32_t n = 0;
    size_t used = 0;
    while (n < count && n < PLANE_MESSAGES) {
        const struct plane_train *t = &p->trains[first + n];
        if (used + vectors_of(t) > PLANE_VECTORS || !goes_with_others(own, t))
            break;
        used += write_train(p, n++, t, own->out_iov + used);
    }
    return n;
}

void plane_linux_send(struct net_plane *p, uint32_t first, uint32_t count) {
    struct plane_linux *own = p->own;
    for (uint32_t i = 0; i < count;) {
        const struct plane_train *t = &p->trains[first + i];
        set_fragmentation(t->port, t->dont_fragment);
        uint32_t n = count - i > 1 ? write_trains(p, first + i, count - i) : 0;
        int sent = n > 1 ? sendmmsg(t->port->fd, own->out, n, 0) : 0;
        for (int k = 0; k < sent; k++)
            plane_count_sent(p, &t[k]);
        if (sent > 0) {
            i += (uint32_t)sent;
            continue;
        }
        send_alone(p, t); /* says what is wrong with it, if anything */
        i++;
    }
}

#else
typedef int plane_linux_send_is_empty; /* ISO C wants a declaration in every file */
#endif
