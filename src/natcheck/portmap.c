/* SPDX-License-Identifier: MIT
 * Which port mapping protocols does the router offer? It is only asked whether it is there; making
 * mappings is another module's work. Asked late, because a box that is not the router one was told
 * of may make a mapping for the question itself. */
#include "natcheck/state.h"

#include "wire/stun.h"

enum { PORTMAP_PORT = 5351, SSDP_PORT = 1900, TRIES = 2, WAIT_MS = 250 }; /* RFC 6886 section 3.1 */

static const struct {
    enum bk_nat_test test;
    enum bk_nat_attr attr;
    uint16_t port;
} protocols[PORTMAPS] = {
    {BK_NAT_TEST_PCP, BK_NAT_PCP, PORTMAP_PORT},
    {BK_NAT_TEST_PMP, BK_NAT_PMP, PORTMAP_PORT},
    {BK_NAT_TEST_UPNP, BK_NAT_UPNP, SSDP_PORT},
};

bool portmap_is(enum bk_nat_test test) {
    return test == BK_NAT_TEST_PCP || test == BK_NAT_TEST_PMP || test == BK_NAT_TEST_UPNP;
}

/* SSDP answers come from wherever the device lives; the others from the router alone (RFC 6886
 * section 3.2.1: "MUST silently ignore" others). */
bool portmap_read(struct probe *p, const struct bk_datagram *in) {
    if (p->ask.test == BK_NAT_TEST_UPNP)
        return upnp_read(in->data, in->len);
    if (!bk_addr_equal(&in->remote, &p->ask.remote))
        return false;
    if (p->ask.test == BK_NAT_TEST_PCP)
        return pcp_read(in->data, in->len);
    return natpmp_read(in->data, in->len, &p->seen.ip);
}

static void start(struct bk_natcheck *nc) {
    nc->portmap.started = true;
    for (int i = 0; i < PORTMAPS; i++) {
        const struct pace pace = {
            .wait_us = WAIT_MS * BK_US_PER_MS, .last_us = WAIT_MS * BK_US_PER_MS, .sends = TRIES};
        const struct ask ask = {.test = protocols[i].test,
                                .socket = socket_open(nc, V4),
                                .remote = bk_addr(nc->config.gateway, protocols[i].port),
                                .attrs = attr_bit(protocols[i].attr),
                                .pace = pace};
        nc->portmap.probe[i] = probe_ask(nc, &ask);
    }
}

static void tell(struct bk_natcheck *nc, int i) {
    uint32_t probe = nc->portmap.probe[i];
    enum bk_nat_attr attr = protocols[i].attr;
    if (!probe_ended(nc, probe) || !finding_is_pending(nc, attr))
        return;
    if (probe_answered(nc, probe)) {
        finding_known(nc, attr, BK_YES, 990);
        nc->record.traits.port_mapping = BK_YES;
        if (protocols[i].test == BK_NAT_TEST_PMP)
            nc->record.portmap_external = nc->probes[probe].seen.ip;
    } else if (probe == NONE || nc->probes[probe].sends == 0) {
        finding_unclear(nc, attr, 0, BK_NAT_REASON_BUDGET);
    } else {
        finding_known(nc, attr, BK_NO, 950);
    }
}

void portmap_step(struct bk_natcheck *nc) {
    bool asked = nc->record.findings[BK_NAT_PCP].status != BK_NAT_NOT_ASKED;
    if (!asked || (!nc->ports.sampled && !reach_seems_dead(nc)))
        return;
    if (!nc->portmap.started)
        start(nc);
    for (int i = 0; i < PORTMAPS; i++)
        tell(nc, i);
}
