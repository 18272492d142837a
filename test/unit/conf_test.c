// SPDX-License-Identifier: ISC
#include "conf.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MESSAGES     8

// A text that may hold NUL bytes.
#define TEXT(literal) literal, sizeof(literal) - 1

// STATE is what dump() makes of the configuration. A message is "E 1:8 words that occur in it",
// with "W" for a warning and "FILE:1:8" for an included file.
struct sample {
    const char *name, *text;
    size_t size;
    const char *state;
    const char *message[MESSAGES];
};

#define RULE    "0 80 b 81\n"
#define GOOD    "{0 80 b 81}"
#define NEWLINE "W 1:10 rinetd 0.73 ignores this line"

// rinetd.md, 1.1 and the first traps.
static const struct sample lines[] = {
    {"an empty file", TEXT(""), "", {0}},
    {"blank lines", TEXT("\n \n\t \n\r\n"), "", {0}},
    {"one rule", TEXT(RULE), GOOD, {0}},
    {"blanks around a rule", TEXT(" \t 0 \t80  b\t81 \t\n"), GOOD, {0}},
    {"CRLF", TEXT("0 80 b 81\r\nallow 10.*\r\nlogcommon\r\n\r\n"), "common {0 80 b 81 +10.*}", {0}},
    {"CRLF and a file name", TEXT("logfile /x\r\n"), "log=/x", {0}},
    {"CRLF and a comment", TEXT("# a\r\n" RULE), GOOD, {0}},
    {"no final newline: a rule", TEXT("0 80 b 81"), GOOD, {NEWLINE}},
    {"no final newline: blanks", TEXT("0 80 b 81 \t"), GOOD, {"W 1:12 ignores"}},
    {"no final newline: an access line", TEXT(RULE "deny *"), "{0 80 b 81 -*}", {"W 2:7 ignores"}},
    {"no final newline: a comment", TEXT(RULE "# x"), GOOD, {0}},
    {"no final newline: blanks alone", TEXT(RULE " \t"), GOOD, {0}},
    {"no final newline: an error", TEXT("x"), "!", {"E 1:1 found \"x\"", "W 1:2 ignores"}},
    {"a lone CR inside a rule",
     TEXT("0 80\rb 81\n"),
     "! {!}",
     {"E 1:5 found a CR without LF, expected LF or CRLF"}},
    {"CR CR LF", TEXT(RULE "0 81 c 81\r\r\n"), GOOD " {!}", {"E 2:10 CR without LF"}},
    {"CR CR LF after an access line", TEXT(RULE "allow *\r\r\n"), "{!}", {"E 2:8 CR without LF"}},
    {"CR CR LF after a file name", TEXT(RULE "logfile /x\r\r\n"), "log! " GOOD, {"E 2:11 CR"}},
    {"CR CR LF after blanks", TEXT("logfile /x \r\r\n"), "log!", {"E 1:12 CR"}},
    {"CR CR LF after logcommon", TEXT(RULE "logcommon\r\r\n"), GOOD, {"E 2:10 CR"}},
    {"a lone CR that hides an access line behind a rule",
     TEXT(RULE "0 81 c 81\rdeny *\n"),
     "{!} {!}",
     {"E 2:10 CR"}},
    {"a lone CR that hides an access line behind a directive",
     TEXT(RULE "logfile /x\rdeny *\n"),
     "log! {!}",
     {"E 2:11 CR"}},
    {"a lone CR behind a second argument",
     TEXT(RULE "logfile /x y\rdeny *\n"),
     "log! {!}",
     {"E 2:12 found \"y\\x0Ddeny\""}},
    {"a lone CR that hides one behind logcommon",
     TEXT(RULE "logcommon\rdeny *\n"),
     "{!}",
     {"E 2:10"}},
    {"a lone CR that hides one behind a keyword in capitals",
     TEXT(RULE "LOGFILE /x\rdeny *\n"),
     "log! {!}",
     {"E 2:1 expected \"logfile\""}},
    {"a lone CR that hides one behind pidfile",
     TEXT(RULE "pidfile /x\rdeny *\n"),
     "pid! {!}",
     {"E 2:1"}},
    {"a lone CR that hides one in quotes",
     TEXT(RULE "logfile \"/x\rdeny *\"\n"),
     "log! {!}",
     {"E 2:12 CR"}},
    {"a CR in a comment", TEXT(RULE "# a\rb\n"), GOOD, {0}},
    {"a CR in a comment after a rule", TEXT("0 80 b 81 # a\rb\n"), GOOD, {0}},
    {"only CR line ends",
     TEXT("0 80 b 81\rallow 10.*\r"),
     "! {!}",
     {"E 1:10 line ends of old Macs", "W 1:22 ignores"}},
    {"only CR line ends, a comment first",
     TEXT("# Mac\r0 80 b 81\r"),
     "",
     {"W 1:6 the whole file is one comment"}},
    {"a vertical tab", TEXT("0 80\vb 81\n"), "{!}", {"E 1:5 found the byte 0x0B (a vertical tab)"}},
    {"a form feed", TEXT("0 80\f b 81\n"), "{!}", {"E 1:5 found the byte 0x0C (a form feed)"}},
    {"a no-break space",
     TEXT("0\xC2\xA0"
          "80 b 81 1\n"),
     "{!}",
     {"E 1:2 found the byte 0xC2 (a no-break space), expected printable ASCII or a blank"}},
    {"a no-break space after allow",
     TEXT(RULE "allow\xC2\xA0"
               "10.*\n"),
     "{!}",
     {"E 2:6 0xC2"}},
    {"a no-break space after allow, and more",
     TEXT(RULE "allow\xC2\xA0 10.* 11.* 12.*\n"),
     "{!} {!}",
     {"E 2:6 0xC2"}},
    {"a control byte",
     TEXT("0 80 b\x01 81\n"),
     "{!}",
     {"E 1:7 found the byte 0x01 (a control byte)"}},
    {"DEL", TEXT("0 80 b\x7f 81\n"), "{!}", {"E 1:7 0x7F (DEL)"}},
    {"a letter that is not ASCII", TEXT("0 80 b\xC3\xBC 81\n"), "{!}", {"E 1:7 0xC3 (not ASCII)"}},
    {"typographic quotes",
     TEXT("allow \xE2\x80\x9Cx\xE2\x80\x9D\n"),
     "!",
     {"E 1:7 (a typographic quote)"}},
    {"UTF-8 in a comment", TEXT("0 80 b 81 # \xC3\xBC\n"), GOOD, {0}},
    {"a backslash at the end",
     TEXT("0 80 \\\nb 81\n"),
     "{!}",
     {"E 1:6", "E 2:5 expected the target's"}},
    {"prose before access lines",
     TEXT("managed by the main office\nallow 1.2.3.4\n"),
     "! {! +1.2.3.4}",
     {"E 1:21 found \"office\""}},
    {"prose after a rule",
     TEXT(RULE "// only the office:\nallow 1.2.3.4\n"),
     "{!} {! +1.2.3.4}",
     {"E 2:1 found \"//\""}},
    {"a rule cut short by a byte keeps its access lines",
     TEXT("0 80 b 81\xC2\xA0\nallow 1.2.3.4\n"),
     "{! +1.2.3.4}",
     {"E 1:10 a no-break space"}},
    {"prose",
     TEXT("see the manual for how to\n"),
     "! {!}",
     {"E 1:20 found \"how\", expected options"}},
    {"XML",
     TEXT("<x>\n"),
     "!",
     {"E 1:1 found \"<x>\", expected a rule (ADDRESS PORT ADDRESS PORT)"}},
    {"every bad line is reported",
     TEXT("0 0 b 81\n0 80 b 0\nallow x\n"),
     "{!} {!}",
     {"E 1:3", "E 2:8", "E 3:7"}},
};

