// SPDX-License-Identifier: ISC
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

#define CLOSE_MS      200  // that the workers have to let go of the listener
#define START_MS      1000 // the pause after the pool could not start
#define FORK_MS       250  // and after fork(2) did
#define CRASH_MS      100  // and after a worker died, doubled up to the second as they go on dying
#define CRASH_MOST_MS 1000
#define CALM_MS       10000 // without a crash, and then it is the first again
#define STUCK_MS      10    // in which an idle worker should have accepted
#define FULL_MS       5000  // how often it is looked whether there is room again
#define OTHERS_MAX    256   // descriptors below it are looked at for further copies of the listener

struct timer {
    bool set;
    int64_t at_ms;
};

struct pool {
    struct worker_pool base;
    struct board board;
    struct timer fork;  // no worker is started before
    struct timer stuck; // a connection that still waits then may need one more worker
    struct timer calm;  // a crash after it is the first again
    struct timer full; // set: it was told that max is reached; whether there is room is looked then
    int64_t crash_pause;
    bool fork_failed;
};

static void set_timer(struct timer *timer, int64_t ms)
{
    *timer = (struct timer){.set = true, .at_ms = board_now_ms() + ms};
}

static bool is_due(const struct timer *timer)
{
    return timer->set && board_now_ms() >= timer->at_ms;
}

static void take_sooner(int64_t *ms, const struct timer *timer)
{
    int64_t left = timer->at_ms - board_now_ms();

    if (timer->set && left < *ms)
        *ms = left > 0 ? left : 0;
}

enum role { ROLE_FIRST, ROLE_WORKER };

// Starts COUNT workers; in each of them it returns ROLE_WORKER when that is done with its work.
static enum role start_workers(struct pool *pool, unsigned count)
{
    while (count-- > 0) {
        struct board_slot *slot = board_take(&pool->board);
        pid_t pid;

        if (!slot)
            break;
        pid = fork();
        if (pid == 0) {
            worker_run(&pool->base, slot);
            return ROLE_WORKER;
        }
        if (pid < 0) {
            int error = errno;

            board_free(&pool->board, slot);
            set_timer(&pool->fork, FORK_MS);
            if (!pool->fork_failed)
                pool->base.request->tell("unable to start a worker: %s; trying again",
                                         strerror(error));
            pool->fork_failed = true;
            return ROLE_FIRST;
        }
        board_hire(&pool->board, slot, pid);
        pool->fork_failed = false;
    }
    return ROLE_FIRST;
}

static void note_crash(struct pool *pool)
{
    if (!pool->calm.set || is_due(&pool->calm))
        pool->crash_pause = CRASH_MS;
    else if (pool->crash_pause < CRASH_MOST_MS)
        pool->crash_pause *= 2;
    set_timer(&pool->calm, CALM_MS);
    set_timer(&pool->fork, pool->crash_pause);
}

// The kernel looks at every worker to find one that has ended.
static void reap(struct pool *pool)
{
    bool crashed = false;
    int status;
    pid_t pid;

    if (!worker_child_ended)
        return;
    worker_child_ended = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct board_slot *slot = board_find(&pool->board, pid);

        if (!slot)
            continue;
        if (slot->fate != BOARD_GIVEN && WIFSIGNALED(status))
            pool->base.request->tell("worker %d died of signal %d, %s", (int)pid, WTERMSIG(status),
                                     strsignal(WTERMSIG(status)));
        else if (slot->fate != BOARD_GIVEN && WEXITSTATUS(status) != 0)
            pool->base.request->tell("worker %d ended with status %d", (int)pid,
                                     WEXITSTATUS(status));
        // One that could not even begin is no better.
        crashed |= slot->fate != BOARD_GIVEN && (status != 0 || slot->state == BOARD_STARTING);
        if (slot->state == BOARD_BUSY)
            board_move(&pool->board);
        board_free(&pool->board, slot);
        // It may have been woken for a connection, and not have accepted it.
        if (!pool->stuck.set)
            set_timer(&pool->stuck, STUCK_MS);
    }
    if (crashed && !pool->board.shared->closing)
        note_crash(pool);
}

