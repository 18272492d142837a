// SPDX-License-Identifier: ISC
#include "conf.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLOCK_BYTES    65536
#define QUOTED_BYTES   60
#define OPTION_ERRORS  10 // reported of one line
#define LIST_ERRORS    20 // reported of one file of patterns
#define LIST_WARNINGS  10
#define INCLUDE_LEVELS 10
#define INCLUDE_FILES  10000 // read in all, so that includes that fan out come to an end
#define PATH_MAX_BYTES 4095  // Linux's PATH_MAX without its NUL; glob(3) recurses on each '/'
#define UNIX_PREFIX    "unix:"
#define UNIX_MAX_BYTES 107 // sockaddr_un's sun_path without its NUL, unix(7)

struct block {
    struct block *next;
    char bytes[];
};

struct arena {
    struct block *blocks;
    char *free; // in the newest block of the usual size
    size_t left;
    const char **file; // names, in the order in which the files were first read
    size_t file_count, file_capacity;
};

// A run of bytes of a configuration.
struct span {
    const char *at, *end;
};

struct parser {
    struct conf *conf;
    const struct conf_reader *reader;
    size_t files; // read so far
    bool stopped;
    size_t access_count;
    struct conf_place first_access; // line 0 where the first one is global
};

// A file being read.
struct input {
    const struct conf_source *source;
    const struct input *parent; // the one that includes it, or NULL
    const char *name;
    unsigned depth;
};

struct line {
    struct parser *parser;
    const struct input *input;
    const char *start; // columns count from here
    unsigned number;
    unsigned errors, errors_wanted;
    bool bad;          // in error before it is looked at
    bool unterminated; // no newline follows
    struct span text;  // what a NUL byte leaves of the line at a time
};

enum keyword {
    KEYWORD_ALLOW,
    KEYWORD_DENY,
    KEYWORD_LOGFILE,
    KEYWORD_PIDLOGFILE,
    KEYWORD_PIDFILE,
    KEYWORD_LOGCOMMON,
    KEYWORD_INCLUDE,
    KEYWORD_NONE,
};

static const char *const keyword_names[KEYWORD_NONE] = {
    [KEYWORD_ALLOW] = "allow",     [KEYWORD_DENY] = "deny",
    [KEYWORD_LOGFILE] = "logfile", [KEYWORD_PIDLOGFILE] = "pidlogfile",
    [KEYWORD_PIDFILE] = "pidfile", [KEYWORD_LOGCOMMON] = "logcommon",
    [KEYWORD_INCLUDE] = "include",
};

struct slip {
    const char *word, *hint;
};

static const struct slip uv_directives[] = {
    {"buffersize", "the relay's buffers have a fixed size"},
    {"connect-timeout", "it is an option of a rule: [connect-timeout=SECONDS]"},
    {"dns-multi-ip-expand", "not needed: every address of a name is tried in turn"},
    {"dns-multi-ip-proto", "not needed: every address of a name is tried in turn"},
    {"dns-refresh", "not needed: names are looked up for each connection"},
    {"listen-backlog", "the superserver does the listening"},
    {"max-udp-connections", "it is an option of a rule: [max=N]"},
    {"statsloginterval", "there are no statistics: every connection is in the log"},
    {"status-interval", "there is no status file: every connection is in the log"},
    {"statusfile", "there is no status file: every connection is in the log"},
    {"statusformat", "there is no status file: every connection is in the log"},
};

static const struct slip access_slips[] = {
    {"accept", "allow"}, {"block", "deny"},  {"drop", "deny"},
    {"permit", "allow"}, {"refuse", "deny"}, {"reject", "deny"},
};

static const struct slip option_slips[] = {
    {"bind", "src=ADDRESS is the address to connect from"},
    {"buffersize", "it is rinetd-uv's; the relay's buffers have a fixed size"},
    {"dns-refresh", "it is rinetd-uv's, and not needed: names are looked up for each connection"},
    {"idle", "timeout=SECONDS is for idle connections"},
    {"instances", "max=N limits the connections at once"},
    {"mode",
     "it is rinetd-uv's; only a target can be a unix socket, and that one is there already"},
    {"source", "src=ADDRESS is the address to connect from"},
};

#define PLAIN_BYTES  "printable ASCII or a blank"
#define COUNT(array) (sizeof(array) / sizeof *(array))

// LENGTH bytes that live as long as CONF; NULL where memory ran out.
static char *take(struct conf *conf, size_t length)
{
    struct arena *arena = conf->arena;
    size_t size = length > BLOCK_BYTES / 4 ? length : BLOCK_BYTES;
    struct block *block;
    char *bytes;

    if (length <= arena->left) {
        bytes = arena->free;
        arena->free += length;
        arena->left -= length;
        return bytes;
    }
    block = size <= SIZE_MAX - sizeof *block ? malloc(sizeof *block + size) : NULL;
    if (!block) {
        conf->no_memory = true;
        return NULL;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    if (size == BLOCK_BYTES) {
        arena->free = block->bytes + length;
        arena->left = size - length;
    }
    return block->bytes;
}

static char *copy(struct conf *conf, struct span span)
{
    size_t length = (size_t)(span.end - span.at);
    char *text = take(conf, length + 1);

    if (text) {
        memcpy(text, span.at, length);
        text[length] = '\0';
    }
    return text;
}

// A copy that is always a text: without memory nobody will use the configuration.
static const char *keep(struct conf *conf, struct span span)
{
    const char *text = copy(conf, span);

    return text ? text : "";
}

// ARRAY with room for one more than COUNT elements of SIZE bytes; NULL where memory ran out.
static void *grow(struct conf *conf, void *array, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *grown;

    if (count < *capacity)
        return array;
    grown = wanted > *capacity ? reallocarray(array, wanted, size) : NULL;
    if (grown)
        *capacity = wanted;
    else
        conf->no_memory = true;
    return grown;
}

// The configuration's own copy of a file's name, the same one for the same name.
static const char *file_name(struct conf *conf, const char *name)
{
    struct arena *arena = conf->arena;
    const char **file;

    for (size_t i = 0; i < arena->file_count; i++)
        if (strcmp(arena->file[i], name) == 0)
            return arena->file[i];
    file = grow(conf, arena->file, arena->file_count, &arena->file_capacity, sizeof *file);
    if (!file)
        return "";
    arena->file = file;
    file[arena->file_count] = keep(conf, (struct span){name, name + strlen(name)});
    return file[arena->file_count++];
}

const char *conf_quote(struct conf *conf, const char *text, size_t length)
{
    size_t shown = length < QUOTED_BYTES ? length : QUOTED_BYTES;
    char *quoted = take(conf, shown * 4 + sizeof "\"\"..."), *p = quoted;

    if (!quoted)
        return "\"\"";
    *p++ = '"';
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == '"' || byte == '\\')
            *p++ = '\\';
        if (byte >= 0x20 && byte < 0x7f)
            *p++ = (char)byte;
        else
            p += sprintf(p, "\\x%02X", byte);
    }
    strcpy(p, shown < length ? "\"..." : "\"");
    return quoted;
}

static const char *quote(struct conf *conf, struct span span)
{
    return conf_quote(conf, span.at, (size_t)(span.end - span.at));
}

__attribute__((format(printf, 4, 0))) static void report(struct conf *conf,
                                                         enum conf_severity severity,
                                                         const struct conf_place *place,
                                                         const char *format, va_list arguments)
{
    struct conf_message *messages =
        grow(conf, conf->messages, conf->message_count, &conf->message_capacity, sizeof *messages);
    va_list again;
    int length;
    char *text;

    va_copy(again, arguments);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (messages)
        conf->messages = messages;
    text = messages && length >= 0 ? take(conf, (size_t)length + 1) : NULL;
    if (!text) {
        conf->no_memory = true;
        return;
    }
    vsnprintf(text, (size_t)length + 1, format, arguments);
    // A reason from outside, of a file that can't be read, may hold anything.
    for (char *p = text; *p; p++)
        if (*p < 0x20 || *p >= 0x7f)
            *p = '?';
    messages[conf->message_count++] =
        (struct conf_message){severity, place ? *place : (struct conf_place){.file = NULL}, text};
    if (severity == CONF_ERROR)
        conf->error_count++;
}

void conf_report(struct conf *conf, enum conf_severity severity, const struct conf_place *place,
                 const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(conf, severity, place, format, arguments);
    va_end(arguments);
}

static struct conf_place place_of(const struct line *line, const char *at)
{
    size_t column = (size_t)(at - line->start) + 1;

    return (struct conf_place){.file = line->input->name,
                               .line = line->number,
                               .column = column < UINT_MAX ? (unsigned)column : UINT_MAX};
}

// Reports an error at AT, unless the line has had its share. Returns false.
__attribute__((format(printf, 3, 4))) static bool line_error(struct line *line, const char *at,
                                                             const char *format, ...)
{
    struct conf_place place = place_of(line, at);
    va_list arguments;

    if (line->errors++ >= line->errors_wanted)
        return false;
    va_start(arguments, format);
    report(line->parser->conf, CONF_ERROR, &place, format, arguments);
    va_end(arguments);
    return false;
}

