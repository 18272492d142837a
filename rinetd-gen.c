// SPDX-License-Identifier: ISC
//
// rinetd-gen: rinetd.conf in, entries for a superserver out. See rinetd-gen(8).
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acl.h"
#include "apply.h"
#include "check.h"
#include "conf.h"
#include "emit.h"
#include "entries.h"
#include "explain.h"
#include "generator.h"
#include "hangup.h"
#include "launch.h"
#include "logfile.h"
#include "output.h"
#include "site.h"
#include "source.h"

#define PROGRAM       "rinetd-gen"
#define GENERATOR     "rinetd-generator" // PROGRAM by the name that makes it one of systemd's
#define USER          "rinetd"
#define WRAP_NAME     "rinetd-relay"
#define USER_NAME_MAX 64
#define LOCK_MS       15000 // for another one to be done with the folder

enum { EXIT_CONVERTED = 0, EXIT_CONFIG = 1, EXIT_USAGE = 2, EXIT_SYSTEM = 3 };

// Who accepts connections.
enum mode { MODE_OF_FORMAT, MODE_NOWAIT, MODE_WAIT };

// What the command line says.
struct gen {
    const char *config;
    const char *user;
    const char *relay;
    char *wrap; // beside the relay
    const char *output_dir;
    const char *explain; // an address
    const char *templates_dir;
    struct emit_template *templates;
    enum emit_format format;
    enum mode mode;
    bool check_only, run, strict, wrap_all, apply;
    bool at_boot; // called by systemd, as its generator
};

// A configuration on its way through.
struct job {
    const struct gen *gen;
    const char *stdout_log; // under --run: what stands for the launcher's standard output
    struct conf *conf;
    struct emit_settings settings;
    char *log;       // settings.log, where it had to be made up
    char *lists_dir; // settings.lists_dir
    char here[PATH_MAX];
    struct emit_rule *rules;
    size_t count;
    struct entries entries;
    size_t warnings;
};

// What comes from outside must not reach a terminal as it is.
static void print_escaped(FILE *to, const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            fprintf(to, "\\x%02X", (unsigned char)*text);
        else
            putc(*text, to);
    }
}

static int fail(const char *verb, const char *object)
{
    int error = errno;

    fprintf(stderr, PROGRAM ": unable to %s ", verb);
    print_escaped(stderr, object);
    fprintf(stderr, ": %s\n", strerror(error));
    return EXIT_SYSTEM;
}

static int fail_memory(void)
{
    errno = ENOMEM;
    return fail("convert", "the configuration");
}

static void print_messages(struct job *job)
{
    struct conf *conf = job->conf;

    conf_sort_messages(conf);
    job->warnings = conf->message_count - conf->error_count;
    for (size_t i = 0; i < conf->message_count; i++) {
        const struct conf_message *message = &conf->messages[i];
        const struct conf_place *place = &message->place;
        const char *severity = message->severity == CONF_ERROR ? "error" : "warning";

        if (place->line > 0) {
            print_escaped(stderr, place->file);
            fprintf(stderr, ":%u:%u: %s: %s\n", place->line, place->column, severity,
                    message->text);
        } else {
            fprintf(stderr, PROGRAM ": %s: %s\n", severity, message->text);
        }
    }
}

static void note_pid_file(struct job *job)
{
    if (job->conf->pid.text && !job->stdout_log)
        conf_report(job->conf, CONF_WARNING, &job->conf->pid.place,
                    "pidlogfile has no effect here: the process to signal is the superserver's, "
                    "which has a pid file of its own");
}

// Whether the log file, if there is none, is made for the user that the relays run as.
static bool makes_log(const struct job *job)
{
    const char *log = job->settings.log;

    return log && log[0] == '/' && log != job->stdout_log && geteuid() == 0 && !job->gen->at_boot &&
           (job->gen->output_dir || job->gen->run);
}

// Returns an exit status. A folder that is missing has been warned of, and is not ours to make.
static int create_log(const struct job *job)
{
    const char *log = job->settings.log, *user = job->settings.user;
    uid_t uid;
    gid_t gid;
    int result;

    if (!makes_log(job) || !site_user(user, &uid, &gid))
        return EXIT_CONVERTED;
    if (job->gen->check_only)
        result = job->gen->apply && access(log, F_OK) < 0;
    else
        result = output_create_log(log, uid, gid);
    if (result == 0 || (result < 0 && errno == ENOENT))
        return EXIT_CONVERTED;
    if (result < 0)
        return fail("create", log);
    fputs(job->gen->check_only ? PROGRAM ": would create " : PROGRAM ": created ", stderr);
    print_escaped(stderr, log);
    fprintf(stderr, " for the user %s\n", user);
    return EXIT_CONVERTED;
}

