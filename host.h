// SPDX-License-Identifier: ISC
//
// host: the texts that name a host, and the addresses behind them. Pure: nothing is looked up.
#ifndef HOST_H
#define HOST_H

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

// A numeric address as text: an IPv6 address, '%', an interface, the final NUL.
#define HOST_TEXT_MAX (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

// A host name as text, without the final NUL: RFC 1035, section 2.3.4.
#define HOST_NAME_MAX_BYTES 253

enum host_kind {
    HOST_BAD,  // none of the below
    HOST_IPV4, // "192.0.2.1", each part decimal or, with a leading zero, octal; "0" is 0.0.0.0
    HOST_IPV6, // RFC 4291, section 2.2, without brackets and without a zone
    HOST_NAME, // letters, digits, '-', '_' and '.', RFC 1123 with underscores; not looked up
    HOST_UNIX, // "unix:/path", or "unix:@name" for Linux's abstract name space, unix(7)
};

union host_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

// What TEXT is. No byte below 0x21 and no 0x7f is part of any kind but HOST_BAD.
enum host_kind host_kind(const char *text);

// The address that TEXT, of any kind but HOST_NAME and HOST_BAD, names, with PORT in host byte
// order (0 for HOST_UNIX). Returns its size in bytes, or 0 where TEXT is of another kind.
socklen_t host_address(const char *text, unsigned port, union host_address *address);

// Makes an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) plain IPv4, in place; leaves any
// other alone. Returns whether it was mapped.
bool host_unmap(union host_address *address);

// The numeric text of ADDRESS, with "%interface" for a link-local one, as getnameinfo(3) writes
// it with NI_NUMERICHOST; "" for a family other than IPv4 and IPv6.
void host_text(const union host_address *address, char text[static HOST_TEXT_MAX]);

// The port of ADDRESS in host byte order; 0 for a family that has none.
unsigned host_port(const union host_address *address);

// Whether both are the same IPv4 or IPv6 address, ports aside.
bool host_same(const union host_address *a, const union host_address *b);

// Whether ADDRESS is 0.0.0.0 or ::.
bool host_is_wildcard(const union host_address *address);

// Makes ADDRESS the one that connecting to it reaches, in place: plain where it is IPv4-mapped,
// this host's loopback address where it is a wildcard.
void host_make_concrete(union host_address *address);

#endif
