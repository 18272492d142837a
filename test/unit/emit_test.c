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

// Both units of systemd, one after the other.
static int emit_units(const struct emit_settings *settings, struct entry *entry)
{
    if (emit_socket(settings, &entry->rule, &entry->text, &entry->error) < 0)
        return -1;
    if (emit_service(settings, entry->conf, &entry->rule, &entry->text, &entry->error) == 0)
        return 0;
    text_cut(&entry->text, 0);
    return -1;
}

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
    entry.rule.udp = entry.rule.rule->bind_port.udp;
    entry.rule.v6only = v6only;
    entry.rule.wrap_name = entry.rule.rule->options.text[OPTION_WRAP];
    host_address(entry.rule.rule->bind.text, 0, &entry.rule.listener);
    emit_name(&entry.rule);
    if (settings->format == EMIT_SYSTEMD)
        entry.result = emit_units(settings, &entry);
    else
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
    bool v6only, wait;
} lines[] = {
    {"0.0.0.0 80 10.0.0.1 8080\n", "service rinetd-tcp-0.0.0.0-80\n", "v6only", EMIT_XINETD, false,
     false},
    {"0.0.0.0 80 10.0.0.1 8080\n", "\tflags           = IPv4 NOLIBWRAP\n", NULL, EMIT_XINETD, false,
     false},
    {"0.0.0.0 80 10.0.0.1 8080\n", "\tserver_args     = --listener=0.0.0.0:80 10.0.0.1 8080\n",
     NULL, EMIT_XINETD, false, false},
    {":: 80 10.0.0.1 8080\n", "\tid              = rinetd-tcp-__-80\n", "v6only", EMIT_XINETD,
     false, false},
    {":: 80 10.0.0.1 8080\n", "\tv6only          = yes\n", NULL, EMIT_XINETD, true, false},
    {"2001:db8::1 80 h 1\n", "service rinetd-tcp-2001_db8__1-80\n", NULL, EMIT_XINETD, false,
     false},
    {"2001:db8::1 80 h 1\n", " --listener=[2001:db8::1]:80 h 1\n", NULL, EMIT_XINETD, false, false},
    {"allow 1.*\ndeny 1.2.*\n0.0.0.0 80 h 1\nallow 1.3.*\nallow 1.4.*\ndeny 1.3.1.*\n",
     " --global-allow=1.* --global-deny=1.2.* --allow=1.3.*,1.4.* --deny=1.3.1.* h 1\n", NULL,
     EMIT_XINETD, false, false},
    {"0.0.0.0 80 h 1 [src=10.0.0.9,keepalive=off,connect-timeout=3,timeout=4]\n",
     " --src=10.0.0.9 --connect-timeout=3 --timeout=4 --keepalive=off h 1\n", NULL, EMIT_XINETD,
     false, false},
    {"0.0.0.0 80 h 1 [max=7,per-source=2]\n", "\tinstances       = 7\n", "--max", EMIT_XINETD,
     false, false},
    {"0.0.0.0 80 h 1 [max=7,per-source=2]\n", "\tper_source      = 2\n", "--per-source",
     EMIT_XINETD, false, false},
    {"0.0.0.0 80 h 1 [wrap=imap]\n",
     "\tserver_args     = imap /usr/libexec/rinetd-relay --listener=0.0.0.0:80 h 1\n", "--wrap",
     EMIT_XINETD, false, false},
    {"0.0.0.0 80 h 1 [wrap=imap]\n", "\tserver          = /usr/libexec/rinetd-wrap\n", NULL,
     EMIT_XINETD, false, false},
    {"0.0.0.0 80 unix:/run/x\n", " --listener=0.0.0.0:80 unix:/run/x\n", NULL, EMIT_XINETD, false,
     false},
    {"0.0.0.0 80 unix:@x\n", "\n# 0.0.0.0 80 unix:@x\n", NULL, EMIT_XINETD, false, false},
    {"0.0.0.0 80 h 1\n", "0.0.0.0:80 stream tcp4 nowait.1000000 rinetd ", NULL, EMIT_INETD, false,
     false},
    {"::1 80 h 1\n", "\n[::1]:80 stream tcp6 nowait.", NULL, EMIT_INETD, false, false},
    {":: 80 h 1\n", "\n[::]:80 stream tcp46 nowait.", NULL, EMIT_INETD, false, false},
    {":: 80 h 1\n", "\n[::]:80 stream tcp6 nowait.", NULL, EMIT_INETD, true, false},
    {"0 80 h 1 [max=7]\n", "\n0.0.0.0:80 stream tcp4 wait rinetd ", "nowait", EMIT_INETD, false,
     true},
    {"0 80 h 1 [max=7,linger=9]\n", " --max=7 --linger=9 h 1\n", NULL, EMIT_INETD, false, true},
    {"0 80 h 1 [linger=9]\n", "wait            = no\n", "linger", EMIT_XINETD, false, false},
    {"0 80 h 1\n", "wait            = yes\n", "only_from", EMIT_XINETD, false, true},
    {"0 80 h 1 [max=7,per-source=2]\n", " --max=7 --per-source=2 h 1\n", "instances", EMIT_XINETD,
     false, true},
    {"0 80 h 1 [wrap=imap]\n", " = /usr/libexec/rinetd-relay\n", "rinetd-wrap", EMIT_XINETD, false,
     true},
    {"0 80 h 1 [wrap=imap]\n", "= --wrap=imap --listener", NULL, EMIT_XINETD, false, true},
    {"0.0.0.0 80 h 1\n", "\nListenStream=0.0.0.0:80\n", "FreeBind", EMIT_SYSTEMD, false, true},
    {"192.0.2.1 80 h 1\n", "\nFreeBind=yes\n", "BindIPv6Only", EMIT_SYSTEMD, false, true},
    {"127.1.2.3 80 h 1\n", "\nAccept=no\n", "FreeBind", EMIT_SYSTEMD, false, true},
    {"::1 80 h 1\n", "\nListenStream=[::1]:80\n", "FreeBind", EMIT_SYSTEMD, false, true},
    {"2001:db8::1 80 h 1\n", "\nFreeBind=yes\n", "BindIPv6Only", EMIT_SYSTEMD, false, true},
    {":: 80 h 1\n", "\nBindIPv6Only=both\n", "FreeBind", EMIT_SYSTEMD, false, true},
    {":: 80 h 1\n", "\nBindIPv6Only=ipv6-only\n", NULL, EMIT_SYSTEMD, true, true},
    {"0 80 h 1\n", "\nAccept=yes\n", "Restart", EMIT_SYSTEMD, false, false},
    {"0 80 h 1\n", "\nMaxConnections=1000000\n", "PerSource", EMIT_SYSTEMD, false, false},
    {"0 80 h 1 [max=7,per-source=2]\n", "\nMaxConnections=7\nMaxConnectionsPerSource=2\n", "--max",
     EMIT_SYSTEMD, false, false},
    {"0 80 h 1 [max=7,per-source=2]\n", "\nTasksMax=156\n", "MaxConn", EMIT_SYSTEMD, false, true},
    {"0 80 h 1\n", "\nTasksMax=4128\n", "--max", EMIT_SYSTEMD, false, true},
    {"0 80 h 1 [wrap=imap]\n", "\nExecStart=\"/usr/libexec/rinetd-relay\" \"--wrap=imap\" ",
     "rinetd-wrap", EMIT_SYSTEMD, false, true},
    {"0 80 h 1 [wrap=imap]\n",
     "\nExecStart=\"/usr/libexec/rinetd-wrap\" \"imap\" \"/usr/libexec/rinetd-relay\" ", "--wrap",
     EMIT_SYSTEMD, false, false},
    {"0 80 unix:/tmp\n", "\nProtectHome=yes\n", "PrivateTmp", EMIT_SYSTEMD, false, true},
    {"0 80 unix:/var/run/user/1/x\n", "\nProtectHome=read-only\n", NULL, EMIT_SYSTEMD, false, true},
    {"0 80 unix:/dev/log\n", "\nPrivateTmp=yes\n", "PrivateDevices", EMIT_SYSTEMD, false, true},
    {"0 80 unix://tmp/x\n", "\nProtectHome=yes\n", "PrivateTmp", EMIT_SYSTEMD, false, true},
    {"0 80 unix:/./var//tmp/x\n", "\nProtectHome=yes\n", "PrivateTmp", EMIT_SYSTEMD, false, true},
    {"0 80 unix:/var/tmporary/x\n", "\nPrivateTmp=yes\n", NULL, EMIT_SYSTEMD, false, true},
    {"0 80 unix:/var/.tmp/x\n", "\nPrivateTmp=yes\n", NULL, EMIT_SYSTEMD, false, true},
    {"0 80 unix:/device\n", "\nPrivateDevices=yes\n", NULL, EMIT_SYSTEMD, false, true},
    {"0.0.0.0 53/udp h 1/udp\n", "service rinetd-udp-0.0.0.0-53\n", "tcp", EMIT_XINETD, false,
     false},
    {"0 53/udp h 1/udp\n", "\tsocket_type     = dgram\n\tprotocol        = udp\n", "stream",
     EMIT_XINETD, false, false},
    {"0 53/udp h 1/udp\n", "\twait            = yes\n", "instances", EMIT_XINETD, false, false},
    {"0 53/udp h 1/udp\n", "\twait            = yes\n", "instances", EMIT_XINETD, false, true},
    {"0 53/udp h 1/udp\n", "\tonly_from       = 0.0.0.0/0 ::/0\n", "v6only", EMIT_XINETD, false,
     false},
    {"0 53/udp h 1/udp\n", " --listener=0:53 --keep-queue h 1\n", NULL, EMIT_XINETD, false, false},
    {"0 53/udp h 1/udp\n", "\n# 0 53/udp h 1/udp\n", NULL, EMIT_XINETD, false, false},
    {"0 53/udp h 1\n", " --listener=0:53 --keep-queue h 1/tcp\n", NULL, EMIT_XINETD, false, false},
    {"0 53/udp h 1/tcp\n", " --listener=0:53 --keep-queue h 1/tcp\n", NULL, EMIT_XINETD, false,
     false},
    {"0 53 h 1/udp\n", " --listener=0:53 h 1/udp\n", "service rinetd-udp", EMIT_XINETD, false,
     false},
    {"0 53/tcp h 1/tcp\n", " --listener=0:53 h 1\n", "/tcp", EMIT_XINETD, false, false},
    {"0 53/udp h 1/udp [max=7,per-source=2,linger=3,timeout=4,src=a,connect-timeout=5]\n",
     "--src=a --connect-timeout=5 --timeout=4 --max=7 --per-source=2 --linger=3 --keep-queue h 1\n",
     "instances", EMIT_XINETD, false, false},
    {":: 53/udp h 1/udp\n", "\tv6only          = yes\n", NULL, EMIT_XINETD, true, false},
    {"0.0.0.0 53/udp h 1/udp [max=7]\n", "\n0.0.0.0:53 dgram udp4 wait rinetd ", "nowait",
     EMIT_INETD, false, false},
    {":: 53/udp h 1/udp\n", "\n[::]:53 dgram udp6 wait ", NULL, EMIT_INETD, false, false},
    {"::1 53/udp h 1/udp\n", "\n[::1]:53 dgram udp6 wait ", "keep-queue", EMIT_INETD, false, false},
    {"0.0.0.0 53/udp h 1/udp\n", "\nListenDatagram=0.0.0.0:53\n", "Backlog", EMIT_SYSTEMD, false,
     false},
    {"0 53/udp h 1/udp [max=7,per-source=2]\n", "\nAccept=no\n", "MaxConnections", EMIT_SYSTEMD,
     false, false},
    {"0 53/udp h 1/udp\n", "\nLimitNOFILE=5256\n", "KillMode", EMIT_SYSTEMD, false, true},
    {"0 53/udp h 1/udp [max=1000000]\n", "\nTasksMax=128\nLimitNOFILE=1000256\n", "outlive",
     EMIT_SYSTEMD, false, true},
    {"0 53 h 1/udp\n", "\nTasksMax=4128\n", "LimitNOFILE", EMIT_SYSTEMD, false, true},
    {"0 53/udp h 1/udp\n", "\nRestart=on-failure\nRestartSec=1s\n", "keep-queue", EMIT_SYSTEMD,
     false, false},
    {"192.0.2.1 53/udp h 1/udp\n", "\nFreeBind=yes\n", NULL, EMIT_SYSTEMD, false, false},
    {":: 53/udp h 1/udp\n", "\nBindIPv6Only=ipv6-only\n", NULL, EMIT_SYSTEMD, true, false},
};

