/* SPDX-License-Identifier: MIT
 * Errors, and the conventions that hold in every bodkin header:
 *
 * - A function that can fail returns `enum bk_err`; results leave through the last parameter, which
 *   is written only on success. On failure the objects it was given are as they were.
 * - A pointer parameter is borrowed for the call unless its comment says *keeps* or *takes*. It may
 *   be NULL only where the comment says so; every `_free` accepts NULL.
 * - Lengths are bytes. Names end in their unit (`_us`, `_ms`, `_s`) or qualifier (`_max`).
 * - Objects are not thread-safe: one thread at a time, or one object per thread. */
#ifndef BODKIN_ERR_H
#define BODKIN_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define BK_MUST_USE __attribute__((warn_unused_result))
#else
#define BK_MUST_USE
#endif

/* Marks what the shared libraries export; everything else stays hidden. */
#if defined(__GNUC__) || defined(__clang__)
#define BK_API __attribute__((visibility("default")))
#else
#define BK_API
#endif

enum bk_err {
    BK_OK = 0,
    BK_ERR_NOT_OURS,    /* the bytes belong to another protocol or object: try the next one */
    BK_ERR_SHORT,       /* the input ends before the message does */
    BK_ERR_MALFORMED,   /* the message breaks its format */
    BK_ERR_AUTH,        /* wrong key, password, signature, pin or secret */
    BK_ERR_FULL,        /* a configured limit is reached; try later, or raise the limit */
    BK_ERR_TOO_LONG,    /* the value does not fit the message or the buffer */
    BK_ERR_ARGUMENT,    /* the caller's argument is outside its documented range */
    BK_ERR_STATE,       /* not possible in the object's present state */
    BK_ERR_NOT_FOUND,   /* no such object, name or file */
    BK_ERR_EXISTS,      /* already there */
    BK_ERR_TIMEOUT,     /* no answer in time */
    BK_ERR_REFUSED,     /* the other side said no */
    BK_ERR_UNREACHABLE, /* no way to get there now */
    BK_ERR_CLOSED,      /* the connection or object has ended */
    BK_ERR_UNSUPPORTED, /* not offered by the other side or by this machine */
    BK_ERR_PERMISSION,  /* the operating system did not allow it */
    BK_ERR_IO,          /* the operating system reported another failure */
    BK_ERR_NO_MEMORY,   /* the allocator returned NULL */
    BK_ERR_COUNT
};

/* A short English phrase without a full stop, for example "wrong key, password or secret". Never
 * NULL; the text is static. */
BK_API const char *bk_err_text(enum bk_err err);

#ifdef __cplusplus
}
#endif
#endif
