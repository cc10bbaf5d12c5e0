/* SPDX-License-Identifier: MIT
 * Where data goes. Nothing is changed here but the clock and the counters of what is dropped: who
 * moves the bytes, service_data.c by copying or sockets by gather lists, says so afterwards. */
#include "turn/service_int.h"

#include "base/rng.h"
#include "wire/channel.h"

#include <string.h>

static enum bk_err drop(struct turn_service *s, enum turn_count why, enum bk_err err) {
    s->counts[why]++;
    return err;
}

static bool has_public(const struct turn_service *s, size_t family) {
    return s->config.public[family].family != BK_FAMILY_NONE;
}

/* ---- To peers ----------------------------------------------------------------------------- */

/* RFC 8656 sections 11.2 and 12.6. A peer that is another client of this server is reached
 * directly, not by a detour through the NAT in front of it, which may not let it back in. */
static enum bk_err to_peer(struct turn_service *s, uint32_t alloc, const struct bk_addr *peer,
                           struct turn_route *out) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    size_t family = turn_family_index(peer->ip.family);
    if (a->port[family] == 0 || a->relayed != BK_UDP || peer->port == 0 ||
        !turn_peer_is_open(s, peer))
        return drop(s, TURN_COUNT_DROP_PEER, BK_ERR_AUTH);
    if (!turn_bandwidth_is_open(s, alloc))
        return BK_ERR_FULL;
    out->to_client = false;
    out->via = turn_relay_socket(s, a, family);
    out->local = bk_addr(s->config.relay[family], a->port[family]);
    out->remote = *peer;
    if (has_public(s, family) && bk_ip_equal(&peer->ip, &s->config.public[family]))
        out->remote.ip = s->config.relay[family];
    out->alloc = alloc;
    out->protocol = BK_UDP;
    out->head_len = out->pad = 0;
    return BK_OK;
}

enum bk_err turn_route_channel(struct turn_service *s, const struct bk_datagram *in,
                               struct turn_route *out) {
    struct channel_data d;
    if (!channel_read(in->data, in->len, &d))
        return BK_ERR_MALFORMED;
    uint32_t i = turn_allocs_find(&s->allocs, in);
    if (i == TURN_NONE)
        return drop(s, TURN_COUNT_DROP_OTHER, BK_ERR_AUTH); /* section 5: silently ignored */
    uint32_t c = turn_channels_by_number(&s->chans, i, d.number);
    if (c == TURN_NONE || bk_due(turn_channel_at(&s->chans, c)->wait.when, s->now))
        return drop(s, TURN_COUNT_DROP_PEER, BK_ERR_AUTH);
    out->chan = c;
    out->dont_fragment = false;
    out->skip = CHANNEL_HEADER_LEN;
    out->len = (uint32_t)d.len;
    return to_peer(s, i, &turn_channel_at(&s->chans, c)->peer, out);
}

static bool is_permitted(const struct turn_service *s, uint32_t alloc, const struct bk_ip *ip) {
    uint32_t i = turn_permissions_find(&s->perms, alloc, ip);
    return i != TURN_NONE && !bk_due(turn_permission_at(&s->perms, i)->wait.when, s->now);
}

/* Section 11.2. */
enum bk_err turn_route_send(struct turn_service *s, const struct bk_datagram *in,
                            const struct stun_msg *m, struct turn_route *out) {
    struct bk_addr peer;
    struct wire_span data;
    struct stun_types unknown;
    uint32_t i = turn_allocs_find(&s->allocs, in);
    if (i == TURN_NONE)
        return drop(s, TURN_COUNT_DROP_OTHER, BK_ERR_AUTH);
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    bool whole = stun_has(m, TURN_DONT_FRAGMENT);
    if (unknown.count > 0 || (whole && !s->config.dont_fragment) ||
        stun_get_addr(m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK ||
        stun_get_bytes(m, TURN_DATA_ATTR, &data) != BK_OK)
        return BK_ERR_MALFORMED;
    if (!is_permitted(s, i, &peer.ip))
        return drop(s, TURN_COUNT_DROP_PEER, BK_ERR_AUTH);
    out->chan = TURN_NONE;
    out->dont_fragment = whole;
    out->skip = (uint32_t)(data.data - in->data);
    out->len = (uint32_t)data.len;
    return to_peer(s, i, &peer, out);
}

/* ---- To clients --------------------------------------------------------------------------- */

/* The peer as the client knows it: other clients of this server by their public address. */
struct bk_addr turn_name_of(const struct turn_service *s, const struct bk_addr *peer) {
    size_t family = turn_family_index(peer->ip.family);
    bool own = has_public(s, family) && bk_ip_equal(&peer->ip, &s->config.relay[family]) &&
               turn_relay_is_open(s, peer);
    return own ? turn_service_public(s, family, peer->port) : *peer;
}

/* RFC 8656 section 11.3: a Data indication up to its data. */
static void write_data_head(struct turn_service *s, const struct bk_addr *peer,
                            struct turn_route *out) {
    uint8_t txid[STUN_TXID_LEN];
    size_t len = 0;
    out->pad = (uint8_t)((4 - out->len % 4) % 4);
    rng_fill(&s->rng, txid, sizeof txid);
    struct stun_builder b =
        stun_start(out->head, sizeof out->head, STUN_INDICATION, TURN_DATA, txid);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, peer);
    (void)!stun_finish(&b, &len); /* it fits */
    size_t body = len - STUN_HEADER_LEN + 4 + out->len + out->pad;
    out->head[2] = (uint8_t)(body >> 8);
    out->head[3] = (uint8_t)body;
    out->head[len] = TURN_DATA_ATTR >> 8;
    out->head[len + 1] = TURN_DATA_ATTR & 0xff;
    out->head[len + 2] = (uint8_t)(out->len >> 8);
    out->head[len + 3] = (uint8_t)out->len;
    out->head_len = (uint8_t)(len + 4);
}

