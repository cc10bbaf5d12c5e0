/* SPDX-License-Identifier: MIT */
#include "portmap/state.h"

const char *bk_portmap_way_name(enum bk_portmap_way way) {
    switch (way) {
    case BK_PORTMAP_PCP:
        return "PCP";
    case BK_PORTMAP_NATPMP:
        return "NAT-PMP";
    case BK_PORTMAP_UPNP:
        return "UPnP";
    case BK_PORTMAP_WAYS:
        break;
    }
    return "no way";
}

const char *bk_portmap_proof_text(enum bk_portmap_proof proof) {
    switch (proof) {
    case BK_PORTMAP_UNTRIED:
        return "not tried from outside";
    case BK_PORTMAP_TRYING:
        return "being tried from outside";
    case BK_PORTMAP_PROVED:
        return "verified: a packet from a stranger came in";
    case BK_PORTMAP_HALF:
        return "verified with another port of the server, which has one address only";
    case BK_PORTMAP_SEEN:
        return "the server sees this address, but could not try the port";
    case BK_PORTMAP_ELSEWHERE:
        return "not reachable: the server sees another address, so there is another NAT outside";
    case BK_PORTMAP_SHUT:
        return "not reachable: no packet from outside came in";
    case BK_PORTMAP_NO_SERVER:
        return "not tried: the server does not answer";
    }
    return "";
}

/* WANIPConnection:2 section 2.5, WANIPv6FirewallControl:1 section 2.4. */
static const char *upnp_text(uint16_t code) {
    static const struct {
        uint16_t code;
        const char *text;
    } texts[] = {
        {0, "granted"},
        {401, "the router does not know this kind of request"},
        {402, "the router did not understand the request"},
        {501, "the router could not do it"},
        {606, "the router does not allow it"},
        {701, "the router has no room left"},
        {702, "the router's firewall is off"},
        {703, "the router's firewall may not be opened from here"},
        {708, "the router takes no such internal address"},
        {718, "the port is taken"},
        {724, "the router maps equal ports only"},
        {725, "the router maps for ever only"},
        {728, "the router has no room left"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "the router gave an error not known here";
}

const char *bk_portmap_code_text(enum bk_portmap_way way, uint16_t code) {
    if (way == BK_PORTMAP_UPNP)
        return upnp_text(code);
    if (way == BK_PORTMAP_NATPMP)
        return natpmp_result_text(code);
    return pcp_result_text(code < UINT8_MAX ? (uint8_t)code : UINT8_MAX);
}

static const char *road_text(const struct road *road, enum bk_portmap_way way) {
    switch (road->offer) {
    case BK_PORTMAP_NOT_ASKED:
        return "not asked";
    case BK_PORTMAP_ASKING:
        return "no answer yet";
    case BK_PORTMAP_SILENT:
        return "the router does not answer";
    case BK_PORTMAP_ABSENT:
        return "the router does not speak it";
    case BK_PORTMAP_REFUSED:
        return bk_portmap_code_text(way, road->code);
    case BK_PORTMAP_OFFERED:
        break;
    }
    return "no answer yet";
}

const char *bk_portmap_reason(const struct bk_portmap *pm, uint32_t want, size_t router,
                              enum bk_portmap_way way) {
    if (want >= pm->config.wants_max || router >= pm->router_count || way >= BK_PORTMAP_WAYS)
        return "";
    const struct lease *l = &pm->wants[want].at[router].leases[way];
    static const struct {
        enum bk_err err;
        const char *text;
    } texts[] = {
        {BK_ERR_EXISTS, "the port is taken"},
        {BK_ERR_TIMEOUT, "the router does not answer"},
        {BK_ERR_UNSUPPORTED, "the router does not speak it"},
        {BK_ERR_MALFORMED, "the router's answer makes no sense"},
    };
    if (l->err == BK_OK)
        return road_text(&pm->roads[router][way], way);
    if (l->err == BK_ERR_REFUSED)
        return bk_portmap_code_text(way, l->code);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].err == l->err)
            return texts[i].text;
    return bk_err_text(l->err);
}
