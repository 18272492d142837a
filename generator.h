// SPDX-License-Identifier: ISC
//
// generator: what systemd.generator(7) asks of a program that systemd runs at boot and at each
// daemon-reload: where its messages go, when it has nothing to do, and what it makes beside units.
#ifndef GENERATOR_H
#define GENERATOR_H

#include <stdbool.h>
#include <stddef.h>

// Whether ARGV0, a program's own name with or without folders, is NAME.
bool generator_is(const char *argv0, const char *name);

// From now on what is written to standard error is kept for generator_flush_kernel_log(). Where
// there is no kernel log (/dev/kmsg), as in containers, standard error stays what it is, and
// flushing does nothing.
void generator_use_kernel_log(void);

// Makes each line that was kept a record of the kernel log after "PROGRAM: ", with priority err
// where " error: " or "unable to " is in it, else warning. For the end of the program.
void generator_flush_kernel_log(const char *program);

// Whether this run is to end at once, and well: systemd still runs from the initrd, or it is a
// user's own.
bool generator_is_elsewhere(void);

// Whether SERVICE, as "rinetd", is started at boot: a unit or target wants or requires its
// SERVICE.service, or what that is a link to, and it is not masked; or, where there is no such
// unit, a run level of /etc starts its init script. Puts the path that tells so into WHERE, of SIZE
// bytes.
bool generator_is_enabled(const char *service, char *where, size_t size);

// Has sockets.target start the unit NAME of the folder DIR: a symbolic link in
// DIR/sockets.target.wants. Returns 0, or -1 with errno.
int generator_want(const char *dir, const char *name);

#endif
