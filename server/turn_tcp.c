/* SPDX-License-Identifier: MIT */
#include "server/turn_tcp.h"

/* Before the service offers TCP allocations there is nothing to join. */
enum bk_err turn_tcp_join(struct turn_tcp *t, uint32_t connection,
                          const struct turn_tcp_client *client) {
    (void)t;
    (void)connection;
    (void)client;
    return BK_ERR_NOT_FOUND;
}

void turn_tcp_cut(struct turn_tcp *t, uint32_t connection) {
    (void)t;
    (void)connection;
}
