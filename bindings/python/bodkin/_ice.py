# SPDX-License-Identifier: MIT
"""What bodkin/ice.h and bodkin/ice_io.h declare, for cffi, and the loaded library.

Kept true by tests/system/test_python_binding.py, which has the C compiler compare every size,
offset and constant below with the headers."""

import ctypes.util
import os

import cffi

CDEF = """
enum bk_err { BK_OK, BK_ERR_NOT_OURS, BK_ERR_SHORT, BK_ERR_MALFORMED, BK_ERR_AUTH, BK_ERR_FULL,
    BK_ERR_TOO_LONG, BK_ERR_ARGUMENT, BK_ERR_STATE, BK_ERR_NOT_FOUND, BK_ERR_EXISTS, BK_ERR_TIMEOUT,
    BK_ERR_REFUSED, BK_ERR_UNREACHABLE, BK_ERR_CLOSED, BK_ERR_UNSUPPORTED, BK_ERR_PERMISSION,
    BK_ERR_IO, BK_ERR_NO_MEMORY };
const char *bk_err_text(enum bk_err err);

struct bk_time { int64_t us; };
struct bk_alloc {
    void *(*get)(void *ctx, size_t size);
    void (*put)(void *ctx, void *memory);
    void *ctx;
};
struct bk_rng { void (*fill)(void *ctx, void *out, size_t len); void *ctx; };
struct bk_trace { void (*line)(void *ctx, const char *text); void *ctx; };

struct bk_ip { uint8_t family; uint8_t bytes[16]; uint32_t zone; };
struct bk_addr { struct bk_ip ip; uint16_t port; };
struct bk_datagram {
    struct bk_addr local; struct bk_addr remote; const uint8_t *data; size_t len; size_t segment;
    uint8_t ttl; uint8_t ecn; uint8_t protocol;
};
enum bk_protocol { BK_UDP, BK_TCP };
char *bk_ip_format(const struct bk_ip *ip, char *out);
enum bk_err bk_ip_parse(const char *text, struct bk_ip *out);

enum bk_ice_kind { BK_ICE_HOST, BK_ICE_SRFLX, BK_ICE_PRFLX, BK_ICE_RELAYED };
enum bk_ice_transport { BK_ICE_UDP, BK_ICE_TCP_ACTIVE, BK_ICE_TCP_PASSIVE, BK_ICE_TCP_SO };
enum bk_ice_state { BK_ICE_IDLE, BK_ICE_CHECKING, BK_ICE_VALID, BK_ICE_SELECTED, BK_ICE_FAILED };
struct bk_ice_candidate {
    enum bk_ice_kind kind; enum bk_ice_transport transport; uint16_t stream; uint16_t component;
    struct bk_addr addr; struct bk_addr base; struct bk_addr server; uint32_t priority;
    uint16_t preference; char foundation[33];
};
const char *bk_ice_kind_text(enum bk_ice_kind kind);
const char *bk_ice_state_text(enum bk_ice_state state);

enum bk_ice_role { BK_ICE_CONTROLLING, BK_ICE_CONTROLLED };
enum bk_ice_policy { BK_ICE_ALL, BK_ICE_PUBLIC, BK_ICE_RELAYED_ONLY };
enum bk_ice_trickle { BK_ICE_TRICKLE, BK_ICE_HALF_TRICKLE, BK_ICE_NO_TRICKLE };
struct bk_ice_server { const char *uri; const char *user; const char *password; };
struct bk_ice_config {
    size_t size; enum bk_ice_role role; bool lite; bool tcp; bool mdns; bool ipv4; bool ipv6;
    bool relay_ipv6; bool keep_warm; enum bk_ice_policy policy; enum bk_ice_trickle trickle;
    uint16_t streams; uint16_t components; struct bk_ice_server servers[8]; size_t server_count;
    uint32_t ta_us; uint32_t gather_us; uint32_t patience_us; uint32_t consent_us;
    uint32_t consent_expiry_us; uint32_t disconnected_us; uint32_t locals_max;
    uint32_t remotes_max; uint32_t pairs_max; const struct bk_rng *rng; struct bk_trace trace;
};
extern struct bk_ice_config bk_ice_config_default; /* const; cffi would take that for a number */
const char *bk_ice_config_check(const struct bk_ice_config *config);

struct bk_ice;
enum bk_err bk_ice_new(const struct bk_ice_config *config, const struct bk_alloc *alloc,
                       struct bk_ice **out);
void bk_ice_free(struct bk_ice *ice);
void bk_ice_close(struct bk_ice *ice, struct bk_time now);
void bk_ice_gather(struct bk_ice *ice, struct bk_time now);
enum bk_err bk_ice_describe(const struct bk_ice *ice, char *text, size_t cap, size_t *len);
enum bk_err bk_ice_set_remote(struct bk_ice *ice, const char *text, size_t len,
                              struct bk_time now);
enum bk_err bk_ice_add_remote_candidate(struct bk_ice *ice, uint16_t stream, const char *line,
                                        struct bk_time now);
enum bk_err bk_ice_restart(struct bk_ice *ice, struct bk_time now);

enum bk_ice_event_kind { BK_ICE_ON_CANDIDATE, BK_ICE_ON_GATHERED, BK_ICE_ON_CONNECTED,
    BK_ICE_ON_SELECTED, BK_ICE_ON_DISCONNECTED, BK_ICE_ON_RECONNECTED, BK_ICE_ON_FAILED,
    BK_ICE_ON_RESTART, BK_ICE_ON_CLOSED };
struct bk_ice_event {
    enum bk_ice_event_kind kind; uint16_t stream; uint16_t component; const char *text;
    struct bk_ice_candidate local; struct bk_ice_candidate remote; int64_t rtt_us;
};
enum bk_err bk_ice_send(struct bk_ice *ice, uint16_t stream, uint16_t component, const void *data,
                        size_t len, struct bk_datagram *out);
struct bk_ice_data { uint16_t stream; uint16_t component; const uint8_t *data; size_t len; };
enum bk_err bk_ice_recv(struct bk_ice *ice, const struct bk_datagram *in, struct bk_time now,
                        struct bk_ice_data *out);
void bk_ice_advance(struct bk_ice *ice, struct bk_time now);
struct bk_time bk_ice_deadline(const struct bk_ice *ice);
bool bk_ice_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
bool bk_ice_next_event(struct bk_ice *ice, struct bk_ice_event *out);
enum bk_ice_state bk_ice_get_state(const struct bk_ice *ice);
char *bk_ice_explain(const struct bk_ice *ice, char *out, size_t cap);

struct bk_ice_base {
    size_t size; struct bk_addr addr; enum bk_protocol protocol; uint16_t stream;
    uint16_t component; uint16_t preference; bool vpn; bool simultaneous;
};
enum bk_err bk_ice_add_base(struct bk_ice *ice, const struct bk_ice_base *base,
                            struct bk_time now);
void bk_ice_network_changed(struct bk_ice *ice, struct bk_time now);
enum bk_ice_request_kind { BK_ICE_DIAL, BK_ICE_HANG_UP, BK_ICE_RESOLVE, BK_ICE_PUBLISH };
enum bk_ice_security { BK_ICE_PLAIN, BK_ICE_TLS, BK_ICE_DTLS };
struct bk_ice_request {
    enum bk_ice_request_kind kind; uint32_t id; enum bk_protocol protocol;
    enum bk_ice_security security; struct bk_addr local; struct bk_addr remote; bool reuse;
    bool mdns; char name[256];
};
bool bk_ice_next_request(struct bk_ice *ice, struct bk_ice_request *out);
enum bk_err bk_ice_dialled(struct bk_ice *ice, uint32_t id, enum bk_err err,
                           const struct bk_addr *local, struct bk_time now);
void bk_ice_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count,
                     struct bk_time now);
"""

ffi = cffi.FFI()
ffi.cdef(CDEF)
ffi.cdef("void *calloc(size_t count, size_t size); void free(void *memory);")
libc = ffi.dlopen(None)


def _load():
    """BODKIN_LIBRARY, else what the system's linker finds."""
    name = os.environ.get("BODKIN_LIBRARY") or ctypes.util.find_library("bodkin-core")
    if name is None:
        raise ImportError("libbodkin-core.so is not installed; BODKIN_LIBRARY may name it")
    return ffi.dlopen(name)


lib = _load()
