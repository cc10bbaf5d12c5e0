/* SPDX-License-Identifier: MIT
 * Topology files named on the command line, for the lab and the simulator. */
#ifndef CLI_TOPOLOGY_FILE_H
#define CLI_TOPOLOGY_FILE_H

#include "topology/topology.h"

/* Reads and parses the file ("-": standard input). false: standard error says what is wrong, with
 * the line, on behalf of `bodkin COMMAND`. The caller ends *out with topology_fini(). */
bool topology_file_load(const char *command, const char *path, struct topology *out);

#endif
