// SPDX-License-Identifier: ISC
#include "emit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

// xinetd reads its files in blocks of 8 KiB: a longer line may lose its end, or take xinetd down.
#define XINETD_LINE_MAX 8191

// openbsd-inetd passes this many arguments, the program's own name included, and drops the rest.
#define INETD_ARGUMENTS_MAX 20

// What stands beyond it on a line openbsd-inetd reads as the next line.
#define INETD_LINE_MAX 1023

// systemd drops what is longer.
#define SYSTEMD_LINE_MAX 1048575

// What execve(2) takes of one argument, without its NUL: the kernel's MAX_ARG_STRLEN.
#define ARGUMENT_MAX 131071

// Connections a minute that openbsd-inetd starts at most; it knows no word for "no limit".
#define INETD_RATE "1000000"

// systemd knows no word for "no limit" here either.
#define SYSTEMD_MAX "1000000"

// What the names of services begin with.
#define PREFIX_TCP "rinetd-tcp-"
#define PREFIX_UDP "rinetd-udp-"

// Tasks of the relay of a UDP rule: the first one, 32 that look names up and connect, and room.
#define UDP_TASKS 128

// Descriptors that it has besides those of its sessions: its own, and those of all look-ups.
#define UDP_DESCRIPTORS 256

// Sessions at once where a rule does not say.
#define UDP_MAX 5000

// And those of compiled access lists, with a digest after it; and what they end with.
#define LIST_PREFIX "rinetd."
#define LIST_END    ".acl"

#define KEYS_MAX 32

struct key {
    const char *name;
    const char *value;
};

// What a template is filled in with.
struct keys {
    struct key key[KEYS_MAX];
    size_t count;
};

// The relay's command line, a NUL between two arguments.
struct arguments {
    struct text text;
    size_t last; // where the last one begins
    unsigned count;
};

static const struct {
    const char *name;
    size_t line_max; // without its LF
} targets[] = {
    [EMIT_XINETD] = {"xinetd", XINETD_LINE_MAX},
    [EMIT_INETD] = {"inetd", INETD_LINE_MAX},
    [EMIT_SYSTEMD] = {"systemd", SYSTEMD_LINE_MAX},
};

static int refuse(struct emit_error *error, enum emit_error_kind kind, int option,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

static int refuse(struct emit_error *error, enum emit_error_kind kind, int option,
                  const char *format, ...)
{
    va_list arguments;

    error->kind = kind;
    error->option = option;
    va_start(arguments, format);
    vsnprintf(error->what, sizeof error->what, format, arguments);
    va_end(arguments);
    return -1;
}

static void add_key(struct keys *keys, const char *name, const char *value)
{
    keys->key[keys->count++] = (struct key){name, value ? value : ""};
}

static const char *find_key(const struct keys *keys, const char *name, size_t length)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strlen(keys->key[i].name) == length && memcmp(keys->key[i].name, name, length) == 0)
            return keys->key[i].value;
    return NULL;
}

