// SPDX-License-Identifier: ISC
//
// list and ranges: what a compiled list says of an address, against trying each pattern.
#include "list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ranges.h"
#include "test.h"

static int memory_file;
static char memory_path[64];

static void store(const char *bytes, size_t size)
{
    if (ftruncate(memory_file, 0) < 0 || pwrite(memory_file, bytes, size, 0) != (ssize_t)size)
        abort();
}

// Compiles TEXT, and leaves it in the file. The caller frees the result's bytes.
static struct text compile(const char *text)
{
    struct text file = {.size = 0};

    ranges_compile(&text, 1, &file);
    store(file.bytes, file.size);
    return file;
}

static struct acl_client client_of(const union host_address *address, bool mapped)
{
    struct acl_client client;

    acl_client_set(&client, address, mapped);
    return client;
}

static struct acl_client client_at(const char *text, bool mapped)
{
    union host_address address;

    host_address(text, 0, &address);
    return client_of(&address, mapped);
}

static int ask(const struct acl_client *client, const char **reason)
{
    return list_look_up(memory_path, client, reason);
}

static int naive(const char *text, const struct acl_client *client)
{
    struct acl acl = {.list[ACL_DENY] = {&text, 1}};

    return acl_check(&acl, client).verdict == ACL_DENIED;
}

// Clients at and beside the ends of ranges, and in forms of their own.
static const char *const clients[] = {"0.0.0.0",
                                      "0.0.0.1",
                                      "1.0.0.0",
                                      "9.255.255.255",
                                      "10.0.0.0",
                                      "10.0.0.5",
                                      "10.0.1.5",
                                      "10.1.0.0",
                                      "10.1.2.3",
                                      "10.19.0.1",
                                      "10.20.0.1",
                                      "10.100.0.1",
                                      "10.200.0.1",
                                      "10.255.255.255",
                                      "11.0.0.0",
                                      "127.0.0.1",
                                      "192.168.1.1",
                                      "192.168.10.1",
                                      "192.168.19.255",
                                      "192.168.110.1",
                                      "255.255.255.254",
                                      "255.255.255.255",
                                      "::",
                                      "::1",
                                      "::2",
                                      "::1.2.3.4",
                                      "::5:5:5",
                                      "1::",
                                      "10::1",
                                      "64:ff9b::1.2.3.4",
                                      "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
                                      "2001:db8::",
                                      "2001:db8::1",
                                      "2001:db8:0:1::1",
                                      "2001:db8:1::",
                                      "2001:db8:1::1",
                                      "2001:db8:1:2:3:4:5:0",
                                      "2001:db8:1:2:3:4:5:6",
                                      "2001:db8:10::1",
                                      "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                                      "2001:db9::",
                                      "fe80::1",
                                      "fe80::1:2",
                                      "febf::1",
                                      "fec0::1",
                                      "ff02::1",
                                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

static const char *const lists[] = {
    "*",
    "**",
    "?*",
    "*.*",
    "*:*",
    "*5",
    "*.5",
    "*1*",
    "1*",
    "1*.5",
    "1?.*",
    "????????.0.0.1",
    "10.*",
    "10.1*",
    "10.*.*.*",
    "10.*.*.*.*",
    "10.?.?.?",
    "10.0.0.?",
    "10.1?.*",
    "192.168.1?.*",
    "192.168.1*.1",
    "192.168.*.*",
    "192.168.*",
    "192.168.*1",
    "10.0.0.5",
    "10.0.0.05",
    "010.0.0.5",
    "10.0.0",
    "10.0.0.",
    "10.0.0.5.",
    "256.0.0.1",
    "25?.25?.25?.25?",
    "255.255.255.255",
    "0.0.0.0",
    "0.0.0.0/0",
    "0.0.0.0/32",
    "255.255.255.255/32",
    "10.0.0.0/8",
    "10.0.0.0/9,10.128.0.0/9",
    "10.0.0.0/9,10.64.0.0/10,10.0.0.5,9.*,11.*",
    "::",
    "::/0",
    "::/128",
    "::1",
    "::2,::1",
    "::1.2.3.4",
    "::102:304",
    "::ffff:10.*",
    "::ffff:10.0.0.5",
    "::ffff:0:0/96",
    "::ffff:10.0.0.0/104",
    "::*",
    "1::",
    "10:*",
    "10*",
    "2001:db8::1",
    "2001:DB8::1",
    "2001:0db8::1",
    "2001:db8::/32",
    "2001:db8:*",
    "2001:db8::*",
    "2001:db8*",
    "2001:db8:1:*",
    "2001:db8:0:*",
    "2001:db8:1:2:3:4:5:*",
    "2001:db8:1:2:3:4:5:6:*",
    "2001:db8:1:2:3:4:5:0",
    "2001:0db8:*",
    "2001:db8:1*",
    "2001:db8:?::1",
    "fe80::1",
    "fe80::/10",
    "fe80:*",
    "fe80::1*",
    "*%*",
    "feb*",
    "fec0:*",
    "[*]",
    "abc",
    "abcd:*",
    "*:1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "ffff:*",
    "ffff::/16,fe00::/16,10.*,1.2.3.4,*.254",
};

static void test_one(const char *list)
{
    struct text file;
    const char *reason = NULL;
    bool good = true;

    if (!acl_patterns_valid(list)) // "*%*": what no file can have
        return;
    file = compile(list);
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        for (int form = 0; form < 3; form++) {
            union host_address address;
            struct acl_client client;

            host_address(clients[i], 0, &address);
            // An interface that is there everywhere, so that its name is in the text.
            if (form == 2 && address.any.sa_family == AF_INET6)
                address.in6.sin6_scope_id = 1;
            client = client_of(&address, form == 1);
            if (ask(&client, &reason) != naive(list, &client)) {
                printf("# %s: %s, form %d: %s\n", list, client.text, form, reason ? reason : "");
                good = false;
            }
        }
    }
    test_ok(good, "\"%s\" compiled is what it is as a text", list);
    free(file.bytes);
}

