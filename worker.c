// SPDX-License-Identifier: ISC
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_MS        5000 // one worker more than usual leaves after so long without a client
#define SCARCE_MS      100  // the pause after accept(2) lacked something
#define SAY_REFUSED_MS 1000
#define CLAIM_MS       50 // for a connection that has ended to be cleared away, looked at every
#define CLAIM_STEP_MS  2
#define GIVE_STEP_MS   5
#define STACK_BYTES    16384
#define WATCHERS_MOST  128 // that cost less than looking away and back

static const int ending[] = {SIGTERM, SIGINT, SIGHUP};

volatile sig_atomic_t worker_stop_requested, worker_child_ended;
// Of a worker, for its signal handler; -1 once closed.
static volatile sig_atomic_t held_listener, held_epoll;
static struct board_slot *own_slot;

static void request_stop(int signal_number)
{
    (void)signal_number;
    worker_stop_requested = 1;
}

static void note_child(int signal_number)
{
    (void)signal_number;
    worker_child_ended = 1;
}

static void let_go(int signal_number)
{
    int saved = errno;

    (void)signal_number;
    if (held_listener >= 0) {
        close(held_listener);
        close(held_epoll);
        held_listener = held_epoll = -1;
        own_slot->released = true;
    }
    errno = saved;
}

static void set_handler(int signal_number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

// MASK with all signals that matter here blocked, or none of them.
static void set_mask(sigset_t *mask, bool blocked)
{
    int (*set)(sigset_t *, int) = blocked ? sigaddset : sigdelset;

    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        set(mask, ending[i]);
    set(mask, SIGUSR1);
    set(mask, SIGCHLD);
}

void worker_take_signals(struct worker_pool *pool)
{
    sigset_t blocked;

    // A child inherits the mask, so that a signal waits until it has handlers for it.
    sigprocmask(SIG_BLOCK, NULL, &pool->found);
    pool->wait = blocked = pool->found;
    set_mask(&pool->wait, false);
    set_mask(&blocked, true);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        set_handler(ending[i], request_stop);
    set_handler(SIGCHLD, note_child); // one that is ignored would leave nothing to reap
}

bool worker_is_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return poll(&entry, 1, 0) > 0;
}

void worker_nap(const struct worker_pool *pool, int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    ppoll(NULL, 0, &time, &pool->wait);
}

static void poke(const struct worker_pool *pool)
{
    uint64_t one = 1;

    // EAGAIN: it has not looked for a very long time, or is no more.
    if (write(pool->poke, &one, sizeof one) < 0)
        return;
}

// Overwrites what the functions of the last connection have left below its caller's frame.
__attribute__((noinline)) static void wipe_stack(void)
{
    char area[STACK_BYTES];

    explicit_bzero(area, sizeof area);
}

// Whether a connection is let in. It may wait a moment for another of the same client that has
// ended, but is not cleared away yet. Its frame is to be wiped, too, so it needs one of its own.
__attribute__((noinline)) static bool admit(const struct worker_pool *pool,
                                            const union host_address *client)
{
    int64_t deadline = board_now_ms() + CLAIM_MS;
    enum board_claim claim;
    char text[HOST_TEXT_MAX];

    while ((claim = board_claim(pool->board, own_slot, client)) == BOARD_WAITING &&
           board_now_ms() < deadline && !worker_stop_requested)
        worker_nap(pool, CLAIM_STEP_MS);
    if (claim == BOARD_ADMITTED)
        return true;
    if (board_due(&pool->board->shared->refused, SAY_REFUSED_MS)) {
        union host_address plain = *client;

        host_unmap(&plain);
        host_text(&plain, text);
        pool->request->tell("a further connection from %s is closed: it has %u, which is "
                            "--per-source",
                            text, pool->request->per_source);
    }
    return false;
}

