// SPDX-License-Identifier: ISC
//
// burst: many datagrams out with one system call. Those that are of one size and for one peer are
// one packet on their way through the kernel, which parts them at the end (UDP_SEGMENT, udp(7)):
// most of what a datagram costs is that way. Whoever gets them sees no difference.
#ifndef BURST_H
#define BURST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define BURST_MOST    64
#define BURST_CONTROL 128

// All zeros at the start; then no datagrams are joined.
struct burst {
    size_t size_most; // of what may be joined, as far as is known
    struct mmsghdr headers[BURST_MOST];
    uint8_t counts[BURST_MOST]; // of datagrams in each of these
    _Alignas(8) unsigned char controls[BURST_MOST][BURST_CONTROL];
};

// Asks the kernel of the UDP socket FD whether it can join datagrams.
void burst_init(struct burst *burst, int fd);

// As sendmmsg(2) with MSG_DONTWAIT and MSG_NOSIGNAL, in that order and with its errors: returns how
// many of the datagrams have been sent, at most COUNT, itself BURST_MOST at most, or -1 with errno
// of the first. HEADERS must have been zeroed as a whole before they were filled in, have one piece
// each, and these lie one behind the other.
int burst_send(struct burst *burst, int fd, struct mmsghdr *headers, unsigned count);

#endif