static void test_lists(void)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        test_one(lists[i]);
}

static unsigned random_below(unsigned limit)
{
    static uint32_t state = 12345;

    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static void append_random(struct text *text)
{
    unsigned a = random_below(8), b = random_below(256), c = random_below(256);
    char word[80];

    switch (random_below(8)) {
    case 0:
        snprintf(word, sizeof word, "10.%u.%u.*", a, b);
        break;
    case 1:
        snprintf(word, sizeof word, "10.%u.%u.%u/%u", a, b, c, 20 + random_below(13));
        break;
    case 2:
        snprintf(word, sizeof word, "10.%u.%u?.%u*", a, b % 26, c % 10);
        break;
    case 3:
        snprintf(word, sizeof word, "2001:db8:%x:%x::/%u", a + 1, b, 40 + random_below(40));
        break;
    case 4:
        snprintf(word, sizeof word, "2001:db8:%x:%x:*", a + 1, b + 1);
        break;
    case 5:
        snprintf(word, sizeof word, "2001:db8:%x:%x::%x", a + 1, b + 1, c + 1);
        break;
    case 6:
        snprintf(word, sizeof word, "::ffff:10.%u.%u.0/%u", a, b, 112 + random_below(17));
        break;
    default:
        snprintf(word, sizeof word, "10.%u.%u.%u", a, b, c);
        break;
    }
    text_append_string(text, text->size ? "," : "");
    text_append_string(text, word);
}

static struct acl_client random_client(void)
{
    char text[80];

    if (random_below(2))
        snprintf(text, sizeof text, "10.%u.%u.%u", random_below(8), random_below(256),
                 random_below(256));
    else
        snprintf(text, sizeof text, "2001:db8:%x:%x::%x", random_below(8) + 1, random_below(257),
                 random_below(257) + 1);
    return client_at(text, random_below(2));
}

static void test_random(size_t patterns, unsigned asked)
{
    struct text text = {.size = 0}, file;
    unsigned wrong = 0, found = 0;

    for (size_t i = 0; i < patterns; i++)
        append_random(&text);
    file = compile(text.bytes);
    for (unsigned i = 0; i < asked; i++) {
        struct acl_client client = random_client();
        const char *reason;
        int expected = naive(text.bytes, &client);

        wrong += ask(&client, &reason) != expected;
        found += expected == 1;
    }
    test_ok(wrong == 0 && found > 0 && found < asked,
            "%zu patterns at random, %u of %u clients in them", patterns, found, asked);
    free(text.bytes);
    free(file.bytes);
}

// Every second address from BASE on, with a prefix so wide that no two touch; deep trees.
static void test_deep(bool six, uint32_t count)
{
    struct text text = {.size = 0}, file;
    unsigned wrong = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = i * 2;
        char word[64];

        if (six)
            snprintf(word, sizeof word, "%s2001:db8:%x:%x::/64", i ? "," : "", n >> 16, n & 0xffff);
        else
            snprintf(word, sizeof word, "%s%u.%u.%u.%u", i ? "," : "", 1 + (n >> 24), n >> 16 & 255,
                     n >> 8 & 255, n & 255);
        text_append_string(&text, word);
    }
    file = compile(text.bytes);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t n = i < 4 ? count * 2 - 4 + i : random_below(count * 2);
        struct acl_client client;
        const char *reason;
        char word[64];

        if (six)
            snprintf(word, sizeof word, "2001:db8:%x:%x::7", n >> 16, n & 0xffff);
        else
            snprintf(word, sizeof word, "%u.%u.%u.%u", 1 + (n >> 24), n >> 16 & 255, n >> 8 & 255,
                     n & 255);
        client = client_at(word, false);
        wrong += ask(&client, &reason) != (n % 2 == 0);
    }
    test_ok(wrong == 0, "%u ranges of IPv%d, in %zu blocks", count, six ? 6 : 4,
            file.size / LIST_BLOCK);
    free(text.bytes);
    free(file.bytes);
}

