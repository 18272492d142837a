// SPDX-License-Identifier: ISC
//
// emit: whatever bytes a rule is made of, an entry says what the rule says, or is refused. The
// rule is put together here, past all checks of conf. Fields are separated by NUL bytes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum field { BIND, TARGET, USER, LOG_FILE, WRAP, SRC, MAX, CONFIG, ALLOW, DENY, FIELDS };

struct input {
    char *text[FIELDS];
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

// The Nth word of LINE is WORD, its last one when LAST is set.
static void expect_word(char **line, const char *name, const char *word)
{
    size_t name_length = strlen(name), length = strcspn(*line, " ");

    expect(length == name_length + strlen(word));
    expect(strncmp(*line, name, name_length) == 0);
    expect(strncmp(*line + name_length, word, length - name_length) == 0);
    *line += length + ((*line)[length] == ' ');
}

static void expect_arguments(char *line, const struct input *in, const struct emit_rule *rule,
                             const struct emit_settings *settings)
{
    char listener[4096];

    if (rule->wrap_name) {
        expect_word(&line, "", rule->wrap_name);
        expect_word(&line, "", settings->relay);
    }
    snprintf(listener, sizeof listener, rule->rule->bind.kind == HOST_IPV6 ? "[%s]:%u" : "%s:%u",
             in->text[BIND], rule->listener_port);
    expect_word(&line, "--listener=", listener);
    if (rule->rule->allow.count)
        expect_word(&line, "--allow=", in->text[ALLOW]);
    if (rule->rule->deny.count)
        expect_word(&line, "--deny=", in->text[DENY]);
    if (rule->rule->options.text[OPTION_SRC])
        expect_word(&line, "--src=", in->text[SRC]);
    if (settings->log)
        expect_word(&line, "--log=", in->text[LOG_FILE]);
    expect_word(&line, "", in->text[TARGET]);
    if (rule->rule->target.kind != HOST_UNIX)
        expect_word(&line, "", "8080");
    expect(*line == '\0');
}

// Each line stands in the template, with values in it that the rule gave; nothing else does.
static void expect_xinetd(char *text, const struct input *in, const struct emit_rule *rule,
                          const struct emit_settings *settings)
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
        if (strncmp(line, arguments, sizeof arguments - 1) == 0) {
            found++;
            expect_arguments(line + sizeof arguments - 1, in, rule, settings);
        }
        if (*line == '\t')
            expect(strchr(line, '=') == line + 17);
    }
    expect(services == 1 && open == 1 && close == 1 && found == 1);
}

static void expect_inetd(char *text, const struct input *in, const struct emit_rule *rule,
                         const struct emit_settings *settings)
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
        expect_arguments(line, in, rule, settings);
    }
    expect(entries == 1);
}

static void expect_comments(const char *text)
{
    for (; *text; text += strcspn(text, "\n") + 1)
        expect(*text == '#');
}

static void try_format(const struct input *in, enum emit_format format, const struct conf *conf,
                       const struct emit_rule *rule)
{
    struct emit_settings settings = {.format = format,
                                     .config = in->text[CONFIG],
                                     .user = in->text[USER],
                                     .relay = "/usr/libexec/rinetd-relay",
                                     .wrap = "/usr/libexec/rinetd-wrap",
                                     .log = in->text[LOG_FILE][0] ? in->text[LOG_FILE] : NULL};
    struct text text = {.size = 0};
    struct emit_error error;

    if (emit_head(&settings, &text, &error) == 0)
        expect_comments(text.bytes);
    text.size = 0;
    if (emit_entry(&settings, conf, rule, &text, &error) == 0) {
        if (format == EMIT_XINETD)
            expect_xinetd(text.bytes, in, rule, &settings);
        else
            expect_inetd(text.bytes, in, rule, &settings);
    } else {
        expect(text.size == 0 && error.what[0] != '\0');
    }
    free(text.bytes);
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
        emit_name(&rule);
        for (const char *p = rule.name; *p; p++)
            expect(strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *p) != NULL);
        try_format(&in, EMIT_XINETD, &conf, &rule);
        try_format(&in, EMIT_INETD, &conf, &rule);
    }
    for (int i = 0; i < FIELDS; i++)
        free(in.text[i]);
    return 0;
}
