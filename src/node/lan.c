/* SPDX-License-Identifier: MIT */
#include "node/lan.h"

#include <string.h>

/* IPv4: of the local scope (RFC 2365 section 6.1). IPv6: "bodkin", transient and of the link (RFC
 * 4291 section 2.7). */
static const uint8_t group6[16] = {0xff, 0x12, [10] = 'b', 'o', 'd', 'k', 'i', 'n'};

void node_lan_init(struct node_lan *l, struct net_loop *loop, struct endpoint *endpoint,
                   void (*on_heard)(void *ctx), void *ctx) {
    *l = (struct node_lan){.loop = loop, .endpoint = endpoint, .on_heard = on_heard, .ctx = ctx};
}

void node_lan_fini(struct node_lan *l) {
    net_neighbours_free(l->neighbours);
    l->neighbours = NULL;
}

static void on_datagram(void *ctx, uint32_t link, const struct bk_datagram *in) {
    struct node_lan *l = ctx;
    endpoint_beacon_recv(l->endpoint, link, in, net_now(l->loop));
    l->on_heard(l->ctx);
}

static void open_sockets(struct node_lan *l) {
    const struct net_neighbours_config config = {.port = BEACON_PORT,
                                                 .group4 = bk_ipv4(239, 255, 107, 35),
                                                 .group6 = bk_ipv6(group6),
                                                 .on_datagram = on_datagram,
                                                 .ctx = l};
    if (net_neighbours_new(l->loop, &config, &l->neighbours) == BK_OK)
        net_neighbours_set_interfaces(l->neighbours, l->list, l->count);
    else
        l->unable = true;
}

/* --- links --- */

static struct beacon_link *link_of(struct beacon_link *links, size_t *count, uint32_t index) {
    for (size_t i = 0; i < *count; i++)
        if (links[i].index == index)
            return &links[i];
    if (*count == BEACON_LINKS_MAX)
        return NULL;
    links[*count] = (struct beacon_link){.index = index};
    return &links[(*count)++];
}

static void add(struct beacon_link *link, const struct net_interface *i, uint16_t port) {
    if (link == NULL || port == 0 || link->count == BEACON_ADDRS_MAX)
        return;
    for (size_t k = 0; k < link->count; k++)
        if (bk_ip_equal(&link->addrs[k].ip, &i->ip))
            return;
    link->addrs[link->count] = bk_addr(i->ip, port);
    link->prefix_len[link->count++] = i->prefix_len;
}

/* The list is in order of preference: what does not fit is worth least. Link-local addresses tell
 * the peer nothing that its own link does not. */
static size_t make_links(const struct node_lan *l, uint16_t port4, uint16_t port6,
                         struct beacon_link links[BEACON_LINKS_MAX]) {
    struct net_interface list[2 * NET_INTERFACES_MAX];
    size_t count = 0;
    memcpy(list, l->list, l->count * sizeof *list);
    size_t n = net_interfaces_choose(list, l->count);
    for (size_t i = 0; i < l->count; i++)
        if (bk_ip_scope(&l->list[i].ip) == BK_SCOPE_LINK)
            list[n++] = l->list[i];
    for (size_t i = 0; i < n; i++)
        if (!list[i].loopback && !list[i].point_to_point)
            add(link_of(links, &count, list[i].index), &list[i],
                list[i].ip.family == BK_IPV6 ? port6 : port4);
    return count;
}

void node_lan_set(struct node_lan *l, const struct net_interface *list, size_t count,
                  uint16_t port4, uint16_t port6) {
    struct beacon_link links[BEACON_LINKS_MAX];
    l->count = count < NET_INTERFACES_MAX ? count : NET_INTERFACES_MAX;
    memcpy(l->list, list, l->count * sizeof *list);
    l->unable = false;
    if (l->neighbours != NULL)
        net_neighbours_set_interfaces(l->neighbours, l->list, l->count);
    size_t link_count = make_links(l, port4, port6, links);
    endpoint_set_links(l->endpoint, links, link_count, net_now(l->loop));
}

/* --- the round --- */

void node_lan_round(struct node_lan *l) {
    struct beacon_packet out;
    bool wanted = endpoint_wants_beacons(l->endpoint);
    if (!wanted)
        node_lan_fini(l);
    else if (l->neighbours == NULL && !l->unable)
        open_sockets(l);
    while (endpoint_next_beacon(l->endpoint, net_now(l->loop), &out))
        if (l->neighbours != NULL)
            net_neighbours_send(l->neighbours, out.link, &out.to, out.data, out.len);
}
