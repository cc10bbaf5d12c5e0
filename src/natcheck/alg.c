/* SPDX-License-Identifier: MIT
 * Does the box rewrite addresses inside packets? On the way in: MAPPED-ADDRESS then differs from
 * XOR-MAPPED-ADDRESS, which nobody recognises (RFC 8489 section 14.2). On the way out: a request
 * that carries our own address in binary and in text, and a FINGERPRINT over both, is dropped by
 * the server once somebody changed it. */
#include "natcheck/state.h"

enum { SOCKET_USED = 2 }; /* of ports.c; hairpin.c has the first two that work */

static bool rewrites_inbound(struct bk_natcheck *nc, bool *compared) {
    *compared = false;
    for (uint32_t i = 0; i < nc->probe_count; i++) {
        const struct probe *p = &nc->probes[i];
        if (p->ask.test != BK_NAT_TEST_BINDING || !probe_answered(nc, i) || !has_addr(&p->mapped) ||
            p->seen.ip.family != BK_IPV4)
            continue;
        *compared = true;
        if (bk_addr_equal(&p->mapped, &p->seen))
            continue;
        probe_witness(nc, i, BK_NAT_ALG);
        return true;
    }
    return false;
}

static void start(struct bk_natcheck *nc) {
    const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                            .socket = nc->ports.socket[SOCKET_USED],
                            .remote = nc->side[V4].server[0][0],
                            .attrs = attr_bit(BK_NAT_ALG),
                            .tell_address = true,
                            .pace = pace_soon(nc, 3)};
    nc->alg.started = true;
    if (nc->config.local_count > 0 && !nc->config.hide_locals &&
        probe_answered(nc, nc->ports.probe[SOCKET_USED]))
        nc->alg.probe = probe_ask(nc, &ask);
}

void alg_step(struct bk_natcheck *nc) {
    bool compared;
    if (!finding_is_pending(nc, BK_NAT_ALG) || !nc->ports.done)
        return;
    if (rewrites_inbound(nc, &compared)) {
        finding_known(nc, BK_NAT_ALG, BK_YES, 995);
        return;
    }
    if (!nc->alg.started)
        start(nc);
    uint32_t probe = nc->alg.probe;
    if (!probe_ended(nc, probe))
        return;
    if (probe_answered(nc, probe))
        finding_known(nc, BK_NAT_ALG, BK_NO, compared ? 990 : 900);
    else if (probe != NONE && nc->probes[probe].why == BK_NAT_REASON_NO_ANSWER)
        finding_known(nc, BK_NAT_ALG, BK_YES, 950);
    else if (compared)
        finding_known(nc, BK_NAT_ALG, BK_NO, 700);
    else
        finding_unclear(nc, BK_NAT_ALG, BK_NO, BK_NAT_REASON_TOO_FEW);
}
