// SPDX-License-Identifier: ISC
//
// The bytes are those that systemd's description of its protocol shows.
#include "journal.h"

#include <string.h>

#include "test.h"

#define TEXT(literal) literal, sizeof literal - 1

static const struct {
    const char *name;
    const char *value;
    size_t size;
    const char *bytes;
    size_t length;
} fields[] = {
    {"MESSAGE", TEXT("hello"), TEXT("MESSAGE=hello\n")},
    {"A", TEXT("b=c=\t\xff"), TEXT("A=b=c=\t\xff\n")},
    {"EMPTY", TEXT(""), TEXT("EMPTY=\n")},
    {"A", TEXT("\n"), TEXT("A\n\1\0\0\0\0\0\0\0\n\n")},
    {"MESSAGE", TEXT("one\nB=two\n"), TEXT("MESSAGE\n\12\0\0\0\0\0\0\0one\nB=two\n\n")},
};

static void test_forms(void)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct journal_message message = {.length = 0};
        int result = journal_add(&message, fields[i].name, fields[i].value, fields[i].size);

        test_ok(result == 0 && message.length == fields[i].length &&
                    memcmp(message.data, fields[i].bytes, message.length) == 0,
                "field %zu, %s", i, fields[i].name);
    }
}

// A value of SIZE times FILL.
static int add_long(struct journal_message *message, size_t size, char fill)
{
    static char value[JOURNAL_MESSAGE_MAX + 1];

    memset(value, fill, size);
    return journal_add(message, "A", value, size);
}

static void test_room(void)
{
    struct journal_message message = {.length = 0};
    int result;

    result = journal_add(&message, "BEFORE", "1", 1);
    test_ok(result == 0 && add_long(&message, JOURNAL_MESSAGE_MAX + 1, 'x') < 0 &&
                add_long(&message, JOURNAL_MESSAGE_MAX, 'x') < 0 &&
                add_long(&message, JOURNAL_MESSAGE_MAX - 10, '\n') < 0 && message.length == 9,
            "what does not fit is left out as a whole");
    result = add_long(&message, JOURNAL_MESSAGE_MAX - 9 - 11, '\n');
    test_ok(result == 0 && message.length == JOURNAL_MESSAGE_MAX, "to the last byte");
    test_ok(journal_add(&message, "", "", 0) < 0 && message.length == JOURNAL_MESSAGE_MAX,
            "nothing more");
}

int main(void)
{
    test_forms();
    test_room();
    return test_end();
}
