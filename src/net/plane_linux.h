/* SPDX-License-Identifier: MIT
 * Private to net: what the two halves of the batch tier share. */
#ifndef NET_PLANE_LINUX_H
#define NET_PLANE_LINUX_H

#include "net/control_linux.h"
#include "net/plane_private.h"
#include "net/sockaddr.h"
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    PLANE_CONTROL = 160, /* pktinfo, tos, segment size and an ICMP error need 136 at most */
    PLANE_MESSAGES = 64, /* given to sendmmsg() at once */
    PLANE_VECTORS = 1024,
    PLANE_PLAIN = 256 /* places for destinations that take no trains */
};

struct plane_control {
    _Alignas(struct cmsghdr) uint8_t bytes[PLANE_CONTROL];
};

struct plane_linux {
    int epoll;
    struct mmsghdr in[PLANE_SLOTS], out[PLANE_MESSAGES];
    struct iovec in_iov[PLANE_SLOTS], out_iov[PLANE_VECTORS];
    union net_sockaddr in_names[PLANE_SLOTS], out_names[PLANE_MESSAGES];
    struct plane_control in_controls[PLANE_SLOTS], out_controls[PLANE_MESSAGES];
    struct bk_ip plain[PLANE_PLAIN]; /* destinations whose devices cannot split trains */
};

void plane_linux_send(struct net_plane *p, uint32_t first, uint32_t count);

#endif
