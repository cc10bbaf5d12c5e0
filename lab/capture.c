/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: O_CLOEXEC and the clocks need it */
#include "lab/capture.h"

#include "lab/segment.h"
#include "lab/sight.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Cuts off what a full disk left of a block, so that the file can be read to its end. */
static void stop(struct capture *c) {
    int saved = errno;
    (void)!ftruncate(c->fd, (off_t)c->written);
    close(c->fd);
    c->fd = -1;
    errno = saved;
}

static enum bk_err put(void *ctx, const uint8_t *bytes, size_t len) {
    struct capture *c = ctx;
    for (size_t at = 0; at < len;) {
        ssize_t done = write(c->fd, bytes + at, len - at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            stop(c);
            return BK_ERR_IO;
        }
        at += (size_t)done;
    }
    c->written += len;
    return BK_OK;
}

/* The interfaces have the nodes' numbers. */
static enum bk_err add_interfaces(struct capture *c) {
    for (size_t i = 0; i < c->topology->node_count; i++) {
        const struct topology_node *n = &c->topology->nodes[i];
        char text[3 * TOPOLOGY_NAME_MAX];
        snprintf(text, sizeof text, "%s %s, link to %s", n->kind == TOPOLOGY_HOST ? "host" : "NAT",
                 n->name, n->behind[0] != '\0' ? n->behind : "the internet");
        enum bk_err err = pcapng_interface(&c->file, n->name, text);
        if (err != BK_OK)
            return err;
    }
    return pcapng_flush(&c->file);
}

static enum bk_err begin(struct capture *c) {
    c->buffer = malloc(CAPTURE_BUFFER);
    if (c->buffer == NULL) {
        errno = ENOMEM;
        return BK_ERR_NO_MEMORY;
    }
    pcapng_init(&c->file, c->buffer, CAPTURE_BUFFER, put, c, "bodkin lab");
    return add_interfaces(c);
}

enum bk_err capture_open(struct capture *c, const struct topology *topology, const char *directory,
                         const char *name, char *why) {
    c->topology = topology;
    c->flush_at = BK_NEVER;
    c->offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    int len = snprintf(c->path, sizeof c->path, "%s/%s.pcapng", directory, name);
    if (len < 0 || (size_t)len >= sizeof c->path) {
        snprintf(why, TOPOLOGY_ERROR_MAX, "the path of the capture directory is too long");
        return BK_ERR_IO;
    }
    if (mkdir(directory, 0777) == 0 || errno == EEXIST)
        c->fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    enum bk_err err = c->fd < 0 ? BK_ERR_IO : begin(c);
    if (err != BK_OK)
        snprintf(why, TOPOLOGY_ERROR_MAX, "cannot write the capture %.120s: %s", c->path,
                 strerror(errno));
    return err;
}

static void describe(const struct capture *c, const struct fabric_sight *sight, size_t count,
                     char *out, size_t cap) {
    char text[SIGHT_TEXT_MAX];
    int len = snprintf(out, cap, "dropped: %s", sight_describe(c->topology, sight, text));
    if (count > 1 && len > 0 && (size_t)len < cap)
        snprintf(out + len, cap - (size_t)len, "; so were the %zu packets in front of it",
                 count - 1);
}

static bool write_packets(struct capture *c, const struct fabric_sight *sight, struct bk_time now) {
    const struct transit *t = sight->packet;
    char comment[PCAPNG_TEXT_MAX];
    struct pcapng_packet p = {.interface = (uint32_t)sight->link,
                              .direction = sight->direction == TOPOLOGY_UP ? PCAPNG_OUTBOUND
                                                                           : PCAPNG_INBOUND,
                              .at_ns = clock_ns(CLOCK_MONOTONIC) + c->offset_ns,
                              .bytes = c->packet};
    size_t count = segment_count(t);
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        if (last && sight->drop != LAB_DROP_NONE) {
            describe(c, sight, count, comment, sizeof comment);
            p.comment = comment;
        }
        p.len = segment_get(t, i, c->packet, sizeof c->packet);
        if (p.len > 0 && pcapng_write(&c->file, &p) != BK_OK)
            return false;
        c->packets++;
    }
    c->last = t->sight;
    c->last_count = count;
    if (bk_is_never(c->flush_at))
        c->flush_at = bk_after(now, CAPTURE_FLUSH_US);
    return true;
}

bool capture_sight(struct capture *c, const struct fabric_sight *sight, struct bk_time now) {
    char comment[PCAPNG_TEXT_MAX];
    if (c->fd < 0 || sight->link == TOPOLOGY_NOWHERE)
        return true;
    bool again = sight->drop != LAB_DROP_NONE && sight->packet->sight != 0 &&
                 sight->packet->sight == c->last;
    if (again) { /* nothing came in between: it is the packet at the end of the buffer */
        describe(c, sight, c->last_count, comment, sizeof comment);
        if (pcapng_remark(&c->file, comment))
            return true;
    }
    return write_packets(c, sight, now);
}

bool capture_advance(struct capture *c, struct bk_time now) {
    if (c->fd < 0 || !bk_due(c->flush_at, now))
        return true;
    c->flush_at = BK_NEVER;
    c->last = 0;
    return pcapng_flush(&c->file) == BK_OK;
}

struct bk_time capture_deadline(const struct capture *c) {
    return c->fd < 0 ? BK_NEVER : c->flush_at;
}

bool capture_close(struct capture *c) {
    bool ok = c->fd < 0 || c->buffer == NULL || pcapng_flush(&c->file) == BK_OK;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->buffer);
    c->buffer = NULL;
    return ok;
}
