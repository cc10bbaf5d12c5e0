/* SPDX-License-Identifier: MIT
 * What was sent, and the channels that a fast path may carry. */
#include "turn/service_int.h"

/* A fast path holds the bandwidth of an allocation; a user's is held here. Who is over it is
 * carried by the sockets, until it binds its channels, or permits its peers, again. */
static void hold_user(struct turn_service *s, uint32_t alloc) {
    if (s->config.flows && s->flows > 0 && !turn_user_is_open(s, alloc))
        turn_flows_end(s, alloc, BK_FAMILY_NONE);
}

void turn_service_sent(struct turn_service *service, const struct turn_sent *sent,
                       struct bk_time now) {
    size_t way = sent->to_client ? 1 : 0;
    service->now = bk_later(service->now, now);
    service->counts[sent->to_client ? TURN_COUNT_TO_CLIENT : TURN_COUNT_TO_PEER] += sent->packets;
    service->bytes[way] += sent->bytes;
    if (!turn_alloc_is(&service->allocs, sent->alloc))
        return; /* it has ended meanwhile */
    struct turn_alloc *a = turn_service_alloc(service, sent->alloc);
    a->bytes[way] += sent->bytes;
    a->packets[way] += sent->packets;
    turn_bucket_pay(&a->bucket, sent->bytes);
    struct turn_account *user = turn_account_at(&service->accounts, a->payer[TURN_USER]);
    turn_bucket_pay(&user->bucket, sent->bytes);
    user->bytes += sent->bytes;
    hold_user(service, sent->alloc);
}

static void push(struct turn_service *s, enum turn_action_kind kind, uint32_t chan) {
    const struct turn_due due = {.kind = (uint8_t)kind, .id = chan};
    turn_service_push(s, &due);
}

static void start(struct turn_service *s, uint32_t chan) {
    struct turn_channel *c = turn_channel_at(&s->chans, chan);
    const struct turn_alloc *a = turn_service_alloc(s, c->owner);
    if (a->port[turn_family_index(c->peer.ip.family)] == 0)
        return; /* that half of the allocation is gone */
    if (!s->config.flows || a->protocol != BK_UDP || a->adrift || a->relayed != BK_UDP ||
        turn_ip_is_own(s, &c->peer.ip) || !turn_service_has_room(s, 1))
        return; /* peers behind our own public address are reached by a detour: turn_to_peer() */
    s->flows += !c->flow;
    c->flow = true;
    push(s, TURN_FLOW, chan);
}

void turn_flow_end(struct turn_service *s, uint32_t chan) {
    struct turn_channel *c = turn_channel_at(&s->chans, chan);
    if (!c->flow)
        return;
    c->flow = false;
    s->flows--;
    push(s, TURN_FLOW_END, chan);
}

void turn_flows_again(struct turn_service *s, uint32_t alloc, const struct bk_ip *ip) {
    uint32_t i = s->config.flows ? turn_service_alloc(s, alloc)->first_chan : TURN_NONE;
    for (; i != TURN_NONE; i = turn_channel_at(&s->chans, i)->next)
        if (ip == NULL || bk_ip_equal(ip, &turn_channel_at(&s->chans, i)->peer.ip))
            start(s, i);
}

void turn_flows_end(struct turn_service *s, uint32_t alloc, uint8_t family) {
    uint32_t i = s->config.flows ? turn_service_alloc(s, alloc)->first_chan : TURN_NONE;
    for (; i != TURN_NONE; i = turn_channel_at(&s->chans, i)->next)
        if (family == BK_FAMILY_NONE || turn_channel_at(&s->chans, i)->peer.ip.family == family)
            turn_flow_end(s, i);
}
