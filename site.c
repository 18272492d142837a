// SPDX-License-Identifier: ISC
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "source.h"

// xinetd has a descriptor for each listener; 1024 of them less its own is a usual limit.
#define XINETD_SERVICES_MAX 900

// One name's look-up, and all of them.
#define LOOKUP_SECONDS   "5"
#define LOOKUPS_TOTAL_MS 20000
#define LOOKUPS_RUN_MS   3000 // under --run, which hears no signal meanwhile
#define ADDRESSES_MAX    8    // of one name
#define GROUPS_MAX       256
#define LOOKUP_LINE_MAX  2048

bool site_user(const char *user, uid_t *uid, gid_t *gid)
{
    const struct passwd *entry = getpwnam(user);

    if (entry) {
        *uid = entry->pw_uid;
        *gid = entry->pw_gid;
        return true;
    }
    if (*user == '\0' || user[strspn(user, "0123456789")] != '\0' || strlen(user) > 10 ||
        strtoull(user, NULL, 10) >= UINT_MAX)
        return false;
    // xinetd takes a bare number for both.
    *uid = (uid_t)strtoul(user, NULL, 10);
    *gid = (gid_t)*uid;
    return true;
}

// Whom the relay runs as.
struct runner {
    uid_t uid;
    bool almighty; // no mode of a file stops it
    gid_t groups[GROUPS_MAX];
    int count;
};

// systemd takes a number only of a user that there is.
static bool is_stranger(const struct emit_settings *settings, uid_t uid)
{
    return settings->format == EMIT_SYSTEMD && !getpwuid(uid);
}

// xinetd gives the relay no group but the user's own, as the entry asks it to; the others give it
// all of them. Root has no capabilities in a sandbox.
static bool find_runner(const struct emit_settings *settings, struct runner *runner)
{
    runner->count = 1;
    if (!site_user(settings->user, &runner->uid, &runner->groups[0]) ||
        is_stranger(settings, runner->uid))
        return false;
    runner->almighty = runner->uid == 0 && settings->format != EMIT_SYSTEMD;
    if (settings->format != EMIT_XINETD) {
        runner->count = GROUPS_MAX;
        if (getgrouplist(settings->user, runner->groups[0], runner->groups, &runner->count) < 0)
            runner->count = GROUPS_MAX;
    }
    return true;
}

// Whether RUNNER has WANTED (4, 2, 1 as in a mode) on the file of STATUS.
static bool has_mode(const struct stat *status, const struct runner *runner, unsigned wanted)
{
    if (runner->almighty)
        return true;
    if (status->st_uid == runner->uid)
        return (status->st_mode >> 6 & wanted) == wanted;
    for (int i = 0; i < runner->count; i++)
        if (status->st_gid == runner->groups[i])
            return (status->st_mode >> 3 & wanted) == wanted;
    return (status->st_mode & wanted) == wanted;
}

// The folder on the way to PATH that RUNNER cannot pass, or that is missing; NULL: there is none.
static const char *find_obstacle(char *path, const struct runner *runner)
{
    struct stat status;

    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (stat(path, &status) < 0 || !has_mode(&status, runner, 1))
            return path;
        *slash = '/';
    }
    return NULL;
}

