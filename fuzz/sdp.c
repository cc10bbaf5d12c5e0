/* SPDX-License-Identifier: MIT
 * links: sdp
 * Any bytes as a description, as one candidate line and as a server URI. What is read and written
 * reads as the same again. */
#include "sdp/sdp.h"
#include "fuzz.h"
#include "sdp/uri.h"

static void round_trip(const struct sdp_candidate *c) {
    char first[SDP_LINE_MAX], second[SDP_LINE_MAX];
    struct sdp_candidate again;
    size_t len = sdp_write_candidate(c, false, first);
    fuzz_check(len == strlen(first) && len < SDP_LINE_MAX - 1);
    fuzz_check(sdp_read_candidate(first, len, &again) == BK_OK);
    fuzz_check(sdp_write_candidate(&again, false, second) == len);
    fuzz_check(memcmp(first, second, len) == 0);
    fuzz_check(bk_addr_equal(&c->at.addr, &again.at.addr));
    fuzz_check(c->at.component >= 1 && c->at.component <= 256);
    len = sdp_write_candidate(c, true, first);
    fuzz_check(sdp_read_candidate(first, len, &again) == BK_OK);
}

static void walk(const char *text, size_t len) {
    struct sdp_item item;
    enum bk_err err = BK_OK;
    size_t at = 0, before = 0;
    while (sdp_next(text, len, &at, &item, &err)) {
        fuzz_check(at > before && at <= len);
        before = at;
        fuzz_check(item.value >= text && item.value + item.len <= text + len);
        if (item.kind == SDP_CANDIDATE && item.err == BK_OK)
            round_trip(&item.candidate);
        (void)sdp_has_option(item.value, item.len, "trickle");
    }
    fuzz_check(err == BK_OK || err == BK_ERR_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sdp_candidate c;
    struct server_uri uri;
    char *text = (char *)fuzz_copy(data, size);
    if (sdp_read_candidate(text, size, &c) == BK_OK)
        round_trip(&c);
    walk(text, size);
    free(text);
    text = malloc(size + 1);
    fuzz_check(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (uri_read(text, &uri) == BK_OK)
        fuzz_check(uri.port != 0 && uri.host[0] != '\0');
    free(text);
    return 0;
}
