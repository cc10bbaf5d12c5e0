/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: unshare() and setns() need it */
#include "lab/netns.h"

#include "lab/netlink.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char interface[] = "eth0";

/* Kernel headers before 6.2 do not know UDP segmentation on TUN. */
enum { OFFLOAD_USO4 = 0x20, OFFLOAD_USO6 = 0x40 };

/* Packets the kernel queues for us while we are busy with other hosts. */
enum { TUN_QUEUE_PACKETS = 2000 };

static enum bk_err write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return BK_ERR_IO;
    size_t len = strlen(text);
    ssize_t put = write(fd, text, len);
    close(fd);
    return put == (ssize_t)len ? BK_OK : BK_ERR_IO;
}

/* For settings that make a host nicer but are not needed: an old kernel may lack them. */
static void try_setting(const char *path, const char *text) {
    enum bk_err ignored = write_file(path, text);
    (void)ignored;
}

static int open_namespace(const char *which) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", which);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A user namespace in which we stay who we are: programs keep their files and their name. */
static enum bk_err enter_user_namespace(char *why) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) < 0) {
        snprintf(why, TOPOLOGY_ERROR_MAX,
                 "this machine does not let you make user namespaces (%s): run the lab as root, or "
                 "look at sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone",
                 strerror(errno));
        return BK_ERR_PERMISSION;
    }
    char map[64];
    try_setting("/proc/self/setgroups", "deny"); /* the kernel wants it before gid_map */
    snprintf(map, sizeof map, "%u %u 1", gid, gid);
    if (write_file("/proc/self/gid_map", map) != BK_OK)
        goto refused;
    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    if (write_file("/proc/self/uid_map", map) == BK_OK)
        return BK_OK;
refused:
    snprintf(why, TOPOLOGY_ERROR_MAX, "cannot map our own user id in a user namespace: %s",
             strerror(errno));
    return BK_ERR_PERMISSION;
}

/* Root in a container may lack the right to make namespaces; then it is treated like a user. */
static enum bk_err probe(bool *is_root, char *why) {
    *is_root = geteuid() == 0;
    int home = open_namespace("net");
    if (*is_root && unshare(CLONE_NEWNET) < 0) {
        *is_root = false;
    } else if (*is_root && setns(home, CLONE_NEWNET) < 0) {
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot return to our network namespace: %s",
                 strerror(errno));
        close(home);
        return BK_ERR_PERMISSION;
    }
    if (home >= 0)
        close(home);
    return BK_OK;
}

enum bk_err netns_begin(struct netns_base *base, char *why) {
    struct netns_base b = {.user = -1, .home = -1, .home_uts = -1};
    bool is_root = false;
    enum bk_err err = probe(&is_root, why);
    if (err != BK_OK)
        return err;
    if (!is_root) {
        err = enter_user_namespace(why);
        if (err != BK_OK)
            return err;
        b.user = open_namespace("user");
        /* The way back to the namespace we came from is closed now, so home is a new one. */
        if (unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0) {
            snprintf(why, TOPOLOGY_ERROR_MAX, "cannot make a network namespace: %s",
                     strerror(errno));
            netns_end(&b);
            return BK_ERR_PERMISSION;
        }
    }
    b.home = open_namespace("net");
    b.home_uts = open_namespace("uts");
    *base = b;
    return BK_OK;
}

void netns_end(struct netns_base *base) {
    int *fds[] = {&base->user, &base->home, &base->home_uts};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static enum bk_err tun_refused(char *why) {
    int e = errno;
    if (e == ENOENT || e == ENXIO || e == ENODEV)
        snprintf(why, TOPOLOGY_ERROR_MAX,
                 "the lab needs /dev/net/tun, which is not there: load the kernel module with "
                 "`modprobe tun`");
    else if (e == EACCES || e == EPERM)
        snprintf(why, TOPOLOGY_ERROR_MAX,
                 "you may not open /dev/net/tun (%s): run the lab as root, or allow it with "
                 "`chmod 666 /dev/net/tun`",
                 strerror(e));
    else
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot make a TUN device: %s", strerror(e));
    if (e == ENOENT || e == ENXIO || e == ENODEV)
        return BK_ERR_UNSUPPORTED;
    return e == EACCES || e == EPERM ? BK_ERR_PERMISSION : BK_ERR_IO;
}

enum bk_err netns_offload(struct netns *ns, bool superpackets) {
    unsigned long tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    ns->superpackets = superpackets;
    ns->uso = superpackets && ioctl(ns->tun, TUNSETOFFLOAD, tso | OFFLOAD_USO4 | OFFLOAD_USO6) == 0;
    if (ns->uso)
        return BK_OK;
    if (superpackets && ioctl(ns->tun, TUNSETOFFLOAD, tso) == 0)
        return BK_OK;
    ns->superpackets = false;
    return ioctl(ns->tun, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) == 0 ? BK_OK : BK_ERR_IO;
}

static enum bk_err make_tun(struct netns *ns, char *why) {
    ns->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (ns->tun < 0)
        return tun_refused(why);
    struct ifreq r;
    memset(&r, 0, sizeof r);
    memcpy(r.ifr_name, interface, sizeof interface);
    r.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(ns->tun, TUNSETIFF, &r) < 0 || netns_offload(ns, true) != BK_OK)
        return tun_refused(why);
    /* A device that goes with its descriptor costs close() 30 ms in the kernel, one after the other
     * (Linux 6.18: 100 hosts took 3 s to end). A persistent one goes with its namespace, which the
     * kernel clears away in the background, many at a time. */
    if (ioctl(ns->tun, TUNSETPERSIST, 1UL) < 0)
        return tun_refused(why);
    return BK_OK;
}

