/* SPDX-License-Identifier: MIT
 * links: peer
 * The plain text of a signalling message: what decodes must encode again and decode to the same. */
#include "peer/signal.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct signal first, second;
    uint8_t buf[8192];
    size_t again;
    if (signal_decode(&first, data, len) != BK_OK)
        return 0;
    enum bk_err err = signal_encode(&first, buf, sizeof buf, &again);
    bk_assert(err == BK_OK);
    err = signal_decode(&second, buf, again);
    bk_assert(err == BK_OK);
    bk_assert(first.type == second.type && first.version == second.version);
    if (first.type == SIGNAL_DESCRIBE)
        bk_assert(first.description.candidate_count == second.description.candidate_count);
    return 0;
}
