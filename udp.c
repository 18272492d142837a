// SPDX-License-Identifier: ISC
#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "datagrams.h"
#include "dialler.h"
#include "sessions.h"
#include "stock.h"

#define REST_MS      1000 // of a client whose target is gone
#define REST_AFTER   2    // refusals in a row
#define RECHECK_MS   1000 // so long a client that was refused is so again without a look
#define SAY_MS       1000 // failures are told no more often
#define RESTING      1024 // entries beside those of sessions
#define REFUSED      1024 // addresses that are remembered
#define SHARE        32   // datagrams of one target in a round
#define EVENTS       64
#define SPARE_FDS    16 // for what else the process does: its log, and looking names up
#define NAP_MS       100
#define TAG_LISTENER UINT64_MAX
#define TAG_DIALLER  (UINT64_MAX - 1)

// What an entry of the table is: all but the last are sessions.
enum { OPEN, DIALLING, QUEUED, RESTS };
#define SESSION_LISTS RESTS

struct flow {
    int fd;              // of OPEN
    uint32_t generation; // tells a session from the one that had its number before
    struct udp_bytes bytes;
    struct stock_queue held; // for the target
    unsigned refusals;       // in a row, the last at
    int64_t refused_ms;
    bool retried;   // dialled anew, after descriptors were scarce
    bool wants_out; // the stream has not taken all
    // Of the batch that has just been received: its first, and how many.
    uint8_t first, last, count;
};

struct udp {
    const struct udp_request *request;
    int epoll;
    uint32_t fd_limit;
    int64_t now, quiet_ms, told_ms;
    bool told, told_full;
    struct sessions sessions;
    struct flow *flows;
    struct sessions refused;
    int64_t checked_ms[REFUSED];
    struct dialler dialler;
    uint8_t next[DATAGRAMS_BATCH]; // of the same session, in the batch
    struct mmsghdr headers[DATAGRAMS_BATCH];
    struct iovec pieces[DATAGRAMS_BATCH];
    struct datagrams datagrams;
    struct stock stock;
};

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static const struct sessions_key *key_of(const struct udp *udp, uint32_t number)
{
    return &udp->sessions.entries[number].key;
}

static unsigned list_of(const struct udp *udp, uint32_t number)
{
    return udp->sessions.entries[number].list;
}

static uint32_t count_sessions(const struct udp *udp)
{
    return udp->sessions.length[OPEN] + udp->sessions.length[DIALLING] +
           udp->sessions.length[QUEUED];
}

static void note(struct udp *udp, uint32_t number, enum udp_event event)
{
    union host_address client;

    datagrams_client(key_of(udp, number), &client);
    udp->request->note(udp->request->context, &client, event, &udp->flows[number].bytes);
}

static void note_failure(struct udp *udp, uint32_t number, enum dial_step step, const char *reason)
{
    union host_address client;

    if (reason && udp->told && udp->now - udp->told_ms < SAY_MS)
        reason = NULL;
    if (reason) {
        udp->told = true;
        udp->told_ms = udp->now;
    }
    datagrams_client(key_of(udp, number), &client);
    udp->request->note_failure(udp->request->context, &client, step, reason);
}

// Sends the answers that wait. Whoever had one is there, whatever came before.
static void send_answers(struct udp *udp)
{
    struct datagrams *datagrams = &udp->datagrams;
    unsigned count = datagrams_send(datagrams);

    for (unsigned i = 0; i < count; i++)
        if (datagrams->sent[i])
            udp->flows[datagrams->owners[i]].bytes.to_client += datagrams->out.pieces[i].iov_len;
}

static void forget(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    stock_clear(&udp->stock, &flow->held);
    flow->generation++;
    flow->refusals = 0;
    flow->count = 0;
    sessions_remove(&udp->sessions, number);
}

