// SPDX-License-Identifier: ISC
//
// hangup: writes planned files and has the running xinetd go by them.
#ifndef HANGUP_H
#define HANGUP_H

#include "apply.h"

// Finds the one xinetd of this system, sends it SIGHUP after the files are written, and waits until
// it has read them and listens where it should; ends the first process of a service in wait mode
// whose arguments have changed. Tells before which connections xinetd will end, and asks their
// relays to end by themselves, since xinetd leaves them no time for their last line in the log.
// xinetd keeps the socket of a wildcard :: that is to take IPv4 clients from now on, or no more:
// that it has to be restarted is told, as a failure, where the kernel lets us ask (pidfd_getfd(2)).
// Nothing is put back. Returns 0, or -1 after telling why not; where there is no xinetd the files
// are written all the same.
int hangup_xinetd(const struct apply_request *request);

#endif
