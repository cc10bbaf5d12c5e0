/* SPDX-License-Identifier: MIT
 * The JSON that client and server put into their sealed handshake boxes. The texts are flat objects
 * of at most a kilobyte; reading and writing them needs no memory and no recursion. */
#ifndef RELAY_INFO_H
#define RELAY_INFO_H

#include "base/text.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay_info {
    uint32_t version;
    bool can_ack_pings, is_prober;
    bool mesh_key_known;
    uint8_t mesh_key[32];
    uint64_t rate_bytes_per_s, rate_burst_bytes; /* the server's TokenBucket..., 0: none */
};

/* Reads an object of either side. Names compare without case, as Go does; unknown members are
 * skipped whatever they hold. BK_ERR_MALFORMED: not one JSON object, or a known member is of the
 * wrong type. */
BK_MUST_USE enum bk_err relay_info_parse(const uint8_t *data, size_t len, struct relay_info *out);
void relay_info_put_client(struct text *out, const struct relay_info *info);
void relay_info_put_server(struct text *out, const struct relay_info *info);

#endif
