/* SPDX-License-Identifier: MIT
 * A router tells with each answer for how many seconds it has kept its mappings. When that is not
 * what our own clock expects, it has lost them. */
#include "portmap/state.h"

static int64_t seconds_since(const struct epoch *e, struct bk_time now) {
    return bk_elapsed_us(e->client, now) / BK_US_PER_S;
}

static void note(struct epoch *e, uint32_t server_s, struct bk_time now) {
    *e = (struct epoch){.known = true, .server_s = server_s, .client = now};
}

/* RFC 6887 section 8.5: a sixteenth for clocks that run differently, two seconds for the way. */
bool epoch_pcp(struct epoch *e, uint32_t server_s, struct bk_time now) {
    bool valid = true;
    if (e->known) {
        int64_t server = (int64_t)server_s - e->server_s, client = seconds_since(e, now);
        valid = server >= -1 && client + 2 >= server - server / 16 &&
                server + 2 >= client - client / 16;
    }
    note(e, server_s, now);
    return valid;
}

/* RFC 6886 section 3.6: an eighth for clocks, two seconds for the way; a clock ahead is fine. */
bool epoch_natpmp(struct epoch *e, uint32_t server_s, struct bk_time now) {
    bool valid = true;
    if (e->known)
        valid = (int64_t)server_s + 2 >= (int64_t)e->server_s + seconds_since(e, now) * 7 / 8;
    note(e, server_s, now);
    return valid;
}