static const struct sample odd_bytes[] = {
    {"a NUL byte ends a line",
     TEXT("0 80 b 81\0allow 10.*\n"),
     "{! +10.*}",
     {"E 1:10 found a NUL byte, expected text; it ends the line as in rinetd 0.73"}},
    {"a NUL byte leaves out what is before it, not the rule after it",
     TEXT("0 80 b 81\0" RULE),
     "{!} " GOOD,
     {"E 1:10 NUL"}},
    {"a NUL byte before everything", TEXT("\0" RULE), "! " GOOD, {"E 1:1 NUL"}},
    {"a NUL byte is reported once a line",
     TEXT("0 80 b 81\0\0" RULE "#\0\n0 82 b 81\n"),
     "{!} {!} {0 82 b 81}",
     {"E 1:10 NUL", "E 2:2 NUL"}},
    {"columns and lines go on after a NUL byte",
     TEXT("# c\0 0 80 b 0\n0 0 b 80\n"),
     "! {!} {!}",
     {"E 1:4 NUL", "E 1:13 found port \"0\"", "E 2:3 found port \"0\""}},
    {"a NUL byte ends a comment", TEXT("# c\0deny *\n"), "! -*", {"E 1:4 NUL"}},
    {"a NUL byte at the end in place of a newline", TEXT("0 80 b 81\0"), "{!}", {"E 1:10 NUL"}},
    {"CR NUL", TEXT("0 80 b 81\r\0\n"), "{!}", {"E 1:10 CR", "E 1:11 NUL"}},
    {"one error for the pieces between NUL bytes, one for the first of them",
     TEXT("a\0b\0c\n"),
     "!",
     {"E 1:1 found \"a\"", "E 1:2 NUL"}},
    {"UTF-16, little-endian",
     TEXT("\xFF\xFE"
          "0\0 \0"
          "8\0"),
     "!",
     {"E 1:1 looks like UTF-16, expected ASCII or UTF-8"}},
    {"UTF-16, big-endian", TEXT("\xFE\xFF\0" RULE), "!", {"E 1:1 looks like UTF-16"}},
    {"a byte order mark before a comment",
     TEXT("\xEF\xBB\xBF# x\n" RULE),
     GOOD,
     {"E 1:1 found a UTF-8 byte order mark, expected none; remove it with sed"}},
    {"a byte order mark before a rule",
     TEXT("\xEF\xBB\xBF" RULE "0 82 b 81\n"),
     "{!} {0 82 b 81}",
     {"E 1:1 byte order mark"}},
    {"a byte order mark before an access line",
     TEXT("\xEF\xBB\xBF"
          "deny *\n" RULE),
     "! -* " GOOD,
     {"E 1:1 byte order mark"}},
    {"a byte order mark before a directive",
     TEXT("\xEF\xBB\xBFlogfile /x\n" RULE),
     "log=/x! " GOOD,
     {"E 1:1 byte order mark"}},
    {"a byte order mark in the middle",
     TEXT(RULE "\xEF\xBB\xBF# x\n"),
     "{!}",
     {"E 2:1 0xEF (a byte order mark)"}},
    {"binary junk",
     TEXT("\x7f"
          "ELF\x02\x01\x01\0\0\0\xff\n"),
     "!",
     {"E 1:1 0x7F", "E 1:8 NUL"}},
};

static const struct sample comments[] = {
    {"a comment", TEXT("# x\n #y\n\t#\n" RULE), GOOD, {0}},
    {"a comment after a rule", TEXT("0 80 b 81 # x\n"), GOOD, {0}},
    {"a comment after a rule without a blank", TEXT("0 80 b 81# x\n"), GOOD, {0}},
    {"a comment after a protocol", TEXT("0 80/tcp b 81/udp#x\n"), "{0 80 b 81/udp}", {0}},
    {"a comment after a service", TEXT("0 http b http#x\n"), "{0 http b http}", {0}},
    {"a comment after options", TEXT("0 80 b 81[max=2]#x\n"), "{0 80 b 81 max=2}", {0}},
    {"a comment after a pattern", TEXT("allow 10.*#x\ndeny *.9 # y\n"), "+10.* -*.9", {0}},
    {"a comment after logcommon", TEXT("logcommon#x\nlogcommon # x\n"), "common", {0}},
    {"'#' in a file name", TEXT("logfile /a#b\n"), "log=/a#b", {0}},
    {"'#' at the beginning of a file name", TEXT("logfile #b\n"), "log=#b", {0}},
    {"a comment after a file name", TEXT("logfile /a # b\n"), "log=/a", {0}},
    {"a comment after a file name in quotes",
     TEXT("logfile \"/a\"#b\n"),
     "log=/a",
     {"W 1:9 in quotes"}},
    {"a comment in place of a file name",
     TEXT("logfile#b\n"),
     "log!",
     {"E 1:8 found a comment, expected a file name"}},
    {"'#' in a unix: target", TEXT("0 80 unix:/a#b # c\n"), "{0 80 unix:/a#b}", {0}},
    {"'#' in the middle of a rule",
     TEXT("0 80 b # 81\n"),
     "{!}",
     {"E 1:8 found a comment, expected the target's port"}},
    {"'#' in the middle of options",
     TEXT("0 80 b 81 [max=1 # x]\n"),
     "{!}",
     {"E 1:18 found a comment, expected the \"]\" of the \"[\" at column 11"}},
    {"'#' in place of a pattern",
     TEXT("allow # 10.*\n"),
     "!",
     {"E 1:7 found a comment, expected an address pattern after \"allow\""}},
    {"'#' glued to allow",
     TEXT("allow# 10.*\n"),
     "!",
     {"E 1:6 found a comment, expected an address"}},
    {"';' starts no comment", TEXT("; x\n"), "!", {"E 1:1 a comment starts with '#'"}},
    {"'//' starts no comment", TEXT("// one two\n"), "! {!}", {"E 1:1 a comment starts with '#'"}},
    {"';' after a rule", TEXT("0 80 b 81 ; x\n"), "{!}", {"E 1:11 a comment starts with '#'"}},
    {"'//' after a rule", TEXT("0 80 b 81 //x\n"), "{!}", {"E 1:11 a comment starts with '#'"}},
};

static const struct sample keywords[] = {
    {"Allow",
     TEXT(RULE "Allow 10.*\n"),
     "{!}",
     {"E 2:1 found \"Allow\", expected \"allow\"; keywords"}},
    {"DENY with more fields", TEXT(RULE "DENY a, b, c\n"), "{!}", {"E 2:1 expected \"deny\""}},
    {"LOGFILE", TEXT("LOGFILE /x\n" RULE), "log! " GOOD, {"E 1:1 expected \"logfile\""}},
    {"PidLogFile", TEXT("PidLogFile /x\n" RULE), "pid! " GOOD, {"E 1:1 expected \"pidlogfile\""}},
    {"LOGCOMMON", TEXT("LOGCOMMON\n" RULE), GOOD, {"E 1:1 expected \"logcommon\""}},
    {"Include", TEXT("Include x\n" RULE), "! " GOOD, {"E 1:1 expected \"include\""}},
    {"a rule that listens on allow",
     TEXT(RULE "allow 23401 127.0.0.1 23402\n"),
     "{!} {!}",
     {"E 2:1 found a rule to listen on the host \"allow\", as rinetd 0.73 reads this line"}},
    {"a rule that listens on allow, with options",
     TEXT("allow 80/udp b http [timeout=3]# x\n"),
     "! {!}",
     {"E 1:1 rinetd 0.73 reads"}},
    {"a rule that listens on Deny", TEXT("Deny 1 b 2\n"), "! {!}", {"E 1:1 the host \"Deny\""}},
    {"a rule that listens on logfile",
     TEXT("logfile 1 b 2\n"),
     "! {!}",
     {"E 1:1 the host \"logfile\""}},
    {"four fields that are no rule",
     TEXT("allow 1 2 3\n" RULE),
     "! " GOOD,
     {"E 1:9 found \"2\" after"}},
    {"five fields", TEXT("deny 80 b 80 80\n"), "!", {"E 1:9 several patterns take one line each"}},
    {"alow", TEXT(RULE "alow 10.*\n"), "{!}", {"E 2:1 did you mean \"allow\"?"}},
    {"dney with more fields",
     TEXT(RULE "dney 10.* 11.* 12.*\n"),
     "{!} {!}",
     {"E 2:1 did you mean \"deny\"?"}},
    {"allow: with more fields",
     TEXT(RULE "allow: 10.* 11.*\n"),
     "{!} {!}",
     {"E 2:1 did you mean \"allow\"?"}},
    {"a rule on a host that is called nearly like a keyword",
     TEXT("alow 80 b 81\ndrop 80 unix:/x\nblock 0 b 81\n"),
     "{alow 80 b 81} {drop 80 unix:/x} {!}",
     {"E 3:7 port \"0\""}},
    {"permit", TEXT(RULE "permit 10.*\n"), "{!}", {"E 2:1 did you mean \"allow\"?"}},
    {"block", TEXT("block 10.*\n"), "!", {"E 1:1 did you mean \"deny\"?"}},
    {"logfiles", TEXT(RULE "logfiles /x\n"), "{!}", {"E 2:1 did you mean \"logfile\"?"}},
    {"a host that is called like a keyword",
     TEXT(RULE "allow-me 80x b 81\n"),
     "{!} {!}",
     {"E 2:10 found \"80x\" as the port to listen on"}},
    {"an unknown directive",
     TEXT(RULE "user nobody\n"),
     "{!}",
     {"E 2:1 found \"user\", expected a rule"}},
    {"dns-refresh of rinetd-uv",
     TEXT(RULE "dns-refresh 600\n"),
     "{!}",
     {"E 2:1 of rinetd-uv, expected none; not needed: names are looked up for each connection"}},
    {"buffersize of rinetd-uv", TEXT("buffersize 65536\n"), "!", {"E 1:1 the relay's buffers"}},
    {"connect-timeout of rinetd-uv",
     TEXT("connect-timeout 3\n"),
     "!",
     {"E 1:1 [connect-timeout=SECONDS]"}},
    {"listen-backlog of rinetd-uv", TEXT("listen-backlog 3\n"), "!", {"E 1:1 superserver"}},
    {"pool-min-free of rinetd-uv", TEXT("pool-min-free 3\n"), "!", {"E 1:1 process of its own"}},
    {"statusfile of rinetd-uv", TEXT("statusfile /x\n"), "!", {"E 1:1 there is no status file"}},
    {"status-interval of rinetd-uv", TEXT("status-interval 3\n"), "!", {"E 1:1 no status file"}},
    {"statusformat of rinetd-uv", TEXT("statusformat json\n"), "!", {"E 1:1 no status file"}},
    {"statsloginterval of rinetd-uv", TEXT("statsloginterval 3\n"), "!", {"E 1:1 no statistics"}},
    {"max-udp-connections of rinetd-uv",
     TEXT("max-udp-connections 3\n"),
     "!",
     {"E 1:1 it is an option of a rule: [max=N]"}},
    {"dns-multi-ip-expand of rinetd-uv",
     TEXT("dns-multi-ip-expand on\n"),
     "!",
     {"E 1:1 tried in turn"}},
    {"dns-multi-ip-proto of rinetd-uv",
     TEXT("dns-multi-ip-proto ipv4\n"),
     "!",
     {"E 1:1 tried in turn"}},
    {"a directive of rinetd-uv with more fields",
     TEXT("buffersize 1 2\n"),
     "! {!}",
     {"E 1:14 \"2\" as the"}},
    {"pidfile of rinetd-uv",
     TEXT("pidfile /x\n" RULE),
     "pid! " GOOD,
     {"E 1:1 found \"pidfile\", a directive of rinetd-uv, expected \"pidlogfile\""}},
    {"logcommon with an argument",
     TEXT("logcommon yes\n" RULE),
     GOOD,
     {"E 1:11 found \"yes\", expected nothing after \"logcommon\""}},
};