// Keeps the entry of what was a session for a while.
static void rest(struct udp *udp, uint32_t number, unsigned refusals)
{
    struct flow *flow = &udp->flows[number];

    stock_clear(&udp->stock, &flow->held);
    flow->generation++;
    flow->refusals = refusals;
    flow->refused_ms = udp->now;
    sessions_move(&udp->sessions, number, RESTS, udp->now);
}

static void close_session(struct udp *udp, uint32_t number, enum udp_event event)
{
    // They are part of what is logged.
    send_answers(udp);
    close(udp->flows[number].fd);
    note(udp, number, event);
}

static void end_refused(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    close_session(udp, number, UDP_TARGET_ENDED);
    if (flow->refusals > 0 && udp->now - flow->refused_ms >= REST_MS)
        flow->refusals = 0;
    rest(udp, number, flow->refusals + 1);
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
        int sent = count - at == 1 ? (int)send(flow->fd, udp->pieces[at].iov_base,
                                               udp->pieces[at].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : datagrams_sendmmsg(flow->fd, &udp->headers[at], count - at);

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
                                .data.u64 = (uint64_t)flow->generation << 32 | number};

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
        } else {
            stock_take(&udp->stock, &flow->held, size);
        }
    }
    if (udp->request->stream)
        want_out(udp, number, flow->held.count > 0);
    return true;
}

// Holds the session's datagrams of the batch. What there is no room for is lost.
static void hold_batch(struct udp *udp, struct flow *flow)
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
            !stock_put(&udp->stock, &flow->held, data + sent, size - (size_t)sent))
            return false; // a stream with a gap is no stream
    }
    if (flow->count > 0)
        hold_batch(udp, flow);
    if (flow->held.count > 0)
        want_out(udp, number, true);
    return true;
}

// Passes the session's datagrams of the batch on. Returns false where the target has ended it.
static bool pass_on(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    sessions_move(&udp->sessions, number, OPEN, udp->now);
    if (udp->request->stream ? write_batch(udp, number) : send_batch(udp, flow))
        return true;
    end_refused(udp, number);
    return false;
}

static void evict(struct udp *udp, uint32_t number)
{
    switch (list_of(udp, number)) {
    case OPEN:
        if (udp->flows[number].count > 0 && !pass_on(udp, number))
            break;
        close_session(udp, number, UDP_CLIENT_ENDED);
        break;
    case DIALLING:
    case QUEUED:
        note_failure(udp, number, DIAL_CONNECT, NULL);
        break;
    default:
        break;
    }
    forget(udp, number);
}

// Ends the session that has been idle for longest. Returns whether there was one.
static bool evict_oldest(struct udp *udp)
{
    static const unsigned order[] = {OPEN, QUEUED, DIALLING};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        uint32_t oldest = sessions_oldest(&udp->sessions, order[i]);

        if (oldest == SESSIONS_NONE)
            continue;
        evict(udp, oldest);
        return true;
    }
    return false;
}

static void make_room(struct udp *udp, uint32_t number)
{
    uint32_t oldest;

    while (udp->request->per_source > 0 &&
           sessions_of_source(&udp->sessions, key_of(udp, number), SESSION_LISTS, &oldest) >=
               udp->request->per_source)
        evict(udp, oldest);
    while (count_sessions(udp) >= udp->request->max && evict_oldest(udp))
        ;
}

// Whether the client of the session's first datagram may have one.
static bool admit(struct udp *udp, uint32_t number)
{
    struct sessions_key key = {.client_scope = key_of(udp, number)->client_scope};
    union host_address client;
    uint32_t known;

    datagrams_client(key_of(udp, number), &client);
    memcpy(key.client, key_of(udp, number)->client, sizeof key.client);
    key.family = key_of(udp, number)->family;
    known = sessions_find(&udp->refused, &key);
    if (known != SESSIONS_NONE && udp->now - udp->checked_ms[known] < RECHECK_MS)
        return false;
    if (udp->request->may_enter(udp->request->context, &client,
                                known == SESSIONS_NONE && udp->refused.length[0] < REFUSED)) {
        if (known != SESSIONS_NONE)
            sessions_remove(&udp->refused, known);
        return true;
    }
    if (known == SESSIONS_NONE)
        known = sessions_add(&udp->refused, &key, 0, udp->now);
    if (known != SESSIONS_NONE)
        udp->checked_ms[known] = udp->now;
    else if (!udp->told_full)
        udp->request->tell("clients of %d addresses are refused: more are not logged", REFUSED);
    udp->told_full |= known == SESSIONS_NONE;
    return false;
}

