// SPDX-License-Identifier: ISC
#include "entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

// A conversion on its way.
struct work {
    struct conf *conf;
    struct emit_settings *settings;
    struct entries entries;
    struct text text[2]; // of the rule at hand
    struct emit_error error;
    bool told_dir; // that the folder of the lists cannot be named: once is enough
};

// Takes TEXT, whose memory becomes the list's, as the next file. Returns where its name goes.
static char *add_file(struct work *work, struct text *text)
{
    static const char mark[] = OUTPUT_MARK "\n";
    size_t at = work->entries.count++;
    struct text marked = {.size = 0};

    if (!output_is_marked(text->bytes, text->size)) {
        text_append_string(&marked, mark);
        text_append(&marked, text->bytes ? text->bytes : "", text->size);
        marked.no_memory |= text->no_memory;
        free(text->bytes);
        *text = marked;
    }
    work->conf->no_memory |= text->no_memory;
    work->entries.text[at] = *text;
    work->entries.file[at] = (struct output_file){
        .name = work->entries.name[at], .text = text->bytes, .size = text->size};
    *text = (struct text){.size = 0};
    return work->entries.name[at];
}

// Puts the compiled lists before all other files.
static void add_lists(struct work *work, const struct emit_rule *rules, size_t count)
{
    struct entries *entries = &work->entries;
    struct aclfiles *lists = &entries->aclfiles;
    struct output_file *files;

    aclfiles_compile(lists, work->conf, rules, count);
    work->conf->no_memory |= lists->no_memory;
    files = calloc(entries->count + lists->count + 1, sizeof *files);
    if (!files) {
        work->conf->no_memory = true;
        return;
    }
    for (size_t i = 0; i < lists->count; i++) {
        const struct aclfile *list = lists->file[i];

        files[i] = (struct output_file){list->name, list->text.bytes, list->text.size};
    }
    memcpy(files + lists->count, entries->file, entries->count * sizeof *files);
    free(entries->file);
    entries->file = files;
    entries->lists = lists->count;
}

// Reports why RULE was refused. Returns whether it is worth another try.
static bool report_refusal(struct work *work, const struct emit_rule *rule)
{
    const struct emit_error *error = &work->error;
    const struct conf_place *place = &rule->rule->place;
    const char *dir = work->settings->lists_dir;
    struct conf *conf = work->conf;

    if (error->kind == EMIT_BAD_LOG) {
        conf_report(conf, CONF_ERROR, &conf->log.place, "%s; lines go to syslog", error->what);
        work->settings->log = "syslog";
        return true;
    }
    if (error->kind == EMIT_BAD_DIR) {
        if (!work->told_dir)
            conf_report(conf, CONF_ERROR, NULL, "unable to have access lists in the folder %s: %s",
                        conf_quote(conf, dir, strlen(dir)), error->what);
        work->told_dir = true;
        conf->rules[rule->rule - conf->rules].broken = true;
        return false;
    }
    if (error->option >= 0)
        place = &rule->rule->option_place[error->option];
    conf_report(conf, CONF_ERROR, error->kind == EMIT_BAD_TEMPLATE ? NULL : place, "%s",
                error->what);
    conf->rules[rule->rule - conf->rules].broken = true;
    return false;
}

// Appends what RULE becomes to the texts at hand. For systemd they are its own.
static int emit(struct work *work, const struct emit_rule *rule)
{
    if (work->settings->format != EMIT_SYSTEMD)
        return emit_entry(work->settings, work->conf, rule, &work->text[0], &work->error);
    text_cut(&work->text[0], 0);
    text_cut(&work->text[1], 0);
    if (emit_socket(work->settings, rule, &work->text[0], &work->error) < 0)
        return -1;
    return emit_service(work->settings, work->conf, rule, &work->text[1], &work->error);
}

// Whether the line would have room if it were not for the name of the lists' folder.
static bool is_dir_too_long(const struct work *work, const struct emit_rule *rule)
{
    size_t bytes = 0;

    for (int i = 0; i < ACL_LISTS; i++)
        bytes += rule->compiled[i] ? strlen(work->settings->lists_dir) : 0;
    return work->error.kind == EMIT_TOO_LONG && work->error.excess <= bytes;
}

// The same, with its access lists where they are best off, or where there is room for them.
static int emit_somehow(struct work *work, struct emit_rule *rule)
{
    struct aclfiles *files = &work->entries.aclfiles;
    struct emit_error first;
    int result;

    aclfiles_choose(files, work->settings, work->conf, rule, ACLFILE_LONG);
    result = emit(work, rule);
    if (result < 0 && work->error.kind == EMIT_TOO_LONG && work->settings->lists_dir) {
        aclfiles_choose(files, work->settings, work->conf, rule, ACLFILE_SHORTER);
        result = emit(work, rule);
    }
    if (result < 0 && is_dir_too_long(work, rule)) {
        size_t excess = work->error.excess;

        work->error = (struct emit_error){.kind = EMIT_BAD_DIR, .option = -1};
        snprintf(work->error.what, sizeof work->error.what,
                 "with its name a line would have %zu bytes too many", excess);
    } else if (result < 0 && work->error.kind == EMIT_BAD_DIR) {
        first = work->error;
        aclfiles_choose(files, work->settings, work->conf, rule, ACLFILE_FEW);
        result = emit(work, rule);
        if (result < 0 && work->error.kind == EMIT_TOO_LONG)
            work->error = first;
    }
    return result;
}

