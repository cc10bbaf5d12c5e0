/* SPDX-License-Identifier: MIT
 * links: peer
 * Tickets, peer keys and key files: whatever parses must come back the same after being written. */
#include "fuzz/fuzz.h"

#include <base/assert.h>
#include <peer/ticket.h>
#include <string.h>

static void ticket_round(const char *text, size_t len) {
    struct ticket first, second;
    char again[TICKET_TEXT_MAX];
    if (ticket_parse(text, len, &first) != BK_OK)
        return;
    size_t n = ticket_format(&first, again);
    bk_assert(n < sizeof again && ticket_parse(again, n, &second) == BK_OK);
    bk_assert(peer_key_equal(&first.key, &second.key) && home_equal(&first.home, &second.home));
    bk_assert(memcmp(first.secret, second.secret, sizeof first.secret) == 0);
}

static void key_round(const char *text, size_t len) {
    struct peer_key key, second;
    char again[PEER_KEY_TEXT_MAX];
    if (peer_key_parse(text, len, &key) != BK_OK)
        return;
    peer_key_format(&key, again);
    bk_assert(peer_key_parse(again, strlen(again), &second) == BK_OK);
    bk_assert(peer_key_equal(&key, &second));
}

static void file_round(const char *text, size_t len) {
    struct identity id;
    char again[IDENTITY_TEXT_MAX];
    if (identity_decode(text, len, &id) != BK_OK)
        return;
    size_t n = identity_encode(&id, again);
    bk_assert(n < sizeof again && identity_decode(again, n, &id) == BK_OK);
}

/* Behind the letters: any bytes as a ticket's content, with a good checksum by construction. */
static void content_round(const uint8_t *data, size_t size) {
    struct ticket t = {0};
    char text[TICKET_TEXT_MAX];
    size_t host = sizeof t.home.host - 1;
    if (size < sizeof t.key + sizeof t.secret + 4)
        return;
    memcpy(&t.key, data, sizeof t.key);
    memcpy(t.secret, data + sizeof t.key, sizeof t.secret);
    data += sizeof t.key + sizeof t.secret;
    size -= sizeof t.key + sizeof t.secret;
    t.home.https_port = (uint16_t)(data[0] << 8 | data[1]);
    t.home.has_pin = (data[2] & 1) != 0;
    t.home.plain = (data[2] & 2) != 0;
    host = size - 3 < host ? size - 3 : host;
    memcpy(t.home.host, data + 3, host);
    ticket_round(text, ticket_format(&t, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    ticket_round(text, size);
    key_round(text, size);
    file_round(text, size);
    content_round(data, size);
    return 0;
}
