/* SPDX-License-Identifier: MIT
 * Data on its way through a worker: runs of datagrams that go one way leave from the buffer they
 * came in. */
#include "server/turn_int.h"

#include "server/udp.h"
#include <string.h>

enum { SAME_HEAD = 4 }; /* channel and length */

/* How many of the train's first datagrams have the first one's size and, where that matters, its
 * first bytes. */
static size_t run_of(const struct bk_datagram *train, bool heads) {
    const size_t size = train->segment;
    size_t n = 1;
    if (size < SAME_HEAD)
        return 1;
    while ((n + 1) * size <= train->len &&
           (!heads || memcmp(train->data, train->data + n * size, SAME_HEAD) == 0))
        n++;
    return n;
}

/* What goes to one client may share a train, whatever its channels; and so may what goes from one
 * relay port to one peer. */
static uint64_t flow_of(const struct turn_route *route) {
    if (route->to_client)
        return ((uint64_t)route->alloc + 1) << 2 | 2;
    return route->chan != UINT32_MAX ? ((uint64_t)route->chan + 1) << 2
                                     : ((uint64_t)route->alloc + 1) << 2 | 1;
}

static void to_peer(struct server_turn *t, const struct turn_route *route,
                    const struct bk_datagram *in, size_t count) {
    struct turn_relay *r = route->via != NULL ? route->via : turn_relay_at(t, &route->local);
    const struct net_out out = {.local = route->local,
                                .remote = route->remote,
                                .flow = flow_of(route),
                                .data = in->data + route->skip,
                                .size = route->len,
                                .stride = in->segment,
                                .count = count,
                                .ecn = in->ecn,
                                .dont_fragment = route->dont_fragment};
    if (r != NULL)
        net_port_send(turn_relay_port(r), &out);
}

/* A Data indication: alone, and rare. */
static void send_padded(struct net_port *port, const struct net_out *out, size_t pad) {
    uint8_t padded[UINT16_MAX + 4];
    struct net_out whole = *out;
    memcpy(padded, out->data, out->size);
    memset(padded + out->size, 0, pad);
    whole.data = padded;
    whole.size += pad;
    net_port_send(port, &whole);
}

void turn_port_send(struct net_port *port, const struct turn_route *route,
                    const struct bk_datagram *in, size_t count) {
    struct net_out out = {.local = route->local,
                          .remote = route->remote,
                          .flow = flow_of(route),
                          .data = in->data + route->skip,
                          .size = route->len,
                          .stride = in->segment,
                          .count = count,
                          .head = route->head,
                          .head_len = route->head_len,
                          .ecn = in->ecn};
    if (route->pad > 0)
        send_padded(port, &out, route->pad);
    else
        net_port_send(port, &out);
}

static void to_client(const struct turn_route *route, const struct bk_datagram *in, size_t count) {
    struct turn_link *link = route->via;
    if (link == NULL)
        return;
    struct net_port *port = udp_link_port(link);
    if (port != NULL) {
        turn_port_send(port, route, in, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        link->type->send(link, route, in->data + i * in->segment);
}

size_t turn_run(struct server_turn *t, const struct bk_datagram *train, bool of_client,
                struct bk_time now) {
    struct turn_route route;
    struct bk_datagram one = *train;
    one.segment = 0;
    one.len = train->segment < train->len ? train->segment : train->len;
    if (of_client && turn_pass_on(t, &one))
        return one.len;
    enum bk_err err = turn_service_route(t->service, &one, now, &route);
    if (err == BK_ERR_NOT_OURS)
        return 0;
    turn_probe(&t->data, TURN_TIMED_DATA, now);
    bool alone = err != BK_OK || route.chan == UINT32_MAX || one.len < train->segment;
    size_t count = alone ? 1 : run_of(train, of_client);
    if (err != BK_OK)
        return one.len;
    if (route.to_client)
        to_client(&route, train, count);
    else
        to_peer(t, &route, train, count);
    const struct turn_sent sent = {.alloc = route.alloc,
                                   .chan = route.chan,
                                   .to_client = route.to_client,
                                   .packets = count,
                                   .bytes = (uint64_t)count * route.len};
    turn_service_sent(t->service, &sent, now);
    return count * one.len;
}

size_t server_turn_run(struct server_turn *t, const struct bk_datagram *train, struct bk_time now) {
    return turn_run(t, train, true, now);
}
