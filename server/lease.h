/* SPDX-License-Identifier: MIT
 * How long a client's connection or DTLS session may live: as long as it asks for something, and as
 * long as its allocation does. That one the answers tell that pass by. */
#ifndef SERVER_LEASE_H
#define SERVER_LEASE_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease {
    struct bk_time last;  /* the last message that was good for something */
    struct bk_time until; /* the end of the allocation, if there ever was one */
};

/* A message from the network to a client is an answer of ours, not data and no indication. */
bool lease_is_answer(const uint8_t *message, size_t len);
/* Reads an answer. true: it is the one to an Allocate request that was granted. */
bool lease_learn(struct lease *l, const uint8_t *answer, size_t len, struct bk_time now);
bool lease_has_allocation(const struct lease *l, struct bk_time now);
struct bk_time lease_end(const struct lease *l);

#endif