static void job_free(struct job *job)
{
    conf_free(job->conf);
    free(job->rules);
    free(job->log);
    free(job->lists_dir);
    entries_free(&job->entries);
}

// Whether the relay is to accept connections, rather than the superserver.
static bool accepts_itself(const struct gen *gen)
{
    if (gen->mode == MODE_OF_FORMAT)
        return gen->format == EMIT_SYSTEMD;
    return gen->mode == MODE_WAIT;
}

// Finds out where compiled access lists will lie, by an absolute path; nowhere if all goes to
// standard output. An explanation only has to know that the rules can be converted. Returns 0, or
// -1 where memory ran out.
static int find_lists_dir(struct job *job)
{
    const struct gen *gen = job->gen;
    const char *dir = gen->explain ? "/" : gen->output_dir;

    if (!getcwd(job->here, sizeof job->here))
        job->here[0] = '\0';
    job->settings.here = job->here;
    if (job->stdout_log)
        job->lists_dir =
            strndup(job->stdout_log, (size_t)(strrchr(job->stdout_log, '/') - job->stdout_log));
    else if (!dir)
        return 0;
    else if (dir[0] == '/' || !job->here[0])
        job->lists_dir = strdup(dir);
    else if (asprintf(&job->lists_dir, "%s/%s", strcmp(job->here, "/") == 0 ? "" : job->here, dir) <
             0)
        job->lists_dir = NULL;
    job->settings.lists_dir = job->lists_dir;
    return job->lists_dir ? 0 : -1;
}

// Reads and converts the configuration and prints what is to be said of it. Returns an exit status,
// with JOB filled in unless that is EXIT_SYSTEM; job_free() releases it in any case.
static int convert(struct job *job)
{
    const struct gen *gen = job->gen;
    struct conf_source source;
    int status;

    if (source_read(gen->config, &source) < 0) {
        status = fail("read", gen->config);
        source_free(&source);
        return status;
    }
    job->conf = conf_parse(&source, &source_reader);
    job->settings = (struct emit_settings){.format = gen->format,
                                           .wait = accepts_itself(gen),
                                           .templates = gen->templates,
                                           .config = source.name,
                                           .at_boot = gen->at_boot,
                                           .user = gen->user,
                                           .relay = gen->relay,
                                           .wrap = gen->wrap};
    if (job->conf && find_lists_dir(job) == 0)
        job->rules = calloc(job->conf->rule_count + 1, sizeof *job->rules);
    if (!job->rules) {
        source_free(&source);
        return fail_memory();
    }
    logfile_settle(job->conf, &job->settings, job->stdout_log, &job->log);
    note_pid_file(job);
    job->settings.globals_size = emit_globals_size(job->conf);
    job->count = check_rules(job->conf,
                             &(struct check_settings){.wrap_name = gen->wrap_all ? WRAP_NAME : NULL,
                                                      .no_lookups = gen->at_boot},
                             job->rules);
    job->entries = entries_make(job->conf, &job->settings, job->rules, &job->count);
    source_free(&source);
    // At boot neither the log's folder nor who knows the users need be there yet.
    if (!gen->at_boot)
        site_check(job->conf, &(struct site){.settings = &job->settings,
                                             .rules = job->rules,
                                             .count = job->count,
                                             .makes_log = makes_log(job),
                                             .running = gen->run || gen->apply});
    if (job->conf->no_memory)
        return fail_memory();
    print_messages(job);
    return job->conf->error_count > 0 || (gen->strict && job->warnings > 0) ? EXIT_CONFIG
                                                                            : EXIT_CONVERTED;
}

// Returns an exit status.
static int print_explanation(const struct job *job)
{
    union host_address address;
    struct text text = {.size = 0};
    int status = EXIT_CONVERTED;

    explain_address(job->gen->explain, &address);
    explain(job->conf, job->rules, job->count, &address, &text);
    if (text.no_memory)
        status = fail_memory();
    else if ((text.bytes && fputs(text.bytes, stdout) < 0) || fflush(stdout) != 0)
        status = fail("write", "standard output");
    free(text.bytes);
    return status;
}

