/* SPDX-License-Identifier: MIT
 * Data through relays, for callers who want whole datagrams: the way that service_route.c names,
 * gone by copying. To a peer nothing is copied: the datagram is a view into what the client sent.
 */
#include "turn/service_int.h"

#include "base/rng.h"
#include "wire/channel.h"

#include <string.h>

static void carry(struct turn_service *s, const struct bk_datagram *in,
                  const struct turn_route *route) {
    const uint8_t *data = in->data + route->skip;
    size_t len = route->len;
    if (route->head_len > 0) {
        memcpy(s->buf, route->head, route->head_len);
        if (len > 0)
            memcpy(s->buf + route->head_len, data, len);
        memset(s->buf + route->head_len + len, 0, route->pad);
        data = s->buf;
        len += (size_t)route->head_len + route->pad;
    }
    s->out = (struct bk_datagram){.local = route->local,
                                  .remote = route->remote,
                                  .data = data,
                                  .len = len,
                                  .protocol = route->protocol};
    s->has_out = true;
    const struct turn_sent sent = {.alloc = route->alloc,
                                   .chan = route->chan,
                                   .to_client = route->to_client,
                                   .packets = 1,
                                   .bytes = route->len};
    turn_service_sent(s, &sent, s->now);
}

/* To recv(), what has no permission is nobody's, and has been counted. */
static enum bk_err carried(struct turn_service *s, const struct bk_datagram *in,
                           const struct turn_route *route, enum bk_err err) {
    if (err == BK_OK)
        carry(s, in, route);
    return err;
}

enum bk_err turn_channel_data_in(struct turn_service *s, const struct bk_datagram *in) {
    struct turn_route route;
    enum bk_err err = turn_route_channel(s, in, &route);
    return carried(s, in, &route, err);
}

enum bk_err turn_send_in(struct turn_service *s, const struct bk_datagram *in,
                         const struct stun_msg *m) {
    struct turn_route route;
    enum bk_err err = turn_route_send(s, in, m, &route);
    return carried(s, in, &route, err);
}

enum bk_err turn_peer_in(struct turn_service *s, uint32_t alloc, const struct bk_datagram *in) {
    struct turn_route route;
    enum bk_err err = turn_route_peer(s, alloc, in, &route);
    return carried(s, in, &route, err);
}

/* ---- ICMP errors -------------------------------------------------------------------------- */

/* RFC 8656 section 11.5. */
static size_t write_icmp(struct turn_service *s, const struct bk_addr *peer, uint64_t icmp) {
    size_t len = 0;
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&s->rng, txid, sizeof txid);
    struct stun_builder b = stun_start(s->buf, TURN_OUT_MAX, STUN_INDICATION, TURN_DATA, txid);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, peer);
    stun_put_u64(&b, TURN_ICMP, icmp);
    return stun_finish(&b, &len) == BK_OK ? len : 0;
}

static bool is_permitted(const struct turn_service *s, uint32_t alloc, const struct bk_ip *ip) {
    uint32_t i = turn_permissions_find(&s->perms, alloc, ip);
    return i != TURN_NONE && !bk_due(turn_permission_at(&s->perms, i)->wait.when, s->now);
}

/* RFC 8656 section 11.5: which errors are told. */
static bool is_told(uint8_t family, uint8_t type) {
    return family == BK_IPV4 ? type == 3 || type == 11 : type >= 1 && type <= 3;
}

enum bk_err turn_service_icmp(struct turn_service *service, const struct turn_icmp *error,
                              struct bk_time now) {
    uint8_t family = error->local.ip.family;
    service->now = bk_later(service->now, now);
    service->has_out = false;
    uint32_t i = turn_relay_owner_of(service, &error->local, &error->peer);
    const struct bk_addr name = turn_name_of(service, &error->peer);
    if (i == TURN_NONE || !is_told(family, error->type) || !is_permitted(service, i, &name.ip))
        return BK_ERR_NOT_OURS;
    /* RFC 8656 section 18.13: 16 reserved bits, 7 of type, 9 of code; data only where it is an MTU.
     */
    bool too_big = family == BK_IPV4 ? error->type == 3 && error->code == 4 : error->type == 2;
    uint64_t icmp =
        (uint64_t)error->type << 41 | (uint64_t)error->code << 32 | (too_big ? error->mtu : 0);
    const struct turn_alloc *a = turn_service_alloc(service, i);
    service->out = (struct bk_datagram){.local = a->server,
                                        .remote = a->client,
                                        .data = service->buf,
                                        .len = write_icmp(service, &name, icmp),
                                        .protocol = a->protocol};
    service->has_out = true;
    return BK_OK;
}

/* ---- Doors -------------------------------------------------------------------------------- */

void *turn_service_via(const struct turn_service *service) {
    uint32_t i = turn_allocs_find(&service->allocs, &service->out);
    return i == TURN_NONE ? NULL : turn_service_alloc(service, i)->via;
}
