// SPDX-License-Identifier: ISC
#include "flow.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SAY_MS       1000 // failures are told no more often
#define SHARE        32   // datagrams of one target in a round
#define LAST_ANSWERS 256  // of a target that is gone by now

void flow_note(struct udp *udp, uint32_t number, enum udp_event event)
{
    union host_address client;

    datagrams_client(flow_key(udp, number), &client);
    udp->request->note(udp->request->context, &client, event, &udp->flows[number].bytes);
}

void flow_note_failure(struct udp *udp, uint32_t number, enum dial_step step, const char *reason)
{
    union host_address client;

    if (reason && udp->told && udp->now - udp->told_ms < SAY_MS)
        reason = NULL;
    if (reason) {
        udp->told = true;
        udp->told_ms = udp->now;
    }
    datagrams_client(flow_key(udp, number), &client);
    udp->request->note_failure(udp->request->context, &client, step, reason);
}

void flow_send_answers(struct udp *udp)
{
    struct datagrams *datagrams = &udp->datagrams;
    unsigned count = datagrams_send(datagrams);

    for (unsigned i = 0; i < count; i++)
        if (datagrams->sent[i])
            udp->flows[datagrams->owners[i]].bytes.to_client += datagrams->out.pieces[i].iov_len;
}

void flow_forget(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    stock_clear(&udp->stock, &flow->held);
    flow->generation++;
    flow->refusals = 0;
    flow->count = 0;
    sessions_remove(&udp->sessions, number);
}

void flow_rest(struct udp *udp, uint32_t number, unsigned refusals)
{
    struct flow *flow = &udp->flows[number];

    stock_clear(&udp->stock, &flow->held);
    flow->generation++;
    flow->refusals = refusals;
    flow->refused_ms = udp->now;
    sessions_move(&udp->sessions, number, FLOW_RESTS, udp->now);
}

// So that the end of a stream that lacks something does not look like its end.
static void end_with_reset(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
}

void flow_close(struct udp *udp, uint32_t number, enum udp_event event)
{
    struct flow *flow = &udp->flows[number];

    // They are part of what is logged.
    flow_send_answers(udp);
    if (udp->request->stream && flow->held.count > 0)
        end_with_reset(flow->fd);
    close(flow->fd);
    flow_note(udp, number, event);
}

// One batch of what the target has sent. Returns as recvmmsg(2).
static int take_answers(struct udp *udp, uint32_t number)
{
    int got;

    if (datagrams_room(&udp->datagrams) < SHARE)
        flow_send_answers(udp);
    got = datagrams_fetch(&udp->datagrams, udp->flows[number].fd, udp->request->stream, SHARE);
    if (got <= 0)
        return got;
    datagrams_address(&udp->datagrams, (unsigned)got, flow_key(udp, number), number);
    // Whoever gets an answer is served: what was refused before is of no account.
    udp->flows[number].refusals = 0;
    sessions_move(&udp->sessions, number, FLOW_OPEN, udp->now);
    return got;
}

// That it is gone is told of before the answers that came earlier, which are still there.
static void take_last_answers(struct udp *udp, uint32_t number)
{
    int left = LAST_ANSWERS, got;

    while (left > 0 && (got = take_answers(udp, number)) > 0)
        left -= got;
}

static void end_refused(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    take_last_answers(udp, number);
    flow_close(udp, number, UDP_TARGET_ENDED);
    if (flow->refusals > 0 && udp->now - flow->refused_ms >= FLOW_REST_MS)
        flow->refusals = 0;
    flow_rest(udp, number, flow->refusals + 1);
}

// Whether an error of a target's socket concerns but one datagram, or none.
static bool is_passing(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case EMSGSIZE:
    case ENOBUFS:
    case ENOMEM:
    case EPERM:
        return true;
    default:
        return false;
    }
}

// Takes the next datagram of the batch off the session's.
static unsigned take_next(struct udp *udp, struct flow *flow)
{
    unsigned i = flow->first;

    flow->first = udp->next[i];
    flow->count--;
    return i;
}

