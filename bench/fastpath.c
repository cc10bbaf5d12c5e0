/* SPDX-License-Identifier: MIT
 * What a packet costs in the kernel's fast path (src/fastpath): bench-fastpath [option=value...]
 *
 *     mode=xdp|tc|floor  flows=1  size=100  seconds=2  way=up|down  train=16  rate=0
 *
 * Three namespaces on virtual links (tests/unit/fastpath/world.h), as root. The server's interfaces
 * are polled by kernel threads of their own (napi/s0-*, napi/s1-*), pinned to core 1: their CPU
 * time is the cost, all of it, and nothing else runs in them. The sender and the receivers' polling
 * threads have core 0; what arrives is counted and dropped by an XDP program there. `train`: so
 * many datagrams of a flow after another, in one call with UDP_SEGMENT; 1: flows take turns, one
 * datagram each, at `rate` a second (0: what goes). Prints one line. */
#ifdef BODKIN_FASTPATH
#define _GNU_SOURCE /* NOLINT: sched_setaffinity */
#include "tests/unit/fastpath/world.h"

#include "base/assert.h"
#include "fastpath/private.h"
#include "net/alloc.h"
#include <bpf/bpf.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>

enum { FLOWS_MAX = 4000, TRAIN_MAX = 64, THREADS_MAX = 16, SIZE_MAX_ = 1400, BASE = 20000 };
enum { XDP_DROPPED = 1 };

struct plan {
    struct world *world;
    enum fastpath_mode mode;
    bool down;
    long flows, size, seconds, train, rate;
};

struct threads {
    pid_t pids[THREADS_MAX];
    int count;
};

static double now_s(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long option(int argc, char **argv, const char *name, long fallback) {
    size_t len = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
            return strtol(argv[i] + len + 1, NULL, 10);
    return fallback;
}

static bool has(int argc, char **argv, const char *word) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

/* Before everybody else, so that a busy machine only disturbs the caches. */
static void pin(pid_t pid, int core, int urgency) {
    const struct sched_param param = {.sched_priority = urgency};
    cpu_set_t set;
    (void)sched_setscheduler(pid, SCHED_FIFO, &param);
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    (void)sched_setaffinity(pid, sizeof set, &set);
}

/* The polling threads of one interface. */
static void find_threads(const char *prefix, int core, struct threads *out) {
    char path[300], comm[64];
    DIR *proc = opendir("/proc");
    for (struct dirent *e = readdir(proc); e != NULL; e = readdir(proc)) {
        (void)snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        if (f == NULL)
            continue;
        if (fgets(comm, sizeof comm, f) != NULL && strncmp(comm, prefix, strlen(prefix)) == 0 &&
            out->count < THREADS_MAX) {
            out->pids[out->count++] = (pid_t)strtol(e->d_name, NULL, 10);
            pin(out->pids[out->count - 1], core, 2);
        }
        (void)fclose(f);
    }
    (void)closedir(proc);
}

static double cpu_of(const struct threads *t) {
    double sum = 0;
    for (int i = 0; i < t->count; i++) {
        char path[64], line[128];
        (void)snprintf(path, sizeof path, "/proc/%d/schedstat", (int)t->pids[i]);
        FILE *f = fopen(path, "re");
        if (f == NULL)
            continue;
        if (fgets(line, sizeof line, f) != NULL)
            sum += strtod(line, NULL) / 1e9;
        (void)fclose(f);
    }
    return sum;
}

/* Busy time of a core, /proc/stat: user, nice, system, irq, softirq. */
static double core_busy(int core) {
    char line[256], name[16];
    double sum = 0;
    FILE *f = fopen("/proc/stat", "re");
    (void)snprintf(name, sizeof name, "cpu%d ", core);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        char *at = line + strlen(name);
        for (int column = 0; column < 7; column++) { /* but for idle and iowait */
            double ticks = (double)strtoul(at, &at, 10);
            sum += column == 3 || column == 4 ? 0 : ticks / (double)sysconf(_SC_CLK_TCK);
        }
    }
    if (f != NULL)
        (void)fclose(f);
    return sum;
}

