// SPDX-License-Identifier: ISC
//
// options: the one table of what a rule and the relay can be told. A rule's "[src=10.0.0.9]" and
// the relay's "--src=10.0.0.9" are the same row.
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_id {
    // Of a rule, for the relay.
    OPTION_SRC,
    OPTION_CONNECT_TIMEOUT,
    OPTION_TIMEOUT,
    OPTION_KEEPALIVE,
    // Of a rule, for whoever accepts: the superserver, or the relay in wait mode.
    OPTION_MAX,
    OPTION_PER_SOURCE,
    OPTION_LINGER,
    // Of a rule, for rinetd-wrap.
    OPTION_WRAP,
    // Of the relay's command line alone; what a rule says in other ways, or the generator knows.
    OPTION_GLOBAL_ALLOW,
    OPTION_GLOBAL_DENY,
    OPTION_ALLOW,
    OPTION_DENY,
    OPTION_LISTENER,
    OPTION_LOG,
    OPTION_LOG_COMMON,
    OPTION_REFUSED,
    OPTION_KEEP_QUEUE,
    OPTION_RESOLVE,
    OPTION_HELP,
    OPTION_VERSION,
};
#define OPTION_COUNT (OPTION_VERSION + 1)

enum option_kind {
    OPTION_IS_HOST,     // an address or a name, host.h
    OPTION_IS_NUMBER,   // decimal, within the row's limits
    OPTION_IS_SWITCH,   // "on" or "off": 1 or 0
    OPTION_IS_NAME,     // letters, digits, '.', '-', '_'
    OPTION_IS_PATTERNS, // acl.h; may be given several times
    OPTION_IS_LISTENER, // "HOST:PORT", an IPv6 address in brackets
    OPTION_IS_LOG,      // an absolute path, "syslog" or "journal"
    OPTION_IS_FLAG,     // no value
};

enum option_for {
    OPTION_FOR_RELAY,    // in a rule, and passed to the relay
    OPTION_FOR_ACCEPTOR, // in a rule, for the superserver, or the relay in wait mode
    OPTION_FOR_WRAP,     // in a rule, for rinetd-wrap
    OPTION_FOR_COMMAND,  // not in a rule: the relay's command line only
};

struct option_row {
    const char *name; // without "--"
    enum option_kind kind;
    enum option_for audience;
    long min, max;     // of OPTION_IS_NUMBER
    long standard;     // the value where the option is not given: OPTION_IS_NUMBER and _SWITCH
    const char *value; // what --help calls the value
    const char *help;
};

extern const struct option_row options_table[OPTION_COUNT];

// What a rule or a command line says. `text` points into the caller's memory, NULL where an option
// was not given; `number` is set for numbers and switches.
struct options {
    const char *text[OPTION_COUNT];
    long number[OPTION_COUNT];
};

// All options at their standard values.
void options_init(struct options *options);

// The row called by the LENGTH bytes at NAME, or -1. IN_RULE finds only what a rule can be told.
int options_find(const char *name, size_t length, bool in_rule);

// Checks VALUE against row ID and stores it. Returns NULL, or what was expected instead, as
// "expected …" would continue: a static text or one in BUFFER of SIZE bytes. Nothing is stored
// then.
const char *options_set(struct options *options, enum option_id id, const char *value, char *buffer,
                        size_t size);

// Splits the listener "HOST:PORT" that options_set() accepted: copies HOST without brackets and
// returns PORT.
unsigned options_listener(const char *text, char *host, size_t size);

#endif