__attribute__((format(printf, 3, 4))) static void line_warning(struct line *line, const char *at,
                                                               const char *format, ...)
{
    struct conf_place place = place_of(line, at);
    va_list arguments;

    va_start(arguments, format);
    report(line->parser->conf, CONF_WARNING, &place, format, arguments);
    va_end(arguments);
}

// The rule, or the global part, that an access line at this point belongs to is not to be
// converted.
static void leave_out(struct conf *conf)
{
    if (conf->rule_count > 0)
        conf->rules[conf->rule_count - 1].broken = true;
    else
        conf->global_broken = true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static size_t size_of(struct span span)
{
    return (size_t)(span.end - span.at);
}

static bool is_empty(struct span span)
{
    return span.at == span.end;
}

static bool spells(struct span span, const char *word)
{
    return size_of(span) == strlen(word) && memcmp(span.at, word, size_of(span)) == 0;
}

static bool spells_in_any_case(struct span span, const char *word)
{
    return size_of(span) == strlen(word) && strncasecmp(span.at, word, size_of(span)) == 0;
}

static bool starts_with(struct span span, const char *prefix)
{
    size_t length = strlen(prefix);

    return size_of(span) >= length && memcmp(span.at, prefix, length) == 0;
}

static const char *find_byte(struct span span, char byte)
{
    return is_empty(span) ? NULL : memchr(span.at, byte, size_of(span));
}

static void skip_blanks(struct span *rest)
{
    while (rest->at < rest->end && is_blank(*rest->at))
        rest->at++;
}

// Takes what stands before the next blank off REST; empty at its end.
static struct span next_field(struct span *rest)
{
    struct span field;

    skip_blanks(rest);
    field = (struct span){rest->at, rest->at};
    while (field.end < rest->end && !is_blank(*field.end))
        field.end++;
    rest->at = field.end;
    return field;
}

// Whether one letter too many, too few, wrong, or in the neighbour's place separates the two.
static bool is_near(struct span word, const char *name)
{
    const char *tail = word.at;
    struct span rest;

    while (tail < word.end && *name && tolower((unsigned char)*tail) == *name) {
        tail++;
        name++;
    }
    rest = (struct span){tail, word.end};
    if (is_empty(rest))
        return strlen(name) <= 1;
    rest.at++;
    if (spells_in_any_case(rest, name) || (*name && spells_in_any_case(rest, name + 1)))
        return true;
    rest.at--;
    if (*name && spells_in_any_case(rest, name + 1))
        return true;
    if (size_of(rest) < 2 || !name[0] || !name[1])
        return false;
    rest.at += 2;
    return tolower((unsigned char)tail[0]) == name[1] &&
           tolower((unsigned char)tail[1]) == name[0] && spells_in_any_case(rest, name + 2);
}

static const char *find_slip(const struct slip *slips, size_t count, struct span word)
{
    for (size_t i = 0; i < count; i++)
        if (spells_in_any_case(word, slips[i].word))
            return slips[i].hint;
    return NULL;
}

// "allow" or "deny" where WORD was probably meant to be one, or NULL.
static const char *access_meant(struct span word)
{
    struct span core = word;

    while (core.at < word.end && !isalnum((unsigned char)*core.at))
        core.at++;
    core.end = core.at;
    while (core.end < word.end && isalpha((unsigned char)*core.end))
        core.end++;
    // A host's name may start like a keyword.
    if (core.end < word.end && (isdigit((unsigned char)*core.end) || strchr("._-", *core.end)))
        return NULL;
    if (is_near(core, "allow"))
        return "allow";
    if (is_near(core, "deny"))
        return "deny";
    return find_slip(access_slips, COUNT(access_slips), core);
}

// The first byte of BODY that can't be part of a line: only the path of a unix: target may hold
// other bytes than printable ASCII.
static const char *find_odd_byte(struct span body)
{
    bool path = false;

    for (const char *p = body.at; p < body.end; p++) {
        unsigned char byte = (unsigned char)*p;

        if (is_blank(*p))
            continue;
        if (p == body.at || is_blank(p[-1]))
            path = starts_with((struct span){p, body.end}, UNIX_PREFIX);
        if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !path))
            return p;
    }
    return NULL;
}

// TEXT without its comment: a '#' anywhere but in a unix: path. One that splits a command leaves
// it incomplete, which is then the error.
static struct span without_comment(struct span text)
{
    bool path = false;

    for (const char *p = text.at; p < text.end; p++) {
        if (p == text.at || is_blank(p[-1]))
            path = starts_with((struct span){p, text.end}, UNIX_PREFIX);
        if (*p == '#' && !path)
            text.end = p;
    }
    return text;
}

static const char *byte_name(struct span at)
{
    static const struct slip names[] = {
        {"\v", " (a vertical tab)"},
        {"\f", " (a form feed)"},
        {"\t", " (a tab)"},
        {"\x7f", " (DEL)"},
        {"\xC2\xA0", " (a no-break space)"},
        {"\xEF\xBB\xBF", " (a byte order mark)"},
        {"\xE2\x80\x9C", " (a typographic quote)"},
        {"\xE2\x80\x9D", " (a typographic quote)"},
    };

    for (size_t i = 0; i < COUNT(names); i++)
        if (starts_with(at, names[i].word))
            return names[i].hint;
    return (unsigned char)*at.at >= 0x80 ? " (not ASCII)" : " (a control byte)";
}

// Whether a lone CR in TEXT has something after it, which an editor shows as a line of its own:
// it may be an access line.
static bool hides_line(struct span text)
{
    const char *p = find_byte(text, '\r');

    while (p && p < text.end && (*p == '\r' || is_blank(*p)))
        p++;
    return p && p < text.end;
}

static bool is_whole_file(const struct line *line)
{
    return line->number == 1 && line->unterminated;
}

// Reports the byte at AT, which can't stand where it does.
static void odd_byte(struct line *line, const char *at, const char *expected)
{
    if (*at != '\r')
        line_error(line, at, "found the byte 0x%02X%s, expected %s", (unsigned char)*at,
                   byte_name((struct span){at, line->text.end}), expected);
    else
        line_error(line, at, "found a CR without LF, expected LF or CRLF at the end of a line%s",
                   is_whole_file(line)
                       ? "; the whole file has line ends of old Macs: mend it with tr '\\r' '\\n'"
                       : "");
}

// What is found at AT, where a line without its comment ends.
static const char *end_name(const struct line *line, const char *at)
{
    return at < line->text.end ? "a comment" : "the end of the line";
}

static struct conf_rule *add_rule(struct conf *conf, const struct conf_rule *rule)
{
    struct conf_rule *rules =
        grow(conf, conf->rules, conf->rule_count, &conf->rule_capacity, sizeof *rules);

    if (!rules)
        return NULL;
    conf->rules = rules;
    rules[conf->rule_count] = *rule;
    return &rules[conf->rule_count++];
}

static bool is_number(struct span span)
{
    for (const char *p = span.at; p < span.end; p++)
        if (!isdigit((unsigned char)*p))
            return false;
    return !is_empty(span);
}

