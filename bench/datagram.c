// SPDX-License-Identifier: ISC
#include "datagram.h"

#include <string.h>

#include "stream.h"

// Another one for each datagram of a client, and for each of several clients.
static const unsigned char *content_of(const struct datagram_header *header)
{
    return stream_content((uint64_t)header->client * 7919 + (uint64_t)header->number * 61);
}

void datagram_make(unsigned char *bytes, size_t size, const struct datagram_header *header)
{
    memcpy(bytes, header, sizeof *header);
    memcpy(bytes + sizeof *header, content_of(header), size - sizeof *header);
}

bool datagram_check(const unsigned char *bytes, size_t size, struct datagram_header *header)
{
    if (size < sizeof *header || size > DATAGRAM_BYTES_MAX)
        return false;
    memcpy(header, bytes, sizeof *header);
    return memcmp(bytes + sizeof *header, content_of(header), size - sizeof *header) == 0;
}