static const char *find_template(const struct emit_settings *settings, const char *name)
{
    for (const struct emit_template *t = settings->templates; t && t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t->text;
    for (const struct emit_template *t = emit_templates; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t->text;
    return NULL;
}

// Appends one line, LENGTH bytes with their LF, filled in. Returns the name of an unknown key with
// its length, or NULL.
static const char *fill_line(const struct keys *keys, const char *line, size_t length,
                             struct text *text, size_t *bad_length)
{
    const char *end = line + length;
    size_t before = text->size;
    bool left_out = false;

    while (line < end) {
        const char *at = memchr(line, '@', (size_t)(end - line)), *close, *value;

        close = at ? memchr(at + 1, '@', (size_t)(end - at - 1)) : NULL;
        if (!close)
            break;
        value = find_key(keys, at + 1, (size_t)(close - at - 1));
        if (!value) {
            *bad_length = (size_t)(close - at - 1);
            return at + 1;
        }
        text_append(text, line, (size_t)(at - line));
        text_append_string(text, value);
        left_out |= *value == '\0';
        line = close + 1;
    }
    text_append(text, line, (size_t)(end - line));
    if (left_out)
        text_cut(text, before);
    return NULL;
}

static int refuse_length(const struct emit_settings *settings, struct emit_error *error,
                         const char *at_least, size_t size)
{
    error->excess = size - targets[settings->format].line_max;
    return refuse(error, EMIT_TOO_LONG, -1,
                  "a line of %s%zu bytes would come of it, and %s reads at most %zu: the access "
                  "lists are too long; %snetworks can be written as 10.0.0.0/8",
                  at_least, size, targets[settings->format].name,
                  targets[settings->format].line_max,
                  settings->lists_dir ? "" : "-o puts them into files, and ");
}

// Appends the template NAME, filled in, no line longer than the target reads.
static int fill(const struct emit_settings *settings, const char *name, const struct keys *keys,
                struct text *text, struct emit_error *error)
{
    size_t before = text->size, line_max = targets[settings->format].line_max;
    const char *line = find_template(settings, name);

    for (unsigned number = 1; line && *line; number++) {
        size_t length = strcspn(line, "\n"), start = text->size, bad_length = 0;
        const char *bad;

        length += line[length] == '\n';
        bad = fill_line(keys, line, length, text, &bad_length);
        if (bad) {
            text_cut(text, before);
            return refuse(error, EMIT_BAD_TEMPLATE, -1, "%s:%u: unknown key \"@%.*s@\"", name,
                          number, (int)(bad_length > 60 ? 60 : bad_length), bad);
        }
        if (text->size - start > line_max + 1) {
            size_t found = text->size - start;

            text_cut(text, before);
            return refuse_length(settings, error, "", found - 1);
        }
        line += length;
    }
    return 0;
}

void emit_name(struct emit_rule *rule)
{
    char address[HOST_TEXT_MAX];

    host_text(&rule->listener, address);
    // What is left besides ':' is a zone.
    for (char *p = address; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '.')
            *p = '_';
    snprintf(rule->name, sizeof rule->name, "%s%.45s-%u", rule->udp ? PREFIX_UDP : PREFIX_TCP,
             address, rule->listener_port);
}

void emit_lists(const struct conf *conf, const struct conf_rule *rule,
                const struct conf_access *lists[static ACL_LISTS])
{
    lists[ACL_GLOBAL_ALLOW] = &conf->global_allow;
    lists[ACL_GLOBAL_DENY] = &conf->global_deny;
    lists[ACL_ALLOW] = &rule->allow;
    lists[ACL_DENY] = &rule->deny;
}

void emit_list_name(const struct emit_settings *settings, uint64_t digest,
                    char name[static EMIT_FILE_MAX])
{
    snprintf(name, EMIT_FILE_MAX, LIST_PREFIX "%016" PRIx64 ".%s" LIST_END, digest,
             targets[settings->format].name);
}

// Whether TEXT is an address as a name has it, with a zone where that is link-local.
static bool is_address_part(const char *text, size_t length)
{
    char address[EMIT_NAME_MAX];
    struct in6_addr bytes;

    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET, address, &bytes) == 1)
        return true;
    for (char *p = address; *p; p++)
        if (*p == '_')
            *p = ':';
    for (char *end; inet_pton(AF_INET6, address, &bytes) != 1; *end = '\0')
        if (strncmp(address, "fe", 2) != 0 || !strchr("89ab", address[2]) ||
            !(end = strrchr(address, ':')))
            return false;
    return true;
}

// What follows the name of a service at the start of NAME, or NULL where none is there.
static const char *skip_service(const char *name)
{
    const char *start = name + strlen(PREFIX_TCP), *dash;

    if ((strncmp(name, PREFIX_TCP, strlen(PREFIX_TCP)) != 0 &&
         strncmp(name, PREFIX_UDP, strlen(PREFIX_UDP)) != 0) ||
        !(dash = strchr(start, '-')) || !is_address_part(start, (size_t)(dash - start)))
        return NULL;
    if (dash[1] < '1' || dash[1] > '9' || strtoul(dash + 1, NULL, 10) > 65535)
        return NULL;
    return dash + 1 + strspn(dash + 1, "0123456789");
}

bool emit_is_unit_name(const char *name)
{
    static const char *const ends[] = {".socket", ".service", "@.service"};
    const char *end = skip_service(name);

    for (size_t i = 0; end && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(end, ends[i]) == 0)
            return true;
    return false;
}

bool emit_is_list_name(enum emit_format format, const char *name)
{
    const char *digest = name + strlen(LIST_PREFIX);
    char end[EMIT_FILE_MAX];

    snprintf(end, sizeof end, ".%s" LIST_END, targets[format].name);
    return strncmp(name, LIST_PREFIX, strlen(LIST_PREFIX)) == 0 &&
           strspn(digest, "0123456789abcdef") == 16 && strcmp(digest + 16, end) == 0;
}

static void begin_argument(struct arguments *arguments)
{
    if (arguments->count++)
        text_append(&arguments->text, "", 1);
    arguments->last = arguments->text.size;
}

