/* SPDX-License-Identifier: MIT
 * A punch_note as bytes, for an attribute of the sealed signalling. Always of one length:
 *
 *     u8 step, attempt, method; u8 flags: 1 reached, 2 spent, 4 both, others 0
 *     u16 window, sockets[0], sockets[1], ports[0], ports[1]
 *     u8 family: 0, 4 or 6; 16 bytes address, IPv4 in the first four, the rest 0; u16 port
 *     i16 stride; u16 min, max, run, gap
 *
 * Integers are big-endian. What cannot be meant is refused here; what this punch_note may ask for
 * is judged by whoever obeys it (punch.h). */
#ifndef PUNCH_NOTE_H
#define PUNCH_NOTE_H

#include "punch/punch.h"

#include <stddef.h>

enum { PUNCH_NOTE_LEN = 43 };

/* The note's fields are in range when punch_take_note() gave it. */
void punch_note_put(const struct punch_note *note, uint8_t out[PUNCH_NOTE_LEN]);
/* BK_ERR_SHORT; BK_ERR_MALFORMED: too long, or no note that anybody can mean. */
BK_MUST_USE enum bk_err punch_note_get(struct punch_note *out, const uint8_t *data, size_t len);
/* Does it say the same? */
bool punch_note_equal(const struct punch_note *a, const struct punch_note *b);

#endif
