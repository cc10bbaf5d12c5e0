/* SPDX-License-Identifier: MIT
 * Our side as lines of SDP, RFC 8839. */
#include "agent/agent.h"

#include <string.h>

/* Counts what does not fit. */
struct page {
    char *text;
    size_t cap, len;
};

static void put(struct page *p, const char *s, size_t len) {
    if (p->len + len < p->cap)
        memcpy(p->text + p->len, s, len);
    p->len += len;
}

static void line(struct page *p, const char *name, const char *value) {
    put(p, name, strlen(name));
    put(p, value, strlen(value));
    put(p, "\r\n", 2);
}

static const char *options(const struct bk_ice *ice) {
    /* RFC 8445 section 10 and RFC 8839 section 5.6 (ice2), RFC 8838 section 3 and RFC 8840 section
     * 4.1.1 (trickle, for all streams), draft-thatcher-ice-renomination */
    return ice->config.trickle == BK_ICE_NO_TRICKLE ? "a=ice-options:ice2 renomination"
                                                    : "a=ice-options:ice2 trickle renomination";
}

/* RFC 8445 section 14.2: another Ta than the default must be proposed; RFC 8839 section 5.5. */
static void put_pacing(const struct bk_ice *ice, struct page *p) {
    char text[16];
    struct text ms = text_in(text, sizeof text);
    if (ice->config.ta_us == AGENT_TA_US)
        return;
    text_u64(&ms, (ice->config.ta_us + 999) / 1000);
    line(p, "a=ice-pacing:", text);
}

/* RFC 8838 section 13: the credentials beside end-of-candidates say which generation ends. */
static void stream_lines(const struct bk_ice *ice, uint16_t stream, struct page *p) {
    char text[SDP_LINE_MAX];
    if (ice->config.streams > 1) {
        struct text mid = text_in(text, sizeof text);
        text_u64(&mid, stream);
        line(p, "a=mid:", text);
    }
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        if (ice->cands[i].stream != stream)
            continue;
        (void)agent_cand_write(ice, &ice->cands[i], text);
        line(p, "a=", text);
    }
    if (ice->gathered)
        line(p, "a=end-of-candidates", "");
}

enum bk_err bk_ice_describe(const struct bk_ice *ice, char *text, size_t cap, size_t *len) {
    struct page p = {.text = text, .cap = cap};
    line(&p, options(ice), "");
    if (ice->config.lite)
        line(&p, "a=ice-lite", "");
    put_pacing(ice, &p);
    line(&p, "a=ice-ufrag:", bk_checker_ufrag(ice->checker));
    line(&p, "a=ice-pwd:", bk_checker_pwd(ice->checker));
    for (uint16_t s = 0; s < ice->config.streams; s++)
        stream_lines(ice, s, &p);
    *len = p.len;
    if (p.len >= cap)
        return BK_ERR_SHORT;
    text[p.len] = '\0';
    return BK_OK;
}