static const struct sample rules[] = {
    {"protocols of each side",
     TEXT("0 53/udp b 53\n0 1 b 1/udp\n0 2/tcp b 2/tcp\n"),
     "{0 53/udp b 53} {0 1 b 1/udp} {0 2 b 2}",
     {0}},
    {"a unix: target", TEXT("0 80 unix:/run/x.sock\n"), "{0 80 unix:/run/x.sock}", {0}},
    {"an abstract unix: target", TEXT("0 80 unix:@x [max=3]\n"), "{0 80 unix:@x max=3}", {0}},
    {"a unix: path that is not ASCII", TEXT("0 80 unix:/\xC3\xBC\n"), "{0 80 unix:/\xC3\xBC}", {0}},
    {"a unix: path with a control byte", TEXT("0 80 unix:/\x01\n"), "{!}", {"E 1:12 0x01"}},
    {"a relative unix: path",
     TEXT("0 80 unix:x\n"),
     "{!}",
     {"E 1:6 found \"unix:x\", expected unix:/PATH or unix:@NAME"}},
    {"an empty unix: path", TEXT("0 80 unix: 80\n"), "{!}", {"E 1:6 expected unix:/PATH"}},
    {"an empty unix: name", TEXT("0 80 unix:@\n"), "{!}", {"E 1:6 expected unix:/PATH"}},
    {"a unix: path of 107 bytes",
     TEXT("0 80 "
          "unix:/2345678901234567890123456789012345678901234567890123456789012345678901234567890"
          "12345678901234567890123456x\n"),
     "{0 80 unix:/234567890123456789012345678901234567890123456789012345678901234567890123456789012"
     "345678901234567890123456x}",
     {0}},
    {"a unix: path of 108 bytes",
     TEXT("0 80 "
          "unix:/2345678901234567890123456789012345678901234567890123456789012345678901234567890"
          "123456789012345678901234567x\n"),
     "{!}",
     {"E 1:11 found a path of 108 bytes, expected at most 107"}},
    {"options glued to a unix: path",
     TEXT("0 80 unix:/x[max=1]\n"),
     "{!}",
     {"E 1:13 expected a blank before the options"}},
    {"a unix: target with a port", TEXT("0 80 unix:/x 80\n"), "{!}", {"E 1:14 it has no port"}},
    {"a unix: target of UDP",
     TEXT("0 53/udp unix:/x\n"),
     "{!}",
     {"E 1:10 unix: targets are streams"}},
    {"a unix: listener",
     TEXT("unix:/x 80 b\n"),
     "! {!}",
     {"E 1:1 only a target can be a unix socket"}},
    {"one field",
     TEXT("0.0.0.0\n"),
     "!",
     {"E 1:8 found the end of the line, expected the port to"}},
    {"two fields",
     TEXT(RULE "0.0.0.0 80 \n"),
     "{!}",
     {"E 2:11 end of the line, expected the target's address"}},
    {"two fields, a name",
     TEXT("localhost 80 # x\n"),
     "!",
     {"E 1:14 found a comment, expected the target's"}},
    {"three fields",
     TEXT(RULE "0 80 10.0.0.1\n"),
     GOOD " {!}",
     {"E 2:14 end of the line, expected the target's port"}},
    {"three fields and options",
     TEXT("0 80 b [max=1]\n"),
     "{!}",
     {"E 1:8 found \"[\", expected the target's port"}},
    {"five fields",
     TEXT("0 80 b 80 x\n"),
     "{!}",
     {"E 1:11 found \"x\", expected options in brackets or the end of the line; rinetd 0.62 "
      "ignored"}},
    {"a protocol as a field",
     TEXT("0 80 b 80 tcp\n"),
     "{!}",
     {"E 1:11 a protocol is part of a port"}},
    {"a protocol apart",
     TEXT("0 80 /udp b 80\n"),
     "{!}",
     {"E 1:6 found \"/udp\" as the target's address"}},
    {"three columns",
     TEXT("8080 10.0.0.1 80\n"),
     "{!}",
     {"E 1:1 found port \"8080\", expected the address to listen on before it; three columns "
      "become"}},
    {"pairs of host and port",
     TEXT("0.0.0.0:80 10.0.0.1:80\n"),
     "!",
     {"E 1:8 expected a blank between address and port; a rule is ADDRESS PORT ADDRESS PORT"}},
    {"pairs of host and port, and a protocol",
     TEXT("0.0.0.0:80 10.0.0.1:80 tcp\n"),
     "{!}",
     {"E 1:8 expected a blank between address and port"}},
    {"a pair in the target's place",
     TEXT("0 80 b:81 82\n"),
     "{!}",
     {"E 1:7 found \"b:81\" as the target's"}},
    {"the same listener twice is not the parser's business", TEXT(RULE RULE), GOOD " " GOOD, {0}},
    {"a bad rule ends the scope before it and takes the access lines after it",
     TEXT(RULE "allow 1.*\n0 0 b 81\nallow 2.*\ndeny x\n" RULE),
     "{0 80 b 81 +1.*} {! +2.*} " GOOD,
     {"W 2:7 rinetd 0.73 ignores it", "E 3:3", "E 5:6"}},
};

