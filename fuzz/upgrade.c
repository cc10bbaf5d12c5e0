/* SPDX-License-Identifier: MIT
 * links: relay
 * The HTTP door, both sides: the same bytes whole and in pieces give the same result, and answers
 * always fit. The first byte chooses the side and the size of the pieces. */
#include "relay/upgrade.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void answer(const struct relay_request *r) {
    static const uint8_t key[32] = {1, 2, 3};
    char out[1024];
    bool close;
    struct text t = text_in(out, sizeof out);
    relay_response_put(&t, r, relay_request_route(r), key, &close);
    bk_assert(!t.cut && strlen(r->path) < sizeof r->path && strlen(r->query) < sizeof r->query);
}

static enum bk_err request(struct relay_request *r, const uint8_t *data, size_t len, size_t step,
                           size_t *total) {
    enum bk_err err = BK_ERR_SHORT;
    relay_request_init(r);
    *total = 0;
    while (err == BK_ERR_SHORT && *total < len) {
        size_t used = 0, n = len - *total < step ? len - *total : step;
        err = relay_request_recv(r, data + *total, n, &used);
        bk_assert(used <= n && (err != BK_ERR_SHORT || used == n));
        *total += used;
    }
    return err;
}

static enum bk_err response(struct relay_response *r, const uint8_t *data, size_t len, size_t step,
                            size_t *total) {
    enum bk_err err = BK_ERR_SHORT;
    relay_response_init(r);
    *total = 0;
    while (err == BK_ERR_SHORT && *total < len) {
        size_t used = 0, n = len - *total < step ? len - *total : step;
        err = relay_response_recv(r, data + *total, n, &used);
        bk_assert(used <= n && (err != BK_ERR_SHORT || used == n));
        *total += used;
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 1)
        return 0;
    size_t step = 1 + (data[0] >> 1) % 40u, a = 0, b = 0;
    bool client = (data[0] & 1) != 0;
    data++;
    len--;
    if (client) {
        struct relay_response whole, parts;
        enum bk_err err = response(&whole, data, len, len + 1, &a);
        bk_assert(err == response(&parts, data, len, step, &b));
        if (err == BK_OK)
            bk_assert(a == b && whole.status == parts.status &&
                      whole.upgrade_derp == parts.upgrade_derp);
        return 0;
    }
    struct relay_request whole, parts;
    enum bk_err err = request(&whole, data, len, len + 1, &a);
    bk_assert(err == request(&parts, data, len, step, &b));
    if (err == BK_OK) {
        bk_assert(a == b && strcmp(whole.path, parts.path) == 0);
        bk_assert(relay_request_route(&whole) == relay_request_route(&parts));
        answer(&whole);
    }
    return 0;
}
