/* SPDX-License-Identifier: MIT
 * This machine's addresses, as bases of agents. When something changes the list is read again, and
 * what is new or gone is told to every agent; then all of them doubt their paths, because a route
 * or a public address may have changed without an address of ours. */
#include "run/driver.h"

#include <string.h>

/* Is `name` in a list separated by commas? */
static bool is_listed(const char *list, const char *name) {
    size_t len = strlen(name);
    while (*list != '\0') {
        size_t item = strcspn(list, ",");
        if (item == len && memcmp(list, name, len) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* RFC 8445 section 5.1.1.1: loopback addresses are no candidates. Link-local ones mean something
 * on one link only, which SDP cannot name. */
static bool is_usable(const struct bk_run *run, const struct net_interface *i) {
    const struct bk_run_config *config = &run->config;
    enum bk_scope scope = bk_ip_scope(&i->ip);
    if (config->interfaces != NULL && !is_listed(config->interfaces, i->name))
        return false;
    if (i->loopback || scope == BK_SCOPE_LOOPBACK)
        return config->loopback;
    return scope == BK_SCOPE_PRIVATE || scope == BK_SCOPE_GLOBAL;
}

static size_t read_addresses(const struct bk_run *run, struct net_interface *out) {
    struct net_interface list[NET_INTERFACES_MAX];
    size_t count = 0, n = 0;
    if (net_interfaces(list, NET_INTERFACES_MAX, &count) != BK_OK)
        return 0;
    count = net_interfaces_choose(list, count);
    for (size_t i = 0; i < count; i++)
        if (is_usable(run, &list[i]))
            out[n++] = list[i];
    return n;
}

static bool has(const struct net_interface *list, size_t count, const struct bk_ip *ip) {
    for (size_t i = 0; i < count; i++)
        if (bk_ip_equal(&list[i].ip, ip))
            return true;
    return false;
}

/* --- one address, one agent --- */

/* What an address makes of each component: UDP first, so that it is there when locals_max is
 * reached. */
enum base_kind { BASE_UDP, BASE_PASSIVE, BASE_SIMULTANEOUS, BASE_KINDS };

static uint16_t port_of(const struct net_listener *l) {
    return l == NULL ? 0 : net_listener_local(l).port;
}

/* The base of this kind that component `i` has there; port 0: it has none. */
static struct bk_ice_base base_at(const struct driven *a, size_t i, const struct bk_ip *ip,
                                  enum base_kind kind) {
    size_t family = run_family(ip);
    const struct run_port *p = &a->ports[i];
    struct bk_ice_base base = {
        .size = sizeof base,
        .addr = {.ip = *ip},
        .protocol = kind == BASE_UDP ? BK_UDP : BK_TCP,
        .stream = (uint16_t)(i / a->components),
        .component = (uint16_t)(i % a->components + 1),
        .simultaneous = kind == BASE_SIMULTANEOUS,
    };
    if (!(family == 0 ? a->ipv4 : a->ipv6) || (kind != BASE_UDP && !a->tcp))
        return base;
    if (kind == BASE_UDP)
        base.addr.port = p->udp[family] == NULL ? 0 : net_udp_local(p->udp[family]).port;
    else
        base.addr.port = port_of(kind == BASE_PASSIVE ? p->tcp[family] : p->so[family]);
    return base;
}

static void add_bases(struct driven *a, const struct net_interface *address, enum base_kind kind,
                      struct bk_time now) {
    for (size_t i = 0; i < (size_t)a->streams * a->components; i++) {
        struct bk_ice_base base = base_at(a, i, &address->ip, kind);
        base.vpn = address->point_to_point;
        if (base.addr.port != 0 && bk_ice_add_base(a->ice, &base, now) == BK_ERR_FULL)
            return; /* locals_max: the agent does with fewer */
    }
}

static void remove_address(struct driven *a, const struct bk_ip *ip, struct bk_time now) {
    for (size_t i = 0; i < (size_t)a->streams * a->components; i++)
        for (int kind = 0; kind < BASE_KINDS; kind++) {
            const struct bk_ice_base base = base_at(a, i, ip, (enum base_kind)kind);
            if (base.addr.port == 0)
                continue;
            enum bk_err err = bk_ice_remove_base(a->ice, &base.addr, base.protocol, now);
            (void)err; /* it may have been one too many when it came */
        }
}

void run_bases_add(struct driven *a, struct bk_time now) {
    for (int kind = 0; kind < BASE_KINDS; kind++)
        for (size_t i = 0; i < a->run->address_count; i++)
            add_bases(a, &a->run->addresses[i], (enum base_kind)kind, now);
}

/* --- changes --- */

/* What one agent has to know of a new list. */
static void tell_change(struct driven *a, const struct net_interface *list, size_t count,
                        struct bk_time now) {
    const struct bk_run *run = a->run;
    for (int kind = 0; kind < BASE_KINDS; kind++)
        for (size_t i = 0; i < count; i++)
            if (!has(run->addresses, run->address_count, &list[i].ip))
                add_bases(a, &list[i], (enum base_kind)kind, now);
    for (size_t i = 0; i < run->address_count; i++)
        if (!has(list, count, &run->addresses[i].ip))
            remove_address(a, &run->addresses[i].ip, now);
    bk_ice_network_changed(a->ice, now);
    driven_touch(a);
}

static void on_change(void *ctx) {
    struct bk_run *run = ctx;
    struct net_interface list[NET_INTERFACES_MAX];
    size_t count = read_addresses(run, list);
    struct bk_time now = net_now(run->loop);
    for (uint32_t i = 0; i < run->agent_cap; i++)
        if (run->agents[i] != NULL)
            tell_change(run->agents[i], list, count, now);
    memcpy(run->addresses, list, count * sizeof *list);
    run->address_count = count;
    run_mdns_refresh(run);
}

enum bk_err run_bases_start(struct bk_run *run) {
    if (run->watch != NULL)
        return BK_OK;
    run->address_count = read_addresses(run, run->addresses);
    return net_interface_watch_new(run->loop, on_change, run, &run->watch);
}

void run_bases_stop(struct bk_run *run) {
    if (run->watch != NULL)
        net_interface_watch_free(run->watch);
    run->watch = NULL;
}