static void test_many_globs(void)
{
    struct text text = {.size = 0}, file;
    struct acl_client in = client_at("10.0.0.254", false), out = client_at("12.0.0.1", false);
    const char *reason;

    for (unsigned i = 0; i < 2000; i++) {
        char word[64];

        snprintf(word, sizeof word, "%s*.%u*%u.*9", i ? "," : "", i, i);
        text_append_string(&text, word);
    }
    text_append_string(&text, ",*.254");
    file = compile(text.bytes);
    test_ok(ask(&in, &reason) == 1 && ask(&out, &reason) == 0,
            "2001 patterns that are no ranges, in %zu blocks", file.size / LIST_BLOCK);
    free(text.bytes);
    free(file.bytes);
}

// Of globs that take many ranges each, and more of them than a list gets ranges for.
static void test_wide_globs(void)
{
    struct text text = {.size = 0}, file;
    unsigned wrong = 0;

    for (unsigned i = 0; i < 5000; i++) {
        char word[64];

        snprintf(word, sizeof word, "%s%u.%u.*.%u", i ? "," : "", 1 + i / 256, i % 256, i % 200);
        text_append_string(&text, word);
    }
    file = compile(text.bytes);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned n = random_below(5000), last = n % 200 + random_below(2);
        struct acl_client client;
        const char *reason;
        char word[64];

        snprintf(word, sizeof word, "%u.%u.%u.%u", 1 + n / 256, n % 256, random_below(256), last);
        client = client_at(word, false);
        wrong += ask(&client, &reason) != (last == n % 200);
    }
    test_ok(wrong == 0, "5000 globs in the third number, in %zu blocks", file.size / LIST_BLOCK);
    test_ok(file.size / LIST_BLOCK > 2000 && file.size / LIST_BLOCK < 2200,
            "most become ranges, and the rest stay texts");
    free(text.bytes);
    free(file.bytes);
    text = compile("10.1.*.5");
    test_ok(text.size == 2 * LIST_BLOCK, "one such glob is 256 ranges, and no text");
    free(text.bytes);
}