static void add_argument(struct arguments *arguments, const char *name, const char *value)
{
    begin_argument(arguments);
    if (name) {
        text_append_string(&arguments->text, "--");
        text_append_string(&arguments->text, name);
        text_append_string(&arguments->text, value ? "=" : "");
    }
    text_append_string(&arguments->text, value ? value : "");
}

static void add_option(struct arguments *arguments, enum option_id id, const char *value)
{
    add_argument(arguments, options_table[id].name, value);
}

// As many patterns in one argument as the kernel takes. A line has not room for more arguments of
// one kind than the relay takes.
static void add_patterns(struct arguments *arguments, enum option_id id,
                         const struct conf_access *access)
{
    bool first = true;

    for (size_t i = 0; i < access->count; i++) {
        const char *text = access->text[i], *end = text + strcspn(text, ",");

        // A file without a pattern.
        if (*text == '\0')
            continue;
        for (;; end = text + strcspn(text, ",")) {
            size_t size = arguments->text.size - arguments->last;

            if (first || size + 1 + (size_t)(end - text) > ARGUMENT_MAX)
                add_option(arguments, id, "");
            else
                text_append_string(&arguments->text, ",");
            first = false;
            text_append(&arguments->text, text, (size_t)(end - text));
            if (*end == '\0')
                break;
            text = end + 1;
        }
    }
}

static void add_lists(struct arguments *arguments, const struct conf *conf,
                      const struct emit_rule *rule)
{
    static const enum option_id options[ACL_LISTS] = {
        [ACL_GLOBAL_ALLOW] = OPTION_GLOBAL_ALLOW,
        [ACL_GLOBAL_DENY] = OPTION_GLOBAL_DENY,
        [ACL_ALLOW] = OPTION_ALLOW,
        [ACL_DENY] = OPTION_DENY,
    };
    static const char mark[] = {ACL_COMPILED, '\0'};
    const struct conf_access *lists[ACL_LISTS];

    emit_lists(conf, rule->rule, lists);
    for (int i = 0; i < ACL_LISTS; i++) {
        if (rule->compiled[i]) {
            add_option(arguments, options[i], mark);
            text_append_string(&arguments->text, rule->compiled[i]);
        } else {
            add_patterns(arguments, options[i], lists[i]);
        }
    }
}

static void add_listener(struct arguments *arguments, const struct emit_rule *rule)
{
    const struct conf_host *host = &rule->rule->bind;
    char port[16];

    snprintf(port, sizeof port, ":%u", rule->listener_port);
    add_option(arguments, OPTION_LISTENER, "");
    text_append_string(&arguments->text, host->kind == HOST_IPV6 ? "[" : "");
    text_append_string(&arguments->text, host->text);
    text_append_string(&arguments->text, host->kind == HOST_IPV6 ? "]" : "");
    text_append_string(&arguments->text, port);
}

bool emit_waits(const struct emit_settings *settings, const struct emit_rule *rule)
{
    return settings->wait || rule->udp;
}

// What the superserver starts is the relay, which knows by itself when to become rinetd-wrap, or
// rinetd-wrap, which becomes the relay.
static bool starts_wrap(const struct emit_settings *settings, const struct emit_rule *rule)
{
    return rule->wrap_name && !emit_waits(settings, rule);
}

// The target's port; with its protocol where that is not the client's.
static void format_target_port(const struct emit_rule *rule, char port[static 16])
{
    bool udp = rule->rule->target_port.udp;

    snprintf(port, 16, "%u%s", rule->target_port, udp == rule->udp ? "" : udp ? "/udp" : "/tcp");
}

static void add_all(struct arguments *arguments, const struct emit_settings *settings,
                    const struct conf *conf, const struct emit_rule *rule)
{
    const struct options *options = &rule->rule->options;
    char port[16];

    if (starts_wrap(settings, rule)) {
        add_argument(arguments, NULL, rule->wrap_name);
        add_argument(arguments, NULL, settings->relay);
    } else if (rule->wrap_name) {
        add_option(arguments, OPTION_WRAP, rule->wrap_name);
    }
    add_listener(arguments, rule);
    add_lists(arguments, conf, rule);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options->text[i] &&
            (options_table[i].audience == OPTION_FOR_RELAY ||
             (emit_waits(settings, rule) && options_table[i].audience == OPTION_FOR_ACCEPTOR)))
            add_argument(arguments, options_table[i].name, options->text[i]);
    if (settings->log)
        add_option(arguments, OPTION_LOG, settings->log);
    if (settings->log && settings->log_common)
        add_option(arguments, OPTION_LOG_COMMON, NULL);
    if (rule->udp && settings->format == EMIT_XINETD)
        add_option(arguments, OPTION_KEEP_QUEUE, NULL);
    add_argument(arguments, NULL, rule->rule->target.text);
    if (rule->rule->target.kind != HOST_UNIX) {
        format_target_port(rule, port);
        add_argument(arguments, NULL, port);
    }
}

