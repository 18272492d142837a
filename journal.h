// SPDX-License-Identifier: ISC
//
// journal: a message with fields to systemd's journal, in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), for which libsystemd would cost more than a
// connection does.
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stddef.h>

#define JOURNAL_MESSAGE_MAX 4096

// One datagram. Starts with a length of 0.
struct journal_message {
    size_t length;
    char data[JOURNAL_MESSAGE_MAX];
};

// Adds the field NAME (capital letters, digits and '_', no '_' first) with SIZE bytes at VALUE, any
// bytes at all. Returns 0, or -1 where there is no room for it; nothing is added then. Pure.
int journal_add(struct journal_message *message, const char *name, const char *value, size_t size);

// Sends MESSAGE, and waits for the journal for a second at most. Returns 0, or -1 with errno:
// EAGAIN where it has not kept up.
int journal_send(const struct journal_message *message);

#endif
