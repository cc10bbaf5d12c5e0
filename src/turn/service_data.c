/* SPDX-License-Identifier: MIT
 * Data through relays. To a peer nothing is copied: the datagram is a view into what the client
 * sent. To a client it is copied once, behind its header. */
#include "turn/service_int.h"

#include "base/rng.h"
#include "wire/channel.h"

#include <string.h>

static enum bk_err drop_peer(struct turn_service *s) {
    s->counts[TURN_COUNT_DROP_PEER]++;
    return BK_ERR_NOT_OURS;
}

static bool has_public(const struct turn_service *s, size_t family) {
    return s->config.public[family].family != BK_FAMILY_NONE;
}

/* RFC 8656 sections 11.2 and 12.6. A peer that is another client of this server is reached
 * directly, not by a detour through the NAT in front of it, which may not let it back in. */
static enum bk_err to_peer(struct turn_service *s, uint32_t alloc, const struct bk_addr *peer,
                           const uint8_t *data, size_t len) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    size_t family = turn_family_index(peer->ip.family);
    struct bk_addr remote = *peer;
    if (a->port[family] == 0 || peer->port == 0 || !turn_peer_is_open(s, peer))
        return drop_peer(s);
    if (!turn_bandwidth_is_open(s, alloc))
        return BK_ERR_FULL;
    if (has_public(s, family) && bk_ip_equal(&peer->ip, &s->config.public[family]))
        remote.ip = s->config.relay[family];
    const struct bk_datagram out = {
        .local = bk_addr(s->config.relay[family], a->port[family]),
        .remote = remote,
        .data = data,
        .len = len,
    };
    s->out = out;
    s->has_out = true;
    const struct turn_sent sent = {.alloc = alloc, .chan = TURN_NONE, .packets = 1, .bytes = len};
    turn_service_sent(s, &sent, s->now);
    return BK_OK;
}

enum bk_err turn_channel_data_in(struct turn_service *s, const struct bk_datagram *in) {
    struct channel_data d;
    if (!channel_read(in->data, in->len, &d))
        return BK_ERR_MALFORMED;
    uint32_t i = turn_allocs_find(&s->allocs, in);
    if (i == TURN_NONE)
        return BK_ERR_NOT_OURS; /* section 5: silently ignored */
    uint32_t c = turn_channels_by_number(&s->chans, i, d.number);
    if (c == TURN_NONE || bk_due(turn_channel_at(&s->chans, c)->wait.when, s->now))
        return drop_peer(s);
    return to_peer(s, i, &turn_channel_at(&s->chans, c)->peer, d.data, d.len);
}

static bool is_permitted(const struct turn_service *s, uint32_t alloc, const struct bk_ip *ip) {
    uint32_t i = turn_permissions_find(&s->perms, alloc, ip);
    return i != TURN_NONE && !bk_due(turn_permission_at(&s->perms, i)->wait.when, s->now);
}

/* Section 11.2. DONT-FRAGMENT is not supported, so an indication with it is discarded. */
enum bk_err turn_send_in(struct turn_service *s, const struct bk_datagram *in,
                         const struct stun_msg *m) {
    struct bk_addr peer;
    struct wire_span data;
    struct stun_types unknown;
    uint32_t i = turn_allocs_find(&s->allocs, in);
    if (i == TURN_NONE)
        return BK_ERR_NOT_OURS;
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    if (unknown.count > 0 || stun_has(m, TURN_DONT_FRAGMENT) ||
        stun_get_addr(m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK ||
        stun_get_bytes(m, TURN_DATA_ATTR, &data) != BK_OK)
        return BK_ERR_MALFORMED;
    if (!is_permitted(s, i, &peer.ip))
        return drop_peer(s);
    return to_peer(s, i, &peer, data.data, data.len);
}

/* ---- To clients --------------------------------------------------------------------------- */

static void to_client(struct turn_service *s, const struct turn_alloc *a, size_t len) {
    const struct bk_datagram out = {.local = a->server,
                                    .remote = a->client,
                                    .data = s->buf,
                                    .len = len,
                                    .protocol = a->protocol};
    s->out = out;
    s->has_out = true;
}

/* RFC 8656 section 12.5: MUST be padded on streams. */
static size_t write_channel(struct turn_service *s, const struct turn_alloc *a, uint16_t number,
                            const struct bk_datagram *in) {
    size_t len = CHANNEL_HEADER_LEN + in->len;
    channel_write_header(s->buf, number, in->len);
    if (in->len > 0)
        memcpy(s->buf + CHANNEL_HEADER_LEN, in->data, in->len);
    while (a->protocol == BK_TCP && len % 4 != 0)
        s->buf[len++] = 0;
    return len;
}

static struct stun_builder start_indication(struct turn_service *s, const struct bk_addr *peer) {
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&s->rng, txid, sizeof txid);
    struct stun_builder b = stun_start(s->buf, TURN_OUT_MAX, STUN_INDICATION, TURN_DATA, txid);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, peer);
    return b;
}

