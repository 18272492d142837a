// SPDX-License-Identifier: ISC
//
// emit: whatever bytes a rule is made of, an entry says what the rule says, or is refused. The
// rule is put together here, past all checks of conf. Fields are separated by NUL bytes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum field { BIND, TARGET, USER, LOG_FILE, WRAP, SRC, MAX, CONFIG, ALLOW, DENY, FIELDS };

struct input {
    char *text[FIELDS];
};

#define WORDS_MAX 16

struct words {
    char *word[WORDS_MAX];
    size_t count;
};

static void expect(bool good)
{
    if (!good)
        abort();
}

static bool split(struct input *input, const uint8_t *data, size_t size)
{
    for (int i = 0; i < FIELDS; i++) {
        const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
        size_t length = end ? (size_t)(end - data) : size;

        input->text[i] = calloc(1, length + 1);
        if (!input->text[i])
            return false;
        if (length > 0)
            memcpy(input->text[i], data, length);
        data += length;
        size -= length;
        if (end) {
            data++;
            size--;
        }
    }
    return true;
}

static void add_word(struct words *words, const char *before, const char *value, const char *after)
{
    expect(words->count < WORDS_MAX &&
           asprintf(&words->word[words->count++], "%s%s%s", before, value, after) >= 0);
}

static void words_free(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->word[i]);
}

// What the relay, or rinetd-wrap, is to be told: put together as plainly as can be.
static void expected_words(struct words *words, const struct input *in,
                           const struct emit_rule *rule, const struct emit_settings *settings)
{
    bool waits = settings->wait || rule->udp, starts_wrap = rule->wrap_name && !waits;

    add_word(words, "", starts_wrap ? settings->wrap : settings->relay, "");
    if (starts_wrap) {
        add_word(words, "", rule->wrap_name, "");
        add_word(words, "", settings->relay, "");
    } else if (rule->wrap_name) {
        add_word(words, "--wrap=", rule->wrap_name, "");
    }
    if (rule->rule->bind.kind == HOST_IPV6)
        add_word(words, "--listener=[", in->text[BIND], "]:80");
    else
        add_word(words, "--listener=", in->text[BIND], ":80");
    if (rule->rule->allow.count)
        add_word(words, "--allow=", in->text[ALLOW], "");
    if (rule->rule->deny.count)
        add_word(words, "--deny=", in->text[DENY], "");
    if (rule->rule->options.text[OPTION_SRC])
        add_word(words, "--src=", in->text[SRC], "");
    if (rule->rule->options.text[OPTION_MAX] && waits)
        add_word(words, "--max=", in->text[MAX], "");
    if (settings->log)
        add_word(words, "--log=", in->text[LOG_FILE], "");
    if (rule->udp && settings->format == EMIT_XINETD)
        add_word(words, "--keep-queue", "", "");
    add_word(words, "", in->text[TARGET], "");
    if (rule->rule->target.kind != HOST_UNIX)
        add_word(words, "", "8080",
                 rule->rule->target_port.udp == rule->udp ? ""
                 : rule->udp                              ? "/tcp"
                                                          : "/udp");
}

// LINE has the words, one blank between two of them, but the first, the program.
static void expect_words(char *line, const struct words *words)
{
    char *word, *rest = line;

    for (size_t i = 1; i < words->count; i++) {
        word = strsep(&rest, " ");
        expect(word && strcmp(word, words->word[i]) == 0);
    }
    expect(!rest);
}

// Each line stands in the template, with values in it that the rule gave; nothing else does.
static void expect_xinetd(char *text, const struct words *words)
{
    static const char arguments[] = "\tserver_args     = ";
    int services = 0, open = 0, close = 0, found = 0;
    char *line, *rest = text;

    while ((line = strsep(&rest, "\n")) != NULL) {
        services += strncmp(line, "service ", 8) == 0;
        open += strcmp(line, "{") == 0;
        close += strcmp(line, "}") == 0;
        expect(*line == '\0' || *line == '#' || *line == '\t' || *line == '{' || *line == '}' ||
               strncmp(line, "service ", 8) == 0);
        expect(strlen(line) <= 8191);
        if (*line == '\t')
            expect(strchr(line, '=') == line + 17);
        if (strncmp(line, arguments, sizeof arguments - 1) == 0) {
            found++;
            expect_words(line + sizeof arguments - 1, words);
        }
    }
    expect(services == 1 && open == 1 && close == 1 && found == 1);
}