static void keep(struct work *work, const struct emit_rule *rule)
{
    if (work->settings->format != EMIT_SYSTEMD)
        return;
    emit_socket_name(rule, add_file(work, &work->text[0]));
    emit_service_name(work->settings, rule, add_file(work, &work->text[1]));
}

// Says what has no effect, and does no harm.
static void note(struct work *work, const struct emit_rule *rule)
{
    const struct conf_rule *source = rule->rule;

    if (!emit_waits(work->settings, rule) && source->options.text[OPTION_LINGER])
        conf_report(work->conf, CONF_WARNING, &source->option_place[OPTION_LINGER],
                    "\"linger\" has no effect here: with --mode=nowait the relay ends with its "
                    "connection");
}

// Whether, and how late, RULE has to wait for the others of its port.
static int rank(const struct emit_rule *rule)
{
    if (!rule->beside)
        return 0;
    return rule->listener.any.sa_family == AF_INET ? 1 : 2;
}
#define RANKS 3

// RULE was left out. Wildcards of UDP would get its datagrams.
static void keep_from_wildcards(struct work *work, struct emit_rule *rules, size_t count,
                                const struct emit_rule *rule)
{
    int family = rule->listener.any.sa_family;

    for (size_t i = 0; rule->udp && i < count; i++) {
        struct emit_rule *other = &rules[i];

        if (other == rule || !other->beside || other->listener_port != rule->listener_port)
            continue;
        if (family == AF_INET && host_is_wildcard(&rule->listener))
            other->any4 = false;
        if (other->listener.any.sa_family == family && !other->rule->broken)
            check_leave_out_wildcard(work->conf, other, rule);
    }
}

// Converts RULE. Returns whether it is converted.
static bool emit_rule(struct work *work, struct emit_rule *rule)
{
    int result;

    if (rule->rule->broken)
        return false;
    result = emit_somehow(work, rule);
    if (result < 0 && report_refusal(work, rule)) {
        result = emit(work, rule);
        if (result < 0)
            report_refusal(work, rule);
    }
    if (result < 0)
        return false;
    keep(work, rule);
    note(work, rule);
    return true;
}

// Converts the rules, and drops those that the target refuses. What a wildcard of UDP hangs on is
// known before it.
static void emit_all(struct work *work, struct emit_rule *rules, size_t *count)
{
    bool *emitted = calloc(*count + 1, sizeof *emitted);
    size_t kept = 0;

    work->conf->no_memory |= !emitted;
    for (size_t i = 0; emitted && i < *count * RANKS; i++) {
        struct emit_rule *rule = &rules[i % *count];

        if (rank(rule) != (int)(i / *count))
            continue;
        emitted[i % *count] = emit_rule(work, rule);
        if (work->error.kind == EMIT_BAD_TEMPLATE)
            break;
        if (!emitted[i % *count])
            keep_from_wildcards(work, rules, *count, rule);
    }
    for (size_t i = 0; emitted && i < *count; i++)
        if (emitted[i])
            rules[kept++] = rules[i];
    free(emitted);
    *count = kept;
}

static bool make_room(struct entries *entries, size_t files)
{
    entries->file = calloc(files, sizeof *entries->file);
    entries->name = calloc(files, sizeof *entries->name);
    entries->text = calloc(files, sizeof *entries->text);
    return entries->file && entries->name && entries->text;
}

// All rules in one file.
static void emit_one_file(struct work *work, struct emit_rule *rules, size_t *count)
{
    if (emit_head(work->settings, &work->text[0], &work->error) < 0) {
        conf_report(work->conf, CONF_ERROR, NULL, "%s", work->error.what);
        *count = 0;
    }
    emit_all(work, rules, count);
    if (emit_foot(work->settings, &work->text[0], &work->error) < 0)
        conf_report(work->conf, CONF_ERROR, NULL, "%s", work->error.what);
    strcpy(add_file(work, &work->text[0]),
           work->settings->format == EMIT_XINETD ? "rinetd" : "rinetd.inetd");
}

struct entries entries_make(struct conf *conf, struct emit_settings *settings,
                            struct emit_rule *rules, size_t *count)
{
    struct work work = {.conf = conf, .settings = settings};

    if (!make_room(&work.entries, *count * 2 + 1))
        conf->no_memory = true;
    else if (settings->format == EMIT_SYSTEMD)
        emit_all(&work, rules, count);
    else
        emit_one_file(&work, rules, count);
    if (work.entries.file && work.entries.text)
        add_lists(&work, rules, *count);
    for (size_t i = 0; i < 2; i++) {
        conf->no_memory |= work.text[i].no_memory;
        free(work.text[i].bytes);
    }
    work.entries.count += work.entries.lists;
    return work.entries;
}

void entries_free(struct entries *entries)
{
    for (size_t i = entries->lists; i < entries->count; i++)
        free(entries->text[i - entries->lists].bytes);
    free(entries->text);
    aclfiles_free(&entries->aclfiles);
    free(entries->name);
    free(entries->file);
}
