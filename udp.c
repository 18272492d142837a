// SPDX-License-Identifier: ISC
#include "udp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "flow.h"
#include "opening.h"

#define RESTING     1024 // entries beside those of sessions
#define LATELY_MS   2000
#define EVENTS      64
#define SHARE_LEAST (DATAGRAMS_BATCH / 8)
#define SPARE_FDS   16 // for what else the process does: its log, and looking names up
#define NAP_MS      100
#define GRACE_MS    200 // that a dial has over its time: it knows better what it has waited for
// At the end, where the queue cannot be left to whoever comes next: as many batches are served,
// should more come all the time. Then dials have so long, and after them answers.
#define LAST_BATCHES    64
#define LAST_DIALS_MS   500
#define LAST_ANSWERS_MS 100

#define TAG_LISTENER UINT64_MAX
#define TAG_DIALLER  (UINT64_MAX - 1)
#define TAG_SIGNALS  (UINT64_MAX - 2)

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

// The entry of a datagram's key, a new one where need be.
static uint32_t entry_of(struct udp *udp, const struct sessions_key *key)
{
    uint32_t number = sessions_find(&udp->sessions, key);

    if (number != SESSIONS_NONE)
        return number;
    number = sessions_add(&udp->sessions, key, FLOW_RESTS, udp->now);
    if (number == SESSIONS_NONE) {
        flow_forget(udp, sessions_oldest(&udp->sessions, FLOW_RESTS));
        number = sessions_add(&udp->sessions, key, FLOW_RESTS, udp->now);
    }
    return number;
}

// Whether another session than the busiest has moved something lately.
static bool is_shared(const struct udp *udp)
{
    const struct sessions *table = &udp->sessions;
    uint32_t newest = table->newest[FLOW_OPEN], second;

    if (!newest)
        return false;
    second = table->entries[newest - 1].older;
    return second && udp->now - table->entries[second - 1].used_ms < LATELY_MS;
}

// How many datagrams of a batch are passed on for one session. Where clients send more than can be
// passed on, the kernel drops from all alike; so who sends most loses what is over that, before
// it costs more than having been received, and the queue gets short again for the others. Only what
// the kernel drops now says so: a long queue may be a burst that came while we did not run.
static void adapt_share(struct udp *udp, unsigned count)
{
    bool lost = count == DATAGRAMS_BATCH && datagrams_were_lost(&udp->datagrams);

    if (lost && udp->is_full && is_shared(udp))
        udp->share -= (udp->share - SHARE_LEAST + 7) / 8;
    else if (udp->share < DATAGRAMS_BATCH)
        udp->share++;
    udp->is_full = count == DATAGRAMS_BATCH;
}

static bool is_mark(const struct udp *udp, unsigned i, const struct sessions_key *key)
{
    union host_address client;

    if (!udp->request->keep_queue || datagrams_size(&udp->datagrams, i) > 0)
        return false;
    datagrams_client(key, &client);
    return guard_is_mark(&udp->guard, &client);
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
        if (is_mark(udp, i, &key))
            continue;
        number = entry_of(udp, &key);
        flow = &udp->flows[number];
        if (flow->count == udp->share)
            continue;
        if (flow->count++ == 0) {
            flow->first = (uint8_t)i;
            order[known++] = number;
        } else {
            udp->next[flow->last] = (uint8_t)i;
        }
        flow->last = (uint8_t)i;
    }
    for (unsigned i = 0; i < known; i++)
        opening_deliver(udp, order[i]);
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
    if (count > 0) {
        adapt_share(udp, (unsigned)count);
        serve_batch(udp, (unsigned)count);
    }
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

    while (is_over(&udp->sessions, FLOW_OPEN, now - timeout_ms, &number)) {
        flow_close(udp, number, UDP_CLIENT_ENDED);
        flow_forget(udp, number);
    }
    while (is_over(&udp->sessions, FLOW_QUEUED, now - queue_ms(udp), &number))
        opening_fail(udp, number, DIAL_CONNECT, "too many clients wait for the target");
    // Its thread goes on until the resolver gives up; nobody will want what it finds.
    while (udp->request->dial_ms &&
           is_over(&udp->sessions, FLOW_DIALLING, now - udp->request->dial_ms - GRACE_MS, &number))
        opening_fail(udp, number, DIAL_LOOKUP, "the look-up of a name has taken too long");
    while (is_over(&udp->sessions, FLOW_RESTS, now - FLOW_REST_MS, &number))
        flow_forget(udp, number);
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

    take_sooner(&at, &udp->sessions, FLOW_OPEN, timeout_ms);
    take_sooner(&at, &udp->sessions, FLOW_QUEUED, queue_ms(udp));
    if (udp->request->dial_ms)
        take_sooner(&at, &udp->sessions, FLOW_DIALLING, udp->request->dial_ms + GRACE_MS);
    take_sooner(&at, &udp->sessions, FLOW_RESTS, FLOW_REST_MS);
    take_sooner(&at, &udp->refused, 0, timeout_ms);
    return at > udp->now ? (int)(at - udp->now) : 0;
}

