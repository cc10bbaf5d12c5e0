/* SPDX-License-Identifier: MIT
 * The ports that a NAT's next mappings should get. RFC 4787 section 4.2.1. */
#ifndef PUNCH_FORECAST_H
#define PUNCH_FORECAST_H

#include <stdint.h>

struct forecast {
    uint16_t first;    /* the next one */
    int32_t stride;    /* from one to the next; 0: it is always the same */
    uint16_t min, max; /* where it goes round, if `first` lies within; 0: at 1 and 65535 */
};

/* The j-th, j from 0. Never 0. */
uint16_t forecast_at(const struct forecast *forecast, uint32_t j);

#endif