void emit_describe(const struct emit_rule *rule, struct text *text)
{
    char number[16];

    text_append_string(text, rule->rule->bind.text);
    snprintf(number, sizeof number, " %u%s ", rule->listener_port, rule->udp ? "/udp" : "");
    text_append_string(text, number);
    text_append_string(text, rule->rule->target.text);
    snprintf(number, sizeof number, " %u%s", rule->target_port,
             rule->rule->target_port.udp ? "/udp" : "");
    if (rule->rule->target.kind != HOST_UNIX)
        text_append_string(text, number);
}

// Neither xinetd nor inetd has a way to quote: a blank would end an argument, a line feed the
// entry, and an empty argument would vanish.
static bool is_sayable(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

size_t emit_globals_size(const struct conf *conf)
{
    size_t size = 0;

    for (size_t i = 0; i < conf->global_allow.count; i++)
        size += strlen(conf->global_allow.text[i]) + 1;
    for (size_t i = 0; i < conf->global_deny.count; i++)
        size += strlen(conf->global_deny.text[i]) + 1;
    return size;
}

static int check_words(const struct emit_settings *settings, const struct emit_rule *rule,
                       struct emit_error *error)
{
    const char *target = targets[settings->format].name;
    const struct options *options = &rule->rule->options;

    if (settings->log && !is_sayable(settings->log))
        return refuse(error, EMIT_BAD_LOG, -1,
                      "%s cannot pass on a file name with a blank or a control byte", target);
    if (!is_sayable(settings->relay) || !is_sayable(settings->wrap) || !is_sayable(settings->user))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "%s cannot pass on a name with a blank or a control byte", target);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options->text[i] && !is_sayable(options->text[i]))
            return refuse(error, EMIT_BAD_RULE, i, "%s cannot pass on this value of \"%s\"", target,
                          options_table[i].name);
    return 0;
}

// Whether the log needs something of a sandbox: /dev/null is there, and open.
static bool is_file(const char *log)
{
    return log && log[0] == '/' && strcmp(log, "/dev/null") != 0;
}

// systemd takes no program of such a name, however it is escaped.
static bool is_program(const char *path)
{
    return unit_is_path(path) && !strpbrk(path, "\"'\\");
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static int check_unit(const struct emit_settings *settings, const struct emit_rule *rule,
                      struct emit_error *error)
{
    static const enum option_id limits[] = {OPTION_MAX, OPTION_PER_SOURCE};

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char *value = rule->rule->options.text[limits[i]];

        if (value && !is_number(value))
            return refuse(error, EMIT_BAD_RULE, (int)limits[i],
                          "systemd takes only a number for \"%s\"", options_table[limits[i]].name);
    }
    if (is_file(settings->log) && !unit_is_path(settings->log))
        return refuse(error, EMIT_BAD_LOG, -1,
                      "systemd cannot make a folder writable whose name has \"/../\", a control "
                      "byte, or what is not UTF-8");
    if (!is_program(settings->relay) || !is_program(settings->wrap))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "systemd starts no program whose name has quotes, a backslash, \"/../\", a "
                      "control byte, or what is not UTF-8");
    if (!is_sayable(settings->user) || !unit_is_utf8(settings->user))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "systemd knows no user with a blank, a control byte, or what is not UTF-8 in "
                      "the name");
    return 0;
}

static int check_values(const struct emit_settings *settings, const struct emit_rule *rule,
                        struct emit_error *error)
{
    const struct options *options = &rule->rule->options;

    for (int i = 0; i < OPTION_COUNT; i++)
        if (options->text[i] && settings->format == EMIT_INETD && !emit_waits(settings, rule) &&
            (i == OPTION_MAX || i == OPTION_PER_SOURCE))
            return refuse(error, EMIT_BAD_RULE, i,
                          "inetd has no limit that \"%s\" could become; -m wait has, and so have "
                          "xinetd and systemd",
                          options_table[i].name);
    // A socket of IPv4 goes before one of both families, so that for 0.0.0.0 leaves :: nothing.
    if (settings->format == EMIT_INETD && rule->udp && rule->v6only && !rule->any4)
        return refuse(error, EMIT_BAD_RULE, -1,
                      "inetd cannot keep the datagrams of IPv4 clients from ::, as the rule for "
                      "one IPv4 address on this port wants it; one for 0.0.0.0 beside it can, and "
                      "so can xinetd and systemd");
    return check_words(settings, rule, error);
}