static bool is_scarce(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

// The first datagram's size is what rinetd says of a session that is opened.
static uint64_t first_size(const struct udp *udp, const struct flow *flow)
{
    size_t size = 0;

    if (flow->held.count > 0)
        stock_first(&udp->stock, &flow->held, &size);
    else if (flow->count > 0)
        size = datagrams_size(&udp->datagrams, flow->first);
    return size;
}

// Makes FD, connected to the target, the session's. Returns 0, or -1 with errno; FD is closed then.
static int begin(struct udp *udp, uint32_t number, int fd)
{
    struct flow *flow = &udp->flows[number];
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = (uint64_t)flow->generation << 32 | number};
    struct udp_bytes bytes = flow->bytes;
    int error = EMFILE;

    if ((uint32_t)fd >= udp->fd_limit)
        goto failed;
    if (epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        error = errno == ENOSPC ? ENOMEM : errno;
        goto failed;
    }
    flow->fd = fd;
    flow->wants_out = false;
    sessions_move(&udp->sessions, number, OPEN, udp->now);
    flow->bytes = (struct udp_bytes){.from_client = first_size(udp, flow)};
    note(udp, number, UDP_OPENED);
    flow->bytes = bytes;
    return 0;
failed:
    close(fd);
    errno = error;
    return -1;
}

static void fail(struct udp *udp, uint32_t number, enum dial_step step, const char *reason)
{
    note_failure(udp, number, step, reason);
    rest(udp, number, REST_AFTER);
}

// Gives those that wait for it to a thread, as many as may be.
static void start_dials(struct udp *udp)
{
    uint32_t number;

    while (udp->dialler.running < DIALLER_MOST &&
           (number = sessions_oldest(&udp->sessions, QUEUED)) != SESSIONS_NONE) {
        struct dialler_ticket ticket = {number, udp->flows[number].generation};
        int error = dialler_start(&udp->dialler, ticket);

        if (error && udp->dialler.running > 0)
            break; // when one of those has ended
        if (error)
            fail(udp, number, DIAL_SOCKET, strerror(error));
        else
            sessions_move(&udp->sessions, number, DIALLING, udp->now);
    }
}

// Dials at once. Returns whether the session is open.
static bool dial_now(struct udp *udp, uint32_t number)
{
    struct dial_failure failure;
    bool retried = false;

    for (;;) {
        int fd = udp->request->dial(udp->request->context, &failure);

        if (fd >= 0 && begin(udp, number, fd) == 0)
            return true;
        if (fd >= 0) {
            failure.step = DIAL_SOCKET;
            memcpy(failure.reason, "too many sessions", sizeof "too many sessions");
        }
        if (retried || !is_scarce(errno) || !evict_oldest(udp))
            break;
        retried = true;
    }
    fail(udp, number, failure.step, failure.reason);
    return false;
}

// Opens a session for a client that has none. Returns whether there is one then, or will be.
static bool open_session(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    if (flow->refusals >= REST_AFTER && udp->now - flow->refused_ms < REST_MS)
        return false;
    if (!admit(udp, number)) {
        forget(udp, number);
        return false;
    }
    make_room(udp, number);
    flow->bytes = (struct udp_bytes){0, 0};
    flow->retried = false;
    if (!udp->request->dial_waits)
        return dial_now(udp, number);
    sessions_move(&udp->sessions, number, QUEUED, udp->now);
    hold_batch(udp, flow);
    start_dials(udp);
    return list_of(udp, number) != RESTS;
}