static bool is_service(struct span span)
{
    for (const char *p = span.at; p < span.end; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
            return false;
    return !is_empty(span) && (isalpha((unsigned char)*span.at) || *span.at == '_');
}

// Splits FIELD before its '/', and returns what follows; empty where there is none.
static struct span split_protocol(struct span *field)
{
    const char *slash = find_byte(*field, '/');
    struct span protocol = {slash ? slash : field->end, field->end};

    field->end = protocol.at;
    return protocol;
}

static bool is_port(struct span field)
{
    struct span protocol = split_protocol(&field);

    return (is_number(field) || is_service(field)) &&
           (is_empty(protocol) || spells(protocol, "/tcp") || spells(protocol, "/udp"));
}

// The ':' of "HOST:PORT", or NULL where FIELD is something else.
static const char *glued_colon(struct span field)
{
    const char *colon = find_byte(field, ':'), *bracket = find_byte(field, ']');

    if (bracket && field.at[0] == '[')
        colon = bracket + 1 < field.end && bracket[1] == ':' ? bracket + 1 : NULL;
    if (!colon || find_byte((struct span){colon + 1, field.end}, ':'))
        return NULL;
    return is_port((struct span){colon + 1, field.end}) ? colon : NULL;
}

// What an administrator may have meant by TEXT, digits and dots alone, that is no address.
static const char *dotted_expected(const char *text)
{
    unsigned parts = 1;

    for (const char *p = text; *p; p++)
        parts += *p == '.';
    if (parts != 4 || text[0] == '.' || strstr(text, "..") || text[strlen(text) - 1] == '.')
        return "an IPv4 address of four parts, like 192.0.2.1";
    for (const char *p = text; p; p = strchr(p, '.') ? strchr(p, '.') + 1 : NULL)
        if (*p == '0' && strspn(p, "01234567") != strspn(p, "0123456789"))
            return "an IPv4 address without leading zeros: they make a part octal";
    return "an IPv4 address with parts from 0 to 255";
}

// What should have stood in place of TEXT, which is no host.
static const char *host_expected(const char *text)
{
    size_t length = strlen(text);

    if (text[0] == ';' || strncmp(text, "//", 2) == 0)
        return "an address or a name; a comment starts with '#'";
    if (strcmp(text, "*") == 0)
        return "an address or a name; 0.0.0.0 stands for all of IPv4, :: for IPv6 too";
    if (strpbrk(text, "\"'`"))
        return "an address or a name without quotes";
    if (strstr(text, "://"))
        return "an address or a name, not a URL";
    if (strchr(text, '%'))
        return "an address without a zone: zones are not supported";
    if (strchr(text, '/'))
        return "an address or a name, without '/'";
    if (strchr(text, ','))
        return "one address or name";
    if (length > 0 && strspn(text, "0123456789.") == length)
        return dotted_expected(text);
    if (strchr(text, ':'))
        return strspn(text, "0123456789abcdefABCDEF:.") == length
                   ? "an IPv6 address, like 2001:db8::1"
                   : "an address or a name, then a blank, then the port";
    if (length > HOST_NAME_MAX_BYTES)
        return "a host name of at most 253 bytes";
    if (strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == length)
        return "a host name of labels that are not empty, have at most 63 bytes, don't start "
               "with '-', and whose last is no number";
    return "an address or a name";
}

// Reports what is wrong with the unix: target in FIELD, if anything is. Returns whether it is good.
static bool check_unix(struct line *line, struct span field, const char *text)
{
    const char *bracket = find_byte(field, '[');
    struct span path = {field.at + sizeof UNIX_PREFIX - 1, field.end};

    if (bracket)
        return line_error(line, bracket,
                          "found \"[\" in a unix: path, expected a blank before the options");
    if (size_of(path) > UNIX_MAX_BYTES)
        return line_error(line, path.at, "found a path of %zu bytes, expected at most %d",
                          size_of(path), UNIX_MAX_BYTES);
    if (host_kind(text) == HOST_UNIX)
        return true;
    return line_error(line, field.at, "found %s, expected unix:/PATH or unix:@NAME",
                      quote(line->parser->conf, field));
}

static void warn_of_octal(struct line *line, struct span field, const char *text)
{
    char plain[HOST_TEXT_MAX];
    union host_address address;
    bool octal = false;

    for (const char *p = text; *p; p++)
        if (*p == '0' && isdigit((unsigned char)p[1]) && (p == text || p[-1] == '.'))
            octal = true;
    if (!octal || host_address(text, 0, &address) == 0)
        return;
    host_text(&address, plain);
    line_warning(line, field.at,
                 "found %s, expected no leading zeros: they make a part octal, so this is %s",
                 quote(line->parser->conf, field), plain);
}

static void warn_of_brackets(struct line *line, const char *at, struct span inner)
{
    line_warning(line, at,
                 "found %s in brackets, expected the address alone; they are removed here, and "
                 "rinetd 0.73 can't resolve it with them",
                 quote(line->parser->conf, inner));
}

// The IPv6 address inside the brackets of FIELD, or an empty span.
static struct span unbracketed(struct conf *conf, struct span field)
{
    struct span inner = {field.at + 1, field.end - 1};

    if (size_of(field) < 4 || *field.at != '[' || *inner.end != ']' ||
        host_kind(keep(conf, inner)) != HOST_IPV6)
        return (struct span){field.at, field.at};
    return inner;
}

// WHAT says which host of a rule this is, for a message.
static bool parse_host(struct line *line, struct span field, const char *what,
                       struct conf_host *host)
{
    struct conf *conf = line->parser->conf;
    struct span inner = unbracketed(conf, field);
    const char *colon;

    host->place = place_of(line, field.at);
    if (!is_empty(inner))
        warn_of_brackets(line, field.at, inner);
    host->text = keep(conf, is_empty(inner) ? field : inner);
    host->kind = host_kind(host->text);
    if (starts_with(field, UNIX_PREFIX))
        return check_unix(line, field, host->text);
    if (host->kind == HOST_IPV4)
        warn_of_octal(line, field, host->text);
    if (host->kind != HOST_BAD)
        return true;
    colon = glued_colon(field);
    if (colon)
        return line_error(line, colon,
                          "found %s as %s, expected a blank between address and port; a rule is "
                          "ADDRESS PORT ADDRESS PORT",
                          quote(conf, field), what);
    return line_error(line, field.at, "found %s as %s, expected %s", quote(conf, field), what,
                      host_expected(host->text));
}

static bool bad_port(struct line *line, struct span field, const char *what)
{
    const char *text = quote(line->parser->conf, field), *hint = "";
    const char *dash = find_byte(field, '-'), *colon = find_byte(field, ':');

    if (dash && is_number((struct span){field.at, dash}) &&
        is_number((struct span){dash + 1, field.end}))
        hint = "; a range takes one line for each port";
    else if (starts_with(field, "0x") || starts_with(field, "0X"))
        hint = "; ports are decimal";
    else if (find_byte(field, ','))
        hint = "; several ports take one line each";
    else if (find_byte(field, '"') || find_byte(field, '\''))
        hint = "; without quotes";
    else if (find_byte(field, '['))
        hint = "; options stand at the end of the line";
    else if (colon)
        hint = "; between address and port stands a blank";
    return line_error(line, field.at,
                      "found %s as %s, expected a number from 1 to 65535 or a service name%s", text,
                      what, hint);
}

static bool check_number(struct line *line, struct span field, bool listener, unsigned *number)
{
    const char *text = quote(line->parser->conf, field);
    unsigned modulo = 0;
    bool over = false;

    *number = 0;
    for (const char *p = field.at; p < field.end; p++) {
        unsigned digit = (unsigned)(*p - '0');

        *number = over ? 0 : *number * 10 + digit;
        modulo = (modulo * 10 + digit) % 65536;
        over = over || *number > 65535;
    }
    // More digits than a long of 32 bits holds go wrong in 0.73 in ways of their own.
    if (over && size_of(field) > 9)
        return line_error(line, field.at, "found port %s, expected a number from 1 to 65535", text);
    if (over)
        return line_error(line, field.at,
                          "found port %s, expected a number from 1 to 65535; rinetd 0.73 takes it "
                          "modulo 65536, as %u%s",
                          text, modulo, listener && modulo == 0 ? ", a random port" : "");
    if (*number == 0)
        return line_error(line, field.at,
                          "found port %s, expected a number from 1 to 65535; rinetd 0.73 %s", text,
                          listener ? "listens on a random port" : "accepts it and can't connect");
    return true;
}

static bool bad_protocol(struct line *line, struct span number, struct span protocol)
{
    struct conf *conf = line->parser->conf;

    if (spells_in_any_case(protocol, "/tcp") || spells_in_any_case(protocol, "/udp"))
        return line_error(line, protocol.at,
                          "found %s, expected \"/tcp\" or \"/udp\"; in small letters",
                          quote(conf, protocol));
    if (is_number(number))
        return line_error(line, protocol.at,
                          "found %s, expected \"/tcp\" or \"/udp\"; rinetd 0.62 ignored what "
                          "follows the digits and took port %s",
                          quote(conf, protocol), quote(conf, number));
    return line_error(line, protocol.at, "found %s, expected \"/tcp\" or \"/udp\"",
                      quote(conf, protocol));
}

static bool parse_port(struct line *line, struct span field, bool listener, struct conf_port *port)
{
    const char *what = listener ? "the port to listen on" : "the target's port";
    struct span number = field, protocol = split_protocol(&number);

    port->place = place_of(line, field.at);
    if (is_number(number)) {
        if (!check_number(line, number, listener, &port->number))
            return false;
    } else if (is_service(number)) {
        port->service = keep(line->parser->conf, number);
    } else {
        return bad_port(line, field, what);
    }
    if (is_empty(protocol))
        return true;
    port->protocol_place = place_of(line, protocol.at);
    port->udp = spells(protocol, "/udp");
    port->unclear = !port->udp && !spells(protocol, "/tcp");
    return !port->unclear || bad_protocol(line, number, protocol);
}

// Takes what stands before a blank or one of STOPS off REST.
static struct span take_word(struct span *rest, const char *stops)
{
    struct span word = {rest->at, rest->at};

    while (word.end < rest->end && !is_blank(*word.end) && !strchr(stops, *word.end))
        word.end++;
    rest->at = word.end;
    return word;
}

// The names of all options of a rule, with commas between them.
static const char *option_names(struct conf *conf)
{
    size_t size = 1;
    char *names, *p;

    for (int i = 0; i < OPTION_COUNT; i++)
        size += strlen(options_table[i].name) + 2;
    names = p = take(conf, size);
    if (!names)
        return "";
    *p = '\0';
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options_table[i].audience != OPTION_FOR_COMMAND)
            p += sprintf(p, "%s%s", p > names ? ", " : "", options_table[i].name);
    return names;
}

