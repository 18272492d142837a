// SPDX-License-Identifier: ISC
//
// conf: the bytes of rinetd.conf in, rules in file order with their access lines out, and a list
// of what is wrong. The grammar is rinetd 0.73's with the extensions of rinetd.conf(5). Nothing is
// opened, looked up or printed here.
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "acl.h"
#include "host.h"
#include "options.h"

// Where something stands. Lines and columns count from 1, columns in bytes.
struct conf_place {
    const char *file; // owned by the struct conf
    unsigned line, column;
};

enum conf_severity { CONF_WARNING, CONF_ERROR };

struct conf_message {
    enum conf_severity severity;
    struct conf_place place;
    char *text; // printable: bytes of the configuration in it are escaped
};

// A file of patterns, which access lines name with a '@' before it; one for all that name it so.
struct conf_list {
    const char *file; // for messages
    const char *path; // as the access lines name it, beside the file that they stand in
    char *text;       // all patterns as acl.h wants them, with commas between them
    unsigned *line;   // of each pattern
    size_t count, capacity;
    bool bad; // a line of it is in error
};

// The patterns of one list, in file order.
struct conf_access {
    const char **text; // as acl.h wants it: one pattern each, or all of a file's
    struct conf_place *place;
    const struct conf_list **list; // NULL for a pattern
    size_t count, capacity;
};

struct conf_port {
    unsigned number;     // 1 to 65535; 0 where `service` is to be looked up
    const char *service; // a name of services(5), or NULL
    bool udp;
    bool unclear; // something else than "/tcp" or "/udp" stands there: it may have been either
    struct conf_place place;
    struct conf_place protocol_place; // of "/tcp" or "/udp"; line 0 where there is none
};

struct conf_host {
    const char *text; // as written, without brackets
    enum host_kind kind;
    struct conf_place place;
};

struct conf_rule {
    struct conf_place place;
    // Not to be converted: the line, an access line of its own or an option is in error. What is
    // below `broken` is then only partly set.
    bool broken;
    struct conf_host bind, target;
    struct conf_port bind_port, target_port; // target_port.number is 0 for a HOST_UNIX target
    struct options options;
    struct conf_place option_place[OPTION_COUNT];
    struct conf_access allow, deny;
};

struct conf_file {
    char *text; // NULL where the directive was not given
    bool bad;   // the last such line was in error
    struct conf_place place;
};

struct conf {
    struct conf_rule *rules;
    size_t rule_count, rule_capacity;
    struct conf_access global_allow, global_deny;
    struct conf_list **lists; // in the order in which they were first named
    size_t list_count, list_capacity;
    bool global_broken; // a global access line is in error: no rule may be converted
    struct conf_file log, pid;
    bool log_common;
    struct conf_message *messages;
    size_t message_count, message_capacity;
    size_t error_count;
    bool no_memory;      // an allocation failed: nothing in here may be used
    struct arena *arena; // every text in here
};

// One file that an include, or an access line, brings.
struct conf_source {
    const char *name;     // for messages, and what nested includes are relative to
    const char *identity; // the same for the same file whatever it is called: to find circles
    const char *bytes;    // NULL where the file could not be read: then `error` says why
    size_t size;
    const char *error;
};

// What an include finds. `sources` are sorted by name and stay valid until release() is called.
struct conf_sources {
    const struct conf_source *source;
    size_t count; // 0: the pattern matched nothing
};

// How includes, and lists of patterns, are read: find() turns a pattern, relative to the folder of
// the file FROM, into sources; it returns false and sets *error where that failed. A pattern
// without glob characters that names no file is a failure; one with them that matches none is a
// count of 0.
struct conf_reader {
    bool (*find)(void *context, const char *pattern, const char *from, struct conf_sources *found,
                 const char **error);
    void (*release)(void *context, struct conf_sources *found);
    void *context;
};

// Parses the SIZE bytes of MAIN->bytes. READER may be NULL: then every include is an error, and
// every list of patterns.
// Returns a new conf with at least its messages in file order, or NULL where memory ran out.
struct conf *conf_parse(const struct conf_source *main, const struct conf_reader *reader);

// Adds a message of the caller's own. FORMAT as printf(3); texts that came from a configuration
// are to be passed through conf_quote() first.
void conf_report(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

// TEXT, LENGTH bytes, in double quotes with everything that is not printable ASCII escaped, cut
// after some 60 bytes; owned by CONF.
const char *conf_quote(struct conf *conf, const char *text, size_t length);

// Messages in the order of their places, those of one place in the order they came.
void conf_sort_messages(struct conf *conf);

void conf_free(struct conf *conf);

#endif