static void test_lines(void)
{
    static const char *const names[] = {"xinetd", "inetd", "systemd"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct emit_settings settings = standard;
        struct entry entry;

        settings.format = lines[i].format;
        settings.wait = lines[i].wait;
        entry = emit_one(&settings, lines[i].conf, lines[i].v6only);
        test_ok(entry.result == 0 && strstr(entry.text.bytes, lines[i].line) &&
                    (!lines[i].absent || !strstr(entry.text.bytes, lines[i].absent)),
                "%s: %zu: %s", names[lines[i].format], i, lines[i].line);
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

// What inetd has no word for: datagrams of IPv6 alone.
static void check_dual_refusal(const struct emit_settings *settings)
{
    struct entry entry = emit_one(settings, ":: 53/udp h 1/udp\n", true);

    test_ok(entry.result == -1 && entry.error.kind == EMIT_BAD_RULE && entry.text.size == 0,
            "refused: datagrams of IPv6 alone for inetd");
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
    check_refusal(&settings, conf, EMIT_TOO_LONG, -1, "a long list for xinetd");
    settings.format = EMIT_INETD;
    length = (size_t)sprintf(conf, "0 80 h 1\n");
    for (int i = 0; i < 120; i++)
        length += (size_t)sprintf(conf + length, "allow 10.%d.*\n", i);
    check_refusal(&settings, conf, EMIT_TOO_LONG, -1, "a long list for inetd");
    check_refusal(&settings, "0 80 h 1 [max=3]\n", EMIT_BAD_RULE, OPTION_MAX, "max for inetd");
    check_refusal(&settings, "0 80 h 1 [per-source=3]\n", EMIT_BAD_RULE, OPTION_PER_SOURCE,
                  "per-source for inetd");
    check_dual_refusal(&settings);
}

static void test_unit_refusals(void)
{
    static const char *const programs[] = {"/a\"b", "/a'b",  "/a\\b", "/a/../b",
                                           "/a\nb", "/\xff", "a"};
    static const char *const logs[] = {"/var/../x", "/a\nb", "/a/\xff"};
    struct emit_settings settings = standard;

    settings.format = EMIT_SYSTEMD;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        settings.relay = programs[i];
        check_refusal(&settings, "0 80 h 1\n", EMIT_BAD_RULE, -1, "a program of systemd");
    }
    settings.relay = standard.relay;
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        settings.log = logs[i];
        check_refusal(&settings, "0 80 h 1\n", EMIT_BAD_LOG, -1, "a log of systemd");
    }
    settings.log = NULL;
    check_refusal(&settings, "0 80 unix:/\xff\n", EMIT_BAD_RULE, -1, "a target that is not UTF-8");
}