/* RFC 8656 section 11.3. 0: too long. */
static size_t write_data(struct turn_service *s, const struct bk_addr *peer,
                         const struct bk_datagram *in) {
    size_t len = 0;
    struct stun_builder b = start_indication(s, peer);
    stun_put_bytes(&b, TURN_DATA_ATTR, in->data, in->len);
    return stun_finish(&b, &len) == BK_OK ? len : 0;
}

/* RFC 8656 section 11.5. */
static size_t write_icmp(struct turn_service *s, const struct bk_addr *peer, uint64_t icmp) {
    size_t len = 0;
    struct stun_builder b = start_indication(s, peer);
    stun_put_u64(&b, TURN_ICMP, icmp);
    return stun_finish(&b, &len) == BK_OK ? len : 0;
}

/* The peer as the client knows it: other clients of this server by their public address. */
static struct bk_addr name_of(const struct turn_service *s, const struct bk_addr *peer) {
    size_t family = turn_family_index(peer->ip.family);
    bool own = has_public(s, family) && bk_ip_equal(&peer->ip, &s->config.relay[family]) &&
               turn_relay_is_open(s, peer);
    return own ? turn_service_public(s, family, peer->port) : *peer;
}

/* RFC 8656 sections 11.3 and 12.7. */
enum bk_err turn_peer_in(struct turn_service *s, uint32_t alloc, const struct bk_datagram *in) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    struct bk_addr peer = name_of(s, &in->remote);
    size_t len;
    peer.ip.zone = 0;
    if (!is_permitted(s, alloc, &peer.ip))
        return drop_peer(s);
    uint32_t c = turn_channels_by_peer(&s->chans, alloc, &peer);
    if (in->len > UINT16_MAX)
        return BK_ERR_TOO_LONG;
    if (!turn_bandwidth_is_open(s, alloc))
        return BK_ERR_FULL;
    if (c != TURN_NONE &&
        !bk_due(turn_channel_at(&s->chans, c)->wait.when, s->now)) /* section 12.5: MUST */
        len = write_channel(s, a, turn_channel_at(&s->chans, c)->number, in);
    else
        len = write_data(s, &peer, in);
    if (len == 0)
        return BK_ERR_TOO_LONG;
    to_client(s, a, len);
    const struct turn_sent sent = {
        .alloc = alloc, .chan = c, .to_client = true, .packets = 1, .bytes = in->len};
    turn_service_sent(s, &sent, s->now);
    return BK_OK;
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
    uint32_t i = turn_relay_owner(service, &error->local);
    const struct bk_addr name = name_of(service, &error->peer);
    if (i == TURN_NONE || !is_told(family, error->type) || !is_permitted(service, i, &name.ip))
        return BK_ERR_NOT_OURS;
    /* RFC 8656 section 18.13: 16 reserved bits, 7 of type, 9 of code; data only where it is an MTU.
     */
    bool too_big = family == BK_IPV4 ? error->type == 3 && error->code == 4 : error->type == 2;
    uint64_t icmp =
        (uint64_t)error->type << 41 | (uint64_t)error->code << 32 | (too_big ? error->mtu : 0);
    to_client(service, turn_service_alloc(service, i), write_icmp(service, &name, icmp));
    return BK_OK;
}
