/* SPDX-License-Identifier: MIT */
#include "node/ports.h"

#include <string.h>

enum { LIFETIME_S = 3600 }; /* of what is left behind when a program is killed */

static size_t side_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV6;
}

/* Is it an address to give to peers? One that the server did not see us at belongs to somebody
 * else, unless it is a private one: then it is ours inside a carrier's network, and good for peers
 * in there. */
static bool is_ours(const struct node_ports *p, const struct bk_portmap_lease *l) {
    if (!l->is_public)
        return !p->private_addresses;
    return l->proof != BK_PORTMAP_TRYING && l->proof != BK_PORTMAP_ELSEWHERE &&
           l->proof != BK_PORTMAP_SHUT;
}

static void tell(struct node_ports *p) {
    struct endpoint_mapped list[ENDPOINT_MAPPED_MAX];
    struct bk_portmap_lease l;
    size_t count = 0;
    for (size_t side = 0; side < 2; side++)
        for (size_t router = 0; p->wanted[side] && router < mapper_routers(p->mapper); router++) {
            if (count == ENDPOINT_MAPPED_MAX ||
                bk_portmap_lease(mapper_portmap(p->mapper), p->wants[side], router, &l) != BK_OK)
                continue;
            struct bk_addr base = bk_addr(l.router.local, l.internal_port);
            if (is_ours(p, &l) && !bk_addr_equal(&base, &l.external))
                list[count++] =
                    (struct endpoint_mapped){base, l.external, bk_addr(l.router.router, 0)};
        }
    endpoint_set_mapped(p->endpoint, list, count, net_now(p->loop));
    p->on_change(p->ctx);
}

static void on_event(void *ctx, const struct bk_portmap_event *event) {
    struct node_ports *p = ctx;
    if (event->kind == BK_PORTMAP_MAPPED || event->kind == BK_PORTMAP_TRIED ||
        event->kind == BK_PORTMAP_LOST)
        tell(p);
}

static void send_from_port(void *ctx, const struct bk_datagram *out) {
    struct node_ports *p = ctx;
    struct net_udp *udp = p->udp[side_of(&out->local.ip)];
    enum bk_err err = udp != NULL ? net_udp_send(udp, out) : BK_ERR_UNREACHABLE;
    (void)err; /* a packet lost; it is sent again */
}

static void want_port(struct node_ports *p, size_t side) {
    if (p->udp[side] == NULL)
        return;
    const struct bk_portmap_want want = {.protocol = BK_UDP,
                                         .family = side == 0 ? BK_IPV4 : BK_IPV6,
                                         .internal_port = net_udp_local(p->udp[side]).port,
                                         .verify = true};
    p->wanted[side] = bk_portmap_add(mapper_portmap(p->mapper), &want, net_now(p->loop),
                                     &p->wants[side]) == BK_OK;
}

void node_ports_start(struct node_ports *p, const struct bk_addr *stun, size_t count) {
    const struct mapper_events events = {.on_event = on_event, .send = send_from_port, .ctx = p};
    struct mapper_config config = {.portmap = bk_portmap_config_default};
    if (p->mapper != NULL || p->loop == NULL)
        return;
    config.portmap.wants_max = 2;
    config.portmap.lifetime_s = LIFETIME_S;
    for (size_t i = 0; i < count; i++) {
        struct bk_addr *to =
            side_of(&stun[i].ip) == 0 ? &config.portmap.stun : &config.portmap.stun6;
        if (to->ip.family == BK_FAMILY_NONE)
            *to = stun[i];
    }
    if (mapper_new(p->loop, &config, &events, &p->mapper) != BK_OK) {
        p->mapper = NULL; /* it works without */
        return;
    }
    want_port(p, 0);
    want_port(p, 1);
    mapper_touch(p->mapper);
}

bool node_ports_recv(struct node_ports *p, const struct bk_datagram *in) {
    return p->mapper != NULL && mapper_recv(p->mapper, in);
}

void node_ports_fini(struct node_ports *p) {
    if (p->mapper != NULL)
        mapper_give_back(p->mapper);
    mapper_free(p->mapper);
    p->mapper = NULL;
}
