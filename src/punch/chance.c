/* SPDX-License-Identifier: MIT */
#include "punch/chance.h"

#include "base/assert.h"

/* The series converges at once below 2^-6; (e^(-x / 2^k))^(2^k) brings every x
 * there. */
double chance_exp_minus(double x) {
    int halvings = 0;
    if (x > 745)
        return 0; /* below the smallest double */
    while (x > 1.0 / 64) {
        x /= 2;
        halvings++;
    }
    double term = 1, sum = 1;
    for (int i = 1; i <= 8; i++) {
        term *= -x / i;
        sum += term;
    }
    while (halvings-- > 0)
        sum *= sum;
    return sum;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* C(S-k, n) / C(S, n) = product over i < n of (S-k-i) / (S-i), and k and n may
 * change places. */
double chance_common(uint32_t space, uint32_t k, uint32_t n) {
    k = least(k, space);
    n = least(n, space);
    if (k == 0 || n == 0)
        return 0;
    if (k > space - n)
        return 1; /* pigeons and holes */
    uint32_t few = least(k, n), many = k + n - few;
    double miss = 1;
    for (uint32_t i = 0; i < few; i++)
        miss *= (double)(space - many - i) / (double)(space - i);
    return 1 - miss;
}

double chance_fewer(double mean, uint32_t n) {
    if (mean > 700)
        return 0;
    double term = chance_exp_minus(mean), sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += term;
        term *= mean / (i + 1.0);
        if (i > mean && term < 1e-18)
            break;
    }
    return sum < 1 ? sum : 1;
}

uint32_t chance_window(double mean, double wanted, uint32_t max) {
    if (mean > 700)
        return max;
    double term = chance_exp_minus(mean), sum = 0;
    for (uint32_t i = 0; i < max; i++) {
        sum += term;
        if (sum >= wanted)
            return i + 1;
        term *= mean / (i + 1.0);
    }
    return max;
}

static double power(double x, uint32_t n) {
    double out = 1;
    for (; n > 0; n >>= 1) {
        if ((n & 1) != 0)
            out *= x;
        x *= x;
    }
    return out;
}

double chance_meet(uint32_t space_a, uint32_t n, uint32_t space_b, uint32_t m, uint32_t targets) {
    bk_assert(space_a > 0 && space_b > 0 && targets > 0);
    double waiting = (double)n / targets / space_a, there = (double)m / space_b;
    double one = (waiting < 1 ? waiting : 1) * (there < 1 ? there : 1);
    return targets == 1 ? one : 1 - power(1 - one, targets);
}
