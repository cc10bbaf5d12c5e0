/* SPDX-License-Identifier: MIT */
#include "base/wipe.h"

#include <stdint.h>
#include <string.h>

void wipe(void *memory, size_t len) {
    memset(memory, 0, len);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* the zeros count as read */
}

bool equal_secret(const void *a, const void *b, size_t len) {
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (uint8_t)(x[i] ^ y[i]);
    return difference == 0;
}
