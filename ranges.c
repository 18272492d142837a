// SPDX-License-Identifier: ISC
#include "ranges.h"

#include <ctype.h>
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "list.h"

#define GLOB_RANGES_MAX 1024      // a glob that takes more stays a text
#define GLOBS_MAX       (1 << 20) // so many ranges come of the globs of a list, and no more
#define GLOB_STEPS_MAX  65536     // numbers tried for one glob
#define GLOB_BYTES      (2 * HOST_TEXT_MAX + 2)
#define IPV4_BYTES      15
#define SETS            8

_Static_assert(LIST_MAGIC_BYTES <= LIST_AT_VERSION, "the first line has its place");
_Static_assert(LIST_AT_TREES + 2 * LIST_TREE_BYTES <= LIST_AT_ROOT4 &&
                   LIST_AT_ROOT4 + LIST_ROOT4 <= LIST_AT_ROOT6 &&
                   LIST_AT_ROOT6 + LIST_ROOT6 <= LIST_AT_SUM,
               "what is in block 0 has its place");
_Static_assert(GLOB_BYTES <= LIST_ENTRIES, "a text has room in a block");

// The ranges of one family: the first and the last address of each, WIDTH bytes each.
struct family {
    size_t width;
    uint8_t *bytes;
    size_t count, capacity;
};

struct ranges {
    struct family four, six;
    struct text globs; // each with its NUL
    size_t glob_count;
    size_t from_globs; // ranges that globs have become
    bool no_memory;
};

static void add_range(struct ranges *ranges, struct family *family, const uint8_t *first,
                      const uint8_t *last)
{
    size_t width = family->width;
    uint8_t *at;

    if (family->count == family->capacity) {
        size_t capacity = family->capacity ? family->capacity * 2 : 256;

        at = reallocarray(family->bytes, capacity, 2 * width);
        if (!at) {
            ranges->no_memory = true;
            return;
        }
        family->bytes = at;
        family->capacity = capacity;
    }
    at = family->bytes + family->count++ * 2 * width;
    memcpy(at, first, width);
    memcpy(at + width, last, width);
}

// The addresses of WIDTH bytes that have the first BITS bits of ADDRESS.
static void add_prefix(struct ranges *ranges, struct family *family, const uint8_t *address,
                       unsigned bits)
{
    uint8_t first[16], last[16];

    for (unsigned i = 0; i < family->width; i++) {
        unsigned kept = bits <= i * 8 ? 0 : bits - i * 8 >= 8 ? 8 : bits - i * 8;
        uint8_t mask = (uint8_t)(0xff00 >> kept);

        first[i] = address[i] & mask;
        last[i] = (uint8_t)(address[i] | ~mask);
    }
    add_range(ranges, family, first, last);
}

enum found { FOUND_NONE, FOUND_ALL, FOUND_SOME, FOUND_TOO_MANY };

// A glob over the texts of IPv4 addresses as an automaton: bit I of a set says that what was read
// can have led to the byte I of the glob.
struct automaton {
    uint64_t star, match[10], dot; // which bytes of the glob take what
    uint64_t accept, accept_all;   // its end; a '*' at its end
    struct {
        uint32_t first, last;
    } range[GLOB_RANGES_MAX];
    size_t count, steps;
    // Sets that each part was entered with, and what of all that follows BASE matched: the ranges
    // from FROM to TO, as far as they are there.
    struct known {
        uint64_t set;
        enum found found;
        uint32_t base;
        size_t from, to;
    } known[4][SETS];
    size_t known_count[4];
};

static uint64_t advance(const struct automaton *automaton, uint64_t set, uint64_t match)
{
    set = (set & automaton->star) | (set & match) << 1;
    return set | (set & automaton->star) << 1;
}

static void make_automaton(struct automaton *automaton, const char *glob)
{
    size_t length = strlen(glob);

    memset(automaton, 0, sizeof *automaton);
    for (size_t i = 0; i < length; i++) {
        uint64_t bit = UINT64_C(1) << i;

        automaton->star |= glob[i] == '*' ? bit : 0;
        automaton->dot |= glob[i] == '.' || glob[i] == '?' ? bit : 0;
        for (int digit = 0; digit < 10; digit++)
            automaton->match[digit] |= glob[i] == '0' + digit || glob[i] == '?' ? bit : 0;
    }
    automaton->accept = UINT64_C(1) << length;
    automaton->accept_all = glob[length - 1] == '*' ? automaton->accept >> 1 : 0;
}