static const struct sample hosts[] = {
    {"0", TEXT("0 1 0 2\n"), "{0 1 0 2}", {0}},
    {"upper and lower case",
     TEXT("LocalHost 1 B_x.Example 2\n"),
     "{LocalHost 1 B_x.Example 2}",
     {0}},
    {"a label that starts with a digit",
     TEXT("0 1 123.example.com 2\n"),
     "{0 1 123.example.com 2}",
     {0}},
    {"a label of hexadecimal digits",
     TEXT("0 1 329.getmyip.com 2\n"),
     "{0 1 329.getmyip.com 2}",
     {0}},
    {"a final dot", TEXT("0 1 b. 2\n"), "{0 1 b. 2}", {0}},
    {"IPv6", TEXT(":: 1 2001:DB8::1 2\n"), "{:: 1 2001:DB8::1 2}", {0}},
    {"IPv6 that ends in IPv4", TEXT(":: 1 ::ffff:1.2.3.4 2\n"), "{:: 1 ::ffff:1.2.3.4 2}", {0}},
    {"IPv6 in brackets",
     TEXT("[::1] 1 [fe80::2] 2\n"),
     "{::1 1 fe80::2 2}",
     {"W 1:1 found \"::1\" in brackets, expected the address alone; they are removed here, and",
      "W 1:9 found \"fe80::2\" in brackets"}},
    {"IPv4 in brackets",
     TEXT("[1.2.3.4] 1 b 2\n"),
     "{!}",
     {"E 1:1 found \"[1.2.3.4]\" as the address to listen on"}},
    {"IPv6 in brackets and a port",
     TEXT("[::1]:80 1 b 2\n"),
     "{!}",
     {"E 1:6 expected a blank between"}},
    {"a part over 255",
     TEXT("300.0.0.1 1 b 2\n"),
     "{!}",
     {"E 1:1 found \"300.0.0.1\" as the address to listen on, expected an IPv4 address with parts "
      "from 0 to 255"}},
    {"two parts", TEXT("127.1 1 b 2\n"), "{!}", {"E 1:1 expected an IPv4 address of four parts"}},
    {"a number",
     TEXT("0 1 2130706433 2\n"),
     "{!}",
     {"E 1:5 expected an IPv4 address of four parts"}},
    {"five parts",
     TEXT("0 1 1.2.3.4.5 2\n"),
     "{!}",
     {"E 1:5 expected an IPv4 address of four parts"}},
    {"an empty part",
     TEXT("0 1 1..3.4 2\n"),
     "{!}",
     {"E 1:5 expected an IPv4 address of four parts"}},
    {"an octal part",
     TEXT("0177.0.0.1 1 127.0.0.010 2\n"),
     "{0177.0.0.1 1 127.0.0.010 2}",
     {"W 1:1 they make a part octal, so this is 127.0.0.1", "W 1:14 so this is 127.0.0.8"}},
    {"an octal part with an 8", TEXT("0 1 127.0.0.08 2\n"), "{!}", {"E 1:5 without leading zeros"}},
    {"*",
     TEXT("* 1 b 2\n"),
     "{!}",
     {"E 1:1 found \"*\" as the address to listen on, expected an address or a name; 0.0.0.0 "
      "stands for all"}},
    {"a zone", TEXT("fe80::1%eth0 1 b 2\n"), "{!}", {"E 1:1 zones are not supported"}},
    {"quotes",
     TEXT("\"::1\" 1 b 2\n"),
     "! {!}",
     {"E 1:1 expected an address or a name without quotes"}},
    {"a last label of digits", TEXT("0 1 foo.123 2\n"), "{!}", {"E 1:5 whose last is no number"}},
    {"a label that starts with '-'",
     TEXT("0 1 -foo 2\n"),
     "{!}",
     {"E 1:5 expected a host name of labels"}},
    {"a label of 64 bytes",
     TEXT("0 1 1234567890123456789012345678901234567890123456789012345678901234 2\n"),
     "{!}",
     {"E 1:5 found \"123456789012345678901234567890123456789012345678901234567890\"... as the "
      "target's"}},
    {"a URL", TEXT("0 1 http://b 2\n"), "{!}", {"E 1:5 not a URL"}},
    {"a network", TEXT("0 1 10.0.0.0/8 2\n"), "{!}", {"E 1:5 without '/'"}},
    {"several", TEXT("0 1 a,b 2\n"), "{!}", {"E 1:5 expected one address or name"}},
    {"bad IPv6", TEXT("0 1 1::2::3 2\n"), "{!}", {"E 1:5 expected an IPv6 address"}},
    {"another character",
     TEXT("0 1 a+b 2\n"),
     "{!}",
     {"E 1:5 found \"a+b\" as the target's address, expected an address or a name"}},
    {"what must be escaped in a message",
     TEXT("0 1 a\"\\ 2\n"),
     "{!}",
     {"E 1:5 found \"a\\\"\\\\\" as the target's address"}},
};

static const struct sample ports[] = {
    {"the limits", TEXT("0 1 b 65535\n"), "{0 1 b 65535}", {0}},
    {"leading zeros", TEXT("0 0080 b 00000000081\n"), GOOD, {0}},
    {"services", TEXT("0 http b X_y-9/udp\n"), "{0 http b X_y-9/udp}", {0}},
    {"a service that starts with '_'", TEXT("0 _x b 81\n"), "{0 _x b 81}", {0}},
    {"0 as listener",
     TEXT("0 0 b 81\n"),
     "{!}",
     {"E 1:3 found port \"0\", expected a number from 1 to 65535; rinetd 0.73 listens on a random "
      "port"}},
    {"0 as target", TEXT("0 80 b 0\n"), "{!}", {"E 1:8 rinetd 0.73 accepts it and can't connect"}},
    {"70000", TEXT("0 70000 b 81\n"), "{!}", {"E 1:3 rinetd 0.73 takes it modulo 65536, as 4464"}},
    {"65536 as listener",
     TEXT("0 65536 b 81\n"),
     "{!}",
     {"E 1:3 modulo 65536, as 0, a random port"}},
    {"65536 as target", TEXT("0 80 b 65536/udp\n"), "{!}", {"E 1:8 modulo 65536, as 0"}},
    {"a long number",
     TEXT("0 99999999999999999999999999 b 81\n"),
     "{!}",
     {"E 1:3 found port \"99999999999999999999999999\", expected a number from 1 to 65535"}},
    {"negative",
     TEXT("0 -1 b 81\n"),
     "{!}",
     {"E 1:3 found \"-1\" as the port to listen on, expected a number from 1 to 65535 or a service "
      "name"}},
    {"hexadecimal", TEXT("0 80 b 0x50\n"), "{!}", {"E 1:8 ports are decimal"}},
    {"a range", TEXT("0 8000-8010 b 80\n"), "{!}", {"E 1:3 a range takes one line for each port"}},
    {"a list", TEXT("0 80,81 b 80\n"), "{!}", {"E 1:3 several ports take one line each"}},
    {"quotes", TEXT("0 \"80\" b 80\n"), "{!}", {"E 1:3 without quotes"}},
    {"a service that starts with a digit",
     TEXT("0 3com-x b 80\n"),
     "{!}",
     {"E 1:3 found \"3com-x\""}},
    {"a service with a dot", TEXT("0 a.b b 80\n"), "{!}", {"E 1:3 found \"a.b\""}},
    {"an address",
     TEXT("0 10.0.0.1:80 b 80\n"),
     "{!}",
     {"E 1:3 between address and port stands a blank"}},
    {"options in the listener's place",
     TEXT("0 80[max=1] b 80\n"),
     "{!}",
     {"E 1:3 options stand at the end"}},
    {"80/path",
     TEXT("0 80 b 80/mythweb\n"),
     "{!}",
     {"E 1:10 found \"/mythweb\", expected \"/tcp\" or \"/udp\"; rinetd 0.62 ignored what "
      "follows"}},
    {"/TCP",
     TEXT("0 80/TCP b 80\n"),
     "{!}",
     {"E 1:5 found \"/TCP\", expected \"/tcp\" or \"/udp\"; in small letters"}},
    {"/sctp",
     TEXT("0 http/sctp b 80\n"),
     "{!}",
     {"E 1:7 found \"/sctp\", expected \"/tcp\" or \"/udp\""}},
    {"an empty protocol", TEXT("0 80/ b 80\n"), "{!}", {"E 1:5 found \"/\", expected"}},
    {"no number before the protocol",
     TEXT("0 /tcp b 80\n"),
     "{!}",
     {"E 1:3 found \"/tcp\" as the port"}},
    {"two protocols", TEXT("0 80/tcp/udp b 80\n"), "{!}", {"E 1:5 found \"/tcp/udp\""}},
};

