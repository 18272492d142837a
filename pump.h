// SPDX-License-Identifier: ISC
//
// pump: two connected stream sockets, bytes both ways until both directions are done.
//
// An end of file on one side becomes shutdown(SHUT_WR) on the other once everything before it has
// been delivered, and the other direction goes on. A side that is reset, or cannot be written to
// any more, makes the other one end with a reset as well, after what it was owed; so does an end by
// time or *STOP while something is still owed. What one side does not take is not read from the
// other: memory stays bounded. No byte of it is left in memory at the end.
//
// Bulk data go through a pipe, splice(2), one for each direction that has them, where the kernel
// gives one that is large enough. After a second without, the pipe is closed and its memory is the
// kernel's again.
#ifndef PUMP_H
#define PUMP_H

#include <signal.h>
#include <stdint.h>

#define PUMP_BUFFER_BYTES 131072
#define PUMP_PAGE_BYTES   4096

// What has been read and not yet written, but for the first KiB each way, which lies on the stack:
// there it takes part of pages that are in use. All of it would cost memory at once, since a large
// frame is touched page by page; elsewhere only what has been used does. Whole pages are given back
// to the kernel, so it must be private and of no file.
struct pump_buffers {
    _Alignas(PUMP_PAGE_BYTES) unsigned char up[PUMP_BUFFER_BYTES];
    _Alignas(PUMP_PAGE_BYTES) unsigned char down[PUMP_BUFFER_BYTES];
};

struct pump_request {
    int client, target;
    struct pump_buffers *buffers; // whatever is in them; what was used is zero at the end
    long idle_ms;                 // end when no byte has moved for so long; 0: never
    // Signals are let in while nothing can be moved, by this mask; *STOP ends the work.
    const sigset_t *mask;
    const volatile sig_atomic_t *stop;
};

enum pump_end {
    PUMP_CLIENT_FIRST, // the client was the first to end its direction, or was reset
    PUMP_TARGET_FIRST,
    PUMP_IDLE,
    PUMP_STOPPED,
};

struct pump_result {
    uint64_t from_client; // bytes read from the client
    uint64_t to_client;   // bytes written to the client
    enum pump_end end;
};

// Returns when both directions are done, or time or *STOP ended them. The sockets stay open, and
// may be O_NONBLOCK or not, which they are as before at the end, but not in between; a side that is
// to see a reset gets it when the caller closes the last descriptor of its socket. SIGPIPE has to
// be ignored.
void pump(const struct pump_request *request, struct pump_result *result);

#endif