static void test_no_pattern(void)
{
    struct text file = compile("");
    struct acl_client client = client_at("10.1.1.1", false);
    const char *reason = "";

    test_ok(file.size == LIST_BLOCK && ask(&client, &reason) == 0, "a list without a pattern");
    free(file.bytes);
}

static void test_same_bytes(void)
{
    struct text a = compile("10.0.0.0/9,2001:db8::/32,*.5,10.128.0.0/9,*.6"),
                b = compile("*.6,10.*,*.5,2001:db8:*,*.5");

    test_ok(a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0,
            "the same set gives the same bytes");
    test_ok(a.size == 4 * LIST_BLOCK, "ranges that touch become one");
    free(a.bytes);
    free(b.bytes);
}

// Clients that are in the list of the tests below, and one who is not, in the order of clients.
static const char small[] = "10.0.0.0/8,2001:db8::/32,*.77";

// Returns how many of four clients the bytes in the file decide on otherwise than the list does,
// other than by refusing to.
static unsigned lies(void)
{
    static const char *const asked[] = {"10.1.1.1", "11.1.1.1", "2001:db8::1", "11.1.1.77"};
    unsigned lies = 0;

    for (size_t i = 0; i < 4; i++) {
        struct acl_client client = client_at(asked[i], false);
        const char *reason = NULL;
        int found = ask(&client, &reason);

        lies += found >= 0 && found != naive(small, &client);
        lies += found < 0 && !reason;
    }
    return lies;
}

static void test_damage(void)
{
    struct text file = compile(small);
    struct acl_client client = client_at("11.1.1.1", false);
    const char *reason;
    unsigned lied = 0, taken = 0;

    test_ok(file.size == 4 * LIST_BLOCK && ask(&client, &reason) == 0, "a small list");
    for (size_t size = 0; size < file.size; size += size % 512 == 511 ? 1 : 511) {
        store(file.bytes, size);
        taken += ask(&client, &reason) >= 0;
        lied += lies();
    }
    test_ok(taken == 0 && lied == 0, "one that is cut short says nothing, wherever it is");
    lied = taken = 0;
    for (size_t i = 0; i < file.size; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 3) {
            char byte = (char)(file.bytes[i] ^ (int)bit);

            store(file.bytes, file.size);
            if (pwrite(memory_file, &byte, 1, (off_t)i) != 1)
                abort();
            // This client's decision reads block 0, the ranges of IPv4, and the texts.
            taken += ask(&client, &reason) >= 0 && i / LIST_BLOCK != 2;
            lied += lies();
        }
    }
    test_ok(taken == 0, "one with a changed byte says nothing");
    test_ok(lied == 0, "and never anything else than it should");
    file.bytes = realloc(file.bytes, file.size + 1);
    if (!file.bytes)
        abort();
    file.bytes[file.size] = '\0';
    store(file.bytes, file.size + 1);
    test_ok(ask(&client, &reason) < 0, "nor one that is too long: %s", reason);
    free(file.bytes);
}

// Blocks that are whole, where they do not belong.
static void test_mixed(void)
{
    struct text other = compile("12.0.0.0/8,2001:db8::/32,*.77"), file = compile(small);
    struct text text = {.size = 0};
    struct acl_client client = client_at("10.1.1.1", false);
    const char *reason = "";

    if (pwrite(memory_file, other.bytes + LIST_BLOCK, LIST_BLOCK, LIST_BLOCK) != LIST_BLOCK)
        abort();
    test_ok(ask(&client, &reason) < 0, "a block of another list: %s", reason);
    free(file.bytes);
    for (unsigned i = 0; i < 600; i++) {
        char word[32];

        snprintf(word, sizeof word, "%s10.%u.%u.0/28", i ? "," : "", i / 256, i % 256);
        text_append_string(&text, word);
    }
    file = compile(text.bytes);
    if (pwrite(memory_file, file.bytes + 2 * (size_t)LIST_BLOCK, LIST_BLOCK, LIST_BLOCK) !=
        LIST_BLOCK)
        abort();
    client = client_at("10.0.1.1", false);
    test_ok(ask(&client, &reason) < 0, "a block of another place: %s", reason);
    free(text.bytes);
    free(file.bytes);
    free(other.bytes);
}

