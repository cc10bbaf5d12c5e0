/* SPDX-License-Identifier: MIT
 * Two multicast sockets. libuv keeps their memory until it has closed them, so the object goes when
 * the last one is closed. */
#define _GNU_SOURCE /* NOLINT: uv.h needs it */
#include "net/announce.h"

#include "net/alloc.h"
#include "net/mcast.h"

#include <string.h>

enum { FAMILIES = 2, PORT = 5350 };

struct net_announce {
    struct mcast groups[FAMILIES];
    unsigned held; /* of them, by libuv */
    bool freed;
    uint32_t joined[NET_INTERFACES_MAX];
    size_t joined_count;
    void (*on_datagram)(void *ctx, const struct bk_datagram *in);
    void *ctx;
};

static void drop(struct net_announce *a) {
    if (a->freed && a->held == 0)
        net_alloc()->put(net_alloc()->ctx, a);
}

static void on_closed(void *ctx) {
    struct net_announce *a = ctx;
    a->held--;
    drop(a);
}

static void heard(struct net_announce *a, size_t family, const struct bk_datagram *in) {
    struct bk_datagram with_group = *in;
    with_group.local = a->groups[family].group;
    if (!a->freed)
        a->on_datagram(a->ctx, &with_group);
}

static void on_datagram4(void *ctx, const struct bk_datagram *in) {
    heard(ctx, 0, in);
}

static void on_datagram6(void *ctx, const struct bk_datagram *in) {
    heard(ctx, 1, in);
}

enum bk_err net_announce_new(struct net_loop *loop,
                             void (*on_datagram)(void *ctx, const struct bk_datagram *in),
                             void *ctx, struct net_announce **out) {
    static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
    const struct bk_alloc *alloc = net_alloc();
    struct net_announce *a = alloc->get(alloc->ctx, sizeof *a);
    if (a == NULL)
        return BK_ERR_NO_MEMORY;
    a->on_datagram = on_datagram;
    a->ctx = ctx;
    a->groups[0].group = bk_addr(bk_ipv4(224, 0, 0, 1), PORT);
    a->groups[1].group = bk_addr(bk_ipv6(all_nodes), PORT);
    a->groups[0].on_datagram = on_datagram4;
    a->groups[1].on_datagram = on_datagram6;
    for (size_t i = 0; i < FAMILIES; i++) {
        bool held;
        a->groups[i].loop = loop;
        a->groups[i].on_closed = on_closed;
        a->groups[i].ctx = a;
        (void)mcast_open(&a->groups[i], &held);
        a->held += held;
    }
    *out = a;
    return BK_OK;
}

static bool has(const uint32_t *list, size_t count, uint32_t interface) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == interface)
            return true;
    return false;
}

void net_announce_set_interfaces(struct net_announce *a, const struct net_interface *list,
                                 size_t count) {
    uint32_t now[NET_INTERFACES_MAX];
    size_t now_count = 0;
    for (size_t i = 0; i < count && now_count < NET_INTERFACES_MAX; i++)
        if (!list[i].loopback && !has(now, now_count, list[i].index))
            now[now_count++] = list[i].index;
    for (size_t i = 0; i < a->joined_count; i++)
        for (size_t g = 0; g < FAMILIES && !has(now, now_count, a->joined[i]); g++)
            mcast_leave(&a->groups[g], a->joined[i]);
    for (size_t i = 0; i < now_count; i++)
        for (size_t g = 0; g < FAMILIES && !has(a->joined, a->joined_count, now[i]); g++)
            mcast_join(&a->groups[g], now[i]);
    memcpy(a->joined, now, sizeof now);
    a->joined_count = now_count;
}

void net_announce_free(struct net_announce *a) {
    if (a == NULL)
        return;
    a->freed = true;
    for (size_t i = 0; i < FAMILIES; i++)
        mcast_close(&a->groups[i]);
    drop(a);
}