static bool unknown_option(struct line *line, struct span name)
{
    struct conf *conf = line->parser->conf;
    const char *hint = find_slip(option_slips, COUNT(option_slips), name);
    char plain[32];
    size_t length = size_of(name) < sizeof plain ? size_of(name) : sizeof plain - 1;

    if (hint)
        return line_error(line, name.at, "found %s, expected an option; %s", quote(conf, name),
                          hint);
    for (size_t i = 0; i < length; i++)
        plain[i] = name.at[i] == '_' ? '-' : (char)tolower((unsigned char)name.at[i]);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options_find(options_table[i].name, strlen(options_table[i].name), true) == i &&
            is_near((struct span){plain, plain + length}, options_table[i].name))
            return line_error(line, name.at, "found %s, expected an option; did you mean \"%s\"?",
                              quote(conf, name), options_table[i].name);
    return line_error(line, name.at, "found %s, expected an option: %s", quote(conf, name),
                      option_names(conf));
}

static bool set_option(struct line *line, struct conf_rule *rule, struct span name,
                       struct span value)
{
    struct conf *conf = line->parser->conf;
    int id = options_find(name.at, size_of(name), true);
    struct span inner = unbracketed(conf, value);
    const char *text, *expected;
    char buffer[80];

    if (id == OPTION_SRC && !is_empty(inner)) {
        warn_of_brackets(line, value.at, inner);
        text = keep(conf, inner);
    } else {
        text = keep(conf, value);
    }
    expected = options_set(&rule->options, (enum option_id)id, text, buffer, sizeof buffer);
    if (expected)
        return line_error(line, value.at, "found %s for \"%s\", expected %s%s", quote(conf, value),
                          options_table[id].name, expected,
                          isdigit((unsigned char)value.at[0]) &&
                                  isalpha((unsigned char)value.end[-1]) &&
                                  (id == OPTION_TIMEOUT || id == OPTION_CONNECT_TIMEOUT)
                              ? "; seconds, without a unit"
                              : "");
    if (id == OPTION_SRC && host_kind(text) == HOST_IPV4)
        warn_of_octal(line, value, text);
    if (rule->option_place[id].line != 0)
        line_warning(line, name.at, "found \"%s\" again, expected it once; the last one counts",
                     options_table[id].name);
    rule->option_place[id] = place_of(line, name.at);
    return true;
}

// Takes "name=value" off REST and stores it. What follows is left in REST.
static bool parse_option(struct line *line, struct conf_rule *rule, struct span *rest)
{
    struct conf *conf = line->parser->conf;
    struct span name, value;

    skip_blanks(rest);
    name = take_word(rest, "=,[]");
    if (is_empty(name))
        return line_error(line, rest->at, "found %s, expected an option, like timeout=60",
                          is_empty(*rest) ? end_name(line, rest->at)
                                          : conf_quote(conf, rest->at, 1));
    if (options_find(name.at, size_of(name), true) < 0)
        return unknown_option(line, name);
    skip_blanks(rest);
    if (is_empty(*rest) || *rest->at != '=')
        return line_error(line, rest->at, "found %s, expected \"=\" and a value after %s",
                          is_empty(*rest) ? end_name(line, rest->at)
                                          : conf_quote(conf, rest->at, 1),
                          quote(conf, name));
    rest->at++;
    skip_blanks(rest);
    value = take_word(rest, ",]");
    if (!is_empty(value) && *value.at == '[' && !is_empty(*rest) && *rest->at == ']')
        value.end = ++rest->at;
    if (is_empty(value))
        return line_error(line, rest->at, "found no value for %s, expected one after the \"=\"",
                          quote(conf, name));
    return set_option(line, rule, name, value);
}

// Parses BODY from its '[' on. Each option in error is reported.
static bool parse_options(struct line *line, struct conf_rule *rule, struct span rest)
{
    const char *open = rest.at;
    struct span extra;
    bool good = true;

    do {
        rest.at++;
        good = parse_option(line, rule, &rest) && good;
        skip_blanks(&rest);
        extra = take_word(&rest, ",]");
        if (good && !is_empty(extra))
            good = line_error(line, extra.at, "found %s, expected \",\" or \"]\"",
                              quote(line->parser->conf, extra));
        while (!is_empty(rest) && *rest.at != ',' && *rest.at != ']')
            rest.at++;
    } while (!is_empty(rest) && *rest.at == ',');
    line->errors_wanted = 1;
    if (is_empty(rest))
        return line_error(line, rest.at, "found %s, expected the \"]\" of the \"[\" at column %u",
                          end_name(line, rest.at), place_of(line, open).column);
    rest.at++;
    extra = next_field(&rest);
    if (is_empty(extra))
        return good;
    if (*extra.at == '[')
        return line_error(line, extra.at,
                          "found a second \"[\", expected all options in one pair of brackets");
    return line_error(line, extra.at, "found %s, expected the end of the line",
                      quote(line->parser->conf, extra));
}

// The fields of a rule, and its options from their '[' on.
struct fields {
    struct span field[5];
    size_t count;
    struct span options, body;
};

static struct fields split_fields(struct span body)
{
    struct fields fields = {.body = body, .options = {body.end, body.end}};
    struct span rest = body;

    while (fields.count < COUNT(fields.field)) {
        struct span field = next_field(&rest);
        const char *bracket = fields.count >= 3 ? find_byte(field, '[') : NULL;

        if (bracket) {
            fields.options.at = bracket;
            field.end = bracket;
        }
        if (!is_empty(field))
            fields.field[fields.count++] = field;
        if (bracket || is_empty(field))
            break;
    }
    return fields;
}

static const char *uv_hint(struct span word)
{
    if (starts_with(word, "pool-"))
        return "not needed: each connection has a process of its own";
    return find_slip(uv_directives, COUNT(uv_directives), word);
}

// Whether FIELD might have been meant as an address.
static bool has_address_bytes(struct span field)
{
    for (const char *p = field.at; p < field.end; p++) {
        if (*p == '%' && p > field.at)
            return true; // a zone follows
        if (!isxdigit((unsigned char)*p) && !strchr(".:[]*", *p))
            return false;
    }
    return !is_empty(field);
}

// Whether FIRST and SECOND, the first two fields of a line in error, are the beginning of a rule.
// If not, the line may be prose, or a directive misspelt, and what follows it meant for what stands
// before it.
static bool starts_rule(struct conf *conf, struct span first, struct span second)
{
    enum host_kind kind =
        is_empty(unbracketed(conf, first)) ? host_kind(keep(conf, first)) : HOST_IPV6;

    split_protocol(&second);
    if (uv_hint(first))
        return false;
    if (kind == HOST_IPV4 || kind == HOST_IPV6 || is_number(first) || glued_colon(first))
        return true;
    return is_number(second) && (kind == HOST_NAME || has_address_bytes(first));
}

// Keeps the listener of a rule in error, where it can be read: no later rule is to get its clients.
static void keep_listener(struct line *line, struct span first, struct span second,
                          struct conf_rule *rule)
{
    struct conf *conf = line->parser->conf;
    struct span inner = unbracketed(conf, first), protocol;
    unsigned number = 0;

    rule->bind.text = keep(conf, is_empty(inner) ? first : inner);
    rule->bind.kind = host_kind(rule->bind.text);
    rule->bind.place = place_of(line, first.at);
    protocol = split_protocol(&second);
    for (const char *p = second.at; is_number(second) && p < second.end && number <= 65535; p++)
        number = number * 10 + (unsigned)(*p - '0');
    rule->bind_port.number = number <= 65535 ? number : 0;
    if (is_service(second))
        rule->bind_port.service = keep(conf, second);
    rule->bind_port.udp = spells(protocol, "/udp");
    rule->bind_port.unclear =
        !is_empty(protocol) && !rule->bind_port.udp && !spells(protocol, "/tcp");
    rule->bind_port.place = place_of(line, second.at);
}

// What a line in error counts as, apart from its message: with three or more fields, a rule;
// with fewer, an access line. Where it may not have been meant as a rule, both.
static void count_bad_line(struct line *line, struct span body, const char *odd)
{
    struct conf *conf = line->parser->conf;
    struct conf_rule rule = {.place = place_of(line, body.at), .broken = true};
    struct span rest = {body.at, odd ? odd : body.end}, first = next_field(&rest),
                second = next_field(&rest);
    unsigned fields = 0;
    bool cut;

    for (const char *p = body.at; p < body.end; p++)
        if (!is_blank(*p) && *p != '\r' && (p == body.at || is_blank(p[-1]) || p[-1] == '\r'))
            fields++;
    if (fields < 3 || access_meant(first) || hides_line(line->text) ||
        !starts_rule(conf, first, second))
        leave_out(conf);
    if (fields < 3)
        return;
    options_init(&rule.options);
    // What an odd byte has cut short is no port, unless only the protocol is.
    cut = second.end == rest.end && odd && !is_blank(*odd);
    if (!cut || find_byte(second, '/'))
        keep_listener(line, first, second, &rule);
    rule.bind_port.unclear = rule.bind_port.unclear || cut;
    add_rule(conf, &rule);
}

