/* SPDX-License-Identifier: MIT
 * links: wire
 * Any bytes as a multicast DNS message: parsed, walked, and what is found in it written again. */
#include "wire/mdns.h"
#include "fuzz.h"

static void ask_again(const struct mdns_question *q) {
    uint8_t out[MDNS_WRITTEN_MAX];
    struct mdns_msg m;
    struct mdns_question same;
    size_t len = mdns_write_query(q->name, q->unicast, out);
    fuzz_check((len > 0) == mdns_is_name(q->name));
    if (len == 0)
        return;
    fuzz_check(mdns_parse(&m, out, len) == BK_OK && !m.response);
    struct mdns_iter it = mdns_iter(&m);
    for (int i = 0; i < 2; i++) {
        fuzz_check(mdns_next_question(&it, &same));
        fuzz_check(strcmp(same.name, q->name) == 0 && same.unicast == q->unicast);
    }
    fuzz_check(!mdns_next_question(&it, &same));
}

static void tell_again(const struct mdns_record *r) {
    uint8_t out[MDNS_WRITTEN_MAX];
    struct mdns_msg m;
    struct mdns_record same;
    size_t len = mdns_write_answer(r, 1, NULL, out);
    fuzz_check((len > 0) == mdns_is_name(r->name));
    if (len == 0)
        return;
    fuzz_check(mdns_parse(&m, out, len) == BK_OK && m.response);
    struct mdns_iter it = mdns_iter(&m);
    fuzz_check(mdns_next_record(&it, &same));
    fuzz_check(strcmp(same.name, r->name) == 0 && bk_ip_equal(&same.ip, &r->ip));
    fuzz_check(same.ttl_s == r->ttl_s && same.flush == r->flush && same.answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mdns_msg m;
    struct mdns_question q;
    struct mdns_record r;
    uint8_t *copy = fuzz_copy(data, size);
    if (mdns_parse(&m, copy, size) == BK_OK) {
        struct mdns_iter it = mdns_iter(&m);
        while (mdns_next_question(&it, &q))
            ask_again(&q);
        while (mdns_next_record(&it, &r))
            tell_again(&r);
    }
    free(copy);
    return 0;
}
