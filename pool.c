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

#define CLOSE_MS      200 // that the workers have to let go of the listener
#define FORK_MS       250 // and after fork(2) did
#define CRASH_MS      100 // and after a worker died, doubled up to the second as they go on dying
#define CRASH_MOST_MS 1000
#define CALM_MS       10000 // without a crash, and then it is the first again
#define STUCK_MS      10    // in which an idle worker should have accepted
#define FULL_MS       5000  // how often it is looked whether there is room again
#define OTHERS_MAX    256   // descriptors below it are looked at for further copies of the listener

struct pool {
    struct worker_pool base;
    // In milliseconds of the clock; 0: not set.
    int64_t fork_at, stuck_at, crashed_at, full_at;
    int64_t crash_pause;
    bool fork_failed;
    bool full; // it was told that max is reached
};

enum role { ROLE_FIRST, ROLE_WORKER };

// Starts COUNT workers; in each of them it returns ROLE_WORKER when that is done with its work.
static enum role start_workers(struct pool *pool, unsigned count)
{
    while (count-- > 0) {
        struct board_slot *slot = board_take(pool->base.board);
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

            board_free(pool->base.board, slot);
            pool->fork_at = board_now_ms() + FORK_MS;
            if (!pool->fork_failed)
                pool->base.request->tell("unable to start a worker: %s; trying again",
                                         strerror(error));
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
        struct board_slot *slot = board_find(pool->base.board, pid);

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
            pool->base.board->moved_ms = board_now_ms();
        board_free(pool->base.board, slot);
        // It may have been woken for a connection, and not have accepted it.
        pool->stuck_at = board_now_ms() + STUCK_MS;
    }
    if (crashed && !pool->base.board->closing)
        note_crash(pool);
}

// Whether max is reached and somebody waits; tells it once until there is clearly room again.
static void note_full(struct pool *pool, const struct board_counts *counts)
{
    bool all_busy = counts->workers == pool->base.board->max && counts->idle == 0;
    int64_t now = board_now_ms();

    if (pool->full && now >= pool->full_at) {
        pool->full = counts->busy > pool->base.board->max - pool->base.board->max / 4 - 1;
        pool->full_at = now + FULL_MS;
    } else if (all_busy && !pool->full && worker_is_readable(pool->base.listener)) {
        pool->base.request->tell(
            "%u connections are open, which is --max: more wait until one of them "
            "has ended",
            pool->base.board->max);
        pool->full = true;
        pool->full_at = now + FULL_MS;
    }
    pool->base.board->least =
        counts->workers < pool->base.board->max ? BOARD_LEAST_IDLE : !pool->full;
}

// Starts what is missing; one more where a connection waits in spite of idle workers.
static enum role adjust(struct pool *pool, bool poked, struct board_counts *counts)
{
    int64_t now = board_now_ms();
    unsigned missing;
    bool stuck = pool->stuck_at && now >= pool->stuck_at;

    board_count(pool->base.board, counts);
    missing = board_missing(pool->base.board, counts);
    if (stuck)
        pool->stuck_at = 0;
    if (missing == 0 && counts->workers < pool->base.board->max && counts->idle > 0) {
        if (stuck && worker_is_readable(pool->base.listener))
            missing = 1;
        else if (poked && !pool->stuck_at && worker_is_readable(pool->base.listener))
            pool->stuck_at = now + STUCK_MS;
    }
    if (now >= pool->fork_at) {
        pool->fork_at = 0;
        if (missing > 0 && start_workers(pool, missing) == ROLE_WORKER)
            return ROLE_WORKER;
        board_count(pool->base.board, counts);
    }
    note_full(pool, counts);
    return ROLE_FIRST;
}

// How long nothing will have to be done by itself.
static int64_t idle_time(const struct pool *pool, const struct board_counts *counts)
{
    int64_t now = board_now_ms(), next = now + pool->base.request->linger_ms;

    if (counts->busy == 0)
        next = pool->base.board->moved_ms + pool->base.request->linger_ms;
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
    bool all_busy = counts->workers == pool->base.board->max && counts->idle == 0;
    int64_t ms = idle_time(pool, counts);
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    struct pollfd entries[2] = {
        {.fd = pool->base.poke, .events = POLLIN},
        // Who comes now waits, and that is to be told.
        {.fd = all_busy && !pool->full ? pool->base.listener : -1, .events = POLLIN},
    };
    uint64_t pokes;

    if (ppoll(entries, 2, &time, &pool->base.wait) <= 0)
        return false;
    return read(pool->base.poke, &pokes, sizeof pokes) > 0;
}

static bool is_over(const struct pool *pool, const struct board_counts *counts)
{
    return worker_stop_requested || pool->base.board->broken ||
           (counts->busy == 0 &&
            board_now_ms() - pool->base.board->moved_ms >= pool->base.request->linger_ms);
}

// Signals every worker that is not another program by now, and waits until none has the listener.
static void close_all(struct pool *pool)
{
    int64_t deadline = board_now_ms() + CLOSE_MS;
    bool waiting = true;

    pool->base.board->closing = true;
    for (unsigned i = 0; i < pool->base.board->used; i++) {
        struct board_slot *slot = &pool->base.board->slots[i];
        int undecided = BOARD_UNDECIDED;

        if (slot->pid && atomic_compare_exchange_strong(&slot->fate, &undecided, BOARD_TOLD))
            kill(slot->pid, SIGUSR1);
    }
    while (waiting && board_now_ms() < deadline) {
        reap(pool);
        waiting = false;
        for (unsigned i = 0; i < pool->base.board->used && !waiting; i++) {
            const struct board_slot *slot = &pool->base.board->slots[i];

            waiting = slot->pid && !slot->released && slot->fate != BOARD_GIVEN;
        }
        if (waiting)
            worker_nap(&pool->base, 1);
    }
    // A stopped one would hold the listener; it has no connection, and can't get one any more.
    for (unsigned i = 0; waiting && i < pool->base.board->used; i++) {
        const struct board_slot *slot = &pool->base.board->slots[i];

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
        board_count(pool->base.board, &counts);
    } while (!is_over(pool, &counts));
    close_all(pool);
    errno = pool->base.board->broken;
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
    struct pool pool = {.base = {.request = request, .first = getpid()}};

    pool.base.listener = keep_listener();
    pool.base.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool.base.listener < 0 || pool.base.poke < 0)
        return -1;
    pool.base.board = board_new(request->max, request->per_source);
    if (!pool.base.board)
        return -1;
    worker_take_signals(&pool.base);
    return supervise(&pool);
}