// Writes a number into the header, with a checksum that is right.
static int ask_with(const struct text *file, size_t at, uint32_t value, const char **reason)
{
    uint8_t header[LIST_BLOCK];
    struct acl_client client = client_at("10.1.1.1", false);
    uint64_t sum;

    memcpy(header, file->bytes, sizeof header);
    for (size_t i = 0; i < 4; i++)
        header[at + i] = (uint8_t)(value >> 8 * (3 - i));
    sum = list_sum(header, 0);
    for (size_t i = 0; i < 8; i++)
        header[LIST_AT_SUM + i] = (uint8_t)(sum >> 8 * (7 - i));
    store(file->bytes, file->size);
    if (pwrite(memory_file, header, sizeof header, 0) != sizeof header)
        abort();
    return ask(&client, reason);
}

static void test_headers(void)
{
    static const struct {
        size_t at;
        uint32_t value;
        const char *what;
    } headers[] = {
        {0, 0x7f454c46, "no list"},
        {LIST_AT_VERSION, LIST_VERSION + 1, "another version"},
        {LIST_AT_ORDER, 0x04030201, "another byte order"},
        {LIST_AT_LENGTH, 1, "another length"},
        {LIST_AT_LENGTH + 4, 3 * LIST_BLOCK, "a length that is too small"},
        {LIST_AT_DIGEST, 1, "another digest"},
        {LIST_AT_GLOBS, 100, "texts beyond the end"},
        {LIST_AT_GLOBS + 4, UINT32_MAX, "too many texts"},
        {LIST_AT_TREES, 0, "a tree without levels"},
        {LIST_AT_TREES, 5, "a tree of too many levels"},
        {LIST_AT_TREES + 4, 1000, "a root with too many addresses"},
        {LIST_AT_TREES + 8, 0, "a level in block 0"},
        {LIST_AT_TREES + 8, UINT32_MAX, "a level beyond the end"},
        {LIST_AT_TREES + 8, 2, "a level elsewhere"},
    };
    struct text file = compile(small);

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const char *reason = NULL;

        test_ok(ask_with(&file, headers[i].at, headers[i].value, &reason) < 0 && reason,
                "a header with %s: %s", headers[i].what, reason ? reason : "");
    }
    free(file.bytes);
}

// Gives block 1 the checksum of what is in it now.
static void seal(struct text *file)
{
    uint8_t *block = (uint8_t *)file->bytes + LIST_BLOCK;
    uint64_t digest = 0, sum;

    for (size_t i = 0; i < 8; i++)
        digest = digest << 8 | (uint8_t)file->bytes[LIST_AT_DIGEST + i];
    sum = list_sum(block, list_seed(digest, 1));
    for (size_t i = 0; i < 8; i++)
        block[LIST_AT_SUM + i] = (uint8_t)(sum >> 8 * (7 - i));
}

// A block in which ranges are not in order, with a checksum that is right.
static void test_order(void)
{
    struct text file = compile("10.0.0.0/8,12.0.0.0/8");
    struct acl_client client = client_at("10.1.1.1", false);
    uint8_t *block = (uint8_t *)file.bytes + LIST_BLOCK;
    const char *reason = "";

    block[LIST_AT_ENTRIES + 4] = 9; // the end of the first
    seal(&file);
    store(file.bytes, file.size);
    test_ok(ask(&client, &reason) < 0, "a range that ends before it begins: %s", reason);
    free(file.bytes);
}

