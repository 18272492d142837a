// SPDX-License-Identifier: ISC
//
// flow: what udp() has in memory, and the life of a session from its socket on: datagrams both ways
// until it ends, one way or another. What opens one is opening's.
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "datagrams.h"
#include "dialler.h"
#include "guard.h"
#include "sessions.h"
#include "stock.h"
#include "udp.h"

#define FLOW_REST_MS    1000 // of a client whose target is gone
#define FLOW_REST_AFTER 2    // refusals in a row
#define FLOW_REFUSED    1024 // addresses that the access rules refuse and that are remembered

// What an entry of the table is: the lists of `sessions`. All but the last are sessions. The last
// is a client that has none, but was refused by the target a moment ago, or is about to get one.
enum { FLOW_OPEN, FLOW_DIALLING, FLOW_QUEUED, FLOW_RESTS };
#define FLOW_SESSIONS FLOW_RESTS

struct flow {
    int fd;              // of FLOW_OPEN
    uint32_t generation; // tells a session from the one that had its number before
    struct udp_bytes bytes;
    uint64_t first_bytes;    // of the first datagram: what rinetd says of a session that is opened
    struct stock_queue held; // for the target
    unsigned refusals;       // in a row, the last at
    int64_t refused_ms;
    bool retried;   // dialled anew, after descriptors were scarce
    bool wants_out; // the stream has not taken all
    // Of the batch that has just been received: the first and the last, and how many.
    uint8_t first, last, count;
};

// Starts as zeros. Large, and mostly never touched.
struct udp {
    const struct udp_request *request;
    int epoll;
    uint32_t fd_limit; // descriptors of sessions are below it
    int64_t now, quiet_ms, told_ms;
    bool told, told_full;
    unsigned share; // of a batch, of one session
    bool is_full;   // the last batch was
    struct sessions sessions;
    struct flow *flows; // by the number of the entry
    struct sessions refused;
    int64_t checked_ms[FLOW_REFUSED];
    struct dialler dialler;
    struct guard guard;
    uint8_t next[DATAGRAMS_BATCH]; // of the same session, in the batch
    struct mmsghdr headers[DATAGRAMS_BATCH];
    struct iovec pieces[DATAGRAMS_BATCH];
    struct datagrams datagrams;
    struct stock stock;
};

static inline const struct sessions_key *flow_key(const struct udp *udp, uint32_t number)
{
    return &udp->sessions.entries[number].key;
}

static inline unsigned flow_list(const struct udp *udp, uint32_t number)
{
    return udp->sessions.entries[number].list;
}

static inline uint32_t flow_count(const struct udp *udp)
{
    return udp->sessions.length[FLOW_OPEN] + udp->sessions.length[FLOW_DIALLING] +
           udp->sessions.length[FLOW_QUEUED];
}

// What epoll(7) gives back for the socket of a session.
static inline uint64_t flow_tag(const struct udp *udp, uint32_t number)
{
    return (uint64_t)udp->flows[number].generation << 32 | number;
}

// Have the caller of udp() note an event, or a failure with its reason or none.
void flow_note(struct udp *udp, uint32_t number, enum udp_event event);
void flow_note_failure(struct udp *udp, uint32_t number, enum dial_step step, const char *reason);

// Sends the answers that wait, and counts them.
void flow_send_answers(struct udp *udp);

// Closes the socket of an open session, and notes EVENT. flow_forget() or flow_rest() is to follow.
void flow_close(struct udp *udp, uint32_t number, enum udp_event event);

// Gives the entry of what is no session any more back.
void flow_forget(struct udp *udp, uint32_t number);

// Keeps it for a while, with what is known of REFUSALS by its target.
void flow_rest(struct udp *udp, uint32_t number, unsigned refusals);

// Holds the session's datagrams of the batch. What there is no room for is lost.
void flow_hold(struct udp *udp, struct flow *flow);

// Passes the datagrams of the batch on to the target of an open session. Where that is gone, the
// session has ended, and those that it was not sent are still there.
void flow_pass_on(struct udp *udp, uint32_t number);

// The same with what is held.
void flow_send_held(struct udp *udp, uint32_t number);

// Serves what epoll(7) says of a session, if that is still the one of TAG.
void flow_serve(struct udp *udp, uint64_t tag, uint32_t events);

#endif