static const struct sample options[] = {
    {"all of them",
     TEXT("0 80 b 81 [src=10.0.0.9,connect-timeout=5,keepalive=off,max=3,per-source=2,wrap=w.x]\n"),
     "{0 80 b 81 src=10.0.0.9 connect-timeout=5 keepalive=off max=3 per-source=2 wrap=w.x}",
     {0}},
    {"no blank before them", TEXT("0 80 b 81[max=3]\n"), "{0 80 b 81 max=3}", {0}},
    {"after a protocol", TEXT("0 80 b 81/tcp[max=3]\n"), "{0 80 b 81 max=3}", {0}},
    {"blanks everywhere",
     TEXT("0 80 b 81\t[ max\t= 3 , src =c ] \n"),
     "{0 80 b 81 src=c max=3}",
     {0}},
    {"timeout on UDP", TEXT("0 53/udp b 53 [timeout=10]\n"), "{0 53/udp b 53 timeout=10}", {0}},
    {"timeout on TCP",
     TEXT("0 80 b 81 [timeout=1200]\n"),
     "{0 80 b 81 timeout=1200}",
     {"W 1:12 found \"timeout\" on TCP, which rinetd 0.73 ignores; here a connection ends when "
      "nothing"}},
    {"timeout=0 on TCP", TEXT("0 80 b 81 [timeout=0]\n"), "{0 80 b 81 timeout=0}", {0}},
    {"src as a name", TEXT("0 80 b 81 [src=me.example]\n"), "{0 80 b 81 src=me.example}", {0}},
    {"src in brackets",
     TEXT("0 80 b 81 [src=[::1]]\n"),
     "{0 80 b 81 src=::1}",
     {"W 1:16 in brackets"}},
    {"src in brackets, not closed",
     TEXT("0 80 b 81 [src=[::1]\n"),
     "{!}",
     {"W 1:16 in brackets", "E 1:21 expected the \"]\" of the \"[\" at column 11"}},
    {"src with an octal part",
     TEXT("0 80 b 81 [src=127.0.0.01]\n"),
     "{0 80 b 81 src=127.0.0.01}",
     {"W 1:16 so this is 127.0.0.1"}},
    {"src as a unix socket",
     TEXT("0 80 b 81 [src=unix:/x]\n"),
     "{!}",
     {"E 1:16 found \"unix:/x\" for \"src\", expected an address"}},
    {"a repeat",
     TEXT("0 80 b 81 [max=3,max=4]\n"),
     "{0 80 b 81 max=4}",
     {"W 1:18 found \"max\" again, expected it once; the last one counts"}},
    {"none",
     TEXT("0 80 b 81 []\n"),
     "{!}",
     {"E 1:12 found \"]\", expected an option, like timeout=60"}},
    {"a comma first",
     TEXT("0 80 b 81 [,max=3]\n"),
     "{!}",
     {"E 1:12 found \",\", expected an option"}},
    {"a comma last",
     TEXT("0 80 b 81 [max=3,]\n"),
     "{!}",
     {"E 1:18 found \"]\", expected an option"}},
    {"two commas",
     TEXT("0 80 b 81 [max=3,,src=c]\n"),
     "{!}",
     {"E 1:18 found \",\", expected an option"}},
    {"two groups",
     TEXT("0 80 b 81 [max=3] [src=c]\n"),
     "{!}",
     {"E 1:19 expected all options in one pair of brackets"}},
    {"two groups, glued",
     TEXT("0 80 b 81 [max=3][src=c]\n"),
     "{!}",
     {"E 1:18 expected all options"}},
    {"no closing bracket",
     TEXT("0 80 b 81 [max=3\n"),
     "{!}",
     {"E 1:17 found the end of the line, expected the \"]\""}},
    {"an opening bracket alone",
     TEXT("0 80 b 81 [\n"),
     "{!}",
     {"E 1:12 found the end of the line, expected an option"}},
    {"no '='",
     TEXT("0 80 b 81 [max]\n"),
     "{!}",
     {"E 1:15 found \"]\", expected \"=\" and a value after \"max\""}},
    {"no '=', the end",
     TEXT("0 80 b 81 [max\n"),
     "{!}",
     {"E 1:15 found the end of the line, expected \"=\""}},
    {"no value", TEXT("0 80 b 81 [max=]\n"), "{!}", {"E 1:16 found no value for \"max\""}},
    {"no name", TEXT("0 80 b 81 [=3]\n"), "{!}", {"E 1:12 found \"=\", expected an option"}},
    {"no comma",
     TEXT("0 80 b 81 [max=3 src=c]\n"),
     "{!}",
     {"E 1:18 found \"src=c\", expected \",\" or \"]\""}},
    {"blanks in place of commas",
     TEXT("0 80 b 81 [max=3 src=c d, x=1]\n"),
     "{!}",
     {"E 1:18 found \"src=c\"", "E 1:27 found \"x\""}},
    {"something after them",
     TEXT("0 80 b 81 [max=3] x\n"),
     "{!}",
     {"E 1:19 found \"x\", expected the end of the line"}},
    {"a unit",
     TEXT("0 80/udp b 81 [timeout=10s]\n"),
     "{!}",
     {"E 1:24 found \"10s\" for \"timeout\", expected a whole number from 0 to 2000000; seconds, "
      "without a unit"}},
    {"a number out of range",
     TEXT("0 80 b 81 [max=0]\n"),
     "{!}",
     {"E 1:16 expected a whole number from 1 to"}},
    {"keepalive=yes",
     TEXT("0 80 b 81 [keepalive=yes]\n"),
     "{!}",
     {"E 1:22 found \"yes\" for \"keepalive\", expected on or off"}},
    {"mode of rinetd-uv",
     TEXT("0 80 b 81 [mode=0660]\n"),
     "{!}",
     {"E 1:12 found \"mode\", expected an option; it is rinetd-uv's"}},
    {"dns-refresh of rinetd-uv",
     TEXT("0 80 b 81 [dns-refresh=5]\n"),
     "{!}",
     {"E 1:12 names are looked up for each connection"}},
    {"buffersize of rinetd-uv",
     TEXT("0 80 b 81 [buffersize=5]\n"),
     "{!}",
     {"E 1:12 it is rinetd-uv's"}},
    {"source", TEXT("0 80 b 81 [source=c]\n"), "{!}", {"E 1:12 src=ADDRESS"}},
    {"TIMEOUT",
     TEXT("0 80 b 81 [TIMEOUT=1]\n"),
     "{!}",
     {"E 1:12 found \"TIMEOUT\", expected an option; did you mean \"timeout\"?"}},
    {"connect_timeout",
     TEXT("0 80 b 81 [connect_timeout=1]\n"),
     "{!}",
     {"E 1:12 did you mean \"connect-timeout\"?"}},
    {"timout", TEXT("0 80 b 81 [timout=1]\n"), "{!}", {"E 1:12 did you mean \"timeout\"?"}},
    {"one of the relay's own",
     TEXT("0 80 b 81 [log=/x]\n"),
     "{!}",
     {"E 1:12 found \"log\", expected an option: src, connect-timeout, timeout, keepalive, max, "
      "per-source, linger, wrap"}},
    {"each one in error is reported",
     TEXT("0 80 b 81 [x=1,max=2,y=3,max=z]\n"),
     "{!}",
     {"E 1:12 \"x\"", "E 1:22 \"y\"", "E 1:30 \"z\""}},
};

static const struct sample access_lines[] = {
    {"global and of a rule",
     TEXT("allow 10.*\ndeny 10.0.0.?\n" RULE "deny *.9\nallow 10.1.*\nlogcommon\ndeny *.8\n"),
     "common +10.* -10.0.0.? {0 80 b 81 +10.1.* -*.9 -*.8}",
     {"W 2:6 found \"?\" in \"10.0.0.?\""}},
    {"of each rule",
     TEXT("deny 1.*\n" RULE "allow 2.*\n" RULE "allow 3.*\n"),
     "-1.* {0 80 b 81 +2.*} {0 80 b 81 +3.*}",
     {0}},
    {"patterns",
     TEXT("allow *\nallow **\nallow *.*.*.*\nallow ::1\nallow fe80:*\nallow *1\n"),
     "+* +** +*.*.*.* +::1 +fe80:* +*1",
     {0}},
    {"CIDR",
     TEXT("allow 10.0.0.0/8\ndeny 2001:db8::/32\nallow 0.0.0.0/0\n"),
     "+10.0.0.0/8 +0.0.0.0/0 -2001:db8::/32",
     {0}},
    {"CIDR with host bits",
     TEXT("allow 10.1.2.3/8\nallow 10.0.0.129/25\nallow 2001:db8:ffff::1/33\n"),
     "+10.1.2.3/8 +10.0.0.129/25 +2001:db8:ffff::1/33",
     {"W 1:7 found \"10.1.2.3/8\", expected 10.0.0.0/8, the network that it covers",
      "W 2:7 expected 10.0.0.128/25", "W 3:7 expected 2001:db8:8000::/33"}},
    {"CIDR, too long",
     TEXT("allow 10.0.0.0/33\n"),
     "!",
     {"E 1:7 expected a number from 0 to 32 after the '/'"}},
    {"CIDR of a part", TEXT("allow 10.0/16\n"), "!", {"E 1:7 expected a whole address"}},
    {"a netmask",
     TEXT("allow 10.0.0.0/255.0.0.0\n"),
     "!",
     {"E 1:7 expected a number from 0 to 32"}},
    {"no pattern",
     TEXT("allow\n"),
     "!",
     {"E 1:6 found the end of the line, expected an address pattern after \"allow\""}},
    {"no pattern but blanks", TEXT(RULE "deny \t\n"), "{!}", {"E 2:5 found the end of the line"}},
    {"all", TEXT("allow all\n"), "!", {"E 1:7 found \"all\", expected digits"}},
    {"Any", TEXT("allow Any\n"), "!", {"E 1:7 every client is *"}},
    {"a name", TEXT("allow me.example\n"), "!", {"E 1:7 [wrap=NAME] can match names"}},
    {"two patterns",
     TEXT("allow 10.* 11.*\n"),
     "!",
     {"E 1:12 found \"11.*\" after the pattern, expected the end of the line; several patterns "
      "take one line each"}},
    {"commas", TEXT("allow 10.*,11.*\n"), "!", {"E 1:7 several patterns take one line each"}},
    {"quotes", TEXT("allow \"10.*\"\n"), "!", {"E 1:7 without quotes"}},
    {"other characters",
     TEXT("allow !10.*\nallow 10.1|2\nallow 1%\n"),
     "!",
     {"E 1:7", "E 2:7", "E 3:7"}},
    {"an error in the global part leaves out everything",
     TEXT("allow x\n" RULE),
     "! " GOOD,
     {"E 1:7"}},
    {"an error in a rule's part leaves out the rule",
     TEXT("0 79 b 81\n" RULE "deny x\n" RULE),
     "{0 79 b 81} {!} " GOOD,
     {"E 3:6"}},
    {"a bad line of two fields leaves out the rule",
     TEXT(RULE "allow= 10.*\n" RULE),
     "{!} " GOOD,
     {"E 2:1"}},
    {"a pattern that matches nothing",
     TEXT("deny 127.0.0.01\ndeny FE80::1\ndeny 10.\ndeny [::1]\n"),
     "-127.0.0.01 -FE80::1 -10. -[::1]",
     {"W 1:6 found \"127.0.0.01\", which can match no client", "W 2:6 small letters",
      "W 3:6 not a whole address", "W 4:6 without brackets"}},
    {"the first access line of a rule",
     TEXT(RULE RULE "deny 1.*\nallow 2.*\n"),
     GOOD " {0 80 b 81 +2.* -1.*}",
     {"W 3:6 found the first access line of all in a rule: rinetd 0.73 ignores it and takes the "
      "one after this rule's last"}},
    {"the first access line of a rule, in two rules",
     TEXT(RULE "allow 1.*\n" RULE "allow 2.*\n"),
     "{0 80 b 81 +1.*} {0 80 b 81 +2.*}",
     {"W 2:7 rinetd 0.73 ignores it"}},
    {"the first access line of a bad rule",
     TEXT("0 0 b 81\nallow 1.*\n" RULE "allow 2.*\n"),
     "{! +1.*} {0 80 b 81 +2.*}",
     {"E 1:3", "W 2:7 rinetd 0.73 ignores it"}},
    {"one access line is all", TEXT(RULE "allow 1.*\n"), "{0 80 b 81 +1.*}", {0}},
    {"a global access line",
     TEXT("deny 9.*\n" RULE "allow 1.*\nallow 2.*\n"),
     "-9.* {0 80 b 81 +1.* +2.*}",
     {0}},
};

