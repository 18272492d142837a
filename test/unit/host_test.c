// SPDX-License-Identifier: ISC
#include "host.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static const struct {
    const char *text;
    enum host_kind kind;
} kinds[] = {
    {"127.0.0.1", HOST_IPV4},
    {"0", HOST_IPV4},
    {"0177.0.0.1", HOST_IPV4},
    {"127.0.0.01", HOST_IPV4},
    {"300.0.0.1", HOST_BAD},
    {"127.0.0.08", HOST_BAD},
    {"127.1", HOST_BAD},
    {"1.2.3.4.5", HOST_BAD},
    {"2130706433", HOST_BAD},
    {"0x7f000001", HOST_BAD},
    {"::1", HOST_IPV6},
    {"2001:DB8::1", HOST_IPV6},
    {"::ffff:1.2.3.4", HOST_IPV6},
    {"[::1]", HOST_BAD},
    {"fe80::1%lo", HOST_BAD},
    {"1:2", HOST_BAD},
    {"localhost", HOST_NAME},
    {"a_b.example.com", HOST_NAME},
    {"3com", HOST_NAME},
    {"329.example.com", HOST_NAME},
    {"deadbeef", HOST_NAME},
    {"example.com.", HOST_NAME},
    {"example..com", HOST_BAD},
    {".", HOST_BAD},
    {"", HOST_BAD},
    {"-x.example", HOST_BAD},
    {"x.-y", HOST_BAD},
    {"example.123", HOST_BAD},
    {"a b", HOST_BAD},
    {"a\tb", HOST_BAD},
    {"a\nb", HOST_BAD},
    {"a*", HOST_BAD},
    {"a/b", HOST_BAD},
    {"unix:/run/x", HOST_UNIX},
    {"unix:@x", HOST_UNIX},
    {"unix:@", HOST_BAD},
    {"unix:/", HOST_BAD},
    {"unix:x", HOST_BAD},
    {"unix:", HOST_BAD},
    {"unix:/a b", HOST_BAD},
    {"unix:/a\x7f", HOST_BAD},
};

static void test_kinds(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        test_ok(host_kind(kinds[i].text) == kinds[i].kind, "kind %zu, %.*s", i,
                (int)strcspn(kinds[i].text, "\t\n\x7f"), kinds[i].text);
}

static void test_lengths(void)
{
    char text[400];

    memset(text, 'a', sizeof text);
    memcpy(text, "unix:/", 6);
    text[5 + 107] = '\0';
    test_ok(host_kind(text) == HOST_UNIX, "a unix path of 107 bytes");
    text[5 + 107] = 'a';
    text[5 + 108] = '\0';
    test_ok(host_kind(text) == HOST_BAD, "a unix path of 108 bytes");
    memset(text, 'a', sizeof text);
    for (int i = 63; i < 253; i += 64)
        text[i] = '.';
    text[253] = '\0';
    test_ok(host_kind(text) == HOST_NAME, "a name of 253 bytes");
    text[253] = 'a';
    text[254] = '\0';
    test_ok(host_kind(text) == HOST_BAD, "a name of 254 bytes");
    memset(text, 'a', 64);
    text[64] = '\0';
    test_ok(host_kind(text) == HOST_BAD, "a label of 64 bytes");
}

static void check_address(const char *text, unsigned port, const char *expected)
{
    union host_address address;
    char found[HOST_TEXT_MAX] = "none";
    socklen_t size = host_address(text, port, &address);

    if (size > 0)
        host_text(&address, found);
    test_ok(strcmp(found, expected) == 0 && (size == 0 || host_port(&address) == port),
            "the address of %s is %s", text, found);
}

static void test_addresses(void)
{
    union host_address address, other;
    char text[HOST_TEXT_MAX];

    check_address("0", 80, "0.0.0.0");
    check_address("0177.0.0.010", 65535, "127.0.0.8");
    check_address("2001:DB8:0:0::1", 1, "2001:db8::1");
    check_address("::ffff:1.2.3.4", 1, "::ffff:1.2.3.4");
    check_address("localhost", 1, "none");
    test_ok(host_address("unix:@ab", 0, &address) == sizeof(sa_family_t) + 3 &&
                address.un.sun_path[0] == '\0' && address.un.sun_path[2] == 'b',
            "an abstract name has no NUL at its end");
    test_ok(host_address("unix:/ab", 0, &address) == sizeof(sa_family_t) + 4 &&
                strcmp(address.un.sun_path, "/ab") == 0,
            "a path has one");
    host_address("::ffff:10.0.0.9", 77, &address);
    host_address("10.0.0.9", 0, &other);
    test_ok(host_unmap(&address) && host_same(&address, &other) && host_port(&address) == 77,
            "a mapped address becomes plain and keeps its port");
    host_address("::1", 0, &address);
    test_ok(!host_unmap(&address) && address.any.sa_family == AF_INET6, "::1 is not mapped");
    host_address("::", 0, &address);
    host_address("0.0.0.0", 0, &other);
    test_ok(host_is_wildcard(&address) && host_is_wildcard(&other) && !host_same(&address, &other),
            ":: and 0.0.0.0 are wildcards, and not the same");
    host_make_concrete(&address);
    host_text(&address, text);
    test_ok(strcmp(text, "::1") == 0, "connecting to :: reaches ::1");
    host_make_concrete(&other);
    host_text(&other, text);
    test_ok(strcmp(text, "127.0.0.1") == 0, "and to 0.0.0.0, 127.0.0.1");
}

int main(void)
{
    test_kinds();
    test_lengths();
    test_addresses();
    return test_end();
}
