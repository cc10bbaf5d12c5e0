/* SPDX-License-Identifier: MIT
 * The programs are loaded and attached through libbpf, at opening; everything after that is memory
 * (flows.h), so neither privileges nor system calls are needed for it. */
#ifdef BODKIN_FASTPATH
#define _GNU_SOURCE /* NOLINT: getrandom, MAP_SHARED */
#include "fastpath/fastpath.h"

#include "base/assert.h"
#include "fastpath/doors.h"
#include "fastpath/flows.h"
#include "fastpath/private.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <turn_bpf.h> /* made by cmake/BodkinFastpath.cmake: turn_bpf[], the object file's bytes */
#include <unistd.h>

_Static_assert((int)FAST_INTERFACES >= (int)FASTPATH_INTERFACES_MAX, "room for all");

enum { TCX_INGRESS = 46, MAPPED_MAX = 4, FLOWS_MAX = 1000000 };
enum { FILTER_HANDLE = 0xb0d, FILTER_PRIORITY = 0xb0d, LEASE_S = 3 };

struct attached {
    struct fastpath_interface told;
    int link;     /* -1: none */
    bool classic; /* a filter of tc's instead */
};

/* Says again and again that the process lives, where the kernel would not notice its end. */
struct lease {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool running, stopping;
};

struct mapped {
    void *at;
    size_t len;
};

struct fastpath {
    pthread_mutex_t lock; /* guards `flows` */
    struct flows flows;
    bool has_flows;
    struct bpf_object *object;
    struct mapped mapped[MAPPED_MAX];
    struct attached attached[FASTPATH_INTERFACES_MAX];
    size_t attached_count;
    struct lease lease;
    struct bk_alloc alloc;
};

static void say(char *reason, const char *what, int error) {
    if (error == 0)
        (void)snprintf(reason, FASTPATH_REASON_MAX, "%s", what);
    else
        (void)snprintf(reason, FASTPATH_REASON_MAX, "%s: %s", what, strerror(error));
}

static struct timespec clock_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t;
}

static enum bk_err err_of(int error) {
    if (error == EPERM || error == EACCES)
        return BK_ERR_PERMISSION;
    return error == ENOMEM ? BK_ERR_NO_MEMORY : BK_ERR_UNSUPPORTED;
}

/* ---- The way out ---------------------------------------------------------------------------- */

/* bpf_fib_lookup() only answers for interfaces that forward. It is asked on behalf of loopback,
 * where the switch has no other effect: nothing that comes in there is to be forwarded. */
static bool let_loopback_forward(const char *path) {
    char now = '0';
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == EROFS || errno == EACCES))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_on = read(fd, &now, 1) == 1 && now != '0';
    if (!is_on)
        is_on = pwrite(fd, "1", 1, 0) == 1;
    (void)close(fd);
    return is_on;
}

static enum bk_err prepare_routes(char *reason) {
    bool v4 = let_loopback_forward("/proc/sys/net/ipv4/conf/lo/forwarding");
    int error = errno;
    bool v6 = let_loopback_forward("/proc/sys/net/ipv6/conf/lo/forwarding");
    if (v4 || v6)
        return BK_OK;
    say(reason, "net.ipv4.conf.lo.forwarding cannot be set", error);
    return err_of(error);
}

/* ---- Loading -------------------------------------------------------------------------------- */

