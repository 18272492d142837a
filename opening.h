// SPDX-License-Identifier: ISC
//
// opening: how a client gets a session: access, room, and a socket to the target.
#ifndef OPENING_H
#define OPENING_H

#include "flow.h"

// Does what is to be done with the datagrams of the batch that are entry NUMBER's: a client without
// a session gets one first, if it may.
void opening_deliver(struct udp *udp, uint32_t number);

// A client gets no session: notes why, and has it rest.
void opening_fail(struct udp *udp, uint32_t number, enum dial_step step, const char *reason);

// Takes what the threads that dial have to say, and gives them more to do.
void opening_take_answers(struct udp *udp);

#endif
