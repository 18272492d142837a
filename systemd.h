// SPDX-License-Identifier: ISC
//
// systemd: what the running manager knows of units, and orders to it, by systemctl(1).
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// What the manager says of a unit; empty or 0 where it says nothing.
struct systemd_unit {
    char *name;
    char load[16], active[16], file_state[24];
    char *fragment;    // the file that it was read from
    char *drop_ins;    // the files that it was read from besides, separated by blanks
    char *command;     // of a service: its arguments, as ExecStart has them in systemctl's output
    bool outdated;     // files have changed since the manager read them
    pid_t main_pid;    // of a running service
    uint64_t since_us; // when it became active, on CLOCK_MONOTONIC
};

// Starts zeroed; systemd_units_free() ends it.
struct systemd_units {
    struct systemd_unit *unit;
    size_t count;
};

// What it takes to speak with it.
struct systemd {
    void (*say)(void *context, const char *line); // what systemctl complains of; or NULL
    void *context;
};

// Whether systemd is this system's manager, sd_booted(3).
bool systemd_is_running(void);

// Runs "systemctl VERB NAME...", VERB being words separated by one blank; none if COUNT is 0.
// Returns 0, or -1 when it said no, which was passed on to say().
int systemd_order(const struct systemd *systemd, const char *verb, const char *const *names,
                  size_t count);

// The folders that units are read from, separated by blanks; free() it. NULL after a failure, which
// was passed on.
char *systemd_unit_path(const struct systemd *systemd);

// Appends to UNITS what is known of the COUNT NAMES, and of all sockets and services that are
// active or failed and of whose names IS_OURS is true, unless it is NULL; templates excepted. One
// of the names comes in any case. Returns 0, or -1 after a failure, which was passed on.
int systemd_ask(const struct systemd *systemd, const char *const *names, size_t count,
                bool (*is_ours)(const char *name), struct systemd_units *units);

struct systemd_unit *systemd_find(const struct systemd_units *units, const char *name);
void systemd_units_free(struct systemd_units *units);

// Whether the running service does what its command line says now: false where it was started with
// another one. It may have been started through a program that executes its own arguments: nice(1).
bool systemd_runs_its_command(const struct systemd_unit *unit);

// Whether the unit is active, or on its way.
bool systemd_is_active(const struct systemd_unit *unit);

#endif
