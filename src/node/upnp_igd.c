/* SPDX-License-Identifier: MIT
 * UPnP IGD 1 and 2 by libminiupnpc. The search is answered by whoever likes, with whatever URL:
 * followed blindly it would make us send HTTP requests to strangers. So only the router's own
 * address is spoken to. */
#ifdef BODKIN_UPNP
#define _GNU_SOURCE /* NOLINT: pthread_sigmask() and if_indextoname() need it */
#include "node/upnp_igd.h"

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnpdev.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEARCH_MS = 1000, /* UPnP Device Architecture 1.1 section 1.3.2: MX is a second or more */
    SEARCH_TTL = 2,   /* the same: the default */
    NUMBER_MAX = 16,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PERMANENT_ONLY = 725, /* OnlyPermanentLeasesSupported, WANIPConnection:1 section 2.4.16.2 */
    NOT_THERE = 714,      /* NoSuchEntryInArray: what was to be closed is closed */
    INVALID_ARGS = 402,   /* what some devices say instead of 725 */
    NOT_ALLOWED = 703,    /* WANIPv6FirewallControl:1 section 2.4: InboundPinholeNotAllowed */
    FIREWALL_OFF = 702
};

static const char *const kinds[] = {"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
                                    "urn:schemas-upnp-org:device:InternetGatewayDevice:1", NULL};

static const char description[] = "bodkin";

/* --- URLs --- */

enum bk_err upnp_url_host(const char *url, struct bk_ip *out) {
    static const char scheme[] = "http://";
    char host[BK_ADDR_TEXT_MAX];
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return BK_ERR_MALFORMED;
    url += sizeof scheme - 1;
    bool bracket = *url == '[';
    url += bracket;
    size_t len = strcspn(url, bracket ? "]%/" : ":/");
    if (len == 0 || len >= sizeof host)
        return BK_ERR_MALFORMED;
    if (memchr(url, '@', strcspn(url, "/")) != NULL)
        return BK_ERR_MALFORMED; /* what stands before it is no host */
    memcpy(host, url, len);
    host[len] = '\0';
    return bk_ip_parse(host, out);
}

/* By IPv6 a router is known by its link-local address and gives another one, of our own network. */
static bool is_same_network(const struct bk_ip *a, const struct bk_ip *b) {
    return a->family == BK_IPV6 && b->family == BK_IPV6 && memcmp(a->bytes, b->bytes, 8) == 0;
}

static bool is_on(const char *url, const struct bk_portmap_router *by) {
    struct bk_ip host, router = by->router;
    router.zone = 0;
    return url != NULL && strlen(url) < UPNP_URL_MAX && upnp_url_host(url, &host) == BK_OK &&
           (bk_ip_equal(&host, &router) || is_same_network(&host, &by->local));
}

/* --- what a call returned --- */

static void told(struct bk_portmap_result *result, int code) {
    if (code == UPNPCOMMAND_SUCCESS) {
        result->err = BK_OK;
    } else if (code > 0) {
        result->err = BK_ERR_REFUSED;
        result->code = (uint16_t)code;
    } else {
        result->err = code == UPNPCOMMAND_HTTP_ERROR ? BK_ERR_TIMEOUT : BK_ERR_MALFORMED;
    }
}

/* --- finding --- */

static struct UPNPDev *search(const struct bk_portmap_router *by) {
    char interface[BK_ADDR_TEXT_MAX];
    int err = 0;
    bool v6 = by->router.family == BK_IPV6;
    if (!v6)
        bk_ip_format(&by->local, interface);
    else if (if_indextoname(by->router.zone, interface) == NULL)
        return NULL;
    return upnpDiscoverDevices(kinds, SEARCH_MS, interface, NULL, UPNP_LOCAL_PORT_ANY, v6,
                               SEARCH_TTL, &err, 0);
}

static void keep(char *to, const char *from) {
    (void)snprintf(to, UPNP_URL_MAX, "%s", from != NULL ? from : "");
}