static void threaded(const struct world *w, enum world_side side, const char *name) {
    char line[300];
    (void)snprintf(line, sizeof line,
                   "unshare -m sh -c 'mount --make-rprivate / && mount -t sysfs sysfs /sys && "
                   "echo 1 > /sys/class/net/%s/threaded'",
                   name);
    world_need(world_run(w, side, line), "threaded NAPI");
}

static int attach(const struct world *w, enum world_side side, const char *name,
                  const struct bpf_insn *insns, size_t count) {
    struct bpf_link_create_opts opts = {.sz = sizeof opts, .flags = XDP_FLAGS_DRV_MODE};
    int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "bench", "GPL", insns, count, NULL);
    world_need(prog >= 0, "program");
    world_enter(w, side);
    int link = bpf_link_create(prog, (int)if_nametoindex(name), BPF_XDP, &opts);
    world_enter(w, SERVER);
    world_need(link >= 0, "link");
    return link;
}

static void drop_at(const struct world *w, enum world_side side, const char *name) {
    const struct bpf_insn drop[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROPPED},
                                    {.code = BPF_JMP | BPF_EXIT}};
    (void)attach(w, side, name, drop, sizeof drop / sizeof *drop);
}

/* The least an XDP program can do: send everything on, as it is, unseen. */
static void floor_at(const struct world *w, const char *in, const char *out) {
    const struct bpf_insn send[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = (int)if_nametoindex(out)},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect},
        {.code = BPF_JMP | BPF_EXIT}};
    (void)attach(w, SERVER, in, send, sizeof send / sizeof *send);
    const struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 2},
                                    {.code = BPF_JMP | BPF_EXIT}};
    (void)attach(w, SERVER, out, pass, 2);
}

static uint64_t received(const struct world *w, enum world_side side, const char *name) {
    struct ifaddrs *list = NULL;
    uint64_t count = 0;
    world_enter(w, side);
    world_need(getifaddrs(&list) == 0, "getifaddrs");
    world_enter(w, SERVER);
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next)
        if (a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_PACKET &&
            strcmp(a->ifa_name, name) == 0)
            count = ((const struct rtnl_link_stats *)a->ifa_data)->rx_packets;
    freeifaddrs(list);
    return count;
}

static struct fastpath_flow flow_of(long i) {
    char text[64];
    struct fastpath_flow f = {.id = (uint64_t)i + 1,
                              .alloc = (uint64_t)i + 1,
                              .server = world_addr("192.0.2.1:3478"),
                              .channel = 0x4001,
                              .expires = BK_NEVER};
    (void)snprintf(text, sizeof text, "192.0.2.2:%ld", BASE + i);
    f.client = world_addr(text);
    (void)snprintf(text, sizeof text, "198.51.100.1:%ld", BASE + i);
    f.relay = world_addr(text);
    (void)snprintf(text, sizeof text, "198.51.100.2:%ld", BASE + i);
    f.peer = world_addr(text);
    return f;
}

