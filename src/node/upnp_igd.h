/* SPDX-License-Identifier: MIT
 * One Internet Gateway Device, by libminiupnpc. Blocks; the thread of upnp_miniupnpc.c calls it. */
#ifndef NODE_UPNP_IGD_H
#define NODE_UPNP_IGD_H

#include <bodkin/portmap.h>

enum { UPNP_URL_MAX = 256 };

struct upnp_igd {
    struct bk_portmap_router router;
    bool found;
    char url[UPNP_URL_MAX];     /* of WANIPConnection or WANPPPConnection */
    char service[UPNP_URL_MAX]; /* "urn:schemas-upnp-org:service:WANIPConnection:2" */
    char firewall_url[UPNP_URL_MAX], firewall[UPNP_URL_MAX]; /* WANIPv6FirewallControl; or "" */
};

/* Does the job; fills in *result but for its number. */
void upnp_igd_do(struct upnp_igd *igd, const struct bk_portmap_job *job,
                 const struct bk_portmap_router *by, struct bk_portmap_result *result);
/* The address in "http://ADDRESS..." BK_ERR_MALFORMED: a name, or no such URL. */
BK_MUST_USE enum bk_err upnp_url_host(const char *url, struct bk_ip *out);

#endif
