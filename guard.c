// SPDX-License-Identifier: ISC
#include "guard.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

// For the mark to arrive: in most cases it has when sendto(2) returns.
#define ARRIVAL_MS 50

#define WILDCARD_MARK 0x7ffffffe // 127.255.255.254

static socklen_t size_of(const union host_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->in6 : sizeof address->in;
}

void guard_init(struct guard *guard, int fd, const union host_address *local)
{
    guard->own = *local;
    guard->fd = fd;
    host_make_concrete(&guard->own);
    guard->to = guard->own;
    // Another rule may listen on 127.0.0.1, and would get it.
    if (local->any.sa_family == AF_INET && host_is_wildcard(local))
        guard->to.in.sin_addr.s_addr = htonl(WILDCARD_MARK);
}

bool guard_is_mark(const struct guard *guard, const union host_address *client)
{
    union host_address plain = *client;

    host_unmap(&plain);
    return guard->own.any.sa_family == plain.any.sa_family && host_same(&guard->own, &plain) &&
           host_port(&guard->own) == host_port(&plain);
}

enum guard_state guard_place(const struct guard *guard)
{
    struct pollfd entry = {.fd = guard->fd, .events = POLLIN};
    union host_address from = guard->own;
    socklen_t size = sizeof from;
    char byte;

    if (sendto(guard->fd, "", 0, MSG_DONTWAIT, &guard->to.any, size_of(&guard->to)) < 0 ||
        poll(&entry, 1, ARRIVAL_MS) != 1)
        return GUARD_NONE;
    if (recvfrom(guard->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, &from.any, &size) != 0 ||
        !guard_is_mark(guard, &from))
        return GUARD_BEHIND;
    return GUARD_FIRST;
}