// The bytes that the line of ENTRY beginning with START has.
static size_t line_length(const struct entry *entry, const char *start)
{
    const char *line = entry->result == 0 ? strstr(entry->text.bytes, start) : NULL;

    return line ? strcspn(line, "\n") : 0;
}

// Emits a rule with COUNT patterns of 40 bytes, and one of LAST.
static struct entry emit_patterns(const struct emit_settings *settings, size_t count, size_t last)
{
    struct text conf = {.size = 0};
    struct entry entry;

    text_append_string(&conf, "0 80 h 1\n");
    for (size_t i = 0; i <= count; i++) {
        text_append_string(&conf, "allow ");
        for (size_t j = 0; j < (i < count ? 40 : last); j++)
            text_append_string(&conf, "*");
        text_append_string(&conf, "\n");
    }
    entry = emit_one(settings, conf.bytes, false);
    free(conf.bytes);
    return entry;
}

static void test_longest_line(void)
{
    static const char start[] = "ExecStart=";
    struct emit_settings settings = standard;
    size_t count = 25000, found, last;
    struct entry entry;

    settings.format = EMIT_SYSTEMD;
    entry = emit_patterns(&settings, count, 1);
    found = line_length(&entry, start);
    entry_free(&entry);
    // Each further pattern takes a comma and 40 bytes, and some an argument of their own.
    count += (1048575 - found) / 41 - 2;
    entry = emit_patterns(&settings, count, 1);
    found = line_length(&entry, start);
    last = 1 + 1048575 - found;
    entry_free(&entry);
    entry = emit_patterns(&settings, count, last);
    test_ok(line_length(&entry, start) == 1048575, "the longest line that systemd reads");
    entry_free(&entry);
    entry = emit_patterns(&settings, count, last + 1);
    test_ok(entry.result == -1 && strstr(entry.error.what, "1048576 bytes") != NULL &&
                strstr(entry.error.what, "systemd reads at most 1048575") != NULL,
            "one byte more is refused: %s", entry.error.what);
    entry_free(&entry);
}

