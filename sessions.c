// SPDX-License-Identifier: ISC
#include "sessions.h"

#include <string.h>
#include <sys/mman.h>

// Numbers of entries are kept plus one: so fresh memory, all zeros, is an empty table.
#define FROM_LINK(link) ((link)-1)
#define TO_LINK(number) ((number) + 1)

// SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012), over whole words.
struct sip {
    uint64_t v[4];
};

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_round(struct sip *sip)
{
    uint64_t *v = sip->v;

    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint32_t hash_of(const struct sessions *table, const void *data, size_t size)
{
    uint64_t k0 = table->seed[0], k1 = table->seed[1], word = 0;
    struct sip sip = {{k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                       k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)}};
    const uint8_t *bytes = data;

    for (size_t at = 0; at <= size; at += sizeof word) {
        if (at < size)
            memcpy(&word, bytes + at, sizeof word);
        else
            word = (uint64_t)size << 56;
        sip.v[3] ^= word;
        sip_round(&sip);
        sip.v[0] ^= word;
    }
    sip.v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&sip);
    word = sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
    return (uint32_t)(word ^ word >> 32) & table->mask;
}

static uint32_t *head_of(const struct sessions *table, const struct sessions_key *key)
{
    return &table->heads[hash_of(table, key, sizeof *key)];
}

static uint32_t *source_head_of(const struct sessions *table, const struct sessions_key *key)
{
    return &table->source_heads[hash_of(table, key->client, sizeof key->client)];
}

static void *map(size_t count, size_t size)
{
    if (count > SIZE_MAX / size)
        return MAP_FAILED;
    return mmap(NULL, count * size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int sessions_init(struct sessions *table, uint32_t count, bool by_source, const uint64_t seed[2])
{
    uint32_t heads = 1;

    memset(table, 0, sizeof *table);
    while (heads < count && heads < UINT32_C(1) << 31)
        heads *= 2;
    table->mask = heads - 1;
    table->count = count;
    memcpy(table->seed, seed, sizeof table->seed);
    table->entries = map(count, sizeof *table->entries);
    if (table->entries == MAP_FAILED)
        return -1;
    table->heads = map(heads, sizeof *table->heads);
    if (table->heads == MAP_FAILED)
        return -1;
    if (!by_source)
        return 0;
    table->source_heads = map(heads, sizeof *table->source_heads);
    return table->source_heads == MAP_FAILED ? -1 : 0;
}

uint32_t sessions_find(const struct sessions *table, const struct sessions_key *key)
{
    uint32_t link = *head_of(table, key);

    while (link && memcmp(&table->entries[FROM_LINK(link)].key, key, sizeof *key) != 0)
        link = table->entries[FROM_LINK(link)].next;
    return FROM_LINK(link); // SESSIONS_NONE for no link
}

static void put_in_list(struct sessions *table, uint32_t number, unsigned list, int64_t now_ms)
{
    struct sessions_entry *entry = &table->entries[number];
    uint32_t newest = table->newest[list];

    entry->used_ms = now_ms;
    entry->list = list;
    entry->older = newest;
    entry->newer = 0;
    *(newest ? &table->entries[FROM_LINK(newest)].newer : &table->oldest[list]) = TO_LINK(number);
    table->newest[list] = TO_LINK(number);
    table->length[list]++;
}

static void take_from_list(struct sessions *table, uint32_t number)
{
    struct sessions_entry *entry = &table->entries[number];
    uint32_t list = entry->list, older = entry->older, newer = entry->newer;

    *(older ? &table->entries[FROM_LINK(older)].newer : &table->oldest[list]) = newer;
    *(newer ? &table->entries[FROM_LINK(newer)].older : &table->newest[list]) = older;
    table->length[list]--;
}

static void put_in_source(struct sessions *table, uint32_t number)
{
    struct sessions_entry *entry = &table->entries[number];
    uint32_t *head = source_head_of(table, &entry->key);

    entry->source_last = 0;
    entry->source_next = *head;
    if (*head)
        table->entries[FROM_LINK(*head)].source_last = TO_LINK(number);
    *head = TO_LINK(number);
}

static void take_from_source(struct sessions *table, uint32_t number)
{
    struct sessions_entry *entry = &table->entries[number];
    uint32_t next = entry->source_next, last = entry->source_last;

    *(last ? &table->entries[FROM_LINK(last)].source_next : source_head_of(table, &entry->key)) =
        next;
    if (next)
        table->entries[FROM_LINK(next)].source_last = last;
}

uint32_t sessions_add(struct sessions *table, const struct sessions_key *key, unsigned list,
                      int64_t now_ms)
{
    uint32_t number, *head = head_of(table, key);

    if (table->free) {
        number = FROM_LINK(table->free);
        table->free = table->entries[number].next;
    } else if (table->fresh < table->count) {
        number = table->fresh++;
    } else {
        return SESSIONS_NONE;
    }
    table->entries[number].key = *key;
    table->entries[number].next = *head;
    *head = TO_LINK(number);
    put_in_list(table, number, list, now_ms);
    if (table->source_heads)
        put_in_source(table, number);
    return number;
}

void sessions_move(struct sessions *table, uint32_t number, unsigned list, int64_t now_ms)
{
    struct sessions_entry *entry = &table->entries[number];

    if (entry->list == list && !entry->newer) {
        entry->used_ms = now_ms;
        return;
    }
    take_from_list(table, number);
    put_in_list(table, number, list, now_ms);
}

void sessions_remove(struct sessions *table, uint32_t number)
{
    uint32_t *link = head_of(table, &table->entries[number].key);

    while (*link != TO_LINK(number))
        link = &table->entries[FROM_LINK(*link)].next;
    *link = table->entries[number].next;
    take_from_list(table, number);
    if (table->source_heads)
        take_from_source(table, number);
    table->entries[number].next = table->free;
    table->free = TO_LINK(number);
}

uint32_t sessions_of_source(const struct sessions *table, const struct sessions_key *key,
                            unsigned lists, uint32_t *oldest)
{
    uint32_t found = 0;

    *oldest = SESSIONS_NONE;
    for (uint32_t link = *source_head_of(table, key); link;
         link = table->entries[FROM_LINK(link)].source_next) {
        const struct sessions_entry *entry = &table->entries[FROM_LINK(link)];

        if (entry->list >= lists || entry->key.client_scope != key->client_scope ||
            entry->key.family != key->family ||
            memcmp(entry->key.client, key->client, sizeof key->client) != 0)
            continue;
        found++;
        if (*oldest == SESSIONS_NONE || entry->used_ms < table->entries[*oldest].used_ms)
            *oldest = FROM_LINK(link);
    }
    return found;
}
