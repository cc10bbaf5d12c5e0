/* SPDX-License-Identifier: MIT
 * Time-limited names and their passwords, draft-uberti-behave-turn-rest-00 section 2.2. Whoever
 * knows the secret makes them; the server needs no list. */
#ifndef SERVER_USERS_REST_H
#define SERVER_USERS_REST_H

#include <stdbool.h>
#include <stdint.h>

enum { USERS_REST_PASSWORD_MAX = 29 }; /* base64 of 20 bytes, and a NUL */

struct users_rest {
    int64_t expires_s; /* since 1970 */
    const char *who;   /* in `name`: what follows the time, or all of it */
};

/* "1700000000:alice" or "1700000000". false: it is neither. */
bool users_rest_parse(const char *name, struct users_rest *out);
void users_rest_password(const char *secret, const char *name, char out[USERS_REST_PASSWORD_MAX]);

#endif