// Whether what the target passes on arrives, and can be looked at there.
static int check_argument(const struct emit_settings *settings, const char *argument,
                          struct emit_error *error)
{
    size_t length = strlen(argument);

    if (settings->format != EMIT_SYSTEMD && !is_sayable(argument))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "a name or pattern has a blank or a control byte in it");
    if (settings->format == EMIT_SYSTEMD && !unit_is_utf8(argument))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "a name is not UTF-8, and systemctl would be unable to show the service");
    if (length > ARGUMENT_MAX) {
        error->excess = length - ARGUMENT_MAX;
        return refuse(error, EMIT_TOO_LONG, -1,
                      "an argument of %zu bytes would come of it, and the kernel takes %d", length,
                      ARGUMENT_MAX);
    }
    return 0;
}

// The same for the names of compiled access lists.
static int check_compiled(const struct emit_settings *settings, const struct emit_rule *rule,
                          struct emit_error *error)
{
    for (int i = 0; i < ACL_LISTS; i++) {
        const char *path = rule->compiled[i];

        if (path && settings->format != EMIT_SYSTEMD && !is_sayable(path))
            return refuse(error, EMIT_BAD_DIR, -1,
                          "%s cannot pass on a name with a blank or a control byte",
                          targets[settings->format].name);
        if (path && settings->format == EMIT_SYSTEMD && !unit_is_utf8(path))
            return refuse(error, EMIT_BAD_DIR, -1,
                          "it is not UTF-8, and systemctl would be unable to show the service");
    }
    return 0;
}

// Makes the relay's command line, and sees to the limits of all that it passes through. The caller
// frees arguments->text.bytes in any case.
static int make_arguments(const struct emit_settings *settings, const struct conf *conf,
                          const struct emit_rule *rule, struct arguments *arguments,
                          struct emit_error *error)
{
    const char *argument;

    // Many rules with long lists in common: not put together for each, to be refused each time.
    if (settings->globals_size > targets[settings->format].line_max &&
        !rule->compiled[ACL_GLOBAL_ALLOW] && !rule->compiled[ACL_GLOBAL_DENY])
        return refuse_length(settings, error, "more than ", settings->globals_size);
    if (check_compiled(settings, rule, error) < 0)
        return -1;
    add_all(arguments, settings, conf, rule);
    if (arguments->text.no_memory)
        return refuse(error, EMIT_BAD_RULE, -1, "memory ran out");
    argument = arguments->text.bytes;
    for (unsigned i = 0; i < arguments->count; i++) {
        if (check_argument(settings, argument, error) < 0)
            return -1;
        argument += strlen(argument) + 1;
    }
    if (settings->format == EMIT_INETD && arguments->count + 1 > INETD_ARGUMENTS_MAX)
        return refuse(error, EMIT_BAD_RULE, -1,
                      "%u arguments would come of it, and inetd passes %d", arguments->count + 1,
                      INETD_ARGUMENTS_MAX);
    return 0;
}

static void add_xinetd_keys(struct keys *keys, const struct emit_rule *rule)
{
    const char *const *option = rule->rule->options.text;

    add_key(keys, "name", rule->name);
    // NOLIBWRAP: rinetd never asked TCP wrappers; where a rule wants them, rinetd-wrap asks.
    add_key(keys, "flags",
            rule->listener.any.sa_family == AF_INET ? "IPv4 NOLIBWRAP" : "IPv6 NOLIBWRAP");
    add_key(keys, "v6only", rule->v6only ? "yes" : "");
    add_key(keys, "max", option[OPTION_MAX] ? option[OPTION_MAX] : "UNLIMITED");
    add_key(keys, "per-source",
            option[OPTION_PER_SOURCE] ? option[OPTION_PER_SOURCE] : "UNLIMITED");
}

static int emit_xinetd(const struct emit_settings *settings, const struct emit_rule *rule,
                       struct keys *keys, struct text *text, struct emit_error *error)
{
    char bind[HOST_TEXT_MAX];

    host_text(&rule->listener, bind);
    add_key(keys, "bind", bind);
    add_xinetd_keys(keys, rule);
    return fill(settings,
                rule->udp        ? "xinetd-udp"
                : settings->wait ? "xinetd-wait"
                                 : "xinetd-service",
                keys, text, error);
}

static int emit_inetd(const struct emit_settings *settings, const struct emit_rule *rule,
                      struct keys *keys, struct text *text, struct emit_error *error)
{
    char address[HOST_TEXT_MAX], bind[HOST_TEXT_MAX + 16];
    bool six = rule->listener.any.sa_family == AF_INET6;

