// SPDX-License-Identifier: ISC
//
// A folder before and after, in folders of its own below TMPDIR. A full disk is a limit on the size
// of files here, and a small file system in test/gen.bats.
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define OLD   OUTPUT_MARK "\nold\n"
#define NEW   OUTPUT_MARK "\nnew\n"
#define OTHER "somebody else's\n"

static enum output_kind kind_of(const char *name)
{
    if (fnmatch("ours-*.acl", name, 0) == 0)
        return OUTPUT_NAMED;
    return fnmatch("ours-*.socket", name, 0) == 0 || fnmatch("ours-*.service", name, 0) == 0
               ? OUTPUT_OURS
               : OUTPUT_NOT_OURS;
}

static char folder[4096];

static const char *in_folder(const char *name)
{
    static char path[8192];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(in_folder(name), "we");

    if (!file || fputs(text, file) < 0 || fclose(file) != 0 || chmod(in_folder(name), mode) < 0)
        perror(name);
}

// Whether NAME holds TEXT; NULL: is not there.
static bool holds(const char *name, const char *text)
{
    char have[4096];
    FILE *file = fopen(in_folder(name), "re");
    size_t size;

    if (!file)
        return !text && errno == ENOENT;
    size = fread(have, 1, sizeof have - 1, file);
    fclose(file);
    have[size] = '\0';
    return text && strcmp(have, text) == 0;
}

static void fresh_folder(void)
{
    const char *base = getenv("TMPDIR");
    char command[8192];

    if (folder[0]) {
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        if (system(command) != 0)
            perror(command);
    }
    snprintf(folder, sizeof folder, "%s/output_test.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder))
        perror(folder);
}

static size_t files_in_folder(void)
{
    char command[8192];
    FILE *list;
    size_t count = 0;

    snprintf(command, sizeof command, "ls -A '%s'", folder);
    list = popen(command, "re");
    for (int c; list && (c = getc(list)) != EOF;)
        count += c == '\n';
    if (list)
        pclose(list);
    return count;
}

static struct output_file file(const char *name, const char *text)
{
    return (struct output_file){name, text, strlen(text)};
}

static enum output_change change_of(const struct output_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->step[i].name, name) == 0)
            return plan->step[i].change;
    return (enum output_change) - 1;
}

static void put_all(void)
{
    const struct timespec times[] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

    fresh_folder();
    put("ours-same.socket", NEW, 0644);
    put("ours-old.socket", OLD, 0600);
    put("ours-gone.service", OLD, 0640);
    put("ours-gone.socket", OLD, 0644);
    put("ours-foreign.socket", OTHER, 0644);
    put("theirs-gone.socket", OLD, 0644);
    put("ours-gone.timer", OLD, 0644);
    if (symlink("/dev/null", in_folder("ours-link.socket")) < 0 ||
        symlink("ours-gone.socket", in_folder("ours-marked.socket")) < 0 ||
        mkdir(in_folder("ours-folder.service"), 0755) < 0)
        perror(folder);
    if (utimensat(AT_FDCWD, in_folder("ours-old.socket"), times, 0) < 0)
        perror(folder);
}

static bool is_as_put(void)
{
    struct stat status;

    return holds("ours-same.socket", NEW) && holds("ours-old.socket", OLD) &&
           holds("ours-new.socket", NULL) && holds("ours-gone.service", OLD) &&
           holds("ours-gone.socket", OLD) && holds("ours-foreign.socket", OTHER) &&
           files_in_folder() == 10 && stat(in_folder("ours-old.socket"), &status) == 0 &&
           (status.st_mode & 07777) == 0600 && status.st_mtime == 1000000000 &&
           stat(in_folder("ours-gone.service"), &status) == 0 && (status.st_mode & 07777) == 0640;
}

static void test_plan(void)
{
    const struct output_file files[] = {file("ours-same.socket", NEW), file("ours-old.socket", NEW),
                                        file("ours-new.socket", NEW)};
    struct output_plan plan = {.count = 0};
    struct stat status;

    put_all();
    test_ok(output_plan(&plan, folder, files, 3, kind_of) == 0, "plan: made");
    test_ok(change_of(&plan, "ours-same.socket") == OUTPUT_SAME, "plan: the same");
    test_ok(change_of(&plan, "ours-old.socket") == OUTPUT_REPLACED, "plan: another text");
    test_ok(change_of(&plan, "ours-new.socket") == OUTPUT_CREATED, "plan: a new one");
    test_ok(plan.count == 5 && strcmp(plan.step[3].name, "ours-gone.service") == 0 &&
                strcmp(plan.step[4].name, "ours-gone.socket") == 0 &&
                plan.step[4].change == OUTPUT_REMOVED,
            "plan: two of ours are to go, sorted, and nobody else's");
    test_ok(plan.changes == 4 && plan.foreign == 0, "plan: the counts");
    test_ok(is_as_put(), "plan: nothing is touched");
    test_ok(output_commit(&plan) == 0, "commit");
    test_ok(holds("ours-old.socket", NEW) && holds("ours-new.socket", NEW) &&
                holds("ours-gone.socket", NULL) && holds("ours-gone.service", NULL) &&
                holds("ours-foreign.socket", OTHER) && holds("theirs-gone.socket", OLD) &&
                files_in_folder() == 9,
            "commit: what was planned, and no more");
    test_ok(stat(in_folder("ours-old.socket"), &status) == 0 && (status.st_mode & 07777) == 0644,
            "commit: the mode");
    test_ok(output_revert(&plan) == 0 && is_as_put(), "revert: all is as it was");
    output_plan_free(&plan);
    test_ok(output_plan(&plan, folder, files, 3, NULL) == 0 && plan.count == 3,
            "plan: without leftovers");
    output_plan_free(&plan);
}

