// SPDX-License-Identifier: ISC
#include "emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static const struct emit_settings standard = {.format = EMIT_XINETD,
                                              .config = "/etc/rinetd.conf",
                                              .user = "rinetd",
                                              .relay = "/usr/libexec/rinetd-relay",
                                              .wrap = "/usr/libexec/rinetd-wrap"};

struct entry {
    struct conf *conf;
    struct emit_rule rule;
    struct text text;
    struct emit_error error;
    int result;
};

// Parses a configuration of one rule and emits it.
static struct entry emit_one(const struct emit_settings *settings, const char *text, bool v6only)
{
    struct conf_source source = {
        .name = "test", .identity = "1", .bytes = text, .size = strlen(text)};
    struct entry entry = {.conf = conf_parse(&source, NULL), .result = -2};

    if (!entry.conf || entry.conf->error_count > 0 || entry.conf->rule_count != 1)
        return entry;
    entry.rule.rule = &entry.conf->rules[0];
    entry.rule.listener_port = entry.rule.rule->bind_port.number;
    entry.rule.target_port = entry.rule.rule->target_port.number;
    entry.rule.v6only = v6only;
    entry.rule.wrap_name = entry.rule.rule->options.text[OPTION_WRAP];
    host_address(entry.rule.rule->bind.text, 0, &entry.rule.listener);
    emit_name(&entry.rule);
    entry.result = emit_entry(settings, entry.conf, &entry.rule, &entry.text, &entry.error);
    return entry;
}

static void entry_free(struct entry *entry)
{
    conf_free(entry->conf);
    free(entry->text.bytes);
}

// A configuration and a line that its entry has; NULL for a part that it must not have.
static const struct {
    const char *conf, *line, *absent;
    enum emit_format format;
    bool v6only;
} lines[] = {
    {"0.0.0.0 80 10.0.0.1 8080\n", "service rinetd-tcp-0.0.0.0-80\n", "v6only", EMIT_XINETD, false},
    {"0.0.0.0 80 10.0.0.1 8080\n", "\tflags           = IPv4 NOLIBWRAP\n", NULL, EMIT_XINETD,
     false},
    {"0.0.0.0 80 10.0.0.1 8080\n", "\tserver_args     = --listener=0.0.0.0:80 10.0.0.1 8080\n",
     NULL, EMIT_XINETD, false},
    {":: 80 10.0.0.1 8080\n", "\tid              = rinetd-tcp-__-80\n", "v6only", EMIT_XINETD,
     false},
    {":: 80 10.0.0.1 8080\n", "\tv6only          = yes\n", NULL, EMIT_XINETD, true},
    {"2001:db8::1 80 h 1\n", "service rinetd-tcp-2001_db8__1-80\n", NULL, EMIT_XINETD, false},
    {"2001:db8::1 80 h 1\n", " --listener=[2001:db8::1]:80 h 1\n", NULL, EMIT_XINETD, false},
    {"allow 1.*\ndeny 1.2.*\n0.0.0.0 80 h 1\nallow 1.3.*\nallow 1.4.*\ndeny 1.3.1.*\n",
     " --global-allow=1.* --global-deny=1.2.* --allow=1.3.*,1.4.* --deny=1.3.1.* h 1\n", NULL,
     EMIT_XINETD, false},
    {"0.0.0.0 80 h 1 [src=10.0.0.9,keepalive=off,connect-timeout=3,timeout=4]\n",
     " --src=10.0.0.9 --connect-timeout=3 --timeout=4 --keepalive=off h 1\n", NULL, EMIT_XINETD,
     false},
    {"0.0.0.0 80 h 1 [max=7,per-source=2]\n", "\tinstances       = 7\n", "--max", EMIT_XINETD,
     false},
    {"0.0.0.0 80 h 1 [max=7,per-source=2]\n", "\tper_source      = 2\n", "--per-source",
     EMIT_XINETD, false},
    {"0.0.0.0 80 h 1 [wrap=imap]\n",
     "\tserver_args     = imap /usr/libexec/rinetd-relay --listener=0.0.0.0:80 h 1\n", "--wrap",
     EMIT_XINETD, false},
    {"0.0.0.0 80 h 1 [wrap=imap]\n", "\tserver          = /usr/libexec/rinetd-wrap\n", NULL,
     EMIT_XINETD, false},
    {"0.0.0.0 80 unix:/run/x\n", " --listener=0.0.0.0:80 unix:/run/x\n", NULL, EMIT_XINETD, false},
    {"0.0.0.0 80 unix:@x\n", "\n# 0.0.0.0 80 unix:@x\n", NULL, EMIT_XINETD, false},
    {"0.0.0.0 80 h 1\n", "0.0.0.0:80 stream tcp4 nowait.1000000 rinetd ", NULL, EMIT_INETD, false},
    {"::1 80 h 1\n", "\n[::1]:80 stream tcp6 nowait.", NULL, EMIT_INETD, false},
    {":: 80 h 1\n", "\n[::]:80 stream tcp46 nowait.", NULL, EMIT_INETD, false},
    {":: 80 h 1\n", "\n[::]:80 stream tcp6 nowait.", NULL, EMIT_INETD, true},
};

