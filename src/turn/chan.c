/* SPDX-License-Identifier: MIT */
#include "turn/chan.h"

#include "base/assert.h"

#include <string.h>

enum { NUMBER_KEY_LEN = 6, PEER_KEY_LEN = 4 + 19 };

static void number_key(uint32_t owner, uint16_t number, uint8_t out[NUMBER_KEY_LEN]) {
    memcpy(out, &owner, sizeof owner);
    memcpy(out + 4, &number, sizeof number);
}

static void peer_key(uint32_t owner, const struct bk_addr *peer, uint8_t out[PEER_KEY_LEN]) {
    memcpy(out, &owner, sizeof owner);
    out[4] = peer->ip.family;
    memcpy(out + 5, peer->ip.bytes, 16);
    memcpy(out + 21, &peer->port, sizeof peer->port);
}

enum bk_err turn_channels_init(struct turn_channels *c, uint32_t max, const struct bk_rng *rng,
                               const struct bk_alloc *alloc) {
    memset(c, 0, sizeof *c);
    c->alloc = *alloc;
    c->max = max;
    c->list = alloc->get(alloc->ctx, max * sizeof *c->list);
    if (c->list == NULL)
        return BK_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < max; i++) {
        c->list[i].owner = TURN_NONE;
        c->list[i].next = i + 1 < max ? i + 1 : TURN_NONE;
    }
    enum bk_err err = table_init(&c->by_number, NUMBER_KEY_LEN, max, rng, alloc);
    return err != BK_OK ? err : table_init(&c->by_peer, PEER_KEY_LEN, max, rng, alloc);
}

void turn_channels_fini(struct turn_channels *c) {
    if (c->by_number.slots != NULL)
        table_fini(&c->by_number);
    if (c->by_peer.slots != NULL)
        table_fini(&c->by_peer);
    if (c->list != NULL)
        c->alloc.put(c->alloc.ctx, c->list);
    memset(c, 0, sizeof *c);
}

uint32_t turn_channels_by_number(const struct turn_channels *c, uint32_t owner, uint16_t number) {
    uint8_t key[NUMBER_KEY_LEN];
    uint32_t i = TURN_NONE;
    number_key(owner, number, key);
    return table_get(&c->by_number, key, &i) ? i : TURN_NONE;
}

uint32_t turn_channels_by_peer(const struct turn_channels *c, uint32_t owner,
                               const struct bk_addr *peer) {
    uint8_t key[PEER_KEY_LEN];
    uint32_t i = TURN_NONE;
    peer_key(owner, peer, key);
    return table_get(&c->by_peer, key, &i) ? i : TURN_NONE;
}

static void index_it(struct turn_channels *c, uint32_t i) {
    const struct turn_channel *chan = &c->list[i];
    uint8_t number[NUMBER_KEY_LEN], peer[PEER_KEY_LEN];
    number_key(chan->owner, chan->number, number);
    peer_key(chan->owner, &chan->peer, peer);
    enum bk_err err = table_put(&c->by_number, number, i);
    bk_assert(err == BK_OK);
    err = table_put(&c->by_peer, peer, i);
    bk_assert(err == BK_OK);
}

uint32_t turn_channels_add(struct turn_channels *c, struct turn_alloc *a, uint32_t owner,
                           uint16_t number, const struct bk_addr *peer) {
    uint32_t i = c->first_free;
    if (c->count == c->max)
        return TURN_NONE;
    struct turn_channel *chan = &c->list[i];
    c->first_free = chan->next;
    c->count++;
    chan->peer = *peer;
    chan->number = number;
    chan->owner = owner;
    chan->prev = TURN_NONE;
    chan->next = a->first_chan;
    if (chan->next != TURN_NONE)
        c->list[chan->next].prev = i;
    a->first_chan = i;
    a->chans++;
    index_it(c, i);
    return i;
}

void turn_channels_remove(struct turn_channels *c, struct turn_alloc *a, uint32_t i) {
    struct turn_channel *chan = &c->list[i];
    uint8_t number[NUMBER_KEY_LEN], peer[PEER_KEY_LEN];
    bk_assert(chan->owner != TURN_NONE);
    number_key(chan->owner, chan->number, number);
    peer_key(chan->owner, &chan->peer, peer);
    (void)table_remove(&c->by_number, number);
    (void)table_remove(&c->by_peer, peer);
    if (chan->prev == TURN_NONE)
        a->first_chan = chan->next;
    else
        c->list[chan->prev].next = chan->next;
    if (chan->next != TURN_NONE)
        c->list[chan->next].prev = chan->prev;
    a->chans--;
    chan->owner = TURN_NONE;
    chan->next = c->first_free;
    c->first_free = i;
    c->count--;
}
