/* SPDX-License-Identifier: MIT
 * CreatePermission and ChannelBind, RFC 8656 sections 10.2 and 12.2. */
#include "turn/service_int.h"

#include "wire/channel.h"

enum { PEERS_MAX = 64 }; /* in one CreatePermission */

#define PERMISSION_US (300 * BK_US_PER_S) /* section 9: MUST */
#define CHANNEL_US (600 * BK_US_PER_S)    /* section 12 */

bool turn_ip_is_own(const struct turn_service *s, const struct bk_ip *ip) {
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        if (bk_ip_equal(ip, &s->config.relay[i]) || bk_ip_equal(ip, &s->config.public[i]))
            return true;
    return false;
}

/* Two clients of this server may meet here, whatever its address is. What else runs on it stays out
 * of reach, unless its address was opened: turn_peer_is_open(); the service itself, too, so that no
 * data go round in a loop (RFC 8656 section 21.1.7). */
static bool may_permit(const struct turn_service *s, const struct bk_ip *ip) {
    const struct turn_filter *f = &s->config.filter;
    return turn_filter_opens(f, ip) || turn_filter_allows(f, ip) ||
           (turn_ip_is_own(s, ip) && !turn_filter_denies(f, ip));
}

bool turn_peer_is_open(const struct turn_service *s, const struct bk_addr *peer) {
    if (turn_filter_opens(&s->config.filter, &peer->ip) || !turn_ip_is_own(s, &peer->ip))
        return true; /* its permission was given by may_permit() */
    return turn_relay_is_open(s, peer);
}

uint16_t turn_peer_judge(const struct turn_service *s, const struct turn_alloc *a,
                         const struct bk_addr *peer) {
    if (a->port[turn_family_index(peer->ip.family)] == 0)
        return TURN_CODE_PEER_FAMILY_MISMATCH; /* sections 10.2 and 12.2: MUST */
    return may_permit(s, &peer->ip) ? 0 : STUN_CODE_FORBIDDEN;
}

bool turn_add_permission(struct turn_service *s, uint32_t alloc, const struct bk_ip *ip,
                         struct bk_time expires) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint32_t i = turn_permissions_find(&s->perms, alloc, ip);
    if (i == TURN_NONE && turn_share_is_taken(s, alloc, ip))
        return false;
    if (i == TURN_NONE) {
        i = turn_permissions_add(&s->perms, a, alloc, ip,
                                 turn_share_relay(s, a, turn_family_index(ip->family)));
        if (i == TURN_NONE)
            return false;
        turn_quota_hold(s, a, TURN_HELD_PERMISSIONS, 1);
    }
    waits_set(&s->perms.waits, i, expires, s->now);
    turn_flows_again(s, alloc, ip);
    return true;
}

static bool permit(struct turn_service *s, uint32_t alloc, const struct bk_ip *ip) {
    return turn_add_permission(s, alloc, ip, bk_after(s->now, PERMISSION_US));
}

/* A peer that another client of the same port has: it could not be told whose its datagrams are. */
static uint16_t judge_share(struct turn_service *s, const struct turn_ask *ask) {
    if (!turn_share_is_taken(s, ask->alloc, &ask->peer.ip))
        return 0;
    turn_refuse(s, ask, TURN_RULE_SHARED_PORT, TURN_CODE_INSUFFICIENT_CAPACITY);
    return TURN_CODE_INSUFFICIENT_CAPACITY;
}

/* All peers of a request, checked before anything is done: all or nothing. */
static uint16_t read_peers(struct turn_service *s, struct turn_ask *ask, struct bk_ip *ips,
                           size_t *count) {
    const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    struct stun_iter it = stun_attrs(&ask->m);
    struct stun_attr attr;
    size_t fresh = 0;
    *count = 0;
    while (stun_next_attr(&it, &attr)) {
        struct bk_addr peer;
        if (attr.type != TURN_XOR_PEER_ADDRESS)
            continue;
        if (stun_read_addr(&ask->m, &attr, &peer) != BK_OK)
            return STUN_CODE_BAD_REQUEST;
        ask->peer = peer;
        uint16_t code = turn_peer_judge(s, a, &peer);
        if (code == 0)
            code = judge_share(s, ask);
        if (code != 0)
            return code;
        if (*count == PEERS_MAX)
            return TURN_CODE_INSUFFICIENT_CAPACITY;
        fresh += turn_permissions_find(&s->perms, ask->alloc, &peer.ip) == TURN_NONE;
        ips[(*count)++] = peer.ip;
    }
    if (*count == 0)
        return STUN_CODE_BAD_REQUEST; /* section 10.2: at least one */
    return turn_quota_permissions(s, ask, fresh);
}

