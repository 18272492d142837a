// SPDX-License-Identifier: ISC
//
// udp: a bound datagram socket in, a session for each client out, all in one process and loop.
// Knows nothing of access rules, targets and the log but what its caller does about them.
//
// A session is a client's address and port, and on a wildcard listener the address of this host
// that it writes to. It has a socket of its own to the target, and ends when nothing has moved for
// a time, when the target refuses or ends it, or when there must be room for another: the one that
// has been idle for longest goes then, but one whose target is not reached yet before those that
// were used within ten seconds. What a socket cannot take at once is lost, as on a network;
// only what goes to a stream is held, and what comes before the target is reached, within limits.
//
// The sockets of a client whose target is gone would come and go with each of its datagrams: after
// the second time in a row it rests for a second, and what it sends is lost.
#ifndef UDP_H
#define UDP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "dial.h"
#include "host.h"

enum udp_event {
    UDP_OPENED,
    UDP_TARGET_ENDED, // or refused it, or udp() was to stop
    UDP_CLIENT_ENDED, // it was idle, or had to make room
};

struct udp_bytes {
    uint64_t from_client, to_client;
};

struct udp_request {
    unsigned max;        // sessions at once
    unsigned per_source; // of one address; 0: no limit
    long timeout_ms;     // of a session in which nothing moves; how long a refusal is remembered
    long linger_ms;      // the end after so long without a session or a refusal
    long dial_ms;        // that a client may wait for its turn to be dialled for, and then for the
                         // dial; 0: as timeout_ms, and as long as it takes
    bool stream;         // dial() gives stream sockets
    bool dial_waits;     // dial() may take its time, and is called in threads
    bool keep_queue;     // whoever started us empties the socket at our end, as xinetd does
    // These end it by MASK, in which a wait lets them in, and *STOP.
    const sigset_t *mask;
    const volatile sig_atomic_t *stop;
    void *context;
    // Whether CLIENT may have a session; tells of a refusal where TELL. Asked again after a second.
    bool (*may_enter)(void *context, const union host_address *client, bool tell);
    // As dial(); must not change anything that others use.
    int (*dial)(void *context, struct dial_failure *failure);
    void (*note)(void *context, const union host_address *client, enum udp_event event,
                 const struct udp_bytes *bytes);
    // dial() failed; REASON is told a second's first failure only, and NULL else.
    void (*note_failure)(void *context, const union host_address *client, enum dial_step step,
                         const char *reason);
    void (*tell)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};

// Serves what comes to the bound datagram socket on descriptor 0, whose address is LOCAL, until
// there has been nobody for linger_ms, or *STOP. What is queued on the socket then is left for the
// next who reads it. SIGPIPE must be ignored. Returns 0, or -1 with errno where the socket cannot
// be read from, or there is no memory.
int udp(const struct udp_request *request, const union host_address *local);

#endif