// Sends the session's datagrams of the batch. Returns whether the target is still there; those that
// it has not been sent are still the session's.
static bool send_batch(struct udp *udp, struct flow *flow)
{
    unsigned count = flow->count, at = 0, i = flow->first;
    bool retried = false;

    for (unsigned n = 0; n < count; n++, i = udp->next[i]) {
        udp->pieces[n].iov_base = udp->datagrams.in.data[i];
        udp->pieces[n].iov_len = datagrams_size(&udp->datagrams, i);
    }
    while (at < count) {
        int sent = count - at == 1
                       ? (int)send(flow->fd, udp->pieces[at].iov_base, udp->pieces[at].iov_len,
                                   MSG_DONTWAIT | MSG_NOSIGNAL)
                       : burst_send(&udp->datagrams.burst, flow->fd, &udp->headers[at], count - at);

        if (sent >= 0 && count - at == 1)
            sent = 1;
        if (sent < 0 && !is_passing(errno))
            return false;
        // What an earlier datagram was too large for is told of now.
        if (sent < 0 && errno == EMSGSIZE && !retried) {
            retried = true;
            continue;
        }
        for (int n = sent > 0 ? sent : 1; n > 0; n--, at++) {
            flow->bytes.from_client += udp->pieces[at].iov_len;
            take_next(udp, flow);
        }
    }
    return true;
}

static void want_out(struct udp *udp, uint32_t number, bool on)
{
    struct flow *flow = &udp->flows[number];
    struct epoll_event event = {.events = EPOLLIN | (on ? EPOLLOUT : 0),
                                .data.u64 = flow_tag(udp, number)};

    if (flow->wants_out != on && epoll_ctl(udp->epoll, EPOLL_CTL_MOD, flow->fd, &event) == 0)
        flow->wants_out = on;
}

// Sends what is held. Returns whether the target is still there.
static bool send_held(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    while (flow->held.count > 0) {
        size_t size;
        const unsigned char *data = stock_first(&udp->stock, &flow->held, &size);
        ssize_t sent = send(flow->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && !is_passing(errno))
            return false;
        if (udp->request->stream) {
            if (sent < 0)
                break;
            stock_take(&udp->stock, &flow->held, (size_t)sent);
            sessions_move(&udp->sessions, number, FLOW_OPEN, udp->now);
        } else {
            stock_take(&udp->stock, &flow->held, size);
        }
    }
    if (udp->request->stream)
        want_out(udp, number, flow->held.count > 0);
    return true;
}

void flow_send_held(struct udp *udp, uint32_t number)
{
    if (!send_held(udp, number))
        end_refused(udp, number);
}

void flow_hold(struct udp *udp, struct flow *flow)
{
    while (flow->count > 0) {
        unsigned i = take_next(udp, flow);
        size_t size = datagrams_size(&udp->datagrams, i);

        if (udp->request->stream && size == 0)
            continue;
        if (stock_put(&udp->stock, &flow->held, datagrams_data(&udp->datagrams, i), size))
            flow->bytes.from_client += size;
    }
}

// The same for a stream.
static bool write_batch(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    while (flow->count > 0 && flow->held.count == 0) {
        const unsigned char *data = datagrams_data(&udp->datagrams, flow->first);
        size_t size = datagrams_size(&udp->datagrams, flow->first);
        ssize_t sent = 0;

        if (size > 0)
            sent = send(flow->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && !is_passing(errno))
            return false;
        flow->bytes.from_client += size;
        take_next(udp, flow);
        if (sent < 0)
            sent = 0;
        if ((size_t)sent < size &&
            !stock_put(&udp->stock, &flow->held, data + sent, size - (size_t)sent)) {
            end_with_reset(flow->fd); // a stream with a gap is no stream
            return false;
        }
    }
    if (flow->count > 0)
        flow_hold(udp, flow);
    if (flow->held.count > 0)
        want_out(udp, number, true);
    return true;
}

void flow_pass_on(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    sessions_move(&udp->sessions, number, FLOW_OPEN, udp->now);
    if (!(udp->request->stream ? write_batch(udp, number) : send_batch(udp, flow)))
        end_refused(udp, number);
}

static void read_target(struct udp *udp, uint32_t number)
{
    int got = take_answers(udp, number);

    if (got < 0 && !is_passing(errno)) {
        end_refused(udp, number);
    } else if (got == 0 && udp->request->stream) {
        flow_close(udp, number, UDP_TARGET_ENDED);
        flow_forget(udp, number);
    }
}

void flow_serve(struct udp *udp, uint64_t tag, uint32_t events)
{
    uint32_t number = (uint32_t)tag;

    // It may have ended, and its number be another's, since the kernel said so.
    if (udp->flows[number].generation != tag >> 32 || flow_list(udp, number) != FLOW_OPEN)
        return;
    if (events & EPOLLOUT && !send_held(udp, number))
        end_refused(udp, number);
    else if (events & ~(uint32_t)EPOLLOUT)
        read_target(udp, number);
}
