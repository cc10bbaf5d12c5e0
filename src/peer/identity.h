/* SPDX-License-Identifier: MIT
 * Who a peer is: an Ed25519 key pair. The public half names the peer everywhere (tickets, QUIC's
 * raw public key, the user's screen); the X25519 key derived from the same secret is its address at
 * the home relay, so one short text is enough to find and to authenticate a peer.
 *
 * Nothing here touches a file: the program stores what identity_encode() writes. */
#ifndef PEER_IDENTITY_H
#define PEER_IDENTITY_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_KEY_LEN = 32,
    PEER_KEY_TEXT_MAX = 64, /* room for "bk" and 56 letters, with its NUL */
    IDENTITY_TEXT_MAX = 96  /* room for the key file's line, with newline and NUL */
};

/* An Ed25519 public key. Equal peers are equal bytes. */
struct peer_key {
    uint8_t bytes[PEER_KEY_LEN];
};

/* A key pair. Holds secrets: finish with identity_fini(). */
struct identity {
    uint8_t seed[32];                   /* Ed25519 secret seed, RFC 8032 section 5.1.5 */
    struct peer_key key;                /* the public key of `seed` */
    uint8_t relay_secret[PEER_KEY_LEN]; /* X25519 secret of the relay address */
    uint8_t relay_key[PEER_KEY_LEN];    /* the relay address: X25519 public key */
};

/* A fresh identity from `rng`. */
void identity_make(struct identity *id, const struct bk_rng *rng);
/* The identity that belongs to a seed: the same seed gives the same keys everywhere. */
void identity_from_seed(struct identity *id, const uint8_t seed[32]);
/* Wipes the secrets. */
void identity_fini(struct identity *id);

/* The key file: one line "bodkin-secret-key-1 BASE32\n" (seed and CRC-32). `out` has room for
 * IDENTITY_TEXT_MAX; the text is secret: wipe it after use. Returns its length without the NUL. */
size_t identity_encode(const struct identity *id, char *out);
/* Reads what identity_encode wrote; white space around is tolerated, letter case is not
 * significant. BK_ERR_NOT_OURS: not a bodkin key file. BK_ERR_UNSUPPORTED: one of a newer version.
 * BK_ERR_MALFORMED: damaged (a letter changed, cut off or added). */
BK_MUST_USE enum bk_err identity_decode(const char *text, size_t len, struct identity *out);

/* The peer's name for people: "bk" and 56 letters of base32 (key and 3 checksum bytes), lower case,
 * for example bkmzxw6ytb... `out` has room for PEER_KEY_TEXT_MAX. Returns `out`. */
char *peer_key_format(const struct peer_key *key, char *out);
/* Reads what peer_key_format writes; case and surrounding white space do not matter.
 * BK_ERR_NOT_OURS: does not look like a peer key at all (does not start with "bk", or has letters
 * that base32 does not use). BK_ERR_SHORT, BK_ERR_TOO_LONG: letters are missing, or too many.
 * BK_ERR_MALFORMED: the checksum does not match: a typing mistake. */
BK_MUST_USE enum bk_err peer_key_parse(const char *text, size_t len, struct peer_key *out);
bool peer_key_equal(const struct peer_key *a, const struct peer_key *b);

/* The relay address (X25519 public key) of a peer known by its Ed25519 key only.
 * BK_ERR_MALFORMED: the bytes are not a usable point of the curve; treat the peer as non-existent.
 */
BK_MUST_USE enum bk_err peer_key_relay(const struct peer_key *key, uint8_t out[PEER_KEY_LEN]);

#endif