    host_text(&rule->listener, address);
    snprintf(bind, sizeof bind, six ? "[%s]:%u" : "%s:%u", address, rule->listener_port);
    add_key(keys, "bind", bind);
    add_key(keys, "rate", INETD_RATE);
    // udp6 takes IPv4, too, unless the kernel is set up otherwise; there is no udp46.
    if (rule->udp)
        add_key(keys, "protocol", six ? "udp6" : "udp4");
    else if (!six)
        add_key(keys, "protocol", "tcp4");
    else if (host_is_wildcard(&rule->listener) && !rule->v6only)
        add_key(keys, "protocol", "tcp46");
    else
        add_key(keys, "protocol", "tcp6");
    return fill(settings,
                rule->udp        ? "inetd-udp"
                : settings->wait ? "inetd-wait"
                                 : "inetd-service",
                keys, text, error);
}

int emit_entry(const struct emit_settings *settings, const struct conf *conf,
               const struct emit_rule *rule, struct text *text, struct emit_error *error)
{
    struct arguments arguments = {.count = 0};
    struct text comment = {.size = 0};
    struct keys keys = {.count = 0};
    char port[16];
    int result = -1;

    if (check_values(settings, rule, error) < 0 ||
        make_arguments(settings, conf, rule, &arguments, error) < 0)
        goto done;
    if (!is_sayable(rule->rule->bind.text)) {
        refuse(error, EMIT_BAD_RULE, -1, "a name or pattern has a blank or a control byte in it");
        goto done;
    }
    emit_describe(rule, &comment);
    for (size_t i = 0; i < arguments.text.size; i++)
        if (arguments.text.bytes[i] == '\0')
            arguments.text.bytes[i] = ' ';
    snprintf(port, sizeof port, "%u", rule->listener_port);
    add_key(&keys, "rule", comment.bytes);
    add_key(&keys, "user", settings->user);
    add_key(&keys, "port", port);
    add_key(&keys, "server", starts_wrap(settings, rule) ? settings->wrap : settings->relay);
    add_key(&keys, "arguments", arguments.text.bytes);
    if (settings->format == EMIT_XINETD)
        result = emit_xinetd(settings, rule, &keys, text, error);
    else
        result = emit_inetd(settings, rule, &keys, text, error);
done:
    text->no_memory |= arguments.text.no_memory || comment.no_memory;
    free(arguments.text.bytes);
    free(comment.bytes);
    return result;
}

// The name of a configuration for a comment: nothing in it may end the line.
static void printable(char *to, size_t size, const char *from)
{
    size_t length = 0;

    for (; *from && length + 1 < size; from++)
        to[length++] = (char)((unsigned char)*from < 0x20 || *from == 0x7f ? '?' : *from);
    to[length] = '\0';
}

static int emit_frame(const struct emit_settings *settings, const char *part, struct text *text,
                      struct emit_error *error)
{
    struct keys keys = {.count = 0};
    char name[32], config[256];

    snprintf(name, sizeof name, "%s-%s", targets[settings->format].name, part);
    printable(config, sizeof config, settings->config);
    add_key(&keys, "config", config);
    return fill(settings, name, &keys, text, error);
}

int emit_head(const struct emit_settings *settings, struct text *text, struct emit_error *error)
{
    return emit_frame(settings, "head", text, error);
}

int emit_foot(const struct emit_settings *settings, struct text *text, struct emit_error *error)
{
    return emit_frame(settings, "foot", text, error);
}

void emit_socket_name(const struct emit_rule *rule, char name[static EMIT_FILE_MAX])
{
    snprintf(name, EMIT_FILE_MAX, "%s.socket", rule->name);
}

void emit_service_name(const struct emit_settings *settings, const struct emit_rule *rule,
                       char name[static EMIT_FILE_MAX])
{
    snprintf(name, EMIT_FILE_MAX, "%s%s.service", rule->name,
             emit_waits(settings, rule) ? "" : "@");
}

// What both units of a rule say. The texts end with unit_free().
struct unit {
    struct keys keys;
    char config[256];
    struct text rule, source, user, more;
};