// FILE for a shell, in quotes where it needs them; owned by CONF's caller, on the heap.
static char *shell_word(const char *file)
{
    char *word = malloc(strlen(file) * 4 + 3), *to = word;

    if (!word)
        return NULL;
    if (file[strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")] ==
        '\0')
        return strcpy(word, file);
    *to++ = '\'';
    for (; *file; file++) {
        if (*file == '\'')
            to = stpcpy(to, "'\\'");
        *to++ = (char)((unsigned char)*file < 0x20 || *file == 0x7f ? '?' : *file);
    }
    strcpy(to, "'");
    return word;
}

// Whether PATH is a link to a file of another folder. Links in the folder's own path do no harm.
static bool leads_elsewhere(const char *path)
{
    char *target = realpath(path, NULL), *folder = strdup(path), *real = NULL;
    bool elsewhere = false;

    if (target && folder) {
        *strrchr(folder, '/') = '\0';
        *strrchr(target, '/') = '\0';
        real = realpath(*folder ? folder : "/", NULL);
        elsewhere = real && strcmp(strcmp(real, "/") == 0 ? "" : real, target) != 0;
    }
    free(target);
    free(folder);
    free(real);
    return elsewhere;
}

static void check_log(struct conf *conf, const struct site *site, const struct runner *runner)
{
    const char *log = site->settings->log, *user = site->settings->user, *obstacle;
    char *path = strdup(log), *word = shell_word(log);
    const struct conf_place *place = &conf->log.place;
    struct stat status;

    if (!path || !word) {
        conf->no_memory = true;
    } else if ((obstacle = find_obstacle(path, runner)) != NULL) {
        bool missing = stat(obstacle, &status) < 0 && errno == ENOENT;
        char *folder = shell_word(obstacle);

        conf_report(conf, CONF_WARNING, place,
                    "the user %s cannot reach the log file: the folder %s is %s; lines will go to "
                    "syslog; to mend it: %s %s",
                    user, conf_quote(conf, obstacle, strlen(obstacle)),
                    missing ? "missing" : "closed to that user",
                    missing ? "install -d -m 0755" : "chmod o+x", folder ? folder : "");
        free(folder);
    } else if (stat(log, &status) == 0) {
        if (site->settings->format == EMIT_SYSTEMD && leads_elsewhere(log))
            conf_report(conf, CONF_WARNING, place,
                        "the log file is a link to a file in another folder, which units cannot "
                        "write to; lines will go to syslog; to mend it: name that file here");
        else if (S_ISDIR(status.st_mode))
            conf_report(conf, CONF_WARNING, place,
                        "the log file is a folder; lines will go to syslog");
        else if (!has_mode(&status, runner, 2))
            conf_report(conf, CONF_WARNING, place,
                        "the user %s cannot write the log file; lines will go to syslog; to mend "
                        "it: %s %s %s",
                        user, status.st_uid == runner->uid ? "chmod" : "chown",
                        status.st_uid == runner->uid ? "u+w" : user, word);
    } else if (!site->makes_log) {
        *strrchr(path, '/') = '\0';
        if (stat(*path ? path : "/", &status) < 0 || !has_mode(&status, runner, 3))
            conf_report(conf, CONF_WARNING, place,
                        "the log file does not exist, and the user %s cannot create it; lines will "
                        "go to syslog; to mend it: install -o %s -m 0640 /dev/null %s",
                        user, user, word);
    }
    free(path);
    free(word);
}

// A list that the relay cannot read lets nobody in.
static void check_lists(struct conf *conf, const struct site *site, const struct runner *runner)
{
    const char *list = NULL, *obstacle;
    char *path;

    for (size_t i = 0; i < site->count; i++)
        for (int j = 0; j < ACL_LISTS; j++)
            list = site->rules[i].compiled[j] ? site->rules[i].compiled[j] : list;
    if (!list)
        return;
    path = strdup(list);
    obstacle = path ? find_obstacle(path, runner) : NULL;
    if (!path)
        conf->no_memory = true;
    else if (obstacle)
        conf_report(conf, CONF_WARNING, NULL,
                    "the user %s cannot reach the compiled access lists, so nobody will be let in: "
                    "the folder %s is missing or closed to that user",
                    site->settings->user, conf_quote(conf, obstacle, strlen(obstacle)));
    free(path);
}

// How the user comes to be: a command, to which its name belongs after a blank at the end.
static const char *user_command(const char *user)
{
    if (user[strspn(user, "0123456789")] == '\0')
        return "choose the name of one";
    if (strcmp(user, "rinetd") == 0 && access(SYSUSERS_PATH, R_OK) == 0)
        return "systemd-sysusers " SYSUSERS_PATH;
    return "useradd --system --user-group --home-dir /nonexistent --no-create-home --shell "
           "/usr/sbin/nologin ";
}

static void check_user(struct conf *conf, const struct site *site)
{
    static const char *const without[] = {
        [EMIT_XINETD] = "xinetd disables each service without its user",
        [EMIT_INETD] = "inetd refuses each connection without it",
        [EMIT_SYSTEMD] = "systemd starts no service without its user",
    };
    const struct emit_settings *settings = site->settings;
    const char *command = user_command(settings->user);
    struct runner runner;

    if (!find_runner(settings, &runner)) {
        conf_report(conf, site->running ? CONF_ERROR : CONF_WARNING, NULL,
                    "the user %s does not exist, and %s; to make it: %s%s", settings->user,
                    without[settings->format], command,
                    command[strlen(command) - 1] == ' ' ? settings->user : "");
        return;
    }
    if (settings->log && settings->log[0] == '/')
        check_log(conf, site, &runner);
    check_lists(conf, site, &runner);
}

static bool check_program(struct conf *conf, const struct site *site, const char *program)
{
    static const char *const without[] = {
        [EMIT_XINETD] = "xinetd disables each service without its program",
        [EMIT_INETD] = "inetd ends each connection without it",
        [EMIT_SYSTEMD] = "systemd starts no service without its program",
    };
    struct stat status;

    if (stat(program, &status) == 0 && !S_ISREG(status.st_mode))
        errno = EACCES;
    else if (access(program, X_OK) == 0)
        return true;
    conf_report(conf, site->running ? CONF_ERROR : CONF_WARNING, NULL,
                "unable to execute %s: %s, and %s; --relay names another",
                conf_quote(conf, program, strlen(program)), strerror(errno),
                without[site->settings->format]);
    return false;
}

// Whether NAME is an attribute in the section "defaults" of the SIZE bytes of a configuration of
// xinetd.
static bool has_default(const char *bytes, size_t size, const char *name)
{
    const char *end = bytes + size, *next;
    bool inside = false;

    for (const char *line = bytes; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *word = line;
        size_t length;

        next = newline ? newline + 1 : end;
        while (word < next && (*word == ' ' || *word == '\t'))
            word++;
        for (length = 0; word + length < next && !strchr(" \t\r\n+-=", word[length]);)
            length++;
        if (length == strlen("defaults") && memcmp(word, "defaults", length) == 0)
            inside = true;
        else if (word < next && *word == '}')
            inside = false;
        else if (inside && length == strlen(name) && memcmp(word, name, length) == 0)
            return true;
    }
    return false;
}

// xinetd looks for the client at the listening socket of a wait service, finds none, and starts
// over for as long as the client waits, or cps lets it. A no_access has no effect in 2.3.15.
static void check_defaults(struct conf *conf)
{
    static const struct {
        const char *name, *effect;
    } lists[] = {
        {"only_from", "turns all clients away then, and closes the port for seconds at a time"},
        {"no_access", "may pass over it then, or turn all clients away"},
    };
    struct conf_source source;

    if (source_read(XINETD_CONF_PATH, &source) == 0)
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            if (has_default(source.bytes, source.size, lists[i].name))
                conf_report(conf, CONF_WARNING, NULL,
                            "the defaults of " XINETD_CONF_PATH
                            " have %s, which no TCP service with "
                            "\"wait = yes\" can take back: xinetd %s; move it into the services "
                            "that need it, or use --mode=nowait",
                            lists[i].name, lists[i].effect);
    source_free(&source);
}

// A name that rules forward to.
struct target_name {
    const char *text;
    const struct conf_place *place;
    const struct emit_rule *rule;
};

// What the names of rules stand for now, and where that leads.
struct map {
    const struct site *site;
    struct check_index *index;
    union host_address (*found)[ADDRESSES_MAX]; // of each rule's target, where that is a name
    unsigned char *count;
    size_t *seen;  // the walk in which a rule was last met
    size_t *stack; // rules to be looked at
};

static int compare_names(const void *a, const void *b)
{
    const struct target_name *x = a, *y = b;
    int order = strcmp(x->text, y->text);

    return order ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

static size_t collect_names(const struct site *site, struct target_name *names)
{
    size_t count = 0;

    for (size_t i = 0; i < site->count; i++) {
        const struct conf_rule *rule = site->rules[i].rule;
        const char *src = rule->options.text[OPTION_SRC];

        if (rule->target.kind == HOST_NAME)
            names[count++] =
                (struct target_name){rule->target.text, &rule->target.place, &site->rules[i]};
        if (src && host_kind(src) == HOST_NAME)
            names[count++] =
                (struct target_name){src, &rule->option_place[OPTION_SRC], &site->rules[i]};
    }
    qsort(names, count, sizeof *names, compare_names);
    return count;
}

// Starts the relay's own resolver on the names. Returns the descriptor of its answers, or -1.
static int start_resolver(const char *relay, const struct target_name *names, size_t count,
                          pid_t *child)
{
    FILE *questions = tmpfile();
    int answers[2] = {-1, -1}, saved;

    if (!questions)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i].text, names[i - 1].text) != 0)
            fprintf(questions, "%s\n", names[i].text);
    if (fflush(questions) != 0 || fseek(questions, 0, SEEK_SET) != 0 ||
        pipe2(answers, O_CLOEXEC) < 0)
        goto failed;
    *child = fork();
    if (*child < 0)
        goto failed;
    if (*child == 0) {
        dup2(fileno(questions), STDIN_FILENO);
        dup2(answers[1], STDOUT_FILENO);
        execl(relay, relay, "--connect-timeout=" LOOKUP_SECONDS, "--resolve", (char *)NULL);
        _exit(127);
    }
    close(answers[1]);
    fclose(questions);
    return answers[0];
