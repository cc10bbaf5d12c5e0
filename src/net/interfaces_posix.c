/* SPDX-License-Identifier: MIT
 * Changes of addresses, found by looking every few seconds, where nothing tells. */
#ifndef __linux__
#include "net/interfaces.h"

#include "net/loop_private.h"
#include <string.h>

enum { LOOK_EVERY_US = 3000000 };

/* Nothing portable tells which addresses are temporary. */
void interfaces_mark_temporary(struct net_interface *list, size_t count) {
    (void)list;
    (void)count;
}

struct net_interface_watch {
    struct net_loop *loop;
    struct net_timer look;
    void (*on_change)(void *ctx);
    void *ctx;
    struct net_interface seen[NET_INTERFACES_MAX];
    size_t seen_count;
};

static void on_look(void *ctx, struct bk_time now) {
    struct net_interface_watch *w = ctx;
    struct net_interface found[NET_INTERFACES_MAX];
    size_t count;
    net_timer_set(&w->look, bk_after(now, LOOK_EVERY_US));
    if (net_interfaces(found, NET_INTERFACES_MAX, &count) != BK_OK)
        return;
    bool same = count == w->seen_count;
    for (size_t i = 0; same && i < count; i++)
        same = bk_ip_equal(&found[i].ip, &w->seen[i].ip) && found[i].index == w->seen[i].index;
    if (same)
        return;
    memcpy(w->seen, found, count * sizeof found[0]);
    w->seen_count = count;
    w->on_change(w->ctx);
}

enum bk_err net_interface_watch_new(struct net_loop *loop, void (*on_change)(void *ctx), void *ctx,
                                    struct net_interface_watch **out) {
    struct net_interface_watch *w = loop_get(loop, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    w->loop = loop;
    w->on_change = on_change;
    w->ctx = ctx;
    enum bk_err err = net_interfaces(w->seen, NET_INTERFACES_MAX, &w->seen_count);
    if (err != BK_OK) {
        loop_put(loop, w);
        return err;
    }
    net_timer_init(&w->look, loop, on_look, w);
    net_timer_set(&w->look, bk_after(net_now(loop), LOOK_EVERY_US));
    *out = w;
    return BK_OK;
}

void net_interface_watch_free(struct net_interface_watch *w) {
    if (w == NULL)
        return;
    net_timer_set(&w->look, BK_NEVER);
    loop_put(w->loop, w);
}

#else
typedef int interfaces_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