static int quiet(enum libbpf_print_level level, const char *format, va_list args) {
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

static struct bpf_map *map_of(const struct fastpath *f, const char *name) {
    struct bpf_map *map = bpf_object__find_map_by_name(f->object, name);
    bk_assert(map != NULL); /* the program is part of this one */
    return map;
}

static enum bk_err load(struct fastpath *f, const struct flows_memory *sizes,
                        enum fastpath_mode mode, char *reason) {
    struct bpf_object_open_opts opts = {.sz = sizeof opts, .object_name = "bodkin_turn"};
    (void)libbpf_set_print(quiet);
    f->object = bpf_object__open_mem(turn_bpf, sizeof turn_bpf, &opts);
    if (f->object == NULL) {
        say(reason, "the BPF program cannot be read", errno);
        return err_of(errno);
    }
    if (bpf_map__set_max_entries(map_of(f, "buckets"), sizes->bucket_count) != 0 ||
        bpf_map__set_max_entries(map_of(f, "flows"), sizes->flow_count) != 0 ||
        bpf_map__set_max_entries(map_of(f, "limits"), sizes->limit_count) != 0)
        return BK_ERR_ARGUMENT;
    struct bpf_program *idle = NULL; /* looking at one takes the kernel a tenth of a second */
    if (mode == FASTPATH_XDP)
        idle = bpf_object__find_program_by_name(f->object, "turn_tc");
    if (mode == FASTPATH_TC)
        idle = bpf_object__find_program_by_name(f->object, "turn_xdp");
    if (idle != NULL)
        (void)bpf_program__set_autoload(idle, false);
    int error = -bpf_object__load(f->object);
    if (error == 0)
        return BK_OK;
    say(reason, "the kernel does not load the BPF program", error);
    if (error == EPERM)
        say(reason, "it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON", 0);
    if (error == EACCES) /* what its verifier says; ours it only refuses to the less privileged */
        say(reason, "the kernel refuses the BPF program, as it does without CAP_PERFMON", 0);
    return err_of(error);
}

static enum bk_err map_memory(struct fastpath *f, int which, const char *name, void **out) {
    struct bpf_map *map = map_of(f, name);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
    len = (len + page - 1) / page * page;
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    if (at == MAP_FAILED)
        return BK_ERR_NO_MEMORY;
    f->mapped[which] = (struct mapped){at, len};
    *out = at;
    return BK_OK;
}

static void fill_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    bk_assert(len <= 256 && getrandom(out, len, 0) == (ssize_t)len);
}

static enum bk_err make_flows(struct fastpath *f, struct flows_memory *m, char *reason) {
    const struct bk_rng rng = {fill_random, NULL};
    void *at[MAPPED_MAX];
    static const char *const names[MAPPED_MAX] = {"settings", "buckets", "flows", "limits"};
    for (int i = 0; i < MAPPED_MAX; i++)
        if (map_memory(f, i, names[i], &at[i]) != BK_OK) {
            say(reason, "the kernel does not map the flows", errno);
            return BK_ERR_NO_MEMORY;
        }
    m->settings = at[0];
    m->buckets = at[1];
    m->flows = at[2];
    m->limits = at[3];
    const struct timespec t = clock_now();
    const struct bk_time now = {(int64_t)t.tv_sec * BK_US_PER_S + t.tv_nsec / 1000};
    enum bk_err err = flows_init(&f->flows, m, &rng, now, &f->alloc);
    f->has_flows = err == BK_OK;
    return err;
}

/* ---- Attaching ------------------------------------------------------------------------------ */

int fastpath_program(const struct fastpath *f, enum fastpath_mode mode) {
    const char *name = mode == FASTPATH_XDP ? "turn_xdp" : "turn_tc";
    return bpf_program__fd(bpf_object__find_program_by_name(f->object, name));
}

static bool attach_xdp(const struct fastpath *f, const struct door *d, struct attached *a) {
    struct bpf_link_create_opts opts = {.sz = sizeof opts, .flags = XDP_FLAGS_DRV_MODE};
    if (!d->sends_xdp && (!d->sends_back || f->attached_count > 1)) {
        say(a->told.reason, "its driver does not send packets for XDP", 0);
        return false;
    }
    a->link = bpf_link_create(fastpath_program(f, FASTPATH_XDP), (int)d->index, BPF_XDP, &opts);
    if (a->link < 0) {
        int error = errno;
        say(a->told.reason, error == EBUSY ? "another XDP program is there" : "no XDP",
            error == EBUSY ? 0 : error);
        a->link = -1;
        return false;
    }
    a->told.mode = FASTPATH_XDP;
    a->told.offloaded = true;
    return true;
}

/* tcx, since Linux 6.6: as with XDP, the link goes when its last descriptor does. */
static bool attach_tcx(const struct fastpath *f, struct attached *a) {
    a->link = bpf_link_create(fastpath_program(f, FASTPATH_TC), (int)a->told.index,
                              (enum bpf_attach_type)TCX_INGRESS, NULL);
    if (a->link < 0)
        a->link = -1;
    return a->link >= 0;
}

