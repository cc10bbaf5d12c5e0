/* SPDX-License-Identifier: MIT */
#include "sim/actor_stun.h"

#include <string.h>

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct sim_stun *s = ctx;
    struct bk_datagram reply;
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    if (stun_service_answered(stun_service_answer(&s->service, in, world_now(w), buf, &reply)))
        world_udp_send(w, socket, &reply);
}

enum bk_err sim_stun_init(struct sim_stun *s, struct world *w, node_id host, const uint16_t *ports,
                          size_t count) {
    static const uint8_t families[] = {BK_IPV4, BK_IPV6};
    memset(s, 0, sizeof *s);
    struct world_actor calls = {.ctx = s, .on_datagram = on_datagram};
    s->actor = world_add_actor(w, host, &calls);
    for (size_t i = 0; i < 2 * count; i++) {
        struct bk_addr any = {.ip.family = families[i % 2], .port = ports[i / 2]};
        socket_id socket;
        enum bk_err e = world_udp_bind(w, s->actor, any, &socket);
        if (e != BK_OK)
            return e;
    }
    return BK_OK;
}