static bool extra_field(struct line *line, struct span field)
{
    const char *hint = "; rinetd 0.62 ignored further fields";

    if (*field.at == ';' || starts_with(field, "//"))
        hint = "; a comment starts with '#'";
    else if (spells_in_any_case(field, "tcp") || spells_in_any_case(field, "udp"))
        hint = "; a protocol is part of a port, like 53/udp";
    return line_error(line, field.at,
                      "found %s, expected options in brackets or the end of the "
                      "line%s",
                      quote(line->parser->conf, field), hint);
}

static bool parse_listener(struct line *line, const struct fields *fields, struct conf_rule *rule)
{
    static const char what[] = "the address to listen on";
    struct conf *conf = line->parser->conf;
    struct span first = fields->field[0], port = first;

    split_protocol(&port);
    if (starts_with(first, UNIX_PREFIX))
        return line_error(line, first.at,
                          "found %s as %s, expected an address or a name; only a target can be a "
                          "unix socket",
                          quote(conf, first), what);
    if (fields->count == 3 && is_number(port) && !spells(first, "0") && is_port(fields->field[2]))
        return line_error(line, first.at,
                          "found port %s, expected %s before it; three columns become 0.0.0.0 "
                          "PORT ADDRESS PORT",
                          quote(conf, first), what);
    return parse_host(line, first, what, &rule->bind) &&
           parse_port(line, fields->field[1], true, &rule->bind_port);
}

static bool parse_target(struct line *line, const struct fields *fields, struct conf_rule *rule)
{
    struct conf *conf = line->parser->conf;

    if (!parse_host(line, fields->field[2], "the target's address", &rule->target))
        return false;
    if (rule->target.kind == HOST_UNIX && rule->bind_port.udp)
        return line_error(line, fields->field[2].at,
                          "found %s as the target of UDP, expected an address or a name; unix: "
                          "targets are streams",
                          quote(conf, fields->field[2]));
    if (rule->target.kind == HOST_UNIX)
        return fields->count == 3 ||
               line_error(line, fields->field[3].at,
                          "found %s after a unix: target, expected options in brackets or the end "
                          "of the line; it has no port",
                          quote(conf, fields->field[3]));
    if (fields->count == 3)
        return line_error(line, fields->options.at, "found %s, expected the target's port",
                          is_empty(fields->options) ? end_name(line, fields->options.at) : "\"[\"");
    return parse_port(line, fields->field[3], false, &rule->target_port);
}

static bool parse_fields(struct line *line, const struct fields *fields, struct conf_rule *rule)
{
    if (!parse_listener(line, fields, rule) || !parse_target(line, fields, rule))
        return false;
    if (fields->count > 4)
        return extra_field(line, fields->field[4]);
    if (is_empty(fields->options))
        return true;
    if (line->errors == 0)
        line->errors_wanted = OPTION_ERRORS;
    if (!parse_options(line, rule, fields->options))
        return false;
    if (rule->options.number[OPTION_TIMEOUT] > 0 && !rule->bind_port.udp)
        conf_report(line->parser->conf, CONF_WARNING, &rule->option_place[OPTION_TIMEOUT],
                    "found \"timeout\" on TCP, which rinetd 0.73 ignores; here a connection ends "
                    "when nothing has moved for %ld seconds",
                    rule->options.number[OPTION_TIMEOUT]);
    return true;
}

static void parse_rule(struct line *line, const struct fields *fields)
{
    struct conf *conf = line->parser->conf;
    struct conf_rule rule = {.place = place_of(line, fields->field[0].at)};

    options_init(&rule.options);
    rule.broken = !parse_fields(line, fields, &rule) || line->bad;
    if (rule.broken && !starts_rule(conf, fields->field[0], fields->field[1]))
        leave_out(conf);
    // After an address in error the port was not read.
    if (rule.broken && rule.bind_port.number == 0 && !rule.bind_port.service)
        keep_listener(line, fields->field[0], fields->field[1], &rule);
    add_rule(conf, &rule);
}

// Whether the first two fields look like the beginning of a rule.
static bool begins_rule(struct conf *conf, struct span first, struct span second)
{
    enum host_kind kind = host_kind(keep(conf, first));

    split_protocol(&second);
    return kind == HOST_IPV4 || kind == HOST_IPV6 || is_number(second) || glued_colon(first) ||
           strchr("0123456789:[*;/\"'", *first.at);
}

// Reports a line of fewer than three fields that starts with no keyword.
static void parse_short(struct line *line, struct span body)
{
    struct conf *conf = line->parser->conf;
    struct span rest = body, first = next_field(&rest), second = next_field(&rest);
    const char *hint = uv_hint(first), *meant = access_meant(first);
    struct conf_host host;

    leave_out(conf);
    if (hint) {
        line_error(line, first.at, "found %s, a directive of rinetd-uv, expected none; %s",
                   quote(conf, first), hint);
        return;
    }
    for (int i = 0; !meant && i < KEYWORD_NONE; i++)
        if (is_near(first, keyword_names[i]))
            meant = keyword_names[i];
    if (meant)
        line_error(line, first.at, "found %s, expected a rule or a directive; did you mean \"%s\"?",
                   quote(conf, first), meant);
    else if (!begins_rule(conf, first, second))
        line_error(line, first.at,
                   "found %s, expected a rule (ADDRESS PORT ADDRESS PORT), allow, deny, logfile, "
                   "pidlogfile, logcommon or include",
                   quote(conf, first));
    else if (parse_host(line, first, "the address to listen on", &host))
        line_error(line, body.end, "found %s, expected %s", end_name(line, body.end),
                   is_empty(second) ? "the port to listen on" : "the target's address");
}

// Whether 0.73, which tries rules first, would take this line for one.
static bool has_form_of_rule(struct conf *conf, struct span text)
{
    struct fields fields = split_fields(without_comment(text));
    enum host_kind target;

    if (fields.count != 4 || !is_port(fields.field[1]) || !is_port(fields.field[3]))
        return false;
    target = host_kind(keep(conf, fields.field[2]));
    return target != HOST_BAD && target != HOST_UNIX;
}

static void parse_other(struct line *line)
{
    struct conf *conf = line->parser->conf;
    struct span body = without_comment(line->text);
    const char *odd = find_odd_byte(body), *meant;
    struct fields fields;

    if (odd) {
        odd_byte(line, odd, PLAIN_BYTES);
        count_bad_line(line, body, odd);
        return;
    }
    fields = split_fields(body);
    if (fields.count < 3) {
        parse_short(line, body);
        return;
    }
    meant = access_meant(fields.field[0]);
    if (!meant || has_form_of_rule(conf, body) || starts_with(fields.field[2], UNIX_PREFIX)) {
        parse_rule(line, &fields);
        return;
    }
    line_error(line, body.at, "found %s, expected a rule or a directive; did you mean \"%s\"?",
               quote(conf, fields.field[0]), meant);
    count_bad_line(line, body, NULL);
}

// Adds TEXT, which is all of LIST if that is not NULL, to the rule, or the global part, that an
// access line at this point belongs to.
static void add_access(struct parser *parser, enum keyword keyword, const char *text,
                       const struct conf_list *list, struct conf_place place)
{
    struct conf *conf = parser->conf;
    struct conf_rule *rule = conf->rule_count > 0 ? &conf->rules[conf->rule_count - 1] : NULL;
    struct conf_access *allow = rule ? &rule->allow : &conf->global_allow;
    struct conf_access *deny = rule ? &rule->deny : &conf->global_deny;
    struct conf_access *access = keyword == KEYWORD_ALLOW ? allow : deny;
    size_t capacity = access->capacity;
    const char **texts = grow(conf, access->text, access->count, &capacity, sizeof *texts);
    const struct conf_list **lists;
    struct conf_place *places;

    if (texts)
        access->text = texts;
    capacity = access->capacity;
    places = grow(conf, access->place, access->count, &capacity, sizeof *places);
    if (places)
        access->place = places;
    capacity = access->capacity;
    lists = grow(conf, access->list, access->count, &capacity, sizeof *lists);
    if (lists)
        access->list = lists;
    if (!texts || !places || !lists)
        return;
    access->capacity = capacity;
    access->text[access->count] = text;
    access->list[access->count] = list;
    access->place[access->count++] = place;
    if (parser->access_count++ == 0 && conf->rule_count > 0)
        parser->first_access = place;
}