static struct bpf_tc_hook hook_of(const struct attached *a) {
    return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook),
                                .ifindex = (int)a->told.index,
                                .attach_point = BPF_TC_INGRESS};
}

static void detach_classic(const struct attached *a) {
    struct bpf_tc_hook hook = hook_of(a);
    struct bpf_tc_opts opts = {
        .sz = sizeof opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY};
    (void)bpf_tc_detach(&hook, &opts); /* the hook itself may be in use by others: it stays */
}

/* A filter of tc's: it outlives us, so it is replaced where one of ours is found, and works on a
 * lease. */
static bool attach_classic(const struct fastpath *f, struct attached *a) {
    struct bpf_tc_hook hook = hook_of(a);
    struct bpf_tc_opts opts = {.sz = sizeof opts,
                               .handle = FILTER_HANDLE,
                               .priority = FILTER_PRIORITY,
                               .prog_fd = fastpath_program(f, FASTPATH_TC),
                               .flags = BPF_TC_F_REPLACE};
    int error = -bpf_tc_hook_create(&hook);
    if (error == 0 || error == EEXIST)
        error = -bpf_tc_attach(&hook, &opts);
    a->classic = error == 0;
    if (error != 0)
        say(a->told.reason, "no tc", error);
    return error == 0;
}

static bool attach_tc(const struct fastpath *f, struct attached *a, bool classic) {
    if ((classic || !attach_tcx(f, a)) && !attach_classic(f, a))
        return false;
    a->told.mode = FASTPATH_TC;
    return true;
}

static void attach(struct fastpath *f, const struct door *d, const struct fastpath_config *config) {
    struct attached *a = &f->attached[f->attached_count++];
    struct fast_interface i = {.index = d->index, .may = FAST_OUT};
    *a = (struct attached){.link = -1};
    a->told.index = d->index;
    memcpy(a->told.name, d->name, sizeof a->told.name);
    if (!d->ethernet) {
        say(a->told.reason, "not an Ethernet", 0);
        return;
    }
    if (d->sends_xdp)
        i.may |= FAST_XDP_OUT;
    if (d->sends_back)
        i.may |= FAST_XDP_BACK;
    memcpy(i.mac, d->mac, sizeof i.mac);
    f->flows.shared.settings->interfaces[f->attached_count - 1] = i;
    if (config->mode != FASTPATH_TC && attach_xdp(f, d, a))
        return;
    if (config->mode != FASTPATH_XDP)
        (void)attach_tc(f, a, config->classic);
}

/* ---- The lease ------------------------------------------------------------------------------ */

static void *renew(void *ctx) {
    struct fastpath *f = ctx;
    struct lease *l = &f->lease;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct timespec t = clock_now();
        uint64_t until = (uint64_t)(t.tv_sec + LEASE_S) * 1000000000U;
        __atomic_store_n(&f->flows.shared.settings->lease_ns, until, __ATOMIC_RELEASE);
        t.tv_sec++;
        (void)pthread_cond_timedwait(&l->stop, &l->lock, &t);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void end_lease(struct fastpath *f) {
    struct lease *l = &f->lease;
    if (!l->running)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->stopping = true;
    (void)pthread_cond_signal(&l->stop);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
    __atomic_store_n(&f->flows.shared.settings->lease_ns, 0, __ATOMIC_SEQ_CST);
    (void)pthread_cond_destroy(&l->stop);
    (void)pthread_mutex_destroy(&l->lock);
}

static enum bk_err keep_lease(struct fastpath *f, char *reason) {
    struct lease *l = &f->lease;
    pthread_condattr_t attr;
    bool needed = false;
    for (size_t i = 0; i < f->attached_count; i++)
        needed = needed || f->attached[i].classic;
    if (!needed)
        return BK_OK;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->stop, &attr);
    (void)pthread_condattr_destroy(&attr);
    int error = pthread_create(&l->thread, NULL, renew, f);
    l->running = error == 0;
    if (error == 0)
        return BK_OK;
    say(reason, "no thread", error);
    return BK_ERR_NO_MEMORY;
}

