/* SPDX-License-Identifier: MIT
 * ICE's lines in SDP, RFC 8839: candidate, remote-candidates, ice-lite, ice-ufrag, ice-pwd,
 * ice-options, ice-mismatch, ice-pacing, end-of-candidates (RFC 8840), and mid (RFC 5888). Pure
 * functions; tolerant in reading (any line end, unknown extensions, "a=" or not, lower or upper
 * case where the grammar has words), exact in writing. */
#ifndef SDP_SDP_H
#define SDP_SDP_H

#include <bodkin/ice_types.h>

enum {
    SDP_LINE_MAX = 768,       /* longest line written, with its NUL: a name and a ufrag that are as
                                 long as they may be. Our own fit BK_ICE_LINE_MAX */
    SDP_TEXT_MAX = 64 * 1024, /* longest text read */
    SDP_NAME_MAX = 255,       /* of a host, RFC 1035 section 2.3.4 */
    SDP_MID_MAX = 32,
    SDP_OPTION_MAX = 32,
    SDP_OPTIONS_MAX = 8
};

/* One candidate line. Of `at`, the stream is not in the line. The related address (raddr, rport) is
 * `at.base`; family NONE: not told. Of a relayed candidate it is the mapped address, RFC 8839
 * section 5.1: set it before writing. The port of TCP active is always 9. */
struct sdp_candidate {
    struct bk_ice_candidate at;
    char name[SDP_NAME_MAX + 1]; /* the connection address when it is a name (mDNS): then at.addr
                                    has the port alone. "" otherwise */
    uint32_t generation;         /* browsers' extension; 0 when absent */
    char ufrag[BK_ICE_CRED_MAX + 1]; /* browsers' extension: whose candidate; "" when absent */
};

/* "candidate:...", without "a=" and line end. Host candidates show no raddr; the others show `base`
 * or, with hide_base, 0.0.0.0 port 9 (RFC 8839 section 5.1, RFC 8828). Returns the length; `out`
 * has room for SDP_LINE_MAX. */
size_t sdp_write_candidate(const struct sdp_candidate *c, bool hide_base, char *out);
/* Reads it, with or without "a=". BK_ERR_MALFORMED: breaks RFC 8839 section 5.1 or RFC 6544 section
 * 4.5. BK_ERR_UNSUPPORTED: a transport, type or address of a kind not known, or an address nothing
 * can be sent to (0.0.0.0, multicast, port 0): to be ignored. BK_ERR_TOO_LONG: foundation or name.
 * A name that is not one of mDNS is handed on; RFC 8839 section 5.1 has it ignored. */
BK_MUST_USE enum bk_err sdp_read_candidate(const char *line, size_t len, struct sdp_candidate *out);

/* What else a line can say. */
enum sdp_kind {
    SDP_OTHER, /* nothing of ours */
    SDP_CANDIDATE,
    SDP_END_OF_CANDIDATES,
    SDP_UFRAG,   /* `value` */
    SDP_PWD,     /* `value` */
    SDP_OPTIONS, /* `value`: words with spaces between them */
    SDP_LITE,
    SDP_MISMATCH,
    SDP_PACING, /* `number`, ms; RFC 8839 section 5.6 */
    SDP_MID,    /* `value` */
    SDP_MEDIA,  /* an m= line: the next stream begins; `number` is its port, 0: rejected */
    SDP_KINDS
};

struct sdp_item {
    enum sdp_kind kind;
    const char *value; /* a view into the text; not NUL-terminated */
    size_t len;
    uint32_t number;
    struct sdp_candidate candidate;
    enum bk_err err; /* CANDIDATE: BK_OK or BK_ERR_UNSUPPORTED */
};

/* Walks a text line by line: start with *at = 0. false: the end, with *err BK_OK; or a line of ours
 * that breaks its rules or limits: BK_ERR_MALFORMED; or BK_ERR_TOO_LONG: `len` is above
 * SDP_TEXT_MAX. Lines of others, remote-candidates among them, are SDP_OTHER. */
bool sdp_next(const char *text, size_t len, size_t *at, struct sdp_item *out, enum bk_err *err);

/* ice-char of RFC 8839 section 5.4: ALPHA / DIGIT / "+" / "/"; and lengths. */
bool sdp_is_ufrag(const char *text, size_t len);
bool sdp_is_pwd(const char *text, size_t len);
/* Is `word` among the words of an ice-options value? */
bool sdp_has_option(const char *value, size_t len, const char *word);

#endif
