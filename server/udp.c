/* SPDX-License-Identifier: MIT */
#include "server/udp.h"

#include "base/assert.h"
#include "server/turn_int.h"
#include "server/udp_proxy.h"
#include "server/upgrade_stay.h"
#include "server/worker.h"
#include "wire/channel.h"
#include <string.h>

enum {
    UDP_BUFFER = 1 << 22,
    RECORD_MIN = 20, /* RFC 7983 section 7: DTLS */
    RECORD_MAX = 63
};

/* --- STUN --------------------------------------------------------------------------------------
 */

/* Is this the socket for packets from that address of ours? A wildcard's is for all of its family,
 * and [::] for IPv4 as well. */
static bool sends_from(const struct bk_addr *bound, const struct bk_addr *local) {
    if (bound->port != local->port)
        return false;
    if (bk_ip_is_any(&bound->ip))
        return bound->ip.family == local->ip.family || bound->ip.family == BK_IPV6;
    return bk_ip_equal(&bound->ip, &local->ip);
}

static struct udp_door *door_for(struct worker *w, const struct bk_addr *local) {
    for (size_t i = 0; i < w->udp_count; i++) {
        const struct bk_addr bound = net_port_local(w->udp[i].port);
        if (sends_from(&bound, local))
            return &w->udp[i];
    }
    return NULL;
}

/* RFC 5780 section 6.1: the answer to a CHANGE-REQUEST leaves through another socket. Each worker
 * has them all. */
static struct udp_door *other_door(struct udp_door *door, const struct bk_addr *local) {
    struct udp_door *other = door_for(door->worker, local);
    return other == NULL ? door : other; /* NULL: cannot be, discovery knows bound ports */
}

static void stun_recv(struct udp_door *door, const struct bk_datagram *in, struct bk_time now) {
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    enum stun_service_result result =
        stun_service_answer(&door->worker->stun, in, now, buffer, &reply);
    if (!stun_service_answered(result))
        return;
    bool moved = result == STUN_SERVICE_CHANGED || result == STUN_SERVICE_REDIRECTED;
    udp_door_send(moved ? other_door(door, &reply.local) : door, &reply);
}

/* --- the doors
 * ----------------------------------------------------------------------------------- */

static bool is_record(const struct bk_datagram *in) {
    return in->len > 0 && in->data[0] >= RECORD_MIN && in->data[0] <= RECORD_MAX;
}

/* A Binding request, RFC 8489 section 5. */
static bool is_binding(const struct bk_datagram *in) {
    return in->len >= 2 && in->data[0] == 0 && in->data[1] == 1;
}

/* Binding is left to the STUN service, which also counts what is nobody's. */
static void receive_one(struct udp_door *door, const struct bk_datagram *in, struct bk_time now) {
    struct worker *w = door->worker;
    if (is_record(in)) {
        if (w->records.on_record != NULL)
            w->records.on_record(w->records.ctx, door, in, now);
        return;
    }
    if (w->turn != NULL && !is_binding(in) &&
        server_turn_recv(w->turn, &door->link, in, now) != BK_ERR_NOT_OURS)
        return;
    stun_recv(door, in, now);
}

/* Of a proxy that is trusted: each has, or follows one that had, a header of its own. */
static void from_proxy(struct udp_door *door, const struct bk_datagram *train, struct bk_time now) {
    size_t segment = train->segment == 0 ? train->len : train->segment;
    for (size_t at = 0; at < train->len; at += segment) {
        struct bk_datagram one = *train;
        one.segment = 0;
        one.data = train->data + at;
        one.len = train->len - at < segment ? train->len - at : segment;
        udp_proxy_recv(door->worker->proxied, door, &one, now);
    }
}

static void on_train(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    struct udp_door *door = ctx;
    struct server_turn *turn = door->worker->turn;
    struct upgrade_stay *stay = door->worker->upgrade.stay;
    if (stay != NULL && upgrade_stay_pass_on(stay, in))
        return;
    if (door->worker->proxied != NULL &&
        turn_filter_opens(&door->worker->fleet->proxies, &in->remote.ip)) {
        from_proxy(door, in, now);
        return;
    }
    struct bk_datagram rest = *in;
    rest.segment = in->segment == 0 ? in->len : in->segment;
    do {
        size_t taken = turn == NULL ? 0 : server_turn_run(turn, &rest, now);
        if (taken == 0) {
            struct bk_datagram one = rest;
            one.segment = 0;
            one.len = taken = rest.len < rest.segment ? rest.len : rest.segment;
            receive_one(door, &one, now);
        }
        rest.data += taken;
        rest.len -= taken;
    } while (rest.len > 0);
}

void udp_doors_recv(struct worker *w, const struct bk_datagram *in, struct bk_time now) {
    struct udp_door *door = door_for(w, &in->local);
    if (door != NULL)
        on_train(door, in, now);
}

void udp_door_send(struct udp_door *door, const struct bk_datagram *out) {
    net_port_send_one(door->port, out);
}

static void send_route(struct turn_link *link, const struct turn_route *route,
                       const uint8_t *data) {
    const struct bk_datagram whole = {.data = data, .segment = route->len};
    turn_port_send(udp_link_port(link), route, &whole, 1);
}

static const struct turn_link_type udp_link = {.send = send_route};

struct net_port *udp_link_port(const struct turn_link *link) {
    const struct udp_door *door = (const void *)link; /* its first member */
    return link->type == &udp_link ? door->port : NULL;
}

/* Ports that workers share could be shared with another server of this user, too, who would then
 * get half of the clients. So the first worker tries without sharing. */
static enum bk_err is_free(struct worker *w, const struct bk_addr *at,
                           const struct net_port_config *config) {
    const struct net_port_events nobody = {NULL, NULL, NULL};
    struct net_port_config alone = *config;
    struct net_port *probe;
    if (w->index != 0 || !config->reuse_port)
        return BK_OK;
    alone.reuse_port = false;
    enum bk_err err = net_port_open(w->plane, at, &alone, &nobody, &probe);
    if (err == BK_OK)
        net_port_close(probe);
    return err;
}

enum bk_err worker_listen_udp(struct worker *w, const struct bk_addr *at, struct bk_addr *bound) {
    bk_assert(w->udp_count < sizeof w->udp / sizeof w->udp[0]);
    struct udp_door *door = &w->udp[w->udp_count];
    const struct net_port_events events = {on_train, NULL, door};
    const struct net_port_config config = {
        .reuse_port = w->fleet->count > 1,
        .first = true,
        .rcvbuf = UDP_BUFFER,
        .socket = takeover_door(w->fleet->takeover, (uint16_t)w->index, UPGRADE_DOOR_UDP, at)};
    door->link.type = &udp_link;
    door->worker = w;
    enum bk_err err = config.socket != 0 ? BK_OK : is_free(w, at, &config);
    if (err == BK_OK)
        err = net_port_open(w->plane, at, &config, &events, &door->port);
    if (err != BK_OK)
        return err;
    *bound = net_port_local(door->port);
    w->udp_count++;
    return BK_OK;
}

struct turn_link *udp_door_link(struct worker *w, const struct bk_addr *local) {
    struct udp_door *door = door_for(w, local);
    return door == NULL ? NULL : &door->link;
}

void udp_doors_close(struct worker *w) {
    for (size_t i = 0; i < w->udp_count; i++)
        net_port_close(w->udp[i].port);
}