/* Trains leave by connected sockets, one a flow. */
static void make_sockets(const struct world *w, const struct plan *p, int *out) {
    for (long i = 0; i < p->flows; i++) {
        const struct fastpath_flow f = flow_of(i);
        const struct bk_addr *from = p->down ? &f.peer : &f.client;
        const struct bk_addr *to = p->down ? &f.relay : &f.server;
        char text[BK_ADDR_TEXT_MAX];
        union net_sockaddr sa;
        out[i] = world_socket(w, p->down ? PEER : CLIENT, bk_addr_format(from, text), 1000);
        socklen_t len = sockaddr_from(to, false, &sa);
        world_need(connect(out[i], &sa.any, len) == 0, "connect");
        int size = 4 << 20, segment = (int)p->size + (p->down ? 0 : 4);
        (void)setsockopt(out[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        world_need(setsockopt(out[i], SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0,
                   "UDP_SEGMENT");
    }
}

static uint8_t bytes[TRAIN_MAX * (SIZE_MAX_ + 4)];

static void channel_head(const struct plan *p, uint8_t *at) {
    const uint8_t head[4] = {0x40, 0x01, (uint8_t)(p->size >> 8), (uint8_t)p->size};
    if (!p->down)
        memcpy(at, head, sizeof head);
}

static uint64_t send_trains(const struct plan *p, double until) {
    static int fds[FLOWS_MAX];
    size_t one = (size_t)p->size + (p->down ? 0 : 4);
    uint64_t sent = 0;
    make_sockets(p->world, p, fds);
    for (long i = 0; i < p->train; i++)
        channel_head(p, bytes + (size_t)i * one);
    for (long turn = 0; turn % 64 != 0 || now_s() < until; turn++)
        if (send(fds[turn % p->flows], bytes, one * (size_t)p->train, 0) > 0)
            sent += (uint64_t)p->train;
    return sent;
}

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(const uint8_t *at, size_t len) {
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    return sum;
}

static uint16_t folded(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

enum { HEADS = 14 + 20 + 8 };

/* A whole frame of flow `i`, as a network card would have received it. */
static size_t make_frame(const struct plan *p, long i, uint8_t *out) {
    const struct fastpath_flow f = flow_of(i);
    const struct bk_addr *from = p->down ? &f.peer : &f.client;
    const struct bk_addr *to = p->down ? &f.relay : &f.server;
    const uint8_t ends = p->down ? PEER : CLIENT;
    const uint8_t eth[14] = {2, 0, 0, 0, ends, 1, 2, 0, 0, 0, ends, 2, 8, 0};
    size_t len = 8 + (size_t)p->size + (p->down ? 0 : 4);
    uint8_t *ip = out + 14, *udp = ip + 20;
    memset(out, 0, HEADS + len);
    memcpy(out, eth, sizeof eth);
    ip[0] = 0x45;
    put16(ip + 2, 20 + len);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, from->ip.bytes, 4);
    memcpy(ip + 16, to->ip.bytes, 4);
    put16(ip + 10, folded(sum16(ip, 20)));
    put16(udp, from->port);
    put16(udp + 2, to->port);
    put16(udp + 4, len);
    channel_head(p, udp + 8);
    put16(udp + 6, folded(sum16(ip + 12, 8) + 17 + (uint32_t)len + sum16(udp, len)));
    return 14 + 20 + len;
}

/* Single datagrams, flows taking turns, leave as frames: the sender must be faster than what is
 * measured. */
static uint64_t send_frames(const struct plan *p, double until) {
    enum { BATCH = 64, FRAME_MAX = 1600 };
    static uint8_t frames[FLOWS_MAX][FRAME_MAX];
    static struct iovec iov[FLOWS_MAX + BATCH];
    static struct mmsghdr messages[FLOWS_MAX + BATCH];
    enum world_side side = p->down ? PEER : CLIENT;
    uint64_t sent = 0;
    int on = 1;
    world_enter(p->world, side);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    const struct sockaddr_ll to = {.sll_family = AF_PACKET,
                                   .sll_protocol = 8, /* IPv4, in network order */
                                   .sll_ifindex = (int)if_nametoindex(p->down ? "p0" : "c0")};
    world_need(fd >= 0 && bind(fd, (const struct sockaddr *)&to, sizeof to) == 0, "packet socket");
    world_enter(p->world, SERVER);
    (void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    size_t len = 0;
    for (long i = 0; i < p->flows; i++)
        len = make_frame(p, i, frames[i]);
    for (long i = 0; i < p->flows + BATCH; i++) {
        iov[i] = (struct iovec){frames[i % p->flows], len};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    double begin = now_s();
    for (long at = 0; now_s() < until; at = (at + BATCH) % p->flows) {
        if (p->rate > 0 && (double)sent > (now_s() - begin) * (double)p->rate)
            continue;
        int n = sendmmsg(fd, messages + at, BATCH, 0);
        sent += n > 0 ? (uint64_t)n : 0;
    }
    (void)close(fd);
    return sent;
}

static void report(const struct plan *p, uint64_t sent, uint64_t carried, double cpu, double busy) {
    double s = (double)p->seconds, million = (double)carried / 1e6;
    printf(
        "%-5s %-4s flows %4ld size %4ld train %2ld: sent %7.0f/s carried %7.0f/s (%5.1f %%), "
        "CPU-s per million %.2f (polling threads), %.2f (core 1), goodput of a full core %.0f/s\n",
        p->mode == FASTPATH_OFF   ? "floor"
        : p->mode == FASTPATH_XDP ? "xdp"
                                  : "tc",
        p->down ? "down" : "up", p->flows, p->size, p->train, (double)sent / s, (double)carried / s,
        100.0 * (double)carried / (double)sent, cpu / million, busy / million,
        (double)carried / cpu);
}

int main(int argc, char **argv) {
    struct world w;
    struct fastpath *path = NULL;
    struct threads server = {{0}, 0}, others = {{0}, 0};
    char reason[FASTPATH_REASON_MAX] = "";
    const struct plan p = {.world = &w,
                           .mode = has(argc, argv, "mode=tc")      ? FASTPATH_TC
                                   : has(argc, argv, "mode=floor") ? FASTPATH_OFF
                                                                   : FASTPATH_XDP,
                           .down = has(argc, argv, "way=down"),
                           .flows = option(argc, argv, "flows", 1),
                           .size = option(argc, argv, "size", 100),
                           .seconds = option(argc, argv, "seconds", 2),
                           .train = option(argc, argv, "train", 16),
                           .rate = option(argc, argv, "rate", 0)};
    const struct fastpath_config config = {.mode = p.mode, .flows_max = 65536, .allocs_max = 65536};
    if (p.flows < 1 || p.flows > FLOWS_MAX || p.train < 1 || p.train > TRAIN_MAX || p.size < 1 ||
        p.size > SIZE_MAX_)
        return 2;
    if (!world_make(&w)) {
        fprintf(stderr, "%s\n", w.why);
        return 77;
    }
    drop_at(&w, p.down ? CLIENT : PEER, p.down ? "c0" : "p0");
    (void)world_switch(&w, SERVER, "s0", ETHTOOL_SGRO, 1);
    (void)world_switch(&w, SERVER, "s1", ETHTOOL_SGRO, 1);
    /* Without XDP a virtual link has a queue of its own only for what might be merged. */
    if (p.mode == FASTPATH_TC)
        (void)world_run(&w, SERVER,
                        "ethtool -K s0 rx-udp-gro-forwarding on; "
                        "ethtool -K s1 rx-udp-gro-forwarding on");
    if (p.mode == FASTPATH_OFF) {
        floor_at(&w, p.down ? "s1" : "s0", p.down ? "s0" : "s1");
    } else if (fastpath_open(&config, net_alloc(), &path, reason) != BK_OK) {
        fprintf(stderr, "%s\n", reason);
        return 77;
    }
    threaded(&w, SERVER, "s0");
    threaded(&w, SERVER, "s1");
    threaded(&w, p.down ? CLIENT : PEER, p.down ? "c0" : "p0");
    find_threads("napi/s0-", 1, &server);
    find_threads("napi/s1-", 1, &server);
    find_threads(p.down ? "napi/c0-" : "napi/p0-", 0, &others);
    pin(0, 0, 1);
    for (long i = 0; i < p.flows && path != NULL; i++) {
        const struct fastpath_flow f = flow_of(i);
        world_need(fastpath_add(path, &f) == BK_OK, "fastpath_add");
    }
    uint64_t before = received(&w, p.down ? CLIENT : PEER, p.down ? "c0" : "p0");
    double cpu = cpu_of(&server), busy = core_busy(1);
    double until = now_s() + (double)p.seconds;
    uint64_t sent = p.train > 1 ? send_trains(&p, until) : send_frames(&p, until);
    (void)usleep(100000);
    cpu = cpu_of(&server) - cpu;
    busy = core_busy(1) - busy;
    report(&p, sent, received(&w, p.down ? CLIENT : PEER, p.down ? "c0" : "p0") - before, cpu,
           busy);
    fastpath_close(path);
    world_end(&w);
    return 0;
}
#else
#include <stdio.h>

int main(void) {
    (void)fputs("this build has no fast path\n", stderr);
    return 77;
}
#endif