static const char *pattern_hint(struct conf *conf, struct span pattern)
{
    if (spells_in_any_case(pattern, "all") || spells_in_any_case(pattern, "any"))
        return "; every client is *";
    if (find_byte(pattern, ','))
        return "; several patterns take one line each";
    if (find_byte(pattern, '"') || find_byte(pattern, '\''))
        return "; without quotes";
    if (host_kind(keep(conf, pattern)) == HOST_NAME)
        return "; a client is known by its address alone, and a rule's [wrap=NAME] can match names";
    return "";
}

static void warn_of_host_bits(struct line *line, struct span field)
{
    union host_address covered;
    char text[HOST_TEXT_MAX];
    unsigned char *bytes;
    unsigned bits, length;
    bool more = false;

    if (!acl_prefix(field.at, size_of(field), &covered, &bits))
        return;
    bytes = covered.any.sa_family == AF_INET ? (unsigned char *)&covered.in.sin_addr
                                             : covered.in6.sin6_addr.s6_addr;
    length = covered.any.sa_family == AF_INET ? 4 : 16;
    for (unsigned bit = bits; bit < length * 8; bit++) {
        more |= bytes[bit / 8] & 0x80U >> bit % 8;
        bytes[bit / 8] &= (unsigned char)~(0x80U >> bit % 8);
    }
    if (!more)
        return;
    host_text(&covered, text);
    line_warning(line, field.at, "found %s, expected %s/%u, the network that it covers",
                 quote(line->parser->conf, field), text, bits);
}

static void warn_of_pattern(struct line *line, struct span field, const char *pattern)
{
    const char *useless = acl_pattern_useless(pattern);

    if (useless)
        line_warning(line, field.at, "found %s, which can match no client: %s",
                     quote(line->parser->conf, field), useless);
    warn_of_host_bits(line, field);
}

// Reports what is wrong with PATTERN, if anything is. Returns whether it is good.
static bool check_pattern(struct line *line, struct span pattern)
{
    struct conf *conf = line->parser->conf;
    const char *expected = acl_pattern_error(pattern.at, size_of(pattern));

    if (!expected)
        return true;
    return line_error(line, pattern.at, "found %s, expected %s%s", quote(conf, pattern), expected,
                      pattern_hint(conf, pattern));
}

