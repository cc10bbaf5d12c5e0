/* SPDX-License-Identifier: MIT
 * What the files of the topology parser share: topology.c reads sections, topology_run.c the steps
 * of [run], topology_change.c those that change something, topology_value.c single values. Nobody
 * else includes this. */
#ifndef TOPOLOGY_TOPOLOGY_PARSER_H
#define TOPOLOGY_TOPOLOGY_PARSER_H

#include "topology/topology.h"

enum { PARSER_LINE_MAX = 4096 };

struct parser {
    struct topology *topology;
    struct topology_error *error;
    unsigned line;
};

/* Fills the error with this line's number. Always BK_ERR_MALFORMED, so that callers can return it.
 */
enum bk_err parser_fail(struct parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for one more element behind a growing array; zeroed. NULL: no memory. */
void *parser_append(void *array, size_t count, size_t size);

/* Cuts white space off both ends, in place; returns the new start. */
char *trimmed(char *text);
/* The next word of *rest, NUL-terminated in place, or NULL; *rest moves behind it. */
char *next_word(char **rest);
/* Letters, digits, '-', '_' and '.', not starting with '-' or '.', of fitting length. */
bool is_name(const char *text);

/* The value parsers name the field in their errors and leave *out alone then. */
enum bk_err parse_duration(struct parser *p, const char *field, const char *text, int64_t *out_us);
enum bk_err parse_loss(struct parser *p, const char *field, const char *text, uint32_t *out_ppm);
enum bk_err parse_rate(struct parser *p, const char *field, const char *text, uint64_t *out_bps);
enum bk_err parse_size(struct parser *p, const char *field, const char *text, uint32_t *out_bytes);
enum bk_err parse_number(struct parser *p, const char *field, const char *text, uint64_t max,
                         uint64_t *out);
/* "192.0.2.1/24"; without a length, bits is 255: to be decided later. */
enum bk_err parse_prefix(struct parser *p, const char *field, const char *text,
                         struct topology_prefix *out);

/* "delay", "jitter", "loss", "rate", "queue", "duplicate": one value, or "UP / DOWN". *found says
 * whether `field` is one of them. */
enum bk_err parse_link_field(struct parser *p, const char *field, char *value,
                             struct topology_link link[TOPOLOGY_DIRECTIONS], bool *found);

/* topology_change.c: `verb` is the first word, `rest` what follows it. */
enum bk_err parse_change(struct parser *p, const char *verb, char *rest,
                         struct topology_change *out);

/* One line of [run]. */
enum bk_err parse_step(struct parser *p, char *line);
/* Puts a step at the end; copies `text`, which may be NULL. */
enum bk_err keep_step(struct parser *p, const struct topology_step *step, const char *text);
/* Words of [run] that cannot be host names. */
bool is_step_word(const char *word);

#endif