static void test_lines(void)
{
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct emit_settings settings = standard;
        struct entry entry;

        settings.format = lines[i].format;
        entry = emit_one(&settings, lines[i].conf, lines[i].v6only);
        test_ok(entry.result == 0 && strstr(entry.text.bytes, lines[i].line) &&
                    (!lines[i].absent || !strstr(entry.text.bytes, lines[i].absent)),
                "line %zu of %s", i, lines[i].format == EMIT_XINETD ? "xinetd" : "inetd");
        entry_free(&entry);
    }
}

static void check_refusal(const struct emit_settings *settings, const char *conf,
                          enum emit_error_kind kind, int option, const char *name)
{
    struct entry entry = emit_one(settings, conf, false);

    test_ok(entry.result == -1 && entry.error.kind == kind && entry.error.option == option &&
                entry.text.size == 0,
            "refused: %s (%s)", name, entry.result == -1 ? entry.error.what : "it was not");
    entry_free(&entry);
}

static void test_refusals(void)
{
    struct emit_settings settings = standard;
    char conf[40000];
    size_t length;

    settings.log = "/var/log/my log";
    check_refusal(&settings, "0 80 h 1\n", EMIT_BAD_LOG, -1, "a blank in a file name");
    settings.log = "/var/log/x\n}";
    check_refusal(&settings, "0 80 h 1\n", EMIT_BAD_LOG, -1, "a line feed in a file name");
    settings.log = NULL;
    settings.user = "a b";
    check_refusal(&settings, "0 80 h 1\n", EMIT_BAD_RULE, -1, "a blank in the user");
    settings.user = "rinetd";
    length = (size_t)sprintf(conf, "0 80 h 1\n");
    for (int i = 0; i < 1200; i++)
        length += (size_t)sprintf(conf + length, "allow 10.%d.*\n", i);
    check_refusal(&settings, conf, EMIT_BAD_RULE, -1, "a long list for xinetd");
    settings.format = EMIT_INETD;
    length = (size_t)sprintf(conf, "0 80 h 1\n");
    for (int i = 0; i < 120; i++)
        length += (size_t)sprintf(conf + length, "allow 10.%d.*\n", i);
    check_refusal(&settings, conf, EMIT_BAD_RULE, -1, "a long list for inetd");
    check_refusal(&settings, "0 80 h 1 [max=3]\n", EMIT_BAD_RULE, OPTION_MAX, "max for inetd");
    check_refusal(&settings, "0 80 h 1 [per-source=3]\n", EMIT_BAD_RULE, OPTION_PER_SOURCE,
                  "per-source for inetd");
}

static void test_templates(void)
{
    static const struct emit_template own[] = {
        {"xinetd-service", "a @name@\nb @v6only@ c\nuser@example\nd @port@@port@ e"}, {NULL, NULL}};
    static const struct emit_template wrong[] = {{"xinetd-service", "a\nb @nmae@\n"}, {NULL, NULL}};
    struct emit_settings settings = standard;
    struct entry entry;

    settings.templates = own;
    entry = emit_one(&settings, "0.0.0.0 80 h 1\n", false);
    test_ok(entry.result == 0 &&
                strcmp(entry.text.bytes, "a rinetd-tcp-0.0.0.0-80\nuser@example\nd 8080 e") == 0,
            "a template of one's own; a line with an empty value is left out");
    entry_free(&entry);
    settings.templates = wrong;
    entry = emit_one(&settings, "0.0.0.0 80 h 1\n", false);
    test_ok(entry.result == -1 && entry.error.kind == EMIT_BAD_TEMPLATE &&
                strcmp(entry.error.what, "xinetd-service:2: unknown key \"@nmae@\"") == 0,
            "an unknown key is an error with its line");
    entry_free(&entry);
}

static void test_head(void)
{
    struct emit_settings settings = standard;
    struct text text = {.size = 0};
    struct emit_error error;

    settings.config = "/etc/a\nservice evil\n{\n}\n.conf";
    emit_head(&settings, &text, &error);
    test_ok(text.bytes && strstr(text.bytes, "from /etc/a?service evil?{?}?.conf.") != NULL,
            "a file name cannot end the comment");
    free(text.bytes);
}

int main(void)
{
    test_lines();
    test_refusals();
    test_templates();
    test_head();
    return test_end();
}
