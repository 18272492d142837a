// SPDX-License-Identifier: ISC
#include "opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RECHECK_MS 1000  // so long a client that was refused is so again without a look
#define BUSY_MS    10000 // so long after it was used an open session is not idle

void opening_fail(struct udp *udp, uint32_t number, enum dial_step step, const char *reason)
{
    flow_note_failure(udp, number, step, reason);
    flow_rest(udp, number, FLOW_REST_AFTER);
}

static void evict(struct udp *udp, uint32_t number)
{
    switch (flow_list(udp, number)) {
    case FLOW_OPEN:
        if (udp->flows[number].count > 0)
            flow_pass_on(udp, number);
        if (flow_list(udp, number) == FLOW_OPEN)
            flow_close(udp, number, UDP_CLIENT_ENDED);
        break;
    case FLOW_DIALLING:
    case FLOW_QUEUED:
        // Else it would be back with its next datagram, in place of another, with a line for each.
        opening_fail(udp, number, DIAL_CONNECT, NULL);
        return;
    default:
        break;
    }
    flow_forget(udp, number);
}

static int64_t used_ms(const struct udp *udp, uint32_t number)
{
    return number == SESSIONS_NONE ? INT64_MAX : udp->sessions.entries[number].used_ms;
}

// The session that is to go first: the one that has been idle for longest. One that waits for the
// target goes before one that is open and was used a moment ago, or clients that cannot be served
// would push out all that are.
static uint32_t find_oldest(const struct udp *udp)
{
    uint32_t open = sessions_oldest(&udp->sessions, FLOW_OPEN);
    uint32_t queued = sessions_oldest(&udp->sessions, FLOW_QUEUED);
    uint32_t waiting = sessions_oldest(&udp->sessions, FLOW_DIALLING);
    int64_t open_ms = used_ms(udp, open);

    if (used_ms(udp, queued) < used_ms(udp, waiting))
        waiting = queued;
    if (waiting == SESSIONS_NONE)
        return open;
    return open_ms < used_ms(udp, waiting) && udp->now - open_ms >= BUSY_MS ? open : waiting;
}

// Ends that session. Returns whether there was one.
static bool evict_oldest(struct udp *udp)
{
    uint32_t oldest = find_oldest(udp);

    if (oldest != SESSIONS_NONE)
        evict(udp, oldest);
    return oldest != SESSIONS_NONE;
}

static void make_room(struct udp *udp, uint32_t number)
{
    uint32_t oldest;

    while (udp->request->per_source > 0 &&
           sessions_of_source(&udp->sessions, flow_key(udp, number), FLOW_SESSIONS, &oldest) >=
               udp->request->per_source)
        evict(udp, oldest);
    while (flow_count(udp) >= udp->request->max && evict_oldest(udp))
        ;
}

// Whether the client of the session's first datagram may have one.
static bool admit(struct udp *udp, uint32_t number)
{
    struct sessions_key key = {.client_scope = flow_key(udp, number)->client_scope};
    union host_address client;
    uint32_t known;

    datagrams_client(flow_key(udp, number), &client);
    memcpy(key.client, flow_key(udp, number)->client, sizeof key.client);
    key.family = flow_key(udp, number)->family;
    known = sessions_find(&udp->refused, &key);
    if (known != SESSIONS_NONE && udp->now - udp->checked_ms[known] < RECHECK_MS)
        return false;
    if (udp->request->may_enter(udp->request->context, &client,
                                known == SESSIONS_NONE && udp->refused.length[0] < FLOW_REFUSED)) {
        if (known != SESSIONS_NONE)
            sessions_remove(&udp->refused, known);
        return true;
    }
    if (known == SESSIONS_NONE)
        known = sessions_add(&udp->refused, &key, 0, udp->now);
    if (known != SESSIONS_NONE)
        udp->checked_ms[known] = udp->now;
    else if (!udp->told_full)
        udp->request->tell("clients of %d addresses are refused: more are not logged",
                           FLOW_REFUSED);
    udp->told_full |= known == SESSIONS_NONE;
    return false;
}

