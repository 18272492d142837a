// SPDX-License-Identifier: ISC
//
// lines: lines from a fifo that many write to, and out through a descriptor that may be read
// slowly, without ever waiting for either.
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_BYTES 65536

// A descriptor of ours that others read, perhaps slowly: what it does not take now waits here.
struct lines_out {
    int fd, own; // `own` is open(2)ed by us, or -1
    bool socket, failing;
    size_t size, lost; // `lost` counts for the caller
    char bytes[LINES_BYTES];
};

// A fifo that others write lines to. `fd` does not block.
struct lines_in {
    int fd;
    size_t size;
    char bytes[LINES_BYTES];
};

void lines_out_open(struct lines_out *out, int fd);
void lines_out_close(struct lines_out *out);

// Writes what can be written without waiting. Returns 0, or -1 with errno at the first of a row of
// failures; the bytes are lost then.
int lines_out_flush(struct lines_out *out);

// Returns false where there is no room.
bool lines_out_put(struct lines_out *out, const char *bytes, size_t size);

// Reads what has come. Returns whether there was anything.
bool lines_in_read(struct lines_in *in);

// Forgets the first SIZE bytes.
void lines_in_drop(struct lines_in *in, size_t size);

// Moves whole lines, as many as there is room for. Returns whether there were any.
bool lines_move(struct lines_in *in, struct lines_out *out);

#endif
