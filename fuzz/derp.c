/* SPDX-License-Identifier: MIT
 * links: wire
 * Relay frames: what parses has views inside the input, and does not change when cut short. */
#include "wire/derp.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

static void check_view(const uint8_t *view, size_t view_len, const uint8_t *data, size_t len) {
    if (view != NULL)
        bk_assert(view >= data && view + view_len <= data + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    while (len > 0) {
        struct derp_frame f, shorter;
        size_t used = 0, ignored = 0;
        if (derp_parse(data, len, &f, &used) != BK_OK)
            break;
        bk_assert(used >= DERP_HEADER_LEN && used <= len);
        check_view(f.key, DERP_KEY_LEN, data, used);
        check_view(f.key2, DERP_KEY_LEN, data, used);
        check_view(f.data, f.len, data, used);
        (void)derp_is_urgent(f.data, f.data == NULL ? 0 : f.len);
        bk_assert(derp_parse(data, used - 1, &shorter, &ignored) == BK_ERR_SHORT);
        data += used;
        len -= used;
    }
    return 0;
}
