/* SPDX-License-Identifier: MIT
 * Are there two NATs behind each other? Signs, after NAT Revelio (Lutu et al., PAM 2016): the
 * router's own outside address is not the one that servers see; an address of a carrier's NAT (RFC
 * 6598) or a second private network lies on the way. */
#include "natcheck/state.h"

static bool is_shared(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 && ip->bytes[0] == 100 && (ip->bytes[1] & 0xc0) == 64;
}

static bool is_private(const struct bk_ip *ip) {
    return bk_ip_scope(ip) == BK_SCOPE_PRIVATE;
}

/* RFC 1918 routers beyond the first are common inside providers, so they are a weak sign; shared
 * space has no other use. */
static enum bk_nat_double judge_hops(const struct double_nat_facts *f, uint16_t *permille) {
    enum bk_nat_double out = BK_NAT_DOUBLE_NO_SIGN;
    for (size_t i = 0; i < f->hop_count; i++) {
        if (is_shared(&f->hops[i])) {
            *permille = 950;
            return BK_NAT_DOUBLE_CARRIER;
        }
        if (i > 0 && is_private(&f->hops[i])) {
            *permille = 600;
            out = BK_NAT_DOUBLE_YES;
        }
    }
    return out;
}

enum bk_nat_double double_nat_judge(const struct double_nat_facts *f, uint16_t *permille) {
    bool told = f->portmap_external.family == f->external.family &&
                f->portmap_external.family != BK_FAMILY_NONE;
    *permille = 600; /* no sign proves little */
    if (!f->translated)
        return BK_NAT_DOUBLE_NO_SIGN;
    if (is_private(&f->external)) { /* the server is inside the outer one */
        *permille = 700;
        return is_shared(&f->external) ? BK_NAT_DOUBLE_CARRIER : BK_NAT_DOUBLE_NO_SIGN;
    }
    if (told && !bk_ip_equal(&f->portmap_external, &f->external)) {
        *permille = 980;
        return is_shared(&f->portmap_external) ? BK_NAT_DOUBLE_CARRIER : BK_NAT_DOUBLE_YES;
    }
    enum bk_nat_double hops = judge_hops(f, permille);
    if (hops == BK_NAT_DOUBLE_NO_SIGN && told)
        *permille = 950;
    return hops;
}

/* Without UDP, TCP may have told the outside address. */
static bool is_waiting(const struct bk_natcheck *nc) {
    bool udp = nc->side[V4].reached ? !nc->pooling.done : finding_is_pending(nc, BK_NAT_UDP);
    bool tcp = !nc->side[V4].reached && finding_is_pending(nc, BK_NAT_TCP_MAPPING);
    return udp || tcp || finding_is_pending(nc, BK_NAT_PCP) || finding_is_pending(nc, BK_NAT_PMP) ||
           finding_is_pending(nc, BK_NAT_UPNP);
}

void double_nat_step(struct bk_natcheck *nc) {
    if (!finding_is_pending(nc, BK_NAT_DOUBLE) || is_waiting(nc))
        return;
    struct bk_nat_record *r = &nc->record;
    if (r->portmap_external.family == BK_FAMILY_NONE)
        r->portmap_external = nc->config.portmap_external;
    struct double_nat_facts facts = {.translated = nc->side[V4].translated,
                                     .external = nc->side[V4].external,
                                     .portmap_external = r->portmap_external,
                                     .hops = nc->config.hops,
                                     .hop_count = nc->config.hop_count};
    if (facts.external.family == BK_FAMILY_NONE) {
        finding_unclear(nc, BK_NAT_DOUBLE, 0, BK_NAT_REASON_NO_ANSWER);
        return;
    }
    for (size_t i = 0; i < r->external_count; i++) { /* any of a pool will do */
        if (bk_ip_equal(&r->externals[i], &facts.portmap_external))
            facts.external = r->externals[i];
    }
    uint16_t permille;
    enum bk_nat_double value = double_nat_judge(&facts, &permille);
    if (value == BK_NAT_DOUBLE_YES || value == BK_NAT_DOUBLE_CARRIER) {
        r->traits.two_nats = BK_YES;
        r->traits.inner = r->portmap_external;
    }
    finding_known(nc, BK_NAT_DOUBLE, value, permille);
}