/* Reads one device's description; every URL in it must be the router's. */
static bool read_device(struct upnp_igd *igd, const char *url, const struct bk_portmap_router *by) {
    struct UPNPUrls urls;
    struct IGDdatas data;
    char own[BK_ADDR_TEXT_MAX];
    if (!is_on(url, by) || UPNP_GetIGDFromUrl(url, &urls, &data, own, sizeof own) == 0)
        return false;
    if (data.first.servicetype[0] != '\0' && is_on(urls.controlURL, by)) {
        keep(igd->url, urls.controlURL);
        keep(igd->service, data.first.servicetype);
        igd->found = true;
    }
    if (data.IPv6FC.servicetype[0] != '\0' && is_on(urls.controlURL_6FC, by)) {
        keep(igd->firewall_url, urls.controlURL_6FC);
        keep(igd->firewall, data.IPv6FC.servicetype);
        igd->found = true;
    }
    FreeUPNPUrls(&urls);
    return igd->found;
}

static void external_of(const struct upnp_igd *igd, struct bk_portmap_result *result) {
    char text[64] = "";
    told(result, UPNP_GetExternalIPAddress(igd->url, igd->service, text));
    text[sizeof text - 1] = '\0';
    if (result->err == BK_OK && bk_ip_parse(text, &result->external.ip) != BK_OK) {
        result->err = BK_ERR_REFUSED; /* an empty one: it has no connection */
        result->code = 501;
    }
}

static void look_at_firewall(const struct upnp_igd *igd, struct bk_portmap_result *result) {
    int on = 0, allowed = 0;
    if (igd->firewall_url[0] == '\0') {
        result->err = BK_ERR_NOT_FOUND;
        return;
    }
    told(result, UPNP_GetFirewallStatus(igd->firewall_url, igd->firewall, &on, &allowed));
    if (result->err == BK_OK && (on == 0 || allowed == 0)) {
        result->err = BK_ERR_REFUSED;
        result->code = on == 0 ? FIREWALL_OFF : NOT_ALLOWED;
    }
}

static void look_for(struct upnp_igd *igd, const struct bk_portmap_router *by) {
    struct UPNPDev *list = search(by);
    igd->found = false;
    igd->url[0] = igd->firewall_url[0] = '\0';
    for (const struct UPNPDev *d = list; d != NULL && !igd->found; d = d->pNext)
        (void)read_device(igd, d->descURL, by);
    freeUPNPDevlist(list);
}

/* A pinhole is asked for by IPv6 where that is possible: from another address than the one it is
 * for it may be refused, WANIPv6FirewallControl:1 section 2.4.1. */
static void find(struct upnp_igd *igd, const struct bk_portmap_job *job,
                 const struct bk_portmap_router *by, struct bk_portmap_result *result) {
    look_for(igd, &job->router);
    if (!igd->found && by->local.family != job->router.local.family)
        look_for(igd, by);
    if (igd->found && job->router.local.family == BK_IPV6)
        look_at_firewall(igd, result);
    else if (igd->found && igd->url[0] != '\0')
        external_of(igd, result);
    else
        result->err = BK_ERR_NOT_FOUND;
}

/* --- mappings, IPv4 --- */

struct words {
    char external[NUMBER_MAX], internal[NUMBER_MAX], lifetime[NUMBER_MAX], own[BK_ADDR_TEXT_MAX];
    const char *protocol;
};

static struct words words_of(const struct bk_portmap_job *job) {
    struct words w = {.protocol = job->protocol == BK_TCP ? "TCP" : "UDP"};
    (void)snprintf(w.external, sizeof w.external, "%u", (unsigned)job->external_port);
    (void)snprintf(w.internal, sizeof w.internal, "%u", (unsigned)job->internal_port);
    (void)snprintf(w.lifetime, sizeof w.lifetime, "%lu", (unsigned long)job->lifetime_s);
    bk_ip_format(&job->router.local, w.own);
    return w;
}

