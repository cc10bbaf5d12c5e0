/* SPDX-License-Identifier: MIT
 * What connected agents cost that do nothing but keep their consent (RFC 7675): memory, share of a
 * core, descriptors and threads, for each agent. All share one UDP port a side and one thread, and
 * both sides are in it; loopback, IPv4. "consent" asks every 5 s; "watchful", the default, also
 * whenever nothing was heard for most of 2 s, so that a break is told within that time. "Held" is
 * what was asked for, and what rounding and half-filled slabs of the driver's pool add.
 *
 *   bench-ice_idle [SECONDS]                  20 s of consent by default
 *
 * Goals: at most 4 KB, no descriptor, no thread; 10 000 agents on 3 % of a core. */
#define _GNU_SOURCE /* NOLINT: mallinfo2() and getrusage() need it */
#include "ice_pairs.h"
#include "run/pool.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 20, SETTLE_S = 6 };

struct state {
    double heap, rss; /* bytes */
    int descriptors, threads;
};

static int entries(const char *path) {
    int n = 0;
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static struct state look(void) {
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers */
    if (f == NULL || fscanf(f, "%ld %ld", &pages, &resident) != 2)
        pairs_die("no /proc");
    fclose(f);
    struct mallinfo2 m = mallinfo2();
    return (struct state){(double)(m.uordblks + m.hblkhd + pool_held()),
                          (double)resident * (double)sysconf(_SC_PAGESIZE),
                          entries("/proc/self/fd"), entries("/proc/self/task")};
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void on_time(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void run_for(struct pairs *p, int seconds) {
    uv_timer_t timer;
    uv_timer_init(&p->uv, &timer);
    uv_update_time(&p->uv);
    uv_timer_start(&timer, on_time, (uint64_t)seconds * 1000, 0);
    uv_run(&p->uv, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&p->uv, UV_RUN_NOWAIT);
}

static void measure(size_t agents, bool watchful, int seconds) {
    static struct pairs p;
    struct bk_ice_config config = bk_ice_config_default;
    config.ipv6 = false; /* one candidate each, as a server has */
    if (!watchful)
        config.disconnected_us = 0;
    pairs_init(&p, agents / 2 + 1);
    pairs_add(&p, &config, 1); /* opens the sockets, warms everything up */
    run_for(&p, 1);
    struct state before = look();
    double start = cpu_s();
    pairs_add(&p, &config, agents / 2);
    double connecting = cpu_s() - start;
    run_for(&p, SETTLE_S);
    struct state after = look();
    start = cpu_s();
    run_for(&p, seconds);
    double share = (cpu_s() - start) / seconds;
    double n = (double)agents;
    double heap = (after.heap - before.heap) / n, rss = (after.rss - before.rss) / n;
    int descriptors = after.descriptors - before.descriptors;
    int threads = after.threads - before.threads;
    const char *kind = watchful ? "watchful" : "consent";
    printf("%-9s %7zu %12.0f %12.0f %11d %8d %10.2f %14.0f\n", kind, agents, heap, rss, descriptors,
           threads, share * 100, connecting / n * 1e6);
    printf("{\"bench\":\"ice_idle\",\"kind\":\"%s\",\"agents\":%zu,\"heap_bytes\":%.0f,"
           "\"rss_bytes\":%.0f,\"descriptors\":%d,\"threads\":%d,\"cpu_percent\":%.2f,"
           "\"connect_cpu_us\":%.0f}\n",
           kind, agents, heap, rss, descriptors, threads, share * 100, connecting / n * 1e6);
    fflush(stdout);
    pairs_fini(&p);
}

int main(int argc, char **argv) {
    static const size_t counts[] = {100, 1000, 10000};
    int seconds = argc > 1 ? atoi(argv[1]) : SECONDS; /* NOLINT(cert-err34-c): 0 is refused */
    if (seconds <= 0)
        pairs_die("usage: bench-ice_idle [SECONDS]");
    printf("idle agents with consent, one thread and one port a side, %d s; per agent\n", seconds);
    printf("%-9s %7s %12s %12s %11s %8s %10s %14s\n", "", "agents", "held, B", "RSS, B",
           "descriptors", "threads", "CPU, %", "to connect, us");
    fflush(stdout);
    for (size_t i = 0; i < 2 * (sizeof counts / sizeof *counts); i++) {
        pid_t child = fork(); /* a fresh process each: what was freed before does not help */
        if (child < 0)
            pairs_die("no process");
        if (child == 0) {
            measure(counts[i / 2], i % 2 != 0, seconds);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status != 0)
            return 1;
    }
    return 0;
}
