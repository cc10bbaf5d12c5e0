/* SPDX-License-Identifier: MIT
 * What an object needs from its surroundings: memory at creation, randomness, a place for traces.
 * Handing these in makes a run a function of configuration, seed and inputs. */
#ifndef BODKIN_ENV_H
#define BODKIN_ENV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memory. Used by `_new` and `_free`, and afterwards only by objects that say so: they grow up to
 * their limits and shrink again. */
struct bk_alloc {
    void *(*get)(void *ctx,
                 size_t size); /* zeroed, aligned for any object; NULL when there is none */
    void (*put)(void *ctx, void *memory); /* takes back what `get` gave; NULL is fine */
    void *ctx;
};

/* Randomness. Keys, passwords and transaction ids come from it, so outside tests it must be a
 * cryptographic generator. It cannot fail. */
struct bk_rng {
    void (*fill)(void *ctx, void *out, size_t len);
    void *ctx;
};

/* Traces: `line` is told what an object decided and why, one line without a newline. It may only
 * observe. `line` may be NULL: no traces. Secrets never appear in traces. */
struct bk_trace {
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

#ifdef __cplusplus
}
#endif
#endif
