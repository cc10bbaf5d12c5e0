/* SPDX-License-Identifier: MIT
 * What the user sees of an agent: candidates, paths and timings, for people or as JSON events. */
#ifndef CLI_ICE_SHOW_H
#define CLI_ICE_SHOW_H

#include "cli/ice.h"

/* "relay/udp/192.0.2.1/3478": the end of a pair, as the line protocol writes it. `out` has room for
 * ICE_END_MAX. Returns `out`. */
enum { ICE_END_MAX = 96 };
char *ice_end_text(const struct bk_ice_candidate *c, char *out);

void ice_show_event(struct ice_cli *i, const struct bk_ice_event *e);
/* For struct bk_trace: `ctx` is the struct ice_cli. */
void ice_show_trace(void *ctx, const char *text);
/* One line, or JSON event, for each pair, and "done". */
void ice_show_result(struct ice_cli *i);

#endif
