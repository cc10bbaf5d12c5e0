/* SPDX-License-Identifier: MIT
 * UDP sockets that move trains and batches, without a loop: for loads. */
#ifndef CLI_TURN_SOCKET_H
#define CLI_TURN_SOCKET_H

#include "net/sockaddr.h"

enum {
    TURN_BATCH_MAX = 64,  /* datagrams in one receiving call, trains in one sending call */
    TURN_DATAGRAM = 2048, /* longer ones are cut: nothing here is */
    TURN_TRAIN = 60       /* datagrams in one train; the kernel's limit was 64 before Linux 6.9 */
};

/* Not blocking. `from`: family NONE leaves it to the system. `to`: family NONE leaves it
 * unconnected. -1: errno says why. */
int turn_socket(const struct bk_addr *from, const struct bk_addr *to);
struct bk_addr turn_socket_local(int fd);
/* Room for `bytes` of what was received and not read; as much of it as the system allows. */
void turn_socket_room(int fd, int bytes);
/* The kernel stamps what comes in, and says how much was lost. */
void turn_socket_stamp(int fd);
/* As many file descriptors as this user may have; how many that is. */
size_t turn_socket_limit(void);

/* `len` bytes, cut by the kernel into datagrams of `segment` bytes; 0: one datagram. `to` NULL: a
 * connected socket. false: the buffer is full, or it cannot be sent. */
bool turn_send(int fd, const union net_sockaddr *to, const void *data, size_t len, size_t segment);

/* What came in; the buffers live until the next call. */
struct turn_in {
    const uint8_t *data;
    size_t len;
    const union net_sockaddr *from;
    int64_t stamp_ns; /* CLOCK_REALTIME, with turn_socket_stamp(); 0: none */
};
/* Fills up to TURN_BATCH_MAX; 0: there is nothing. *lost, which may be NULL, grows to the number of
 * datagrams the socket has ever lost for want of room. */
size_t turn_recv(int fd, struct turn_in in[TURN_BATCH_MAX], uint64_t *lost);

int64_t turn_wall_ns(void); /* CLOCK_REALTIME: what stamps are compared with */
int64_t turn_clock_ns(void);
/* Sleeps until turn_clock_ns() is `at_ns`, to a few microseconds. */
void turn_sleep_until(int64_t at_ns);

#endif
