// SPDX-License-Identifier: ISC
#include "mixed.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"

// So much is moved each way before the other way and the clock have their turn.
#define BATCH 16

// ppoll(2) lets no signal in while something is ready, which may be always: so often, in rounds,
// they are let in on purpose.
#define SIGNAL_ROUNDS 64

// How long a client that is to be reset may take to get what it is owed.
#define FLUSH_MS 10000

// From so much on, memory is given back to the kernel in place of being cleared.
#define LIGHT_BYTES 16384

// So many rounds a target that has refused may still be read from: it may go on sending for ever.
#define LAST_ROUNDS 64

struct mixed {
    const struct pump_request *request;
    size_t up;         // bytes of the datagram that waits for the target's socket, or 0
    size_t start, end; // of the datagram that waits for the client
    size_t used_up, used_down;
    bool ended;   // end of file or an error at the client: nothing more is read from it
    bool dead;    // nothing reaches the client any more
    bool refused; // by the target
    bool drained; // and nothing that came before is left in its socket
    bool moved;   // something was, since the clock was asked
    int64_t moved_ms;
    unsigned rounds, last_rounds;
    uint64_t from_client, to_client;
};

static bool is_pending(const struct mixed *mixed)
{
    return mixed->start < mixed->end;
}

static void client_gone(struct mixed *mixed)
{
    mixed->dead = true;
    mixed->start = mixed->end = 0;
}

// Whether ERROR of the target's socket is the end, as what ICMP reports of a port that nobody has:
// ECONNREFUSED and its like. A datagram that is lost on the way, or too long for it, is none.
static bool is_refusal(int error)
{
    return error != EAGAIN && error != EINTR && error != EMSGSIZE && error != ENOBUFS &&
           error != ENOMEM && error != EPERM;
}

// Sends the datagram that waits. What is not taken for lack of room goes on waiting.
static void send_datagram(struct mixed *mixed)
{
    const struct pump_request *request = mixed->request;

    // An error may be that of an earlier datagram, and keeps this one from being sent: a refusal is
    // the end, but a path that has turned out to be narrower is none.
    for (int tries = 0; tries < 2; tries++) {
        if (send(request->target, request->buffers->up, mixed->up, MSG_DONTWAIT | MSG_NOSIGNAL) >=
            0) {
            mixed->moved = true;
            break;
        }
        if (errno == EAGAIN || errno == EINTR)
            return;
        mixed->refused = is_refusal(errno);
        if (errno != EMSGSIZE)
            break; // poll(2) does not tell when it would succeed: lost, as on any network
    }
    mixed->up = 0;
}

// Returns whether there is something to send.
static bool read_client(struct mixed *mixed)
{
    unsigned char *buffer = mixed->request->buffers->up;
    ssize_t got = recv(mixed->request->client, buffer, MIXED_READ_BYTES, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    mixed->moved = true;
    if (got <= 0) {
        mixed->ended = true;
        if (got < 0)
            client_gone(mixed);
        return false;
    }
    mixed->up = (size_t)got;
    mixed->from_client += (size_t)got;
    if (mixed->used_up < mixed->up)
        mixed->used_up = mixed->up;
    return true;
}

static void move_up(struct mixed *mixed)
{
    for (int i = 0; i < BATCH && !mixed->refused; i++) {
        bool more;

        if (mixed->up == 0 && (mixed->ended || !read_client(mixed)))
            return;
        more = mixed->up == MIXED_READ_BYTES;
        send_datagram(mixed);
        if (mixed->up > 0 || !more)
            return;
    }
}

// Writes what waits to the client.
static void write_client(struct mixed *mixed)
{
    while (is_pending(mixed)) {
        ssize_t sent = send(mixed->request->client, mixed->request->buffers->down + mixed->start,
                            mixed->end - mixed->start, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            // EPIPE and ECONNRESET: what the client still sent is to be read.
            if (errno != EAGAIN)
                client_gone(mixed);
            return;
        }
        mixed->start += (size_t)sent;
        mixed->to_client += (size_t)sent;
        mixed->moved = true;
    }
}

// Returns whether there may be more.
static bool read_datagram(struct mixed *mixed)
{
    ssize_t got = recv(mixed->request->target, mixed->request->buffers->down, PUMP_BUFFER_BYTES,
                       MSG_DONTWAIT);

    if (got < 0) {
        mixed->refused |= is_refusal(errno);
        return errno != EAGAIN;
    }
    mixed->moved = true;
    if (mixed->used_down < (size_t)got)
        mixed->used_down = (size_t)got;
    if (!mixed->dead)
        mixed->end = (size_t)got;
    mixed->start = 0;
    return true;
}

static void move_down(struct mixed *mixed)
{
    for (int i = 0; i < BATCH; i++) {
        write_client(mixed);
        if (is_pending(mixed))
            return;
        if (!read_datagram(mixed)) {
            mixed->drained = mixed->refused;
            return;
        }
    }
}

// How long to wait, in milliseconds; -1: for ever.
static int64_t patience(const struct mixed *mixed)
{
    int64_t limit = mixed->request->idle_ms, most = 0, left;

    if (mixed->refused)
        most = FLUSH_MS;
    else if (mixed->ended && !is_pending(mixed))
        most = MIXED_GRACE_MS;
    if (most && (!limit || limit > most))
        limit = most;
    if (!limit)
        return -1;
    left = mixed->moved_ms + limit - clock_ms();
    return left < 0 ? 0 : left;
}

static struct pollfd entry_for(int fd, bool in, bool out)
{
    return (struct pollfd){.fd = fd, .events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0))};
}

