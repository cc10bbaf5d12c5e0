/* SPDX-License-Identifier: MIT
 * Names of agents that stand for addresses (draft-ietf-mmusic-mdns-ice-candidates): one responder
 * answers for all of them, on the interfaces that agents have bases on. */
#include "net/mdns.h"
#include "run/driver.h"

#include <string.h>

enum { NAMES_PER_AGENT = 8 };

struct run_name {
    struct run_name *next;
    char text[sizeof((struct bk_ice_request *)0)->name];
};

struct net_mdns *run_mdns(struct bk_run *run) {
    size_t names = (size_t)run->config.agents_max * NAMES_PER_AGENT;
    if (run->mdns != NULL)
        return run->mdns;
    if (net_mdns_new(run->loop, names, &run->mdns) != BK_OK)
        run->mdns = NULL; /* it is tried again */
    run_mdns_refresh(run);
    return run->mdns;
}

void run_mdns_refresh(struct bk_run *run) {
    if (run->mdns != NULL)
        net_mdns_set_interfaces(run->mdns, run->addresses, run->address_count);
}

/* Without an answer the peer cannot use that candidate; there are others, and the server-reflexive
 * ones do not need it. */
void run_mdns_publish(struct driven *a, const struct bk_ice_request *r) {
    struct net_mdns *mdns = run_mdns(a->run);
    struct run_name *n = run_get(sizeof *n);
    if (n == NULL || mdns == NULL || net_mdns_publish(mdns, r->name, &r->local.ip) != BK_OK) {
        run_put(n);
        return;
    }
    memcpy(n->text, r->name, sizeof n->text);
    n->next = a->names;
    a->names = n;
}

void run_mdns_withdraw_all(struct driven *a) {
    while (a->names != NULL) {
        struct run_name *n = a->names;
        a->names = n->next;
        enum bk_err err = net_mdns_withdraw(a->run->mdns, n->text);
        (void)err; /* it was published */
        run_put(n);
    }
}
