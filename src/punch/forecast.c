/* SPDX-License-Identifier: MIT */
#include "punch/forecast.h"

uint16_t forecast_at(const struct forecast *f, uint32_t j) {
    int64_t min = f->min, max = f->max;
    if (min == 0 || min > max || f->first < min || f->first > max) {
        min = 1;
        max = UINT16_MAX;
    }
    int64_t len = max - min + 1, rank = f->first - min + (int64_t)f->stride * j;
    return (uint16_t)(min + (rank % len + len) % len);
}