static void test_foreign(void)
{
    static const char *const names[] = {"ours-foreign.socket", "ours-link.socket",
                                        "ours-marked.socket", "ours-folder.service"};

    put_all();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct output_file files[] = {file(names[i], NEW), file("ours-new.socket", NEW)};
        struct output_plan plan = {.count = 0};

        test_ok(output_plan(&plan, folder, files, 2, kind_of) == 0 && plan.foreign == 1 &&
                    change_of(&plan, names[i]) == OUTPUT_FOREIGN,
                "foreign: %s", names[i]);
        output_plan_free(&plan);
    }
}

static void test_what_fails(void)
{
    const struct output_file files[] = {file("ours-old.socket", NEW), file("ours-new.socket", NEW)};
    struct output_plan plan = {.count = 0};
    char moved[8192];

    put_all();
    test_ok(output_plan(&plan, "/no/such/folder", files, 2, kind_of) == -1 && errno == ENOENT,
            "failure: no folder");
    output_plan_free(&plan);
    output_plan(&plan, folder, files, 2, kind_of);
    // A folder in the place of the second file, once the first one has been replaced.
    mkdir(in_folder("ours-new.socket"), 0755);
    test_ok(output_commit(&plan) == -1 && errno == EISDIR && plan.failed &&
                strcmp(plan.failed, "ours-new.socket") == 0,
            "failure: a rename tells");
    rmdir(in_folder("ours-new.socket"));
    test_ok(is_as_put(), "failure: what was done is undone");
    output_plan_free(&plan);
    output_plan(&plan, folder, files, 2, kind_of);
    snprintf(moved, sizeof moved, "%s.moved", folder);
    if (rename(folder, moved) < 0)
        perror(moved);
    test_ok(output_commit(&plan) == -1 && errno == ENOENT, "failure: the folder has vanished");
    if (rename(moved, folder) < 0)
        perror(moved);
    test_ok(is_as_put(), "failure: and is as it was");
    output_plan_free(&plan);
}

static void test_no_room(void)
{
    static char big[20000];
    struct rlimit limit, small = {sizeof big / 2, sizeof big};
    struct output_file files[10];
    struct output_plan plan = {.count = 0};
    char names[10][32];

    put_all();
    memset(big, 'x', sizeof big - 1);
    memcpy(big, NEW, strlen(NEW));
    for (int i = 0; i < 10; i++) {
        snprintf(names[i], sizeof names[i], "ours-%d.socket", i);
        files[i] = file(names[i], i == 5 ? big : NEW);
    }
    files[0].name = "ours-old.socket";
    output_plan(&plan, folder, files, 10, kind_of);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    test_ok(output_commit(&plan) == -1 && errno == EFBIG && plan.failed &&
                strcmp(plan.failed, "ours-5.socket") == 0,
            "no room: the sixth of ten tells");
    setrlimit(RLIMIT_FSIZE, &limit);
    test_ok(is_as_put(), "no room: nothing has changed");
    test_ok(output_commit(&plan) == 0 && holds("ours-9.socket", NEW), "no room: the next try");
    test_ok(output_revert(&plan) == 0 && is_as_put(), "no room: taken back");
    output_plan_free(&plan);
}

static void put_stale(void)
{
    const struct timespec times[] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

    put_all();
    put(".rinetd-gen.oLdOlD", OLD, 0600);
    put(".rinetd-gen.nEwNeW", OLD, 0600);
    put(".rinetd-gen.toolong", OTHER, 0600);
    put(".other-gen.nEwNeW", OTHER, 0600);
    if (utimensat(AT_FDCWD, in_folder(".rinetd-gen.oLdOlD"), times, 0) < 0 ||
        mkdir(in_folder(".rinetd-gen.folder"), 0700) < 0)
        perror(folder);
}

