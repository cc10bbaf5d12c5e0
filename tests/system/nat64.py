# SPDX-License-Identifier: MIT
"""A translator between IPv6 and IPv4 (RFC 7915) on a TUN device, just good enough to be half of a
NAT64: UDP and TCP without fragments. Each IPv6 host gets an IPv4 address of its own; the other half
is a masquerading NAT behind it. Runs until it is killed: nat64.py DEVICE PREFIX POOL, for example
nat64.py nat64 64:ff9b:: 192.168.255.0, with the routes for PREFIX/96 and POOL/24 to the device."""
import fcntl
import ipaddress
import os
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def ones_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def with_checksum(src, dst, proto, body):
    """`body` with its checksum made anew over these addresses."""
    at = {17: 6, 6: 16}[proto]
    body = body[:at] + b"\0\0" + body[at + 2:]
    total = ones_sum(src + dst + struct.pack("!II", len(body), proto) + body)
    return body[:at] + struct.pack("!H", ~total & 0xFFFF or 0xFFFF) + body[at + 2:]


class Translator:
    def __init__(self, prefix, pool):
        self.prefix = ipaddress.IPv6Address(prefix).packed[:12]
        self.pool = ipaddress.IPv4Address(pool).packed[:3]
        self.by_v6, self.by_v4 = {}, {}

    def to_v4(self, p):
        proto, hops, src, dst, body = p[6], p[7], p[8:24], p[24:40], p[40:]
        if proto not in (6, 17) or dst[:12] != self.prefix or hops <= 1:
            return None
        if src not in self.by_v6:
            v4 = self.pool + bytes([len(self.by_v6) + 2])
            self.by_v6[src], self.by_v4[v4] = v4, src
        src, dst = self.by_v6[src], dst[12:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, hops - 1, proto, 0,
                           src, dst)
        head = head[:10] + struct.pack("!H", ~ones_sum(head) & 0xFFFF) + head[12:]
        return head + with_checksum(src, dst, proto, body)

    def to_v6(self, p):
        proto, hops, src, dst, body = p[9], p[8], p[12:16], p[16:20], p[(p[0] & 15) * 4:]
        if proto not in (6, 17) or dst not in self.by_v4 or hops <= 1:
            return None
        src, dst = self.prefix + src, self.by_v4[dst]
        head = struct.pack("!IHBB16s16s", 6 << 28, len(body), proto, hops - 1, src, dst)
        return head + with_checksum(src, dst, proto, body)


def main():
    name, prefix, pool = sys.argv[1:]
    fd, translator = tun(name), Translator(prefix, pool)
    print("ready", flush=True)
    while True:
        packet = os.read(fd, 65535)
        out = translator.to_v4(packet) if packet[0] >> 4 == 6 else translator.to_v6(packet)
        if out is not None:
            os.write(fd, out)


if __name__ == "__main__":
    main()
