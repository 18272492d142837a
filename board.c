// SPDX-License-Identifier: ISC
#include "board.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// A stopped process may have the lock: then two may decide at once, which is better than none. Who
// has it needs microseconds.
#define LOCK_MS     1000
#define LOCK_YIELDS 20
#define LOCK_NAP_US 200

int64_t board_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint32_t board_clock(void)
{
    return (uint32_t)board_now_ms();
}

// Pages that nobody writes to are never there.
static void *map(size_t size, int shared)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, shared | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int board_init(struct board *board, unsigned max, unsigned per_source)
{
    size_t size = sizeof *board->shared + max * sizeof board->shared->slots[0];

    board->shared = map(size, MAP_SHARED);
    if (board->shared == MAP_FAILED)
        return -1;
    board->pids = map(max * sizeof *board->pids, MAP_PRIVATE);
    if (board->pids == MAP_FAILED) {
        munmap(board->shared, size);
        return -1;
    }
    board->max = max;
    board->per_source = per_source;
    board->used = 0;
    board->shared->least = BOARD_LEAST_IDLE;
    board_move(board);
    return 0;
}

// Not a mutex of the C library: that has pointers in it, which a worker could bend.
static bool lock(const struct board *board)
{
    static const struct timespec nap = {.tv_nsec = LOCK_NAP_US * 1000};
    int64_t deadline = board_now_ms() + LOCK_MS;
    int own = getpid();

    for (unsigned turn = 0;; turn++) {
        int nobody = 0;

        if (atomic_compare_exchange_strong(&board->shared->lock, &nobody, own))
            return true;
        if (turn < LOCK_YIELDS)
            sched_yield();
        else if (board_now_ms() < deadline)
            nanosleep(&nap, NULL);
        else
            return false;
    }
}

// Takes the lock from OWNER, if that has it.
static void unlock(const struct board *board, int owner)
{
    atomic_compare_exchange_strong(&board->shared->lock, &owner, 0);
}

void board_move(const struct board *board)
{
    board->shared->moved = board_clock();
}

int64_t board_quiet_ms(const struct board *board)
{
    // In this order, and signed: another process may move meanwhile.
    uint32_t moved = board->shared->moved;
    int32_t quiet = (int32_t)(board_clock() - moved);

    return quiet > 0 ? quiet : 0;
}

bool board_due(atomic_uint *last, uint32_t pause_ms)
{
    unsigned said = *last, now = board_clock() | 1; // never 0

    if (said != 0 && now - said < pause_ms)
        return false;
    return atomic_compare_exchange_strong(last, &said, now);
}

static bool is_idle(int state)
{
    return state == BOARD_STARTING || state == BOARD_IDLE || state == BOARD_ACCEPTING;
}

void board_count(const struct board *board, struct board_counts *counts)
{
    *counts = (struct board_counts){0};
    for (unsigned i = 0; i < board->used; i++) {
        int state = board->shared->slots[i].state;

        if (board->pids[i] == 0)
            continue;
        counts->workers++;
        counts->idle += is_idle(state);
        counts->busy += state == BOARD_BUSY;
    }
}

unsigned board_missing(const struct board *board, const struct board_counts *counts)
{
    unsigned room = board->max - counts->workers, missing;

    if (counts->idle >= BOARD_LEAST_IDLE)
        return 0;
    missing = BOARD_USUAL_IDLE - counts->idle;
    return missing < room ? missing : room;
}

bool board_is_full(const struct board *board, const struct board_counts *counts)
{
    return counts->busy == board->max;
}

struct board_slot *board_take(struct board *board)
{
    unsigned i = 0;

    while (i < board->max && board->pids[i] != 0)
        i++;
    if (i == board->max)
        return NULL;
    if (i >= board->used)
        board->shared->used = board->used = i + 1;
    board->shared->slots[i].state = BOARD_STARTING;
    return &board->shared->slots[i];
}

void board_hire(struct board *board, const struct board_slot *slot, pid_t pid)
{
    board->pids[slot - board->shared->slots] = pid;
}

struct board_slot *board_find(const struct board *board, pid_t pid)
{
    for (unsigned i = 0; i < board->used; i++)
        if (board->pids[i] == pid)
            return &board->shared->slots[i];
    return NULL;
}

void board_free(struct board *board, struct board_slot *slot)
{
    pid_t *pid = &board->pids[slot - board->shared->slots];

    if (*pid != 0)
        unlock(board, *pid);
    *pid = 0;
    board_unclaim(slot);
    slot->released = false;
    slot->fate = BOARD_UNDECIDED;
    slot->state = BOARD_FREE;
    while (board->used > 0 && board->pids[board->used - 1] == 0)
        board->used--;
    board->shared->used = board->used;
}

// How many slots a worker has to look at.
static unsigned count_used(const struct board *board)
{
    unsigned used = board->shared->used;

    return used < board->max ? used : board->max;
}

// Whether at least WANTED are idle. Slots are given out from the first on, so those of long
// connections come first.
static bool has_idle(const struct board *board, unsigned wanted)
{
    unsigned idle = 0;

    for (unsigned i = count_used(board); i > 0 && idle < wanted; i--)
        idle += is_idle(board->shared->slots[i - 1].state);
    return idle >= wanted;
}

bool board_is_short(const struct board *board)
{
    return !has_idle(board, board->shared->least);
}

bool board_has_many(const struct board *board)
{
    return has_idle(board, BOARD_USUAL_IDLE + 1);
}

bool board_retire(const struct board *board, struct board_slot *slot)
{
    bool locked = lock(board), may = board_has_many(board);

    if (may)
        slot->state = BOARD_LEAVING;
    if (locked)
        unlock(board, getpid());
    return may;
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
    unsigned used = count_used(board), admitted = 0, waiting = 0;

    for (unsigned i = 0; i < used; i++) {
        const struct board_slot *other = &board->shared->slots[i];
        int claim = other->claim;

        if (other == slot || claim == BOARD_UNCLAIMED || other->scope != scope ||
            memcmp(&other->source, source, sizeof *source) != 0)
            continue;
        admitted += claim == BOARD_ADMITTED;
        waiting += claim == BOARD_WAITING;
    }
    if (admitted < board->per_source)
        return BOARD_ADMITTED;
    return waiting == 0 ? BOARD_WAITING : BOARD_REFUSED;
}

enum board_claim board_claim(const struct board *board, struct board_slot *slot,
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
    if (locked)
        unlock(board, getpid());
    return claim;
}

// Needs no lock: who reads the address meanwhile counts this connection once more, or not.
void board_unclaim(struct board_slot *slot)
{
    if (slot->claim == BOARD_UNCLAIMED)
        return;
    slot->claim = BOARD_UNCLAIMED;
    memset(&slot->source, 0, sizeof slot->source);
}
