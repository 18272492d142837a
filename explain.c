// SPDX-License-Identifier: ISC
#include "explain.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *format, ...)
{
    va_list arguments;
    char *words;
    int length;

    va_start(arguments, format);
    length = vasprintf(&words, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->no_memory = true;
        return;
    }
    text_append(text, words, (size_t)length);
    free(words);
}

// "FILE:LINE", with what must not reach a terminal escaped.
static void say_place(struct text *text, const struct conf_place *place)
{
    for (const char *p = place->file; *p; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            say(text, "\\x%02X", (unsigned char)*p);
        else
            text_append(text, p, 1);
    }
    say(text, ":%u", place->line);
}

// The pattern of LIST that matches CLIENT, and where it stands.
static void say_listed(const struct conf_list *list, const struct acl_client *client, bool allow,
                       struct text *text)
{
    const char *pattern = list->text;
    size_t length = strcspn(pattern, ",");

    for (size_t i = 0; i < list->count; i++) {
        if (acl_pattern_matches(pattern, length, client)) {
            say_place(text, &(struct conf_place){.file = list->file, .line = list->line[i]});
            say(text, ": %s %.*s, by ", allow ? "allow" : "deny", (int)length, pattern);
            return;
        }
        pattern += length + 1;
        length = strcspn(pattern, ",");
    }
}

static void say_line_that_decides(const struct acl_decision *decision,
                                  const struct conf_access *const lists[ACL_LISTS],
                                  const struct acl_client *client, struct text *text)
{
    const struct conf_access *list = lists[decision->list];
    bool allow = decision->list == ACL_ALLOW || decision->list == ACL_GLOBAL_ALLOW;

    if (list->list[decision->index])
        say_listed(list->list[decision->index], client, allow, text);
    say_place(text, &list->place[decision->index]);
    if (!list->list[decision->index])
        say(text, ": %s %s", allow ? "allow" : "deny", list->text[decision->index]);
    text_append_string(text, "\n");
}

static void explain_rule(const struct conf *conf, const struct emit_rule *rule,
                         const union host_address *address, struct text *text)
{
    const struct conf_rule *source = rule->rule;
    const struct conf_access *lists[ACL_LISTS];
    struct acl_decision decision;
    struct acl_client client;
    struct acl acl = {.look_up = NULL};

    emit_lists(conf, source, lists);
    for (int i = 0; i < ACL_LISTS; i++)
        acl.list[i] = (struct acl_patterns){lists[i]->text, lists[i]->count};
    // As the relay tells, by the listener as it is written.
    acl_client_set(&client, address, source->bind.kind == HOST_IPV6);
    decision = acl_check(&acl, &client);
    if (decision.verdict == ACL_ALLOWED && !decision.matched)
        text_append_string(text, conf->global_deny.count + source->deny.count > 0
                                     ? "allowed: no deny line matches\n"
                                     : "allowed: there are no access lines\n");
    if (decision.verdict == ACL_NOT_ALLOWED) {
        say(text, "not-allowed: none of %zu %sallow lines matches, the first at ",
            lists[decision.list]->count, decision.list == ACL_GLOBAL_ALLOW ? "global " : "");
        say_place(text, &lists[decision.list]->place[0]);
        text_append_string(text, "\n");
    }
    if (!decision.matched)
        return;
    text_append_string(text, decision.verdict == ACL_DENIED ? "denied: " : "allowed: ");
    say_line_that_decides(&decision, lists, &client, text);
}

bool explain_address(const char *text, union host_address *address)
{
    char host[INET6_ADDRSTRLEN];
    const char *zone = strchr(text, '%');
    size_t length = zone ? (size_t)(zone - text) : strlen(text);

    if (length >= sizeof host)
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    if (host_kind(host) == HOST_UNIX || host_address(host, 0, address) == 0)
        return false;
    host_unmap(address);
    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&address->in6.sin6_addr))
        return !zone;
    address->in6.sin6_scope_id = zone ? if_nametoindex(zone + 1) : 0;
    return address->in6.sin6_scope_id != 0;
}

void explain(const struct conf *conf, const struct emit_rule *rules, size_t count,
             const union host_address *address, struct text *text)
{
    size_t next = 0;

    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];
        const struct emit_rule *converted = next < count ? &rules[next] : NULL;

        say_place(text, &rule->place);
        if (!converted || converted->rule != rule) {
            text_append_string(text, ": left out: nobody is let in, see the errors\n");
            continue;
        }
        next++;
        say(text, ": %s %u%s: ", rule->bind.text, converted->listener_port,
            converted->udp ? "/udp" : "");
        if (converted->wrap_name)
            say(text, "if TCP wrappers agree, asked as %s, ", converted->wrap_name);
        explain_rule(conf, converted, address, text);
    }
}
