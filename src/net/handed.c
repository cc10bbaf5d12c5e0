/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: SO_ACCEPTCONN */
#include "net/handed.h"

#include "net/sockaddr.h"
#include <sys/socket.h>

static bool get_int(int fd, int name, int *out) {
    socklen_t len = sizeof *out;
    return getsockopt(fd, SOL_SOCKET, name, out, &len) == 0;
}

enum bk_err net_handed_look(int fd, struct net_handed *out) {
    union net_sockaddr sa;
    socklen_t len = sizeof sa;
    int type, listens = 0;
    struct net_handed made;
    if (!get_int(fd, SO_TYPE, &type) || getsockname(fd, &sa.any, &len) != 0 ||
        (type != SOCK_DGRAM && type != SOCK_STREAM))
        return BK_ERR_ARGUMENT;
    made.stream = type == SOCK_STREAM;
    made.listens = made.stream && get_int(fd, SO_ACCEPTCONN, &listens) && listens != 0;
    sockaddr_to(&sa, &made.local);
    if (made.local.ip.family == BK_FAMILY_NONE || made.local.port == 0)
        return BK_ERR_ARGUMENT;
    *out = made;
    return BK_OK;
}