static void expect_inetd(char *text, const struct words *words)
{
    char *line, *rest = text;
    int entries = 0;

    while ((line = strsep(&rest, "\n")) != NULL) {
        expect(strlen(line) <= 1023);
        if (*line == '#' || *line == '\0')
            continue;
        entries++;
        for (int word = 0; word < 7; word++) {
            line += strcspn(line, " ");
            expect(*line == ' ');
            line++;
        }
        expect_words(line, words);
    }
    expect(entries == 1);
}

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef", *at = digit ? strchr(digits, digit) : NULL;

    expect(at != NULL);
    return (int)(at - digits);
}

// Takes the next word off *FROM as systemd does with its flags UNQUOTE and, where HEX, CUNESCAPE.
// Returns whether there was one; its bytes are in TO, which is large enough.
static bool take_word(const char **from, bool hex, char *to)
{
    const char *p = *from + strspn(*from, " \t");
    char quote = '\0';

    if (*p == '\0')
        return false;
    for (; *p && (quote || !strchr(" \t", *p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'') {
            quote = quote ? '\0' : *p;
        } else if (*p != '\\') {
            *to++ = *p;
        } else if (hex && p[1] == 'x') {
            *to++ = (char)(hex_digit(p[2]) << 4 | hex_digit(p[3]));
            p += 3;
        } else {
            p++;
            expect(*p && (!hex || strchr("\\\"'", *p)));
            *to++ = *p;
        }
    }
    expect(!quote);
    *to = '\0';
    *from = p;
    return true;
}

// Replaces each MARK, which must stand twice, by one: anything else systemd would expand.
static void undouble(char *text, char mark)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == mark) {
            text++;
            expect(*text == mark);
        }
        *to++ = *text;
    }
    *to = '\0';
}

static void expect_command(const char *value, const struct words *words)
{
    char *word = malloc(strlen(value) + 1);
    size_t count = 0;

    expect(word != NULL);
    // What would be a prefix of the program, or end the command.
    expect(*value == '"' && value[1] == '/');
    for (const char *at = value; take_word(&at, true, word); count++) {
        const char *next = at + strspn(at, " \t");

        expect(*next != ';' && *next != '\\');
        undouble(word, '%');
        if (count > 0)
            undouble(word, '$');
        expect(count < words->count && strcmp(word, words->word[count]) == 0);
    }
    expect(count == words->count);
    free(word);
}

// VALUE, one word, is the folder of LOG after a '-'.
static void expect_folder(const char *value, const char *log)
{
    size_t length = (size_t)(strrchr(log, '/') - log);
    char *word = malloc(strlen(value) + 1);

    expect(word && take_word(&value, false, word) && *value == '\0');
    undouble(word, '%');
    expect(word[0] == '-' && word[1] == '/');
    expect(length ? strncmp(word + 1, log, length) == 0 && word[length + 1] == '\0'
                  : word[2] == '\0');
    free(word);
}

static void expect_plain(const char *value, const char *expected)
{
    char *copy = strdup(value);

    expect(copy != NULL);
    undouble(copy, '%');
    expect(strcmp(copy, expected) == 0);
    free(copy);
}

// How often a line of TEXT begins with KEY, LENGTH bytes with the "=".
static unsigned times(const char *text, const char *key, size_t length)
{
    unsigned found = 0;

    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        found += strncmp(text, key, length) == 0;
    return found;
}

static const char *template_text(const char *name)
{
    const struct emit_template *t = emit_templates;

    while (strcmp(t->name, name) != 0)
        t++;
    return t->text;
}

// A description is for readers: it must only be one line, and say nothing else.
static void expect_unit(char *text, const char *name, const struct words *words,
                        const struct input *in)
{
    const char *template = template_text(name);
    char *line, *rest = text, *whole = strdup(text);
    unsigned commands = 0;

    expect(whole != NULL);
    while ((line = strsep(&rest, "\n")) != NULL) {
        size_t key = strcspn(line, "=") + 1, length = strlen(line), escapes = 0;

        expect(length <= 1048575);
        if (*line == '\0' || *line == '#')
            continue;
        while (escapes < length && line[length - 1 - escapes] == '\\')
            escapes++;
        expect(escapes % 2 == 0 && unit_is_utf8(line));
        if (*line == '[') {
            expect(strstr(template, line) != NULL);
            continue;
        }
        expect(key <= length + 1 && times(whole, line, key) <= times(template, line, key));
        while (length > key && strchr(" \t\r", line[length - 1]))
            line[--length] = '\0';
        if (strncmp(line, "ExecStart=", key) == 0) {
            expect_command(line + key, words);
            commands++;
        } else if (strncmp(line, "ReadWritePaths=", key) == 0) {
            expect_folder(line + key, in->text[LOG_FILE]);
        } else if (strncmp(line, "MaxConnections=", key) == 0 && in->text[MAX][0]) {
            expect(strcmp(line + key, in->text[MAX]) == 0);
        } else if (strncmp(line, "User=", key) == 0) {
            expect_plain(line + key, in->text[USER]);
        } else if (strncmp(line, "SourcePath=", key) == 0) {
            expect_plain(line + key, in->text[CONFIG]);
        }
    }
    expect(commands == (strcmp(name, "systemd-service") == 0));
    free(whole);
}