static void print_path(const char *dir, const char *name)
{
    print_escaped(stderr, dir);
    if (name) {
        putc('/', stderr);
        print_escaped(stderr, name);
    }
}

// Returns an exit status.
static int fail_in_folder(const char *dir, const char *name)
{
    int error = errno;

    fputs(PROGRAM ": unable to write ", stderr);
    print_path(dir, name);
    fprintf(stderr, ": %s\n", strerror(error));
    return EXIT_SYSTEM;
}

static int refuse_foreign(const struct output_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->step[i].change != OUTPUT_FOREIGN)
            continue;
        fputs(PROGRAM ": unable to write ", stderr);
        print_path(plan->dir, plan->step[i].name);
        fputs(": " PROGRAM " did not make what is there (it is no regular file, or has no line "
              "\"" OUTPUT_MARK "...\"); move it away first\n",
              stderr);
    }
    return EXIT_SYSTEM;
}

static void print_change(const struct output_plan *plan, const char *word, const char *name)
{
    fprintf(stderr, PROGRAM ": %s ", word);
    print_path(plan->dir, name);
    putc('\n', stderr);
}

static void print_changes(const struct output_plan *plan, bool only_tell)
{
    static const struct {
        const char *done, *plan;
    } words[] = {[OUTPUT_CREATED] = {"created", "would create"},
                 [OUTPUT_REPLACED] = {"changed", "would change"},
                 [OUTPUT_REMOVED] = {"removed", "would remove"},
                 [OUTPUT_LEFT] = {NULL, "would remove"},
                 [OUTPUT_CLEANED] = {NULL, NULL},
                 [OUTPUT_SAME] = {NULL, NULL},
                 [OUTPUT_FOREIGN] = {NULL, NULL}};

    for (size_t i = 0; i < plan->count; i++) {
        enum output_change change = plan->step[i].change;
        const char *word = only_tell ? words[change].plan : words[change].done;

        if (word)
            print_change(plan, word, plan->step[i].name);
    }
}

// A folder on its way to what the configuration says.
struct writing {
    const struct job *job;
    struct output_plan plan;
};

// Returns an exit status.
static int write_plan(struct output_plan *plan)
{
    if (output_commit(plan) < 0)
        return fail_in_folder(plan->dir, plan->failed);
    print_changes(plan, false);
    return EXIT_CONVERTED;
}

// Removes the lists that nobody goes by any more. Returns an exit status.
static int clean(struct output_plan *plan, bool all)
{
    int status = EXIT_CONVERTED;

    if (output_clean(plan, all) < 0)
        status = fail_in_folder(plan->dir, plan->failed);
    for (size_t i = 0; i < plan->count; i++)
        if (plan->step[i].change == OUTPUT_CLEANED)
            print_change(plan, "removed", plan->step[i].name);
    return status;
}

// Writes the files, after the log for those who will run by them at once. Returns an exit status.
static int write_all(struct writing *writing)
{
    int status = create_log(writing->job);

    return status == EXIT_CONVERTED ? write_plan(&writing->plan) : status;
}

// The same for apply, which knows 0 and -1.
static int write_before(void *context)
{
    return write_all(context) == EXIT_CONVERTED ? 0 : -1;
}

static void say(void *context, const char *line)
{
    (void)context;
    fputs(PROGRAM ": ", stderr);
    print_escaped(stderr, line);
    putc('\n', stderr);
}

// The argument by which the relays of RULE are known; free() it.
static char *make_listener(const struct emit_rule *rule)
{
    bool six = rule->rule->bind.kind == HOST_IPV6;
    char *listener;

    if (asprintf(&listener, "--%s=%s%s%s:%u", options_table[OPTION_LISTENER].name, six ? "[" : "",
                 rule->rule->bind.text, six ? "]" : "", rule->listener_port) < 0)
        return NULL;
    return listener;
}

// Returns 0 or -1.
static int apply_xinetd(struct apply_request *request, const struct job *job)
{
    struct apply_rule *rules = calloc(job->count + 1, sizeof *rules);
    int result = rules ? 0 : -1;

    for (size_t i = 0; i < job->count && result == 0; i++) {
        rules[i].address = job->rules[i].listener;
        rules[i].port = job->rules[i].listener_port;
        rules[i].udp = job->rules[i].udp;
        rules[i].wait = emit_waits(&job->settings, &job->rules[i]);
        rules[i].v6only = job->rules[i].v6only;
        rules[i].listener = make_listener(&job->rules[i]);
        result = rules[i].listener ? 0 : -1;
    }
    request->rules = rules;
    request->count = job->count;
    if (result == 0)
        result = hangup_xinetd(request);
    else
        fail_memory();
    for (size_t i = 0; rules && i < job->count; i++)
        free(rules[i].listener);
    free(rules);
    return result;
}