static void test_names(void)
{
    struct emit_settings settings = standard;
    struct emit_rule rule = {.listener_port = 80};
    char name[EMIT_FILE_MAX];

    host_address("fe80::1", 0, &rule.listener);
    rule.listener.in6.sin6_scope_id = 1;
    emit_name(&rule);
    test_ok(strspn(rule.name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(rule.name),
            "a zone in a name: %s", rule.name);
    host_address("::1", 0, &rule.listener);
    emit_name(&rule);
    emit_socket_name(&rule, name);
    test_ok(strcmp(name, "rinetd-tcp-__1-80.socket") == 0, "the name of a socket");
    emit_service_name(&settings, &rule, name);
    test_ok(strcmp(name, "rinetd-tcp-__1-80@.service") == 0, "the name of a template");
    settings.wait = true;
    emit_service_name(&settings, &rule, name);
    test_ok(strcmp(name, "rinetd-tcp-__1-80.service") == 0, "the name of a service");
    rule.udp = true;
    settings.wait = false;
    emit_name(&rule);
    emit_socket_name(&rule, name);
    test_ok(strcmp(name, "rinetd-udp-__1-80.socket") == 0, "the name of a socket for datagrams");
    emit_service_name(&settings, &rule, name);
    test_ok(strcmp(name, "rinetd-udp-__1-80.service") == 0, "and of its service, in any mode");
}

static void test_unit_names(void)
{
    static const char *const addresses[] = {"0.0.0.0",     "192.0.2.255", "::",      "::1",
                                            "2001:db8::1", "fe80::1",     "fe80::1", "ff02::1"};
    static const char *const others[] = {"rinetd-tcp-mycopy.service",
                                         "rinetd-tcp-127.0.0.1.socket",
                                         "rinetd-tcp-127.0.0.1-80-copy.service",
                                         "rinetd-tcp-127.0.0.1-copy-80.service",
                                         "rinetd-tcp-127.0.0.1-080.service",
                                         "rinetd-tcp-127.0.0.1-65536.service",
                                         "rinetd-tcp-127.0.0.1-99999999999999999999.service",
                                         "rinetd-tcp-127.0.0.1-80@.socket",
                                         "rinetd-tcp-127.0.0.1-80@1.service",
                                         "rinetd-tcp-127.0.0.1-.socket",
                                         "rinetd-tcp-127.1-80.socket",
                                         "rinetd-tcp--80.socket",
                                         "rinetd-tcp-_-80.socket",
                                         "rinetd-tcp-cafe-80.socket",
                                         "rinetd-tcp-__1_lo-80.socket",
                                         "rinetd-sctp-127.0.0.1-80.socket",
                                         "rinetd-udp-127.0.0.1.socket",
                                         "rinetd-udp-127.0.0.1-80@1.service",
                                         "rinetd-tcp-127.0.0.1-80.timer",
                                         "rinetd-tcp-127.0.0.1-80",
                                         "rinetd.service",
                                         ""};
    struct emit_settings settings = standard;
    struct emit_rule rule = {.listener_port = 65535};
    char name[EMIT_FILE_MAX];

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        host_address(addresses[i], 0, &rule.listener);
        if (strncmp(addresses[i], "fe80", 4) == 0)
            rule.listener.in6.sin6_scope_id = i % 2;
        emit_name(&rule);
        emit_socket_name(&rule, name);
        test_ok(emit_is_unit_name(name), "a name of ours: %s", name);
        settings.wait = i % 2;
        emit_service_name(&settings, &rule, name);
        test_ok(emit_is_unit_name(name), "a name of ours: %s", name);
        rule.udp = !rule.udp;
    }
    test_ok(emit_is_unit_name("rinetd-tcp-fe80__1_br_eth0.7-80.socket"), "a zone of several parts");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        test_ok(!emit_is_unit_name(others[i]), "not a name of ours: %s", others[i]);
}

