// SPDX-License-Identifier: ISC
//
// emit: a rule of a configuration in, the text of a superserver's entry out, through a template,
// in the target's own escaping. What the target cannot say is refused.
//
// In a template "@key@" stands for a value. A line of which a value is empty is left out. Nothing
// in a value is looked at again.
#ifndef EMIT_H
#define EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "host.h"
#include "text.h"

enum emit_format { EMIT_XINETD, EMIT_INETD, EMIT_SYSTEMD };

// The longest name of a service, its NUL included: "rinetd-tcp-" or "rinetd-udp-", an address, '-',
// a port.
#define EMIT_NAME_MAX 64

// The same of any file: a service's name, and at most "@.service".
#define EMIT_FILE_MAX (EMIT_NAME_MAX + 10)

struct emit_template {
    const char *name; // "xinetd-head"; NULL ends a list
    const char *text;
};

// What is compiled in, from the folder templates.
extern const struct emit_template emit_templates[];

// What all rules have in common.
struct emit_settings {
    enum emit_format format;
    bool wait;                             // the relay gets the listening socket, of TCP too
    const struct emit_template *templates; // asked before emit_templates; may be NULL
    const char *config;                    // where the configuration came from, for the reader
    bool at_boot;                          // by systemd's generator, who does it anew by itself
    const char *user;
    const char *relay, *wrap; // absolute paths
    const char *log;          // as the relay's --log takes it; NULL: no log
    bool log_common;
    size_t globals_size;   // emit_globals_size() of the configuration
    const char *lists_dir; // where compiled access lists will lie; NULL: there can be none
    const char *here;      // the folder that relative names of lists start from
};

// A rule with everything about it known.
struct emit_rule {
    const struct conf_rule *rule;
    union host_address listener; // without a port
    unsigned listener_port, target_port;
    bool udp;              // what listens takes datagrams
    bool v6only;           // the wildcard :: is not to take IPv4 clients
    bool beside;           // a wildcard of UDP, and other rules of its port take clients from it
    bool any4;             // v6only, and the rule for 0.0.0.0 on its port is converted, too
    const char *wrap_name; // the daemon name for TCP wrappers, or NULL
    char name[EMIT_NAME_MAX];
    const char *compiled[ACL_LISTS]; // the file that has the patterns; NULL: the command line
};

enum emit_error_kind {
    EMIT_OK,
    EMIT_BAD_RULE,     // the target cannot say what the rule says
    EMIT_TOO_LONG,     // the same, and compiled access lists may help
    EMIT_BAD_DIR,      // it cannot say the name of a compiled access list's folder
    EMIT_BAD_LOG,      // it cannot say the name of the log file
    EMIT_BAD_TEMPLATE, // a template of the site's is in error
};

// Why something was refused. `option` is the option of the rule in question, or -1.
struct emit_error {
    enum emit_error_kind kind;
    int option;
    size_t excess; // of EMIT_TOO_LONG: bytes more than there may be
    char what[256];
};

// Whether the relay gets the listening socket of RULE: that of a datagram socket always.
bool emit_waits(const struct emit_settings *settings, const struct emit_rule *rule);

// How many bytes the global access lists of CONF take in every entry.
size_t emit_globals_size(const struct conf *conf);

// Puts the service's name into RULE: of A-Za-z0-9._- alone, from protocol, address and port.
void emit_name(struct emit_rule *rule);

// Appends what stands before all rules, the entry of RULE, or what stands after all rules, for
// formats that have all rules in one file. CONF gives the global access lists. Returns 0, or -1
// with ERROR filled in and TEXT as it was.
int emit_head(const struct emit_settings *settings, struct text *text, struct emit_error *error);
int emit_entry(const struct emit_settings *settings, const struct conf *conf,
               const struct emit_rule *rule, struct text *text, struct emit_error *error);
int emit_foot(const struct emit_settings *settings, struct text *text, struct emit_error *error);

// Appends RULE as a reader would write it: "0.0.0.0 53/udp 192.0.2.1 53/udp".
void emit_describe(const struct emit_rule *rule, struct text *text);

// The access lists of RULE, of CONF.
void emit_lists(const struct conf *conf, const struct conf_rule *rule,
                const struct conf_access *lists[static ACL_LISTS]);

// The name of the file for a list of the digest DIGEST, compiled.
void emit_list_name(const struct emit_settings *settings, uint64_t digest,
                    char name[static EMIT_FILE_MAX]);

// Whether a file NAME can be one that emit_list_name() makes for FORMAT.
bool emit_is_list_name(enum emit_format format, const char *name);

// Whether a file NAME of systemd's can be one that emit_socket_name() or emit_service_name() makes.
bool emit_is_unit_name(const char *name);

// Append the two units that systemd has of RULE; results as above.
int emit_socket(const struct emit_settings *settings, const struct emit_rule *rule,
                struct text *text, struct emit_error *error);
int emit_service(const struct emit_settings *settings, const struct conf *conf,
                 const struct emit_rule *rule, struct text *text, struct emit_error *error);

// The names of the files that they belong into. A service for each connection is a template,
// "NAME@.service", which systemd finds by its socket's name.
void emit_socket_name(const struct emit_rule *rule, char name[static EMIT_FILE_MAX]);
void emit_service_name(const struct emit_settings *settings, const struct emit_rule *rule,
                       char name[static EMIT_FILE_MAX]);

#endif
