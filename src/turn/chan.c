/* SPDX-License-Identifier: MIT */
#include "turn/chan.h"

#include "base/assert.h"
#include "base/table.h"
#include "turn/key.h"

#include <string.h>

static uint32_t number_hash(const struct turn_channels *c, uint32_t owner, uint16_t number) {
    uint8_t key[sizeof owner + sizeof number];
    memcpy(key, &owner, sizeof owner);
    memcpy(key + sizeof owner, &number, sizeof number);
    return (uint32_t)siphash24(c->seed, key, sizeof key);
}

static uint32_t peer_hash(const struct turn_channels *c, uint32_t owner,
                          const struct bk_addr *peer) {
    uint8_t key[sizeof owner + TURN_KEY_ADDR];
    memcpy(key, &owner, sizeof owner);
    return (uint32_t)siphash24(c->seed, key,
                               sizeof owner + turn_key_addr(key + sizeof owner, peer));
}

enum bk_err turn_channels_init(struct turn_channels *c, uint32_t max, const struct bk_rng *rng,
                               const struct bk_alloc *alloc) {
    rng->fill(rng->ctx, c->seed, sizeof c->seed);
    enum bk_err err = pool_init(&c->pool, sizeof(struct turn_channel), max, alloc);
    waits_init(&c->waits, &c->pool, offsetof(struct turn_channel, wait));
    if (err == BK_OK)
        err = links_init(&c->by_number, &c->pool, offsetof(struct turn_channel, by_number), alloc);
    if (err == BK_OK)
        err = links_init(&c->by_peer, &c->pool, offsetof(struct turn_channel, by_peer), alloc);
    return err;
}

void turn_channels_fini(struct turn_channels *c) {
    links_fini(&c->by_number);
    links_fini(&c->by_peer);
    pool_fini(&c->pool);
}

uint32_t turn_channels_by_number(const struct turn_channels *c, uint32_t owner, uint16_t number) {
    uint32_t i = links_first(&c->by_number, number_hash(c, owner, number));
    for (; i != POOL_NONE; i = links_next(&c->by_number, i)) {
        const struct turn_channel *chan = turn_channel_at(c, i);
        if (chan->owner == owner && chan->number == number)
            return i;
    }
    return TURN_NONE;
}

uint32_t turn_channels_by_peer(const struct turn_channels *c, uint32_t owner,
                               const struct bk_addr *peer) {
    uint32_t i = links_first(&c->by_peer, peer_hash(c, owner, peer));
    for (; i != POOL_NONE; i = links_next(&c->by_peer, i)) {
        const struct turn_channel *chan = turn_channel_at(c, i);
        if (chan->owner == owner && bk_addr_equal(&chan->peer, peer))
            return i;
    }
    return TURN_NONE;
}

uint32_t turn_channels_add(struct turn_channels *c, struct turn_alloc *a, uint32_t owner,
                           uint16_t number, const struct bk_addr *peer) {
    uint32_t i = pool_take(&c->pool);
    if (i == POOL_NONE)
        return TURN_NONE;
    struct turn_channel *chan = turn_channel_at(c, i);
    chan->peer = *peer;
    chan->number = number;
    chan->owner = owner;
    chan->prev = TURN_NONE;
    chan->next = a->first_chan;
    if (chan->next != TURN_NONE)
        turn_channel_at(c, chan->next)->prev = i;
    a->first_chan = i;
    a->chans++;
    links_add(&c->by_number, i, number_hash(c, owner, number));
    links_add(&c->by_peer, i, peer_hash(c, owner, peer));
    return i;
}

void turn_channels_remove(struct turn_channels *c, struct turn_alloc *a, uint32_t i) {
    struct turn_channel *chan = turn_channel_at(c, i);
    waits_set(&c->waits, i, BK_NEVER, BK_NEVER);
    links_remove(&c->by_number, i);
    links_remove(&c->by_peer, i);
    if (chan->prev == TURN_NONE)
        a->first_chan = chan->next;
    else
        turn_channel_at(c, chan->prev)->next = chan->next;
    if (chan->next != TURN_NONE)
        turn_channel_at(c, chan->next)->prev = chan->prev;
    a->chans--;
    pool_give(&c->pool, i);
}
