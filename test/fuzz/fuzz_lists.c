// SPDX-License-Identifier: ISC
//
// Compiled lists. Where the first byte is odd, the rest is patterns and addresses: a compiled list
// says what trying each pattern says. Otherwise the rest is a file, or what changes a good one:
// nothing is read beyond it, and a file that is not good says nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "list.h"
#include "ranges.h"

#define TEXT_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look_up(const char *bytes, size_t size, const struct acl_client *client)
{
    static int file = -1;
    const char *reason = NULL;
    char path[64];
    int found;

    if (file < 0)
        file = memfd_create("list", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, 0) < 0 || pwrite(file, bytes, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    found = list_look_up(path, client, &reason);
    if (found < 0 && !reason)
        abort();
    return found;
}

static void take_client(const uint8_t *data, uint8_t flags, struct acl_client *client)
{
    union host_address address;

    memset(&address, 0, sizeof address);
    if (flags & 2) {
        address.any.sa_family = AF_INET6;
        memcpy(&address.in6.sin6_addr, data, 16);
        address.in6.sin6_scope_id = flags & 8 ? 1 : 0;
    } else {
        address.any.sa_family = AF_INET;
        memcpy(&address.in.sin_addr, data, 4);
    }
    acl_client_set(client, &address, flags & 4);
}

static void check_patterns(const char *text, const struct acl_client *client)
{
    struct acl acl = {.list[ACL_DENY] = {&text, 1}};
    struct text file = {.size = 0};

    ranges_compile(&text, 1, &file);
    if (!file.no_memory &&
        look_up(file.bytes, file.size, client) != (acl_check(&acl, client).verdict == ACL_DENIED))
        abort();
    free(file.bytes);
}

// Each three bytes change one of a good file.
static void check_changed(const uint8_t *data, size_t size, const struct acl_client *client)
{
    static const char *const text = "10.0.0.0/8,2001:db8::/32,*.77,0.0.0.0/4";
    struct acl acl = {.list[ACL_DENY] = {&text, 1}};
    struct text file = {.size = 0};
    int found;

    ranges_compile(&text, 1, &file);
    if (file.no_memory)
        return;
    for (; size >= 3; data += 3, size -= 3)
        file.bytes[(size_t)(data[0] << 8 | data[1]) % file.size] = (char)data[2];
    found = look_up(file.bytes, file.size, client);
    if (found >= 0 && found != (acl_check(&acl, client).verdict == ACL_DENIED))
        abort();
    free(file.bytes);
}

// Whether FILE, of BLOCKS blocks, may say that it does not have KEY, of WIDTH bytes: there is no
// range up to KEY, or one of its blocks, to which the root has led, has entries from before KEY.
static bool may_lack(const uint8_t *file, size_t blocks, const uint8_t *key, size_t width)
{
    const uint8_t *tree = file + LIST_AT_TREES + (width == 4 ? 0 : LIST_TREE_BYTES);

    if (memcmp(tree + 4, "\0\0\0", 4) == 0 ||
        memcmp(file + (width == 4 ? LIST_AT_ROOT4 : LIST_AT_ROOT6), key, width) > 0)
        return true;
    for (size_t i = 1; i < blocks; i++)
        if (memcmp(file + i * LIST_BLOCK, "\0\0\0", 4) != 0 &&
            memcmp(file + i * LIST_BLOCK + LIST_AT_ENTRIES, key, width) <= 0)
            return true;
    return false;
}

// The bytes as one block each of a file whose checksums are right: what they say is not, and where
// that can be seen nobody is let in.
static void check_sealed(const uint8_t *data, size_t size, const struct acl_client *client)
{
    enum { BLOCKS = 4 };
    static uint8_t file[BLOCKS * LIST_BLOCK];
    bool four = client->address.any.sa_family == AF_INET;
    size_t share = size / BLOCKS;

    memset(file, 0, sizeof file);
    for (size_t i = 0; i < BLOCKS; i++)
        memcpy(file + i * LIST_BLOCK + (i ? 0 : LIST_AT_GLOBS), data + i * share,
               share < LIST_AT_SUM - LIST_AT_GLOBS ? share : LIST_AT_SUM - LIST_AT_GLOBS);
    memcpy(file, LIST_MAGIC, LIST_MAGIC_BYTES);
    memcpy(file + LIST_AT_VERSION, "\0\0\0\1\1\2\3\4\0\0\0\0\0\0\x40\0", 16);
    for (size_t i = 0; i < BLOCKS; i++) {
        uint64_t sum = list_sum(file + i * LIST_BLOCK, i ? list_seed(0, (uint32_t)i) : 0);

        for (size_t j = 0; j < 8; j++)
            file[i * LIST_BLOCK + LIST_AT_SUM + j] = (uint8_t)(sum >> 8 * (7 - j));
    }
    if (look_up((const char *)file, sizeof file, client) == 0 &&
        !may_lack(file, BLOCKS,
                  four ? (const uint8_t *)&client->address.in.sin_addr
                       : client->address.in6.sin6_addr.s6_addr,
                  four ? 4 : 16))
        abort();
}

// A byte of flags, 16 for the address, and the rest.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acl_client client;
    char text[TEXT_MAX + 1];

    if (size < 17)
        return 0;
    take_client(data + 1, data[0], &client);
    if (data[0] & 1) {
        size_t length = size - 17 < TEXT_MAX ? size - 17 : TEXT_MAX;

        memcpy(text, data + 17, length);
        text[length] = '\0';
        if (text[0] != ACL_COMPILED && acl_patterns_valid(text))
            check_patterns(text, &client);
    } else if (data[0] & 16) {
        look_up((const char *)data + 17, size - 17, &client);
    } else if (data[0] & 32) {
        check_sealed(data + 17, size - 17, &client);
    } else {
        check_changed(data + 17, size - 17, &client);
    }
    return 0;
}