// A block that begins beyond what the level above says, with a checksum that is right.
static void test_led_astray(void)
{
    struct text file = compile("10.0.0.0/8,12.0.0.0/8");
    struct acl_client client = client_at("10.1.1.1", false);
    uint8_t *block = (uint8_t *)file.bytes + LIST_BLOCK;
    const char *reason = "";

    block[LIST_AT_ENTRIES] = 11;
    block[LIST_AT_ENTRIES + 4] = 11;
    seal(&file);
    store(file.bytes, file.size);
    test_ok(ask(&client, &reason) < 0, "a block that begins later than its root says: %s", reason);
    free(file.bytes);
}

static void test_unreadable(void)
{
    struct acl_client client = client_at("10.1.1.1", false);
    const char *reason = "";

    test_ok(list_look_up("/nonexistent/list", &client, &reason) < 0 &&
                strcmp(reason, strerror(ENOENT)) == 0,
            "a file that is not there: %s", reason);
    test_ok(list_look_up("/dev/zero", &client, &reason) < 0, "a device: %s", reason);
    test_ok(list_look_up("/", &client, &reason) < 0, "a folder: %s", reason);
}

// What acl makes of the answers.
static int answer;

static int look_up(const char *path, const struct acl_client *client)
{
    (void)client;
    return strcmp(path, "/list") == 0 ? answer : -1;
}

static enum acl_verdict verdict_of(enum acl_list list, const char *first, const char *second)
{
    const char *texts[] = {first, second};
    struct acl_client client = client_at("10.1.1.1", false);
    struct acl acl = {.look_up = look_up};

    acl.list[list] = (struct acl_patterns){texts, second ? 2 : 1};
    return acl_check(&acl, &client).verdict;
}

static void test_acl(void)
{
    struct acl_client nobody = client_at("10.1.1.1", false);
    const char *text = "@/list";
    struct acl acl = {.list[ACL_DENY] = {&text, 1}};

    test_ok(acl_check(&acl, &nobody).verdict == ACL_DENIED, "without a way to look, refused");
    answer = 1;
    test_ok(verdict_of(ACL_ALLOW, text, NULL) == ACL_ALLOWED &&
                verdict_of(ACL_DENY, text, NULL) == ACL_DENIED,
            "a client in a compiled list");
    answer = 0;
    test_ok(verdict_of(ACL_ALLOW, text, NULL) == ACL_NOT_ALLOWED &&
                verdict_of(ACL_DENY, text, NULL) == ACL_ALLOWED,
            "a client that is not");
    test_ok(verdict_of(ACL_ALLOW, text, "10.*") == ACL_ALLOWED &&
                verdict_of(ACL_DENY, "10.*", text) == ACL_DENIED,
            "a pattern beside it");
    answer = -1;
    test_ok(verdict_of(ACL_ALLOW, text, NULL) == ACL_NOT_ALLOWED &&
                verdict_of(ACL_GLOBAL_DENY, text, NULL) == ACL_DENIED,
            "a list that says nothing lets nobody in");
    test_ok(verdict_of(ACL_ALLOW, "10.*", text) == ACL_NOT_ALLOWED,
            "not even one whom a pattern beside it matches");
    test_ok(acl_patterns_valid("@/list") && acl_patterns_valid("@/a,b") &&
                !acl_patterns_valid("@list") && !acl_patterns_valid("@") &&
                !acl_patterns_valid("@/a\nb") && !acl_patterns_valid("10.*,@/list"),
            "which texts name a list");
}

int main(void)
{
    memory_file = memfd_create("list", MFD_CLOEXEC);
    if (memory_file < 0)
        return 1;
    snprintf(memory_path, sizeof memory_path, "/proc/self/fd/%d", memory_file);
    test_lists();
    test_random(10, 2000);
    test_random(3000, 2000);
    test_deep(false, 520);
    test_deep(false, 300000);
    test_deep(true, 130);
    test_deep(true, 40000);
    test_many_globs();
    test_wide_globs();
    test_no_pattern();
    test_same_bytes();
    test_damage();
    test_mixed();
    test_headers();
    test_order();
    test_led_astray();
    test_unreadable();
    test_acl();
    close(memory_file);
    return test_end();
}