static enum bk_err attach_all(struct fastpath *f, const struct fastpath_config *config,
                              char *reason) {
    struct door doors[FASTPATH_INTERFACES_MAX];
    size_t count = doors_list(config->serve, config->serve_count, doors, FASTPATH_INTERFACES_MAX);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        attach(f, &doors[i], config);
        any = any || f->attached[i].told.mode != FASTPATH_OFF;
    }
    if (any)
        return keep_lease(f, reason);
    if (count == 0)
        say(reason, "no interface has these addresses", 0);
    else
        (void)snprintf(reason, FASTPATH_REASON_MAX, "%s: %.130s", f->attached[0].told.name,
                       f->attached[0].told.reason);
    return BK_ERR_NOT_FOUND;
}

/* ---- The verbs ------------------------------------------------------------------------------ */

void fastpath_close(struct fastpath *f) {
    if (f == NULL)
        return;
    end_lease(f);
    for (size_t i = 0; i < f->attached_count; i++) {
        if (f->attached[i].link >= 0)
            (void)close(f->attached[i].link);
        if (f->attached[i].classic)
            detach_classic(&f->attached[i]);
    }
    if (f->has_flows)
        flows_fini(&f->flows);
    for (int i = 0; i < MAPPED_MAX; i++)
        if (f->mapped[i].at != NULL)
            (void)munmap(f->mapped[i].at, f->mapped[i].len);
    bpf_object__close(f->object);
    (void)pthread_mutex_destroy(&f->lock);
    f->alloc.put(f->alloc.ctx, f);
}

enum bk_err fastpath_load(const struct fastpath_config *config, const struct bk_alloc *alloc,
                          struct fastpath **out, char *reason) {
    if (config->flows_max == 0 || config->flows_max > FLOWS_MAX || config->allocs_max == 0 ||
        config->mode == FASTPATH_OFF) {
        say(reason, "flows_max, allocs_max or the mode is out of range", 0);
        return BK_ERR_ARGUMENT;
    }
    struct flows_memory memory = {.flow_count = config->flows_max,
                                  .limit_count = config->allocs_max,
                                  .bucket_count = flows_buckets(config->flows_max)};
    struct fastpath *f = alloc->get(alloc->ctx, sizeof *f);
    if (f == NULL)
        return BK_ERR_NO_MEMORY;
    f->alloc = *alloc;
    (void)pthread_mutex_init(&f->lock, NULL);
    enum bk_err err = load(f, &memory, config->mode, reason);
    if (err == BK_OK)
        err = make_flows(f, &memory, reason);
    if (err != BK_OK) {
        fastpath_close(f);
        return err;
    }
    *out = f;
    return BK_OK;
}

enum bk_err fastpath_attach(struct fastpath *f, const struct fastpath_config *config,
                            char *reason) {
    enum bk_err err = prepare_routes(reason);
    return err == BK_OK ? attach_all(f, config, reason) : err;
}

enum bk_err fastpath_open(const struct fastpath_config *config, const struct bk_alloc *alloc,
                          struct fastpath **out, char *reason) {
    struct fastpath *f;
    enum bk_err err = fastpath_load(config, alloc, &f, reason);
    if (err != BK_OK)
        return err;
    err = fastpath_attach(f, config, reason);
    if (err == BK_OK)
        *out = f;
    else
        fastpath_close(f);
    return err;
}

enum bk_err fastpath_add(struct fastpath *f, const struct fastpath_flow *flow) {
    (void)pthread_mutex_lock(&f->lock);
    enum bk_err err = flows_put(&f->flows, flow);
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

enum bk_err fastpath_remove(struct fastpath *f, uint64_t id, struct fastpath_count *last) {
    (void)pthread_mutex_lock(&f->lock);
    enum bk_err err = flows_remove(&f->flows, id, last);
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

enum bk_err fastpath_count(struct fastpath *f, uint64_t id, struct fastpath_count *out) {
    (void)pthread_mutex_lock(&f->lock);
    enum bk_err err = flows_count(&f->flows, id, out);
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

size_t fastpath_interfaces(const struct fastpath *f, struct fastpath_interface *out, size_t max) {
    size_t count = f->attached_count < max ? f->attached_count : max;
    for (size_t i = 0; i < count; i++)
        out[i] = f->attached[i].told;
    return count;
}
#else
typedef int fastpath_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