// Writes and has the superserver go by it, or tells only. Returns an exit status.
static int apply(struct writing *writing)
{
    const struct job *job = writing->job;
    struct apply_request request = {.plan = &writing->plan,
                                    .only_tell = job->gen->check_only,
                                    .write = write_before,
                                    .say = say,
                                    .context = writing,
                                    .is_ours = emit_is_unit_name,
                                    .rival = "rinetd.service"};
    int result;

    if (request.only_tell) {
        create_log(job);
        print_changes(&writing->plan, true);
    }
    if (job->settings.format == EMIT_SYSTEMD)
        result = apply_systemd(&request);
    else
        result = apply_xinetd(&request, job);
    return result == 0 ? EXIT_CONVERTED : EXIT_SYSTEM;
}

// Keeps away what would end us half way, with sockets closed that are about to be opened again. The
// caller gives back the mask.
static void hold_signals(sigset_t *mask)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGPIPE);
    sigprocmask(SIG_BLOCK, &held, mask);
}

static enum output_kind kind_for_xinetd(const char *name)
{
    return emit_is_list_name(EMIT_XINETD, name) ? OUTPUT_NAMED : OUTPUT_NOT_OURS;
}

static enum output_kind kind_for_inetd(const char *name)
{
    return emit_is_list_name(EMIT_INETD, name) ? OUTPUT_NAMED : OUTPUT_NOT_OURS;
}

static enum output_kind kind_for_systemd(const char *name)
{
    if (emit_is_unit_name(name))
        return OUTPUT_OURS;
    return emit_is_list_name(EMIT_SYSTEMD, name) ? OUTPUT_NAMED : OUTPUT_NOT_OURS;
}

// Returns an exit status.
static int plan_and_write(struct writing *writing)
{
    static enum output_kind (*const kinds[])(const char *) = {[EMIT_XINETD] = kind_for_xinetd,
                                                              [EMIT_INETD] = kind_for_inetd,
                                                              [EMIT_SYSTEMD] = kind_for_systemd};
    const struct job *job = writing->job;
    const char *dir = job->gen->output_dir;
    // Lists that nobody names any more do no harm in a folder that cannot be read.
    bool blind = job->settings.format != EMIT_SYSTEMD && access(dir, R_OK) < 0;
    sigset_t mask;
    int status;

    if (output_plan(&writing->plan, dir, job->entries.file, job->entries.count,
                    blind ? NULL : kinds[job->settings.format]) < 0)
        return fail_in_folder(dir, writing->plan.failed);
    if (writing->plan.foreign > 0)
        return refuse_foreign(&writing->plan);
    if (job->gen->check_only)
        return apply(writing);
    hold_signals(&mask);
    status = job->gen->apply ? apply(writing) : write_all(writing);
    // Until the superserver has taken over what was written, relays start by the old lists.
    if (status == EXIT_CONVERTED)
        status = clean(&writing->plan, job->gen->apply);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return status;
}

// Returns an exit status.
static int write_folder(const struct job *job)
{
    const char *dir = job->gen->output_dir;
    struct writing writing = {.job = job};
    int status = EXIT_SYSTEM;

    if (!job->gen->check_only && output_lock(&writing.plan, dir, LOCK_MS) < 0) {
        fputs(PROGRAM ": another " PROGRAM " is at work in ", stderr);
        print_path(dir, NULL);
        putc('\n', stderr);
    } else {
        status = plan_and_write(&writing);
    }
    output_plan_free(&writing.plan);
    return status;
}

// Writes the units, and has each socket started with the system: here nobody can enable it. Returns
// an exit status.
static int write_at_boot(const struct job *job)
{
    const char *dir = job->gen->output_dir;
    struct output_plan plan = {.count = 0};
    int status = EXIT_CONVERTED;

    if (output_plan(&plan, dir, job->entries.file, job->entries.count, NULL) < 0)
        status = fail_in_folder(dir, plan.failed);
    else if (plan.foreign > 0)
        status = refuse_foreign(&plan);
    else if (output_commit(&plan) < 0)
        status = fail_in_folder(dir, plan.failed);
    for (size_t i = 0; status == EXIT_CONVERTED && i < plan.count; i++)
        if (fnmatch("*.socket", plan.step[i].name, 0) == 0 &&
            generator_want(dir, plan.step[i].name) < 0)
            status = fail_in_folder(dir, plan.step[i].name);
    output_plan_free(&plan);
    return status;
}

