// SPDX-License-Identifier: ISC
#include "sessions.h"

#include <string.h>

#include "test.h"

static const uint64_t seed[2] = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};

// Client ADDRESS and PORT of an IPv4 listener.
static struct sessions_key key(uint8_t address, uint16_t port)
{
    struct sessions_key made;

    memset(&made, 0, sizeof made);
    made.client[0] = 127;
    made.client[3] = address;
    made.client_port = port;
    made.family = 2;
    return made;
}

static uint32_t add(struct sessions *table, uint8_t address, uint16_t port, unsigned list,
                    int64_t now_ms)
{
    struct sessions_key made = key(address, port);

    return sessions_add(table, &made, list, now_ms);
}

static uint32_t find(const struct sessions *table, uint8_t address, uint16_t port)
{
    struct sessions_key made = key(address, port);

    return sessions_find(table, &made);
}

static void test_find(void)
{
    struct sessions table;
    struct sessions_key other = key(1, 53);
    uint32_t first, second, third;

    sessions_init(&table, 4, false, seed);
    test_ok(find(&table, 1, 53) == SESSIONS_NONE, "nobody is in an empty table");
    first = add(&table, 1, 53, 0, 100);
    second = add(&table, 1, 54, 0, 101);
    test_ok(first != SESSIONS_NONE && second != SESSIONS_NONE && first != second,
            "two ports are two entries");
    test_ok(find(&table, 1, 53) == first && find(&table, 1, 54) == second, "each is found");
    test_ok(find(&table, 2, 53) == SESSIONS_NONE, "another address is not");
    other.local[3] = 9;
    test_ok(sessions_find(&table, &other) == SESSIONS_NONE, "nor the client at another address");
    third = sessions_add(&table, &other, 0, 102);
    test_ok(third != first && sessions_find(&table, &other) == third,
            "which is an entry of its own");
    other = key(1, 53);
    other.client_scope = 2;
    test_ok(sessions_find(&table, &other) == SESSIONS_NONE, "nor the address on another interface");
    sessions_remove(&table, second);
    test_ok(find(&table, 1, 54) == SESSIONS_NONE && find(&table, 1, 53) == first,
            "one that is removed is gone, and the others are not");
}

static void test_full(void)
{
    struct sessions table;
    uint32_t last;

    sessions_init(&table, 3, true, seed);
    for (uint16_t port = 1; port <= 3; port++)
        last = add(&table, 1, port, 0, port);
    test_ok(add(&table, 1, 4, 0, 4) == SESSIONS_NONE, "a full table takes no more");
    sessions_remove(&table, find(&table, 1, 2));
    last = add(&table, 1, 4, 0, 5);
    test_ok(last != SESSIONS_NONE && find(&table, 1, 4) == last,
            "the place of one that left is free");
    test_ok(add(&table, 1, 5, 0, 6) == SESSIONS_NONE, "then it is full again");
}

static void test_lists(void)
{
    struct sessions table;
    uint32_t a, b, c;

    sessions_init(&table, 4, false, seed);
    test_ok(sessions_oldest(&table, 0) == SESSIONS_NONE, "an empty list has no oldest");
    a = add(&table, 1, 1, 0, 10);
    b = add(&table, 1, 2, 0, 20);
    c = add(&table, 1, 3, 0, 30);
    test_ok(sessions_oldest(&table, 0) == a && table.length[0] == 3, "the first is the oldest");
    sessions_move(&table, a, 0, 40);
    test_ok(sessions_oldest(&table, 0) == b && table.entries[a].used_ms == 40,
            "one that moves is the newest");
    sessions_move(&table, c, 0, 50);
    test_ok(sessions_oldest(&table, 0) == b, "one in the middle, too");
    sessions_move(&table, c, 0, 60);
    test_ok(table.entries[c].used_ms == 60 && sessions_oldest(&table, 0) == b,
            "the newest stays where it is, with a new time");
    sessions_move(&table, b, 1, 70);
    test_ok(sessions_oldest(&table, 0) == a && sessions_oldest(&table, 1) == b &&
                table.length[0] == 2 && table.length[1] == 1,
            "and goes from one list to another");
    sessions_remove(&table, a);
    sessions_remove(&table, c);
    test_ok(sessions_oldest(&table, 0) == SESSIONS_NONE && table.length[0] == 0 &&
                sessions_oldest(&table, 1) == b,
            "what is removed is in no list");
}