static void unit_begin(struct unit *unit, const struct emit_settings *settings,
                       const struct emit_rule *rule)
{
    struct text plain = {.size = 0};

    printable(unit->config, sizeof unit->config, settings->config);
    emit_describe(rule, &plain);
    if (plain.bytes)
        unit_add_value(&unit->rule, plain.bytes);
    unit->rule.no_memory |= plain.no_memory;
    free(plain.bytes);
    // A blank at the end is not read.
    if (unit_is_path(settings->config) && settings->config[strlen(settings->config) - 1] != ' ')
        unit_add_value(&unit->source, settings->config);
    unit_add_value(&unit->user, settings->user);
    add_key(&unit->keys, "config", unit->config);
    add_key(&unit->keys, "remedy",
            settings->at_boot ? "systemctl daemon-reload; rinetd-gen(8) says what besides."
                              : "run rinetd-gen again, with the options of this time and --apply.");
    add_key(&unit->keys, "name", rule->name);
    add_key(&unit->keys, "rule", unit->rule.bytes);
    add_key(&unit->keys, "source", unit->source.bytes);
    add_key(&unit->keys, "user", unit->user.bytes);
}

// Appends the template NAME, filled in, and ends UNIT.
static int unit_end(struct unit *unit, const struct emit_settings *settings, const char *name,
                    struct text *text, struct emit_error *error)
{
    int result;

    if (unit->rule.no_memory || unit->source.no_memory || unit->user.no_memory ||
        unit->more.no_memory) {
        text->no_memory = true;
        result = refuse(error, EMIT_BAD_RULE, -1, "memory ran out");
    } else {
        result = fill(settings, name, &unit->keys, text, error);
    }
    free(unit->rule.bytes);
    free(unit->source.bytes);
    free(unit->user.bytes);
    free(unit->more.bytes);
    return result;
}

// Addresses that may come later than the socket.
static bool may_come_late(const union host_address *address)
{
    if (host_is_wildcard(address))
        return false;
    if (address->any.sa_family == AF_INET)
        return ntohl(address->in.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
    return !IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

int emit_socket(const struct emit_settings *settings, const struct emit_rule *rule,
                struct text *text, struct emit_error *error)
{
    bool six = rule->listener.any.sa_family == AF_INET6;
    const char *const *option = rule->rule->options.text;
    struct unit unit = {.keys = {.count = 0}};
    char address[HOST_TEXT_MAX], port[16];

    if (check_unit(settings, rule, error) < 0)
        return -1;
    unit_begin(&unit, settings, rule);
    host_text(&rule->listener, address);
    snprintf(port, sizeof port, ":%u", rule->listener_port);
    text_append_string(&unit.more, six ? "[" : "");
    unit_add_value(&unit.more, address);
    text_append_string(&unit.more, six ? "]" : "");
    text_append_string(&unit.more, port);
    add_key(&unit.keys, "listen", unit.more.bytes);
    if (six && host_is_wildcard(&rule->listener))
        add_key(&unit.keys, "ipv6-only", rule->v6only ? "ipv6-only" : "both");
    else
        add_key(&unit.keys, "ipv6-only", "");
    add_key(&unit.keys, "free-bind", may_come_late(&rule->listener) ? "yes" : "");
    add_key(&unit.keys, "accept", emit_waits(settings, rule) ? "no" : "yes");
    add_key(&unit.keys, "max",
            settings->wait       ? ""
            : option[OPTION_MAX] ? option[OPTION_MAX]
                                 : SYSTEMD_MAX);
    add_key(&unit.keys, "per-source", settings->wait ? "" : option[OPTION_PER_SOURCE]);
    return unit_end(&unit, settings, rule->udp ? "systemd-socket-udp" : "systemd-socket", text,
                    error);
}

// Where the first name of PATH begins: after slashes, and names that are ".".
static const char *skip_slashes(const char *path)
{
    while (*path == '/' || (*path == '.' && (path[1] == '/' || !path[1])))
        path++;
    return path;
}

// Whether PATH is FOLDER or in it, however it is spelt.
static bool is_in(const char *path, const char *folder)
{
    for (folder = skip_slashes(folder); *folder; folder = skip_slashes(folder)) {
        size_t length = strcspn(folder, "/");

        path = skip_slashes(path);
        if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length]))
            return false;
        path += length;
        folder += length;
    }
    return true;
}

// Whether PATH is one of the COUNT folders or in it; a ".." may lead anywhere.
static bool is_below(const char *path, const char *const *folders, size_t count)
{
    if (strstr(path, "/../"))
        return true;
    for (size_t i = 0; i < count; i++)
        if (is_in(path, folders[i]))
            return true;
    return false;
}

