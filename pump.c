// SPDX-License-Identifier: ISC
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "clock.h"
#include "pipe.h"

// What is owed to a side whose opposite is dead: given up after so long without progress.
#define DRAIN_MS 10000

// ppoll(2) lets no signal in while something is ready, which with bulk data may be always: so
// often, in rounds, they are let in on purpose.
#define SIGNAL_ROUNDS 64

// A read of so much is one of bulk data: the next goes by a pipe. Where none can be had, it is not
// tried again at every read.
#define BULK_BYTES 65536
#define NO_PIPE_MS 1000

// So much of each direction lies where memory is in use anyway; an idle connection has no more.
#define FIRST_BYTES  1024
#define BUFFER_BYTES (FIRST_BYTES + PUMP_BUFFER_BYTES)

// After so long without more than this at once, a flow gives back its pipe and memory.
#define QUIET_MS    1000
#define LIGHT_BYTES 16384

struct side {
    int fd;
    bool dead; // reset or broken: nothing can be delivered to it any more
    bool hung; // poll(2) will report POLLHUP for ever: not to be asked unless something is wanted
    bool was_blocking; // and is to be again
};

// One direction. Bytes go by the buffer, or, while they are many, by a pipe. They come into one of
// the two only while the other is empty, so none overtakes another; but what a pipe turns out to be
// unable to deliver goes from it to the buffer. `end` never goes back before everything up to it
// has been sent.
struct flow {
    struct side *from, *to;
    size_t start, end;
    size_t used;      // of the buffer, since it was last wiped
    bool ended;       // end of file or an error at `from`: nothing more will be read
    bool finished;    // and delivered, or given up
    bool bulk;        // the last read was one
    bool no_pipe;     // one of the two sockets cannot splice
    int64_t pipe_ms;  // not before that a pipe is tried again
    int64_t heavy_ms; // when more than LIGHT_BYTES last came
    uint64_t received, delivered;
    unsigned char first[FIRST_BYTES]; // of the buffer
    unsigned char *rest;
    struct pipe pipe;
};

struct pump {
    struct side client, target;
    struct flow up, down;     // client to target, target to client
    const struct side *first; // the side that ended first, or NULL
    int64_t moved_ms;         // when bytes last moved
    unsigned rounds;
};

static bool has_buffered(const struct flow *flow)
{
    return flow->start < flow->end;
}

static bool has_pending(const struct flow *flow)
{
    return has_buffered(flow) || flow->pipe.held > 0;
}

static bool wants_input(const struct flow *flow)
{
    if (flow->ended || (flow->pipe.open && has_pending(flow)))
        return false;
    return flow->end < BUFFER_BYTES;
}

// Whether there is something to give back when it is quiet.
static bool is_heavy(const struct flow *flow)
{
    return (flow->pipe.open || flow->used > LIGHT_BYTES) && !has_pending(flow);
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
    pipe_close(&flow->pipe);
    flow->start = flow->end = 0;
    flow->ended = flow->finished = true;
}

// Nothing reaches SIDE any more; what comes from it is still read to its end.
static void give_up(struct pump *pump, struct side *side)
{
    side->dead = true;
    end_flow(pump, side == &pump->target ? &pump->up : &pump->down);
}

// What else has this socket does not use it meanwhile, and finds it as it was.
static bool set_nonblocking(struct side *side)
{
    int flags = fcntl(side->fd, F_GETFL);

    if (flags < 0 || flags & O_NONBLOCK)
        return flags >= 0;
    side->was_blocking = fcntl(side->fd, F_SETFL, flags | O_NONBLOCK) == 0;
    return side->was_blocking;
}

static void restore_blocking(const struct side *side)
{
    int flags = side->was_blocking ? fcntl(side->fd, F_GETFL) : -1;

    if (flags >= 0)
        fcntl(side->fd, F_SETFL, flags & ~O_NONBLOCK);
}

