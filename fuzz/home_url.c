/* SPDX-License-Identifier: MIT
 * links: peer
 * Home URLs: whatever parses must be written and read back equal. */
#include "fuzz/fuzz.h"

#include <base/assert.h>
#include <peer/home_url.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct home home, again;
    char text[HOME_URL_TEXT_MAX];
    if (home_url_parse((const char *)data, size, &home) != BK_OK)
        return 0;
    bk_assert(home_host_is_valid(home.host, strlen(home.host)));
    home_url_format(&home, text);
    bk_assert(home_url_parse(text, strlen(text), &again) == BK_OK);
    bk_assert(home_equal(&home, &again));
    return 0;
}