static bool is_scarce(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

// The descriptor that a session uses in place of FD, which is closed: not one of those that are
// kept for the process. Returns -1 where no other session can give up its own.
static int settle(struct udp *udp, struct flow *flow, int fd)
{
    uint32_t oldest = sessions_oldest(&udp->sessions, FLOW_OPEN);
    int lower;

    if ((uint32_t)fd < udp->fd_limit)
        return fd;
    lower = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if ((uint32_t)lower >= udp->fd_limit && !flow->retried && oldest != SESSIONS_NONE) {
        if (lower >= 0)
            close(lower);
        flow->retried = true;
        evict(udp, oldest);
        lower = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    close(fd);
    if ((uint32_t)lower < udp->fd_limit)
        return lower;
    if (lower >= 0)
        close(lower);
    errno = EMFILE;
    return -1;
}

// Makes FD, connected to the target, the session's. Returns 0, or -1 with errno; FD is closed then.
static int begin(struct udp *udp, uint32_t number, int fd)
{
    struct flow *flow = &udp->flows[number];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = flow_tag(udp, number)};
    struct udp_bytes bytes = flow->bytes;
    int error;

    fd = settle(udp, flow, fd);
    if (fd < 0)
        return -1;
    if (epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        error = errno == ENOSPC ? ENOMEM : errno;
        close(fd);
        errno = error;
        return -1;
    }
    flow->fd = fd;
    flow->wants_out = false;
    sessions_move(&udp->sessions, number, FLOW_OPEN, udp->now);
    flow->bytes = (struct udp_bytes){.from_client = flow->first_bytes};
    flow_note(udp, number, UDP_OPENED);
    flow->bytes = bytes;
    return 0;
}

// What kept a session that has a socket from being served; errno stays.
static void explain(struct dial_failure *failure)
{
    int error = errno;

    failure->step = DIAL_SOCKET;
    snprintf(failure->reason, sizeof failure->reason, "unable to serve one more client: %s",
             strerror(error));
    errno = error;
}

// Gives those that wait for it to a thread, as many as may be.
static void start_dials(struct udp *udp)
{
    uint32_t number;

    while (udp->dialler.running < udp->dialler.most &&
           (number = sessions_oldest(&udp->sessions, FLOW_QUEUED)) != SESSIONS_NONE) {
        struct dialler_ticket ticket = {number, udp->flows[number].generation};
        int error = dialler_start(&udp->dialler, ticket);

        if (error && udp->dialler.running > 0)
            break; // when one of those has ended
        if (error)
            opening_fail(udp, number, DIAL_SOCKET, strerror(error));
        else
            sessions_move(&udp->sessions, number, FLOW_DIALLING, udp->now);
    }
}

// Dials at once. Returns whether the session is open.
static bool dial_now(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];
    struct dial_failure failure;

    for (;;) {
        int fd = udp->request->dial(udp->request->context, &failure);

        if (fd >= 0 && begin(udp, number, fd) == 0)
            return true;
        if (fd >= 0)
            explain(&failure);
        if (flow->retried || !is_scarce(errno) || !evict_oldest(udp))
            break;
        flow->retried = true;
    }
    opening_fail(udp, number, failure.step, failure.reason);
    return false;
}

// Whether the client is the listener: its answers would come back as its datagrams, for ever. A
// sender can say that it is.
static bool is_listener(const struct udp *udp, uint32_t number)
{
    const union host_address *own = &udp->guard.own;
    union host_address client;

    datagrams_client(flow_key(udp, number), &client);
    host_unmap(&client);
    if (host_port(&client) != host_port(own))
        return false;
    return host_same(&client, own) || (udp->datagrams.wildcard && dial_is_local(&client));
}

// Opens a session for a client that has none. Returns whether there is one then, or will be.
static bool open_session(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    if (flow->refusals >= FLOW_REST_AFTER && udp->now - flow->refused_ms < FLOW_REST_MS)
        return false;
    if (is_listener(udp, number) || !admit(udp, number)) {
        flow_forget(udp, number);
        return false;
    }
    make_room(udp, number);
    flow->bytes = (struct udp_bytes){0, 0};
    flow->first_bytes = datagrams_size(&udp->datagrams, flow->first);
    flow->retried = false;
    if (!udp->request->dial_waits)
        return dial_now(udp, number);
    sessions_move(&udp->sessions, number, FLOW_QUEUED, udp->now);
    flow_hold(udp, flow);
    start_dials(udp);
    return flow_list(udp, number) != FLOW_RESTS;
}

void opening_deliver(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    while (flow->count > 0) {
        switch (flow_list(udp, number)) {
        case FLOW_OPEN:
            flow_pass_on(udp, number);
            break;
        case FLOW_QUEUED:
        case FLOW_DIALLING:
            flow_hold(udp, flow);
            break;
        default:
            if (!open_session(udp, number))
                flow->count = 0;
        }
    }
}

static void take_answer(struct udp *udp, struct dialler_answer *answer)
{
    uint32_t number = answer->ticket.number;
    struct flow *flow = &udp->flows[number];

    if (flow->generation != answer->ticket.generation || flow_list(udp, number) != FLOW_DIALLING) {
        if (answer->fd >= 0)
            close(answer->fd);
        return;
    }
    if (answer->fd >= 0 && begin(udp, number, answer->fd) == 0) {
        flow_send_held(udp, number);
        return;
    }
    if (answer->fd >= 0) {
        answer->error = errno;
        explain(&answer->failure);
    }
    if (is_scarce(answer->error) && !flow->retried && udp->sessions.length[FLOW_OPEN] > 0) {
        evict(udp, sessions_oldest(&udp->sessions, FLOW_OPEN));
        flow->retried = true;
        sessions_move(&udp->sessions, number, FLOW_QUEUED, udp->now);
    } else {
        opening_fail(udp, number, answer->failure.step, answer->failure.reason);
    }
}

void opening_take_answers(struct udp *udp)
{
    struct dialler_answer answer;

    while (dialler_take(&udp->dialler, &answer))
        take_answer(udp, &answer);
    start_dials(udp);
}