// Several files as `systemctl cat` shows them.
static int write_output(const struct job *job)
{
    for (size_t i = 0; i < job->entries.count; i++) {
        const struct output_file *file = &job->entries.file[i];

        if (job->settings.format == EMIT_SYSTEMD)
            printf("%s# %s\n", i ? "\n" : "", file->name);
        if (fwrite(file->text, 1, file->size, stdout) != file->size)
            break;
    }
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_CONVERTED;
    return fail("write", "standard output");
}

static int generate(const struct gen *gen)
{
    struct job job = {.gen = gen};
    int status = convert(&job), written = EXIT_CONVERTED;

    if (status == EXIT_SYSTEM || (gen->check_only && !gen->apply)) {
        written = status;
    } else if (gen->explain) {
        written = print_explanation(&job);
    } else if (gen->at_boot) {
        written = write_at_boot(&job);
    } else if (gen->output_dir) {
        if (status == EXIT_CONVERTED)
            written = write_folder(&job);
    } else if (status == EXIT_CONVERTED || !gen->strict) {
        written = write_output(&job);
    }
    job_free(&job);
    return written == EXIT_CONVERTED ? status : written;
}

// What the launcher gets of one conversion.
struct launched {
    struct job job;
    struct launch_config config;
    struct launch_service *services;
    char **texts; // titles and listeners in turn, for the services
};

static void discard(void *context, struct launch_config *config)
{
    struct launched *launched =
        (struct launched *)(void *)((char *)config - offsetof(struct launched, config));

    (void)context;
    for (size_t i = 0; launched->texts && i < launched->job.count * 2; i++)
        free(launched->texts[i]);
    free(launched->texts);
    free(launched->services);
    job_free(&launched->job);
    free(launched);
}

static char *title_of(const struct emit_rule *rule)
{
    struct text title = {.size = 0};

    emit_describe(rule, &title);
    if (!title.no_memory)
        return title.bytes;
    free(title.bytes);
    return NULL;
}

static bool describe_services(struct launched *launched)
{
    const struct job *job = &launched->job;
    const struct output_file *file;

    launched->services = calloc(job->count + 1, sizeof *launched->services);
    launched->texts = calloc(job->count * 2 + 1, sizeof *launched->texts);
    if (!launched->services || !launched->texts)
        return false;
    for (size_t i = 0; i < job->count; i++) {
        const struct emit_rule *rule = &job->rules[i];

        if (!(launched->texts[i * 2] = title_of(rule)) ||
            !(launched->texts[i * 2 + 1] = make_listener(rule)))
            return false;
        launched->services[i] = (struct launch_service){.name = rule->name,
                                                        .title = launched->texts[i * 2],
                                                        .listener = launched->texts[i * 2 + 1],
                                                        .wait = emit_waits(&job->settings, rule),
                                                        .udp = rule->udp,
                                                        .v6only = rule->v6only};
    }
    file = &job->entries.file[job->entries.lists];
    launched->config = (struct launch_config){.text = file->text,
                                              .size = file->size,
                                              .service = launched->services,
                                              .count = job->count,
                                              .pid_file = job->conf->pid.text};
    return true;
}

// Puts compiled access lists into the launcher's folder. Those of before stay until the reload has
// succeeded: relays still run by them. Returns 0, or -1 when it failed, which was reported.
static int write_lists(const struct job *job)
{
    struct output_plan plan = {.count = 0};
    int result = 0;

    if (job->entries.lists > 0 &&
        (output_plan(&plan, job->lists_dir, job->entries.file, job->entries.lists, NULL) < 0 ||
         output_commit(&plan) < 0)) {
        fail_in_folder(job->lists_dir, plan.failed);
        result = -1;
    }
    output_plan_free(&plan);
    return result;
}

// Removes the lists that CONFIG does not have.
static void taken(void *context, struct launch_config *config)
{
    struct launched *launched =
        (struct launched *)(void *)((char *)config - offsetof(struct launched, config));
    const struct job *job = &launched->job;
    struct output_plan plan = {.count = 0};

    (void)context;
    if (output_plan(&plan, job->lists_dir, job->entries.file, job->entries.lists, kind_for_xinetd) <
            0 ||
        output_clean(&plan, true) < 0)
        fail_in_folder(job->lists_dir, plan.failed);
    output_plan_free(&plan);
}