// Makes a worker a process that the pool will never signal again.
static void give_away(const struct worker_pool *pool)
{
    int undecided = BOARD_UNDECIDED;

    prctl(PR_SET_PDEATHSIG, 0);
    // Else the signal is on its way, and would come to the next program; unless the first process
    // has died before it was sent.
    if (!atomic_compare_exchange_strong(&own_slot->fate, &undecided, BOARD_GIVEN))
        while (held_listener >= 0 && getppid() == pool->first)
            worker_nap(pool, GIVE_STEP_MS);
    let_go(SIGUSR1);
    close(pool->poke);
    set_handler(SIGUSR1, SIG_IGN); // one that is pending goes with that
    set_handler(SIGUSR1, SIG_DFL);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        set_handler(ending[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &pool->found, NULL);
}

void pool_forget_client(void)
{
    if (own_slot)
        board_unclaim(own_slot);
}

// Whether a connection waits that the first process may not know of. One wake-up may have been for
// several (Linux before 5.7), or for a worker that does not get to it.
static bool is_left_waiting(const struct worker_pool *pool)
{
    return !pool->board->shared->watched && worker_is_readable(pool->listener);
}

static void tell_unable_to_wait(const struct worker_pool *pool)
{
    if (board_due(&pool->board->shared->scarce, WORKER_SAY_MS))
        pool->request->tell("unable to wait for connections: %s; trying again", strerror(errno));
}

// Returns whether it is watched; says so where it cannot be.
static bool watch_listener(const struct worker_pool *pool)
{
    // Of the workers that wait, one is woken for a connection, not all.
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

    if (epoll_ctl(held_epoll, EPOLL_CTL_ADD, pool->listener, &event) == 0)
        return true;
    if (held_listener >= 0) // else it has been let go, and nothing lacks
        tell_unable_to_wait(pool);
    return false;
}

// For each connection that comes the kernel asks all who watch the listener, busy or not, until it
// has found one who waits: hundreds of busy ones took longer than all the rest.
static bool look_away(const struct worker_pool *pool)
{
    return pool->board->shared->used > WATCHERS_MOST &&
           epoll_ctl(held_epoll, EPOLL_CTL_DEL, pool->listener, NULL) == 0;
}

// Returns whether the process may serve another client.
static bool serve(const struct worker_pool *pool)
{
    const struct pool_request *request = pool->request;
    bool away = look_away(pool);
    bool go_on = request->serve(request->context, &pool->wait, &worker_stop_requested);

    return go_on && (!away || watch_listener(pool));
}

// One connection, on descriptor 0. Returns whether the worker may go on.
static bool take_turn(const struct worker_pool *pool, const union host_address *client)
{
    bool go_on = true;

    own_slot->state = BOARD_BUSY;
    board_move(pool->board);
    if (board_is_short(pool->board) || is_left_waiting(pool))
        poke(pool);
    if (admit(pool, client)) {
        if (pool->request->gives_away)
            give_away(pool);
        go_on = serve(pool);
    }
    wipe_stack();
    // The client may know of the end, and come again, as soon as the descriptor is closed.
    board_unclaim(own_slot);
    board_move(pool->board);
    close(0);
    if (go_on && !pool->request->gives_away)
        return true;
    own_slot->state = BOARD_LEAVING;
    return false;
}

// What accept(2) said other than a connection. Returns whether to try again.
static bool bear_with(const struct worker_pool *pool, int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    // Errors that were pending on the new connection, accept(2).
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
    case ECONNRESET:
        return true;
    case EINVAL:
    case EBADF:
    case ENOTSOCK:
        pool->board->shared->broken = error;
        poke(pool);
        return false;
    default: // EMFILE, ENFILE, ENOMEM, ENOBUFS; EPERM of a firewall
        if (board_due(&pool->board->shared->scarce, WORKER_SAY_MS))
            pool->request->tell("unable to accept a connection: %s; trying again", strerror(error));
        worker_nap(pool, SCARCE_MS);
        return true;
    }
}

// Waits for a connection. Returns whether to try to accept one: it may have come to another. Sets
// *LAST where that is to be the last time.
static void await(const struct worker_pool *pool, bool *last)
{
    int patience = board_has_many(pool->board) ? IDLE_MS : -1;
    struct epoll_event event;

    // Who is not waiting any more has not been woken in vain: so it must look once more.
    if (epoll_pwait(held_epoll, &event, 1, patience, &pool->wait) == 0)
        *last = board_retire(pool->board, own_slot);
}

// Whether no connection is to be accepted any more. SIGUSR1 is let in everywhere; the signals that
// end a worker may still wait, and one that comes between this and accept4(2) ends a connection.
static bool is_called_off(const struct worker_pool *pool)
{
    sigset_t pending;

    if (pool->board->shared->closing || worker_stop_requested || held_listener < 0)
        return true;
    sigpending(&pending);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigismember(&pending, ending[i]))
            return true;
    return false;
}

static void accept_and_serve(const struct worker_pool *pool)
{
    union host_address client;
    bool last = false, go_on = true;

    while (go_on) {
        socklen_t size = sizeof client;
        int fd;

        memset(&client, 0, sizeof client);
        if (!last)
            own_slot->state = BOARD_ACCEPTING;
        // In this order: the first process sets it before it looks at the state.
        if (is_called_off(pool))
            break;
        fd = accept4(held_listener, &client.any, &size, 0);
        if (fd > 0) {
            dup2(fd, 0);
            close(fd);
        }
        if (fd >= 0) {
            last = false;
            go_on = take_turn(pool, &client);
            explicit_bzero(&client, sizeof client);
        } else if (held_listener < 0) {
            break; // since it was looked at: EBADF
        } else if (errno == EAGAIN) {
            go_on = !last;
            own_slot->state = last ? BOARD_LEAVING : BOARD_IDLE;
            if (go_on)
                await(pool, &last);
        } else {
            own_slot->state = BOARD_IDLE;
            go_on = bear_with(pool, errno);
        }
    }
}

void worker_run(const struct worker_pool *pool, struct board_slot *slot)
{
    sigset_t told;

    own_slot = slot;
    held_listener = pool->listener;
    held_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (held_epoll < 0)
        tell_unable_to_wait(pool);
    if (held_epoll < 0 || !watch_listener(pool))
        return;
    set_handler(SIGCHLD, SIG_DFL);
    set_handler(SIGUSR1, let_go);
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &told, NULL);
    // So the kernel tells of the end of the first process, even if that was killed.
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != pool->first)
        return;
    close(0); // accept4(2) gives the lowest number that is free
    accept_and_serve(pool);
}
