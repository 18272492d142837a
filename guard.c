// SPDX-License-Identifier: ISC
#include "guard.h"

#include <poll.h>
#include <sys/socket.h>

// For the mark to arrive: in most cases it has when sendto(2) returns.
#define ARRIVAL_MS 50

static socklen_t size_of(const union host_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->in6 : sizeof address->in;
}

void guard_init(struct guard *guard, int fd, const union host_address *local)
{
    guard->own = *local;
    guard->fd = fd;
    host_make_concrete(&guard->own);
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

    if (sendto(guard->fd, "", 0, MSG_DONTWAIT, &guard->own.any, size_of(&guard->own)) < 0 ||
        poll(&entry, 1, ARRIVAL_MS) != 1)
        return GUARD_NONE;
    if (recvfrom(guard->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, &from.any, &size) != 0 ||
        !guard_is_mark(guard, &from))
        return GUARD_BEHIND;
    return GUARD_FIRST;
}
