/* SPDX-License-Identifier: MIT
 * A ticket is everything one needs to reach a peer, in one line that survives mail, chat, a QR code
 * and being read aloud: "bodkin1" and base32 (a-z, 2-7), no padding. Upper-cased it uses only
 * letters of QR codes' alphanumeric mode.
 *
 * Bytes behind the base32, integers big-endian:
 *
 *     u8   version     1
 *     u8   flags       1: pin present, 2: plain http home; others: refuse
 *     32   key         the peer's Ed25519 public key
 *     16   secret      shown back to the peer once; then it is worth nothing
 *     u16  https port
 *     u16  stun port   0: none
 *     u8   length of the home's host name
 *     ..   host name
 *     32   pin         only with flag 1
 *     u32  CRC-32 of all bytes before: damage in transport, not malice */
#ifndef PEER_TICKET_H
#define PEER_TICKET_H

#include <bodkin/err.h>
#include <peer/home_url.h>
#include <peer/identity.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TICKET_SECRET_LEN = 16,
    TICKET_TEXT_MAX = 576 /* room for the longest ticket, with its NUL */
};

/* Holds a secret: finish with ticket_fini(). */
struct ticket {
    struct peer_key key;
    uint8_t secret[TICKET_SECRET_LEN];
    struct home home;
};

void ticket_fini(struct ticket *t);
/* `out` has room for TICKET_TEXT_MAX. Returns the length without the NUL. */
size_t ticket_format(const struct ticket *t, char *out);
/* Case does not matter; white space around, and line breaks a mailer put inside, are skipped.
 * BK_ERR_NOT_OURS: not a ticket. BK_ERR_UNSUPPORTED: a ticket of a newer version.
 * BK_ERR_TOO_LONG: longer than any ticket. BK_ERR_SHORT, BK_ERR_MALFORMED: damaged (cut off, or a
 * letter changed). */
BK_MUST_USE enum bk_err ticket_parse(const char *text, size_t len, struct ticket *out);

#endif
