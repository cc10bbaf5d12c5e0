/* SPDX-License-Identifier: MIT
 * What outlives the process, in the state folder: the relay's own key (relay.key, in derper's
 * format, so that a derper can be replaced without its clients noticing). The self-signed
 * certificate (tls.pem) is kept there by net/tls.h. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <bodkin/err.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_KEY_LEN = 32 };

/* Reads the relay's secret key, or makes it. `reason` (NET_REASON_MAX) gets a sentence on failure.
 */
BK_MUST_USE enum bk_err store_relay_key(const char *dir, uint8_t secret[STORE_KEY_LEN],
                                        char *reason);
/* ~/.local/state/bodkin (or below $XDG_STATE_HOME), for root /var/lib/bodkin. BK_ERR_NOT_FOUND: no
 * home folder known. BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err store_default_dir(char *out, size_t cap);

#endif
