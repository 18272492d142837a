// SPDX-License-Identifier: ISC
#include "list.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A list on its way. One block is enough: the way down a tree never goes back.
struct list {
    int fd;
    uint64_t digest;
    uint32_t blocks;
    const char *reason;
    uint8_t block[LIST_BLOCK];
};

// Of a tree: what of it does not change on the way down.
struct tree {
    uint32_t levels, keys, start[LIST_LEVELS];
    size_t width; // bytes of an address
};

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return be64toh(value);
}

uint64_t list_sum(const uint8_t *block, uint64_t seed)
{
    uint64_t sum = seed;

    for (size_t i = 0; i < LIST_AT_SUM; i += 8) {
        sum = (sum ^ get64(block + i)) * UINT64_C(0xff51afd7ed558ccd);
        sum ^= sum >> 32;
    }
    return sum;
}

static int refuse(struct list *list, const char *reason)
{
    list->reason = reason;
    return -1;
}

// Reads a block of the open list, whose checksum starts from SEED. Returns 0 or -1.
static int read_block(struct list *list, uint32_t number, uint64_t seed)
{
    ssize_t got;

    do {
        got = pread(list->fd, list->block, LIST_BLOCK, (off_t)number * LIST_BLOCK);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return refuse(list, strerror(errno));
    if (got != LIST_BLOCK)
        return refuse(list, "it is cut short");
    if (number == 0 && memcmp(list->block, LIST_MAGIC, LIST_MAGIC_BYTES) != 0)
        return refuse(list, "it is no list that rinetd-gen has made");
    if (number == 0 && get32(list->block + LIST_AT_ORDER) != LIST_ORDER)
        return refuse(list, "its bytes are in another order");
    if (number == 0 && get32(list->block + LIST_AT_VERSION) != LIST_VERSION)
        return refuse(list, "it is of another version of rinetd-gen");
    if (get64(list->block + LIST_AT_SUM) != list_sum(list->block, seed))
        return refuse(list, "it is damaged");
    return 0;
}

// Reads the block that the tree or the texts have at NUMBER.
static int read_inner(struct list *list, uint32_t number)
{
    if (number == 0 || number >= list->blocks)
        return refuse(list, "it is damaged");
    return read_block(list, number, list_seed(list->digest, number));
}

// Reads block 0. Returns 0 or -1.
static int read_header(struct list *list)
{
    struct stat status;
    uint64_t length;

    if (fstat(list->fd, &status) < 0)
        return refuse(list, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(list, "it is no regular file");
    if (read_block(list, 0, 0) < 0)
        return -1;
    length = get64(list->block + LIST_AT_LENGTH);
    if ((uint64_t)status.st_size != length)
        return refuse(list, "it has not the length that it should have");
    if (length % LIST_BLOCK != 0 || length / LIST_BLOCK > UINT32_MAX)
        return refuse(list, "it is damaged");
    list->blocks = (uint32_t)(length / LIST_BLOCK);
    list->digest = get64(list->block + LIST_AT_DIGEST);
    return 0;
}

// How many of the COUNT entries of SIZE bytes at ENTRIES begin with an address that is not beyond
// KEY; their addresses ascend.
static uint32_t count_up_to(const uint8_t *entries, uint32_t count, size_t size, const uint8_t *key,
                            size_t width)
{
    uint32_t low = 0;

    while (count > 0) {
        uint32_t half = count / 2;

        if (memcmp(entries + (low + half) * size, key, width) <= 0) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

// Whether entry INDEX of COUNT stands where it should, as far as its neighbours tell.
static bool is_in_order(const uint8_t *entries, uint32_t index, uint32_t count, size_t size,
                        size_t width)
{
    const uint8_t *entry = entries + index * size, *last = entry + size - width;

    return memcmp(entry, last, width) <= 0 &&
           (index == 0 || memcmp(entry - width, entry, width) < 0) &&
           (index + 1 == count || memcmp(last, entry + size, width) < 0);
}

// Goes down TREE, whose root is at ROOT in block 0, which has been read. Returns 1, 0 or -1.
static int search(struct list *list, const struct tree *tree, const uint8_t *root,
                  const uint8_t *key)
{
    const uint8_t *entries = root;
    uint32_t count = tree->keys, before = 0;
    size_t width = tree->width;

    for (uint32_t level = 0;; level++) {
        bool ranges = level == tree->levels;
        size_t size = ranges ? 2 * width : width;
        uint32_t index;

        if (level > 0)
            count = get32(entries - LIST_AT_ENTRIES);
        if (level > 0 && (count == 0 || count > LIST_ENTRIES / size ||
                          get32(entries - LIST_AT_ENTRIES + 4) != size))
            return refuse(list, "it is damaged");
        index = count_up_to(entries, count, size, key, width);
        // Where the level above has led to, the first address is not beyond KEY.
        if (index == 0)
            return level == 0 ? 0 : refuse(list, "it is damaged");
        index--;
        if (!is_in_order(entries, index, count, size, width))
            return refuse(list, "it is damaged");
        if (ranges)
            return memcmp(key, entries + index * size + width, width) <= 0;
        before = before * (uint32_t)(LIST_ENTRIES / width) + index;
        if (before >= list->blocks || tree->start[level] >= list->blocks)
            return refuse(list, "it is damaged");
        if (read_inner(list, tree->start[level] + before) < 0)
            return -1;
        entries = list->block + LIST_AT_ENTRIES;
    }
}

// Whether the ranges of one family have the address of WIDTH bytes at KEY. Returns 1, 0 or -1.
static int search_family(struct list *list, const uint8_t *key, size_t width)
{
    const uint8_t *at = list->block + LIST_AT_TREES + (width == 4 ? 0 : LIST_TREE_BYTES);
    struct tree tree = {.levels = get32(at), .keys = get32(at + 4), .width = width};

    for (size_t i = 0; i < LIST_LEVELS; i++)
        tree.start[i] = get32(at + 8 + i * 4);
    if (tree.keys == 0)
        return 0;
    if (tree.levels == 0 || tree.levels > LIST_LEVELS ||
        tree.keys > (width == 4 ? LIST_ROOT4 : LIST_ROOT6) / width)
        return refuse(list, "it is damaged");
    return search(list, &tree, list->block + (width == 4 ? LIST_AT_ROOT4 : LIST_AT_ROOT6), key);
}

// Tries the patterns that are no ranges. Returns 1, 0 or -1.
static int try_texts(struct list *list, uint32_t first, uint32_t count,
                     const struct acl_client *client)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *text, *end;

        if (i > list->blocks - first || read_inner(list, first + i) < 0)
            return refuse(list, list->reason ? list->reason : "it is damaged");
        text = (const char *)list->block + LIST_AT_ENTRIES;
        end = (const char *)list->block + LIST_AT_SUM;
        while (text < end && *text) {
            size_t length = strnlen(text, (size_t)(end - text));

            if (acl_pattern_matches(text, length, client))
                return 1;
            text += length + 1;
        }
    }
    return 0;
}

static int look_up(struct list *list, const struct acl_client *client)
{
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
    bool four = client->address.any.sa_family == AF_INET;
    const uint8_t *four_bytes = (const uint8_t *)&client->address.in.sin_addr;
    uint32_t texts, text_blocks;
    int found;

    if (read_header(list) < 0)
        return -1;
    texts = get32(list->block + LIST_AT_GLOBS);
    text_blocks = get32(list->block + LIST_AT_GLOBS + 4);
    if (text_blocks > 0 && (texts >= list->blocks || text_blocks > list->blocks - texts))
        return refuse(list, "it is damaged");
    if (four)
        found = search_family(list, four_bytes, 4);
    else
        found = search_family(list, client->address.in6.sin6_addr.s6_addr, 16);
    if (found == 0 && four && client->mapped_text[0]) {
        memcpy(mapped + 12, four_bytes, 4);
        found = read_block(list, 0, 0) < 0 ? -1 : search_family(list, mapped, 16);
    }
    return found ? found : try_texts(list, texts, text_blocks, client);
}

int list_look_up(const char *path, const struct acl_client *client, const char **reason)
{
    // Nothing that waits for somebody to write: a fifo is refused.
    struct list list = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    int found;

    if (list.fd < 0) {
        *reason = strerror(errno);
        return -1;
    }
    found = look_up(&list, client);
    *reason = list.reason;
    close(list.fd);
    return found;
}
