/* SPDX-License-Identifier: MIT
 * Writes packet captures in the pcapng format (draft-ietf-opsawg-pcapng): one section, one
 * interface block per link, enhanced packet blocks with direction and comments. Little-endian on
 * every machine, raw IP (LINKTYPE_RAW), times in nanoseconds. Pure: bytes go through `put` in
 * blocks of a buffer that the caller gives, so memory is bounded. */
#ifndef LAB_PCAPNG_H
#define LAB_PCAPNG_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PCAPNG_TEXT_MAX = 255,        /* longer names and comments are cut */
    PCAPNG_BUFFER_MIN = 70 * 1024 /* the longest block fits */
};

enum pcapng_direction { PCAPNG_UNKNOWN, PCAPNG_INBOUND, PCAPNG_OUTBOUND };

/* Takes whole blocks. BK_ERR_IO: it could not; the capture ends. */
typedef enum bk_err pcapng_put(void *ctx, const uint8_t *bytes, size_t len);

struct pcapng {
    uint8_t *buffer;
    size_t cap, len;
    size_t last; /* where the last packet's block begins; SIZE_MAX: not in the buffer */
    uint32_t interfaces;
    pcapng_put *put;
    void *ctx;
};

/* Borrows `buffer`, of PCAPNG_BUFFER_MIN or more, and writes the section header: `application` made
 * the file. */
void pcapng_init(struct pcapng *p, uint8_t *buffer, size_t cap, pcapng_put *put, void *ctx,
                 const char *application);

struct pcapng_packet {
    uint32_t interface; /* in the order of pcapng_interface(), from 0 */
    enum pcapng_direction direction;
    int64_t at_ns;        /* since 1970 */
    const uint8_t *bytes; /* an IP packet of at most 65 575 bytes */
    size_t len;
    const char *comment; /* or NULL */
};

/* Errors of all below: those of `put`; what was in the buffer is lost then.
 * An interface: its name and what it is. */
BK_MUST_USE enum bk_err pcapng_interface(struct pcapng *p, const char *name,
                                         const char *description);
BK_MUST_USE enum bk_err pcapng_write(struct pcapng *p, const struct pcapng_packet *packet);
/* Adds a comment to the packet written last. false: it has been put already. */
bool pcapng_remark(struct pcapng *p, const char *comment);
BK_MUST_USE enum bk_err pcapng_flush(struct pcapng *p);

#endif