static struct launch_config *make(void *context, const char *log_path)
{
    struct launched *launched = calloc(1, sizeof *launched);

    if (!launched) {
        fail_memory();
        return NULL;
    }
    launched->job.gen = context;
    launched->job.stdout_log = log_path;
    if (convert(&launched->job) == EXIT_CONVERTED) {
        create_log(&launched->job);
        if (write_lists(&launched->job) < 0)
            goto failed;
        if (describe_services(launched))
            return &launched->config;
        fail_memory();
    }
failed:
    discard(context, &launched->config);
    return NULL;
}

static int run(struct gen *gen)
{
    struct launch_request request = {.program = PROGRAM,
                                     .user = gen->user,
                                     .make = make,
                                     .taken = taken,
                                     .discard = discard,
                                     .context = gen};

    switch (launch_run(&request)) {
    case LAUNCH_STOPPED:
        return EXIT_CONVERTED;
    case LAUNCH_BAD_CONFIG:
        return EXIT_CONFIG;
    case LAUNCH_FAILED:
        break;
    }
    return EXIT_SYSTEM;
}

// Reads the site's own templates; those it does not have are the built-in ones.
static int load_templates(struct gen *gen)
{
    size_t count = 0, found = 0;

    while (emit_templates[count].name)
        count++;
    gen->templates = calloc(count + 1, sizeof *gen->templates);
    if (!gen->templates)
        return fail_memory();
    for (size_t i = 0; i < count; i++) {
        struct conf_source source;
        bool failed;
        char *path;
        int result;

        if (asprintf(&path, "%s/%s", gen->templates_dir, emit_templates[i].name) < 0)
            return fail_memory();
        result = source_read(path, &source);
        failed = result < 0 && errno != ENOENT;
        if (failed)
            fail("read", path);
        free(path);
        if (result == 0)
            gen->templates[found++] = (struct emit_template){
                emit_templates[i].name, strndup(source.bytes ? source.bytes : "", source.size)};
        source_free(&source);
        if (failed)
            return EXIT_SYSTEM;
    }
    if (found > 0)
        return EXIT_CONVERTED;
    fprintf(stderr, PROGRAM ": no template in %s: expected one of", gen->templates_dir);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %s", emit_templates[i].name);
    putc('\n', stderr);
    return EXIT_SYSTEM;
}

