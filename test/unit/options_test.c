// SPDX-License-Identifier: ISC
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static const struct {
    enum option_id id;
    const char *value;
    bool good;
    long number;
} values[] = {
    {OPTION_TIMEOUT, "0", true, 0},
    {OPTION_TIMEOUT, "0072", true, 72},
    {OPTION_TIMEOUT, "2000000", true, 2000000},
    {OPTION_TIMEOUT, "2000001", false, 0},
    {OPTION_TIMEOUT, "0000000000000000000009", true, 9},
    {OPTION_TIMEOUT, "99999999999999999999999", false, 0},
    {OPTION_TIMEOUT, "10s", false, 0},
    {OPTION_TIMEOUT, "-1", false, 0},
    {OPTION_TIMEOUT, "", false, 0},
    {OPTION_TIMEOUT, " 1", false, 0},
    {OPTION_MAX, "0", false, -1},
    {OPTION_MAX, "1", true, 1},
    {OPTION_KEEPALIVE, "on", true, 1},
    {OPTION_KEEPALIVE, "off", true, 0},
    {OPTION_KEEPALIVE, "yes", false, 1},
    {OPTION_SRC, "10.0.0.9", true, 0},
    {OPTION_SRC, "::1", true, 0},
    {OPTION_SRC, "gateway", true, 0},
    {OPTION_SRC, "unix:/x", false, 0},
    {OPTION_SRC, "", false, 0},
    {OPTION_WRAP, "rinetd-relay", true, 0},
    {OPTION_WRAP, "-x", false, 0},
    {OPTION_WRAP, "a b", false, 0},
    {OPTION_WRAP, "a@b", false, 0},
    {OPTION_ALLOW, "10.*,::1", true, 0},
    {OPTION_ALLOW, "10.*,", false, 0},
    {OPTION_LISTENER, "0.0.0.0:80", true, 0},
    {OPTION_LISTENER, "[::]:80", true, 0},
    {OPTION_LISTENER, "localhost:80", true, 0},
    {OPTION_LISTENER, ":::80", false, 0},
    {OPTION_LISTENER, "[::]", false, 0},
    {OPTION_LISTENER, "0.0.0.0:0", false, 0},
    {OPTION_LISTENER, "0.0.0.0:65536", false, 0},
    {OPTION_LISTENER, "0.0.0.0:", false, 0},
    {OPTION_LISTENER, ":80", false, 0},
    {OPTION_LISTENER, "unix:/x:80", false, 0},
    {OPTION_LOG, "/var/log/rinetd.log", true, 0},
    {OPTION_LOG, "/var/log/my log", true, 0},
    {OPTION_LOG, "syslog", true, 0},
    {OPTION_LOG, "rinetd.log", false, 0},
    {OPTION_LOG, "/a\nb", false, 0},
    {OPTION_LOG, "/", false, 0},
    {OPTION_LOG_COMMON, "", true, 0},
    {OPTION_LOG_COMMON, "x", false, 0},
};

static void test_values(void)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const struct option_row *row = &options_table[values[i].id];
        struct options options;
        char buffer[80];
        bool good;

        options_init(&options);
        good = !options_set(&options, values[i].id, values[i].value, buffer, sizeof buffer);
        test_ok(good == values[i].good &&
                    (options.text[values[i].id] == values[i].value) == values[i].good &&
                    (!good || options.number[values[i].id] == values[i].number ||
                     (row->kind != OPTION_IS_NUMBER && row->kind != OPTION_IS_SWITCH)),
                "--%s=%s is %s", row->name, values[i].value, values[i].good ? "good" : "bad");
    }
}

static void test_table(void)
{
    struct options options;

    options_init(&options);
    test_ok(options.number[OPTION_CONNECT_TIMEOUT] == 10 && options.number[OPTION_KEEPALIVE] == 1 &&
                options.number[OPTION_TIMEOUT] == 0,
            "standard values");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &options_table[i];
        bool in_rule = row->audience != OPTION_FOR_COMMAND;

        test_ok(options_find(row->name, strlen(row->name), false) == i &&
                    options_find(row->name, strlen(row->name), true) == (in_rule ? i : -1) &&
                    row->help && (row->kind == OPTION_IS_FLAG) == !row->value,
                "the row of %s", row->name);
    }
    test_ok(options_find("timeo", 5, true) < 0 && options_find("timeoutx", 8, true) < 0 &&
                options_find("", 0, true) < 0,
            "no abbreviations");
}

static void test_listener(void)
{
    char host[300];

    test_ok(options_listener("[2001:db8::1]:443", host, sizeof host) == 443 &&
                strcmp(host, "2001:db8::1") == 0,
            "a listener in brackets");
    test_ok(options_listener("localhost:1", host, sizeof host) == 1 &&
                strcmp(host, "localhost") == 0,
            "a listener by name");
    test_ok(options_listener("localhost:1", host, 5) == 0, "no room for the host");
}

int main(void)
{
    test_values();
    test_table();
    test_listener();
    return test_end();
}
