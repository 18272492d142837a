// SPDX-License-Identifier: ISC
#include "board.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static union host_address client(const char *text)
{
    union host_address address;

    memset(&address, 0, sizeof address);
    host_address(text, 4711, &address);
    return address;
}

static struct board_slot *add(struct board *board, int state)
{
    struct board_slot *slot = board_take(board);

    slot->pid = 1;
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
        struct board *board = board_new(table[i].max, 0);
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
    struct board *board = board_new(3, 0);
    struct board_slot *slot[3];

    for (int i = 0; i < 3; i++) {
        slot[i] = add(board, BOARD_IDLE);
        slot[i]->pid = 100 + i;
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
    struct board *board = board_new(100, 0);
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
    board->least = 0;
    test_ok(!board_is_short(board), "unless nobody wants to know");
}

static void test_claims(void)
{
    struct board *board = board_new(100, 2);
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
    board_unclaim(board, slot[0]);
    test_ok(board_claim(board, slot[2], &one) == BOARD_ADMITTED, "the third after one has ended");
    test_ok(board_claim(board, slot[0], &one) == BOARD_WAITING, "no more than two even so");
    board_free(board, slot[1]);
    test_ok(board_claim(board, slot[0], &one) == BOARD_ADMITTED, "one more after a worker died");
    board_unclaim(board, slot[4]);
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
    struct board *board = board_new(10, 1);
    struct board_slot *slot = add(board, BOARD_BUSY);
    union host_address one = client("192.0.2.1");
    pid_t pid = fork();

    if (pid == 0) {
        pthread_mutex_lock(&board->lock);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    test_ok(board_claim(board, slot, &one) == BOARD_ADMITTED, "after the lock's owner has died");
    test_ok(pthread_mutex_trylock(&board->lock) == 0, "and the lock is free");
    pthread_mutex_unlock(&board->lock);
}

static void test_due(void)
{
    atomic_llong last = 0;

    test_ok(board_due(&last, 60000), "said for the first time");
    test_ok(!board_due(&last, 60000), "not at once again");
    last -= 60001;
    test_ok(board_due(&last, 60000), "but after the pause");
}

int main(void)
{
    test_missing();
    test_slots();
    test_retire();
    test_claims();
    test_lock();
    test_due();
    return test_end();
}
