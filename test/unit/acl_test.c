// SPDX-License-Identifier: ISC
#include "acl.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

static struct acl_client client_at(const char *text, bool mapped)
{
    union host_address address;
    struct acl_client client;

    host_address(text, 0, &address);
    acl_client_set(&client, &address, mapped);
    return client;
}

static bool allows(const char *pattern, const char *client_text, bool mapped)
{
    struct acl_client client = client_at(client_text, mapped);
    struct acl acl = {.list[ACL_ALLOW] = {&pattern, 1}};

    return acl_check(&acl, &client).verdict == ACL_ALLOWED;
}

// One pattern against one address, as rinetd 0.73 was seen to decide where it is not buggy.
static const struct {
    const char *pattern, *client;
    bool matches;
} matches[] = {
    {"127.0.0.?", "127.0.0.1", true},
    {"127.0.0.?", "127.0.0.30", false},
    {"127.0.0.??", "127.0.0.30", true},
    {"127.0.0.??", "127.0.0.1", false},
    {"127.*.1", "127.5.6.1", true},
    {"127.*.1", "127.5.6.11", false},
    {"*1", "10.0.0.1", true},
    {"*1", "10.0.0.2", false},
    {"**", "10.0.0.2", true},
    {"*.*.*.*", "10.0.0.2", true},
    {"*.*.*.*.*", "10.0.0.2", false},
    {"127.", "127.0.0.1", false},
    {"127.0.0.", "127.0.0.1", false},
    {"127.0.0.1???????????????", "127.0.0.1", false},
    {"127.0.0.1?", "127.0.0.1", false},
    {"*?", "127.0.0.1", true},
    {"127.0.0.1*", "127.0.0.1", true},
    {"1*.0.0.1", "127.0.0.1", true},
    {"*0.0.1", "127.0.0.1", true},
    {"*:*", "::1", true},
    {"*:*", "10.0.0.1", false},
    {"2001:DB8::1", "2001:db8::1", false},
    {"2001:db8::*", "2001:db8::1", true},
    {"[*]", "::1", false},
    {"10.0.0.0/8", "10.255.0.1", true},
    {"10.0.0.0/8", "11.0.0.1", false},
    {"10.1.2.3/8", "10.9.9.9", true},
    {"0.0.0.0/0", "10.0.0.1", true},
    {"0.0.0.0/0", "::1", false},
    {"::/0", "10.0.0.1", false},
    {"::/0", "::1", true},
    {"192.168.4.0/22", "192.168.7.255", true},
    {"192.168.4.0/22", "192.168.8.0", false},
    {"10.0.0.5/32", "10.0.0.5", true},
    {"10.0.0.5/32", "10.0.0.4", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"2001:db8::5/128", "2001:db8::5", true},
};

static void test_patterns(void)
{
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++)
        test_ok(allows(matches[i].pattern, matches[i].client, false) == matches[i].matches,
                "\"%s\" %s %s", matches[i].pattern, matches[i].matches ? "matches" : "passes over",
                matches[i].client);
}

static void test_mapped(void)
{
    test_ok(allows("127.0.0.1", "::ffff:127.0.0.1", false), "a mapped client in plain form");
    test_ok(allows("::ffff:127.0.0.1", "::ffff:127.0.0.1", false), "and in mapped form");
    test_ok(allows("::ffff:127.0.0.1", "127.0.0.1", true),
            "a client that a superserver made plain, through an IPv6 listener");
    test_ok(!allows("::ffff:127.0.0.1", "127.0.0.1", false),
            "a plain client of an IPv4 listener has no mapped form");
    test_ok(allows("::ffff:0:0/96", "127.0.0.1", true), "a prefix of mapped addresses");
    test_ok(allows("127.0.0.0/8", "::ffff:127.0.0.1", false), "a plain prefix, a mapped client");
}