// Tells once that max is reached and somebody waits, until there is clearly room again.
static void note_full(struct pool *pool, const struct board_counts *counts)
{
    unsigned max = pool->board.max;

    if (is_due(&pool->full)) {
        if (counts->busy > max - max / 4 - 1)
            set_timer(&pool->full, FULL_MS);
        else
            pool->full.set = false;
    } else if (!pool->full.set && board_is_full(&pool->board, counts) &&
               worker_is_readable(pool->base.listener)) {
        pool->base.request->tell("%u connections are open, which is --max: more wait until one of "
                                 "them has ended",
                                 max);
        set_timer(&pool->full, FULL_MS);
    }
    pool->board.shared->least = counts->workers < max ? BOARD_LEAST_IDLE : !pool->full.set;
}

// From now on workers need not tell that somebody waits: that is looked at soon.
static void watch(struct pool *pool, bool on)
{
    if (on)
        set_timer(&pool->stuck, STUCK_MS);
    pool->stuck.set = on;
    pool->board.shared->watched = on;
}

// Whether a connection waits, and none of the idle workers takes it. While others are taken it is
// about to be the next.
static bool is_somebody_stuck(struct pool *pool, bool poked)
{
    bool due = is_due(&pool->stuck);

    if (pool->stuck.set ? !due : !poked)
        return false;
    // In this order: who waits while a worker still sees that it is watched, and so does not tell,
    // is seen by the look below. In which order the worker looks at the two makes no difference.
    watch(pool, false);
    if (!worker_is_readable(pool->base.listener))
        return false;
    if (due && board_quiet_ms(&pool->board) >= STUCK_MS)
        return true;
    watch(pool, true);
    return false;
}

// Starts what is missing by COUNTS, which it renews then; one more where a connection waits in
// spite of idle workers.
static enum role adjust(struct pool *pool, bool poked, struct board_counts *counts)
{
    unsigned missing;

    missing = board_missing(&pool->board, counts);
    if (missing == 0 && counts->workers < pool->board.max && counts->idle > 0)
        missing = is_somebody_stuck(pool, poked);
    else if (is_due(&pool->stuck))
        watch(pool, false);
    if (!pool->fork.set || is_due(&pool->fork)) {
        pool->fork.set = false;
        if (missing > 0) {
            if (start_workers(pool, missing) == ROLE_WORKER)
                return ROLE_WORKER;
            board_count(&pool->board, counts);
        }
    }
    note_full(pool, counts);
    return ROLE_FIRST;
}

// How long until it is over if no connection comes, which takes its time anew with each.
static int64_t time_left(const struct pool *pool, const struct board_counts *counts)
{
    int64_t linger_ms = pool->base.request->linger_ms;

    return counts->busy > 0 ? linger_ms : linger_ms - board_quiet_ms(&pool->board);
}

// How long nothing will have to be done by itself.
static int64_t idle_time(const struct pool *pool, const struct board_counts *counts)
{
    int64_t ms = time_left(pool, counts);

    take_sooner(&ms, &pool->full);
    take_sooner(&ms, &pool->stuck);
    take_sooner(&ms, &pool->fork);
    return ms > 0 ? ms : 0;
}

// Returns whether a worker poked.
static bool wait_for_news(const struct pool *pool, const struct board_counts *counts)
{
    int64_t ms = idle_time(pool, counts);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    bool full = board_is_full(&pool->board, counts);
    struct pollfd entries[2] = {
        {.fd = pool->base.poke, .events = POLLIN},
        // Who comes now waits, and that is to be told.
        {.fd = full && !pool->full.set ? pool->base.listener : -1, .events = POLLIN},
    };
    uint64_t pokes;

    if (ppoll(entries, 2, &time, &pool->base.wait) <= 0)
        return false;
    return read(pool->base.poke, &pokes, sizeof pokes) > 0;
}

