/* SPDX-License-Identifier: MIT */
#include "cli/map_show.h"

#include "base/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* --- helpers --- */

static const char *protocol_name(uint8_t protocol) {
    return protocol == BK_TCP ? "TCP" : "UDP";
}

static void print_json(cJSON *o) {
    char *line = cJSON_PrintUnformatted(o);
    if (line != NULL)
        puts(line);
    cJSON_free(line);
    cJSON_Delete(o);
    (void)fflush(stdout);
}

static void add_ip(cJSON *o, const char *name, const struct bk_ip *ip) {
    char text[BK_ADDR_TEXT_MAX];
    if (ip->family != BK_FAMILY_NONE)
        cJSON_AddStringToObject(o, name, bk_ip_format(ip, text));
}

/* A word for scripts. */
static const char *proof_word(enum bk_portmap_proof proof) {
    switch (proof) {
    case BK_PORTMAP_UNTRIED:
        return "untried";
    case BK_PORTMAP_TRYING:
        return "trying";
    case BK_PORTMAP_PROVED:
        return "yes";
    case BK_PORTMAP_HALF:
        return "other-port";
    case BK_PORTMAP_SEEN:
        return "address-only";
    case BK_PORTMAP_ELSEWHERE:
        return "elsewhere";
    case BK_PORTMAP_SHUT:
        return "no";
    case BK_PORTMAP_NO_SERVER:
        return "no-server";
    }
    return "";
}

static cJSON *lease_json(const struct bk_portmap_lease *l, const char *event) {
    char text[BK_ADDR_TEXT_MAX];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "event", event);
    cJSON_AddStringToObject(o, "protocol", l->protocol == BK_TCP ? "tcp" : "udp");
    cJSON_AddNumberToObject(o, "port", l->internal_port);
    cJSON_AddStringToObject(o, "external", bk_addr_format(&l->external, text));
    cJSON_AddStringToObject(o, "by", bk_portmap_way_name(l->way));
    add_ip(o, "router", &l->router.router);
    add_ip(o, "local", &l->router.local);
    return o;
}

/* --- leases --- */

static void lease_json_line(const struct bk_portmap_lease *l) {
    char text[BK_ADDR_TEXT_MAX];
    cJSON *o = lease_json(l, "mapped");
    cJSON_AddBoolToObject(o, "public", l->is_public);
    cJSON_AddNumberToObject(o, "lifetime_s", (double)l->lifetime_s);
    cJSON_AddStringToObject(o, "verified", proof_word(l->proof));
    if (l->seen.ip.family != BK_FAMILY_NONE)
        cJSON_AddStringToObject(o, "seen", bk_addr_format(&l->seen, text));
    print_json(o);
}

static void lifetime_text(uint32_t s, char *out, size_t cap) {
    if (s == 0)
        (void)snprintf(out, cap, "for ever");
    else if (s >= 3600 && s % 3600 == 0)
        (void)snprintf(out, cap, "for %u h", (unsigned)(s / 3600));
    else if (s >= 60 && s % 60 == 0)
        (void)snprintf(out, cap, "for %u min", (unsigned)(s / 60));
    else
        (void)snprintf(out, cap, "for %u s", (unsigned)s);
}

void map_show_lease(const struct bk_portmap_lease *l, bool json, struct bk_time now) {
    char external[BK_ADDR_TEXT_MAX], router[BK_ADDR_TEXT_MAX], life[32];
    (void)now;
    if (json) {
        lease_json_line(l);
        return;
    }
    lifetime_text(l->lifetime_s, life, sizeof life);
    printf("%s port %u is %s outside (%s, router %s, %s): %s\n", protocol_name(l->protocol),
           l->internal_port, bk_addr_format(&l->external, external), bk_portmap_way_name(l->way),
           bk_ip_format(&l->router.router, router), life, bk_portmap_proof_text(l->proof));
    if (!l->is_public)
        printf("  but that is a private address: another NAT is outside, and only machines "
               "between the two can use this\n");
    (void)fflush(stdout);
}

void map_show_end(const struct bk_portmap_lease *l, const char *word, bool json) {
    char external[BK_ADDR_TEXT_MAX];
    if (json) {
        print_json(lease_json(l, word));
        return;
    }
    printf("%s %s %s\n", protocol_name(l->protocol), bk_addr_format(&l->external, external), word);
    (void)fflush(stdout);
}

/* --- routers --- */

static const char *offer_word(enum bk_portmap_offer offer) {
    switch (offer) {
    case BK_PORTMAP_OFFERED:
        return "yes";
    case BK_PORTMAP_REFUSED:
        return "refuses";
    case BK_PORTMAP_ABSENT:
        return "no";
    case BK_PORTMAP_NOT_ASKED:
        return "not asked";
    case BK_PORTMAP_ASKING:
    case BK_PORTMAP_SILENT:
        break;
    }
    return "no answer";
}

