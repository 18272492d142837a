// SPDX-License-Identifier: ISC
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"

#define IDLE_MS        5000 // one worker more than usual leaves after so long without a client
#define CLOSE_MS       200  // that the workers have to let go of the listener
#define SCARCE_MS      100  // the pause after accept(2) lacked something
#define FORK_MS        250  // and after fork(2) did
#define CRASH_MS       100  // and after a worker died, doubled up to the second as they go on dying
#define CRASH_MOST_MS  1000
#define CALM_MS        10000 // without a crash, and then it is the first again
#define STUCK_MS       10    // in which an idle worker should have accepted
#define FULL_MS        5000  // how often it is looked whether there is room again
#define SAY_MS         60000 // the same trouble is told no more often
#define SAY_REFUSED_MS 1000
#define CLAIM_MS       50 // for a connection that has ended to be cleared away, looked at every
#define CLAIM_STEP_MS  2
#define OTHERS_MAX     256 // descriptors below it are looked at for further copies of the listener
#define STACK_BYTES    16384

struct pool {
    const struct pool_request *request;
    struct board *board;
    int listener, poke; // poke: an eventfd(2) that wakes the first process
    pid_t first;
    sigset_t found; // the signal mask that the pool was started with
    sigset_t wait;  // FOUND without what ends a wait
    // The first process's own, in milliseconds of the clock; 0: not set.
    int64_t fork_at, stuck_at, crashed_at, full_at;
    int64_t crash_pause;
    bool fork_failed;
    bool full; // it was told that max is reached
};

static const int ending[] = {SIGTERM, SIGINT, SIGHUP};

static volatile sig_atomic_t stop_requested;
// Of a worker, for its signal handler; -1 once closed.
static volatile sig_atomic_t held_listener, held_epoll;
static struct board_slot *own_slot;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void wake_up(int signal_number)
{
    (void)signal_number;
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

static void catch (int signal_number, void (*handler)(int))
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

static bool is_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return poll(&entry, 1, 0) > 0;
}

static void nap(const struct pool *pool, int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    ppoll(NULL, 0, &time, &pool->wait);
}

static void poke(const struct pool *pool)
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

