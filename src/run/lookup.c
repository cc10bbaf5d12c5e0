/* SPDX-License-Identifier: MIT
 * Names that agents ask for. */
#include "run/driver.h"

#include "net/mdns.h"
#include "net/resolve.h"

struct run_lookup {
    struct run_lookup *next;
    struct driven *a;
    struct net_resolve *resolve; /* one of the two */
    struct net_mdns_lookup *mdns;
    uint32_t id;
};

static void unlink_lookup(struct run_lookup *l) {
    struct run_lookup **at = &l->a->lookups;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    run_put(l);
}

static void answer(struct run_lookup *l, const struct bk_ip *ips, size_t count) {
    struct driven *a = l->a;
    uint32_t id = l->id;
    unlink_lookup(l);
    bk_ice_resolved(a->ice, id, ips, count, net_now(a->run->loop));
    driven_touch(a);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    struct bk_ip ips[NET_RESOLVE_MAX];
    size_t count = err == BK_OK ? n : 0;
    for (size_t i = 0; i < count; i++)
        ips[i] = addrs[i].ip;
    answer(ctx, ips, count);
}

static void on_mdns(void *ctx, enum bk_err err, const struct bk_ip *ips, size_t count) {
    answer(ctx, ips, err == BK_OK ? count : 0);
}

/* A name in .local is never told to a DNS server: RFC 6762 section 3. */
static enum bk_err ask(struct run_lookup *l, const struct bk_ice_request *r) {
    struct bk_run *run = l->a->run;
    if (!r->mdns) /* a port is not asked for, but there has to be one */
        return net_resolve(run->loop, r->name, 1, on_resolved, l, &l->resolve);
    struct net_mdns *mdns = run_mdns(run);
    return mdns == NULL ? BK_ERR_UNSUPPORTED
                        : net_mdns_resolve(mdns, r->name, on_mdns, l, &l->mdns);
}

void run_lookup_start(struct driven *a, const struct bk_ice_request *r) {
    struct run_lookup *l = run_get(sizeof *l);
    if (l != NULL) {
        *l = (struct run_lookup){.next = a->lookups, .a = a, .id = r->id};
        a->lookups = l;
        if (ask(l, r) == BK_OK)
            return;
        unlink_lookup(l);
    }
    bk_ice_resolved(a->ice, r->id, NULL, 0, net_now(a->run->loop));
    driven_touch(a);
}

void run_lookup_end_all(struct driven *a) {
    while (a->lookups != NULL) {
        net_resolve_cancel(a->lookups->resolve);
        net_mdns_cancel(a->lookups->mdns);
        unlink_lookup(a->lookups);
    }
}
