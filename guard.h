// SPDX-License-Identifier: ISC
//
// guard: keeps xinetd from throwing away what is queued on a datagram socket. When its server has
// ended, it reads all that is there, up to an empty datagram: so one of ours, the mark, is to be
// the first that it finds.
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>

#include "host.h"

struct guard {
    union host_address own; // where the mark comes from
    union host_address to;
    int fd;
};

enum guard_state {
    GUARD_FIRST,  // the mark is the first of the queue
    GUARD_BEHIND, // it comes after something else
    GUARD_NONE,   // there is none: the socket cannot write to itself
};

// Sets GUARD up for the UDP socket FD, which is bound to LOCAL.
void guard_init(struct guard *guard, int fd, const union host_address *local);

// Puts the mark at the end of the queue.
enum guard_state guard_place(const struct guard *guard);

// Whether an empty datagram from CLIENT is the mark. A zeroed GUARD has none.
bool guard_is_mark(const struct guard *guard, const union host_address *client);

#endif
