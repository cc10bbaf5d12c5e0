/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/turn_usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 320 };

/* The first number of a file; -1: cannot be read. */
static int64_t first_number(const char *path) {
    char line[128];
    FILE *f = fopen(path, "re");
    int64_t n = f != NULL && fgets(line, sizeof line, f) != NULL ? strtoll(line, NULL, 10) : -1;
    if (f != NULL)
        (void)fclose(f);
    return n;
}

/* Time on a core, of all threads that there are; -1: the kernel does not count it. */
static int64_t scheduled_ns(uint32_t pid) {
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/task", pid);
    DIR *tasks = opendir(path);
    int64_t sum = tasks != NULL ? 0 : -1;
    const struct dirent *e;
    while (tasks != NULL && (e = readdir(tasks)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/task/%s/schedstat", pid, e->d_name);
        int64_t ns = first_number(path);
        sum = ns < 0 || sum < 0 ? -1 : sum + ns;
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return sum;
}

/* Fields 14 and 15 of /proc/PID/stat, which begin after the name's last parenthesis. */
static int64_t ticks_ns(uint32_t pid) {
    char path[PATH_ROOM], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    FILE *f = fopen(path, "re");
    char *at = f != NULL && fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    if (f != NULL)
        (void)fclose(f);
    for (int field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return -1;
    int64_t user = strtoll(at, &at, 10), system = strtoll(at, NULL, 10);
    return (user + system) * (1000000000 / sysconf(_SC_CLK_TCK));
}

static int64_t resident_kb(uint32_t pid) {
    char path[PATH_ROOM], line[256];
    int64_t kb = -1;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/status", pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && kb < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtoll(line + 6, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kb;
}

struct turn_usage turn_usage_of(uint32_t pid) {
    struct turn_usage u = {.known = pid != 0};
    if (!u.known)
        return u;
    u.cpu_ns = scheduled_ns(pid);
    if (u.cpu_ns < 0)
        u.cpu_ns = ticks_ns(pid);
    u.rss_kb = resident_kb(pid);
    u.known = u.cpu_ns >= 0 && u.rss_kb >= 0;
    return u;
}
