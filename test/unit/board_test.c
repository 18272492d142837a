// SPDX-License-Identifier: ISC
#include "board.h"

#include <string.h>

#include "test.h"

static pid_t last_pid = 1000;

static union host_address client(const char *text)
{
    union host_address address;

    memset(&address, 0, sizeof address);
    host_address(text, 4711, &address);
    return address;
}

static struct board *new_board(unsigned max, unsigned per_source)
{
    static struct board board;

    board_init(&board, max, per_source);
    return &board;
}

static struct board_slot *add(struct board *board, int state)
{
    struct board_slot *slot = board_take(board);

    board_hire(board, slot, ++last_pid);
    slot->state = state;
    return slot;
}

static void test_missing(void)
{
    static const struct {
        unsigned max, idle, busy, missing;
    } table[] = {
        {1000, 0, 0, BOARD_USUAL_IDLE},
        {1000, BOARD_USUAL_IDLE, 0, 0},
        {1000, BOARD_LEAST_IDLE, 1, 0},
        {1000, BOARD_LEAST_IDLE - 1, 2, BOARD_USUAL_IDLE + 1 - BOARD_LEAST_IDLE},
        {1000, 0, 998, 2},
        {1000, 0, 1000, 0},
        {1, 0, 0, 1},
        {1, 1, 0, 0},
        {1, 0, 1, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct board *board = new_board(table[i].max, 0);
        struct board_counts counts;

        for (unsigned n = 0; n < table[i].idle; n++)
            add(board, n % 2 ? BOARD_STARTING : BOARD_ACCEPTING);
        for (unsigned n = 0; n < table[i].busy; n++)
            add(board, BOARD_BUSY);
        board_count(board, &counts);
        test_ok(counts.idle == table[i].idle && counts.busy == table[i].busy &&
                    counts.workers == table[i].idle + table[i].busy &&
                    board_missing(board, &counts) == table[i].missing,
                "of %u, %u idle and %u busy: %u are missing", table[i].max, table[i].idle,
                table[i].busy, table[i].missing);
    }
}

static void test_slots(void)
{
    struct board *board = new_board(3, 0);
    struct board_slot *slot[3];

    for (int i = 0; i < 3; i++) {
        slot[i] = add(board, BOARD_IDLE);
        board_hire(board, slot[i], 100 + i);
    }
    test_ok(board_take(board) == NULL, "no more slots than max");
    test_ok(board_find(board, 101) == slot[1] && board_find(board, 103) == NULL,
            "a worker is found by its number");
    board_free(board, slot[1]);
    test_ok(board->used == 3 && board_take(board) == slot[1], "a slot in the middle is free again");
    for (int i = 0; i < 3; i++)
        board_free(board, slot[i]);
    test_ok(board->used == 0, "none is used");
}

static void test_retire(void)
{
    struct board *board = new_board(100, 0);
    struct board_slot *slot[BOARD_USUAL_IDLE + 2];
    int left = 0;

    for (int i = 0; i < BOARD_USUAL_IDLE + 2; i++)
        slot[i] = add(board, BOARD_IDLE);
    add(board, BOARD_BUSY);
    for (int i = 0; i < BOARD_USUAL_IDLE + 2; i++)
        left += board_retire(board, slot[i]);
    test_ok(left == 2 && !board_has_many(board), "idle workers leave until the usual number is "
                                                 "there");
    test_ok(!board_is_short(board), "which is not short");
    slot[2]->state = slot[3]->state = slot[4]->state = BOARD_BUSY;
    test_ok(board_is_short(board), "three busy ones more, and it is");
    board->shared->least = 0;
    test_ok(!board_is_short(board), "unless nobody wants to know");
}

static void test_claims(void)
{
    struct board *board = new_board(100, 2);
    struct board_slot *slot[5];
    union host_address one = client("192.0.2.1"), mapped = client("::ffff:192.0.2.1"),
                       other = client("2001:db8::1"), local = client("fe80::1");
    union host_address nobody;

    memset(&nobody, 0, sizeof nobody);
    for (int i = 0; i < 5; i++)
        slot[i] = add(board, BOARD_BUSY);
    test_ok(board_claim(board, slot[0], &one) == BOARD_ADMITTED, "the first of two");
    test_ok(board_claim(board, slot[1], &mapped) == BOARD_ADMITTED, "the second, mapped");
    test_ok(board_claim(board, slot[2], &one) == BOARD_WAITING, "the third may wait");
    test_ok(board_claim(board, slot[2], &one) == BOARD_WAITING, "and asks again");
    test_ok(board_claim(board, slot[3], &one) == BOARD_REFUSED, "the fourth is refused");
    test_ok(board_claim(board, slot[4], &other) == BOARD_ADMITTED, "another address is let in");
    board_unclaim(slot[0]);
    test_ok(board_claim(board, slot[2], &one) == BOARD_ADMITTED, "the third after one has ended");
    test_ok(board_claim(board, slot[0], &one) == BOARD_WAITING, "no more than two even so");
    board_free(board, slot[1]);
    test_ok(board_claim(board, slot[0], &one) == BOARD_ADMITTED, "one more after a worker died");
    board_unclaim(slot[4]);
    test_ok(board_claim(board, slot[4], &local) == BOARD_ADMITTED &&
                (local.in6.sin6_scope_id = 7, true) &&
                board_claim(board, slot[3], &local) == BOARD_ADMITTED,
            "a link-local address");
    for (int i = 0; i < 5; i++)
        test_ok(board_claim(board, slot[i], &nobody) == BOARD_ADMITTED, "no address, no limit");
    slot[0]->claim = BOARD_UNCLAIMED;
}

// Who is killed while it decides must not keep the others from it.
static void test_lock(void)
{
    struct board *board = new_board(10, 1);
    struct board_slot *dead = add(board, BOARD_BUSY), *slot = add(board, BOARD_BUSY);
    union host_address one = client("192.0.2.1");
    int64_t began;

    board->shared->lock = last_pid - 1;
    board_free(board, slot);
    test_ok(board->shared->lock == last_pid - 1, "the lock stays with who has it");
    board_free(board, dead);
    test_ok(board->shared->lock == 0, "and is free after that one's death");
    slot = add(board, BOARD_BUSY);
    test_ok(board_claim(board, slot, &one) == BOARD_ADMITTED && board->shared->lock == 0,
            "who decides takes it, and gives it back");
    // A process that is stopped
    board->shared->lock = last_pid;
    began = board_now_ms();
    test_ok(board_claim(board, slot, &one) == BOARD_ADMITTED && board->shared->lock == last_pid,
            "it is not waited for without end");
    began = board_now_ms() - began;
    test_ok(began > 500 && began < 60000, "but for a while, %d ms", (int)began);
}

static void test_due(void)
{
    atomic_uint last = 0;

    test_ok(board_due(&last, 60000), "said for the first time");
    test_ok(!board_due(&last, 60000), "not at once again");
    last -= 60002;
    test_ok(board_due(&last, 60000), "but after the pause");
}

static void test_quiet(void)
{
    struct board *board = new_board(1, 0);

    board->shared->moved = board_clock() - 4711;
    test_ok(board_quiet_ms(board) >= 4711 && board_quiet_ms(board) < 60000, "quiet for a while");
    board->shared->moved = board_clock() + 4711;
    test_ok(board_quiet_ms(board) == 0, "not quiet: a connection that began just now");
}

// Whatever a worker writes: nothing but its own numbers leads the first process to a process.
static void test_spoilt(void)
{
    struct board *board = new_board(10, 1);
    struct board_slot *slot[3];
    struct board_counts counts;
    union host_address one = client("192.0.2.1");

    for (int i = 0; i < 3; i++)
        slot[i] = add(board, BOARD_IDLE);
    memset(board->shared, 0xff, sizeof *board->shared + 10 * sizeof *slot[0]);
    board_count(board, &counts);
    test_ok(counts.workers == 3 && counts.idle == 0 && counts.busy == 0 &&
                board_missing(board, &counts) <= 7,
            "three workers, whatever they do");
    board_is_short(board);
    board_has_many(board);
    board->shared->lock = 0;
    board_claim(board, slot[0], &one);
    test_ok(board_find(board, last_pid) == slot[2] && board_find(board, -1) == NULL,
            "they are known by their numbers");
    slot[1]->state = BOARD_FREE;
    test_ok(board_take(board) == slot[2] + 1, "a slot is given to one at a time");
    for (int i = 0; i < 3; i++)
        board_free(board, slot[i]);
    board_count(board, &counts);
    test_ok(counts.workers == 0 && board->used == 0 && board->shared->used == 0, "none is left");
}

static void test_full(void)
{
    struct board *board = new_board(2, 0);
    struct board_slot *slot = add(board, BOARD_LEAVING);
    struct board_counts counts;

    add(board, BOARD_BUSY);
    board_count(board, &counts);
    test_ok(!board_is_full(board, &counts), "one open connection of two, and one that leaves");
    slot->state = BOARD_BUSY;
    board_count(board, &counts);
    test_ok(board_is_full(board, &counts), "two of two");
}

int main(void)
{
    test_missing();
    test_slots();
    test_retire();
    test_claims();
    test_lock();
    test_due();
    test_quiet();
    test_spoilt();
    test_full();
    return test_end();
}
