// SPDX-License-Identifier: ISC
//
// list: compiled access lists, looked into. A file that is not exactly what ranges.h makes tells
// nothing, and its reader refuses the client then.
//
// A file is a row of blocks of LIST_BLOCK bytes, all numbers in it big-endian, as addresses are.
// The last eight bytes of a block are its checksum. Block 0 has the header, and for each family the
// root of a tree: the first addresses of the blocks below. These hold such addresses again, or, at
// the bottom, ranges: the first and the last address of each, in order, none touching another.
// Blocks of one level follow each other. Patterns that are no ranges stand in blocks of their own,
// as texts, each with a NUL.
#ifndef LIST_H
#define LIST_H

#include <stdint.h>

#include "acl.h"

#define LIST_VERSION 1
#define LIST_ORDER   0x01020304
#define LIST_BLOCK   4096
#define LIST_LEVELS  4 // in a tree at most, its root aside

// The first line of a file, which also tells people, and `output`, where it comes from.
#define LIST_MAGIC       "# Made by rinetd-gen: an access list in a form for rinetd-relay.\n"
#define LIST_MAGIC_BYTES (sizeof LIST_MAGIC - 1)

// Where what is in block 0, and the bytes that a root has.
#define LIST_AT_VERSION 72  // 32 bits
#define LIST_AT_ORDER   76  // 32 bits
#define LIST_AT_LENGTH  80  // 64 bits: of the whole file
#define LIST_AT_DIGEST  88  // 64 bits: of all that is in it
#define LIST_AT_GLOBS   96  // 32 bits: the first block of texts; 32 bits: their number
#define LIST_AT_TREES   104 // a tree for each family: IPv4, IPv6
#define LIST_TREE_BYTES 24  // 32 bits: levels; 32 bits: addresses in the root; the levels' blocks
#define LIST_AT_ROOT4   160
#define LIST_ROOT4      1792
#define LIST_AT_ROOT6   1952
#define LIST_ROOT6      2048

// In any other block: how many entries it has, and of how many bytes, in 32 bits each, then these.
// For texts both are 0.
#define LIST_AT_ENTRIES 8
#define LIST_AT_SUM     (LIST_BLOCK - 8)
#define LIST_ENTRIES    (LIST_AT_SUM - LIST_AT_ENTRIES) // bytes

// What mixes with a block's own bytes, so that it is good in its place in its file only.
static inline uint64_t list_seed(uint64_t digest, uint32_t block)
{
    return digest + block * UINT64_C(0x9e3779b97f4a7c15);
}

// A checksum of the LIST_AT_SUM bytes at BLOCK that tells any change within one word of eight bytes
// for sure: each step has an inverse.
uint64_t list_sum(const uint8_t *block, uint64_t seed);

// Whether the list at PATH has CLIENT, whose address is of a family: exactly if one of the patterns
// that it was made of matches. Returns 1 or 0, or -1 with what is wrong in *REASON, a static text.
// Opens the file anew each time, so that one that has been replaced counts at once.
int list_look_up(const char *path, const struct acl_client *client, const char **reason);

#endif
