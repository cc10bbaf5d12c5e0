/* SPDX-License-Identifier: MIT
 * A capture of a running lab: one pcapng file, one interface per link with the name of the node it
 * belongs to, seen from that node's end. A packet that ends early has a comment that says why.
 * Superpackets are written as the packets they become on a wire. */
#ifndef LAB_CAPTURE_H
#define LAB_CAPTURE_H

#include "lab/fabric.h"
#include "lab/pcapng.h"

enum {
    CAPTURE_BUFFER = 1 << 20,
    CAPTURE_FLUSH_US = 500000, /* what was seen is in the file after this time */
    CAPTURE_PATH_MAX = 4096
};

struct capture {
    const struct topology *topology;
    int fd; /* -1: no capture, or it has stopped */
    char path[CAPTURE_PATH_MAX];
    struct pcapng file;
    uint8_t *buffer;
    uint64_t written;  /* whole blocks, in bytes */
    uint64_t packets;  /* as on the wires */
    uint64_t last;     /* the `sight` of the packet written last */
    size_t last_count; /* and how many packets it was */
    int64_t offset_ns; /* from the monotonic clock to that of the wall */
    struct bk_time flush_at;
    uint8_t packet[FABRIC_PACKET_MAX];
};

/* Makes DIRECTORY/NAME.pcapng; the directory, too, if it is missing. `why` (TOPOLOGY_ERROR_MAX)
 * gets one sentence on failure. BK_ERR_IO, BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err capture_open(struct capture *c, const struct topology *topology,
                                     const char *directory, const char *name, char *why);
/* false: it cannot be written any more, for the reason in errno; what is in the file is complete up
 * to there, and nothing more is captured. */
bool capture_sight(struct capture *c, const struct fabric_sight *sight, struct bk_time now);
/* Writes out what is old enough. false as above. */
bool capture_advance(struct capture *c, struct bk_time now);
struct bk_time capture_deadline(const struct capture *c);
/* Writes the rest and closes. false as above. Nothing happens when there is no capture. */
bool capture_close(struct capture *c);

#endif
