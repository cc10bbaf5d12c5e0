/* SPDX-License-Identifier: MIT
 * What `bodkin map` prints, on standard output: sentences, or one JSON object a line. */
#ifndef CLI_MAP_SHOW_H
#define CLI_MAP_SHOW_H

#include <bodkin/portmap.h>
#include <stdbool.h>

enum { MAP_REASON_MAX = 600 };

/* A lease, new or changed. `known` is false while it is being tried from outside. */
void map_show_lease(const struct bk_portmap_lease *lease, bool json, struct bk_time now);
/* "lost", "released": one word about a lease that was. */
void map_show_end(const struct bk_portmap_lease *lease, const char *word, bool json);
/* What each router speaks. `upnp`: this build can ask for it. true: any of it. */
bool map_show_routers(const struct bk_portmap *pm, size_t routers, bool upnp, bool json);
/* Why nothing was mapped: "the router 192.168.1.1 gives no port: PCP: ...". `out` has room for
 * MAP_REASON_MAX. Returns `out`. */
char *map_show_reason(const struct bk_portmap *pm, uint32_t want, size_t routers, bool upnp,
                      char *out);

#endif