// Does what is to be done with the session's datagrams of the batch.
static void deliver(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];

    while (flow->count > 0) {
        switch (list_of(udp, number)) {
        case OPEN:
            pass_on(udp, number);
            break;
        case QUEUED:
        case DIALLING:
            hold_batch(udp, flow);
            break;
        default:
            if (!open_session(udp, number))
                flow->count = 0;
        }
    }
}

// The entry of a datagram's key, a new one where need be.
static uint32_t entry_of(struct udp *udp, const struct sessions_key *key)
{
    uint32_t number = sessions_find(&udp->sessions, key);

    if (number != SESSIONS_NONE)
        return number;
    number = sessions_add(&udp->sessions, key, RESTS, udp->now);
    if (number == SESSIONS_NONE) {
        forget(udp, sessions_oldest(&udp->sessions, RESTS));
        number = sessions_add(&udp->sessions, key, RESTS, udp->now);
    }
    return number;
}

static void serve_batch(struct udp *udp, unsigned count)
{
    uint32_t order[DATAGRAMS_BATCH];
    unsigned known = 0;

    for (unsigned i = 0; i < count; i++) {
        struct sessions_key key;
        struct flow *flow;
        uint32_t number;

        datagrams_key(&udp->datagrams, i, &key);
        number = entry_of(udp, &key);
        flow = &udp->flows[number];
        if (flow->count++ == 0) {
            flow->first = (uint8_t)i;
            order[known++] = number;
        } else {
            udp->next[flow->last] = (uint8_t)i;
        }
        flow->last = (uint8_t)i;
    }
    for (unsigned i = 0; i < known; i++)
        deliver(udp, order[i]);
}

// Returns 0, or -1 with errno where the listener is of no use any more.
static int serve_listener(struct udp *udp, uint32_t events)
{
    struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
    int count;

    if (events & (EPOLLRDHUP | EPOLLHUP)) {
        errno = EPIPE;
        return -1;
    }
    count = datagrams_receive(&udp->datagrams);
    if (count > 0)
        serve_batch(udp, (unsigned)count);
    if (count >= 0)
        return 0;
    switch (errno) {
    case EBADF:
    case ENOTSOCK:
    case EINVAL:
    case EFAULT:
        return -1;
    case ENOMEM:
    case ENOBUFS:
        ppoll(NULL, 0, &nap, udp->request->mask);
        break;
    default: // nothing has come; or an ICMP error that an answer has met with
        break;
    }
    return 0;
}

// Whoever gets an answer is served: what was refused before is of no account.
static void note_answer(struct udp *udp, uint32_t number)
{
    udp->flows[number].refusals = 0;
    sessions_move(&udp->sessions, number, OPEN, udp->now);
}

// Takes what the target has sent. Errors are told before what came earlier: so they count only once
// that has been taken.
static void read_target(struct udp *udp, uint32_t number)
{
    struct flow *flow = &udp->flows[number];
    bool stream = udp->request->stream, refused = false;
    int got;

    do {
        if (datagrams_room(&udp->datagrams) < SHARE)
            send_answers(udp);
        got = datagrams_fetch(&udp->datagrams, flow->fd, stream, SHARE);
        if (got > 0) {
            datagrams_address(&udp->datagrams, (unsigned)got, key_of(udp, number), number);
            note_answer(udp, number);
        }
        if (got < 0 && !is_passing(errno)) {
            if (stream || refused) {
                end_refused(udp, number);
                return;
            }
            refused = true;
        } else if (refused && got < 0) {
            end_refused(udp, number);
            return;
        }
    } while (refused);
    if (stream && got == 0) {
        close_session(udp, number, UDP_TARGET_ENDED);
        forget(udp, number);
    }
}

