/* SPDX-License-Identifier: MIT
 * Private to net: a socket for one multicast group of one family, on interfaces named by index. It
 * shares its port with other programs that share it; where none is to be had, it takes any port,
 * and hears only what is sent to it alone. */
#ifndef NET_MCAST_H
#define NET_MCAST_H

#include "net/loop_private.h"
#include <bodkin/addr.h>
#include <uv.h>

enum { NET_MCAST_MAX = 1472 }; /* longest message sent */

struct mcast {
    uv_udp_t udp;
    struct net_loop *loop;
    struct bk_addr group;
    bool open;
    bool member_port; /* it has the group's port: it can hear the group */
    void (*on_datagram)(void *ctx, const struct bk_datagram *in);
    void (*on_closed)(void *ctx); /* the memory of *s may go */
    void *ctx;
};

/* Set loop, group, the callbacks and ctx before. false: there is no such socket to be had. `held`
 * says whether libuv holds the memory from now on, failed or not: on_closed will follow. */
bool mcast_open(struct mcast *s, bool *held);
/* Nothing more is heard; on_closed follows. Not open is fine: nothing follows. */
void mcast_close(struct mcast *s);
/* An interface that is gone, or joined twice, is no error: it is heard or not. */
void mcast_join(struct mcast *s, uint32_t interface);
void mcast_leave(struct mcast *s, uint32_t interface);
/* To the group, from `source`, which is an address of that interface. What cannot be sent is lost.
 */
void mcast_send(struct mcast *s, uint32_t interface, const struct bk_ip *source,
                const uint8_t *data, size_t len);
void mcast_reply(struct mcast *s, const struct bk_addr *to, const uint8_t *data, size_t len);

#endif
