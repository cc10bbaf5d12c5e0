# SPDX-License-Identifier: MIT
"""ICE for Python: the agent of bodkin/ice.h, without I/O. You have the socket and the loop.

After every call into an agent send what `datagrams()` gives, look at `events()`, and call
`advance()` when `wait()` seconds have passed; examples/asyncio_ice.py is all of that."""

import os
import time
from typing import NamedTuple

from ._ice import ffi, lib, libc

__all__ = ["BodkinError", "Candidate", "Event", "Ice", "NotOurs"]


class BodkinError(Exception):
    """A call that failed; `code` is a value of enum bk_err."""

    def __init__(self, code, what=None):
        super().__init__(what or ffi.string(lib.bk_err_text(code)).decode())
        self.code = code


class NotOurs(BodkinError):
    """A datagram that belongs to another agent."""


class Candidate(NamedTuple):
    kind: str  # "host", "srflx", "prflx", "relay"
    address: tuple  # (ip, port)


class Event(NamedTuple):
    kind: str  # "candidate", "gathered", "connected", ...: enum bk_ice_event_kind in small letters
    stream: int
    component: int
    text: str
    local: Candidate
    remote: Candidate
    rtt: float  # seconds; None: not measured


def _check(err):
    if err != lib.BK_OK:
        raise (NotOurs if err == lib.BK_ERR_NOT_OURS else BodkinError)(err)


@ffi.callback("void *(void *, size_t)")
def _get(_ctx, size):
    return libc.calloc(1, size)


@ffi.callback("void (void *, void *)")
def _put(_ctx, memory):
    libc.free(memory)


@ffi.callback("void (void *, void *, size_t)")
def _fill(_ctx, out, size):
    ffi.memmove(out, os.urandom(size), size)


_alloc = ffi.new("struct bk_alloc *", {"get": _get, "put": _put})
_rng = ffi.new("struct bk_rng *", {"fill": _fill})
_KINDS = {
    value: name[len("BK_ICE_ON_"):].lower()
    for value, name in ffi.typeof("enum bk_ice_event_kind").elements.items()
}


def _now(now=None):
    return {"us": int((time.monotonic() if now is None else now) * 1e6)}


def _to_addr(address):
    out = ffi.new("struct bk_addr *")
    _check(lib.bk_ip_parse(address[0].encode(), ffi.addressof(out, "ip")))
    out.port = address[1]
    return out[0]


def _from_addr(addr):
    text = ffi.new("char[64]")
    return ffi.string(lib.bk_ip_format(ffi.new("struct bk_ip *", addr.ip), text)).decode(), addr.port


def _candidate(c):
    return Candidate(ffi.string(lib.bk_ice_kind_text(c.kind)).decode(), _from_addr(c.addr))