static void serve_target(struct udp *udp, uint64_t tag, uint32_t events)
{
    uint32_t number = (uint32_t)tag;

    // It may have ended, and its number be another's, since the kernel said so.
    if (udp->flows[number].generation != tag >> 32 || list_of(udp, number) != OPEN)
        return;
    if (events & EPOLLOUT && !send_held(udp, number))
        end_refused(udp, number);
    else if (events & ~(uint32_t)EPOLLOUT)
        read_target(udp, number);
}

static void take_answer(struct udp *udp, struct dialler_answer *answer)
{
    uint32_t number = answer->ticket.number;
    struct flow *flow = &udp->flows[number];

    if (flow->generation != answer->ticket.generation || list_of(udp, number) != DIALLING) {
        if (answer->fd >= 0)
            close(answer->fd);
        return;
    }
    if (answer->fd >= 0 && begin(udp, number, answer->fd) == 0) {
        if (!send_held(udp, number))
            end_refused(udp, number);
        return;
    }
    if (answer->fd >= 0) {
        answer->error = errno;
        answer->failure.step = DIAL_SOCKET;
        snprintf(answer->failure.reason, DIAL_REASON_MAX, "too many sessions");
    }
    if (is_scarce(answer->error) && !flow->retried && udp->sessions.length[OPEN] > 0) {
        evict(udp, sessions_oldest(&udp->sessions, OPEN));
        flow->retried = true;
        sessions_move(&udp->sessions, number, QUEUED, udp->now);
    } else {
        fail(udp, number, answer->failure.step, answer->failure.reason);
    }
}

static void take_answers(struct udp *udp)
{
    struct dialler_answer answer;

    while (dialler_take(&udp->dialler, &answer))
        take_answer(udp, &answer);
    start_dials(udp);
}

// Whether the oldest of LIST has been so for MS; sets *NUMBER to it.
static bool is_over(const struct sessions *table, unsigned list, int64_t since, uint32_t *number)
{
    *number = sessions_oldest(table, list);
    return *number != SESSIONS_NONE && table->entries[*number].used_ms <= since;
}

static int64_t queue_ms(const struct udp *udp)
{
    return udp->request->dial_ms ? udp->request->dial_ms : udp->request->timeout_ms;
}

static void end_overdue(struct udp *udp)
{
    int64_t now = udp->now, timeout_ms = udp->request->timeout_ms;
    uint32_t number;

    while (is_over(&udp->sessions, OPEN, now - timeout_ms, &number)) {
        close_session(udp, number, UDP_CLIENT_ENDED);
        forget(udp, number);
    }
    while (is_over(&udp->sessions, QUEUED, now - queue_ms(udp), &number))
        fail(udp, number, DIAL_CONNECT, "too many clients wait for the target");
    while (is_over(&udp->sessions, RESTS, now - REST_MS, &number))
        forget(udp, number);
    while (is_over(&udp->refused, 0, now - timeout_ms, &number))
        sessions_remove(&udp->refused, number);
}

static void take_sooner(int64_t *at, const struct sessions *table, unsigned list, int64_t ms)
{
    uint32_t oldest = sessions_oldest(table, list);

    if (oldest != SESSIONS_NONE && table->entries[oldest].used_ms + ms < *at)
        *at = table->entries[oldest].used_ms + ms;
}

// How long nothing will have to be done by itself, in milliseconds.
static int idle_ms(const struct udp *udp)
{
    int64_t at = udp->quiet_ms + udp->request->linger_ms, timeout_ms = udp->request->timeout_ms;

    take_sooner(&at, &udp->sessions, OPEN, timeout_ms);
    take_sooner(&at, &udp->sessions, QUEUED, queue_ms(udp));
    take_sooner(&at, &udp->sessions, RESTS, REST_MS);
    take_sooner(&at, &udp->refused, 0, timeout_ms);
    return at > udp->now ? (int)(at - udp->now) : 0;
}

static bool is_anybody_there(const struct udp *udp)
{
    return count_sessions(udp) + udp->sessions.length[RESTS] + udp->refused.length[0] > 0;
}

