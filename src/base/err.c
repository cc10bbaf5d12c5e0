/* SPDX-License-Identifier: MIT */
#include <bodkin/err.h>

static const char *const texts[BK_ERR_COUNT] = {
    [BK_OK] = "success",
    [BK_ERR_NOT_OURS] = "not a message for this object",
    [BK_ERR_SHORT] = "the message is cut short",
    [BK_ERR_MALFORMED] = "the message breaks its format",
    [BK_ERR_AUTH] = "wrong key, password, pin or secret",
    [BK_ERR_FULL] = "a configured limit is reached",
    [BK_ERR_TOO_LONG] = "the value is too long",
    [BK_ERR_ARGUMENT] = "an argument is outside its range",
    [BK_ERR_STATE] = "not possible in this state",
    [BK_ERR_NOT_FOUND] = "not found",
    [BK_ERR_EXISTS] = "already there",
    [BK_ERR_TIMEOUT] = "no answer in time",
    [BK_ERR_REFUSED] = "refused by the other side",
    [BK_ERR_UNREACHABLE] = "unreachable",
    [BK_ERR_CLOSED] = "closed",
    [BK_ERR_UNSUPPORTED] = "not supported",
    [BK_ERR_PERMISSION] = "not permitted",
    [BK_ERR_IO] = "input/output error",
    [BK_ERR_NO_MEMORY] = "out of memory",
};

const char *bk_err_text(enum bk_err err) {
    if ((unsigned)err >= BK_ERR_COUNT)
        return "unknown error";
    return texts[err];
}