failed:
    saved = errno;
    fclose(questions);
    if (answers[0] >= 0) {
        close(answers[0]);
        close(answers[1]);
    }
    errno = saved;
    return -1;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Reads one line without its LF by DEADLINE. Returns whether there was one.
static bool read_answer(int fd, int64_t deadline, char line[static LOOKUP_LINE_MAX])
{
    size_t length = 0;

    while (length + 1 < LOOKUP_LINE_MAX) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();

        if (left <= 0 || poll(&entry, 1, (int)left) <= 0 || read(fd, line + length, 1) != 1)
            return false;
        if (line[length] == '\n') {
            line[length] = '\0';
            return true;
        }
        length++;
    }
    return false;
}

// Takes what the resolver said of all the rules that use one name.
static void judge(struct conf *conf, struct map *map, const struct target_name *names, size_t count,
                  char *answer)
{
    char *verdict = strchr(answer, '\t'), *detail = verdict ? strchr(verdict + 1, '\t') : NULL;
    union host_address address;

    if (!detail)
        return;
    *detail++ = '\0';
    if (strcmp(verdict + 1, "found") != 0) {
        conf_report(conf, CONF_WARNING, names->place,
                    "the relay's resolver does not find %s now: %s; clients are turned away until "
                    "it does",
                    conf_quote(conf, names->text, strlen(names->text)), detail);
        return;
    }
    for (char *rest = detail, *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        for (size_t i = 0; i < count && host_address(one, 0, &address) > 0; i++) {
            size_t rule = (size_t)(names[i].rule - map->site->rules);

            if (names[i].place == &names[i].rule->rule->target.place &&
                map->count[rule] < ADDRESSES_MAX)
                map->found[rule][map->count[rule]++] = address;
        }
    }
}

