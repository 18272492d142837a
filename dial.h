// SPDX-License-Identifier: ISC
//
// dial: a host and a port in, a connected socket out, by a deadline.
#ifndef DIAL_H
#define DIAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "host.h"

// The longest reason of a failure, its NUL included.
#define DIAL_REASON_MAX 256

struct dial_request {
    const char *host; // any kind but HOST_BAD; names are looked up now
    unsigned port;    // host byte order; ignored for HOST_UNIX
    bool datagram;    // UDP in place of TCP; not for HOST_UNIX. Only looking up can take time then,
                      // and that somebody is there is not known before a datagram has been answered
    bool in_thread;  // the caller is a thread that may stay as long as the resolver takes: no other
                     // looks names up, and the deadline does not end that
    const char *src; // the local address to connect from, or a name of it; NULL: the kernel's
                     // choice. Target addresses of another family are passed over
    long timeout_ms; // for the look-up and all addresses together; 0: as long as the kernel tries
    // Where the client came in, if by the protocol of the target: a target that is this very
    // listener is refused with ELOOP. The listener may serve every IPv4, or every IPv6, address of
    // this host, or both. All zeros: nothing is refused so.
    union host_address listener;
    bool serves_all_ipv4, serves_all_ipv6;
    // Signals are let in while dial() waits, by this mask; it gives up when *STOP becomes true.
    const sigset_t *mask;
    const volatile sig_atomic_t *stop;
};

enum dial_step { DIAL_LOOKUP, DIAL_SOCKET, DIAL_BIND, DIAL_CONNECT };

struct dial_failure {
    enum dial_step step; // where the last address that was tried failed
    // A thread that looks a name up was given up on, and may go on in this process for a while.
    bool left_thread;
    char reason[DIAL_REASON_MAX];
};

// Tries every address of the target in the resolver's order, each with its share of the time that
// is left, so that a silent one leaves time for the next. SIGPIPE must be ignored. Returns a
// connected socket, non-blocking and close-on-exec, or -1 with FAILURE set and errno: that of
// socket(2), bind(2) or connect(2), ENOENT for a name not found, ETIMEDOUT, ELOOP, EINTR.
int dial(const struct dial_request *request, struct dial_failure *failure);

// Whether connecting to TARGET, IPv4 or IPv6, ends at this host.
bool dial_is_local(const union host_address *target);

// Looks NAME up as dial() does, for at most TIMEOUT_MS, 0 being for ever. Writes the addresses as
// text with blanks between them and returns 0, or why not and returns -1.
int dial_resolve(const char *name, long timeout_ms, char *text, size_t size);

#endif
