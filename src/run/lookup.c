/* SPDX-License-Identifier: MIT
 * Names that agents ask for. */
#include "run/driver.h"

#include "net/resolve.h"

struct run_lookup {
    struct run_lookup *next;
    struct driven *a;
    struct net_resolve *resolve;
    uint32_t id;
};

static void unlink_lookup(struct run_lookup *l) {
    struct run_lookup **at = &l->a->lookups;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    run_put(l);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    struct run_lookup *l = ctx;
    struct driven *a = l->a;
    struct bk_ip ips[NET_RESOLVE_MAX];
    uint32_t id = l->id;
    size_t count = err == BK_OK ? n : 0;
    for (size_t i = 0; i < count; i++)
        ips[i] = addrs[i].ip;
    unlink_lookup(l);
    bk_ice_resolved(a->ice, id, ips, count, net_now(a->run->loop));
    driven_touch(a);
}

void run_lookup_start(struct driven *a, const struct bk_ice_request *r) {
    struct run_lookup *l = run_get(sizeof *l);
    if (l != NULL) {
        *l = (struct run_lookup){.next = a->lookups, .a = a, .id = r->id};
        /* The port is not asked for, but has to be one. */
        if (net_resolve(a->run->loop, r->name, 1, on_resolved, l, &l->resolve) == BK_OK) {
            a->lookups = l;
            return;
        }
        run_put(l);
    }
    bk_ice_resolved(a->ice, r->id, NULL, 0, net_now(a->run->loop));
    driven_touch(a);
}

void run_lookup_end_all(struct driven *a) {
    while (a->lookups != NULL) {
        net_resolve_cancel(a->lookups->resolve);
        unlink_lookup(a->lookups);
    }
}
