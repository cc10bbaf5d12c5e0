/* SPDX-License-Identifier: MIT
 * Words for people. */
#include <bodkin/checker.h>

const char *bk_ice_kind_text(enum bk_ice_kind kind) {
    switch (kind) {
    case BK_ICE_HOST:
        return "host";
    case BK_ICE_SRFLX:
        return "srflx";
    case BK_ICE_PRFLX:
        return "prflx";
    case BK_ICE_RELAYED:
        return "relay";
    }
    return "?";
}

const char *bk_ice_state_text(enum bk_ice_state state) {
    switch (state) {
    case BK_ICE_IDLE:
        return "idle";
    case BK_ICE_CHECKING:
        return "checking";
    case BK_ICE_VALID:
        return "valid";
    case BK_ICE_SELECTED:
        return "selected";
    case BK_ICE_FAILED:
        return "failed";
    }
    return "?";
}

const char *bk_ice_pair_state_text(enum bk_ice_pair_state state) {
    switch (state) {
    case BK_ICE_PAIR_FROZEN:
        return "frozen";
    case BK_ICE_PAIR_WAITING:
        return "waiting";
    case BK_ICE_PAIR_IN_PROGRESS:
        return "in progress";
    case BK_ICE_PAIR_SUCCEEDED:
        return "succeeded";
    case BK_ICE_PAIR_FAILED:
        return "failed";
    }
    return "?";
}

const char *bk_ice_failure_text(enum bk_ice_failure failure) {
    switch (failure) {
    case BK_ICE_FAILURE_NONE:
        return "no failure";
    case BK_ICE_FAILURE_TIMEOUT:
        return "no answer";
    case BK_ICE_FAILURE_ASYMMETRIC:
        return "answered from or to another address";
    case BK_ICE_FAILURE_REFUSED:
        return "refused by the peer";
    case BK_ICE_FAILURE_CONSENT:
        return "consent expired";
    case BK_ICE_FAILURE_PROBE:
        return "no answer to a probe";
    case BK_ICE_FAILURE_REMOVED:
        return "local address gone";
    case BK_ICE_FAILURE_BROKEN:
        return "connection failed or ended";
    }
    return "?";
}