// Puts the rules at whose listeners the target of rule I is on the stack, which has TOP entries.
static size_t push_next(const struct map *map, size_t i, size_t top, size_t walk)
{
    const struct emit_rule *rule = &map->site->rules[i], *next;
    union host_address own;
    size_t count = map->count[i];

    if (host_address(rule->rule->target.text, 0, &own) > 0 && own.any.sa_family != AF_UNIX)
        count = 1;
    for (size_t a = 0; a < count; a++) {
        next = check_reached(map->index, map->count[i] ? &map->found[i][a] : &own,
                             rule->target_port, rule->rule->target_port.udp);
        if (!next || map->seen[next - map->site->rules] == walk)
            continue;
        map->seen[next - map->site->rules] = walk;
        map->stack[top++] = (size_t)(next - map->site->rules);
    }
    return top;
}

// Whether connections through rule I come back to it. Each walk has a number of its own, above 0.
static bool comes_back(const struct map *map, size_t i, size_t walk)
{
    size_t top = push_next(map, i, 0, walk);

    while (top > 0 && map->seen[i] != walk)
        top = push_next(map, map->stack[top - 1], top - 1, walk);
    return map->seen[i] == walk;
}

// A circle by literal addresses was an error before. One by names is what the names make of it,
// now.
static void check_circles(struct conf *conf, const struct map *map)
{
    for (size_t i = 0; i < map->site->count; i++) {
        const struct conf_rule *rule = map->site->rules[i].rule;

        if (map->count[i] > 0 && comes_back(map, i, i + 1))
            conf_report(conf, CONF_WARNING, &rule->target.place,
                        "by what names stand for now, %s to %s port %u come back to the "
                        "rule's own listener, in a circle without end",
                        map->site->rules[i].udp ? "datagrams" : "connections",
                        conf_quote(conf, rule->target.text, strlen(rule->target.text)),
                        map->site->rules[i].target_port);
    }
}