static const struct sample files[] = {
    {"logfile and pidlogfile",
     TEXT("logfile /a+b\npidlogfile /run/x.pid\n"),
     "log=/a+b pid=/run/x.pid",
     {0}},
    {"the last one counts", TEXT("logfile /a\nlogfile /b\n"), "log=/b", {0}},
    {"the last one is bad",
     TEXT("logfile /a\nlogfile\n" RULE),
     "log! " GOOD,
     {"E 2:8 found the end of the line, expected a file name"}},
    {"the last one is good", TEXT("logfile /a b\nlogfile /b\n"), "log=/b", {"E 1:12"}},
    {"a relative one", TEXT("logfile ./log/x\n"), "log=./log/x", {0}},
    {"syslog", TEXT("logfile syslog\n"), "log=syslog", {0}},
    {"quotes",
     TEXT("logfile \"/a b\"\n"),
     "log=/a b",
     {"W 1:9 found a file name in quotes, expected it without; they are removed here, and rinetd "
      "0.73 makes them part of the name"}},
    {"single quotes", TEXT("logfile '/a'\n"), "log='/a'", {0}},
    {"a quote inside", TEXT("logfile /a\"b\n"), "log=/a\"b", {0}},
    {"an empty name in quotes", TEXT("logfile \"\"\n"), "log!", {"E 1:9 found an empty file name"}},
    {"quotes over two lines",
     TEXT("logfile \"/a\nb\"\n" RULE),
     "log! ! " GOOD,
     {"E 1:9 found a quote, expected a closing one", "E 2:1"}},
    {"something glued to the quote",
     TEXT("logfile \"/a\"b\n"),
     "log!",
     {"E 1:13 found \"b\" after the file name"}},
    {"two names",
     TEXT("pidlogfile /a /b\n"),
     "pid!",
     {"E 1:15 found \"/b\" after the file name, expected the end of the line; a name with blanks "
      "takes quotes"}},
    {"a control byte",
     TEXT("logfile /a\x1b[m\n"),
     "log!",
     {"E 1:11 found the byte 0x1B (a control byte), expected a file name without control bytes"}},
    {"a tab in quotes", TEXT("logfile \"/a\tb\"\n"), "log!", {"E 1:12 0x09 (a tab)"}},
    {"not ASCII", TEXT("logfile /\xC3\xBC\n"), "log=/\xC3\xBC", {0}},
};

static const struct sample includes[] = {
    {"one file", TEXT("include rule\n"), GOOD, {0}},
    {"an access line in it belongs to the rule before",
     TEXT(RULE "include deny\ndeny 2.*\n"),
     "{0 80 b 81 -1.* -2.*}",
     {"W deny:1:6 rinetd 0.73 ignores it"}},
    {"a global access line in it", TEXT("include deny\n" RULE), "-1.* " GOOD, {0}},
    {"access lines after it belong to its last rule",
     TEXT("include rule\ndeny 2.*\n"),
     "{0 80 b 81 -2.*}",
     {0}},
    {"nested", TEXT("include nested\n"), "-1.* " GOOD, {0}},
    {"sorted", TEXT("include *.d\n"), "{0 1 b 1} {0 2 b 2} {0 3 b 3}", {0}},
    {"quotes", TEXT("include \"a b\" # c\n"), GOOD, {0}},
    {"the same file twice", TEXT("include rule\ninclude rule\n"), GOOD " " GOOD, {0}},
    {"no match",
     TEXT(RULE "include x*\n"),
     GOOD,
     {"W 2:9 found no file that matches \"x*\", expected at least one"}},
    {"no such file",
     TEXT(RULE "include x\n" RULE),
     "{!} " GOOD,
     {"E 2:9 unable to read \"x\": No such file"}},
    {"no such file, global", TEXT("include x\n" RULE), "! " GOOD, {"E 1:9 unable to read"}},
    {"unreadable",
     TEXT(RULE "include unreadable\n"),
     "{!}",
     {"E 2:9 unable to read \"unreadable\": Permission denied?"}},
    {"several of which two are unreadable",
     TEXT("include *able\n" RULE),
     "! -1.* " GOOD,
     {"E 1:9 unable to read \"unreadable\"", "E 1:9 unable to read \"unusable\""}},
    {"no argument",
     TEXT(RULE "include\n"),
     "{!}",
     {"E 2:8 found the end of the line, expected a file name"}},
    {"two arguments", TEXT("include a b\n"), "!", {"E 1:11 found \"b\" after the file name"}},
    {"itself",
     TEXT(RULE "include main\n"),
     "{!}",
     {"E 2:9 found \"main\", expected another file: this one is being read"}},
    {"a circle",
     TEXT("include circle1\n"),
     "! -1.*",
     {"E circle2:2:9 found \"circle1\", expected another file"}},
    {"a circle under another name",
     TEXT("include alias\n"),
     "!",
     {"E 1:9 found \"alias\", expected another file"}},
    {"ten levels", TEXT("include level1\n"), "{0 10 b 10}", {0}},
    {"eleven levels",
     TEXT("include level0\n"),
     "!",
     {"E level9:1:9 found an include inside 10 others, expected at most 10"}},
    {"an error in it",
     TEXT(RULE "0 0 b 1\ninclude bad\ninclude worse\nx\n"),
     GOOD " {!} {!}",
     {"E 2:3", "E 5:1", "E bad:1:7", "E bad:2:3", "E worse:1:1"}},
    {"no newline at its end", TEXT("include unfinished\n"), GOOD, {0}},
    {"a byte order mark in it", TEXT("include bom\n"), "{!}", {"E bom:1:1 byte order mark"}},
    {"UTF-16 in a rule's scope",
     TEXT(RULE "include utf16\n" RULE),
     "{!} " GOOD,
     {"E utf16:1:1 UTF-16"}},
    {"an error without a reason",
     TEXT("include bare\n"),
     "!",
     {"E 1:9 unable to read \"bare\": unknown reason"}},
    {"in capitals", TEXT("INCLUDE rule\n"), "!", {"E 1:1 expected \"include\""}},
};

#define INCLUDE(n) "include fan" #n "\n"
#define FAN(n) \
    TEXT(INCLUDE(n) INCLUDE(n) INCLUDE(n) INCLUDE(n) INCLUDE(n) INCLUDE(n) INCLUDE(n) INCLUDE(n))