static void expect_comments(const char *text)
{
    for (; *text; text += strcspn(text, "\n") + 1)
        expect(*text == '#');
}

static void try_entry(const struct emit_settings *settings, const struct words *words,
                      const struct conf *conf, const struct emit_rule *rule)
{
    struct text text = {.size = 0};
    struct emit_error error;

    if (emit_head(settings, &text, &error) == 0)
        expect_comments(text.bytes);
    text.size = 0;
    if (emit_entry(settings, conf, rule, &text, &error) < 0)
        expect(text.size == 0 && error.what[0] != '\0');
    else if (settings->format == EMIT_XINETD)
        expect_xinetd(text.bytes, words);
    else
        expect_inetd(text.bytes, words);
    free(text.bytes);
}

static void try_units(const struct emit_settings *settings, const struct words *words,
                      const struct conf *conf, const struct emit_rule *rule, const struct input *in)
{
    struct text text = {.size = 0};
    struct emit_error error;

    if (emit_socket(settings, rule, &text, &error) < 0)
        expect(text.size == 0 && error.what[0] != '\0');
    else
        expect_unit(text.bytes, rule->udp ? "systemd-socket-udp" : "systemd-socket", words, in);
    text.size = 0;
    if (emit_service(settings, conf, rule, &text, &error) < 0)
        expect(text.size == 0 && error.what[0] != '\0');
    else
        expect_unit(text.bytes, "systemd-service", words, in);
    free(text.bytes);
}

static void try_all(const struct input *in, const struct conf *conf, const struct emit_rule *rule)
{
    struct emit_settings settings = {.config = in->text[CONFIG],
                                     .user = in->text[USER],
                                     .relay = "/usr/libexec/rinetd-relay",
                                     .wrap = "/usr/libexec/rinetd-wrap",
                                     .log = in->text[LOG_FILE][0] ? in->text[LOG_FILE] : NULL};

    for (int wait = 0; wait < 2; wait++) {
        struct words words = {.count = 0};

        settings.wait = wait;
        settings.format = EMIT_XINETD;
        expected_words(&words, in, rule, &settings);
        try_entry(&settings, &words, conf, rule);
        words_free(&words);
        words.count = 0;
        settings.format = EMIT_INETD;
        expected_words(&words, in, rule, &settings);
        try_entry(&settings, &words, conf, rule);
        settings.format = EMIT_SYSTEMD;
        try_units(&settings, &words, conf, rule, in);
        words_free(&words);
    }
}

static enum host_kind kind_of(const char *text)
{
    enum host_kind kind = host_kind(text);

    return kind == HOST_BAD ? HOST_NAME : kind;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {{NULL}};
    struct conf_rule source;
    struct emit_rule rule;
    struct conf conf;

    memset(&source, 0, sizeof source);
    memset(&rule, 0, sizeof rule);
    memset(&conf, 0, sizeof conf);
    if (size < 4096 && split(&in, data, size)) {
        const char *allow = in.text[ALLOW], *deny = in.text[DENY];

        source.bind = (struct conf_host){.text = in.text[BIND], .kind = kind_of(in.text[BIND])};
        source.target =
            (struct conf_host){.text = in.text[TARGET], .kind = kind_of(in.text[TARGET])};
        source.allow = (struct conf_access){.text = &allow, .count = *allow != '\0'};
        source.deny = (struct conf_access){.text = &deny, .count = *deny != '\0'};
        source.options.text[OPTION_SRC] = in.text[SRC][0] ? in.text[SRC] : NULL;
        source.options.text[OPTION_MAX] = in.text[MAX][0] ? in.text[MAX] : NULL;
        rule.rule = &source;
        rule.listener_port = 80;
        rule.target_port = 8080;
        rule.wrap_name = in.text[WRAP][0] ? in.text[WRAP] : NULL;
        if (host_address(in.text[BIND], 0, &rule.listener) == 0)
            host_address("127.0.0.1", 0, &rule.listener);
        for (int protocols = 0; protocols < 4; protocols++) {
            rule.udp = source.bind_port.udp = protocols & 1;
            source.target_port.udp = protocols & 2;
            emit_name(&rule);
            for (const char *p = rule.name; *p; p++)
                expect(strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *p) != NULL);
            try_all(&in, &conf, &rule);
        }
    }
    for (int i = 0; i < FIELDS; i++)
        free(in.text[i]);
    return 0;
}