static void note_events(struct mixed *mixed, short of_client, short of_target)
{
    int error = 0;
    socklen_t size = sizeof error;

    // What it has sent before is read all the same.
    if (of_client & (POLLHUP | POLLERR))
        client_gone(mixed);
    // Asking clears the error, so that POLLERR does not come again at once.
    if (of_target & POLLERR &&
        getsockopt(mixed->request->target, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
        mixed->refused |= error != 0 && is_refusal(error);
}

// Waits until something can be moved, and says each way whether it can. Returns false when time is
// up.
static bool await(struct mixed *mixed, bool *up, bool *down)
{
    const struct pump_request *request = mixed->request;
    bool pending = is_pending(mixed), reads = !mixed->ended && mixed->up == 0 && !mixed->refused;
    struct pollfd entries[2] = {
        entry_for(request->client, reads, pending),
        entry_for(request->target, !pending && !mixed->dead, mixed->up > 0),
    };
    int64_t ms = patience(mixed);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int ready;

    // What poll(2) tells of an end, it tells again and again.
    if (mixed->dead && !reads)
        entries[0].fd = -1;
    if (mixed->refused)
        entries[1].fd = -1;
    if (++mixed->rounds % SIGNAL_ROUNDS == 0)
        ppoll(NULL, 0, &(struct timespec){0}, request->mask);
    if (*request->stop)
        return true;
    ready = ppoll(entries, 2, ms < 0 ? NULL : &time, request->mask);
    if (ready <= 0)
        return ready < 0 && errno == EINTR;
    note_events(mixed, entries[0].revents, entries[1].revents);
    *up = entries[0].revents & ~POLLOUT || entries[1].revents & POLLOUT;
    *down = entries[1].revents & ~POLLOUT || entries[0].revents & POLLOUT;
    return true;
}

static bool is_over(const struct mixed *mixed)
{
    if (*mixed->request->stop)
        return true;
    if (mixed->refused)
        return mixed->dead || mixed->drained;
    return mixed->dead && mixed->ended && mixed->up == 0;
}

// Returns false when it is over.
static bool step(struct mixed *mixed)
{
    bool up = false, down = mixed->refused && !is_pending(mixed);

    if (down ? ++mixed->last_rounds > LAST_ROUNDS : !await(mixed, &up, &down))
        return false;
    if (up)
        move_up(mixed);
    if (down)
        move_down(mixed);
    if (mixed->moved)
        mixed->moved_ms = clock_ms();
    mixed->moved = false;
    return !is_over(mixed);
}

// Waits until the kernel has sent what the client is owed, which a reset would overtake.
static void flush(const struct mixed *mixed)
{
    const struct pump_request *request = mixed->request;
    int64_t deadline = clock_ms() + FLUSH_MS;
    struct timespec nap = {.tv_nsec = 1000000};
    int unsent;

    while (!*request->stop && ioctl(request->client, TIOCOUTQ, &unsent) == 0 && unsent > 0 &&
           clock_ms() < deadline) {
        ppoll(NULL, 0, &nap, request->mask);
        if (nap.tv_nsec < 50000000)
            nap.tv_nsec *= 2;
    }
}

// Makes the client's close a reset where its stream has been cut short, and where what it sent has
// not reached anybody.
static void finish_badly(const struct mixed *mixed)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (mixed->dead || !(is_pending(mixed) || mixed->refused))
        return;
    if (!is_pending(mixed))
        flush(mixed);
    setsockopt(mixed->request->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static enum pump_end reason(const struct mixed *mixed)
{
    if (*mixed->request->stop)
        return PUMP_STOPPED;
    if (mixed->refused)
        return PUMP_TARGET_FIRST;
    return mixed->ended || mixed->dead ? PUMP_CLIENT_FIRST : PUMP_IDLE;
}

static void wipe(unsigned char *buffer, size_t used)
{
    if (used <= LIGHT_BYTES || madvise(buffer, PUMP_BUFFER_BYTES, MADV_DONTNEED) < 0)
        explicit_bzero(buffer, used);
}

void mixed(const struct pump_request *request, struct pump_result *result)
{
    struct mixed state = {.request = request, .moved_ms = clock_ms()};

    while (step(&state))
        continue;
    finish_badly(&state);
    result->from_client = state.from_client;
    result->to_client = state.to_client;
    result->end = reason(&state);
    // The process may serve another client.
    wipe(request->buffers->up, state.used_up);
    wipe(request->buffers->down, state.used_down);
}