static int serve_events(struct udp *udp, const struct epoll_event *events, int count)
{
    uint32_t listener = 0;

    // Answers first: they make room, and an end of a session that is known by now is no loss of the
    // datagram that comes after it.
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == TAG_LISTENER)
            listener = events[i].events;
        else if (events[i].data.u64 == TAG_DIALLER)
            take_answers(udp);
        else
            serve_target(udp, events[i].data.u64, events[i].events);
    }
    send_answers(udp);
    return listener ? serve_listener(udp, listener) : 0;
}

// Returns 0 at the end, or -1 with errno.
static int serve(struct udp *udp)
{
    struct epoll_event events[EVENTS];
    int count;

    while (!*udp->request->stop) {
        count = epoll_pwait(udp->epoll, events, EVENTS, idle_ms(udp), udp->request->mask);
        udp->now = clock_ms();
        if (count > 0 && serve_events(udp, events, count) < 0)
            return -1;
        end_overdue(udp);
        if (is_anybody_there(udp))
            udp->quiet_ms = udp->now;
        else if (udp->now - udp->quiet_ms >= udp->request->linger_ms)
            break;
    }
    return 0;
}

static void end_all(struct udp *udp)
{
    uint32_t number;

    while ((number = sessions_oldest(&udp->sessions, OPEN)) != SESSIONS_NONE) {
        close_session(udp, number, UDP_TARGET_ENDED);
        forget(udp, number);
    }
    for (unsigned list = DIALLING; list <= QUEUED; list++)
        while ((number = sessions_oldest(&udp->sessions, list)) != SESSIONS_NONE) {
            note_failure(udp, number, DIAL_CONNECT, NULL);
            forget(udp, number);
        }
}

// As many descriptors as there may be: each session needs one. Those that are kept for the process
// itself are no sessions'.
static void raise_limit(struct udp *udp)
{
    struct rlimit limit;

    udp->fd_limit = UINT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur != limit.rlim_max) {
        struct rlimit higher = {limit.rlim_max, limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            limit = higher;
    }
    if (limit.rlim_cur < UINT32_MAX)
        udp->fd_limit = (uint32_t)limit.rlim_cur;
    udp->fd_limit -= udp->fd_limit > 4 * SPARE_FDS ? SPARE_FDS : udp->fd_limit / 4;
}

static int watch(const struct udp *udp, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};

    return epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int init(struct udp *udp, const union host_address *local)
{
    const struct udp_request *request = udp->request;
    uint64_t seeds[2];

    if (getrandom(seeds, sizeof seeds, 0) != sizeof seeds)
        return -1;
    udp->flows = map((request->max + (size_t)RESTING) * sizeof *udp->flows);
    if (!udp->flows ||
        sessions_init(&udp->sessions, request->max + RESTING, request->per_source > 0, seeds) < 0 ||
        sessions_init(&udp->refused, REFUSED, false, seeds) < 0)
        return -1;
    raise_limit(udp);
    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        udp->headers[i].msg_hdr.msg_iov = &udp->pieces[i];
        udp->headers[i].msg_hdr.msg_iovlen = 1;
    }
    datagrams_init(&udp->datagrams, 0, local);
    udp->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (udp->epoll < 0 || watch(udp, 0, EPOLLIN | EPOLLRDHUP, TAG_LISTENER) < 0)
        return -1;
    udp->now = udp->quiet_ms = clock_ms();
    if (!request->dial_waits)
        return 0;
    if (dialler_init(&udp->dialler, request->dial, request->context) < 0)
        return -1;
    return watch(udp, udp->dialler.done, EPOLLIN, TAG_DIALLER);
}

int udp(const struct udp_request *request, const union host_address *local)
{
    struct udp *udp = map(sizeof *udp);
    int status;

    if (!udp)
        return -1;
    udp->request = request;
    status = init(udp, local);
    if (status == 0)
        status = serve(udp);
    if (status == 0)
        end_all(udp);
    return status;
}