static uint64_t advance_number(const struct automaton *automaton, uint64_t set, unsigned number)
{
    if (number >= 100)
        set = advance(automaton, set, automaton->match[number / 100]);
    if (number >= 10)
        set = advance(automaton, set, automaton->match[number / 10 % 10]);
    return advance(automaton, set, automaton->match[number % 10]);
}

// Adds what comes after all that was added before. Returns whether there was room.
static bool emit(struct automaton *automaton, uint32_t first, uint32_t last)
{
    if (automaton->count > 0 && automaton->range[automaton->count - 1].last + 1 == first) {
        automaton->range[automaton->count - 1].last = last;
        return true;
    }
    if (automaton->count == GLOB_RANGES_MAX)
        return false;
    automaton->range[automaton->count].first = first;
    automaton->range[automaton->count++].last = last;
    return true;
}

// How many addresses share their first PARTS parts, less one.
static uint32_t rest_of(unsigned parts)
{
    return parts == 0 ? UINT32_MAX : (UINT32_C(1) << 8 * (4 - parts)) - 1;
}

// Adds for BASE what is known to match after as many parts of another.
static enum found repeat(struct automaton *automaton, const struct known *known, unsigned part,
                         uint32_t base)
{
    uint32_t end = known->base + rest_of(part);

    if (known->found == FOUND_ALL)
        return emit(automaton, base, base + rest_of(part)) ? FOUND_ALL : FOUND_TOO_MANY;
    for (size_t i = known->from; known->found == FOUND_SOME && i < known->to; i++) {
        uint32_t first = automaton->range[i].first, last = automaton->range[i].last;

        // What was next to it may have been added to the first and to the last.
        if (last < known->base || first > end)
            continue;
        first = first < known->base ? known->base : first;
        last = last > end ? end : last;
        if (!emit(automaton, base + (first - known->base), base + (last - known->base)))
            return FOUND_TOO_MANY;
    }
    return known->found;
}

static enum found walk(struct automaton *automaton, unsigned part, uint64_t set, uint32_t base);

// What follows a part, of which SET is left: all that begins with the PART parts of BASE.
static enum found enter(struct automaton *automaton, unsigned part, uint64_t set, uint32_t base)
{
    enum found found;
    size_t from;

    if (set == 0)
        return FOUND_NONE;
    if (part == 4 || (set & automaton->accept_all)) {
        if (part == 4 && !(set & automaton->accept))
            return FOUND_NONE;
        return emit(automaton, base, base + rest_of(part)) ? FOUND_ALL : FOUND_TOO_MANY;
    }
    for (size_t i = 0; i < automaton->known_count[part]; i++)
        if (automaton->known[part][i].set == set)
            return repeat(automaton, &automaton->known[part][i], part, base);
    from = automaton->count > 0 ? automaton->count - 1 : 0;
    found = walk(automaton, part, set, base);
    if (found != FOUND_TOO_MANY && automaton->known_count[part] < SETS)
        automaton->known[part][automaton->known_count[part]++] =
            (struct known){set, found, base, from, automaton->count};
    return found;
}

// Tries all numbers for the part PART, from 0, of the addresses that begin with those of BASE.
static enum found walk(struct automaton *automaton, unsigned part, uint64_t set, uint32_t base)
{
    bool all = true, none = true;

    automaton->steps += 256;
    if (automaton->steps > GLOB_STEPS_MAX)
        return FOUND_TOO_MANY;
    for (unsigned number = 0; number < 256; number++) {
        uint64_t after = advance_number(automaton, set, number);
        enum found found;

        if (part < 3)
            after = advance(automaton, after, automaton->dot);
        found = enter(automaton, part + 1, after, base + ((uint32_t)number << 8 * (3 - part)));
        if (found == FOUND_TOO_MANY)
            return found;
        all &= found == FOUND_ALL;
        none &= found == FOUND_NONE;
    }
    return all ? FOUND_ALL : none ? FOUND_NONE : FOUND_SOME;
}