static void test_sources(void)
{
    struct sessions table;
    struct sessions_key asked = key(7, 9999), other = key(8, 1);
    uint32_t a, b, oldest;

    sessions_init(&table, 8, true, seed);
    test_ok(sessions_of_source(&table, &asked, 3, &oldest) == 0 && oldest == SESSIONS_NONE,
            "an unknown address has none");
    a = add(&table, 7, 1, 0, 10);
    b = add(&table, 7, 2, 1, 20);
    add(&table, 7, 3, 3, 5);
    add(&table, 8, 1, 0, 1);
    test_ok(sessions_of_source(&table, &asked, 3, &oldest) == 2 && oldest == a,
            "an address has what is in the first lists, and its oldest is told");
    sessions_move(&table, a, 0, 30);
    test_ok(sessions_of_source(&table, &asked, 3, &oldest) == 2 && oldest == b,
            "that changes as they are used");
    sessions_remove(&table, b);
    test_ok(sessions_of_source(&table, &asked, 3, &oldest) == 1 && oldest == a,
            "one that left does not count");
    sessions_remove(&table, a);
    test_ok(sessions_of_source(&table, &asked, 3, &oldest) == 0 &&
                sessions_of_source(&table, &other, 3, &oldest) == 1,
            "nor does it at another address");
}

// Everything at once, against what is counted here.
static void test_many(void)
{
    enum { COUNT = 500, ROUNDS = 20000 };
    static bool is_there[COUNT * 2];
    struct sessions table;
    uint32_t random = 1, count = 0;
    bool good = true;

    sessions_init(&table, COUNT, true, seed);
    for (int64_t now_ms = 0; now_ms < ROUNDS && good; now_ms++) {
        uint16_t port;
        uint32_t number;

        random = random * 1664525 + 1013904223;
        port = (uint16_t)((random >> 16) % (COUNT * 2));
        number = find(&table, (uint8_t)(port % 3), port);
        good = (number != SESSIONS_NONE) == is_there[port];
        if (number != SESSIONS_NONE && random >> 31) {
            sessions_remove(&table, number);
            is_there[port] = false;
            count--;
        } else if (number != SESSIONS_NONE) {
            sessions_move(&table, number, port % SESSIONS_LISTS, now_ms);
        } else {
            bool full = count == COUNT;

            number = add(&table, (uint8_t)(port % 3), port, 0, now_ms);
            good &= full == (number == SESSIONS_NONE);
            is_there[port] = !full;
            count += !full;
        }
    }
    for (unsigned list = 0; list < SESSIONS_LISTS; list++)
        count -= table.length[list];
    test_ok(good && count == 0, "who is there is found, and nobody else, after %d changes", ROUNDS);
    for (unsigned list = 0; list < SESSIONS_LISTS; list++)
        for (int64_t last_ms = 0; table.length[list] > 0;) {
            uint32_t oldest = sessions_oldest(&table, list);

            good &= table.entries[oldest].used_ms >= last_ms;
            last_ms = table.entries[oldest].used_ms;
            sessions_remove(&table, oldest);
        }
    test_ok(good, "each list is in order of time");
}

// How many hashes 4096 keys have that differ in little, and which the last of them has.
static uint32_t spread(const uint64_t own_seed[2], uint32_t *last)
{
    enum { COUNT = 4096 };
    struct sessions table;
    uint32_t used = 0;

    sessions_init(&table, COUNT, false, own_seed);
    for (uint16_t port = 0; port < COUNT; port++)
        add(&table, 1, port, 0, port);
    *last = SESSIONS_NONE;
    for (uint32_t i = 0; i < COUNT; i++) {
        used += table.heads[i] != 0;
        if (table.heads[i] == COUNT)
            *last = i;
    }
    return used;
}

static void test_hash(void)
{
    static const uint64_t other[2] = {1, 2};
    uint32_t here, there;

    // 1 - 1/e of all are to be expected: 2589.
    test_ok(spread(seed, &here) > 2400, "keys that differ in little spread over the table");
    test_ok(spread(other, &there) > 2400 && here != there, "and with another seed in another way");
}

int main(void)
{
    test_find();
    test_full();
    test_lists();
    test_sources();
    test_many();
    test_hash();
    return test_end();
}
