/* SPDX-License-Identifier: MIT */
#include "server/proxy.h"

#include "wire/reader.h"
#include <string.h>

enum {
    V2_PREFIX = 16, /* signature, version and command, family, length */
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_INET = 1, /* the upper half of the family's byte */
    V2_INET6 = 2,
    V2_STREAM = 1, /* and the lower half */
    V2_DGRAM = 2,
    V1_FIELD_MAX = 40
};

static const uint8_t v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                         '\n', 'Q',  'U',  'I',  'T', '\n'};
static const char v1_signature[] = "PROXY ";

/* Does `data` begin like `signature`, as far as it goes? */
static bool begins(const uint8_t *data, size_t len, const void *signature, size_t signature_len) {
    return memcmp(data, signature, len < signature_len ? len : signature_len) == 0;
}

/* --- version 2: section 2.2 --------------------------------------------------------------------
 */

static struct bk_ip read_ip(struct wire_reader *r, bool v6) {
    struct bk_ip ip = {.family = v6 ? BK_IPV6 : BK_IPV4};
    const uint8_t *bytes = wire_bytes(r, v6 ? 16 : 4);
    if (bytes == NULL)
        return ip;
    memcpy(ip.bytes, bytes, v6 ? 16 : 4);
    bk_ip_unmap(&ip); /* shown as everywhere else */
    return ip;
}

static enum bk_err read_v2(struct proxy_header *h, struct wire_reader *r, uint8_t command,
                           uint8_t family) {
    uint8_t inet = family >> 4, kind = family & 15;
    if (command != V2_LOCAL && command != V2_PROXY)
        return BK_ERR_MALFORMED;
    if (inet > 3 || kind > V2_DGRAM)
        return BK_ERR_MALFORMED;
    h->stream = kind == V2_STREAM;
    h->local = command == V2_LOCAL || (inet != V2_INET && inet != V2_INET6) || kind == 0;
    if (h->local)
        return BK_OK; /* unspecified, or a local socket: no addresses of ours */
    h->client.ip = read_ip(r, inet == V2_INET6);
    h->server.ip = read_ip(r, inet == V2_INET6);
    h->client.port = wire_u16(r);
    h->server.port = wire_u16(r);
    return r->failed ? BK_ERR_MALFORMED : BK_OK; /* what is left are TLVs: nothing we need */
}

static enum bk_err parse_v2(struct proxy_header *out, const uint8_t *data, size_t len) {
    struct proxy_header h = {.len = 0};
    if (len < V2_PREFIX)
        return BK_ERR_SHORT;
    struct wire_reader r = wire_reader(data + sizeof v2_signature, len - sizeof v2_signature);
    uint8_t command = wire_u8(&r), family = wire_u8(&r);
    size_t body = wire_u16(&r);
    h.len = V2_PREFIX + body;
    if (h.len > PROXY_V2_MAX)
        return BK_ERR_TOO_LONG;
    if (h.len > len)
        return BK_ERR_SHORT;
    struct wire_reader addresses = wire_reader(data + V2_PREFIX, body);
    enum bk_err err = read_v2(&h, &addresses, command, family);
    if (err == BK_OK)
        *out = h;
    return err;
}

/* --- version 1: section 2.1 --------------------------------------------------------------------
 */

/* The next word of a line, which ends at a space or at the line's end. false: there is none. */
static bool next_word(const char **line, char out[V1_FIELD_MAX]) {
    size_t len = strcspn(*line, " ");
    if (len == 0 || len >= V1_FIELD_MAX)
        return false;
    memcpy(out, *line, len);
    out[len] = '\0';
    *line += len + ((*line)[len] == ' ');
    return true;
}

static bool read_port(const char **line, uint16_t *port) {
    char word[V1_FIELD_MAX];
    uint32_t value = 0;
    if (!next_word(line, word) || strlen(word) > 5 || (word[0] == '0' && word[1] != '\0'))
        return false;
    for (const char *at = word; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint32_t)(*at - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool read_text_ip(const char **line, uint8_t family, struct bk_ip *ip) {
    char word[V1_FIELD_MAX];
    return next_word(line, word) && bk_ip_parse(word, ip) == BK_OK &&
           (ip->family == family || family == BK_IPV6); /* TCP6 may carry a mapped one */
}

static enum bk_err read_v1(struct proxy_header *h, const char *line) {
    char kind[V1_FIELD_MAX];
    if (!next_word(&line, kind))
        return BK_ERR_MALFORMED;
    h->stream = true;
    h->local = strcmp(kind, "UNKNOWN") == 0;
    if (h->local)
        return BK_OK; /* the rest of the line is to be ignored */
    bool v6 = strcmp(kind, "TCP6") == 0;
    uint8_t family = v6 ? BK_IPV6 : BK_IPV4;
    bool good = (v6 || strcmp(kind, "TCP4") == 0) && read_text_ip(&line, family, &h->client.ip) &&
                read_text_ip(&line, family, &h->server.ip) && read_port(&line, &h->client.port) &&
                read_port(&line, &h->server.port) && *line == '\0';
    return good ? BK_OK : BK_ERR_MALFORMED;
}

static enum bk_err parse_v1(struct proxy_header *out, const uint8_t *data, size_t len) {
    struct proxy_header h = {.len = 0};
    char line[PROXY_V1_MAX + 1];
    size_t seen = len < PROXY_V1_MAX ? len : PROXY_V1_MAX;
    const uint8_t *end = memchr(data, '\n', seen);
    if (end == NULL)
        return seen == PROXY_V1_MAX ? BK_ERR_TOO_LONG : BK_ERR_SHORT;
    size_t words = (size_t)(end - data) - (sizeof v1_signature - 1);
    if (end[-1] != '\r' || memchr(data, '\0', (size_t)(end - data)) != NULL)
        return BK_ERR_MALFORMED;
    memcpy(line, data + sizeof v1_signature - 1, words);
    line[words - 1] = '\0'; /* where the CR was */
    enum bk_err err = read_v1(&h, line);
    if (err != BK_OK)
        return err;
    h.len = (size_t)(end - data) + 1;
    *out = h;
    return BK_OK;
}

/* --- both
 * ---------------------------------------------------------------------------------------- */

enum bk_err proxy_header_parse(struct proxy_header *out, const uint8_t *data, size_t len) {
    if (len == 0)
        return BK_ERR_SHORT;
    if (begins(data, len, v2_signature, sizeof v2_signature))
        return parse_v2(out, data, len);
    if (!begins(data, len, v1_signature, sizeof v1_signature - 1))
        return BK_ERR_NOT_OURS;
    return len < sizeof v1_signature - 1 ? BK_ERR_SHORT : parse_v1(out, data, len);
}

enum bk_err proxy_header_parse_datagram(struct proxy_header *out, const uint8_t *data, size_t len) {
    struct proxy_header h;
    if (len < sizeof v2_signature || memcmp(data, v2_signature, sizeof v2_signature) != 0)
        return BK_ERR_NOT_OURS;
    enum bk_err err = parse_v2(&h, data, len);
    if (err == BK_ERR_SHORT || (err == BK_OK && !h.local && h.stream))
        return BK_ERR_MALFORMED;
    if (err == BK_OK)
        *out = h;
    return err;
}