void turn_do_create_permission(struct turn_service *s, struct turn_ask *ask) {
    struct bk_ip ips[PEERS_MAX];
    size_t count;
    uint16_t code = read_peers(s, ask, ips, &count);
    for (size_t i = 0; code == 0 && i < count; i++)
        code = permit(s, ask->alloc, &ips[i]) ? 0 : TURN_CODE_INSUFFICIENT_CAPACITY;
    if (code != 0) {
        turn_answer_error(s, ask, code);
        return;
    }
    s->counts[TURN_COUNT_PERMITTED]++;
    turn_answer_start(s, ask);
    turn_answer_send(s, ask);
}

/* Section 12.2: the channel that the request names, TURN_NONE if it is a new one; or a code. */
static uint16_t find_channel(struct turn_service *s, const struct turn_ask *ask, uint16_t number,
                             const struct bk_addr *peer, uint32_t *out) {
    uint32_t by_number = turn_channels_by_number(&s->chans, ask->alloc, number);
    uint32_t by_peer = turn_channels_by_peer(&s->chans, ask->alloc, peer);
    if (by_number != by_peer)
        return STUN_CODE_BAD_REQUEST; /* bound to another peer, or the peer to another number */
    *out = by_number;
    return by_number != TURN_NONE ? 0 : turn_quota_channels(s, ask, 1);
}

uint32_t turn_add_channel(struct turn_service *s, uint32_t alloc, uint16_t number,
                          const struct bk_addr *peer) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint32_t i = turn_channels_add(&s->chans, a, alloc, number, peer);
    if (i != TURN_NONE)
        turn_quota_hold(s, a, TURN_HELD_CHANNELS, 1);
    return i;
}

/* RFC 8656 section 12.2 ends at 0x4fff. This departs from it: clients of RFC 5766, coturn's own
 * among them, draw from 0x4000 to 0x7fff, and would be left without channels for nobody's benefit.
 */
static uint16_t bind(struct turn_service *s, struct turn_ask *ask) {
    const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    uint16_t number;
    struct bk_addr peer;
    uint32_t i = TURN_NONE;
    if (stun_get_port(&ask->m, TURN_CHANNEL_NUMBER, &number) != BK_OK ||
        stun_get_addr(&ask->m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK || number < CHANNEL_MIN ||
        number > CHANNEL_OLD_MAX || peer.port == 0 || a->relayed != BK_UDP)
        return STUN_CODE_BAD_REQUEST;
    ask->peer = peer;
    uint16_t code = turn_peer_judge(s, a, &peer);
    if (code == 0 && !turn_peer_is_open(s, &peer))
        code = STUN_CODE_FORBIDDEN;
    if (code == 0)
        code = judge_share(s, ask);
    if (code == 0)
        code = find_channel(s, ask, number, &peer, &i);
    bool fresh = turn_permissions_find(&s->perms, ask->alloc, &peer.ip) == TURN_NONE;
    if (code == 0)
        code = turn_quota_permissions(s, ask, fresh ? 1 : 0);
    if (code != 0)
        return code;
    if (i == TURN_NONE)
        i = turn_add_channel(s, ask->alloc, number, &peer);
    if (i == TURN_NONE)
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    waits_set(&s->chans.waits, i, bk_after(s->now, CHANNEL_US), s->now);
    /* section 12.2: installs or refreshes it, too */
    return permit(s, ask->alloc, &peer.ip) ? 0 : TURN_CODE_INSUFFICIENT_CAPACITY;
}

void turn_do_channel_bind(struct turn_service *s, struct turn_ask *ask) {
    uint16_t code = bind(s, ask);
    if (code != 0) {
        turn_answer_error(s, ask, code);
        return;
    }
    s->counts[TURN_COUNT_BOUND]++;
    turn_answer_start(s, ask);
    turn_answer_send(s, ask);
}
