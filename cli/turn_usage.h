/* SPDX-License-Identifier: MIT
 * What a process has used so far, read from /proc: the same as utime + stime, but in nanoseconds
 * where the kernel counts them. What the kernel does for it outside of its threads (softirqs of a
 * network card, XDP) is in nobody's account; look at the core's in /proc/stat for that. */
#ifndef CLI_TURN_USAGE_H
#define CLI_TURN_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct turn_usage {
    bool known;
    int64_t cpu_ns, rss_kb;
};

/* `pid` 0, or nothing to be read: not known. */
struct turn_usage turn_usage_of(uint32_t pid);

#endif
