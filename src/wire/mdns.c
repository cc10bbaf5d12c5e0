/* SPDX-License-Identifier: MIT */
#include "wire/mdns.h"

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum {
    HEADER_LEN = 12,
    LABEL_MAX = 63,
    JUMPS_MAX = 127, /* a name has no more labels, and a pointer without one is of no use */
    FLAG_RESPONSE = 0x8000,
    FLAG_AUTHORITATIVE = 0x0400, /* MUST be set in responses, RFC 6762 section 18.4 */
    MASK_OPCODE = 0x7800,
    MASK_RCODE = 0x000f,
    CLASS_IN = 1,
    CLASS_ANY = 255,
    CLASS_TOP = 0x8000, /* unicast answer wanted; in records: flush */
    POINTER = 0xc0
};

static bool is_label_char(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static char lower(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

bool mdns_same_name(const char *a, const char *b) {
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

bool mdns_is_name(const char *name) {
    size_t label = 0, len = 0;
    for (; name[len] != '\0'; len++) {
        if (len == MDNS_NAME_MAX)
            return false;
        if (name[len] != '.' && !is_label_char((uint8_t)name[len]))
            return false;
        if (name[len] == '.' ? label == 0 : label == LABEL_MAX)
            return false;
        label = name[len] == '.' ? 0 : label + 1;
    }
    return label > 0;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* A name while it is read: its text, and whether it is one we could mean. */
struct name {
    char text[MDNS_NAME_MAX + 1];
    size_t len;    /* of the text */
    size_t octets; /* on the wire, decompressed; at most 255, RFC 1035 section 2.3.4 */
    bool strange;  /* has characters that no host name of ours has */
};

static bool add_label(struct name *n, const uint8_t *label, size_t len) {
    n->octets += len + 1;
    if (n->octets > MDNS_NAME_MAX + 1)
        return false;
    if (n->len > 0)
        n->text[n->len++] = '.';
    for (size_t i = 0; i < len; i++) {
        n->strange = n->strange || !is_label_char(label[i]);
        n->text[n->len++] = (char)label[i];
    }
    n->text[n->len] = '\0';
    return true;
}

/* Reads the name at *at, which moves behind it. A compression pointer (RFC 1035 section 4.1.4) must
 * point before the place where the present run of labels began, so every jump goes back and the
 * walk ends; 255 octets of labels end it as well. */
static enum bk_err read_name(const struct mdns_msg *m, size_t *at, struct name *n) {
    size_t pos = *at, run = *at;
    unsigned jumps = 0;
    memset(n, 0, sizeof *n);
    for (;;) {
        if (pos >= m->len)
            return BK_ERR_SHORT;
        uint8_t len = m->data[pos++];
        if ((len & POINTER) == POINTER) {
            if (pos >= m->len)
                return BK_ERR_SHORT;
            size_t to = (size_t)(len & ~POINTER) << 8 | m->data[pos++];
            if (jumps == 0)
                *at = pos;
            if (to >= run || to < HEADER_LEN || jumps++ == JUMPS_MAX)
                return BK_ERR_MALFORMED;
            pos = run = to;
            continue;
        }
        if (jumps == 0)
            *at = pos;
        if (len == 0)
            return BK_OK;
        if (len > LABEL_MAX)
            return BK_ERR_MALFORMED;
        if (len > m->len - pos)
            return BK_ERR_SHORT;
        if (!add_label(n, m->data + pos, len))
            return BK_ERR_MALFORMED;
        pos += len;
    }
}

/* What follows the name of a question, or of a record. */
struct entry {
    struct name name;
    uint16_t type, cls;
    uint32_t ttl_s;
    const uint8_t *data;
    uint16_t len;
};

static enum bk_err read_entry(const struct mdns_msg *m, size_t *at, bool question,
                              struct entry *e) {
    enum bk_err err = read_name(m, at, &e->name);
    if (err != BK_OK)
        return err;
    struct wire_reader r = wire_reader(m->data + *at, m->len - *at);
    e->type = wire_u16(&r);
    e->cls = wire_u16(&r);
    e->ttl_s = question ? 0 : wire_u32(&r);
    e->len = question ? 0 : wire_u16(&r);
    e->data = wire_bytes(&r, e->len);
    if (r.failed)
        return BK_ERR_SHORT;
    *at = m->len - wire_left(&r);
    if (!question && ((e->type == MDNS_A && e->len != 4) || (e->type == MDNS_AAAA && e->len != 16)))
        return BK_ERR_MALFORMED;
    return BK_OK;
}

static enum bk_err check_entries(const struct mdns_msg *m) {
    size_t at = HEADER_LEN;
    for (uint32_t i = 0; i < m->questions + m->records; i++) {
        struct entry e;
        enum bk_err err = read_entry(m, &at, i < m->questions, &e);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

enum bk_err mdns_parse(struct mdns_msg *out, const uint8_t *data, size_t len) {
    struct wire_reader r = wire_reader(data, len);
    struct mdns_msg m = {.data = data, .len = len, .id = wire_u16(&r)};
    uint16_t flags = wire_u16(&r);
    m.response = (flags & FLAG_RESPONSE) != 0;
    m.questions = wire_u16(&r);
    m.answers = wire_u16(&r);
    m.records = m.answers;
    m.records += wire_u16(&r);
    m.records += wire_u16(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if (len > MDNS_READ_MAX)
        return BK_ERR_TOO_LONG;
    if ((flags & (MASK_OPCODE | MASK_RCODE)) != 0)
        return BK_ERR_NOT_OURS;
    enum bk_err err = check_entries(&m);
    if (err == BK_OK)
        *out = m;
    return err;
}

struct mdns_iter mdns_iter(const struct mdns_msg *msg) {
    struct mdns_iter it = {.msg = msg, .at = HEADER_LEN};
    return it;
}

static void next_entry(struct mdns_iter *it, struct entry *e) {
    enum bk_err err = read_entry(it->msg, &it->at, it->index < it->msg->questions, e);
    bk_assert(err == BK_OK); /* mdns_parse() has seen it all */
    it->index++;
}

static bool asks_for_address(const struct entry *e) {
    uint16_t cls = e->cls & (uint16_t)~CLASS_TOP;
    return (e->type == MDNS_A || e->type == MDNS_AAAA || e->type == MDNS_ANY) &&
           (cls == CLASS_IN || cls == CLASS_ANY) && !e->name.strange;
}

bool mdns_next_question(struct mdns_iter *it, struct mdns_question *out) {
    struct entry e;
    while (it->index < it->msg->questions) {
        next_entry(it, &e);
        if (!asks_for_address(&e))
            continue;
        out->type = (enum mdns_type)e.type;
        out->unicast = (e.cls & CLASS_TOP) != 0;
        memcpy(out->name, e.name.text, sizeof out->name);
        return true;
    }
    return false;
}

static bool is_address(const struct entry *e) {
    return (e->type == MDNS_A || e->type == MDNS_AAAA) &&
           (e->cls & (uint16_t)~CLASS_TOP) == CLASS_IN && !e->name.strange;
}

bool mdns_next_record(struct mdns_iter *it, struct mdns_record *out) {
    struct entry e;
    while (it->index < it->msg->questions + it->msg->records) {
        bool question = it->index < it->msg->questions;
        bool answer = it->index < it->msg->questions + (uint32_t)it->msg->answers;
        next_entry(it, &e);
        if (question || !is_address(&e))
            continue;
        const uint8_t *b = e.data;
        out->ip = e.type == MDNS_A ? bk_ipv4(b[0], b[1], b[2], b[3]) : bk_ipv6(b);
        out->ttl_s = e.ttl_s;
        out->flush = (e.cls & CLASS_TOP) != 0;
        out->answer = answer;
        memcpy(out->name, e.name.text, sizeof out->name);
        return true;
    }
    return false;
}

/* ---- Writing ------------------------------------------------------------------------------ */

static void put_header(struct wire_writer *w, uint16_t id, uint16_t flags, uint16_t questions,
                       uint16_t answers) {
    wire_put_u16(w, id);
    wire_put_u16(w, flags);
    wire_put_u16(w, questions);
    wire_put_u16(w, answers);
    wire_put_u32(w, 0);
}

static void put_name(struct wire_writer *w, const char *name) {
    for (;;) {
        const char *dot = strchr(name, '.');
        size_t len = dot == NULL ? strlen(name) : (size_t)(dot - name);
        wire_put_u8(w, (uint8_t)len);
        wire_put_bytes(w, name, len);
        if (dot == NULL)
            break;
        name = dot + 1;
    }
    wire_put_u8(w, 0);
}

static uint16_t class_with(bool top) {
    return top ? CLASS_IN | CLASS_TOP : CLASS_IN;
}

size_t mdns_write_query(const char *name, bool unicast, uint8_t *out) {
    struct wire_writer w = wire_writer(out, MDNS_WRITTEN_MAX);
    if (!mdns_is_name(name))
        return 0;
    put_header(&w, 0, 0, 2, 0); /* the id is zero, RFC 6762 section 18.1 */
    put_name(&w, name);
    wire_put_u16(&w, MDNS_A);
    wire_put_u16(&w, class_with(unicast));
    wire_put_u16(&w, POINTER << 8 | HEADER_LEN); /* the same name */
    wire_put_u16(&w, MDNS_AAAA);
    wire_put_u16(&w, class_with(unicast));
    bk_assert(!w.failed);
    return w.len;
}

size_t mdns_write_answer(const struct mdns_record *record, uint16_t id,
                         const struct mdns_question *legacy, uint8_t *out) {
    struct wire_writer w = wire_writer(out, MDNS_WRITTEN_MAX);
    bool v4 = record->ip.family == BK_IPV4;
    if (!mdns_is_name(record->name) || (legacy != NULL && !mdns_is_name(legacy->name)))
        return 0;
    put_header(&w, legacy == NULL ? 0 : id, FLAG_RESPONSE | FLAG_AUTHORITATIVE, legacy != NULL, 1);
    if (legacy != NULL) {
        put_name(&w, legacy->name);
        wire_put_u16(&w, (uint16_t)legacy->type);
        wire_put_u16(&w, CLASS_IN);
    }
    put_name(&w, record->name);
    wire_put_u16(&w, v4 ? MDNS_A : MDNS_AAAA);
    /* RFC 6762 section 6.7: the flush bit MUST NOT be set in what ordinary resolvers read. */
    wire_put_u16(&w, class_with(record->flush && legacy == NULL));
    wire_put_u32(&w, record->ttl_s);
    wire_put_u16(&w, v4 ? 4 : 16);
    wire_put_bytes(&w, record->ip.bytes, v4 ? 4 : 16);
    bk_assert(!w.failed);
    return w.len;
}