static bool is_anybody_there(const struct udp *udp)
{
    return flow_count(udp) + udp->sessions.length[FLOW_RESTS] + udp->refused.length[0] > 0;
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
            opening_take_answers(udp);
        else if (events[i].data.u64 != TAG_SIGNALS)
            flow_serve(udp, events[i].data.u64, events[i].events);
    }
    flow_send_answers(udp);
    return listener ? serve_listener(udp, listener) : 0;
}

static bool has_signal(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++)
        if (events[i].data.u64 == TAG_SIGNALS)
            return true;
    return false;
}

// Whether nothing is lost with us.
static bool may_end(const struct udp *udp)
{
    return !udp->request->keep_queue || guard_place(&udp->guard) != GUARD_BEHIND;
}

// Whether a session has moved so lately that an answer may be on its way.
static bool expects_answers(const struct udp *udp)
{
    uint32_t newest = sessions_newest(&udp->sessions, FLOW_OPEN);

    return newest != SESSIONS_NONE &&
           udp->sessions.entries[newest].used_ms + LAST_ANSWERS_MS > udp->now;
}

// Whether there are sessions whose target is not reached yet: what they hold is with us alone.
static bool expects_targets(const struct udp *udp)
{
    return udp->sessions.length[FLOW_DIALLING] + udp->sessions.length[FLOW_QUEUED] > 0;
}

// Serves all but the listener while something is EXPECTED, for at most MS.
static void wait_for(struct udp *udp, bool (*expected)(const struct udp *), int64_t ms)
{
    struct epoll_event events[EVENTS];
    int64_t until_ms = clock_ms() + ms;
    int count;

    while ((udp->now = clock_ms()) < until_ms && expected(udp)) {
        count = epoll_wait(udp->epoll, events, EVENTS, (int)(until_ms - udp->now));
        if (count > 0)
            serve_events(udp, events, count);
    }
}

// What is queued is the next one's; where it would be lost with us, it is served. Then targets that
// are being dialled and answers that are on their way have their time.
static void finish(struct udp *udp)
{
    for (int i = 0; i < LAST_BATCHES && !may_end(udp); i++)
        if (serve_listener(udp, EPOLLIN) < 0)
            break;
    epoll_ctl(udp->epoll, EPOLL_CTL_DEL, 0, NULL);
    wait_for(udp, expects_targets, LAST_DIALS_MS);
    wait_for(udp, expects_answers, LAST_ANSWERS_MS);
}

// Returns 0 at the end, or -1 with errno.
static int serve(struct udp *udp)
{
    struct epoll_event events[EVENTS];
    int count;

    while (!*udp->request->stop) {
        count = epoll_pwait(udp->epoll, events, EVENTS, idle_ms(udp), udp->request->mask);
        if (has_signal(events, count))
            break;
        udp->now = clock_ms();
        if (count > 0 && serve_events(udp, events, count) < 0)
            return -1;
        if (is_anybody_there(udp))
            udp->quiet_ms = udp->now;
        end_overdue(udp);
        if (!is_anybody_there(udp) && udp->now - udp->quiet_ms >= udp->request->linger_ms &&
            may_end(udp))
            return 0;
    }
    finish(udp);
    return 0;
}