/* IGD 2 finds another port by itself when this one is taken. */
static int add_once(const struct upnp_igd *igd, const struct bk_portmap_job *job,
                    const struct words *w, uint16_t *port) {
    char reserved[NUMBER_MAX] = "";
    size_t len = strlen(igd->service);
    bool second = len > 2 && strcmp(igd->service + len - 2, ":2") == 0;
    *port = job->external_port;
    if (!second || job->exact || job->renew)
        return UPNP_AddPortMapping(igd->url, igd->service, w->external, w->internal, w->own,
                                   description, w->protocol, NULL, w->lifetime);
    int code = UPNP_AddAnyPortMapping(igd->url, igd->service, w->external, w->internal, w->own,
                                      description, w->protocol, NULL, w->lifetime, reserved);
    unsigned long got = strtoul(reserved, NULL, 10);
    if (code == UPNPCOMMAND_SUCCESS && got > 0 && got <= UINT16_MAX)
        *port = (uint16_t)got;
    return code;
}

static void add(const struct upnp_igd *igd, const struct bk_portmap_job *job,
                struct bk_portmap_result *result) {
    struct words w = words_of(job);
    result->lifetime_s = job->lifetime_s;
    int code = add_once(igd, job, &w, &result->external.port);
    if (code == PERMANENT_ONLY || code == INVALID_ARGS) {
        (void)snprintf(w.lifetime, sizeof w.lifetime, "0");
        result->lifetime_s = 0;
        code = add_once(igd, job, &w, &result->external.port);
    }
    told(result, code);
    if (result->err == BK_OK)
        external_of(igd, result);
}

static void remove_mapping(const struct upnp_igd *igd, const struct bk_portmap_job *job,
                           struct bk_portmap_result *result) {
    struct words w = words_of(job);
    int code = UPNP_DeletePortMapping(igd->url, igd->service, w.external, w.protocol, NULL);
    told(result, code == NOT_THERE ? UPNPCOMMAND_SUCCESS : code);
}

/* --- pinholes, IPv6 --- */

static void add_pinhole(const struct upnp_igd *igd, const struct bk_portmap_job *job,
                        struct bk_portmap_result *result) {
    char id[NUMBER_MAX] = "", number[NUMBER_MAX];
    struct words w = words_of(job);
    int code;
    (void)snprintf(number, sizeof number, "%d",
                   job->protocol == BK_TCP ? PROTOCOL_TCP : PROTOCOL_UDP);
    if (job->renew && job->pinhole != 0) {
        (void)snprintf(id, sizeof id, "%u", (unsigned)job->pinhole);
        code = UPNP_UpdatePinhole(igd->firewall_url, igd->firewall, id, w.lifetime);
    } else {
        code = UPNP_AddPinhole(igd->firewall_url, igd->firewall, "", "0", w.own, w.internal, number,
                               w.lifetime, id);
    }
    told(result, code);
    result->external = bk_addr(job->router.local, job->internal_port);
    result->lifetime_s = job->lifetime_s;
    result->pinhole = (uint16_t)strtoul(id, NULL, 10);
}

static void delete_pinhole(const struct upnp_igd *igd, const struct bk_portmap_job *job,
                           struct bk_portmap_result *result) {
    char id[NUMBER_MAX];
    (void)snprintf(id, sizeof id, "%u", (unsigned)job->pinhole);
    told(result, UPNP_DeletePinhole(igd->firewall_url, igd->firewall, id));
}

void upnp_igd_do(struct upnp_igd *igd, const struct bk_portmap_job *job,
                 const struct bk_portmap_router *by, struct bk_portmap_result *result) {
    bool v6 = job->router.local.family == BK_IPV6;
    if (job->kind == BK_PORTMAP_FIND) {
        find(igd, job, by, result);
    } else if (!igd->found || (v6 ? igd->firewall_url[0] : igd->url[0]) == '\0') {
        result->err = BK_ERR_NOT_FOUND;
    } else if (job->kind == BK_PORTMAP_OPEN) {
        if (v6)
            add_pinhole(igd, job, result);
        else
            add(igd, job, result);
    } else if (v6) {
        delete_pinhole(igd, job, result);
    } else {
        remove_mapping(igd, job, result);
    }
}

#else
typedef int upnp_igd_is_empty; /* ISO C wants a declaration in every file */
#endif
