/* SPDX-License-Identifier: MIT
 * bodkin/stun.h: the binding client for embedders. */
#include "stun/client.h"

#include <bodkin/stun.h>

#include "base/wipe.h"

struct bk_stun {
    struct stun_client client;
    struct bk_alloc alloc;
};

const struct bk_stun_config bk_stun_config_default = {
    .rto_us = 500 * BK_US_PER_MS,
    .sends_max = 7,
    .last_wait = 16,
};

enum bk_err bk_stun_new(const struct bk_stun_config *config, const struct bk_alloc *alloc,
                        const struct bk_rng *rng, struct bk_time now, struct bk_stun **out) {
    struct stun_client_config inner = stun_client_config_default;
    inner.local = config->local;
    inner.server = config->server;
    inner.txn.rto_us = config->rto_us;
    inner.txn.rc = config->sends_max;
    inner.txn.rm = config->last_wait;
    inner.every_us = config->every_us;
    struct bk_stun *stun = alloc->get(alloc->ctx, sizeof *stun);
    if (stun == NULL)
        return BK_ERR_NO_MEMORY;
    stun->alloc = *alloc;
    enum bk_err err = stun_client_init(&stun->client, &inner, rng, now);
    if (err != BK_OK) {
        bk_stun_free(stun);
        return err;
    }
    *out = stun;
    return BK_OK;
}

void bk_stun_free(struct bk_stun *stun) {
    if (stun == NULL)
        return;
    struct bk_alloc alloc = stun->alloc;
    wipe(stun, sizeof *stun);
    alloc.put(alloc.ctx, stun);
}

void bk_stun_ask_now(struct bk_stun *stun, struct bk_time now) {
    stun_client_ask_now(&stun->client, now);
}

enum bk_err bk_stun_recv(struct bk_stun *stun, const struct bk_datagram *in, struct bk_time now) {
    return stun_client_recv(&stun->client, in, now);
}

void bk_stun_advance(struct bk_stun *stun, struct bk_time now) {
    stun_client_advance(&stun->client, now);
}

struct bk_time bk_stun_deadline(const struct bk_stun *stun) {
    return stun_client_deadline(&stun->client);
}

bool bk_stun_next_datagram(struct bk_stun *stun, struct bk_datagram *out) {
    return stun_client_next_datagram(&stun->client, out);
}

bool bk_stun_next_event(struct bk_stun *stun, struct bk_stun_event *out) {
    struct stun_client_event e;
    if (!stun_client_next_event(&stun->client, &e))
        return false;
    const struct bk_stun_event event = {
        .kind = e.kind == STUN_CLIENT_MAPPED ? BK_STUN_MAPPED : BK_STUN_FAILED,
        .local = e.local,
        .server = e.server,
        .mapped = e.mapped,
        .rtt_us = e.rtt.us,
        .rtt_exact = e.rtt.exact,
        .changed = e.changed,
        .err = e.err,
        .code = e.code,
        .alternate = e.alternate,
    };
    *out = event;
    return true;
}
