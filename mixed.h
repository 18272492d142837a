// SPDX-License-Identifier: ISC
//
// mixed: a connected stream socket of a client and a connected datagram socket of a target.
//
// Each read from the client, of at most MIXED_READ_BYTES, becomes one datagram; the bytes of each
// datagram from the target are written to the client, whole and in order. A datagram that the
// target's socket does not take yet is waited for, so the client is held back; one that can not be
// sent at all is lost. Of what comes for a client that does not read, one datagram is held, and the
// kernel drops what its buffer has no room for.
//
// Datagrams have no end of file. After that of the client, replies are passed on until none has
// come for MIXED_GRACE_MS.
#ifndef MIXED_H
#define MIXED_H

#include "pump.h"

// The most that a datagram of UDP over IPv4 can have.
#define MIXED_READ_BYTES 65507
#define MIXED_GRACE_MS   5000

// As pump(), whose buffers and promises about them hold here too. Returns when the client or the
// time has ended it, *STOP is set, or the target has refused a datagram: PUMP_TARGET_FIRST, whoever
// else has ended. The client sees a reset where the target has refused, and where it did not get
// all of a datagram.
void mixed(const struct pump_request *request, struct pump_result *result);

#endif