// Lists in the order global allow, global deny, allow, deny; "" is an empty list.
static const struct {
    const char *list[ACL_LISTS];
    const char *client;
    enum acl_verdict verdict;
    int deciding; // -1: nothing matched
} decisions[] = {
    {{"", "", "", ""}, "10.0.0.1", ACL_ALLOWED, -1},
    {{"10.*", "", "", ""}, "10.0.0.1", ACL_ALLOWED, ACL_GLOBAL_ALLOW},
    {{"10.*", "", "", ""}, "11.0.0.1", ACL_NOT_ALLOWED, ACL_GLOBAL_ALLOW},
    {{"10.*", "10.0.0.1", "", ""}, "10.0.0.1", ACL_DENIED, ACL_GLOBAL_DENY},
    {{"10.*", "", "11.*", ""}, "10.0.0.1", ACL_NOT_ALLOWED, ACL_ALLOW},
    {{"10.*", "", "11.*", ""}, "11.0.0.1", ACL_NOT_ALLOWED, ACL_GLOBAL_ALLOW},
    {{"", "", "10.*", "10.0.0.*"}, "10.0.0.1", ACL_DENIED, ACL_DENY},
    {{"", "", "10.*", "10.0.0.*"}, "10.0.1.1", ACL_ALLOWED, ACL_ALLOW},
    {{"", "", "", "10.*"}, "11.0.0.1", ACL_ALLOWED, -1},
    {{"", "10.*", "10.0.0.1", ""}, "10.0.0.1", ACL_DENIED, ACL_GLOBAL_DENY},
    {{"11.*,12.*,10.*", "", "", ""}, "10.0.0.1", ACL_ALLOWED, ACL_GLOBAL_ALLOW},
    {{"", "", "", "11.*,10.0.0.0/24"}, "10.0.0.1", ACL_DENIED, ACL_DENY},
};

static void test_decisions(void)
{
    for (size_t i = 0; i < sizeof decisions / sizeof *decisions; i++) {
        struct acl_client client = client_at(decisions[i].client, false);
        struct acl_decision decision;
        struct acl acl;

        for (int list = 0; list < ACL_LISTS; list++)
            acl.list[list] =
                (struct acl_patterns){&decisions[i].list[list], decisions[i].list[list][0] != '\0'};
        decision = acl_check(&acl, &client);
        test_ok(decision.verdict == decisions[i].verdict &&
                    (decisions[i].deciding < 0 ? !decision.matched
                                               : (int)decision.list == decisions[i].deciding),
                "decision %zu on %s", i, decisions[i].client);
    }
}

static void test_no_address(void)
{
    const char *star = "*";
    union host_address local = {.any.sa_family = AF_UNIX};
    struct acl_client client;
    struct acl acl;

    acl_client_set(&client, &local, false);
    memset(&acl, 0, sizeof acl);
    test_ok(acl_check(&acl, &client).verdict == ACL_ALLOWED, "no address, no lists");
    acl.list[ACL_ALLOW] = (struct acl_patterns){&star, 1};
    test_ok(acl_check(&acl, &client).verdict == ACL_NOT_ALLOWED, "no address, an allow list");
    memset(&acl, 0, sizeof acl);
    acl.list[ACL_DENY] = (struct acl_patterns){&star, 1};
    test_ok(acl_check(&acl, &client).verdict == ACL_DENIED, "no address, a deny list");
}

static void test_errors(void)
{
    static const char *const good[] = {"*", "?", "abc", "[::1]", "10.0.0.0/8", "::/0", "FE80::*"};
    static const char *const bad[] = {
        "",       "10.0.0.0/33", "10.0.0.0/",    "10.*/8",      "10.0.0/8",
        "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "/8",          "a,b",
        "g",      "10.0.0.1 ",   "010.0.0.0/8",  "10.0.0.0/08x"};
    static const char *const useless[] = {"127.0.0.01", "FE80::1", "127.",    "2001:db8:0::1",
                                          "[::1]",      "abc",     "FE80::*", "fe80::1"};
    static const char *const useful[] = {"127.0.0.1", "fe80::1*",   "127.*",
                                         "::",        "10.0.0.0/8", "::ffff:1.2.3.4"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        test_ok(!acl_pattern_error(good[i], strlen(good[i])), "\"%s\" is a pattern", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_ok(acl_pattern_error(bad[i], strlen(bad[i])) != NULL, "\"%s\" is none", bad[i]);
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++)
        test_ok(acl_pattern_useless(useless[i]) != NULL, "\"%s\" matches nothing", useless[i]);
    for (size_t i = 0; i < sizeof useful / sizeof *useful; i++)
        test_ok(!acl_pattern_useless(useful[i]), "\"%s\" may match", useful[i]);
    test_ok(acl_patterns_valid("10.*,::1,10.0.0.0/8") && !acl_patterns_valid("10.*,") &&
                !acl_patterns_valid(",") && !acl_patterns_valid(""),
            "lists of patterns");
}

int main(void)
{
    test_patterns();
    test_mapped();
    test_decisions();
    test_no_address();
    test_errors();
    return test_end();
}