static void way_json(cJSON *ways, const struct bk_portmap_view *v, enum bk_portmap_way way) {
    cJSON *o = cJSON_AddObjectToObject(ways, bk_portmap_way_name(way));
    cJSON_AddStringToObject(o, "offered", offer_word(v->offer));
    if (v->code != 0)
        cJSON_AddStringToObject(o, "reason", bk_portmap_code_text(way, v->code));
    add_ip(o, "external", &v->external);
    if (v->rtt_us > 0)
        cJSON_AddNumberToObject(o, "rtt_us", (double)v->rtt_us);
    if (v->offer == BK_PORTMAP_OFFERED && way != BK_PORTMAP_UPNP)
        cJSON_AddNumberToObject(o, "epoch_s", v->epoch_s);
}

static void way_text(const struct bk_portmap_view *v, enum bk_portmap_way way, bool upnp) {
    char ip[BK_ADDR_TEXT_MAX];
    printf("  %-8s %s", bk_portmap_way_name(way),
           way == BK_PORTMAP_UPNP && !upnp ? "not in this build (libminiupnpc)"
                                           : offer_word(v->offer));
    if (v->code != 0 && v->offer != BK_PORTMAP_ABSENT)
        printf(": %s", bk_portmap_code_text(way, v->code));
    if (v->external.family != BK_FAMILY_NONE)
        printf(", outside address %s%s", bk_ip_format(&v->external, ip),
               bk_ip_scope(&v->external) == BK_SCOPE_GLOBAL ? ""
                                                            : " (private: another NAT is outside)");
    if (v->offer == BK_PORTMAP_OFFERED && way != BK_PORTMAP_UPNP)
        printf(", up for %u s", (unsigned)v->epoch_s);
    if (v->rtt_us > 0 && way != BK_PORTMAP_UPNP)
        printf(", %.1f ms", (double)v->rtt_us / 1000);
    putchar('\n');
}

static bool show_router(const struct bk_portmap *pm, size_t router, bool upnp, cJSON *list) {
    struct bk_portmap_view v;
    char at[BK_ADDR_TEXT_MAX], local[BK_ADDR_TEXT_MAX];
    bool any = false;
    cJSON *ways = NULL;
    for (unsigned i = 0; i < BK_PORTMAP_WAYS; i++) {
        enum bk_portmap_way way = (enum bk_portmap_way)i;
        if (bk_portmap_view(pm, router, way, &v) != BK_OK)
            return false;
        any = any || v.offer == BK_PORTMAP_OFFERED;
        if (i == 0 && list == NULL)
            printf("router %s (we are %s)\n", bk_ip_format(&v.router.router, at),
                   bk_ip_format(&v.router.local, local));
        if (i == 0 && list != NULL) {
            cJSON *o = cJSON_CreateObject();
            add_ip(o, "router", &v.router.router);
            add_ip(o, "local", &v.router.local);
            ways = cJSON_AddObjectToObject(o, "ways");
            cJSON_AddItemToArray(list, o);
        }
        if (v.offer == BK_PORTMAP_NOT_ASKED && (way != BK_PORTMAP_UPNP || upnp))
            continue; /* NAT-PMP has no IPv6 */
        if (list != NULL)
            way_json(ways, &v, way);
        else
            way_text(&v, way, upnp);
    }
    return any;
}

bool map_show_routers(const struct bk_portmap *pm, size_t routers, bool upnp, bool json) {
    cJSON *o = json ? cJSON_CreateObject() : NULL;
    cJSON *list = json ? cJSON_AddArrayToObject(o, "routers") : NULL;
    bool any = false;
    for (size_t i = 0; i < routers; i++)
        any = show_router(pm, i, upnp, list) || any;
    if (json)
        print_json(o);
    return any;
}

char *map_show_reason(const struct bk_portmap *pm, uint32_t want, size_t routers, bool upnp,
                      char *out) {
    struct text t = text_in(out, MAP_REASON_MAX);
    char ip[BK_ADDR_TEXT_MAX];
    for (size_t i = 0; i < routers; i++) {
        struct bk_portmap_view v;
        if (bk_portmap_view(pm, i, BK_PORTMAP_PCP, &v) != BK_OK)
            continue;
        text_str(&t, i > 0 ? "; the router " : "the router ");
        text_str(&t, bk_ip_format(&v.router.router, ip));
        text_str(&t, " gives no port (");
        for (unsigned way = 0; way < BK_PORTMAP_WAYS; way++) {
            if (way == BK_PORTMAP_NATPMP && v.router.local.family == BK_IPV6)
                continue;
            text_str(&t, way > 0 ? "; " : "");
            text_str(&t, bk_portmap_way_name((enum bk_portmap_way)way));
            text_str(&t, ": ");
            text_str(&t, way == BK_PORTMAP_UPNP && !upnp
                             ? "not in this build, which has no libminiupnpc"
                             : bk_portmap_reason(pm, want, i, (enum bk_portmap_way)way));
        }
        text_char(&t, ')');
    }
    return out;
}
