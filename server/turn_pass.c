/* SPDX-License-Identifier: MIT
 * Clients that moved (RFC 8016) and that the kernel deals to another worker than the one that has
 * their allocation: their datagrams are passed on. The owner answers from its own socket, which has
 * the same address. A client that is forgotten here, because too many others moved, is remembered
 * again with its next Refresh. */
#include "server/turn_int.h"

#include "base/table.h"
#include "box/box.h"
#include "server/worker.h"
#include <string.h>

static struct turn_pass *place_of(struct turn_passes *p, const struct bk_datagram *in) {
    uint8_t key[19 + 19];
    memcpy(key, in->remote.ip.bytes, 16);
    memcpy(key + 16, &in->remote.port, 2);
    key[18] = in->remote.ip.family;
    memcpy(key + 19, in->local.ip.bytes, 16);
    memcpy(key + 35, &in->local.port, 2);
    key[37] = in->local.ip.family;
    return &p->list[siphash24(p->seed, key, sizeof key) % TURN_PASSES];
}

static bool is_of(const struct turn_pass *pass, const struct bk_datagram *in) {
    return bk_addr_equal(&pass->remote, &in->remote) && bk_addr_equal(&pass->local, &in->local);
}

void turn_passes_init(struct turn_passes *p) {
    struct bk_rng rng = box_rng();
    rng.fill(rng.ctx, p->seed, sizeof p->seed);
}

bool turn_pass_on(struct server_turn *t, const struct bk_datagram *in) {
    struct turn_passes *p = &t->passes;
    if (p->count == 0)
        return false;
    const struct turn_pass *pass = place_of(p, in);
    if (!is_of(pass, in))
        return false;
    worker_pass_datagram(t->worker, pass->worker, in);
    return true;
}

void turn_pass_remember(struct server_turn *t, const struct bk_datagram *in, uint16_t worker) {
    struct turn_passes *p = &t->passes;
    struct turn_pass *pass = place_of(p, in);
    p->count += pass->remote.port == 0;
    *pass = (struct turn_pass){.remote = in->remote, .local = in->local, .worker = worker};
}

void turn_pass_start(struct server_turn *t, const struct bk_datagram *in, uint16_t worker) {
    turn_pass_remember(t, in, worker);
    worker_pass_datagram(t->worker, worker, in);
}