static void end_all(struct udp *udp)
{
    uint32_t number;

    while ((number = sessions_oldest(&udp->sessions, FLOW_OPEN)) != SESSIONS_NONE) {
        flow_close(udp, number, UDP_TARGET_ENDED);
        flow_forget(udp, number);
    }
    for (unsigned list = FLOW_DIALLING; list <= FLOW_QUEUED; list++)
        while ((number = sessions_oldest(&udp->sessions, list)) != SESSIONS_NONE) {
            flow_note_failure(udp, number, DIAL_CONNECT, NULL);
            flow_forget(udp, number);
        }
}

// As many descriptors as there may be: each session needs one. Some are kept for the process itself
// and for threads that dial, so that it is sessions that lack them.
static void share_fds(struct udp *udp, unsigned *dials)
{
    struct rlimit limit;
    uint32_t most = UINT32_MAX, spare = SPARE_FDS;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        struct rlimit higher = {limit.rlim_max, limit.rlim_max};

        if (limit.rlim_cur != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &higher) == 0)
            limit = higher;
        if (limit.rlim_cur < most)
            most = (uint32_t)limit.rlim_cur;
    }
    if (most < 4 * SPARE_FDS)
        spare = most / 4;
    *dials = most / (4 * DIALLER_FDS);
    *dials = *dials < 1 ? 1 : *dials > DIALLER_MOST ? DIALLER_MOST : *dials;
    if (udp->request->dial_waits)
        spare += *dials * DIALLER_FDS;
    udp->fd_limit = most > spare ? most - spare : 0;
}

static int watch(const struct udp *udp, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};

    return epoll_ctl(udp->epoll, EPOLL_CTL_ADD, fd, &event);
}

// epoll_pwait(2) lets no signal in while there are events, and in a flood there always are: so the
// signals that it is to let in are events, too.
static int watch_signals(struct udp *udp)
{
    sigset_t awaited;
    int fd;

    if (sigprocmask(SIG_BLOCK, NULL, &awaited) < 0)
        return -1;
    for (int number = 1; number < NSIG; number++)
        if (sigismember(udp->request->mask, number) == 1)
            sigdelset(&awaited, number);
    fd = signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -1 : watch(udp, fd, EPOLLIN | EPOLLET, TAG_SIGNALS);
}

static int init(struct udp *udp, const union host_address *local)
{
    const struct udp_request *request = udp->request;
    uint64_t seeds[2];
    unsigned dials;

    if (getrandom(seeds, sizeof seeds, 0) != sizeof seeds)
        return -1;
    udp->flows = map((request->max + (size_t)RESTING) * sizeof *udp->flows);
    if (!udp->flows ||
        sessions_init(&udp->sessions, request->max + RESTING, request->per_source > 0, seeds) < 0 ||
        sessions_init(&udp->refused, FLOW_REFUSED, false, seeds) < 0)
        return -1;
    share_fds(udp, &dials);
    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        udp->headers[i].msg_hdr.msg_iov = &udp->pieces[i];
        udp->headers[i].msg_hdr.msg_iovlen = 1;
    }
    datagrams_init(&udp->datagrams, 0, local);
    guard_init(&udp->guard, 0, local);
    udp->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (udp->epoll < 0 || watch(udp, 0, EPOLLIN | EPOLLRDHUP, TAG_LISTENER) < 0)
        return -1;
    udp->share = DATAGRAMS_BATCH;
    if (watch_signals(udp) < 0)
        return -1;
    udp->now = udp->quiet_ms = clock_ms();
    if (!request->dial_waits)
        return 0;
    if (dialler_init(&udp->dialler, dials, request->dial, request->context) < 0)
        return -1;
    return watch(udp, udp->dialler.done, EPOLLIN, TAG_DIALLER);
}

int udp(const struct udp_request *request, const union host_address *local)
{
    struct udp *udp = map(sizeof *udp);
    int status, error;

    if (!udp)
        return -1;
    udp->request = request;
    if (init(udp, local) < 0)
        return -1;
    status = serve(udp);
    error = errno;
    end_all(udp);
    errno = error;
    return status;
}
