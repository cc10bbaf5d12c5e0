/* SPDX-License-Identifier: MIT
 * The table of known STUN attributes, shared by the reader and the builder. Inside wire only. */
#ifndef WIRE_STUN_ATTR_H
#define WIRE_STUN_ATTR_H

#include "wire/stun.h"

enum stun_attr_kind {
    STUN_KIND_BYTES,
    STUN_KIND_FLAG,
    STUN_KIND_U32,
    STUN_KIND_U64,
    STUN_KIND_ADDR,
    STUN_KIND_XOR_ADDR,
    STUN_KIND_ERROR,
    STUN_KIND_TYPES,     /* a list of attribute types */
    STUN_KIND_ALGORITHMS /* one or more password algorithms */
};

struct stun_attr_row {
    uint16_t type;
    uint16_t min, max; /* length of the value */
    uint16_t uses;     /* a set of enum stun_use */
    enum stun_attr_kind kind;
    const char *name;
};

/* NULL: not known. */
const struct stun_attr_row *stun_attr_row(uint16_t type);

#endif