// Asks the relay's resolver about NAMES, COUNT of them, sorted.
static void look_up(struct conf *conf, struct map *map, const struct target_name *names,
                    size_t count)
{
    int64_t deadline = now_ms() + (map->site->running ? LOOKUPS_RUN_MS : LOOKUPS_TOTAL_MS);
    char answer[LOOKUP_LINE_MAX];
    pid_t child = -1;
    size_t to;
    int fd = start_resolver(map->site->settings->relay, names, count, &child);

    if (fd < 0)
        return;
    for (size_t from = 0; from < count; from = to) {
        for (to = from + 1; to < count && strcmp(names[to].text, names[from].text) == 0; to++)
            continue;
        if (!read_answer(fd, deadline, answer)) {
            conf_report(conf, CONF_WARNING, names[from].place,
                        "whether %s and the names after it in the alphabet can be looked up is "
                        "not known: the relay's resolver gave no answer",
                        conf_quote(conf, names[from].text, strlen(names[from].text)));
            break;
        }
        judge(conf, map, names + from, to - from, answer);
    }
    close(fd);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void check_names(struct conf *conf, const struct site *site)
{
    struct target_name *names = calloc(site->count * 2 + 1, sizeof *names);
    size_t room = site->count + 1, count;
    struct map map = {.site = site, .index = check_index(site->rules, site->count)};

    map.found = calloc(room, sizeof *map.found);
    map.count = calloc(room, sizeof *map.count);
    map.seen = calloc(room, sizeof *map.seen);
    map.stack = calloc(room, sizeof *map.stack);
    if (!names || !map.index || !map.found || !map.count || !map.seen || !map.stack) {
        conf->no_memory = true;
    } else {
        count = collect_names(site, names);
        if (count > 0)
            look_up(conf, &map, names, count);
        check_circles(conf, &map);
    }
    if (map.index)
        check_index_free(map.index);
    free(map.found);
    free(map.count);
    free(map.seen);
    free(map.stack);
    free(names);
}

void site_check(struct conf *conf, const struct site *site)
{
    const struct emit_settings *settings = site->settings;
    bool relay_runs, wraps = false, streams = false;

    for (size_t i = 0; i < site->count; i++) {
        wraps |= site->rules[i].wrap_name != NULL;
        streams |= !site->rules[i].udp;
    }
    check_user(conf, site);
    relay_runs = check_program(conf, site, settings->relay);
    if (wraps)
        check_program(conf, site, settings->wrap);
    if (settings->format == EMIT_XINETD && site->count > XINETD_SERVICES_MAX)
        conf_report(conf, CONF_WARNING, NULL,
                    "%zu services are many for xinetd: it needs a hard limit of open files "
                    "(ulimit -Hn) above %zu, and leaves out the rest without",
                    site->count, site->count + 16);
    if (settings->format == EMIT_XINETD && settings->wait && streams && !site->running)
        check_defaults(conf);
    if (relay_runs)
        check_names(conf, site);
}
