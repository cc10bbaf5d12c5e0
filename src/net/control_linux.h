/* SPDX-License-Identifier: MIT
 * Private to net: ancillary data of Linux's sockets, which carries what a datagram has beside its
 * bytes: our address (RFC 3542 section 6.1), the hop limit, the ECN bits, and the segment size of a
 * train (UDP_SEGMENT, UDP_GRO). */
#ifndef NET_CONTROL_LINUX_H
#define NET_CONTROL_LINUX_H

#include <bodkin/addr.h>
#include <sys/socket.h>

/* Reads what was received with a message into its datagram, whose length is known. */
void control_read(struct msghdr *m, struct bk_datagram *d);
/* Appends to what is going to be sent; there is room, zeroed. */
void control_add(struct msghdr *m, int level, int type, const void *data, size_t len);
/* The address it is to leave from. */
void control_add_source(struct msghdr *m, const struct bk_ip *ip);

#endif