// One pattern for each argument that the kernel takes, and one that it does not.
static void test_arguments(void)
{
    struct emit_settings settings = standard;
    struct entry entry;

    settings.format = EMIT_SYSTEMD;
    entry = emit_patterns(&settings, 0, 131071 - strlen("--allow="));
    test_ok(entry.result == 0, "the longest argument that the kernel takes");
    entry_free(&entry);
    entry = emit_patterns(&settings, 0, 131072 - strlen("--allow="));
    test_ok(entry.result == -1 && strstr(entry.error.what, "131072") != NULL,
            "one byte more is refused: %s", entry.error.what);
    entry_free(&entry);
    entry = emit_patterns(&settings, 3300, 1);
    test_ok(entry.result == 0 && strstr(entry.text.bytes, "*\" \"--allow=*") != NULL,
            "a long list is two arguments");
    entry_free(&entry);
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

static const struct {
    const char *name;
    enum emit_format format;
    bool is_list;
} list_names[] = {
    {"rinetd.0123456789abcdef.xinetd.acl", EMIT_XINETD, true},
    {"rinetd.fedcba9876543210.inetd.acl", EMIT_INETD, true},
    {"rinetd.0123456789abcdef.systemd.acl", EMIT_SYSTEMD, true},
    {"rinetd.0123456789abcdef.systemd.acl", EMIT_XINETD, false},
    {"rinetd.0123456789abcdef.inetd.acl", EMIT_XINETD, false},
    {"rinetd.0123456789ABCDEF.xinetd.acl", EMIT_XINETD, false},
    {"rinetd.0123456789abcde.xinetd.acl", EMIT_XINETD, false},
    {"rinetd.0123456789abcdef0.xinetd.acl", EMIT_XINETD, false},
    {"rinetd.0123456789abcdef.xinetd.acl.old", EMIT_XINETD, false},
    {"rinetd.0123456789abcdef.acl", EMIT_XINETD, false},
    {"rinetd.acl", EMIT_XINETD, false},
    {"rinetd", EMIT_XINETD, false},
};

static void check_list_names(void)
{
    struct emit_settings settings = standard;
    char name[EMIT_FILE_MAX];

    for (size_t i = 0; i < sizeof list_names / sizeof *list_names; i++)
        test_ok(emit_is_list_name(list_names[i].format, list_names[i].name) ==
                    list_names[i].is_list,
                "\"%s\" can %sbe a list's name", list_names[i].name,
                list_names[i].is_list ? "" : "not ");
    settings.format = EMIT_SYSTEMD;
    emit_list_name(&settings, 0xabc, name);
    test_ok(strcmp(name, "rinetd.0000000000000abc.systemd.acl") == 0, "a list's name: %s", name);
}

// A list in a file takes the place of its patterns, and only of these.
static void check_compiled(void)
{
    struct emit_settings settings = standard;
    struct entry entry =
        emit_one(&standard, "deny 9.*\n0.0.0.0 80 h 1\nallow 1.*\ndeny 1.2.*\n", false);

    entry.rule.compiled[ACL_GLOBAL_DENY] = "/etc/a.acl";
    entry.rule.compiled[ACL_ALLOW] = "/etc/b.acl";
    text_cut(&entry.text, 0);
    test_ok(emit_entry(&standard, entry.conf, &entry.rule, &entry.text, &entry.error) == 0 &&
                strstr(entry.text.bytes,
                       " --global-deny=@/etc/a.acl --allow=@/etc/b.acl --deny=1.2.* h 1\n"),
            "compiled lists are named by their files");
    entry_free(&entry);
    settings.format = EMIT_SYSTEMD;
    entry = emit_one(&settings, "0.0.0.0 80 h 1\ndeny 1.2.*\n", false);
    text_cut(&entry.text, 0);
    entry.rule.compiled[ACL_DENY] = "/home/a.acl";
    test_ok(emit_units(&settings, &entry) == 0 &&
                strstr(entry.text.bytes, "\nProtectHome=read-only\n"),
            "a sandbox can read them");
    entry_free(&entry);
}

int main(void)
{
    test_lines();
    test_refusals();
    test_unit_refusals();
    test_longest_line();
    test_arguments();
    test_names();
    test_unit_names();
    test_templates();
    test_head();
    check_list_names();
    check_compiled();
    return test_end();
}
