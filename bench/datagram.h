// SPDX-License-Identifier: ISC
//
// datagram: what both ends of the benchmark of UDP agree on: what is in a datagram.
//
// A header, and behind it content that depends on who sent it and on its number. The answer to a
// datagram is the same once more, but for its first byte. So whatever is spoiled, cut, joined, sent
// to another client or sent twice is seen.
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATAGRAM_BYTES_MAX 65507
#define DATAGRAM_BATCH     64

enum datagram_kind {
    DATAGRAM_REQUEST = 'q',
    DATAGRAM_ANSWER = 'a',
    DATAGRAM_BAD = 'x', // the answer to one that did not come as it was sent
};

// The first bytes of each, in the machine's own order.
struct datagram_header {
    uint32_t kind, run, client, number; // RUN tells the datagrams of one process from another's
};

// Writes a datagram of SIZE bytes, at least those of its header and at most DATAGRAM_BYTES_MAX.
void datagram_make(unsigned char *bytes, size_t size, const struct datagram_header *header);

// Reads the header of SIZE bytes. False if they are too few, or their content is another than that
// of the header.
bool datagram_check(const unsigned char *bytes, size_t size, struct datagram_header *header);

#endif
