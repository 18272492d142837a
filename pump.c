// SPDX-License-Identifier: ISC
#include "pump.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"

// What is owed to a side whose opposite is dead: given up after so long without progress.
#define DRAIN_MS 10000

// ppoll(2) lets no signal in while something is ready, which with bulk data may be always: so
// often, in rounds, they are let in on purpose.
#define SIGNAL_ROUNDS 64

struct side {
    int fd;
    bool dead; // reset or broken: nothing can be delivered to it any more
    bool hung; // poll(2) will report POLLHUP for ever: not to be asked unless something is wanted
};

// One direction. `end` never goes back before everything up to it has been sent.
struct flow {
    struct side *from, *to;
    size_t start, end;
    size_t used;   // of the buffer, ever
    bool ended;    // end of file or an error at `from`: nothing more will be read
    bool finished; // and delivered, or given up
    uint64_t received, delivered;
    unsigned char *buffer;
};

struct pump {
    struct side client, target;
    struct flow up, down;     // client to target, target to client
    const struct side *first; // the side that ended first, or NULL
    int64_t moved_ms;         // when bytes last moved
    unsigned rounds;
};

static int64_t now_ms(void)
{
    return clock_ms();
}

static bool has_pending(const struct flow *flow)
{
    return flow->start < flow->end;
}

static bool wants_input(const struct flow *flow)
{
    return !flow->ended && flow->end < PUMP_BUFFER_BYTES;
}

static void note_end(struct pump *pump, const struct side *side)
{
    if (!pump->first)
        pump->first = side;
}

