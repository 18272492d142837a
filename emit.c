// SPDX-License-Identifier: ISC
#include "emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// xinetd reads its files in blocks of 8 KiB: a longer line may lose its end, or take xinetd down.
#define XINETD_LINE_MAX 8191

// openbsd-inetd passes this many arguments, the program's own name included, and drops the rest.
#define INETD_ARGUMENTS_MAX 20

// What stands beyond it on a line openbsd-inetd reads as the next line.
#define INETD_LINE_MAX 1023

// Connections a minute that openbsd-inetd starts at most; it knows no word for "no limit".
#define INETD_RATE "1000000"

#define KEYS_MAX 16

struct key {
    const char *name;
    const char *value;
};

// What a template is filled in with.
struct keys {
    struct key key[KEYS_MAX];
    size_t count;
};

// The relay's command line, one blank between two arguments.
struct arguments {
    struct emit_text text;
    unsigned count;
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

void emit_append(struct emit_text *text, const char *bytes, size_t size)
{
    if (text->no_memory)
        return;
    if (text->capacity - text->size <= size) {
        size_t capacity = text->capacity ? text->capacity : 512;
        char *grown;

        while (capacity - text->size <= size)
            capacity *= 2;
        grown = realloc(text->bytes, capacity);
        if (!grown) {
            text->no_memory = true;
            return;
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

static void append_text(struct emit_text *text, const char *string)
{
    emit_append(text, string, strlen(string));
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
                             struct emit_text *text, size_t *bad_length)
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
        emit_append(text, line, (size_t)(at - line));
        append_text(text, value);
        left_out |= *value == '\0';
        line = close + 1;
    }
    emit_append(text, line, (size_t)(end - line));
    if (left_out && text->bytes) {
        text->size = before;
        text->bytes[before] = '\0';
    }
    return NULL;
}

static int refuse_length(const struct emit_settings *settings, struct emit_error *error,
                         const char *at_least, size_t size)
{
    bool xinetd = settings->format == EMIT_XINETD;

    return refuse(
        error, EMIT_BAD_RULE, -1,
        "a line of %s%zu bytes would come of it, and %s reads at most %d: the access lists "
        "are too long; networks can be written as 10.0.0.0/8",
        at_least, size, xinetd ? "xinetd" : "inetd", xinetd ? XINETD_LINE_MAX : INETD_LINE_MAX);
}

// Appends the template NAME, filled in, no line longer than LINE_MAX bytes without its LF.
static int fill(const struct emit_settings *settings, const char *name, const struct keys *keys,
                size_t line_max, struct emit_text *text, struct emit_error *error)
{
    const char *line = find_template(settings, name);
    size_t before = text->size;

    for (unsigned number = 1; line && *line; number++) {
        size_t length = strcspn(line, "\n"), start = text->size, bad_length = 0;
        const char *bad;

        length += line[length] == '\n';
        bad = fill_line(keys, line, length, text, &bad_length);
        if (bad)
            return refuse(error, EMIT_BAD_TEMPLATE, -1, "%s:%u: unknown key \"@%.*s@\"", name,
                          number, (int)(bad_length > 60 ? 60 : bad_length), bad);
        if (text->size - start > line_max + 1) {
            size_t found = text->size - start;

            text->size = before;
            text->bytes[before] = '\0';
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
    for (char *p = address; *p; p++)
        if (*p == ':')
            *p = '_';
    snprintf(rule->name, sizeof rule->name, "rinetd-tcp-%.45s-%u", address, rule->listener_port);
}

static void add_argument(struct arguments *arguments, const char *name, const char *value)
{
    if (arguments->count++)
        append_text(&arguments->text, " ");
    if (name) {
        append_text(&arguments->text, "--");
        append_text(&arguments->text, name);
        append_text(&arguments->text, value ? "=" : "");
    }
    append_text(&arguments->text, value ? value : "");
}

static void add_patterns(struct arguments *arguments, enum option_id id,
                         const struct conf_access *access)
{
    if (access->count == 0)
        return;
    add_argument(arguments, options_table[id].name, "");
    for (size_t i = 0; i < access->count; i++) {
        append_text(&arguments->text, i ? "," : "");
        append_text(&arguments->text, access->text[i]);
    }
}

static void add_listener(struct arguments *arguments, const struct emit_rule *rule)
{
    const struct conf_host *host = &rule->rule->bind;
    char port[16];

    snprintf(port, sizeof port, ":%u", rule->listener_port);
    add_argument(arguments, options_table[OPTION_LISTENER].name, "");
    append_text(&arguments->text, host->kind == HOST_IPV6 ? "[" : "");
    append_text(&arguments->text, host->text);
    append_text(&arguments->text, host->kind == HOST_IPV6 ? "]" : "");
    append_text(&arguments->text, port);
}

static void add_all(struct arguments *arguments, const struct emit_settings *settings,
                    const struct conf *conf, const struct emit_rule *rule)
{
    const struct options *options = &rule->rule->options;
    char port[16];

    if (rule->wrap_name) {
        add_argument(arguments, NULL, rule->wrap_name);
        add_argument(arguments, NULL, settings->relay);
    }
    add_listener(arguments, rule);
    add_patterns(arguments, OPTION_GLOBAL_ALLOW, &conf->global_allow);
    add_patterns(arguments, OPTION_GLOBAL_DENY, &conf->global_deny);
    add_patterns(arguments, OPTION_ALLOW, &rule->rule->allow);
    add_patterns(arguments, OPTION_DENY, &rule->rule->deny);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options_table[i].audience == OPTION_FOR_RELAY && options->text[i])
            add_argument(arguments, options_table[i].name, options->text[i]);
    if (settings->log)
        add_argument(arguments, options_table[OPTION_LOG].name, settings->log);
    if (settings->log && settings->log_common)
        add_argument(arguments, options_table[OPTION_LOG_COMMON].name, NULL);
    add_argument(arguments, NULL, rule->rule->target.text);
    if (rule->rule->target.kind != HOST_UNIX) {
        snprintf(port, sizeof port, "%u", rule->target_port);
        add_argument(arguments, NULL, port);
    }
}

// The rule as a reader would write it, for a comment.
static void describe(const struct emit_rule *rule, struct emit_text *text)
{
    char number[16];

    append_text(text, rule->rule->bind.text);
    snprintf(number, sizeof number, " %u ", rule->listener_port);
    append_text(text, number);
    append_text(text, rule->rule->target.text);
    snprintf(number, sizeof number, " %u", rule->target_port);
    if (rule->rule->target.kind != HOST_UNIX)
        append_text(text, number);
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

// The same of all arguments together, whatever conf let through: there are as many words as there
// are to be, and no byte below the blank.
static bool are_sayable(const struct arguments *arguments)
{
    unsigned words = 1;

    for (const char *p = arguments->text.bytes; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f || (*p == ' ' && (p[1] == ' ' || !p[1])))
            return false;
        words += *p == ' ';
    }
    return words == arguments->count && arguments->text.bytes[0] != ' ';
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

static int check_values(const struct emit_settings *settings, const struct emit_rule *rule,
                        struct emit_error *error)
{
    const char *target = settings->format == EMIT_XINETD ? "xinetd" : "inetd";
    const struct options *options = &rule->rule->options;

    if (settings->log && !is_sayable(settings->log))
        return refuse(error, EMIT_BAD_LOG, -1,
                      "%s cannot pass on a file name with a blank or a control byte", target);
    if (!is_sayable(settings->relay) || !is_sayable(settings->wrap) || !is_sayable(settings->user))
        return refuse(error, EMIT_BAD_RULE, -1,
                      "%s cannot pass on a name with a blank or a control byte", target);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (options->text[i] && !is_sayable(options->text[i]))
            return refuse(error, EMIT_BAD_RULE, i, "%s cannot pass on this value of \"%s\"", target,
                          options_table[i].name);
        if (options->text[i] && settings->format == EMIT_INETD &&
            options_table[i].audience == OPTION_FOR_ACCEPTOR)
            return refuse(error, EMIT_BAD_RULE, i,
                          "inetd has no limit that \"%s\" could become; xinetd has",
                          options_table[i].name);
    }
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
                       struct keys *keys, struct emit_text *text, struct emit_error *error)
{
    char bind[HOST_TEXT_MAX];

    host_text(&rule->listener, bind);
    add_key(keys, "bind", bind);
    add_xinetd_keys(keys, rule);
    return fill(settings, "xinetd-service", keys, XINETD_LINE_MAX, text, error);
}

static int emit_inetd(const struct emit_settings *settings, const struct emit_rule *rule,
                      struct keys *keys, struct emit_text *text, struct emit_error *error)
{
    char address[HOST_TEXT_MAX], bind[HOST_TEXT_MAX + 16];
    bool six = rule->listener.any.sa_family == AF_INET6;

    host_text(&rule->listener, address);
    snprintf(bind, sizeof bind, six ? "[%s]:%u" : "%s:%u", address, rule->listener_port);
    add_key(keys, "bind", bind);
    add_key(keys, "rate", INETD_RATE);
    if (!six)
        add_key(keys, "protocol", "tcp4");
    else if (host_is_wildcard(&rule->listener) && !rule->v6only)
        add_key(keys, "protocol", "tcp46");
    else
        add_key(keys, "protocol", "tcp6");
    return fill(settings, "inetd-service", keys, INETD_LINE_MAX, text, error);
}

int emit_entry(const struct emit_settings *settings, const struct conf *conf,
               const struct emit_rule *rule, struct emit_text *text, struct emit_error *error)
{
    struct arguments arguments = {.count = 0};
    struct emit_text comment = {.size = 0};
    size_t before = text->size;
    struct keys keys = {.count = 0};
    char port[16];
    int result = -1;

    if (check_values(settings, rule, error) < 0)
        return -1;
    // Many rules with long lists in common: not put together for each, to be refused each time.
    if (settings->globals_size >
        (settings->format == EMIT_XINETD ? XINETD_LINE_MAX : INETD_LINE_MAX))
        return refuse_length(settings, error, "more than ", settings->globals_size);
    add_all(&arguments, settings, conf, rule);
    describe(rule, &comment);
    if (arguments.text.no_memory || comment.no_memory) {
        text->no_memory = true;
        refuse(error, EMIT_BAD_RULE, -1, "memory ran out");
        goto done;
    }
    if (!are_sayable(&arguments) || !is_sayable(rule->rule->bind.text)) {
        refuse(error, EMIT_BAD_RULE, -1, "a name or pattern has a blank or a control byte in it");
        goto done;
    }
    if (settings->format == EMIT_INETD && arguments.count + 1 > INETD_ARGUMENTS_MAX) {
        refuse(error, EMIT_BAD_RULE, -1, "%u arguments would come of it, and inetd passes %d",
               arguments.count + 1, INETD_ARGUMENTS_MAX);
        goto done;
    }
    snprintf(port, sizeof port, "%u", rule->listener_port);
    add_key(&keys, "rule", comment.bytes);
    add_key(&keys, "user", settings->user);
    add_key(&keys, "port", port);
    add_key(&keys, "server", rule->wrap_name ? settings->wrap : settings->relay);
    add_key(&keys, "arguments", arguments.text.bytes);
    if (settings->format == EMIT_XINETD)
        result = emit_xinetd(settings, rule, &keys, text, error);
    else
        result = emit_inetd(settings, rule, &keys, text, error);
    if (result < 0 && text->bytes) {
        text->size = before;
        text->bytes[before] = '\0';
    }
done:
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

static int emit_frame(const struct emit_settings *settings, const char *name,
                      struct emit_text *text, struct emit_error *error)
{
    struct keys keys = {.count = 0};
    char config[256];

    printable(config, sizeof config, settings->config);
    add_key(&keys, "config", config);
    return fill(settings, name, &keys,
                settings->format == EMIT_XINETD ? XINETD_LINE_MAX : INETD_LINE_MAX, text, error);
}

int emit_head(const struct emit_settings *settings, struct emit_text *text,
              struct emit_error *error)
{
    return emit_frame(settings, settings->format == EMIT_XINETD ? "xinetd-head" : "inetd-head",
                      text, error);
}

int emit_foot(const struct emit_settings *settings, struct emit_text *text,
              struct emit_error *error)
{
    return emit_frame(settings, settings->format == EMIT_XINETD ? "xinetd-foot" : "inetd-foot",
                      text, error);
}