static void test_stale(void)
{
    struct output_plan plan = {.count = 0};

    for (int locked = 0; locked < 2; locked++) {
        put_stale();
        if (locked)
            output_lock(&plan, folder, 0);
        test_ok(output_plan(&plan, folder, NULL, 0, NULL) == 0 && output_commit(&plan) == 0 &&
                    holds(".rinetd-gen.oLdOlD", NULL) &&
                    holds(".rinetd-gen.nEwNeW", locked ? NULL : OLD) &&
                    holds(".rinetd-gen.toolong", OTHER) && holds(".other-gen.nEwNeW", OTHER) &&
                    files_in_folder() == (locked ? 13 : 14),
                "stale: removed, %s a lock", locked ? "with" : "without");
        output_plan_free(&plan);
    }
}

static void test_lock(void)
{
    struct output_plan plan = {.count = 0}, second = {.count = 0};

    fresh_folder();
    test_ok(output_lock(&plan, folder, 0) == 0 && plan.locked, "lock: taken");
    test_ok(output_lock(&second, folder, 100) == -1 && !second.locked, "lock: not by two");
    output_plan_free(&plan);
    test_ok(output_lock(&second, folder, 0) == 0 && second.locked, "lock: free again");
    output_plan_free(&second);
    test_ok(output_lock(&plan, "/no/such/folder", 0) == 0 && !plan.locked, "lock: no folder");
}

// Makes a file that begins with TEXT and has SIZE bytes, most of them on no disk.
static void put_large(const char *name, const char *text, off_t size)
{
    put(name, text, 0644);
    if (truncate(in_folder(name), size) < 0)
        perror(name);
}

static void test_named(void)
{
    const struct output_file files[] = {file("ours-new.acl", NEW), file("ours-one.socket", NEW)};
    struct output_plan plan = {.count = 0};

    fresh_folder();
    put("ours-one.socket", OUTPUT_MARK "\nby ours-old.acl\n", 0644);
    put("ours-old.acl", OLD, 0644);
    put("ours-older.acl", OLD, 0644);
    put("ours-foreign.acl", OTHER, 0644);
    test_ok(output_plan(&plan, folder, files, 2, kind_of) == 0 && plan.count == 4 &&
                change_of(&plan, "ours-old.acl") == OUTPUT_LEFT &&
                change_of(&plan, "ours-older.acl") == OUTPUT_LEFT,
            "named: what is to go");
    test_ok(output_commit(&plan) == 0 && holds("ours-old.acl", OLD) && holds("ours-older.acl", OLD),
            "named: it outlives what may name it");
    test_ok(output_clean(&plan, false) == 0 && holds("ours-old.acl", OLD) &&
                holds("ours-older.acl", NULL) && holds("ours-foreign.acl", OTHER),
            "named: what was replaced named one of them");
    output_plan_free(&plan);
    test_ok(output_plan(&plan, folder, files, 2, kind_of) == 0 && output_commit(&plan) == 0 &&
                output_clean(&plan, false) == 0 && holds("ours-old.acl", NULL),
            "named: and is gone with the next run");
    output_plan_free(&plan);
    put("ours-one.socket", OUTPUT_MARK "\nby ours-old.acl\n", 0644);
    put("ours-old.acl", OLD, 0644);
    test_ok(output_plan(&plan, folder, files, 2, kind_of) == 0 && output_commit(&plan) == 0 &&
                output_clean(&plan, true) == 0 && holds("ours-old.acl", NULL) &&
                change_of(&plan, "ours-old.acl") == OUTPUT_CLEANED,
            "named: or once nobody goes by it");
    output_plan_free(&plan);
}

// Larger than any that is read whole.
static void test_large(void)
{
    const struct output_file files[] = {file("ours-large.socket", NEW)};
    struct output_plan plan = {.count = 0};

    fresh_folder();
    put_large("ours-foreign.acl", OTHER, (off_t)1 << 30);
    put_large("ours-left.acl", OLD, (off_t)1 << 30);
    put_large("ours-large.socket", OTHER, (off_t)1 << 30);
    test_ok(output_plan(&plan, folder, NULL, 0, kind_of) == 0 && plan.count == 1 &&
                output_commit(&plan) == 0 && output_clean(&plan, false) == 0 &&
                holds("ours-left.acl", NULL) && files_in_folder() == 2,
            "large: one that is left");
    output_plan_free(&plan);
    test_ok(output_plan(&plan, folder, files, 1, kind_of) == 0 && plan.foreign == 1,
            "large: somebody else's");
    output_plan_free(&plan);
}

int main(void)
{
    test_plan();
    test_foreign();
    test_what_fails();
    test_no_room();
    test_stale();
    test_lock();
    test_named();
    test_large();
    fresh_folder();
    rmdir(folder);
    return test_end();
}
