/* SPDX-License-Identifier: MIT */
#include "server/udp.h"

#include "base/assert.h"
#include "server/worker.h"
#include "wire/channel.h"
#include <string.h>

enum {
    UDP_BUFFER = 1 << 20,
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
        const struct bk_addr bound = net_udp_local(w->udp[i].udp);
        if (sends_from(&bound, local))
            return &w->udp[i];
    }
    return NULL;
}

struct turn_link *udp_link_for(struct worker *w, const struct bk_addr *local) {
    struct udp_door *door = door_for(w, local);
    return door == NULL ? NULL : &door->link;
}

/* RFC 5780 section 6.1: the answer to a CHANGE-REQUEST leaves through another socket. Each worker
 * has them all. */
static struct net_udp *socket_for(struct udp_door *door, const struct bk_addr *local) {
    struct udp_door *other = door_for(door->worker, local);
    return other == NULL ? door->udp
                         : other->udp; /* NULL: cannot be, discovery knows bound ports */
}

static void stun_recv(struct udp_door *door, const struct bk_datagram *in, struct bk_time now) {
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    enum stun_service_result result =
        stun_service_answer(&door->worker->stun, in, now, buffer, &reply);
    if (!stun_service_answered(result))
        return;
    struct net_udp *from = result == STUN_SERVICE_CHANGED || result == STUN_SERVICE_REDIRECTED
                               ? socket_for(door, &reply.local)
                               : door->udp;
    (void)!net_udp_send(from, &reply); /* counted there */
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

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    for (size_t i = 0; i < n; i++)
        receive_one(ctx, &in[i], now);
}

void udp_door_send(struct udp_door *door, const struct bk_datagram *out) {
    (void)!net_udp_send(door->udp, out); /* counted there */
}

static void send_route(struct turn_link *link, const struct turn_route *route,
                       const uint8_t *data) {
    struct udp_door *door = (struct udp_door *)(void *)link; /* its first member */
    uint8_t whole[TURN_HEAD_MAX + UINT16_MAX + UINT8_MAX];
    size_t len = route->head_len;
    memcpy(whole, route->head, len);
    if (route->len > UINT16_MAX)
        return;
    memcpy(whole + len, data + route->skip, route->len);
    len += route->len;
    memset(whole + len, 0, route->pad);
    len += route->pad;
    const struct bk_datagram out = {
        .local = route->local, .remote = route->remote, .data = whole, .len = len};
    udp_door_send(door, &out);
}

static const struct turn_link_type udp_link = {.send = send_route};

/* Ports that workers share could be shared with another server of this user, too, who would then
 * get half of the clients. So the first worker tries without sharing. */
static enum bk_err is_free(struct worker *w, const struct bk_addr *at,
                           const struct net_udp_config *config) {
    const struct net_udp_events nobody = {NULL, NULL};
    struct net_udp_config alone = *config;
    struct net_udp *probe;
    if (w->index != 0 || !config->reuse_port)
        return BK_OK;
    alone.reuse_port = false;
    enum bk_err err = net_udp_open(w->loop, at, &alone, &nobody, &probe);
    if (err == BK_OK)
        net_udp_close(probe);
    return err;
}

enum bk_err worker_listen_udp(struct worker *w, const struct bk_addr *at, struct bk_addr *bound) {
    bk_assert(w->udp_count < sizeof w->udp / sizeof w->udp[0]);
    struct udp_door *door = &w->udp[w->udp_count];
    const struct net_udp_events events = {on_batch, door};
    struct net_udp_config config = net_udp_config_default;
    config.reuse_port = w->fleet->count > 1;
    config.rcvbuf = UDP_BUFFER;
    config.dont_fragment = false; /* RFC 5780 section 7.6: PADDING is there to be fragmented */
    door->link.type = &udp_link;
    door->worker = w;
    enum bk_err err = is_free(w, at, &config);
    if (err == BK_OK)
        err = net_udp_open(w->loop, at, &config, &events, &door->udp);
    if (err != BK_OK)
        return err;
    *bound = net_udp_local(door->udp);
    w->udp_count++;
    return BK_OK;
}

void udp_doors_close(struct worker *w) {
    for (size_t i = 0; i < w->udp_count; i++)
        net_udp_close(w->udp[i].udp);
}
