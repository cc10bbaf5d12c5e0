/* SPDX-License-Identifier: MIT
 * What a running lab tells its user: events as text for people, or as JSON lines. */
#ifndef CLI_LAB_SHOW_H
#define CLI_LAB_SHOW_H

#include "lab/run.h"
#include "topology/topology.h"

#include <stdbool.h>

/* Where the user's eyes are. */
struct lab_view {
    const struct topology *topology;
    const char *file; /* the topology's, for messages */
    bool json, quiet;
    bool colour;
    int name_width;
};

/* `topology` and `file` are borrowed. */
void lab_view_init(struct lab_view *v, const struct topology *topology, const char *file);
/* An event handler for struct lab_config; `ctx` is a struct lab_view. */
void lab_show(void *ctx, const struct lab_event *event);

#endif
