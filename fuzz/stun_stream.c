/* SPDX-License-Identifier: MIT
 * links: wire
 * Any byte stream, cut once as a whole and once in pieces whose sizes are part of the input: both
 * must give the same frames and the same end. */
#include "wire/stun_stream.h"
#include "fuzz/fuzz.h"
#include "wire/stun.h"

#include <stdlib.h>
#include <string.h>

struct result {
    size_t frames, bytes;
    uint32_t sum;
    enum bk_err end;
};

static void check(bool ok) {
    if (!ok)
        abort();
}

static void take(struct result *r, const struct stun_frame *f) {
    r->frames++;
    r->bytes += f->len;
    check(f->len >= (f->kind == STUN_FRAME_MESSAGE ? STUN_HEADER_LEN : 4u));
    for (size_t i = 0; i < f->len; i++)
        r->sum = r->sum * 31 + f->data[i];
}

/* `step` of 0 means all at once. */
static struct result run(const uint8_t *data, size_t len, size_t cap, bool channels, uint8_t step) {
    struct result r = {.end = BK_ERR_SHORT};
    struct stun_stream s;
    uint8_t *buf = malloc(cap);
    check(buf != NULL);
    stun_stream_init(&s, buf, cap, channels);
    while (len > 0 && r.end == BK_ERR_SHORT) {
        struct stun_frame f;
        size_t piece = step == 0 || step > len ? len : step;
        size_t taken = stun_stream_push(&s, data, piece);
        check(taken > 0 && taken <= piece); /* a drained stream always has room */
        while ((r.end = stun_stream_next(&s, &f)) == BK_OK)
            take(&r, &f);
        data += taken;
        len -= taken;
    }
    free(buf);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    size_t cap = STUN_HEADER_LEN + data[0];
    bool channels = (data[1] & 1) != 0;
    struct result whole = run(data + 3, size - 3, cap, channels, 0);
    struct result split = run(data + 3, size - 3, cap, channels, (uint8_t)(data[2] | 1));
    check(whole.frames == split.frames && whole.bytes == split.bytes);
    check(whole.sum == split.sum && whole.end == split.end);
    return 0;
}
