/* SPDX-License-Identifier: MIT */
#include "server/upgrade_stay.h"

#include "base/links.h"
#include "base/table.h"
#include "box/box.h"
#include "net/alloc.h"
#include "server/upgrade_channel.h"
#include <pthread.h>
#include <string.h>

enum { TUPLE_LEN = 38 };

struct one {
    struct link link;
    struct bk_addr remote, local;
};

struct upgrade_stay {
    pthread_mutex_t lock; /* guards all that follows: main takes out, the worker asks */
    struct pool pool;
    struct links links;
    uint64_t seed[2];
    int channel;
    uint16_t worker;
    uint8_t bytes[UPGRADE_MESSAGE_MAX];
};

static uint32_t hash_of(const struct upgrade_stay *s, const struct bk_addr *remote,
                        const struct bk_addr *local) {
    uint8_t key[TUPLE_LEN];
    memcpy(key, remote->ip.bytes, 16);
    memcpy(key + 16, &remote->port, 2);
    memcpy(key + 18, local->ip.bytes, 16);
    memcpy(key + 34, &local->port, 2);
    key[36] = remote->ip.family;
    key[37] = local->ip.family;
    return (uint32_t)siphash24(s->seed, key, sizeof key);
}

static uint32_t find(const struct upgrade_stay *s, const struct bk_addr *remote,
                     const struct bk_addr *local) {
    uint32_t i = links_first(&s->links, hash_of(s, remote, local));
    for (; i != POOL_NONE; i = links_next(&s->links, i)) {
        const struct one *o = pool_at(&s->pool, i);
        if (bk_addr_equal(&o->remote, remote) && bk_addr_equal(&o->local, local))
            break;
    }
    return i;
}

enum bk_err upgrade_stay_new(int channel, uint16_t worker, struct upgrade_stay **out) {
    const struct bk_alloc *alloc = net_alloc();
    const struct bk_rng rng = box_rng();
    struct upgrade_stay *s = alloc->get(alloc->ctx, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    s->channel = channel;
    s->worker = worker;
    rng.fill(rng.ctx, s->seed, sizeof s->seed);
    enum bk_err err = pool_init(&s->pool, sizeof(struct one), UPGRADE_STAY_MAX, alloc);
    if (err == BK_OK)
        err = links_init(&s->links, &s->pool, offsetof(struct one, link), alloc);
    if (err == BK_OK && pthread_mutex_init(&s->lock, NULL) != 0)
        err = BK_ERR_NO_MEMORY;
    if (err != BK_OK) {
        links_fini(&s->links);
        pool_fini(&s->pool);
        alloc->put(alloc->ctx, s);
        return err;
    }
    *out = s;
    return BK_OK;
}

void upgrade_stay_free(struct upgrade_stay *s) {
    const struct bk_alloc *alloc = net_alloc();
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->lock);
    links_fini(&s->links);
    pool_fini(&s->pool);
    alloc->put(alloc->ctx, s);
}

enum bk_err upgrade_stay_add(struct upgrade_stay *s, const struct bk_addr *remote,
                             const struct bk_addr *local) {
    pthread_mutex_lock(&s->lock);
    uint32_t i = find(s, remote, local);
    bool known = i != POOL_NONE;
    if (!known)
        i = pool_take(&s->pool);
    if (!known && i != POOL_NONE) {
        struct one *o = pool_at(&s->pool, i);
        o->remote = *remote;
        o->local = *local;
        links_add(&s->links, i, hash_of(s, remote, local));
    }
    pthread_mutex_unlock(&s->lock);
    return i == POOL_NONE ? BK_ERR_FULL : BK_OK;
}

void upgrade_stay_remove(struct upgrade_stay *s, const struct bk_addr *remote,
                         const struct bk_addr *local) {
    pthread_mutex_lock(&s->lock);
    uint32_t i = find(s, remote, local);
    if (i != POOL_NONE) {
        links_remove(&s->links, i);
        pool_give(&s->pool, i);
    }
    pthread_mutex_unlock(&s->lock);
}

void upgrade_stay_end(struct upgrade_stay *s) {
    pthread_mutex_lock(&s->lock);
    s->channel = -1;
    pthread_mutex_unlock(&s->lock);
}

/* Where the other one cannot keep up, they are lost, as datagrams may be. */
static void send_each(struct upgrade_stay *s, const struct bk_datagram *in) {
    struct upgrade_record r = {
        .kind = UPGRADE_DATAGRAM, .worker = s->worker, .remote = in->remote, .local = in->local};
    const size_t segment = in->segment == 0 ? in->len : in->segment;
    for (size_t at = 0; at < in->len; at += segment) {
        struct wire_writer w = wire_writer(s->bytes, sizeof s->bytes);
        r.data = in->data + at;
        r.len = in->len - at < segment ? in->len - at : segment;
        if (upgrade_put(&w, &r) == BK_OK)
            (void)!upgrade_channel_try(s->channel, s->bytes, w.len);
    }
}

bool upgrade_stay_pass_on(struct upgrade_stay *s, const struct bk_datagram *in) {
    pthread_mutex_lock(&s->lock);
    bool stayed =
        s->channel >= 0 && s->pool.count > 0 && find(s, &in->remote, &in->local) != POOL_NONE;
    if (stayed)
        send_each(s, in);
    pthread_mutex_unlock(&s->lock);
    return stayed;
}