/* What commands like to find. Done by the process that is about to run one: most hosts of a large
 * lab run none, and the more namespaces there are the longer a path in /proc/sys takes to look up
 * (1000 hosts: a third of the time to make them). */
static void nice_settings(void) {
    char gids[64];
    /* Sockets of ping without CAP_NET_RAW; only groups that the namespace maps are accepted. */
    if (write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647") != BK_OK) {
        snprintf(gids, sizeof gids, "%u %u", getegid(), getegid());
        try_setting("/proc/sys/net/ipv4/ping_group_range", gids);
    }
    /* A server in a lab may take port 443 whoever runs it. */
    try_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}

static void add_addresses(struct netlink *n, uint32_t eth0, const struct topology_node *host) {
    bool routed[2] = {false, false};
    for (size_t i = 0; i < host->address_count; i++) {
        const struct topology_prefix *a = &host->address[i];
        size_t family = a->ip.family == BK_IPV6;
        netlink_add_address(n, eth0, a);
        if (!routed[family])
            netlink_add_default_route(n, eth0, &a->ip);
        routed[family] = true;
    }
}

static enum bk_err configure(const struct topology_node *host, char *why) {
    struct netlink n;
    enum bk_err err = netlink_open(&n);
    uint32_t lo = 0, eth0 = 0;
    if (err == BK_OK) {
        lo = netlink_index(&n, "lo");
        eth0 = netlink_index(&n, interface);
        /* The fabric routes by configured addresses; link-local ones would only be noise. */
        netlink_no_link_local(&n, eth0);
        enum bk_err ignored = netlink_commit(&n);
        (void)ignored;
        netlink_link_up(&n, lo);
        netlink_link_size(&n, eth0, host->mtu, TUN_QUEUE_PACKETS);
        netlink_link_up(&n, eth0);
        add_addresses(&n, eth0, host);
        err = netlink_commit(&n);
    }
    if (err != BK_OK)
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot configure the network of %s: %s", host->name,
                 strerror(errno));
    netlink_close(&n);
    return err;
}

static enum bk_err populate(const struct topology_node *host, struct netns *ns, char *why) {
    if (unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0) {
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot make a network namespace for %s: %s", host->name,
                 strerror(errno));
        return errno == EPERM ? BK_ERR_PERMISSION : BK_ERR_IO;
    }
    ns->net = open_namespace("net");
    ns->uts = open_namespace("uts");
    if (ns->net < 0 || ns->uts < 0 || sethostname(host->name, strlen(host->name)) < 0) {
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot name the host %s: %s", host->name,
                 strerror(errno));
        return BK_ERR_IO;
    }
    enum bk_err err = make_tun(ns, why);
    return err != BK_OK ? err : configure(host, why);
}

enum bk_err netns_open(const struct netns_base *base, const struct topology_node *host,
                       struct netns *out, char *why) {
    struct netns ns = {.tun = -1, .net = -1, .uts = -1};
    enum bk_err err = populate(host, &ns, why);
    bool back = setns(base->home, CLONE_NEWNET) == 0 && setns(base->home_uts, CLONE_NEWUTS) == 0;
    if (err == BK_OK && !back) {
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot leave the namespace of %s: %s", host->name,
                 strerror(errno));
        err = BK_ERR_IO;
    }
    if (err != BK_OK) {
        netns_close(&ns);
        return err;
    }
    *out = ns;
    return BK_OK;
}

void netns_close(struct netns *ns) {
    int *fds[] = {&ns->tun, &ns->net, &ns->uts};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* exec drops capabilities of everyone but root; ambient ones survive, and reach only the lab. */
static void keep_capabilities(void) {
    static const unsigned keep[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        data[0].inheritable |= data[0].permitted & (1U << keep[i]);
    if (syscall(SYS_capset, &header, data) < 0)
        return;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)keep[i], 0, 0);
}

enum bk_err netns_enter(int user, int net, int uts) {
    if (user >= 0 && setns(user, CLONE_NEWUSER) < 0)
        return BK_ERR_PERMISSION;
    if (net >= 0 && setns(net, CLONE_NEWNET) < 0)
        return BK_ERR_PERMISSION;
    if (uts >= 0 && setns(uts, CLONE_NEWUTS) < 0)
        return BK_ERR_PERMISSION;
    if (net >= 0)
        nice_settings();
    if (geteuid() != 0)
        keep_capabilities();
    return BK_OK;
}
