// SPDX-License-Identifier: ISC
//
// datagrams: a listener's datagrams in and out, many with one system call. Knows who sent one and
// to which address of this host, and sends answers from there; not what they are for.
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "burst.h"
#include "host.h"
#include "sessions.h"

#define DATAGRAMS_BATCH   64
#define DATAGRAMS_BYTES   65536 // one more than the largest there is, at least
#define DATAGRAMS_LARGEST 65507 // that any listener can send
#define DATAGRAMS_CONTROL 128

// One way: headers for the kernel, and what they point to.
struct datagrams_row {
    struct mmsghdr headers[DATAGRAMS_BATCH];
    struct iovec pieces[DATAGRAMS_BATCH];
    union host_address names[DATAGRAMS_BATCH];
    _Alignas(8) unsigned char controls[DATAGRAMS_BATCH][DATAGRAMS_CONTROL];
    _Alignas(4096) unsigned char data[DATAGRAMS_BATCH][DATAGRAMS_BYTES];
};

// Large, and mostly never touched. Starts as zeros.
struct datagrams {
    int fd;
    int family;
    bool wildcard; // then the address of this host is part of a key
    struct datagrams_row in, out;
    unsigned received, waiting; // of `in`, of `out`
    uint32_t lost;              // by the kernel, at the last look
    struct mmsghdr fetches[DATAGRAMS_BATCH];
    struct iovec fetch_pieces[DATAGRAMS_BATCH];
    uint32_t owners[DATAGRAMS_BATCH]; // of `out`: as datagrams_address() was told
    bool sent[DATAGRAMS_BATCH];       // of `out`, after datagrams_send()
    struct burst burst;
};

// Sets DATAGRAMS up for the bound datagram socket FD of LOCAL, which is left as it is but for
// options that do no harm to who shares it.
void datagrams_init(struct datagrams *datagrams, int fd, const union host_address *local);

// Takes what has come from clients. Returns how many datagrams that are, or -1 with errno.
int datagrams_receive(struct datagrams *datagrams);

// Whether the kernel has dropped what clients sent since the last look.
bool datagrams_were_lost(struct datagrams *datagrams);

// Who sent datagram NUMBER of those, and where to.
void datagrams_key(const struct datagrams *datagrams, unsigned number, struct sessions_key *key);

// The client of KEY as an address, as it came.
void datagrams_client(const struct sessions_key *key, union host_address *client);

static inline const unsigned char *datagrams_data(const struct datagrams *datagrams,
                                                  unsigned number)
{
    return datagrams->in.data[number];
}

static inline size_t datagrams_size(const struct datagrams *datagrams, unsigned number)
{
    return datagrams->in.headers[number].msg_len;
}

// Reads from the connected socket FD at most MOST datagrams, which then wait to be sent after those
// that do already, to the client of KEY, as OWNER's; a stream's bytes as one datagram. There must
// be room. Returns as recvmmsg(2); 0 is the end of a stream.
int datagrams_fetch(struct datagrams *datagrams, int fd, bool stream, unsigned most);
void datagrams_address(struct datagrams *datagrams, unsigned count, const struct sessions_key *key,
                       uint32_t owner);

static inline unsigned datagrams_room(const struct datagrams *datagrams)
{
    return DATAGRAMS_BATCH - datagrams->waiting;
}

// Sends all that waits. What the kernel does not take is lost. Returns how many waited; their
// `owners` and `sent` are valid until the next fetch.
unsigned datagrams_send(struct datagrams *datagrams);

#endif