static const struct conf_source shelf[] = {
    {"1.d", "1.d", TEXT("0 1 b 1\n"), NULL},
    {"2.d", "2.d", TEXT("0 2 b 2\n"), NULL},
    {"3.d", "3.d", TEXT("0 3 b 3\n"), NULL},
    {"a b", "a b", TEXT(RULE), NULL},
    {"alias", "main", TEXT(RULE), NULL},
    {"bad", "bad", TEXT("allow x\n0 0 b 81\n"), NULL},
    {"bom", "bom", TEXT("\xEF\xBB\xBF" RULE), NULL},
    {"circle1", "circle1", TEXT("include circle2\n"), NULL},
    {"circle2", "circle2", TEXT("deny 1.*\ninclude circle1\n"), NULL},
    {"deny", "deny", TEXT("deny 1.*\n"), NULL},
    {"fan1", "fan1", FAN(2), NULL},
    {"fan2", "fan2", FAN(3), NULL},
    {"fan3", "fan3", FAN(4), NULL},
    {"fan4", "fan4", FAN(5), NULL},
    {"fan5", "fan5", FAN(6), NULL},
    {"fan6", "fan6", TEXT("# x\n"), NULL},
    {"level0", "level0", TEXT("include level1\n"), NULL},
    {"level1", "level1", TEXT("include level2\n"), NULL},
    {"level10", "level10", TEXT("0 10 b 10\n"), NULL},
    {"level2", "level2", TEXT("include level3\n"), NULL},
    {"level3", "level3", TEXT("include level4\n"), NULL},
    {"level4", "level4", TEXT("include level5\n"), NULL},
    {"level5", "level5", TEXT("include level6\n"), NULL},
    {"level6", "level6", TEXT("include level7\n"), NULL},
    {"level7", "level7", TEXT("include level8\n"), NULL},
    {"level8", "level8", TEXT("include level9\n"), NULL},
    {"level9", "level9", TEXT("include level10\n"), NULL},
    {"main", "main", TEXT(""), NULL},
    {"nested", "nested", TEXT("include deny\ninclude rule\n"), NULL},
    {"readable", "readable", TEXT("deny 1.*\n"), NULL},
    {"rule", "rule", TEXT(RULE), NULL},
    {"unfinished", "unfinished", TEXT("0 80 b 81"), NULL},
    {"unreadable", "unreadable", NULL, 0, "Permission denied\n"},
    {"unusable", "unusable", NULL, 0, NULL},
    {"utf16", "utf16", TEXT("\xFF\xFE#\0\n\0"), NULL},
    {"worse", "worse", TEXT("<x>\n"), NULL},
};

// Serves the shelf, which is sorted.
static bool find(void *context, const char *pattern, const char *from, struct conf_sources *found,
                 const char **error)
{
    struct conf_source *sources = calloc(COUNT(shelf), sizeof *sources);

    (void)context;
    (void)from;
    found->source = sources;
    for (size_t i = 0; i < COUNT(shelf); i++)
        if (fnmatch(pattern, shelf[i].name, 0) == 0)
            sources[found->count++] = shelf[i];
    if (found->count > 0 || strpbrk(pattern, "*?["))
        return true;
    free(sources);
    *error = strcmp(pattern, "bare") == 0 ? NULL : "No such file or directory";
    return false;
}

static void release(void *context, struct conf_sources *found)
{
    union {
        const struct conf_source *kept;
        void *freed;
    } source = {found->source};

    (void)context;
    free(source.freed);
}

static const struct conf_reader reader = {find, release, NULL};

static struct conf *parse(const char *text, size_t size)
{
    // A copy of its own, so that AddressSanitizer sees a read past the end.
    char *bytes = malloc(size + !size);
    struct conf_source source = {"main", "main", bytes, size, NULL};
    struct conf *conf;

    if (!bytes)
        abort();
    memcpy(bytes, text, size);
    conf = conf_parse(&source, &reader);
    free(bytes);
    if (!conf)
        abort();
    return conf;
}

static void dump_port(FILE *out, const struct conf_port *port)
{
    if (port->service)
        fprintf(out, " %s", port->service);
    else
        fprintf(out, " %u", port->number);
    if (port->udp)
        fputs("/udp", out);
}

static void dump_access(FILE *out, const char *sign, const struct conf_access *access)
{
    for (size_t i = 0; i < access->count; i++)
        fprintf(out, " %s%s", sign, access->text[i]);
}

static void dump_rule(FILE *out, const struct conf_rule *rule)
{
    if (rule->broken) {
        fputs(" {!", out);
    } else {
        fprintf(out, " {%s", rule->bind.text);
        dump_port(out, &rule->bind_port);
        fprintf(out, " %s", rule->target.text);
        if (rule->target.kind != HOST_UNIX)
            dump_port(out, &rule->target_port);
        for (int i = 0; i < OPTION_COUNT; i++)
            if (rule->options.text[i])
                fprintf(out, " %s=%s", options_table[i].name, rule->options.text[i]);
    }
    dump_access(out, "+", &rule->allow);
    dump_access(out, "-", &rule->deny);
    putc('}', out);
}

static void dump_file(FILE *out, const char *name, const struct conf_file *file)
{
    if (file->text)
        fprintf(out, " %s=%s", name, file->text);
    if (file->bad)
        fprintf(out, file->text ? "!" : " %s!", name);
}

// What CONF says, without its messages: "log=FILE pid=FILE common ! +ALLOW -DENY {RULE}", where
// '!' stands for what is not to be converted.
static char *dump(const struct conf *conf)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        abort();
    putc(' ', out);
    dump_file(out, "log", &conf->log);
    dump_file(out, "pid", &conf->pid);
    fputs(conf->log_common ? " common" : "", out);
    fputs(conf->global_broken ? " !" : "", out);
    dump_access(out, "+", &conf->global_allow);
    dump_access(out, "-", &conf->global_deny);
    for (size_t i = 0; i < conf->rule_count; i++)
        dump_rule(out, &conf->rules[i]);
    fclose(out);
    memmove(text, text + 1 + (text[1] == ' '), strlen(text + 1 + (text[1] == ' ')) + 1);
    return text;
}

// Whether MESSAGE is as a sample describes it.
static bool is_message(const struct conf_message *message, const char *expected)
{
    bool in_main = strcmp(message->place.file, "main") == 0;
    char start[80];
    int length =
        snprintf(start, sizeof start, "%c %s%s%u:%u", message->severity == CONF_ERROR ? 'E' : 'W',
                 in_main ? "" : message->place.file, in_main ? "" : ":", message->place.line,
                 message->place.column);

    if (strncmp(expected, start, (size_t)length) != 0)
        return false;
    expected += length;
    return *expected == '\0' || (*expected == ' ' && strstr(message->text, expected + 1));
}

static void check_sample(const char *group, const struct sample *sample)
{
    struct conf *conf = parse(sample->text, sample->size);
    char *state = dump(conf);
    size_t count = 0, errors = 0;
    bool good = strcmp(state, sample->state) == 0;

    while (count < MESSAGES && sample->message[count])
        errors += sample->message[count++][0] == 'E';
    good = good && count == conf->message_count && errors == conf->error_count;
    for (size_t i = 0; good && i < count; i++)
        good = is_message(&conf->messages[i], sample->message[i]);
    if (!test_ok(good, "%s: %s", group, sample->name)) {
        printf("# state: %s\n", state);
        for (size_t i = 0; i < conf->message_count; i++)
            printf("# %s:%u:%u: %s: %s\n", conf->messages[i].place.file,
                   conf->messages[i].place.line, conf->messages[i].place.column,
                   conf->messages[i].severity == CONF_ERROR ? "error" : "warning",
                   conf->messages[i].text);
    }
    free(state);
    conf_free(conf);
}

static void check_samples(const char *group, const struct sample *sample, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_sample(group, &sample[i]);
}

// START, then BYTE as often as fits into SIZE bytes with END behind.
static struct conf *parse_long(const char *start, char byte, const char *end, size_t size)
{
    char *text = malloc(size);
    struct conf *conf;

    if (!text)
        abort();
    memset(text, byte, size);
    memcpy(text, start, strlen(start));
    memcpy(text + size - strlen(end), end, strlen(end));
    conf = parse(text, size);
    free(text);
    return conf;
}

static void check_long_lines(void)
{
    static const char comma[] = "0 80 b 81 [1,2,3,4,5,6,7,8,9,a,b,c,d]\n";
    struct conf *conf = parse_long("0 80 b 81 #", 'x', "\n", 100000);

    test_ok(conf->message_count == 0 && conf->rule_count == 1, "a comment of 100 kB");
    conf_free(conf);
    conf = parse_long("", 'x', "\n", 1 << 20);
    test_ok(conf->error_count == 1 && conf->global_broken && strlen(conf->messages[0].text) < 300,
            "a line of 1 MiB");
    conf_free(conf);
    conf = parse_long("", 'x', "", 1 << 20);
    test_ok(conf->message_count == 2 && conf->messages[1].place.column == (1 << 20) + 1,
            "a line of 1 MiB, not finished");
    conf_free(conf);
    conf = parse_long("logfile /", 'x', "\n", 1 << 20);
    test_ok(conf->error_count == 1 && conf->log.bad && !conf->log.text, "a file name of 1 MiB");
    conf_free(conf);
    conf = parse_long("logfile /", 'x', "\n", 9 + 4094 + 1);
    test_ok(conf->message_count == 0 && strlen(conf->log.text) == 4095,
            "a file name of 4095 bytes");
    conf_free(conf);
    conf = parse_long("0 80 ", 'x', ".x 80\n", 5 + 252 + 6);
    test_ok(conf->error_count == 1 && strstr(conf->messages[0].text, "at most 253 bytes"),
            "a host name of 254 bytes");
    conf_free(conf);
    conf = parse_long("", '\0', "\n", 1 << 20);
    test_ok(conf->message_count == 1 && conf->global_broken, "1 MiB of NUL bytes");
    conf_free(conf);
    conf = parse(comma, sizeof comma - 1);
    test_ok(conf->error_count == 10, "ten errors at most are reported of one line's options");
    conf_free(conf);
}