// A unix socket may be closed for reading alone, and its owner still write.
static bool is_unix(const struct side *side)
{
    int domain = 0;
    socklen_t size = sizeof domain;

    return getsockopt(side->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static void end_flow(struct pump *pump, struct flow *flow)
{
    note_end(pump, flow->to);
    flow->start = flow->end = 0;
    flow->ended = flow->finished = true;
}

// Nothing reaches SIDE any more; what comes from it is still read to its end.
static void give_up(struct pump *pump, struct side *side)
{
    side->dead = true;
    end_flow(pump, side == &pump->target ? &pump->up : &pump->down);
}

static void fill(struct pump *pump, struct flow *flow)
{
    ssize_t got =
        recv(flow->from->fd, flow->buffer + flow->end, PUMP_BUFFER_BYTES - flow->end, MSG_DONTWAIT);

    if (got > 0) {
        flow->end += (size_t)got;
        if (flow->used < flow->end)
            flow->used = flow->end;
        flow->received += (size_t)got;
        return;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    flow->ended = true;
    note_end(pump, flow->from);
    // ECONNRESET, or ETIMEDOUT and its like from keepalive probes: no clean end.
    if (got < 0)
        give_up(pump, flow->from);
}

static void drain(struct pump *pump, struct flow *flow)
{
    while (has_pending(flow)) {
        ssize_t sent = send(flow->to->fd, flow->buffer + flow->start, flow->end - flow->start,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno == EPIPE && is_unix(flow->to))
                end_flow(pump, flow);
            // EPIPE and ECONNRESET: the receiver is gone, whatever it still sent is to be read.
            else if (errno != EAGAIN)
                give_up(pump, flow->to);
            return;
        }
        flow->start += (size_t)sent;
        flow->delivered += (size_t)sent;
        pump->moved_ms = now_ms();
    }
    flow->start = flow->end = 0;
}

static void finish(struct pump *pump, struct flow *flow)
{
    if (flow->finished || !flow->ended || has_pending(flow))
        return;
    flow->finished = true;
    // A dead source did not end its stream: its receiver is reset instead, at the very end.
    if (!flow->from->dead && shutdown(flow->to->fd, SHUT_WR) < 0)
        give_up(pump, flow->to); // ENOTCONN: it has been reset meanwhile
}

static void move(struct pump *pump, struct flow *flow, bool readable)
{
    if (readable && wants_input(flow)) {
        fill(pump, flow);
        if (has_pending(flow))
            pump->moved_ms = now_ms();
    }
    drain(pump, flow);
    finish(pump, flow);
}

static struct pollfd entry_for(const struct side *side, const struct flow *from,
                               const struct flow *to)
{
    struct pollfd entry = {.fd = side->fd};

    if (wants_input(from))
        entry.events |= POLLIN;
    if (has_pending(to))
        entry.events |= POLLOUT;
    // Without events poll(2) still reports a reset: that matters while the other side stalls.
    if (side->hung && entry.events == 0)
        entry.fd = -1;
    return entry;
}

static void note_events(struct pump *pump, struct side *side, short events)
{
    socklen_t size = sizeof(int);
    int error = 0;

    if (events & POLLHUP)
        side->hung = true;
    // Asking clears the error, so that POLLERR does not come again at once.
    if (events & POLLERR && getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error)
        give_up(pump, side);
}

// How long to wait, in milliseconds; -1: for ever.
static int64_t patience(const struct pump *pump, long idle_ms)
{
    int64_t left = -1;

    if (idle_ms)
        left = pump->moved_ms + idle_ms - now_ms();
    if ((pump->client.dead || pump->target.dead) && (!idle_ms || left > DRAIN_MS))
        left = DRAIN_MS;
    return idle_ms && left < 0 ? 0 : left;
}

// Waits, then moves what can be moved. Returns false when time is up or *STOP is set.
static bool step(struct pump *pump, const struct pump_request *request)
{
    struct pollfd entries[2] = {
        entry_for(&pump->client, &pump->up, &pump->down),
        entry_for(&pump->target, &pump->down, &pump->up),
    };
    int64_t wait_ms = patience(pump, request->idle_ms);
    struct timespec time = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    int ready;

    if (++pump->rounds % SIGNAL_ROUNDS == 0)
        ppoll(NULL, 0, &(struct timespec){0}, request->mask);
    ready = *request->stop ? 0 : ppoll(entries, 2, wait_ms < 0 ? NULL : &time, request->mask);
    if (*request->stop || ready == 0)
        return false;
    if (ready < 0)
        return errno == EINTR;
    note_events(pump, &pump->client, entries[0].revents);
    note_events(pump, &pump->target, entries[1].revents);
    move(pump, &pump->up, entries[0].revents & (POLLIN | POLLHUP | POLLERR));
    move(pump, &pump->down, entries[1].revents & (POLLIN | POLLHUP | POLLERR));
    return true;
}

// Makes the close of SIDE a reset, tcp(7) and socket(7). A unix socket has none; its close is
// enough.
static void cut(const struct side *side)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static bool is_broken(const struct side *side)
{
    int error = 0;
    socklen_t size = sizeof error;

    return getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

// Waits until the kernel has sent what SIDE is owed, which a reset would overtake.
static void flush(const struct side *side, const struct pump_request *request)
{
    int unsent = 0, before = 0;
    int64_t deadline = now_ms() + DRAIN_MS;
    struct timespec nap = {.tv_nsec = 1000000};

    while (!*request->stop && !is_broken(side) && ioctl(side->fd, TIOCOUTQ, &unsent) == 0 &&
           unsent > 0) {
        if (unsent != before)
            deadline = now_ms() + DRAIN_MS;
        if (now_ms() >= deadline)
            break;
        before = unsent;
        ppoll(NULL, 0, &nap, request->mask);
        if (nap.tv_nsec < 50000000)
            nap.tv_nsec *= 2;
    }
}

// Passes on that one side did not end well: FLOW's receiver is reset where its sender was, and
// where not all that was read has reached it, so that a stream cut short is not taken for a whole
// one.
static void finish_badly(const struct flow *flow, const struct pump_request *request, bool in_time)
{
    if (flow->to->dead || !(flow->from->dead || has_pending(flow)))
        return;
    // Where time was up it has been waited for already.
    if (in_time)
        flush(flow->to, request);
    cut(flow->to);
}

static enum pump_end reason(const struct pump *pump, const struct pump_request *request,
                            bool completed)
{
    if (*request->stop)
        return PUMP_STOPPED;
    if (!completed && !pump->first)
        return PUMP_IDLE;
    return pump->first == &pump->target ? PUMP_TARGET_FIRST : PUMP_CLIENT_FIRST;
}

void pump(const struct pump_request *request, struct pump_result *result)
{
    struct pump state = {
        .client.fd = request->client,
        .target.fd = request->target,
        .up = {.from = &state.client, .to = &state.target, .buffer = request->buffers->up},
        .down = {.from = &state.target, .to = &state.client, .buffer = request->buffers->down},
        .moved_ms = now_ms(),
    };
    bool going = true;

    while (going && !(state.up.finished && state.down.finished))
        going = step(&state, request);
    finish_badly(&state.up, request, going);
    finish_badly(&state.down, request, going);
    result->from_client = state.up.received;
    result->to_client = state.down.delivered;
    result->end = reason(&state, request, going);
    // The process may serve another client.
    explicit_bzero(state.up.buffer, state.up.used);
    explicit_bzero(state.down.buffer, state.down.used);
}