// Takes whole numbers off GLOB, each with the '.' or the end that follows: most patterns are
// little else. Returns how many there are, or -1 where no address is written so.
static int take_numbers(const char **glob, uint32_t *base)
{
    const char *p = *glob;

    *base = 0;
    for (unsigned part = 0;; part++) {
        size_t digits = strspn(p, "0123456789");
        unsigned number = 0;

        if (digits == 0 || p[digits] != (part < 3 ? '.' : '\0'))
            return (int)part;
        for (size_t i = 0; i < digits && number < 256; i++)
            number = number * 10 + (unsigned)(p[i] - '0');
        if (digits > 3 || number > 255 || (digits > 1 && *p == '0'))
            return -1;
        *base |= (uint32_t)number << 8 * (3 - part);
        p += digits;
        *glob = p + (part < 3);
        if (part == 3)
            return 4;
        p++;
    }
}

static void add_four(struct ranges *ranges, uint32_t first, uint32_t last)
{
    first = htobe32(first);
    last = htobe32(last);
    add_range(ranges, &ranges->four, (const uint8_t *)&first, (const uint8_t *)&last);
}

// A glob that can match only IPv4 addresses. Returns false where that would take too many ranges.
static bool add_four_glob(struct ranges *ranges, const char *glob)
{
    struct automaton automaton;
    uint32_t base;
    int parts;

    parts = take_numbers(&glob, &base);
    if (parts < 0)
        return true;
    if (parts == 4 || strcmp(glob, "*") == 0) {
        add_four(ranges, base, base + rest_of((unsigned)parts));
        return true;
    }
    // Too short or, since every second byte of it is no '*', too long for any address.
    if (*glob == '\0' || strlen(glob) > 2 * IPV4_BYTES + 1)
        return true;
    make_automaton(&automaton, glob);
    if (enter(&automaton, (unsigned)parts, 1 | (automaton.star & 1) << 1, base) == FOUND_TOO_MANY ||
        automaton.count > GLOBS_MAX - ranges->from_globs)
        return false;
    ranges->from_globs += automaton.count;
    for (size_t i = 0; i < automaton.count; i++)
        add_four(ranges, automaton.range[i].first, automaton.range[i].last);
    return true;
}

// Whether the text of an address that begins with the group FIRST is the same in every libc, and
// has no interface after it. They differ on where "::" goes if it can be at the start, and on what
// looks like IPv4 after it.
static bool has_one_text(unsigned first)
{
    return first != 0 && (first & 0xffc0) != 0xfe80;
}

// "GROUP:...:*", where no group is 0: nothing before the '*' can be shortened to "::". Returns
// whether GLOB is one.
static bool add_six_glob(struct ranges *ranges, const char *glob)
{
    uint8_t address[16] = {0};
    unsigned groups = 0;

    for (; strcmp(glob, "*") != 0; groups++) {
        size_t digits = strspn(glob, "0123456789abcdef");
        unsigned long group;

        if (digits < 1 || digits > 4 || *glob == '0' || glob[digits] != ':' || groups == 7)
            return false;
        group = strtoul(glob, NULL, 16);
        if (groups == 0 && !has_one_text((unsigned)group))
            return false;
        address[groups * 2] = (uint8_t)(group >> 8);
        address[groups * 2 + 1] = (uint8_t)group;
        glob += digits + 1;
    }
    if (groups == 0)
        return false;
    add_prefix(ranges, &ranges->six, address, groups * 16);
    return true;
}

// An IPv6 address without wildcards. Returns whether GLOB is done with.
static bool add_six_address(struct ranges *ranges, const char *glob)
{
    char canonical[INET6_ADDRSTRLEN];
    uint8_t address[16];

    if (strpbrk(glob, "*?[]") || inet_pton(AF_INET6, glob, address) != 1 ||
        !has_one_text((unsigned)address[0] << 8 | address[1]))
        return false;
    // No client's address is written in another way.
    if (inet_ntop(AF_INET6, address, canonical, sizeof canonical) && strcmp(canonical, glob) == 0)
        add_range(ranges, &ranges->six, address, address);
    return true;
}

// Copies a glob with one '*' for many in a row. Returns whether any text can be long enough for it.
static bool shorten(const char *pattern, size_t length, char glob[static GLOB_BYTES])
{
    size_t size = 0, others = 0;

    for (size_t i = 0; i < length; i++) {
        if (pattern[i] == '*' && size > 0 && glob[size - 1] == '*')
            continue;
        others += pattern[i] != '*';
        if (others >= HOST_TEXT_MAX)
            return false;
        glob[size++] = pattern[i];
    }
    glob[size] = '\0';
    return true;
}

