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
        {{"--timeout=3", "--log-common", "unix:/run/x"}, NULL},
        {{"--", "h", "1"}, NULL},
        {{"-V"}, NULL},
        {{"10.0.0.5"}, "expected HOST PORT"},
        {{"unix:/run/x", "80"}, "expected HOST PORT"},
        {{"10.0.0.5", "0"}, "found \"0\", expected a port"},
        {{"10.0.0.5", "80x"}, "found \"80x\", expected a port"},
        {{"--timeout", "10.0.0.5", "80"}, "--timeout needs a value: --timeout=SECONDS"},
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

int main(void)
{
    test_parse();
    return test_end();
}
