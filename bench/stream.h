// SPDX-License-Identifier: ISC
//
// stream: what both ends of the benchmark agree on: how a connection begins, and its content.
//
// The first byte that a client sends says what the connection is for. After every kind but
// STREAM_ECHO a size follows, eight bytes in the machine's own order. With STREAM_WHOLE added, the
// server compares all of a stream upward, and not only a part of it.
//
//     STREAM_ECHO     every byte, this one too, comes back, until the client ends
//     STREAM_REQUEST  again and again SIZE bytes to the server, and as many back
//     STREAM_DOWN     SIZE bytes to the client, and the end of the stream
//     STREAM_UP       SIZE bytes to the server; a verdict comes back, and the end of the stream
//     STREAM_BOTH     both of these at once
//
// A client keeps its direction open until it has seen the end: half of the contenders lose what
// comes back after a half-close.
#ifndef STREAM_H
#define STREAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STREAM_CHUNK        262144
#define STREAM_HEADER_BYTES 9
#define STREAM_WHOLE        0x80
#define STREAM_GOOD         'k' // the verdict on what the server was sent
#define STREAM_BAD          'x'

enum stream_kind {
    STREAM_ECHO = 'e',
    STREAM_REQUEST = 'r',
    STREAM_DOWN = 'd',
    STREAM_UP = 'u',
    STREAM_BOTH = 'b',
};

// Returns STREAM_CHUNK bytes of the content, from POSITION on. It repeats after a prime number of
// bytes, so that a block that is lost, doubled or moved shows in every byte after it.
const unsigned char *stream_content(uint64_t position);

// Is it the content from POSITION on? Compares all of it, or else one KiB in eight and both ends,
// which costs little beside moving it.
bool stream_check(const unsigned char *bytes, size_t size, uint64_t position, bool all);

// Fills in an IPv4 address and port. False if they are none.
bool stream_address(const char *host, const char *port, struct sockaddr_in *address);

// Says "PROGRAM: unable to WHAT: reason" and exits with 1.
__attribute__((noreturn)) void stream_die(const char *what);

// Raises the limit of open files to what the kernel lets it.
void stream_raise_files(void);

// Starts COMMAND, a path and its arguments, with FD as its standard input, output and error, as
// inetd does. Returns its process.
pid_t stream_start(int fd, char **command);

#endif
