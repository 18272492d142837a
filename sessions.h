// SPDX-License-Identifier: ISC
//
// sessions: who is known, and who has been quiet for longest. A table of fixed size with an entry
// for each key, found by a hash that nobody outside can foresee; every entry is in one of a few
// lists, the one that has been quiet for longest first. Pure, but for the memory it starts with:
// what the time is the caller says, and what belongs to an entry lies with the caller, by its
// number.
#ifndef SESSIONS_H
#define SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSIONS_NONE  UINT32_MAX
#define SESSIONS_LISTS 4

// An address has 16 bytes, of which IPv4 uses the first four. Zero whatever does not count, and all
// that is unused.
struct sessions_key {
    uint8_t client[16];
    uint8_t local[16]; // to which the client writes
    uint32_t client_scope, local_scope;
    uint16_t client_port;
    uint16_t family;
    uint32_t unused;
};
_Static_assert(sizeof(struct sessions_key) == 48, "no padding, which would have a say in the hash");

struct sessions_entry {
    struct sessions_key key;
    int64_t used_ms;
    uint32_t next;                     // of those with the same hash, or of those that are free
    uint32_t older, newer;             // of its list
    uint32_t source_next, source_last; // of those with the same hash of the client's address
    uint32_t list;
};

struct sessions {
    struct sessions_entry *entries;
    uint32_t *heads, *source_heads; // by hash; the latter NULL where nobody asks for sources
    uint32_t mask, count, fresh;    // fresh: the first that has never been used
    uint32_t free;
    uint32_t oldest[SESSIONS_LISTS], newest[SESSIONS_LISTS], length[SESSIONS_LISTS]; // plus one
    uint64_t seed[2];
};

// An empty table for COUNT entries, in memory of its own that costs nothing until it is used.
// BY_SOURCE: sessions_of_source() will be asked. Returns 0, or -1 with errno.
int sessions_init(struct sessions *table, uint32_t count, bool by_source, const uint64_t seed[2]);

// The number of KEY's entry, or SESSIONS_NONE.
uint32_t sessions_find(const struct sessions *table, const struct sessions_key *key);

// Adds KEY, which must not be there, to LIST as the newest at NOW_MS. Returns its number, or
// SESSIONS_NONE where the table is full.
uint32_t sessions_add(struct sessions *table, const struct sessions_key *key, unsigned list,
                      int64_t now_ms);

// Makes NUMBER the newest of LIST at NOW_MS.
void sessions_move(struct sessions *table, uint32_t number, unsigned list, int64_t now_ms);

void sessions_remove(struct sessions *table, uint32_t number);

// The newest of LIST, or SESSIONS_NONE.
static inline uint32_t sessions_newest(const struct sessions *table, unsigned list)
{
    return table->newest[list] - 1;
}

// The oldest of LIST, or SESSIONS_NONE.
static inline uint32_t sessions_oldest(const struct sessions *table, unsigned list)
{
    return table->oldest[list] - 1;
}

// How many entries KEY's client address has in the first LISTS lists, and which of them is the
// oldest; *OLDEST is SESSIONS_NONE where it has none.
uint32_t sessions_of_source(const struct sessions *table, const struct sessions_key *key,
                            unsigned lists, uint32_t *oldest);

#endif