/* RFC 8656 section 12.5: MUST be padded on streams. */
static void write_channel_head(struct turn_service *s, uint32_t chan, struct turn_route *out) {
    channel_write_header(out->head, turn_channel_at(&s->chans, chan)->number, out->len);
    out->head_len = CHANNEL_HEADER_LEN;
    out->pad = out->protocol == BK_TCP ? (uint8_t)((4 - out->len % 4) % 4) : 0;
}

enum { DATA_MAX = UINT16_MAX - STUN_HEADER_LEN - 28 - 4 - 3 /* of a Data indication */ };

/* RFC 8656 sections 11.3 and 12.7. */
enum bk_err turn_route_peer(struct turn_service *s, uint32_t alloc, const struct bk_datagram *in,
                            struct turn_route *out) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    struct bk_addr peer = turn_name_of(s, &in->remote);
    peer.ip.zone = 0;
    if (a->adrift || !is_permitted(s, alloc, &peer.ip))
        return drop(s, TURN_COUNT_DROP_PEER, BK_ERR_AUTH);
    uint32_t c = turn_channels_by_peer(&s->chans, alloc, &peer);
    bool bound = c != TURN_NONE && !bk_due(turn_channel_at(&s->chans, c)->wait.when, s->now);
    if (in->len > (bound ? UINT16_MAX : DATA_MAX))
        return BK_ERR_TOO_LONG;
    if (!turn_bandwidth_is_open(s, alloc))
        return BK_ERR_FULL;
    out->to_client = true;
    out->via = a->via;
    out->local = a->server;
    out->remote = a->client;
    out->protocol = a->protocol;
    out->alloc = alloc;
    out->chan = bound ? c : TURN_NONE;
    out->dont_fragment = false;
    out->skip = 0;
    out->len = (uint32_t)in->len;
    if (bound) /* section 12.5: MUST */
        write_channel_head(s, c, out);
    else
        write_data_head(s, &peer, out);
    return BK_OK;
}

/* ---- The verbs ---------------------------------------------------------------------------- */

/* RFC 8489 section 5: the first two bytes are class and method. */
static bool is_send(const struct bk_datagram *in) {
    return in->len >= STUN_HEADER_LEN && in->data[0] == 0x00 && in->data[1] == 0x16;
}

static enum bk_err route(struct turn_service *s, const struct bk_datagram *in,
                         struct turn_route *out) {
    struct stun_msg m;
    if (turn_relay_is_here(s, &in->local)) {
        uint32_t owner = turn_relay_owner_of(s, &in->local, &in->remote);
        return owner == TURN_NONE ? drop(s, TURN_COUNT_DROP_PEER, BK_ERR_AUTH)
                                  : turn_route_peer(s, owner, in, out);
    }
    if (channel_is_old_data(in->data, in->len))
        return turn_route_channel(s, in, out);
    if (!is_send(in))
        return BK_ERR_NOT_OURS;
    enum bk_err err = stun_parse(&m, in->data, in->len);
    return err == BK_OK ? turn_route_send(s, in, &m, out) : err;
}

enum bk_err turn_service_route(struct turn_service *service, const struct bk_datagram *in,
                               struct bk_time now, struct turn_route *out) {
    service->now = bk_later(service->now, now);
    enum bk_err err = route(service, in, out);
    if (err != BK_OK && err != BK_ERR_NOT_OURS && err != BK_ERR_AUTH && err != BK_ERR_FULL)
        service->counts[TURN_COUNT_DROP_MALFORMED]++;
    return err;
}
