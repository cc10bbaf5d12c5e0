/* SPDX-License-Identifier: MIT
 * links: cli
 * What a peer asks to be forwarded, and what users write behind -L. */
#include "cli/forward_rule.h"

#include <base/assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is read is written and read back equal, and stays within its bounds. */
static void check_call(const uint8_t *data, size_t size) {
    struct call call, again;
    uint8_t buf[CALL_LEN_MAX];
    char host[CALL_TARGET_MAX];
    size_t used = 0, used_again = 0;
    uint16_t port = 0;
    if (call_decode(&call, data, size, &used) != BK_OK)
        return;
    bk_assert(used <= size && strlen(call.target) <= CALL_TARGET_MAX);
    bk_assert(call_encode(&call, buf) == used && memcmp(buf, data, used) == 0);
    bk_assert(call_decode(&again, buf, used, &used_again) == BK_OK && used_again == used);
    if (call_split(call.target, host, sizeof host, &port))
        bk_assert(port != 0 && host[0] != '\0' && strlen(host) < strlen(call.target));
}

static void check_rule(const uint8_t *data, size_t size) {
    char text[1024], target[CALL_TARGET_MAX + 1], host[CALL_TARGET_MAX];
    struct bk_addr bind;
    uint16_t port;
    if (size >= sizeof text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (forward_rule_read(text, &bind, target))
        bk_assert(bind.port != 0 && call_split(target, host, sizeof host, &port));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_call(data, size);
    check_rule(data, size);
    return 0;
}