// The first control byte of a file's name, and what follows the name may only be blanks.
static const char *find_control(struct span name, struct span rest)
{
    for (const char *p = name.at; p < name.end; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return p;
    return !is_empty(rest) && *rest.at == '\r' ? rest.at : NULL;
}

// Finds the one argument, a file's name that may be in quotes, in REST.
static bool parse_name(struct line *line, struct span rest, struct span *name, bool *quoted)
{
    const char *start = rest.at, *close, *odd;
    struct span extra;

    if (is_empty(rest))
        return line_error(line, start, "found %s, expected a file name", end_name(line, start));
    *quoted = *start == '"';
    if (*quoted) {
        close = find_byte((struct span){start + 1, rest.end}, '"');
        if (!close)
            return line_error(line, start,
                              "found a quote, expected a closing one on the same line");
        *name = (struct span){start + 1, close};
        rest.at = close + 1;
    } else {
        *name = next_field(&rest);
    }
    skip_blanks(&rest);
    odd = find_control(*name, rest);
    if (odd) {
        odd_byte(line, odd, "a file name without control bytes");
        return false;
    }
    if (is_empty(*name))
        return line_error(line, start, "found an empty file name, expected one");
    if (size_of(*name) > PATH_MAX_BYTES)
        return line_error(line, start, "found a file name of %zu bytes, expected at most %d",
                          size_of(*name), PATH_MAX_BYTES);
    if (is_empty(rest) || *rest.at == '#')
        return true;
    extra = next_field(&rest);
    return line_error(line, extra.at,
                      "found %s after the file name, expected the end of the line; a name with "
                      "blanks takes quotes",
                      quote(line->parser->conf, extra));
}

// The text that both "FILE" and "FOLDER/FILE", named in FOLDER's own file FROM, have in common.
static const char *path_beside(struct conf *conf, struct span name, const char *from)
{
    const char *slash = strrchr(from, '/');
    size_t length = slash && *name.at != '/' ? (size_t)(slash - from) + 1 : 0;
    char *path = take(conf, length + size_of(name) + 1);

    if (!path)
        return "";
    memcpy(path, from, length);
    memcpy(path + length, name.at, size_of(name));
    path[length + size_of(name)] = '\0';
    return path;
}

// A file of patterns being read.
struct listing {
    struct conf_list *list;
    struct line line;
    size_t size;      // bytes of list->text so far
    size_t bad_lines; // the first few of which are reported
    size_t warnings;
    struct conf_place untold; // the first that is not
};

// Takes one pattern of a list, which has room for it. Returns whether it is good.
static bool add_listed(struct listing *listing, struct span pattern)
{
    struct conf *conf = listing->line.parser->conf;
    struct conf_list *list = listing->list;
    size_t before = conf->message_count;
    unsigned *lines;
    char *text;

    if (!check_pattern(&listing->line, pattern))
        return false;
    lines = grow(conf, list->line, list->count, &list->capacity, sizeof *lines);
    if (!lines)
        return false;
    list->line = lines;
    lines[list->count] = listing->line.number;
    if (list->count++ > 0)
        list->text[listing->size++] = ',';
    text = list->text + listing->size;
    memcpy(text, pattern.at, size_of(pattern));
    listing->size += size_of(pattern);
    list->text[listing->size] = '\0';
    if (listing->warnings >= LIST_WARNINGS)
        return true;
    warn_of_pattern(&listing->line, pattern, text);
    listing->warnings += conf->message_count - before;
    if (listing->warnings >= LIST_WARNINGS)
        line_warning(&listing->line, pattern.at,
                     "found %zu patterns to warn of in this file; further ones are not told",
                     listing->warnings);
    return true;
}

// Takes one line of a list. Returns whether it is good.
static bool parse_listed(struct listing *listing)
{
    struct line *line = &listing->line;
    struct span rest = line->text, pattern, extra;
    const char *odd;

    // What an editor shows as further lines may be patterns.
    if (hides_line(rest)) {
        odd_byte(line, find_byte(rest, '\r'), "");
        return false;
    }
    for (const char *p = rest.at; p < rest.end; p++)
        if (*p == '#' || *p == ';' || *p == '\r')
            rest.end = p;
    odd = find_odd_byte(rest);
    if (odd) {
        odd_byte(line, odd, PLAIN_BYTES);
        return false;
    }
    pattern = next_field(&rest);
    extra = next_field(&rest);
    if (is_empty(pattern))
        return true;
    if (!is_empty(extra))
        return line_error(line, extra.at,
                          "found %s after the pattern, expected the end of the line or a comment; "
                          "a list has one pattern a line",
                          quote(line->parser->conf, extra));
    return add_listed(listing, pattern);
}

static void parse_lines(struct listing *listing, const struct conf_source *source)
{
    struct line *line = &listing->line;
    struct conf *conf = line->parser->conf;
    struct span rest = {source->bytes, source->bytes + source->size};

    if (starts_with(rest, "\xEF\xBB\xBF"))
        rest.at += 3;
    while (!is_empty(rest) && !conf->no_memory) {
        const char *newline = find_byte(rest, '\n');

        line->start = rest.at;
        line->number += line->number < UINT_MAX;
        line->unterminated = !newline;
        line->text = (struct span){rest.at, newline ? newline : rest.end};
        line->errors = 0;
        line->errors_wanted = listing->bad_lines < LIST_ERRORS;
        if (!parse_listed(listing) && listing->bad_lines++ == LIST_ERRORS)
            listing->untold = place_of(line, line->start);
        rest.at = newline ? newline + 1 : rest.end;
    }
}

// Reads the bytes of a list, and reports what is wrong in it.
static void parse_list(struct parser *parser, const struct conf_source *source,
                       struct conf_list *list)
{
    struct conf *conf = parser->conf;
    struct input input = {.source = source, .name = list->file};
    struct listing listing = {.list = list, .line = {.parser = parser, .input = &input}};
    struct span all = {source->bytes, source->bytes + source->size};

    listing.line.start = source->bytes;
    listing.line.number = 1;
    list->text = malloc(source->size + 1);
    if (!list->text) {
        conf->no_memory = true;
        return;
    }
    list->text[0] = '\0';
    if (starts_with(all, "\xFF\xFE") || starts_with(all, "\xFE\xFF")) {
        listing.line.errors_wanted = 1;
        line_error(&listing.line, all.at,
                   "found a file that looks like UTF-16, expected ASCII or UTF-8; convert it with "
                   "iconv -f UTF-16 -t UTF-8");
        list->bad = true;
        return;
    }
    listing.line.number = 0;
    parse_lines(&listing, source);
    list->bad = listing.bad_lines > 0;
    if (listing.bad_lines > LIST_ERRORS)
        conf_report(conf, CONF_ERROR, &listing.untold,
                    "found an error in this line and %zu more, expected none; they are not told "
                    "one by one",
                    listing.bad_lines - LIST_ERRORS - 1);
}

// The list that was found at PATH, or NULL. Another name of the same file is another list: what
// they name may not be the same the next time.
static struct conf_list *find_list(const struct conf *conf, const char *path)
{
    for (size_t i = 0; i < conf->list_count; i++)
        if (strcmp(conf->lists[i]->path, path) == 0)
            return conf->lists[i];
    return NULL;
}

// Takes the file that was found for PATH as the next list. NULL where memory ran out.
static struct conf_list *add_list(struct parser *parser, const char *path,
                                  const struct conf_source *source)
{
    struct conf *conf = parser->conf;
    struct conf_list **lists =
        grow(conf, conf->lists, conf->list_count, &conf->list_capacity, sizeof(*lists));
    struct conf_list *list = lists ? calloc(1, sizeof *list) : NULL;

    if (lists)
        conf->lists = lists;
    if (!list) {
        conf->no_memory = true;
        return NULL;
    }
    lists[conf->list_count++] = list;
    list->path = path;
    list->file = file_name(conf, source->name);
    parse_list(parser, source, list);
    return list;
}

// Finds the list NAME, a file that is read unless it has been. NULL: that was reported, or memory
// ran out.
static const struct conf_list *open_list(struct line *line, struct span name)
{
    struct parser *parser = line->parser;
    struct conf *conf = parser->conf;
    const char *path = path_beside(conf, name, line->input->source->name), *error = NULL;
    struct conf_list *list = find_list(conf, path);
    struct conf_sources found = {0};

    if (list)
        return list;
    if (!parser->reader) {
        line_error(line, name.at,
                   "found the list %s, expected patterns: no other file can be read here",
                   quote(conf, name));
        return NULL;
    }
    if (!parser->reader->find(parser->reader->context, keep(conf, name), line->input->source->name,
                              &found, &error)) {
        line_error(line, name.at, "unable to read %s: %s", quote(conf, name),
                   error ? error : "unknown reason");
        return NULL;
    }
    if (found.count == 1 && found.source[0].bytes) {
        list = add_list(parser, path, &found.source[0]);
    } else {
        line_error(line, name.at, "unable to read %s: %s", quote(conf, name),
                   found.count == 1 && found.source[0].error ? found.source[0].error
                                                             : "unknown reason");
    }
    parser->reader->release(parser->reader->context, &found);
    return list;
}

// Parses an access line of KEYWORD that names a list, REST being what follows the '@'.
static bool parse_list_name(struct line *line, enum keyword keyword, struct span rest)
{
    struct conf *conf = line->parser->conf;
    const struct conf_list *list;
    struct span name;
    bool quoted;

    if (!parse_name(line, rest, &name, &quoted))
        return false;
    for (const char *p = name.at; p < name.end; p++)
        if (strchr("*?[\\", *p))
            return line_error(line, p, "found %s in the name of a list, expected that of one file",
                              conf_quote(conf, p, 1));
    list = open_list(line, name);
    if (list && list->bad)
        return line_error(line, name.at,
                          "found the list %s, which has errors, expected one without",
                          quote(conf, name));
    if (!list)
        return false;
    if (list->count == 0 && keyword == KEYWORD_ALLOW)
        return line_error(line, name.at,
                          "found no pattern in %s, expected at least one: nobody could be let in",
                          quote(conf, name));
    if (list->count == 0)
        line_warning(line, name.at, "found no pattern in %s, expected at least one",
                     quote(conf, name));
    add_access(line->parser, keyword, list->text, list, place_of(line, name.at));
    return !line->bad;
}

static bool parse_pattern(struct line *line, enum keyword keyword, struct span rest)
{
    struct conf *conf = line->parser->conf;
    struct span body = without_comment(rest), pattern, extra;
    const char *odd = find_odd_byte(body), *text;

    if (!is_empty(rest) && *rest.at == '@')
        return parse_list_name(line, keyword, (struct span){rest.at + 1, rest.end});
    if (odd) {
        odd_byte(line, odd, PLAIN_BYTES);
        return false;
    }
    rest = body;
    pattern = next_field(&rest);
    extra = next_field(&rest);
    if (is_empty(pattern))
        return line_error(line, body.end, "found %s, expected an address pattern after \"%s\"",
                          end_name(line, body.end), keyword_names[keyword]);
    if (!check_pattern(line, pattern))
        return false;
    if (!is_empty(extra))
        return line_error(line, extra.at,
                          "found %s after the pattern, expected the end of the line; several "
                          "patterns take one line each",
                          quote(conf, extra));
    text = keep(conf, pattern);
    if (strchr(text, '?'))
        line_warning(line, pattern.at,
                     "found \"?\" in %s, which rinetd 0.73 may let match past the end of an "
                     "address; here it is exactly one character",
                     quote(conf, pattern));
    warn_of_pattern(line, pattern, text);
    add_access(line->parser, keyword, text, NULL, place_of(line, pattern.at));
    return !line->bad;
}

static bool parse_file(struct line *line, struct span rest, struct conf_file *file)
{
    struct span name;
    bool quoted;

    if (!parse_name(line, rest, &name, &quoted))
        return false;
    if (quoted)
        line_warning(line, rest.at,
                     "found a file name in quotes, expected it without; they are removed here, and "
                     "rinetd 0.73 makes them part of the name");
    *file = (struct conf_file){
        .text = copy(line->parser->conf, name), .bad = line->bad, .place = place_of(line, rest.at)};
    return true;
}

static bool parse_logcommon(struct line *line, struct span rest)
{
    struct conf *conf = line->parser->conf;
    struct span body = without_comment(rest), extra;
    const char *odd = find_odd_byte(body);

    if (odd) {
        odd_byte(line, odd, PLAIN_BYTES);
        return false;
    }
    extra = next_field(&body);
    if (!is_empty(extra))
        return line_error(line, extra.at, "found %s, expected nothing after \"logcommon\"",
                          quote(conf, extra));
    conf->log_common = true;
    return true;
}

static void parse_source(struct parser *parser, const struct conf_source *source,
                         const struct input *parent);

static bool is_being_read(const struct input *input, const struct conf_source *source)
{
    for (; input; input = input->parent)
        if (input->source->identity && source->identity &&
            strcmp(input->source->identity, source->identity) == 0)
            return true;
    return false;
}

// Each of several files that one line includes may have an error of its own.
static void include_source(struct line *line, const char *at, const struct conf_source *source)
{
    struct parser *parser = line->parser;
    struct conf *conf = parser->conf;
    struct conf_place place = place_of(line, at);
    const char *name = conf_quote(conf, source->name, strlen(source->name));

    if (is_being_read(line->input, source)) {
        conf_report(conf, CONF_ERROR, &place,
                    "found %s, expected another file: this one is being read, so it would include "
                    "itself",
                    name);
        leave_out(conf);
    } else if (!source->bytes) {
        conf_report(conf, CONF_ERROR, &place, "unable to read %s: %s", name,
                    source->error ? source->error : "unknown reason");
        leave_out(conf);
    } else if (parser->files >= INCLUDE_FILES) {
        conf_report(conf, CONF_ERROR, &place,
                    "found %s after %d files, expected fewer; nothing after this is read", name,
                    INCLUDE_FILES);
        conf->global_broken = parser->stopped = true;
    } else {
        parse_source(parser, source, line->input);
    }
}

static bool parse_include(struct line *line, struct span rest)
{
    struct parser *parser = line->parser;
    struct conf *conf = parser->conf;
    struct conf_sources found = {0};
    const char *error = NULL, *pattern;
    struct span name;
    bool quoted;

    if (!parse_name(line, rest, &name, &quoted))
        return false;
    if (line->input->depth == INCLUDE_LEVELS)
        return line_error(line, rest.at, "found an include inside %d others, expected at most %d",
                          INCLUDE_LEVELS, INCLUDE_LEVELS);
    if (!parser->reader)
        return line_error(line, rest.at,
                          "found an include, expected none: no other file can be read here");
    pattern = keep(conf, name);
    if (!parser->reader->find(parser->reader->context, pattern, line->input->source->name, &found,
                              &error))
        return line_error(line, name.at, "unable to read %s: %s", quote(conf, name),
                          error ? error : "unknown reason");
    if (found.count == 0)
        line_warning(line, name.at, "found no file that matches %s, expected at least one",
                     quote(conf, name));
    for (size_t i = 0; i < found.count && !parser->stopped; i++)
        include_source(line, name.at, &found.source[i]);
    parser->reader->release(parser->reader->context, &found);
    return true;
}

// What an error in a line of KEYWORD spoils.
static void spoil(struct line *line, enum keyword keyword, const char *at)
{
    struct conf *conf = line->parser->conf;
    struct conf_file bad = {.bad = true, .place = place_of(line, at)};

    if (keyword == KEYWORD_LOGFILE)
        conf->log = bad;
    if (keyword == KEYWORD_PIDLOGFILE || keyword == KEYWORD_PIDFILE)
        conf->pid = bad;
    if (keyword == KEYWORD_ALLOW || keyword == KEYWORD_DENY || keyword == KEYWORD_INCLUDE ||
        hides_line(line->text))
        leave_out(conf);
}

static bool parse_directive(struct line *line, enum keyword keyword, struct span rest)
{
    struct conf *conf = line->parser->conf;

    switch (keyword) {
    case KEYWORD_ALLOW:
    case KEYWORD_DENY:
        return parse_pattern(line, keyword, rest);
    case KEYWORD_INCLUDE:
        return parse_include(line, rest);
    case KEYWORD_LOGFILE:
        return parse_file(line, rest, &conf->log);
    case KEYWORD_PIDLOGFILE:
        return parse_file(line, rest, &conf->pid);
    case KEYWORD_PIDFILE:
        return line_error(line, line->text.at,
                          "found \"pidfile\", a directive of rinetd-uv, expected \"pidlogfile\"");
    case KEYWORD_LOGCOMMON:
        return parse_logcommon(line, rest);
    case KEYWORD_NONE:
        break;
    }
    return false;
}

static enum keyword find_keyword(struct span word)
{
    int keyword = 0;

    while (keyword < KEYWORD_NONE && !spells_in_any_case(word, keyword_names[keyword]))
        keyword++;
    return (enum keyword)keyword;
}

// Parses a line, or what NUL bytes leave of it.
static void parse_text(struct line *line)
{
    struct conf *conf = line->parser->conf;
    struct span rest, word;
    enum keyword keyword;

    skip_blanks(&line->text);
    if (is_empty(line->text))
        return;
    if (*line->text.at == '#') {
        // 0.73 takes a CR in a comment in silence, but here nothing else is in the file.
        if (is_whole_file(line) && hides_line(line->text))
            line_warning(
                line, find_byte(line->text, '\r'),
                "found a CR without LF, expected LF or CRLF; the whole file is one comment");
        return;
    }
    if (line->unterminated && line->input->depth == 0)
        line_warning(
            line, line->text.end,
            "found the end of the file, expected a newline; rinetd 0.73 ignores this line");
    while (is_blank(line->text.end[-1]))
        line->text.end--;
    rest = line->text;
    word = take_word(&rest, "#\r");
    keyword = find_keyword(word);
    // Without a blank, what follows is a comment, or nothing that could be an argument.
    if (!is_empty(rest) && *rest.at == '#')
        rest.end = rest.at;
    skip_blanks(&rest);
    if (keyword == KEYWORD_NONE) {
        parse_other(line);
    } else if (has_form_of_rule(conf, line->text)) {
        line_error(line, word.at,
                   "found a rule to listen on the host %s, as rinetd 0.73 reads this line, "
                   "expected one argument after the keyword",
                   quote(conf, word));
        leave_out(conf);
        count_bad_line(line, line->text, NULL);
    } else if (!spells(word, keyword_names[keyword])) {
        line_error(line, word.at, "found %s, expected \"%s\"; keywords are in small letters",
                   quote(conf, word), keyword_names[keyword]);
        spoil(line, keyword, word.at);
    } else if (!parse_directive(line, keyword, rest)) {
        spoil(line, keyword, rest.at);
    }
}

// Parses the bytes up to END, the newline or the end of the file.
static void parse_line(struct line *line, const char *end)
{
    struct conf *conf = line->parser->conf;
    struct span rest = {line->start, end};
    bool terminated = !line->unterminated, reported = false;
    const char *nul;

    line->errors = 0;
    line->errors_wanted = 1;
    if (terminated && !is_empty(rest) && rest.end[-1] == '\r')
        rest.end--;
    line->bad = line->number == 1 && starts_with(rest, "\xEF\xBB\xBF");
    if (line->bad) {
        line_error(line, rest.at,
                   "found a UTF-8 byte order mark, expected none; remove it with "
                   "sed -i '1s/^\\xEF\\xBB\\xBF//' FILE");
        rest.at += 3;
    }
    do {
        nul = find_byte(rest, '\0');
        line->text = (struct span){rest.at, nul ? nul : rest.end};
        line->unterminated = !terminated && !nul;
        parse_text(line);
        line->bad = false;
        if (nul) {
            struct conf_place place = place_of(line, nul);

            if (!reported)
                conf_report(conf, CONF_ERROR, &place,
                            "found a NUL byte, expected text; it ends the line as in rinetd 0.73");
            reported = true;
            leave_out(conf);
            rest.at = nul + 1;
        }
    } while (nul);
}

static void parse_source(struct parser *parser, const struct conf_source *source,
                         const struct input *parent)
{
    struct conf *conf = parser->conf;
    struct input input = {source, parent, file_name(conf, source->name),
                          parent ? parent->depth + 1 : 0};
    struct line line = {.parser = parser, .input = &input, .start = source->bytes};
    struct span rest = {source->bytes, source->bytes};

    parser->files++;
    if (source->size > 0)
        rest.end += source->size;
    if (starts_with(rest, "\xFF\xFE") || starts_with(rest, "\xFE\xFF")) {
        struct conf_place start = {input.name, 1, 1};

        conf_report(conf, CONF_ERROR, &start,
                    "found a file that looks like UTF-16, expected ASCII or UTF-8; convert it with "
                    "iconv -f UTF-16 -t UTF-8");
        leave_out(conf);
        return;
    }
    while (!is_empty(rest) && !parser->stopped && !conf->no_memory) {
        const char *newline = find_byte(rest, '\n');

        line.start = rest.at;
        line.number += line.number < UINT_MAX;
        line.unterminated = !newline;
        parse_line(&line, newline ? newline : rest.end);
        rest.at = newline ? newline + 1 : rest.end;
    }
}

struct conf *conf_parse(const struct conf_source *main, const struct conf_reader *reader)
{
    struct conf *conf = calloc(1, sizeof *conf);
    struct parser parser = {.conf = conf, .reader = reader};

    if (!conf)
        return NULL;
    conf->arena = calloc(1, sizeof *conf->arena);
    if (!conf->arena) {
        free(conf);
        return NULL;
    }
    parse_source(&parser, main, NULL);
    if (parser.access_count > 1 && parser.first_access.line != 0)
        conf_report(conf, CONF_WARNING, &parser.first_access,
                    "found the first access line of all in a rule: rinetd 0.73 ignores it and "
                    "takes the one after this rule's last in its place; here it counts");
    conf_sort_messages(conf);
    if (conf->no_memory) {
        conf_free(conf);
        return NULL;
    }
    return conf;
}

struct sorted {
    size_t file, index;
    struct conf_message message;
};

static int compare_numbers(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare_messages(const void *left, const void *right)
{
    const struct sorted *a = left, *b = right;
    int order = compare_numbers(a->file, b->file);

    if (order == 0)
        order = compare_numbers(a->message.place.line, b->message.place.line);
    if (order == 0)
        order = compare_numbers(a->message.place.column, b->message.place.column);
    return order ? order : compare_numbers(a->index, b->index);
}

// When the file called NAME was first read, among all files; those never read come last.
static size_t file_order(const struct arena *arena, const char *name)
{
    size_t order = 0;

    while (name && order < arena->file_count && strcmp(arena->file[order], name) != 0)
        order++;
    return name ? order : arena->file_count;
}

void conf_sort_messages(struct conf *conf)
{
    struct sorted *sorted = calloc(conf->message_count + 1, sizeof *sorted);
    const char *name = NULL;
    size_t order = conf->arena->file_count;

    if (!sorted) {
        conf->no_memory = true;
        return;
    }
    for (size_t i = 0; i < conf->message_count; i++) {
        if (conf->messages[i].place.file != name) {
            name = conf->messages[i].place.file;
            order = file_order(conf->arena, name);
        }
        sorted[i] = (struct sorted){order, i, conf->messages[i]};
    }
    qsort(sorted, conf->message_count, sizeof *sorted, compare_messages);
    for (size_t i = 0; i < conf->message_count; i++)
        conf->messages[i] = sorted[i].message;
    free(sorted);
}

static void free_access(struct conf_access *access)
{
    free(access->text);
    free(access->place);
    free(access->list);
}

static void free_list(struct conf_list *list)
{
    free(list->text);
    free(list->line);
    free(list);
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf->rule_count; i++) {
        free_access(&conf->rules[i].allow);
        free_access(&conf->rules[i].deny);
    }
    free_access(&conf->global_allow);
    free_access(&conf->global_deny);
    for (size_t i = 0; i < conf->list_count; i++)
        free_list(conf->lists[i]);
    free(conf->lists);
    free(conf->rules);
    free(conf->messages);
    while (conf->arena->blocks) {
        struct block *block = conf->arena->blocks;

        conf->arena->blocks = block->next;
        free(block);
    }
    free(conf->arena->file);
    free(conf->arena);
    free(conf);
}
