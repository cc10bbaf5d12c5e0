/* SPDX-License-Identifier: MIT
 * links: server
 * Messages between two processes of a server: what is accepted is written the same way again. */
#include "server/upgrade_record.h"
#include "fuzz/fuzz.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *out = malloc(size + 1);
    struct wire_reader r = wire_reader(data, size);
    while (out != NULL && wire_left(&r) > 0) {
        struct upgrade_record record;
        const uint8_t *from = r.data;
        struct wire_writer w = wire_writer(out, size);
        if (upgrade_get(&r, &record) != BK_OK)
            break;
        fuzz_check(record.kind > 0 && record.kind < UPGRADE_KINDS && record.fds <= 2);
        fuzz_check(record.worker < UPGRADE_WORKERS_MAX);
        fuzz_check(record.data == NULL || record.data + record.len <= data + size);
        fuzz_check(upgrade_put(&w, &record) == BK_OK);
        fuzz_check(w.len == (size_t)(r.data - from));
        /* The last twelve bytes of an IPv4 address are not looked at, so they may differ. */
        struct wire_reader again = wire_reader(out, w.len);
        struct upgrade_record same;
        fuzz_check(upgrade_get(&again, &same) == BK_OK && same.kind == record.kind);
        fuzz_check(same.len == record.len && bk_addr_equal(&same.remote, &record.remote) &&
                   bk_addr_equal(&same.local, &record.local));
    }
    free(out);
    return 0;
}
