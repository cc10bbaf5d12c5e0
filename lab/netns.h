/* SPDX-License-Identifier: MIT
 * One host's place to live: a network namespace with a TUN device `eth0`, its addresses and routes,
 * and a hostname. The caller's process keeps the TUN's other end. */
#ifndef LAB_NETNS_H
#define LAB_NETNS_H

#include "topology/topology.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    NETNS_VNET_HDR_LEN = 10,                      /* struct virtio_net_hdr before each packet */
    NETNS_PACKET_MAX = NETNS_VNET_HDR_LEN + 65575 /* an IPv6 superpacket with its header */
};

/* What the process needs once, before the first host. */
struct netns_base {
    int user; /* file descriptor of our user namespace; -1: we are root and made none */
    int home; /* of the network namespace we came from, or of an empty one we made */
    int home_uts;
};

struct netns {
    int tun; /* non-blocking; each packet has a struct virtio_net_hdr in front */
    int net; /* file descriptors of the namespaces */
    int uts;
    bool superpackets; /* the kernel took TSO; otherwise packets are at most one MTU */
    bool uso;          /* and UDP segmentation, Linux 6.2 */
};

/* As root this only remembers where we are. Otherwise the process moves into a user namespace of
 * its own, in which it keeps its user id. `why` (TOPOLOGY_ERROR_MAX) gets one sentence on failure.
 * BK_ERR_PERMISSION or BK_ERR_UNSUPPORTED: no labs on this machine. BK_ERR_IO: something else. */
BK_MUST_USE enum bk_err netns_begin(struct netns_base *base, char *why);
void netns_end(struct netns_base *base);

/* Makes the namespaces and the device for `host`. Errors as above. */
BK_MUST_USE enum bk_err netns_open(const struct netns_base *base, const struct topology_node *host,
                                   struct netns *out, char *why);
void netns_close(struct netns *ns);

/* Lets the host's kernel hand over superpackets (TSO, USO), or not. Checksum offload stays on. */
BK_MUST_USE enum bk_err netns_offload(struct netns *ns, bool superpackets);

/* For a process that is about to run a program: moves it into the namespaces (-1: stay) and, in a
 * user namespace, keeps the right to capture and configure inside it. BK_ERR_PERMISSION. */
BK_MUST_USE enum bk_err netns_enter(int user, int net, int uts);

#endif