class Ice:
    """One agent. Addresses are (ip, port); `now` is time.monotonic() unless given."""

    def __init__(self, controlling, servers=(), trickle=True, lite=False, **options):
        """`servers`: "stun:host", or (uri, user, password). `options`: other fields of struct
        bk_ice_config. ValueError names a field that is out of range."""
        config = ffi.new("struct bk_ice_config *", lib.bk_ice_config_default)
        keep = []
        config.size = ffi.sizeof("struct bk_ice_config")
        config.role = lib.BK_ICE_CONTROLLING if controlling else lib.BK_ICE_CONTROLLED
        config.trickle = lib.BK_ICE_TRICKLE if trickle else lib.BK_ICE_NO_TRICKLE
        config.lite = lite
        config.rng = _rng
        for name, value in options.items():
            setattr(config, name, value)
        for i, server in enumerate(servers):
            words = (server, None, None) if isinstance(server, str) else server
            texts = [ffi.NULL if w is None else ffi.new("char[]", w.encode()) for w in words]
            keep.append(texts)  # the library copies them
            config.servers[i] = {"uri": texts[0], "user": texts[1], "password": texts[2]}
        config.server_count = len(servers)
        wrong = lib.bk_ice_config_check(config)
        if wrong != ffi.NULL:
            raise ValueError(ffi.string(wrong).decode())
        out = ffi.new("struct bk_ice **")
        _check(lib.bk_ice_new(config, _alloc, out))
        self._ice = ffi.gc(out[0], lib.bk_ice_free)

    def add_base(self, address, now=None):
        """A UDP socket is bound to this address."""
        base = ffi.new("struct bk_ice_base *", {"size": ffi.sizeof("struct bk_ice_base")})
        base.addr = _to_addr(address)
        _check(lib.bk_ice_add_base(self._ice, base, _now(now)))

    def gather(self, now=None):
        lib.bk_ice_gather(self._ice, _now(now))

    def describe(self):
        """Our side as SDP lines, for your signalling."""
        text, size = ffi.new("char[65536]"), ffi.new("size_t *")
        _check(lib.bk_ice_describe(self._ice, text, 65536, size))
        return ffi.string(text).decode()

    def set_remote(self, description, now=None):
        text = description.encode()
        _check(lib.bk_ice_set_remote(self._ice, text, len(text), _now(now)))

    def add_remote_candidate(self, line, stream=0, now=None):
        _check(lib.bk_ice_add_remote_candidate(self._ice, stream, line.encode(), _now(now)))

    def restart(self, now=None):
        _check(lib.bk_ice_restart(self._ice, _now(now)))

    def network_changed(self, now=None):
        lib.bk_ice_network_changed(self._ice, _now(now))

    def close(self, now=None):
        """Says goodbye; the event "closed" comes when it is done."""
        lib.bk_ice_close(self._ice, _now(now))

    def send(self, data, stream=0, component=1):
        """Gives the (data, local, remote) to be sent now."""
        out = ffi.new("struct bk_datagram *")
        _check(lib.bk_ice_send(self._ice, stream, component, data, len(data), out))
        return ffi.unpack(ffi.cast("char *", out.data), out.len), _from_addr(out.local), \
            _from_addr(out.remote)

    def receive(self, data, local, remote, shared=False, now=None):
        """One datagram. Gives the peer's data that were in it, or None. On a socket that agents
        share, `shared` has NotOurs raised for the other agents' datagrams."""
        view = ffi.from_buffer("uint8_t[]", data)
        into = ffi.new("struct bk_datagram *", {"data": view, "len": len(data)})
        into.local, into.remote = _to_addr(local), _to_addr(remote)
        out = ffi.new("struct bk_ice_data *")
        err = lib.bk_ice_recv(self._ice, into, _now(now), out)
        if err == lib.BK_ERR_NOT_OURS and shared:
            raise NotOurs(err)
        if err != lib.BK_OK or out.data == ffi.NULL:
            return None
        return ffi.unpack(ffi.cast("char *", out.data), out.len)

    def advance(self, now=None):
        lib.bk_ice_advance(self._ice, _now(now))

    def wait(self, now=None):
        """Seconds until advance() is due; None: never."""
        us = lib.bk_ice_deadline(self._ice).us
        return None if us == 2**63 - 1 else max(0.0, us / 1e6 - _now(now)["us"] / 1e6)

    def datagrams(self, now=None):
        """(data, local, remote) of everything that is to be sent."""
        out, request = ffi.new("struct bk_datagram *"), ffi.new("struct bk_ice_request *")
        while lib.bk_ice_next_datagram(self._ice, out):
            yield ffi.unpack(ffi.cast("char *", out.data), out.len), _from_addr(out.local), \
                _from_addr(out.remote)
        while lib.bk_ice_next_request(self._ice, request):
            self._refuse(request, now)

    def _refuse(self, request, now):
        """This binding has neither connections nor names; the agent does without."""
        if request.kind == lib.BK_ICE_DIAL:
            lib.bk_ice_dialled(self._ice, request.id, lib.BK_ERR_UNSUPPORTED, ffi.NULL, _now(now))
        elif request.kind == lib.BK_ICE_RESOLVE:
            lib.bk_ice_resolved(self._ice, request.id, ffi.NULL, 0, _now(now))

    def events(self):
        e = ffi.new("struct bk_ice_event *")
        while lib.bk_ice_next_event(self._ice, e):
            yield Event(_KINDS[e.kind], e.stream, e.component, ffi.string(e.text).decode(),
                        _candidate(e.local), _candidate(e.remote),
                        None if e.rtt_us < 0 else e.rtt_us / 1e6)

    @property
    def state(self):
        return ffi.string(lib.bk_ice_state_text(lib.bk_ice_get_state(self._ice))).decode()

    def explain(self):
        """Why it is as it is, in one sentence."""
        text = ffi.new("char[512]")
        return ffi.string(lib.bk_ice_explain(self._ice, text, 512)).decode()
