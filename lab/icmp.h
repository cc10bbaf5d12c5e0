/* SPDX-License-Identifier: MIT
 * The ICMP messages a router of the lab writes itself, besides those in nat/packet.h. */
#ifndef LAB_ICMP_H
#define LAB_ICMP_H

#include "nat/packet.h"
#include <bodkin/addr.h>
#include <bodkin/err.h>

/* Does the sender forbid fragmentation? Always, in IPv6. */
bool icmp_dont_fragment(const struct packet *p);

/* "Fragmentation needed" (RFC 792, RFC 1191 section 4) or "packet too big" (RFC 4443 section 3.2)
 * about `cause`, from the router at `from`. Errors as packet_build_answer(). */
BK_MUST_USE enum bk_err icmp_too_big(const struct packet *cause, const struct bk_ip *from,
                                     uint32_t mtu, uint8_t *out, size_t cap, size_t *len);

/* Answers an echo request to the router itself. BK_ERR_UNSUPPORTED: it is none. */
BK_MUST_USE enum bk_err icmp_echo_reply(const struct packet *request, uint8_t *out, size_t cap,
                                        size_t *len);

#endif
