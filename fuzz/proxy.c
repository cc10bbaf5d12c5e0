/* SPDX-License-Identifier: MIT
 * links: server
 * Anything as a PROXY header: as a connection's first bytes, which must be judged the same way
 * however many of them have come, and as a datagram. */
#include "server/proxy.h"
#include "fuzz/fuzz.h"

static void check_header(const struct proxy_header *h, size_t len) {
    fuzz_check(h->len > 0 && h->len <= len && h->len <= PROXY_V2_MAX);
    fuzz_check(h->local == (h->client.ip.family == BK_FAMILY_NONE));
    fuzz_check(h->local == (h->server.ip.family == BK_FAMILY_NONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct proxy_header whole = {.len = 0}, part, datagram;
    enum bk_err err = proxy_header_parse(&whole, data, size);
    fuzz_check(err != BK_ERR_SHORT || size < PROXY_V2_MAX);
    if (err == BK_OK)
        check_header(&whole, size);
    for (size_t len = 0; len < size && len <= PROXY_V2_MAX; len++) {
        uint8_t *copy = malloc(len == 0 ? 1 : len); /* so that a read past the end is seen */
        fuzz_check(copy != NULL);
        memcpy(copy, data, len);
        enum bk_err early = proxy_header_parse(&part, copy, len);
        free(copy);
        fuzz_check(early == BK_ERR_SHORT || early == err);
        fuzz_check(early != BK_OK || part.len == whole.len);
    }
    if (proxy_header_parse_datagram(&datagram, data, size) == BK_OK) {
        fuzz_check(err == BK_OK && datagram.len == whole.len);
        check_header(&datagram, size);
    }
    return 0;
}