// Gives bulk data a pipe where one can be had; without it they go by the buffer.
static void prepare_pipe(const struct pump *pump, struct flow *flow)
{
    if (!flow->bulk || flow->no_pipe || flow->pipe.open || has_pending(flow) ||
        pump->moved_ms < flow->pipe_ms)
        return;
    flow->bulk = false;
    // splice(2) has no flag of its own that keeps a socket from blocking.
    if (!set_nonblocking(flow->from) || !set_nonblocking(flow->to) || pipe_open(&flow->pipe) < 0)
        flow->pipe_ms = pump->moved_ms + NO_PIPE_MS;
}

static void note_use(struct flow *flow)
{
    if (flow->used < flow->end)
        flow->used = flow->end;
}

// What recv(2) and send(2) are to know of the bytes from START to END of the buffer.
struct extent {
    struct iovec parts[2];
    struct msghdr message;
};

static struct msghdr *extent_of(struct flow *flow, size_t start, size_t end, struct extent *extent)
{
    struct iovec *part = extent->parts;

    extent->message = (struct msghdr){.msg_iov = part};
    if (start < FIRST_BYTES) {
        size_t size = (end < FIRST_BYTES ? end : FIRST_BYTES) - start;

        *part++ = (struct iovec){.iov_base = flow->first + start, .iov_len = size};
        extent->message.msg_iovlen++;
        start += size;
    }
    if (start < end) {
        *part =
            (struct iovec){.iov_base = flow->rest + (start - FIRST_BYTES), .iov_len = end - start};
        extent->message.msg_iovlen++;
    }
    return &extent->message;
}

static ssize_t fill_buffer(struct flow *flow)
{
    struct extent room;
    ssize_t got =
        recvmsg(flow->from->fd, extent_of(flow, flow->end, BUFFER_BYTES, &room), MSG_DONTWAIT);

    flow->bulk = got >= BULK_BYTES;
    if (got > 0)
        flow->end += (size_t)got;
    note_use(flow);
    return got;
}

// Whether GOT, of splice(2), is to be believed. Before urgent data it says that there is nothing,
// or the end, and it may lack something else than bytes: recv(2) knows. But an error of the
// connection is told only once.
static bool is_sure(ssize_t got)
{
    if (got >= 0)
        return got > 0;
    return errno != EAGAIN && errno != ENOMEM && errno != EINTR && !pipe_is_refused(errno);
}

static ssize_t fill_some(struct flow *flow)
{
    ssize_t got;

    if (!flow->pipe.open)
        return fill_buffer(flow);
    got = pipe_fill(&flow->pipe, flow->from->fd);
    if (is_sure(got))
        return got;
    if (got < 0 && pipe_is_refused(errno)) {
        flow->no_pipe = true;
        pipe_close(&flow->pipe);
    }
    return fill_buffer(flow);
}