// Lets a connection in, or closes it. It may wait a moment for another of the same client that has
// ended, but is not cleared away yet.
static bool admit(const struct pool *pool, const union host_address *client)
{
    int64_t deadline = board_now_ms() + CLAIM_MS;
    enum board_claim claim;
    char text[HOST_TEXT_MAX];

    while ((claim = board_claim(pool->board, own_slot, client)) == BOARD_WAITING &&
           board_now_ms() < deadline && !stop_requested)
        nap(pool, CLAIM_STEP_MS);
    if (claim == BOARD_ADMITTED)
        return true;
    if (board_due(&pool->board->refused_ms, SAY_REFUSED_MS)) {
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
static void give_away(const struct pool *pool)
{
    int undecided = BOARD_UNDECIDED;

    prctl(PR_SET_PDEATHSIG, 0);
    // Else the signal is on its way, and would come to the next program.
    if (!atomic_compare_exchange_strong(&own_slot->fate, &undecided, BOARD_GIVEN))
        while (held_listener >= 0)
            sigsuspend(&pool->wait);
    let_go(SIGUSR1);
    close(pool->poke);
    catch (SIGUSR1, SIG_IGN); // one that is pending goes with that
    catch (SIGUSR1, SIG_DFL);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        catch (ending[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &pool->found, NULL);
}

// One connection, on descriptor 0. Returns whether the worker may go on.
static bool take_turn(const struct pool *pool, const union host_address *client)
{
    const struct pool_request *request = pool->request;
    sigset_t busy = pool->found;
    bool go_on = true;

    own_slot->state = BOARD_BUSY;
    pool->board->moved_ms = board_now_ms();
    // One wake-up may have been for several connections (Linux before 5.7).
    if (board_is_short(pool->board) || is_readable(pool->listener))
        poke(pool);
    if (admit(pool, client)) {
        set_mask(&busy, true);
        sigdelset(&busy, SIGUSR1);
        if (request->gives_away)
            give_away(pool);
        else
            sigprocmask(SIG_SETMASK, &busy, NULL);
        go_on = request->serve(request->context, &pool->wait, &stop_requested);
        sigaddset(&busy, SIGUSR1);
        sigprocmask(SIG_SETMASK, &busy, NULL);
        wipe_stack();
    }
    // The client may know of the end, and come again, as soon as the descriptor is closed.
    board_unclaim(pool->board, own_slot);
    pool->board->moved_ms = board_now_ms();
    close(0);
    return go_on && !request->gives_away;
}

// What accept(2) said other than a connection. Returns whether to try again.
static bool bear_with(const struct pool *pool, int error)
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
        pool->board->broken = error;
        poke(pool);
        return false;
    default: // EMFILE, ENFILE, ENOMEM, ENOBUFS; EPERM of a firewall
        if (board_due(&pool->board->scarce_ms, SAY_MS))
            pool->request->tell("unable to accept a connection: %s; trying again", strerror(error));
        nap(pool, SCARCE_MS);
        return true;
    }
}

// Waits for a connection. Returns whether to try to accept one: it may have come to another. Sets
// *LAST where that is to be the last time.
static void await(const struct pool *pool, bool *last)
{
    int patience = board_has_many(pool->board) ? IDLE_MS : -1;
    struct epoll_event event;

    // Who is not waiting any more has not been woken in vain: so it must look once more.
    if (epoll_pwait(held_epoll, &event, 1, patience, &pool->wait) == 0)
        *last = board_retire(pool->board, own_slot);
}

static void accept_and_serve(const struct pool *pool)
{
    union host_address client;
    bool last = false, go_on = true;

    while (go_on) {
        socklen_t size = sizeof client;
        int fd;

        if (!last)
            own_slot->state = BOARD_ACCEPTING;
        // In this order: the first process sets it before it looks at the state.
        if (pool->board->closing || stop_requested || held_listener < 0)
            break;
        memset(&client, 0, sizeof client);
        fd = accept4(held_listener, &client.any, &size, 0);
        if (fd > 0) {
            dup2(fd, 0);
            close(fd);
        }
        if (fd >= 0) {
            last = false;
            go_on = take_turn(pool, &client);
            explicit_bzero(&client, sizeof client);
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

static bool watch_listener(const struct pool *pool)
{
    // Of the workers that wait, one is woken for a connection, not all.
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

    held_listener = pool->listener;
    held_epoll = epoll_create1(EPOLL_CLOEXEC);
    return held_epoll >= 0 && epoll_ctl(held_epoll, EPOLL_CTL_ADD, pool->listener, &event) == 0;
}

static void work(const struct pool *pool, struct board_slot *slot)
{
    own_slot = slot;
    if (!watch_listener(pool)) {
        if (board_due(&pool->board->scarce_ms, SAY_MS))
            pool->request->tell("unable to wait for connections: %s; trying again",
                                strerror(errno));
        return;
    }
    catch (SIGCHLD, SIG_DFL);
    catch (SIGUSR1, let_go);
    // So the kernel tells of the end of the first process, even if that was killed.
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != pool->first)
        return;
    close(0); // accept4(2) gives the lowest number that is free
    accept_and_serve(pool);
}

enum role { ROLE_FIRST, ROLE_WORKER };

// Starts COUNT workers; in each of them it returns ROLE_WORKER when that is done with its work.
static enum role start_workers(struct pool *pool, unsigned count)
{
    while (count-- > 0) {
        struct board_slot *slot = board_take(pool->board);
        pid_t pid;

        if (!slot)
            break;
        pid = fork();
        if (pid == 0) {
            work(pool, slot);
            return ROLE_WORKER;
        }
        if (pid < 0) {
            int error = errno;

            board_free(pool->board, slot);
            pool->fork_at = board_now_ms() + FORK_MS;
            if (!pool->fork_failed)
                pool->request->tell("unable to start a worker: %s; trying again", strerror(error));
            pool->fork_failed = true;
            return ROLE_FIRST;
        }
        slot->pid = pid;
        pool->fork_failed = false;
    }
    return ROLE_FIRST;
}

static void note_crash(struct pool *pool)
{
    int64_t now = board_now_ms();

    if (pool->crashed_at == 0 || now - pool->crashed_at > CALM_MS)
        pool->crash_pause = CRASH_MS;
    else if (pool->crash_pause < CRASH_MOST_MS)
        pool->crash_pause *= 2;
    pool->crashed_at = now;
    pool->fork_at = now + pool->crash_pause;
}

static void reap(struct pool *pool)
{
    bool crashed = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct board_slot *slot = board_find(pool->board, pid);

        if (!slot)
            continue;
        if (slot->fate != BOARD_GIVEN && WIFSIGNALED(status))
            pool->request->tell("worker %d died of signal %d, %s", (int)pid, WTERMSIG(status),
                                strsignal(WTERMSIG(status)));
        else if (slot->fate != BOARD_GIVEN && WEXITSTATUS(status) != 0)
            pool->request->tell("worker %d ended with status %d", (int)pid, WEXITSTATUS(status));
        // One that could not even begin is no better.
        crashed |= slot->fate != BOARD_GIVEN && (status != 0 || slot->state == BOARD_STARTING);
        if (slot->state == BOARD_BUSY)
            pool->board->moved_ms = board_now_ms();
        board_free(pool->board, slot);
        // It may have been woken for a connection, and not have accepted it.
        pool->stuck_at = board_now_ms() + STUCK_MS;
    }
    if (crashed && !pool->board->closing)
        note_crash(pool);
}

// Whether max is reached and somebody waits; tells it once until there is clearly room again.
static void note_full(struct pool *pool, const struct board_counts *counts)
{
    bool all_busy = counts->workers == pool->board->max && counts->idle == 0;
    int64_t now = board_now_ms();

    if (pool->full && now >= pool->full_at) {
        pool->full = counts->busy > pool->board->max - pool->board->max / 4 - 1;
        pool->full_at = now + FULL_MS;
    } else if (all_busy && !pool->full && is_readable(pool->listener)) {
        pool->request->tell("%u connections are open, which is --max: more wait until one of them "
                            "has ended",
                            pool->board->max);
        pool->full = true;
        pool->full_at = now + FULL_MS;
    }
    pool->board->least = counts->workers < pool->board->max ? BOARD_LEAST_IDLE : !pool->full;
}

// Starts what is missing; one more where a connection waits in spite of idle workers.
static enum role adjust(struct pool *pool, bool poked, struct board_counts *counts)
{
    int64_t now = board_now_ms();
    unsigned missing;
    bool stuck = pool->stuck_at && now >= pool->stuck_at;

    board_count(pool->board, counts);
    missing = board_missing(pool->board, counts);
    if (stuck)
        pool->stuck_at = 0;
    if (missing == 0 && counts->workers < pool->board->max && counts->idle > 0) {
        if (stuck && is_readable(pool->listener))
            missing = 1;
        else if (poked && !pool->stuck_at && is_readable(pool->listener))
            pool->stuck_at = now + STUCK_MS;
    }
    if (now >= pool->fork_at) {
        pool->fork_at = 0;
        if (missing > 0 && start_workers(pool, missing) == ROLE_WORKER)
            return ROLE_WORKER;
        board_count(pool->board, counts);
    }
    note_full(pool, counts);
    return ROLE_FIRST;
}

// How long nothing will have to be done by itself.
static int64_t idle_time(const struct pool *pool, const struct board_counts *counts)
{
    int64_t now = board_now_ms(), next = now + pool->request->linger_ms;

    if (counts->busy == 0)
        next = pool->board->moved_ms + pool->request->linger_ms;
    if (pool->full && pool->full_at < next)
        next = pool->full_at;
    if (pool->stuck_at && pool->stuck_at < next)
        next = pool->stuck_at;
    if (pool->fork_at && pool->fork_at < next)
        next = pool->fork_at;
    return next > now ? next - now : 0;
}

// Returns whether a worker poked.
static bool wait_for_news(const struct pool *pool, const struct board_counts *counts)
{
    bool all_busy = counts->workers == pool->board->max && counts->idle == 0;
    int64_t ms = idle_time(pool, counts);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    struct pollfd entries[2] = {
        {.fd = pool->poke, .events = POLLIN},
        // Who comes now waits, and that is to be told.
        {.fd = all_busy && !pool->full ? pool->listener : -1, .events = POLLIN},
    };
    uint64_t pokes;

    if (ppoll(entries, 2, &time, &pool->wait) <= 0)
        return false;
    return read(pool->poke, &pokes, sizeof pokes) > 0;
}

static bool is_over(const struct pool *pool, const struct board_counts *counts)
{
    return stop_requested || pool->board->broken ||
           (counts->busy == 0 &&
            board_now_ms() - pool->board->moved_ms >= pool->request->linger_ms);
}

// Signals every worker that is not another program by now, and waits until none has the listener.
static void close_all(struct pool *pool)
{
    int64_t deadline = board_now_ms() + CLOSE_MS;
    bool waiting = true;

    pool->board->closing = true;
    for (unsigned i = 0; i < pool->board->used; i++) {
        struct board_slot *slot = &pool->board->slots[i];
        int undecided = BOARD_UNDECIDED;

        if (slot->pid && atomic_compare_exchange_strong(&slot->fate, &undecided, BOARD_TOLD))
            kill(slot->pid, SIGUSR1);
    }
    while (waiting && board_now_ms() < deadline) {
        reap(pool);
        waiting = false;
        for (unsigned i = 0; i < pool->board->used && !waiting; i++) {
            const struct board_slot *slot = &pool->board->slots[i];

            waiting = slot->pid && !slot->released && slot->fate != BOARD_GIVEN;
        }
        if (waiting)
            nap(pool, 1);
    }
    // A stopped one would hold the listener; it has no connection, and can't get one any more.
    for (unsigned i = 0; waiting && i < pool->board->used; i++) {
        const struct board_slot *slot = &pool->board->slots[i];

        if (slot->pid && (slot->state == BOARD_IDLE || slot->state == BOARD_STARTING))
            kill(slot->pid, SIGKILL);
    }
}

static int supervise(struct pool *pool)
{
    struct board_counts counts;
    bool poked = false;

    do {
        reap(pool);
        if (adjust(pool, poked, &counts) == ROLE_WORKER)
            return 0;
        poked = wait_for_news(pool, &counts);
        board_count(pool->board, &counts);
    } while (!is_over(pool, &counts));
    close_all(pool);
    errno = pool->board->broken;
    return errno ? -1 : 0;
}

// Where there is no /dev/null, a pipe that nobody reads does as well.
static int open_null(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), ends[2];

    if (null < 0 && pipe2(ends, O_CLOEXEC) == 0) {
        null = ends[1];
        close(ends[0]);
    }
    return null;
}

// Moves the listener out of the way of the connections, to be the only descriptor of it.
static int keep_listener(void)
{
    struct stat own, other;
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 3), null = open_null(), flags;

    if (fd < 0 || null < 0 || fstat(fd, &own) < 0)
        return -1;
    for (int i = 0; i < OTHERS_MAX; i++) {
        if (i == fd || fstat(i, &other) < 0 || other.st_dev != own.st_dev ||
            other.st_ino != own.st_ino)
            continue;
        if (i <= 2)
            dup2(null, i);
        else
            close(i);
    }
    close(null);
    flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : fd;
}

int pool(const struct pool_request *request)
{
    struct pool pool = {.request = request, .first = getpid()};
    sigset_t blocked;

    pool.listener = keep_listener();
    pool.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool.listener < 0 || pool.poke < 0)
        return -1;
    pool.board = board_new(request->max, request->per_source);
    if (!pool.board)
        return -1;
    // A child inherits the mask, so that a signal waits until it has handlers for it.
    sigprocmask(SIG_BLOCK, NULL, &pool.found);
    pool.wait = blocked = pool.found;
    set_mask(&pool.wait, false);
    set_mask(&blocked, true);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        catch (ending[i], request_stop);
    catch (SIGCHLD, wake_up); // one that is ignored would leave nothing to reap
    return supervise(&pool);
}