static void print_usage(FILE *to)
{
    fputs(
        "usage: " PROGRAM " [options] > /etc/xinetd.d/rinetd\n"
        "\n"
        "Turns rinetd.conf into entries for a superserver.\n"
        "\n"
        "  -c, --config FILE      the configuration, - for standard input; default " CONFIG_PATH
        "\n"
        "  -f, --format NAME      xinetd (default), systemd or inetd\n"
        "  -m, --mode NAME        nowait: the superserver accepts, and starts the relay for each\n"
        "                         connection; default for xinetd and inetd\n"
        "                         wait: the relay accepts by itself, and ends when it is idle;\n"
        "                         default for systemd\n"
        "  -o, --output-dir DIR   write DIR/rinetd (xinetd), DIR/rinetd.inetd (inetd), or two\n"
        "                         units for each rule (systemd), and long access lists\n"
        "      --apply            after that, have the superserver go by it: start, stop and\n"
        "                         restart what has to be; with --check, only tell\n"
        "  -n, --check            check only: diagnostics and exit status\n"
        "  -T, --explain ADDRESS  say which rules would let a client from there in, and why\n"
        "  -R, --run              run the configuration under a private xinetd\n"
        "  -r, --relay PATH       the relay; default " RELAY_PATH "\n"
        "  -u, --user NAME        the user that the relay runs as; default " USER "\n"
        "      --strict           a warning counts as an error\n"
        "      --wrap             every rule asks TCP wrappers, as " WRAP_NAME "\n"
        "      --templates DIR    the site's own templates\n"
        "  -h, --help             print this\n"
        "  -V, --version          print the version\n",
        to);
}

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *format, ...)
{
    va_list arguments;

    fputs(PROGRAM ": ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("; see --help\n", stderr);
    return EXIT_USAGE;
}

enum { OPTION_LONG_STRICT = 256, OPTION_LONG_WRAP, OPTION_LONG_TEMPLATES, OPTION_LONG_APPLY };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"format", required_argument, NULL, 'f'},
    {"mode", required_argument, NULL, 'm'},
    {"output-dir", required_argument, NULL, 'o'},
    {"check", no_argument, NULL, 'n'},
    {"explain", required_argument, NULL, 'T'},
    {"run", no_argument, NULL, 'R'},
    {"relay", required_argument, NULL, 'r'},
    {"user", required_argument, NULL, 'u'},
    {"strict", no_argument, NULL, OPTION_LONG_STRICT},
    {"wrap", no_argument, NULL, OPTION_LONG_WRAP},
    {"templates", required_argument, NULL, OPTION_LONG_TEMPLATES},
    {"apply", no_argument, NULL, OPTION_LONG_APPLY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static bool is_user(const char *text)
{
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return length > 0 && text[length] == '\0' && text[0] != '-' && length <= 32;
}

static int take_format(struct gen *gen, const char *name)
{
    if (strcmp(name, "xinetd") == 0)
        gen->format = EMIT_XINETD;
    else if (strcmp(name, "inetd") == 0)
        gen->format = EMIT_INETD;
    else if (strcmp(name, "systemd") == 0)
        gen->format = EMIT_SYSTEMD;
    else
        return usage_error("found format \"%s\", expected xinetd, inetd or systemd", name);
    return EXIT_CONVERTED;
}

static int take_mode(struct gen *gen, const char *name)
{
    if (strcmp(name, "wait") == 0)
        gen->mode = MODE_WAIT;
    else if (strcmp(name, "nowait") == 0)
        gen->mode = MODE_NOWAIT;
    else
        return usage_error("found mode \"%s\", expected wait or nowait", name);
    return EXIT_CONVERTED;
}

// Takes what stands before anything is done. Returns EXIT_CONVERTED, or the status to end with; -1:
// end well, the text that was asked for has been printed.
static int take_options(struct gen *gen, int argc, char *argv[])
{
    int letter, status = EXIT_CONVERTED;

    while (status == EXIT_CONVERTED &&
           (letter = getopt_long(argc, argv, "c:f:m:o:nT:Rr:u:hV", long_options, NULL)) != -1) {
        switch (letter) {
        case 'c':
            gen->config = optarg;
            break;
        case 'f':
            status = take_format(gen, optarg);
            break;
        case 'm':
            status = take_mode(gen, optarg);
            break;
        case 'o':
            gen->output_dir = optarg;
            break;
        case 'n':
            gen->check_only = true;
            break;
        case 'T':
            gen->explain = optarg;
            break;
        case 'R':
            gen->run = true;
            break;
        case 'r':
            gen->relay = optarg;
            break;
        case 'u':
            gen->user = optarg;
            break;
        case OPTION_LONG_STRICT:
            gen->strict = true;
            break;
        case OPTION_LONG_WRAP:
            gen->wrap_all = true;
            break;
        case OPTION_LONG_TEMPLATES:
            gen->templates_dir = optarg;
            break;
        case OPTION_LONG_APPLY:
            gen->apply = true;
            break;
        case 'h':
            print_usage(stdout);
            return -1;
        case 'V':
            puts(PROGRAM " " VERSION);
            return -1;
        default:
            fputs("see " PROGRAM " --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    return status;
}

static bool is_plain_path(const char *path)
{
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return path[0] == '/';
}

// What options say together. Returns EXIT_CONVERTED or EXIT_USAGE.
static int check_options(const struct gen *gen, int operands)
{
    int modes = gen->run + (gen->output_dir != NULL) + gen->check_only + (gen->explain != NULL);
    union host_address address;

    if (operands > 0)
        return usage_error("found an argument, expected options only");
    if (modes > 1 && !(modes == 2 && gen->output_dir && gen->check_only))
        return usage_error("--run, --output-dir, --check and --explain exclude each other");
    if (gen->apply && !gen->output_dir)
        return usage_error("--apply is for what --output-dir writes");
    if (gen->apply && gen->format == EMIT_INETD)
        return usage_error("--apply cannot be used with inetd, whose configuration may have other "
                           "parts and lie anywhere; put the file's text into it, and send SIGHUP");
    if (gen->run && gen->format != EMIT_XINETD)
        return usage_error("--run runs xinetd, and no other format");
    if (gen->run && strcmp(gen->config, "-") == 0)
        return usage_error("--run reads its configuration again, so it needs a file");
    if (!is_plain_path(gen->relay))
        return usage_error("found relay \"%s\", expected an absolute path without blanks",
                           gen->relay);
    if (!is_user(gen->user))
        return usage_error("found user \"%s\", expected a name or a number", gen->user);
    // openbsd-inetd looks users up by name alone, when a connection comes, and drops that then.
    if (gen->format == EMIT_INETD && gen->user[strspn(gen->user, "0123456789")] == '\0')
        return usage_error("found user \"%s\", expected a name: inetd takes no number", gen->user);
    if (gen->format == EMIT_INETD && strchr(gen->user, '.'))
        return usage_error("found user \"%s\", expected no '.': inetd reads a group after it",
                           gen->user);
    if (gen->explain && !explain_address(gen->explain, &address))
        return usage_error("found \"%s\", expected the address of a client, a link-local one with "
                           "its interface: fe80::1%%eth0",
                           gen->explain);
    return EXIT_CONVERTED;
}

// Under --run without privileges xinetd can start the relay as nobody but the caller.
static void default_user(struct gen *gen, char *number, size_t size)
{
    const struct passwd *entry;

    if (gen->user)
        return;
    gen->user = USER;
    if (!gen->run || geteuid() == 0)
        return;
    entry = getpwuid(geteuid());
    snprintf(number, size, "%s", entry ? entry->pw_name : "");
    if (!entry)
        snprintf(number, size, "%u", (unsigned)geteuid());
    gen->user = number;
}

static char *beside_relay(const char *relay)
{
    const char *slash = strrchr(relay, '/');
    char *wrap;

    if (asprintf(&wrap, "%.*s/rinetd-wrap", slash ? (int)(slash - relay) : 0, relay) < 0)
        return NULL;
    return wrap;
}

static void gen_free(struct gen *gen)
{
    union {
        const char *constant;
        char *allocated;
    } text;

    for (struct emit_template *t = gen->templates; t && t->name; t++) {
        text.constant = t->text;
        free(text.allocated);
    }
    free(gen->templates);
    free(gen->wrap);
}

// Converts the configuration into units of the folder that systemd names: systemd.generator(7).
static int generate_at_boot(int argc, char *argv[])
{
    struct gen gen = {.config = CONFIG_PATH,
                      .relay = RELAY_PATH,
                      .user = USER,
                      .output_dir = argv[1],
                      .format = EMIT_SYSTEMD,
                      .at_boot = true};
    struct stat config = {.st_mode = S_IFREG};
    char where[PATH_MAX];
    int status;

    if ((argc != 2 && argc != 4) || argv[1][0] != '/') {
        fputs("expected one folder, or three, as systemd.generator(7) says\n", stderr);
        return EXIT_USAGE;
    }
    if (generator_is_elsewhere() || (stat(gen.config, &config) < 0 && errno == ENOENT))
        return EXIT_CONVERTED;
    // A fifo would keep the whole system from starting.
    if (!S_ISREG(config.st_mode)) {
        fprintf(stderr, "unable to read %s: it is no regular file\n", gen.config);
        return EXIT_SYSTEM;
    }
    if (generator_is_enabled("rinetd", where, sizeof where)) {
        fprintf(stderr, "rinetd itself is enabled (%s), so %s is left to it\n", where, gen.config);
        return EXIT_CONVERTED;
    }
    gen.wrap = beside_relay(gen.relay);
    status = gen.wrap ? generate(&gen) : fail_memory();
    gen_free(&gen);
    return status;
}

int main(int argc, char *argv[])
{
    struct gen gen = {.config = CONFIG_PATH, .relay = RELAY_PATH};
    char user[USER_NAME_MAX];
    int status;

    if (generator_is(argv[0], GENERATOR)) {
        generator_use_kernel_log();
        status = generate_at_boot(argc, argv);
        generator_flush_kernel_log(GENERATOR);
        return status;
    }
    status = take_options(&gen, argc, argv);
    if (status == -1)
        return fflush(stdout) == 0 ? EXIT_CONVERTED : fail("write", "standard output");
    if (status != EXIT_CONVERTED)
        return status;
    default_user(&gen, user, sizeof user);
    status = check_options(&gen, argc - optind);
    if (status != EXIT_CONVERTED)
        return status;
    gen.wrap = beside_relay(gen.relay);
    if (!gen.wrap)
        return fail_memory();
    if (gen.templates_dir)
        status = load_templates(&gen);
    if (status == EXIT_CONVERTED)
        status = gen.run ? run(&gen) : generate(&gen);
    gen_free(&gen);
    return status;
}