static void fill(struct pump *pump, struct flow *flow)
{
    ssize_t got;

    prepare_pipe(pump, flow);
    got = fill_some(flow);
    if (got > 0) {
        flow->received += (size_t)got;
        pump->moved_ms = clock_ms();
        if (got > LIGHT_BYTES || flow->end > LIGHT_BYTES)
            flow->heavy_ms = pump->moved_ms;
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

// What the pipe holds comes into the buffer. Returns whether something did.
static bool take_back(struct flow *flow)
{
    ssize_t got = pipe_read(&flow->pipe, flow->rest, PUMP_BUFFER_BYTES);

    flow->no_pipe = true;
    flow->start = FIRST_BYTES;
    flow->end = FIRST_BYTES + (got > 0 ? (size_t)got : 0);
    note_use(flow);
    return got > 0;
}

static ssize_t drain_buffer(struct flow *flow)
{
    struct extent owed;
    ssize_t sent = sendmsg(flow->to->fd, extent_of(flow, flow->start, flow->end, &owed),
                           MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent > 0)
        flow->start += (size_t)sent;
    return sent;
}

static ssize_t drain_some(struct flow *flow)
{
    ssize_t sent;

    if (has_buffered(flow))
        return drain_buffer(flow);
    sent = pipe_drain(&flow->pipe, flow->to->fd);
    if (sent < 0 && pipe_is_refused(errno) && take_back(flow))
        return drain_buffer(flow);
    return sent;
}

static void drain(struct pump *pump, struct flow *flow)
{
    while (has_pending(flow)) {
        ssize_t sent = drain_some(flow);

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
        flow->delivered += (size_t)sent;
        pump->moved_ms = clock_ms();
    }
    flow->start = flow->end = 0;
    if (flow->no_pipe)
        pipe_close(&flow->pipe);
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
    if (readable && wants_input(flow))
        fill(pump, flow);
    drain(pump, flow);
    finish(pump, flow);
}

// The kernel takes back much at once, and gives zeros for it; little is kept for what comes next.
static void wipe(struct flow *flow)
{
    size_t of_rest = flow->used > FIRST_BYTES ? flow->used - FIRST_BYTES : 0;

    explicit_bzero(flow->first, flow->used - of_rest);
    if (of_rest <= LIGHT_BYTES || madvise(flow->rest, PUMP_BUFFER_BYTES, MADV_DONTNEED) < 0)
        explicit_bzero(flow->rest, of_rest);
    flow->used = 0;
}

static void lighten_flow(struct flow *flow, int64_t at_ms)
{
    if (!is_heavy(flow) || at_ms - flow->heavy_ms < QUIET_MS)
        return;
    pipe_close(&flow->pipe);
    wipe(flow);
    flow->bulk = false;
}

// Gives back what has not been needed for QUIET_MS.
static void lighten(struct pump *pump)
{
    int64_t at_ms = clock_ms();

    lighten_flow(&pump->up, at_ms);
    lighten_flow(&pump->down, at_ms);
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
        left = pump->moved_ms + idle_ms - clock_ms();
    if ((pump->client.dead || pump->target.dead) && (!idle_ms || left > DRAIN_MS))
        left = DRAIN_MS;
    return idle_ms && left < 0 ? 0 : left;
}

// Waits, at most for MS unless that is -1. Returns what ppoll(2) does, or 0 when *STOP is set.
static int await(struct pump *pump, const struct pump_request *request, struct pollfd entries[2],
                 int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int ready;

    if (++pump->rounds % SIGNAL_ROUNDS == 0)
        ppoll(NULL, 0, &(struct timespec){0}, request->mask);
    ready = *request->stop ? 0 : ppoll(entries, 2, ms < 0 ? NULL : &time, request->mask);
    return *request->stop ? 0 : ready;
}

// Waits, then moves what can be moved. Returns false when time is up or *STOP is set.
static bool step(struct pump *pump, const struct pump_request *request)
{
    struct pollfd entries[2] = {
        entry_for(&pump->client, &pump->up, &pump->down),
        entry_for(&pump->target, &pump->down, &pump->up),
    };
    int64_t wait_ms = patience(pump, request->idle_ms);
    bool heavy = is_heavy(&pump->up) || is_heavy(&pump->down);
    bool may_rest = heavy && (wait_ms < 0 || wait_ms > QUIET_MS);
    int ready = await(pump, request, entries, may_rest ? QUIET_MS : wait_ms);

    if (ready < 0)
        return errno == EINTR;
    if (ready == 0 && (*request->stop || !may_rest))
        return false;
    if (heavy)
        lighten(pump);
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
    int64_t deadline = clock_ms() + DRAIN_MS;
    struct timespec nap = {.tv_nsec = 1000000};

    while (!*request->stop && !is_broken(side) && ioctl(side->fd, TIOCOUTQ, &unsent) == 0 &&
           unsent > 0) {
        if (unsent != before)
            deadline = clock_ms() + DRAIN_MS;
        if (clock_ms() >= deadline)
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
        .up = {.from = &state.client, .to = &state.target, .rest = request->buffers->up},
        .down = {.from = &state.target, .to = &state.client, .rest = request->buffers->down},
        .moved_ms = clock_ms(),
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
    pipe_close(&state.up.pipe);
    pipe_close(&state.down.pipe);
    wipe(&state.up);
    wipe(&state.down);
    restore_blocking(&state.client);
    restore_blocking(&state.target);
}
