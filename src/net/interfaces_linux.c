/* SPDX-License-Identifier: MIT
 * Changes of addresses and routes, told by rtnetlink. What changed is not read: the owner asks
 * net_interfaces() again. */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: SOCK_NONBLOCK needs it */
#include "net/interfaces.h"

#include "net/loop_private.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUIET_US = 100000, MESSAGES_MAX = 64, MESSAGE_MAX = 8192 };

/* getifaddrs() does not tell the addresses' flags. */
void interfaces_mark_temporary(struct net_interface *list, size_t count) {
    char line[128];
    FILE *file = fopen("/proc/net/if_inet6", "re");
    if (file == NULL)
        return; /* no IPv6 here, or no /proc */
    while (fgets(line, sizeof line, file) != NULL)
        interfaces_mark_by_line(line, list, count);
    (void)fclose(file);
}

struct net_interface_watch {
    struct net_loop *loop;
    struct net_watch *watch;
    struct net_timer settle;
    void (*on_change)(void *ctx);
    void *ctx;
    int fd;
};

static void on_settled(void *ctx, struct bk_time now) {
    struct net_interface_watch *w = ctx;
    (void)now;
    w->on_change(w->ctx);
}

static void on_ready(void *ctx, unsigned ready) {
    struct net_interface_watch *w = ctx;
    char message[MESSAGE_MAX];
    bool heard = false;
    (void)ready;
    for (int i = 0; i < MESSAGES_MAX; i++) {
        ssize_t got = recv(w->fd, message, sizeof message, MSG_DONTWAIT);
        if (got < 0 && errno != ENOBUFS && errno != EINTR)
            break;
        heard = true; /* ENOBUFS: messages were lost, so something changed */
    }
    if (heard && bk_is_never(w->settle.deadline))
        net_timer_set(&w->settle, bk_after(net_now(w->loop), QUIET_US));
}

enum bk_err net_interface_watch_new(struct net_loop *loop, void (*on_change)(void *ctx), void *ctx,
                                    struct net_interface_watch **out) {
    const struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
                                   .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
                                                RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                                RTMGRP_IPV6_ROUTE};
    struct net_interface_watch *w = loop_get(loop, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = BK_ERR_IO;
    *w = (struct net_interface_watch){.loop = loop, .on_change = on_change, .ctx = ctx};
    net_timer_init(&w->settle, loop, on_settled, w);
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (w->fd < 0)
        goto out;
    if (bind(w->fd, (const struct sockaddr *)&sa, sizeof sa) != 0)
        goto out;
    err = net_watch_new(loop, w->fd, on_ready, w, &w->watch);
    if (err != BK_OK)
        goto out;
    net_watch_set(w->watch, NET_READABLE);
    *out = w;
    return BK_OK;
out:
    if (w->fd >= 0)
        close(w->fd);
    loop_put(loop, w);
    return err;
}

void net_interface_watch_free(struct net_interface_watch *w) {
    if (w == NULL)
        return;
    net_timer_set(&w->settle, BK_NEVER);
    net_watch_free(w->watch);
    close(w->fd);
    loop_put(w->loop, w);
}

#else
typedef int interfaces_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
