/* SPDX-License-Identifier: MIT
 * Permissions and channels as the client wants them. */
#include "turn/client.h"

#include "wire/channel.h"

#include <string.h>

enum { IP_KEY_LEN = 17, ADDR_KEY_LEN = 19 };

#define LINGER_US (300 * BK_US_PER_S)  /* RFC 8656 section 12: MUST wait 5 minutes */
#define CHANNEL_US (600 * BK_US_PER_S) /* RFC 8656 section 12 */

static enum bk_err init_index(struct turn_peers *p, const struct bk_rng *rng,
                              const struct bk_alloc *alloc) {
    p->index = alloc->get(alloc->ctx, sizeof *p->index);
    if (p->index == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = table_init(&p->index->perms, IP_KEY_LEN, p->max, rng, alloc);
    if (err == BK_OK)
        err = table_init(&p->index->chans, ADDR_KEY_LEN, p->max, rng, alloc);
    return err;
}

enum bk_err turn_peers_init(struct turn_peers *p, uint32_t max, const struct bk_rng *rng,
                            const struct bk_alloc *alloc) {
    memset(p, 0, sizeof *p);
    p->max = (uint16_t)max;
    p->perms = alloc->get(alloc->ctx, max * (sizeof *p->perms + sizeof *p->chans));
    if (p->perms == NULL)
        return BK_ERR_NO_MEMORY;
    p->chans = (struct turn_chan *)(p->perms + max);
    return max < TURN_INDEX_FROM ? BK_OK : init_index(p, rng, alloc);
}

void turn_peers_fini(struct turn_peers *p, const struct bk_alloc *alloc) {
    if (p->index != NULL) {
        table_fini(&p->index->perms);
        table_fini(&p->index->chans);
        alloc->put(alloc->ctx, p->index);
    }
    alloc->put(alloc->ctx, p->perms);
    memset(p, 0, sizeof *p);
}

static void ip_key(const struct bk_ip *ip, uint8_t out[IP_KEY_LEN]) {
    out[0] = ip->family;
    memcpy(out + 1, ip->bytes, 16);
}

static void addr_key(const struct bk_addr *addr, uint8_t out[ADDR_KEY_LEN]) {
    ip_key(&addr->ip, out);
    out[17] = (uint8_t)(addr->port >> 8);
    out[18] = (uint8_t)addr->port;
}

struct turn_perm *turn_peers_perm(const struct turn_peers *p, const struct bk_ip *ip) {
    if (p->index != NULL) {
        uint8_t key[IP_KEY_LEN];
        uint32_t at;
        ip_key(ip, key);
        return table_get(&p->index->perms, key, &at) ? &p->perms[at] : NULL;
    }
    for (size_t i = 0; i < p->max; i++)
        if (p->perms[i].state != PERM_FREE && bk_ip_equal(&p->perms[i].ip, ip))
            return &p->perms[i];
    return NULL;
}

struct turn_chan *turn_peers_chan(struct turn_peers *p, const struct bk_addr *peer) {
    struct turn_chan *last = &p->chans[p->last]; /* data comes in runs */
    if (last->state != CHAN_FREE && bk_addr_equal(&last->peer, peer))
        return last;
    if (p->index != NULL) {
        uint8_t key[ADDR_KEY_LEN];
        uint32_t at;
        addr_key(peer, key);
        if (!table_get(&p->index->chans, key, &at))
            return NULL;
        p->last = (uint16_t)at;
        return &p->chans[at];
    }
    for (size_t i = 0; i < p->max; i++) {
        if (p->chans[i].state != CHAN_FREE && bk_addr_equal(&p->chans[i].peer, peer)) {
            p->last = (uint16_t)i;
            return &p->chans[i];
        }
    }
    return NULL;
}

static void free_perm(struct turn_peers *p, struct turn_perm *perm) {
    uint8_t key[IP_KEY_LEN];
    ip_key(&perm->ip, key);
    if (p->index != NULL)
        (void)table_remove(&p->index->perms, key);
    if (perm->tell)
        p->tells--;
    memset(perm, 0, sizeof *perm);
}

static void free_chan(struct turn_peers *p, struct turn_chan *chan) {
    uint8_t key[ADDR_KEY_LEN];
    addr_key(&chan->peer, key);
    if (p->index != NULL)
        (void)table_remove(&p->index->chans, key);
    if (chan->tell)
        p->tells--;
    memset(chan, 0, sizeof *chan);
}

void turn_peers_tidy(struct turn_peers *p, struct bk_time now) {
    for (size_t i = 0; i < p->max; i++) {
        struct turn_chan *c = &p->chans[i];
        struct turn_perm *perm = &p->perms[i];
        if (c->state == CHAN_LINGER && c->task == 0 && bk_due(c->expires, now))
            free_chan(p, c);
        bool unwanted = !perm->wanted && perm->channels == 0;
        if (perm->state != PERM_FREE && unwanted && perm->task == 0 && !perm->tell)
            free_perm(p, perm);
    }
}

static struct turn_perm *new_perm(struct turn_peers *p, const struct bk_addr *peer) {
    uint8_t key[IP_KEY_LEN];
    size_t i = 0;
    while (i < p->max && p->perms[i].state != PERM_FREE)
        i++;
    if (i == p->max)
        return NULL;
    ip_key(&peer->ip, key);
    if (p->index != NULL && table_put(&p->index->perms, key, (uint32_t)i) != BK_OK)
        return NULL;
    p->perms[i].state = PERM_ASKED;
    p->perms[i].ip = peer->ip;
    p->perms[i].port = peer->port;
    p->perms[i].renew = BK_NEVER;
    return &p->perms[i];
}

static struct turn_chan *new_chan(struct turn_peers *p, const struct bk_addr *peer) {
    uint8_t key[ADDR_KEY_LEN];
    size_t i = 0;
    while (i < p->max && p->chans[i].state != CHAN_FREE)
        i++;
    if (i == p->max)
        return NULL;
    addr_key(peer, key);
    if (p->index != NULL && table_put(&p->index->chans, key, (uint32_t)i) != BK_OK)
        return NULL;
    p->chans[i].peer = *peer;
    p->chans[i].state = CHAN_LINGER; /* its owner wakes it up */
    p->chans[i].expires = (struct bk_time){0};
    return &p->chans[i];
}

/* A refusal that the caller has not fetched yet is void: it asks again. */
static void revive(struct turn_peers *p, struct turn_perm *perm) {
    if (perm->state != PERM_REFUSED)
        return;
    perm->state = PERM_ASKED;
    perm->renew = BK_NEVER;
    perm->channels = 0;
    perm->wanted = perm->alone = false;
    if (perm->tell)
        p->tells--;
    perm->tell = false;
}

enum bk_err turn_peers_add(struct turn_peers *p, const struct bk_addr *peer, bool channel,
                           struct bk_time now) {
    struct turn_chan *chan = turn_peers_chan(p, peer);
    struct turn_perm *perm = turn_peers_perm(p, &peer->ip);
    if (perm != NULL)
        revive(p, perm);
    bool has_perm = perm != NULL && (perm->wanted || perm->channels > 0);
    bool has_chan = chan != NULL && chan->state != CHAN_LINGER;
    if (channel ? has_chan : has_perm)
        return BK_ERR_EXISTS;
    if (perm == NULL)
        perm = new_perm(p, peer);
    if (channel && chan == NULL)
        chan = new_chan(p, peer);
    if (perm == NULL || (channel && chan == NULL)) {
        turn_peers_tidy(p, now); /* takes the half that was found back */
        return BK_ERR_FULL;
    }
    if (channel) {
        chan->state = CHAN_ASKED;
        chan->perm = (uint16_t)(perm - p->perms);
        chan->renew = now;
        perm->channels++;
    } else {
        perm->wanted = true;
        perm->port = peer->port;
        perm->renew = now;
    }
    return BK_OK;
}

static void forget_chan(struct turn_peers *p, struct turn_chan *chan, struct bk_time now) {
    bool was_sent = chan->state == CHAN_BOUND || chan->task != 0;
    if (chan->state == CHAN_BOUND)
        chan->expires = bk_after(chan->expires, LINGER_US);
    else
        chan->expires = was_sent ? bk_after(now, CHANNEL_US + LINGER_US) : now;
    if (chan->tell)
        p->tells--;
    chan->tell = false;
    chan->state = CHAN_LINGER;
    chan->renew = BK_NEVER;
    p->perms[chan->perm].channels--;
}

enum bk_err turn_peers_forget(struct turn_peers *p, const struct bk_addr *peer,
                              struct bk_time now) {
    struct turn_chan *chan = turn_peers_chan(p, peer);
    struct turn_perm *perm = turn_peers_perm(p, &peer->ip);
    bool has_chan = chan != NULL && chan->state != CHAN_LINGER;
    bool has_perm = perm != NULL && perm->wanted && (perm->port == peer->port || !has_chan);
    if (!has_chan && !has_perm)
        return BK_ERR_NOT_FOUND;
    if (has_chan)
        forget_chan(p, chan, now);
    if (has_perm)
        perm->wanted = false;
    if (perm != NULL && !perm->wanted && perm->channels == 0) {
        if (perm->tell)
            p->tells--;
        perm->tell = false;
        perm->renew = BK_NEVER;
    }
    turn_peers_tidy(p, now);
    return BK_OK;
}

void turn_peers_refuse(struct turn_peers *p, struct turn_perm *perm, uint16_t code,
                       struct bk_time now) {
    for (size_t i = 0; perm->channels > 0 && i < p->max; i++) {
        struct turn_chan *c = &p->chans[i];
        if (c->state != CHAN_FREE && c->state != CHAN_LINGER && &p->perms[c->perm] == perm)
            forget_chan(p, c, now);
    }
    perm->state = PERM_REFUSED;
    perm->code = code;
    perm->wanted = false;
    perm->renew = BK_NEVER;
    turn_peers_tell_perm(p, perm);
}

void turn_peers_restart(struct turn_peers *p, struct bk_time now) {
    for (size_t i = 0; i < p->max; i++) {
        struct turn_chan *c = &p->chans[i];
        struct turn_perm *perm = &p->perms[i];
        c->task = perm->task = 0;
        if (c->tell)
            p->tells--;
        c->tell = false;
        if (perm->tell && perm->state != PERM_REFUSED) {
            p->tells--;
            perm->tell = false;
        }
        if (c->state == CHAN_LINGER)
            c->expires = now; /* RFC 8656 section 12: channels belong to one allocation */
        if (c->state == CHAN_BOUND || c->state == CHAN_REFUSED)
            c->state = CHAN_ASKED;
        if (c->state == CHAN_ASKED)
            c->renew = now;
        if (perm->state == PERM_ON)
            perm->state = PERM_ASKED;
        if (perm->state == PERM_ASKED)
            perm->renew = perm->wanted ? now : BK_NEVER;
    }
    turn_peers_tidy(p, now);
}

void turn_peers_tell_perm(struct turn_peers *p, struct turn_perm *perm) {
    if (!perm->tell)
        p->tells++;
    perm->tell = true;
}

void turn_peers_tell_chan(struct turn_peers *p, struct turn_chan *chan) {
    if (!chan->tell)
        p->tells++;
    chan->tell = true;
}

static void take_perm_event(struct turn_peers *p, struct turn_perm *perm,
                            struct bk_turn_event *out) {
    perm->tell = false;
    p->tells--;
    out->kind = perm->state == PERM_REFUSED ? BK_TURN_REFUSED : BK_TURN_PERMITTED;
    out->peer = bk_addr(perm->ip, perm->port);
    out->code = perm->code;
    if (perm->state == PERM_REFUSED)
        free_perm(p, perm);
}

bool turn_peers_next(struct turn_peers *p, struct bk_turn_event *out) {
    for (size_t i = 0; p->tells > 0 && i < p->max; i++) {
        if (p->chans[i].tell) {
            p->chans[i].tell = false;
            p->tells--;
            out->kind = BK_TURN_PERMITTED;
            out->peer = p->chans[i].peer;
            return true;
        }
        if (p->perms[i].tell) {
            take_perm_event(p, &p->perms[i], out);
            return true;
        }
    }
    return false;
}
