/* SPDX-License-Identifier: MIT
 * Private to net: moving batches of datagrams through one system socket. batch_linux.c does it with
 * recvmmsg, sendmmsg and segmentation offload, batch_posix.c one by one. */
#ifndef NET_BATCH_H
#define NET_BATCH_H

#include "net/udp.h"
#include <stdint.h>

enum {
    BATCH_SEND_MAX = 64,     /* trains in one batch_send() */
    BATCH_SEGMENTS_MAX = 64, /* datagrams in one train; UDP_MAX_SEGMENTS of Linux before 6.9 */
    BATCH_TRAIN_MAX = 65000  /* bytes in one train: below 65535 less IP and UDP headers */
};

struct batch_socket {
    int fd;
    bool v6;              /* an IPv6 socket: IPv4 addresses are mapped */
    bool gso;             /* trains may be tried */
    bool gro;             /* trains may come */
    unsigned lone;        /* as many calls of batch_recv() ask for one datagram alone */
    struct bk_addr local; /* bound address with the real port */
};

/* Errors as net_udp_open(). */
BK_MUST_USE enum bk_err batch_open(const struct bk_addr *bind, const struct net_udp_config *config,
                                   struct batch_socket *out);
void batch_close(struct batch_socket *s);
/* Receives up to NET_UDP_BATCH datagrams into `rx` (NET_RX_SLOTS slots of NET_RX_SLOT bytes)
 * without blocking, or one where more are not expected: then the kernel is not asked in vain.
 * *truncated counts what had to be thrown away. Gives how many are in `out`; *more says that asking
 * again is worth it. What is left makes the socket readable again. */
size_t batch_recv(struct batch_socket *s, uint8_t *rx, struct bk_datagram *out, size_t *truncated,
                  bool *more);
/* Sends `count` <= BATCH_SEND_MAX datagrams or trains without blocking; gives how many left. If
 * that is 0, *error is the errno for the first one, EAGAIN: the socket's buffer is full. */
size_t batch_send(struct batch_socket *s, const struct bk_datagram *out, size_t count, int *error);

#endif