static void add_glob(struct ranges *ranges, const char *pattern, size_t length)
{
    static const uint8_t zero[16];
    char glob[GLOB_BYTES];

    if (!shorten(pattern, length, glob))
        return;
    if (strcmp(glob, "*") == 0) {
        add_prefix(ranges, &ranges->four, zero, 0);
        add_prefix(ranges, &ranges->six, zero, 0);
        return;
    }
    // A text with both a digit at its start and a '.' is an IPv4 address: those of IPv6 that have
    // one begin with "::", or with "fe" where it is in the interface's name.
    if (isdigit((unsigned char)glob[0]) && strchr(glob, '.')) {
        if (add_four_glob(ranges, glob))
            return;
    } else if (add_six_address(ranges, glob) || add_six_glob(ranges, glob)) {
        return;
    }
    text_append(&ranges->globs, glob, strlen(glob) + 1);
    ranges->glob_count++;
}

static void add_pattern(struct ranges *ranges, const char *pattern, size_t length)
{
    union host_address address;
    unsigned bits;

    if (length == 0)
        return;
    if (!acl_prefix(pattern, length, &address, &bits))
        add_glob(ranges, pattern, length);
    else if (address.any.sa_family == AF_INET)
        add_prefix(ranges, &ranges->four, (const uint8_t *)&address.in.sin_addr, bits);
    else
        add_prefix(ranges, &ranges->six, address.in6.sin6_addr.s6_addr, bits);
}