static bool is_over(const struct pool *pool, const struct board_counts *counts)
{
    return worker_stop_requested || pool->board.shared->broken || time_left(pool, counts) <= 0;
}

// Signals every worker that is not another program by now.
static void tell_workers(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->board.used; i++) {
        int undecided = BOARD_UNDECIDED;

        if (pool->board.pids[i] != 0 &&
            atomic_compare_exchange_strong(&pool->board.shared->slots[i].fate, &undecided,
                                           BOARD_TOLD))
            kill(pool->board.pids[i], SIGUSR1);
    }
}

static bool is_listener_held(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->board.used; i++) {
        const struct board_slot *slot = &pool->board.shared->slots[i];

        if (pool->board.pids[i] != 0 && !slot->released && slot->fate != BOARD_GIVEN)
            return true;
    }
    return false;
}

// A stopped worker would hold the listener; it has no connection, and can't get one any more.
static void kill_stopped(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->board.used; i++) {
        int state = pool->board.shared->slots[i].state;

        if (pool->board.pids[i] != 0 && (state == BOARD_IDLE || state == BOARD_STARTING))
            kill(pool->board.pids[i], SIGKILL);
    }
}

// Returns when no worker has the listener any more, or should have let go of it long since.
static void close_all(struct pool *pool)
{
    int64_t deadline = board_now_ms() + CLOSE_MS;

    pool->board.shared->closing = true;
    tell_workers(pool);
    while (is_listener_held(pool) && board_now_ms() < deadline) {
        worker_nap(&pool->base, 1);
        reap(pool);
    }
    if (is_listener_held(pool))
        kill_stopped(pool);
}

static int supervise(struct pool *pool)
{
    struct board_counts counts;
    bool poked = false;

    board_count(&pool->board, &counts);
    while (!is_over(pool, &counts)) {
        if (adjust(pool, poked, &counts) == ROLE_WORKER)
            return 0;
        poked = wait_for_news(pool, &counts);
        reap(pool);
        board_count(&pool->board, &counts);
    }
    close_all(pool);
    errno = pool->board.shared->broken;
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

// Makes FD the only descriptor of its socket.
static void replace_others(int fd, int null)
{
    struct stat own, other;

    if (fstat(fd, &own) < 0)
        return;
    for (int i = 0; i < OTHERS_MAX; i++) {
        if (i == fd || fstat(i, &other) < 0 || other.st_dev != own.st_dev ||
            other.st_ino != own.st_ino)
            continue;
        if (i <= 2)
            dup2(null, i);
        else
            close(i);
    }
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

// Moves the listener out of the way of the connections, and gets all else that the pool needs.
// Returns 0, or -1 with errno, and all is as it was.
static int prepare(struct pool *pool)
{
    struct worker_pool *base = &pool->base;
    int null = -1, error;

    base->poke = -1;
    base->listener = fcntl(0, F_DUPFD_CLOEXEC, 3);
    if (base->listener < 0 || (null = open_null()) < 0 ||
        (base->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
        set_nonblocking(base->listener) < 0 ||
        board_init(&pool->board, base->request->max, base->request->per_source) < 0)
        goto failed;
    replace_others(base->listener, null);
    close(null);
    return 0;
failed:
    error = errno;
    if (base->listener >= 0)
        close(base->listener);
    if (null >= 0)
        close(null);
    if (base->poke >= 0)
        close(base->poke);
    errno = error;
    return -1;
}

static bool is_scarcity(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

int pool(const struct pool_request *request)
{
    struct pool pool = {.base = {.request = request, .first = getpid()}};

    pool.base.board = &pool.board;
    worker_take_signals(&pool.base);
    // A superserver would start the next at once, again and again, as long as a client waits.
    for (bool told = false; prepare(&pool) < 0; told = true) {
        if (!is_scarcity(errno))
            return -1;
        if (!told)
            request->tell("unable to serve the listening socket: %s; trying again",
                          strerror(errno));
        worker_nap(&pool.base, START_MS);
        if (worker_stop_requested)
            return 0;
    }
    return supervise(&pool);
}