// Whether RULE needs something in one of FOLDERS: its target, its log, its lists, or the programs.
static bool needs(const struct emit_settings *settings, const struct emit_rule *rule,
                  const char *const *folders, size_t count)
{
    const struct conf_host *target = &rule->rule->target;

    for (int i = 0; i < ACL_LISTS; i++)
        if (rule->compiled[i] && is_below(rule->compiled[i], folders, count))
            return true;
    return (is_file(settings->log) && is_below(settings->log, folders, count)) ||
           is_below(settings->relay, folders, count) ||
           (target->kind == HOST_UNIX && is_below(target->text + strlen("unix:"), folders, count));
}

// What hosts.allow makes TCP wrappers spawn, or twist to, runs in the same sandbox: shells, syslog
// and the network are there, and whatever needs privileges or another folder to write is not.
static void add_sandbox_keys(struct keys *keys, const struct emit_settings *settings,
                             const struct emit_rule *rule)
{
    static const char *const home[] = {"/home", "/root", "/run/user", "/var/run/user"};
    static const char *const temporary[] = {"/tmp", "/var/tmp"};
    static const char *const devices[] = {"/dev"};

    add_key(keys, "protect-home", needs(settings, rule, home, 4) ? "read-only" : "yes");
    add_key(keys, "private-tmp", needs(settings, rule, temporary, 2) ? "" : "yes");
    add_key(keys, "private-devices", needs(settings, rule, devices, 1) ? "" : "yes");
}

// Appends the program and ARGUMENTS as ExecStart= has them.
static void add_command(const struct emit_settings *settings, const struct emit_rule *rule,
                        const struct arguments *arguments, struct text *to)
{
    const char *argument = arguments->text.bytes;

    unit_add_argument(to, starts_wrap(settings, rule) ? settings->wrap : settings->relay, true);
    for (unsigned i = 0; i < arguments->count; i++) {
        text_append_string(to, " ");
        unit_add_argument(to, argument, false);
        argument += strlen(argument) + 1;
    }
}

// Appends the folder of the log: never the file, which may be missing, or be renamed and made anew.
static void add_log_folder(const char *log, struct text *to)
{
    char *folder = strndup(log, (size_t)(strrchr(log, '/') - log));

    if (folder)
        unit_add_path(to, "-", *folder ? folder : "/");
    to->no_memory |= !folder;
    free(folder);
}

// What a service in wait mode needs so that it is always there again, and how much.
static void add_wait_keys(struct keys *keys, const struct emit_settings *settings,
                          const struct emit_rule *rule, char tasks[static 24],
                          char descriptors[static 24])
{
    const struct options *options = &rule->rule->options;
    long max = options->number[OPTION_MAX];
    bool waits = emit_waits(settings, rule);

    if (rule->udp && !options->text[OPTION_MAX])
        max = UDP_MAX;
    // Each worker may have a thread that looks a name up, and those with a connection outlive
    // restarts.
    snprintf(tasks, 24, "%ld", rule->udp ? UDP_TASKS : waits ? 4 * max + 128 : 16L);
    snprintf(descriptors, 24, "%ld", max + UDP_DESCRIPTORS);
    add_key(keys, "tasks", tasks);
    add_key(keys, "descriptors", rule->udp ? descriptors : "");
    add_key(keys, "kill-mode", rule->udp ? "" : "process");
    add_key(keys, "kill-mode-reason", rule->udp ? "" : "Open connections outlive a restart.");
    add_key(keys, "conflicts", waits ? "rinetd.service" : "");
    add_key(keys, "success", waits ? "" : "1");
    add_key(keys, "restart", waits ? "on-failure" : "");
    add_key(keys, "restart-pause", waits ? "1s" : "");
}

int emit_service(const struct emit_settings *settings, const struct conf *conf,
                 const struct emit_rule *rule, struct text *text, struct emit_error *error)
{
    struct unit unit = {.keys = {.count = 0}};
    struct arguments arguments = {.count = 0};
    struct text folder = {.size = 0};
    char tasks[24], descriptors[24];
    int result = -1;

    if (check_unit(settings, rule, error) < 0 ||
        make_arguments(settings, conf, rule, &arguments, error) < 0)
        goto done;
    unit_begin(&unit, settings, rule);
    add_command(settings, rule, &arguments, &unit.more);
    if (is_file(settings->log))
        add_log_folder(settings->log, &folder);
    unit.more.no_memory |= folder.no_memory;
    add_key(&unit.keys, "exec", unit.more.bytes);
    add_wait_keys(&unit.keys, settings, rule, tasks, descriptors);
    add_key(&unit.keys, "log-folder", folder.bytes);
    add_sandbox_keys(&unit.keys, settings, rule);
    result = unit_end(&unit, settings, "systemd-service", text, error);
done:
    text->no_memory |= arguments.text.no_memory;
    free(arguments.text.bytes);
    free(folder.bytes);
    return result;
}
