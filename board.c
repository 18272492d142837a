// SPDX-License-Identifier: ISC
#include "board.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

// A stopped process may have the lock: then two may decide at once, which is better than none.
#define LOCK_S 1

int64_t board_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error)
        return error;
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    // Who is killed holding it holds it no longer.
    if (!error)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error)
        error = pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error;
}

struct board *board_new(unsigned max, unsigned per_source)
{
    struct board *board;
    size_t size = sizeof *board + max * sizeof board->slots[0];
    int error;

    // Pages that no slot is in are never touched.
    board =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (board == MAP_FAILED)
        return NULL;
    error = init_lock(&board->lock);
    if (error) {
        munmap(board, size);
        errno = error;
        return NULL;
    }
    board->max = max;
    board->per_source = per_source;
    board->least = BOARD_LEAST_IDLE;
    board->moved_ms = board_now_ms();
    return board;
}

static bool lock(struct board *board)
{
    struct timespec until;
    int error;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LOCK_S;
    error = pthread_mutex_timedlock(&board->lock, &until);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&board->lock);
    return error == 0;
}

static void unlock(struct board *board, bool locked)
{
    if (locked)
        pthread_mutex_unlock(&board->lock);
}

static bool is_idle(int state)
{
    return state == BOARD_STARTING || state == BOARD_IDLE || state == BOARD_ACCEPTING;
}

void board_count(const struct board *board, struct board_counts *counts)
{
    unsigned used = board->used;

    *counts = (struct board_counts){0};
    for (unsigned i = 0; i < used; i++) {
        int state = board->slots[i].state;

        counts->workers += state != BOARD_FREE;
        counts->idle += is_idle(state);
        counts->busy += state == BOARD_BUSY;
    }
}

// Whether at least WANTED are idle.
static bool has_idle(const struct board *board, unsigned wanted)
{
    unsigned used = board->used, idle = 0;

    for (unsigned i = 0; i < used && idle < wanted; i++)
        idle += is_idle(board->slots[i].state);
    return idle >= wanted;
}

unsigned board_missing(const struct board *board, const struct board_counts *counts)
{
    unsigned room = board->max - counts->workers, missing;

    if (counts->idle >= BOARD_LEAST_IDLE)
        return 0;
    missing = BOARD_USUAL_IDLE - counts->idle;
    return missing < room ? missing : room;
}

bool board_is_short(const struct board *board)
{
    return !has_idle(board, board->least);
}

bool board_has_many(const struct board *board)
{
    return has_idle(board, BOARD_USUAL_IDLE + 1);
}

struct board_slot *board_find(struct board *board, pid_t pid)
{
    for (unsigned i = 0; i < board->used; i++)
        if (board->slots[i].pid == pid)
            return &board->slots[i];
    return NULL;
}

struct board_slot *board_take(struct board *board)
{
    unsigned i = 0;

    while (i < board->max && board->slots[i].state != BOARD_FREE)
        i++;
    if (i == board->max)
        return NULL;
    if (i >= board->used)
        board->used = i + 1;
    board->slots[i].state = BOARD_STARTING;
    return &board->slots[i];
}

void board_free(struct board *board, struct board_slot *slot)
{
    board_unclaim(board, slot);
    slot->pid = 0;
    slot->released = false;
    slot->fate = BOARD_UNDECIDED;
    slot->state = BOARD_FREE;
    while (board->used > 0 && board->slots[board->used - 1].state == BOARD_FREE)
        board->used--;
}

// Returns false for a client without an IP address.
static bool source_of(const union host_address *client, struct in6_addr *source, uint32_t *scope)
{
    union host_address plain = *client;

    memset(source, 0, sizeof *source);
    *scope = 0;
    host_unmap(&plain);
    if (plain.any.sa_family == AF_INET6) {
        *source = plain.in6.sin6_addr;
        *scope = plain.in6.sin6_scope_id;
        return true;
    }
    source->s6_addr[10] = source->s6_addr[11] = 0xff;
    memcpy(&source->s6_addr[12], &plain.in.sin_addr, 4);
    return plain.any.sa_family == AF_INET;
}

static enum board_claim decide(const struct board *board, const struct board_slot *slot,
                               const struct in6_addr *source, uint32_t scope)
{
    unsigned used = board->used, admitted = 0, waiting = 0;

    for (unsigned i = 0; i < used; i++) {
        const struct board_slot *other = &board->slots[i];

        if (other == slot || other->claim == BOARD_UNCLAIMED || other->scope != scope ||
            memcmp(&other->source, source, sizeof *source) != 0)
            continue;
        admitted += other->claim == BOARD_ADMITTED;
        waiting += other->claim == BOARD_WAITING;
    }
    if (admitted < board->per_source)
        return BOARD_ADMITTED;
    return waiting == 0 ? BOARD_WAITING : BOARD_REFUSED;
}

enum board_claim board_claim(struct board *board, struct board_slot *slot,
                             const union host_address *client)
{
    struct in6_addr source;
    uint32_t scope;
    enum board_claim claim;
    bool locked;

    if (board->per_source == 0 || !source_of(client, &source, &scope))
        return BOARD_ADMITTED;
    locked = lock(board);
    claim = decide(board, slot, &source, scope);
    if (claim != BOARD_REFUSED) {
        slot->source = source;
        slot->scope = scope;
        slot->claim = claim;
    }
    unlock(board, locked);
    return claim;
}

void board_unclaim(struct board *board, struct board_slot *slot)
{
    bool locked;

    if (slot->claim == BOARD_UNCLAIMED)
        return;
    locked = lock(board);
    slot->claim = BOARD_UNCLAIMED;
    memset(&slot->source, 0, sizeof slot->source);
    unlock(board, locked);
}

bool board_retire(struct board *board, struct board_slot *slot)
{
    bool locked = lock(board), may = board_has_many(board);

    if (may)
        slot->state = BOARD_LEAVING;
    unlock(board, locked);
    return may;
}

bool board_due(atomic_llong *last_ms, int64_t pause_ms)
{
    long long last = *last_ms, now = board_now_ms();

    if (last != 0 && now - last < pause_ms)
        return false;
    return atomic_compare_exchange_strong(last_ms, &last, now);
}
