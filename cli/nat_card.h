/* SPDX-License-Identifier: MIT
 * A peer card: the traits of the NAT in front of a machine, as one line of JSON that its owner
 * gives to somebody else, who learns from it how the two can meet. docs/nat-json.md describes it.
 *
 * What is read comes from strangers: it is checked field by field, and none of it is ever printed
 * as it came. */
#ifndef CLI_NAT_CARD_H
#define CLI_NAT_CARD_H

#include <bodkin/err.h>
#include <bodkin/nat_traits.h>
#include <stddef.h>

struct cJSON;

enum {
    NAT_CARD_VERSION = 1,
    NAT_CARD_MAX = 65536,      /* bytes of a card, or of a report that holds one */
    NAT_CARD_REASON_MAX = 160, /* room for what is wrong with one */
};

struct nat_card {
    struct bk_nat_traits ipv4;
    struct bk_nat_traits ipv6; /* all zero: there is no IPv6, or nothing is known about it */
};

/* One trait per member; what is unknown is left out. NULL: no memory. The caller's. */
struct cJSON *nat_traits_json(const struct bk_nat_traits *traits);
/* The card as a JSON object. NULL: no memory. The caller's. */
struct cJSON *nat_card_json(const struct nat_card *card);

/* Reads a card, or the report of `bodkin nat --json`, which holds one. Members nobody knows are
 * skipped, so that newer programs may add some. On failure *reason says what is wrong.
 * BK_ERR_NOT_OURS: no JSON, or JSON of something else. BK_ERR_UNSUPPORTED: of a newer version.
 * BK_ERR_MALFORMED: a member is not what it should be. */
BK_MUST_USE enum bk_err nat_card_parse(const char *text, size_t len, struct nat_card *out,
                                       char reason[NAT_CARD_REASON_MAX]);

/* Writes the card to `path`, one line; replaces what was there. "-" is standard output. On failure
 * *reason says why. BK_ERR_IO, BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err nat_card_write(const char *path, const struct nat_card *card,
                                       char reason[NAT_CARD_REASON_MAX]);
/* Reads the card in the file `path` ("-": standard input), or makes the one of a NAT model's
 * preset: "preset:home". On failure *reason says why: as nat_card_parse(), and BK_ERR_NOT_FOUND: no
 * such file or preset, BK_ERR_IO. */
BK_MUST_USE enum bk_err nat_card_read(const char *path, struct nat_card *out,
                                      char reason[NAT_CARD_REASON_MAX]);

#endif