static int compare_four(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

static int compare_six(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

// Whether NEXT does not come later than right after LAST, both of WIDTH bytes.
static bool touches(const uint8_t *last, const uint8_t *next, size_t width)
{
    uint8_t after[16];
    size_t i = width;

    memcpy(after, last, width);
    while (i > 0 && ++after[i - 1] == 0)
        i--;
    return i == 0 || memcmp(next, after, width) <= 0;
}

// Sorts the ranges, and makes one of those that overlap or touch.
static void merge(struct family *family)
{
    size_t width = family->width, size = 2 * width, kept = 0;

    if (family->count == 0)
        return;
    qsort(family->bytes, family->count, size, width == 4 ? compare_four : compare_six);
    for (size_t i = 1; i < family->count; i++) {
        uint8_t *to = family->bytes + kept * size, *from = family->bytes + i * size;

        if (!touches(to + width, from, width))
            memmove(family->bytes + ++kept * size, from, size);
        else if (memcmp(to + width, from + width, width) < 0)
            memcpy(to + width, from + width, width);
    }
    family->count = kept + 1;
}

static void put32(uint8_t *at, size_t value)
{
    uint32_t number = htobe32((uint32_t)value);

    memcpy(at, &number, sizeof number);
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
}

static uint8_t *block_at(struct text *file, size_t number)
{
    return (uint8_t *)file->bytes + number * LIST_BLOCK;
}

static void append_block(struct text *file, const uint8_t block[static LIST_BLOCK])
{
    text_append(file, (const char *)block, LIST_BLOCK);
}

// Appends the blocks of one level, each entry SIZE bytes of every STEPth range. Returns their
// number.
static size_t append_level(struct text *file, const struct family *family, size_t size, size_t step)
{
    size_t width = family->width, per_block = LIST_ENTRIES / size, blocks = 0;

    for (size_t i = 0; i < family->count; blocks++) {
        uint8_t block[LIST_BLOCK] = {0};
        size_t entries = 0;

        for (; i < family->count && entries < per_block; i += step)
            memcpy(block + LIST_AT_ENTRIES + entries++ * size, family->bytes + i * 2 * width, size);
        put32(block, entries);
        put32(block + 4, size);
        append_block(file, block);
    }
    return blocks;
}

// Appends the tree of FAMILY from the bottom up, and notes it in HEADER, with its root at ROOT,
// which has room for ROOT_BYTES.
static void append_tree(struct text *file, const struct family *family, uint8_t *header,
                        uint8_t *root, size_t root_bytes)
{
    size_t width = family->width, levels = 0, start[LIST_LEVELS], keys = 0;
    size_t step = LIST_ENTRIES / (2 * width), blocks;

    if (family->count == 0)
        return;
    start[levels++] = file->size / LIST_BLOCK;
    blocks = append_level(file, family, 2 * width, 1);
    while (blocks > root_bytes / width) {
        start[levels++] = file->size / LIST_BLOCK;
        blocks = append_level(file, family, width, step);
        step *= LIST_ENTRIES / width;
    }
    for (size_t i = 0; i < family->count; i += step)
        memcpy(root + keys++ * width, family->bytes + i * 2 * width, width);
    put32(header, levels);
    put32(header + 4, keys);
    for (size_t i = 0; i < levels; i++)
        put32(header + 8 + i * 4, start[levels - 1 - i]);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Appends the texts, each once, none across the end of a block.
static void append_globs(struct text *file, const struct ranges *ranges, uint8_t *header)
{
    const char **globs = calloc(ranges->glob_count + 1, sizeof *globs), *text = ranges->globs.bytes;
    uint8_t block[LIST_BLOCK] = {0};
    size_t used = 0, first = file->size / LIST_BLOCK;

    if (!globs) {
        file->no_memory = true;
        return;
    }
    for (size_t i = 0; i < ranges->glob_count; i++, text += strlen(text) + 1)
        globs[i] = text;
    qsort(globs, ranges->glob_count, sizeof *globs, compare_texts);
    for (size_t i = 0; i < ranges->glob_count; i++) {
        size_t size = strlen(globs[i]) + 1;

        if (i > 0 && strcmp(globs[i - 1], globs[i]) == 0)
            continue;
        if (used + size > LIST_ENTRIES) {
            append_block(file, block);
            memset(block, 0, sizeof block);
            used = 0;
        }
        memcpy(block + LIST_AT_ENTRIES + used, globs[i], size);
        used += size;
    }
    if (used > 0)
        append_block(file, block);
    free(globs);
    put32(header, first);
    put32(header + 4, file->size / LIST_BLOCK - first);
}

// Puts the checksums into a file that is otherwise whole.
static void seal(struct text *file)
{
    size_t blocks = file->size / LIST_BLOCK;
    uint64_t digest = 0;

    for (size_t i = 0; i < blocks; i++)
        digest = list_sum(block_at(file, i), digest);
    put64(block_at(file, 0) + LIST_AT_DIGEST, digest);
    for (size_t i = 0; i < blocks; i++)
        put64(block_at(file, i) + LIST_AT_SUM,
              list_sum(block_at(file, i), i == 0 ? 0 : list_seed(digest, (uint32_t)i)));
}

static void append_all(const struct ranges *ranges, struct text *file)
{
    uint8_t header[LIST_BLOCK] = {0};

    memcpy(header, LIST_MAGIC, LIST_MAGIC_BYTES);
    append_block(file, header);
    append_tree(file, &ranges->four, header + LIST_AT_TREES, header + LIST_AT_ROOT4, LIST_ROOT4);
    append_tree(file, &ranges->six, header + LIST_AT_TREES + LIST_TREE_BYTES,
                header + LIST_AT_ROOT6, LIST_ROOT6);
    append_globs(file, ranges, header + LIST_AT_GLOBS);
    if (file->no_memory)
        return;
    put32(header + LIST_AT_VERSION, LIST_VERSION);
    put32(header + LIST_AT_ORDER, LIST_ORDER);
    put64(header + LIST_AT_LENGTH, file->size);
    memcpy(file->bytes, header, sizeof header);
    seal(file);
}

void ranges_compile(const char *const *texts, size_t count, struct text *file)
{
    struct ranges ranges = {.four = {.width = 4}, .six = {.width = 16}};

    for (size_t i = 0; i < count; i++) {
        const char *text = texts[i];

        for (;;) {
            size_t length = strcspn(text, ",");

            add_pattern(&ranges, text, length);
            if (text[length] == '\0')
                break;
            text += length + 1;
        }
    }
    merge(&ranges.four);
    merge(&ranges.six);
    if (ranges.no_memory || ranges.globs.no_memory)
        file->no_memory = true;
    else
        append_all(&ranges, file);
    free(ranges.four.bytes);
    free(ranges.six.bytes);
    free(ranges.globs.bytes);
}
