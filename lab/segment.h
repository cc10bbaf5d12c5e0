/* SPDX-License-Identifier: MIT
 * What a host's kernel hands over with segmentation and checksum offload, as it
 * would be on a wire: superpackets cut into segments, checksums complete. For
 * captures and for fragments. */
#ifndef LAB_SEGMENT_H
#define LAB_SEGMENT_H

#include "lab/fabric.h"

/* How many packets a superpacket stands for; 1 for all others. */
size_t segment_count(const struct transit *t);
/* Bytes of the index-th one without a vnet header, in `out`; 0: it does not fit
 * into `cap`. A packet that no NAT understands is copied as it is. */
size_t segment_get(const struct transit *t, size_t index, uint8_t *out, size_t cap);

#endif
