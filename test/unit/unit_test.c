// SPDX-License-Identifier: ISC
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static void check(struct text *text, const char *expected, const char *what)
{
    test_ok(text->bytes && strcmp(text->bytes, expected) == 0, "%s: %s", what, expected);
    free(text->bytes);
    *text = (struct text){.size = 0};
}

static void test_arguments(void)
{
    static const struct {
        const char *argument, *word, *program;
    } words[] = {
        {"", "\"\"", "\"\""},
        {"plain", "\"plain\"", "\"plain\""},
        {"a b\tc", "\"a b\\x09c\"", "\"a b\\x09c\""},
        {"%n%%", "\"%%n%%%%\"", "\"%%n%%%%\""},
        {"$A${B}$$", "\"$$A$${B}$$$$\"", "\"$A${B}$$\""},
        {"\"'\\;", "\"\\\"'\\\\;\"", "\"\\\"'\\\\;\""},
        {"\\", "\"\\\\\"", "\"\\\\\""},
        {"\n\x7f", "\"\\x0a\\x7f\"", "\"\\x0a\\x7f\""},
        {"\xc3\xa9", "\"\xc3\xa9\"", "\"\xc3\xa9\""},
        {"\xc3", "\"\\xc3\"", "\"\\xc3\""},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\xed\\xa0\\x80\""},
    };
    struct text text = {.size = 0};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        unit_add_argument(&text, words[i].argument, false);
        check(&text, words[i].word, "an argument");
        unit_add_argument(&text, words[i].argument, true);
        check(&text, words[i].program, "a program");
    }
}

static void test_values(void)
{
    static const struct {
        const char *value, *written;
    } values[] = {
        {"a \"b\" $c", "a \"b\" $c"}, {"100%", "100%%"}, {"a\\b", "a\\b"}, {"a\\", "a\\ "},
        {"a\nb", "a\\x0ab"},          {"\xff", "\\xff"},
    };
    struct text text = {.size = 0};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        unit_add_value(&text, values[i].value);
        check(&text, values[i].written, "a value");
    }
    unit_add_path(&text, "-", "/a b/%\"'\\$x");
    check(&text, "\"-/a b/%%\\\"'\\\\$x\"", "a path");
}

static void test_utf8(void)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2"
                                      "a",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xe2\x82"
                                      "a"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        test_ok(unit_is_utf8(good[i]), "UTF-8: %zu", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_ok(!unit_is_utf8(bad[i]), "not UTF-8: %zu", i);
}

static void test_paths(void)
{
    static const char *const good[] = {"/", "/a b", "/a/..b/c..", "/...", "//a/./b"};
    static const char *const bad[] = {"",      "a",       "../a",  "/..",   "/a/..",
                                      "/../a", "/a/../b", "/a\nb", "/\x7f", "/\xff"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        test_ok(unit_is_path(good[i]), "a path: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_ok(!unit_is_path(bad[i]), "no path: %zu", i);
}

int main(void)
{
    test_arguments();
    test_values();
    test_utf8();
    test_paths();
    return test_end();
}
