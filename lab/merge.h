/* SPDX-License-Identifier: MIT
 * UDP packets of one flow that reach a host one right after the other, put together into one
 * superpacket, as a network card's receive offload would: the host's kernel walks them through its
 * stack at once and takes them apart in front of the socket. Pure. */
#ifndef LAB_MERGE_H
#define LAB_MERGE_H

#include "lab/fabric.h"

enum {
    MERGE_PACKETS_MAX = 64,  /* UDP_MAX_SEGMENTS of older kernels */
    MERGE_BYTES_MAX = 65000, /* with the IP header */
    MERGE_SIZE_MAX = 9000    /* larger ones gain little and cost a copy */
};

struct merge {
    int host;
    size_t count;  /* 0: empty */
    size_t header; /* IP and UDP */
    size_t size;   /* of the first payload, and so of all but the last */
    size_t len;    /* with the vnet header */
    bool closed;   /* the last one was shorter: nothing may follow it */
    uint8_t bytes[FABRIC_PACKET_MAX];
};

/* Takes the packet (vnet header in front) if it can be part of a superpacket with what is there, or
 * begin one. false: it was not taken; put out what is there first and ask again, and if it is not
 * taken then it goes alone. Only packets whose checksum the sender's kernel left to be computed are
 * taken, so that no wrong one is made right. */
bool merge_add(struct merge *m, int host, const uint8_t *bytes, size_t len);
/* Makes the headers right. `m->bytes` of `m->len` is what to write; set `m->count` to 0 then. */
void merge_finish(struct merge *m);

#endif