static void check_places(void)
{
    static const char text[] = " ::\t80 [::1] 81/udp [src=a, max=3]\n allow  *\n";
    struct conf *conf = parse(text, sizeof text - 1);
    const struct conf_rule *rule = &conf->rules[0];

    test_ok(rule->place.line == 1 && rule->place.column == 2, "places: a rule");
    test_ok(rule->bind.place.column == 2 && rule->target.place.column == 8, "places: hosts");
    test_ok(rule->bind_port.place.column == 5 && rule->target_port.place.column == 14,
            "places: ports");
    test_ok(rule->bind_port.protocol_place.line == 0 &&
                rule->target_port.protocol_place.column == 16,
            "places: protocols");
    test_ok(rule->option_place[OPTION_SRC].column == 22 &&
                rule->option_place[OPTION_MAX].column == 29 &&
                rule->option_place[OPTION_WRAP].line == 0,
            "places: options");
    test_ok(rule->allow.place[0].line == 2 && rule->allow.place[0].column == 9,
            "places: a pattern");
    test_ok(rule->options.number[OPTION_CONNECT_TIMEOUT] == 10, "options start at their standard");
    test_ok(rule->bind.kind == HOST_IPV6 && rule->target.kind == HOST_IPV6, "kinds of hosts");
    conf_free(conf);
}

// Of a listener in error, what is certain about its port is kept.
static void check_slips(void)
{
    static const struct {
        const char *listener;
        unsigned number;
        const char *service;
        bool udp, unclear;
    } slips[] = {
        {"::1 53/UDP", 53, NULL, false, true},         {"::1 53/udo", 53, NULL, false, true},
        {"::1 53/udp/", 53, NULL, false, true},        {"::1 53/", 53, NULL, false, true},
        {"::1 53/tco", 53, NULL, false, true},         {"::1 53/\xFCzp", 53, NULL, false, true},
        {"::1 53/udp\xFC", 53, NULL, true, true},      {"::1 domain/UDP", 0, "domain", false, true},
        {"127.0.0.256 53/udp", 53, NULL, true, false}, {"1.2.3 53/udp", 53, NULL, true, false},
        {"[::1 53/udp", 53, NULL, true, false},        {"[::1 53/UDP", 53, NULL, false, true},
        {"[::1 53/tcp", 53, NULL, false, false},       {"[::1 53", 53, NULL, false, false},
        {"[::1 domain/udp", 0, "domain", true, false}, {"::1 53/tcp [", 53, NULL, false, false},
        {"::1 5\xFC/udp", 0, NULL, false, true},       {"::1 5x3/UDP", 0, NULL, false, true},
    };

    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        char text[80];
        int length = snprintf(text, sizeof text, "%s b 53\n", slips[i].listener);
        struct conf *conf = parse(text, (size_t)length);
        const struct conf_rule *rule = &conf->rules[0];
        const struct conf_port *port = &rule->bind_port;
        bool same = conf->rule_count == 1 && rule->broken && port->number == slips[i].number &&
                    port->udp == slips[i].udp && port->unclear == slips[i].unclear &&
                    !port->service == !slips[i].service &&
                    (!port->service || strcmp(port->service, slips[i].service) == 0);

        test_ok(same, "a slip in a listener: number %zu", i);
        conf_free(conf);
    }
}

static void check_quotes(void)
{
    struct conf *conf = parse("", 0);
    char bytes[80];

    memset(bytes, 0x1b, sizeof bytes);
    test_ok(strcmp(conf_quote(conf, "a\0\n\"\\\xff~", 7), "\"a\\x00\\x0A\\\"\\\\\\xFF~\"") == 0,
            "quotes: what is not printable is escaped");
    test_ok(strcmp(conf_quote(conf, "", 0), "\"\"") == 0, "quotes: nothing");
    test_ok(strlen(conf_quote(conf, bytes, 60)) == 242, "quotes: 60 bytes are shown");
    test_ok(strlen(conf_quote(conf, bytes, 61)) == 245, "quotes: 61 bytes are cut");
    conf_free(conf);
}

static void check_order(void)
{
    static const char text[] = "include worse\ninclude bad\nx\n";
    struct conf *conf = parse(text, sizeof text - 1);
    struct conf_place place = {conf->messages[0].place.file, 2, 1}, nowhere = {"nowhere", 1, 1};

    test_ok(conf->message_count == 4 && strcmp(conf->messages[1].place.file, "worse") == 0 &&
                strcmp(conf->messages[2].place.file, "bad") == 0,
            "messages are in the order in which files were first read");
    conf_report(conf, CONF_WARNING, &nowhere, "%s", "outside");
    for (int i = 0; i < 20; i++)
        conf_report(conf, CONF_WARNING, &place, "number %d", i);
    conf_sort_messages(conf);
    test_ok(conf->messages[0].place.line == 2 && strcmp(conf->messages[0].text, "number 0") == 0 &&
                strcmp(conf->messages[19].text, "number 19") == 0,
            "messages of one place stay in the order in which they came");
    test_ok(strcmp(conf->messages[24].text, "outside") == 0, "those of unknown files come last");
    test_ok(conf->error_count == 4, "warnings are not counted as errors");
    conf_report(conf, CONF_ERROR, &nowhere, "%s", "a\nb\x1b\xff");
    test_ok(strcmp(conf->messages[25].text, "a?b??") == 0 && conf->error_count == 5,
            "no message holds a byte that is not printable");
    conf_free(conf);
}

static void check_limits(void)
{
    static const char include[] = "include x\n", fan[] = "include fan1\n0 1 b 2\n";
    struct conf_source source = {"main", NULL, include, sizeof include - 1, NULL};
    struct conf *conf = conf_parse(&source, NULL);

    test_ok(conf->error_count == 1 && conf->global_broken,
            "without a reader, an include is an error");
    conf_free(conf);
    conf = parse(fan, sizeof fan - 1);
    test_ok(conf->error_count == 1 && conf->global_broken && conf->rule_count == 0,
            "includes that fan out come to an end");
    conf_free(conf);
    conf_free(NULL);
}

// Nanoseconds a rule, the best of three.
static double rule_time(size_t count)
{
    static const char format[] = "192.168.%zu.1 %zu b%zu.example 80 [max=3]\nallow 10.%zu.*\n";
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    double best = 1e18;

    if (!out)
        abort();
    for (size_t i = 0; i < count; i++)
        fprintf(out, format, i % 256, i % 65535 + 1, i, i % 256);
    fclose(out);
    for (int i = 0; i < 3; i++) {
        clock_t start = clock();
        struct conf *conf = parse(text, size);
        double taken = (double)(clock() - start) * 1e9 / CLOCKS_PER_SEC / (double)count;

        if (conf->rule_count != count || conf->error_count > 0)
            abort();
        conf_free(conf);
        best = taken < best ? taken : best;
    }
    free(text);
    return best;
}

// A busy machine may disturb one measurement, or two.
static void check_time(void)
{
    double few = 0, many = 0;

    for (int i = 0; i < 10 && many >= 2 * few; i++) {
        few = rule_time(10000);
        many = rule_time(100000);
    }
    printf("# %.0f ns a rule of 10 000, %.0f ns of 100 000\n", few, many);
    test_ok(many < 2 * few, "a rule of 100 000 takes about as long as one of 10 000");
}

int main(void)
{
    check_samples("lines", lines, COUNT(lines));
    check_samples("bytes", odd_bytes, COUNT(odd_bytes));
    check_samples("comments", comments, COUNT(comments));
    check_samples("keywords", keywords, COUNT(keywords));
    check_samples("rules", rules, COUNT(rules));
    check_samples("hosts", hosts, COUNT(hosts));
    check_samples("ports", ports, COUNT(ports));
    check_samples("options", options, COUNT(options));
    check_samples("access", access_lines, COUNT(access_lines));
    check_samples("files", files, COUNT(files));
    check_samples("includes", includes, COUNT(includes));
    check_long_lines();
    check_places();
    check_slips();
    check_quotes();
    check_order();
    check_limits();
    check_time();
    return test_end();
}
