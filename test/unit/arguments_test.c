// SPDX-License-Identifier: ISC
#include "arguments.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define WORDS_MAX 12

static void test_parse(void)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *error; // what it begins with; NULL: none
    } table[] = {
        {{"10.0.0.5", "80"}, NULL},
        {{"--max=3", "--per-source=2", "--linger=1", "--wrap=web", "unix:/run/x"}, NULL},
        {{"--", "h", "1"}, NULL},
        {{"-V"}, NULL},
        {{"10.0.0.5"}, "expected HOST PORT"},
        {{"unix:/run/x", "80"}, "expected HOST PORT"},
        {{"10.0.0.5", "0"}, "found \"0\", expected a port"},
        {{"10.0.0.5", "80x"}, "found \"80x\", expected a port"},
        {{"10.0.0.5", "80/tcp"}, NULL},
        {{"10.0.0.5", "80/udp"}, NULL},
        {{"10.0.0.5", "80/"}, "found \"80/\", expected a port"},
        {{"10.0.0.5", "80/sctp"}, "found \"80/sctp\", expected a port"},
        {{"10.0.0.5", "80/UDP"}, "found \"80/UDP\", expected a port"},
        {{"10.0.0.5", "80/udp "}, "found \"80/udp \", expected a port"},
        {{"10.0.0.5", "/udp"}, "found \"/udp\", expected a port"},
        {{"10.0.0.5", "65536/udp"}, "found \"65536/udp\", expected a port"},
        {{"unix:/run/x", "/udp"}, "expected HOST PORT"},
        {{"--max", "10.0.0.5", "80"}, "--max needs a value: --max=N"},
        {{"--max=0", "10.0.0.5", "80"}, "found \"--max=0\", expected a whole number"},
        {{"--linger=0", "10.0.0.5", "80"}, "found \"--linger=0\", expected a whole number"},
        {{"--wrap=-x", "10.0.0.5", "80"}, "found \"--wrap=-x\", expected a name"},
        {{"--maximum=1", "10.0.0.5", "80"}, "unknown option \"--maximum=1\""},
        {{"-x", "10.0.0.5", "80"}, "unknown option \"-x\""},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        static struct arguments arguments;
        char error[ARGUMENTS_ERROR_MAX] = "", texts[WORDS_MAX][32], *argv[WORDS_MAX + 2];
        int argc = 1, result;

        memset(&arguments, 0, sizeof arguments);
        argv[0] = texts[0];
        for (int n = 0; table[i].words[n]; n++) {
            snprintf(texts[n], sizeof texts[n], "%s", table[i].words[n]);
            argv[argc++] = texts[n];
        }
        argv[argc] = NULL;
        result = arguments_parse(&arguments, argc, argv, error);
        test_ok(table[i].error
                    ? result < 0 && strncmp(error, table[i].error, strlen(table[i].error)) == 0
                    : result == 0 && error[0] == '\0',
                "%s ...: %s", table[i].words[0], table[i].error ? table[i].error : "good");
    }
}

static void test_target(void)
{
    static const struct {
        char text[10];
        unsigned port;
        enum arguments_protocol protocol;
    } table[] = {
        {"53", 53, ARGUMENTS_AS_CLIENT},
        {"53/tcp", 53, ARGUMENTS_TCP},
        {"65535/udp", 65535, ARGUMENTS_UDP},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        static struct arguments arguments;
        char error[ARGUMENTS_ERROR_MAX], relay[] = "relay", host[] = "::1", port[10];

        memset(&arguments, 0, sizeof arguments);
        memcpy(port, table[i].text, sizeof port);
        test_ok(arguments_parse(&arguments, 3, (char *[]){relay, host, port, NULL}, error) == 0 &&
                    strcmp(arguments.target_host, "::1") == 0 &&
                    arguments.target_port == table[i].port &&
                    arguments.target_protocol == table[i].protocol,
                "%s", table[i].text);
    }
}

static void test_for_wrap(void)
{
    static char words[][24] = {"relay",      "--allow=10.*", "--max=3",     "--per-source=2",
                               "--linger=5", "--wrap=web",   "--timeout=9", "--maximum=1",
                               "--",         "--max=4",      "80"};
    static char wrap[] = "/l/rinetd-wrap", name[] = "web", relay[] = "/l/rinetd-relay";
    static const char *const expected[] = {
        wrap, name, relay, "--allow=10.*", "--timeout=9", "--maximum=1", "--", "--max=4", "80"};
    char *argv[sizeof words / sizeof *words + 1] = {NULL}, *line[10];
    size_t count = 0;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        argv[i] = words[i];
    test_ok(arguments_for_wrap(argv, (char *const[]){wrap, name, relay}, line, 10), "it fits");
    while (line[count] && strcmp(line[count], expected[count]) == 0)
        count++;
    test_ok(count == sizeof expected / sizeof *expected && line[count] == NULL,
            "what is of use for one connection, and all operands");
    for (int size = 0; size < 10; size++)
        test_ok(!arguments_for_wrap(argv, (char *const[]){wrap, name, relay}, line, size),
                "not into %d", size);
}

int main(void)
{
    test_parse();
    test_target();
    test_for_wrap();
    return test_end();
}
