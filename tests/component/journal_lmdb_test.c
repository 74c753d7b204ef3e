/* What only the embedded journal does: one lock, other processes, killed writers, full disks, resource use. (Trimming:
 * journal_lmdb_trim_test.c.) */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/failpoint.h"
#include "lmdb_case.h"

/* --- other processes --- */

/* The child opens the journal itself: an LMDB environment must not be carried through a fork. */
static pid_t in_child(void (*body)(struct journal_case *jc), struct journal_case *jc)
{
    pid_t pid = fork();
    if (pid == 0) {
        body(jc);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static int ended(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void write_and_die(struct journal_case *jc)
{
    struct journal_writer *jw;
    struct journal_record rec = {.partition = 0, .value = "fence", .value_len = 5};
    static char bytes[2000];
    struct journal_record big = {.partition = 0, .value = bytes, .value_len = sizeof bytes};
    int a, fresh, fence;
    if (!journal_writer_open(&jc->config, &jw, &jc->err) ||
        !journal_stream(jw, stream_name(jc, "a"), STREAM_DATA, &a, &jc->err) ||
        !journal_stream(jw, jc->fence, STREAM_FOREVER, &fence, &jc->err) ||
        !journal_append(jw, a, &big, &jc->err) || !journal_append(jw, fence, &rec, &jc->err) ||
        !journal_commit(jw, &jc->err) ||
        !journal_stream(jw, stream_name(jc, "fresh"), STREAM_DATA, &fresh, &jc->err))
        _exit(1);
    for (int i = 0; i < 30000; i++) { /* 60 MB: several parts are on disk by then */
        if (!journal_append(jw, i % 2 != 0 ? a : fresh, &big, &jc->err) ||
            (i % 100 == 0 && !journal_append(jw, fence, &rec, &jc->err)))
            _exit(1);
    }
    raise(SIGKILL);
}

static void a_killed_writers_unit_is_cut(void **state)
{
    struct journal_case *jc = *state;
    uint64_t first, next;
    assert_int_equal(ended(in_child(write_and_die, jc)), -SIGKILL);
    bounds(jc, stream_name(jc, "a"), &first, &next); /* already for readers */
    assert_int_equal(next, 1);
    for (int round = 0; round < 2; round++) {
        struct journal_writer *jw = open_writer(jc);
        unit(jc, jw, data_stream(jc, jw, "a"), 10);
        unit(jc, jw, data_stream(jc, jw, "fresh"), 5);
        journal_writer_close(jw);
    }
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(next, 21);
    bounds(jc, jc->fence, &first, &next);
    assert_int_equal(next, 5);
    struct journal_reader *jr = open_reader(jc, NULL);
    struct journal_range ranges[] = {{stream_name(jc, "a"), 0, 0, 21, false, 0},
                                     {stream_name(jc, "fresh"), 0, 0, 10, false, 0}};
    OK(jc, journal_assign(jr, ranges, 2, &jc->err));
    int n = 0;
    while (get(jc, jr) != NULL)
        n++;
    assert_int_equal(n, 31);
    journal_reader_close(jr);
}

/* Units of one small and one large record stream: 18 MB, so that each has a part. */
static void write_units(struct journal_case *jc)
{
    failpoint_init();
    struct journal_writer *jw;
    int a, fence;
    if (!journal_writer_open(&jc->config, &jw, &jc->err) ||
        !journal_stream(jw, stream_name(jc, "a"), STREAM_DATA, &a, &jc->err) ||
        !journal_stream(jw, jc->fence, STREAM_FOREVER, &fence, &jc->err))
        _exit(1);
    static char bytes[180000];
    struct journal_record rec = {.partition = 0, .value = bytes, .value_len = sizeof bytes};
    for (int u = 0; u < 3; u++) {
        bool ok = true;
        for (int i = 0; ok && i < 100; i++)
            ok = journal_append(jw, a, &rec, &jc->err);
        if (!ok || !journal_append(jw, fence, &rec, &jc->err) || !journal_commit(jw, &jc->err))
            _exit(2);
    }
    journal_writer_close(jw);
}

static void killed_at_each_point_units_stay_whole(void **state)
{
    struct journal_case *jc = *state;
    static const struct {
        const char *point;
        uint64_t units; /* committed by then */
    } points[] = {{"journal.lmdb.part:1", 0},      {"journal.lmdb.part:2", 1},
                  {"journal.lmdb.commit:1", 1},    {"journal.lmdb.commit:3", 3},
                  {"journal.lmdb.committed:1", 4}, {"journal.lmdb.committed:2", 6}};
    uint64_t first, next;
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        setenv("CROSSFADE_FAILPOINT", points[i].point, 1);
        assert_int_equal(ended(in_child(write_units, jc)), -SIGKILL);
        unsetenv("CROSSFADE_FAILPOINT");
        bounds(jc, jc->fence, &first, &next);
        assert_int_equal(next, points[i].units);
        bounds(jc, stream_name(jc, "a"), &first, &next);
        assert_int_equal(next, points[i].units * 100);
    }
    assert_int_equal(ended(in_child(write_units, jc)), 0);
    bounds(jc, jc->fence, &first, &next);
    assert_int_equal(next, 9);
}

static void follow_in_child(struct journal_case *jc)
{
    struct journal_reader *jr;
    struct journal_record rec;
    struct journal_range range = {.stream = jc->fence, .next_offset = JOURNAL_FOLLOW};
    if (!journal_reader_open(&jc->config, "apply", &jr, &jc->err) || !journal_assign(jr, &range, 1, &jc->err))
        _exit(1);
    for (uint64_t n = 0; n < 200; n++) {
        if (journal_next(jr, 20000, &rec, &jc->err) != JOURNAL_RECORD || rec.offset != n ||
            !journal_confirm(jr, NULL, 0, n, &jc->err))
            _exit(2);
    }
    journal_reader_close(jr);
}

static void a_reader_in_another_process_is_woken(void **state)
{
    struct journal_case *jc = *state;
    journal_writer_close(open_writer(jc)); /* makes the journal */
    pid_t pid = in_child(follow_in_child, jc);
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    for (int n = 0; n < 200; n++)
        unit(jc, jw, a, 1);
    assert_int_equal(ended(pid), 0);
    journal_writer_close(jw);
}

/* As a foreign tool, or a thread of ours in the middle of a read: a transaction that pins every page freed since. */
static void pin_and_wait(struct journal_case *jc)
{
    char path[128];
    MDB_env *env;
    MDB_txn *txn;
    (void)snprintf(path, sizeof path, "%s/j", jc->folder);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 8) != 0 ||
        mdb_env_open(env, path, MDB_RDONLY, 0) != 0 || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        _exit(1);
    (void)snprintf(path, sizeof path, "%s/ready", jc->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    pause();
}

static void wait_ready(const struct journal_case *jc)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/ready", jc->folder);
    while (access(path, F_OK) != 0)
        usleep(1000);
}

/* What a reader that was killed had pinned is used again, while the writer goes on. */
static void a_dead_reader_is_cleared(void **state)
{
    struct journal_case *jc = *state;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    unit(jc, jw, a, 10000);
    pid_t pid = in_child(pin_and_wait, jc);
    wait_ready(jc);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(ended(pid), -SIGKILL);
    for (uint64_t round = 1; round < 40; round++) { /* about 2.5 MB each */
        unit(jc, jw, a, 10000);
        confirm(jc, "apply", round);
        trim_all(jc, jw, stream_name(jc, "a"), (round + 1) * 10000);
    }
    assert_in_range(file_bytes(jc), 1 << 20, 16 << 20);
    journal_writer_close(jw);
}

static void open_and_wait(struct journal_case *jc)
{
    struct journal_writer *jw;
    if (!journal_writer_open(&jc->config, &jw, &jc->err))
        _exit(1);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/ready", jc->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    pause();
}

static void a_second_writer_is_told_the_pid(void **state)
{
    struct journal_case *jc = *state;
    char path[128], pid_text[32];
    pid_t pid = in_child(open_and_wait, jc);
    (void)snprintf(path, sizeof path, "%s/ready", jc->folder);
    (void)snprintf(pid_text, sizeof pid_text, "pid %ld", (long)pid);
    int64_t until_us = clock_mono_us() + 20000000;
    while (access(path, F_OK) != 0 && clock_mono_us() < until_us)
        usleep(1000);
    struct journal_writer *jw = NULL;
    assert_false(journal_writer_open(&jc->config, &jw, &jc->err));
    assert_int_equal(jc->err.code, ERR_BUSY);
    assert_non_null(strstr(jc->err.text, pid_text));
    err_clear(&jc->err);
    kill(pid, SIGKILL);
    assert_int_equal(ended(pid), -SIGKILL);
    journal_writer_close(open_writer(jc)); /* the lock went with it */
}

/* --- what can be wrong with the folder --- */

static void a_missing_journal_is_waited_for(void **state)
{
    struct journal_case *jc = *state;
    struct journal_reader *jr = NULL;
    FAILS(jc, ERR_CONNECT, journal_reader_open(&jc->config, "apply", &jr, &jc->err));
    assert_int_not_equal(access(jc->url + strlen("lmdb:"), F_OK), 0); /* looking makes nothing */
    jc->config.url = "lmdb:";
    FAILS(jc, ERR_CONFIG, journal_reader_open(&jc->config, "apply", &jr, &jc->err));
}

static void a_file_that_is_not_ours_is_refused(void **state)
{
    struct journal_case *jc = *state;
    char command[300];
    (void)snprintf(command, sizeof command, "mkdir -p %s/j && head -c 100000 /dev/urandom > %s/j/data.mdb",
                   jc->folder, jc->folder);
    assert_int_equal(system(command), 0);
    struct journal_writer *jw = NULL;
    struct journal_reader *jr = NULL;
    FAILS(jc, ERR_PROTOCOL, journal_writer_open(&jc->config, &jw, &jc->err));
    FAILS(jc, ERR_PROTOCOL, journal_reader_open(&jc->config, NULL, &jr, &jc->err));
}

/* --- full disk --- */

/* Fills the journal until it says so; then makes room by the callback and checks that nothing but the last
 * unit is missing, and that writing goes on. */
static void fill_up(struct journal_case *jc, void (*make_room)(struct journal_case *jc))
{
    struct journal_writer *jw = open_writer(jc);
    uint64_t units = 0, first, next;
    bool full = false;
    int a = data_stream(jc, jw, "a"), fence = fence_stream(jc, jw);
    struct journal_record rec = {.partition = 0, .value = jc->folder, .value_len = sizeof jc->folder};
    while (!full && units < 100000) {
        bool ok = true;
        for (int i = 0; ok && i < 500; i++)
            ok = journal_append(jw, a, &rec, &jc->err);
        ok = ok && journal_append(jw, fence, &rec, &jc->err) && journal_commit(jw, &jc->err);
        full = !ok;
        units += ok;
    }
    assert_int_equal(jc->err.code, ERR_NO_SPACE);
    assert_non_null(strstr(jc->err.text, "make room"));
    err_clear(&jc->err);
    journal_writer_close(jw);
    assert_true(units > 2);
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(next, units * 500);
    make_room(jc);
    jw = open_writer(jc);
    unit(jc, jw, data_stream(jc, jw, "a"), 500);
    journal_writer_close(jw);
    struct journal_reader *jr = open_reader(jc, NULL);
    assign_one(jc, jr, stream_name(jc, "a"), 0, (units + 1) * 500);
    uint64_t n = 0;
    while (get(jc, jr) != NULL)
        n++;
    assert_int_equal(n, (units + 1) * 500);
    journal_reader_close(jr);
}

static void lift_limit(struct journal_case *jc)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_file_size_limit_is_survived(void **state)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 3 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fill_up(*state, lift_limit);
}

static void grow_tmpfs(struct journal_case *jc)
{
    assert_int_equal(mount("none", jc->folder, "tmpfs", MS_REMOUNT, "size=64m"), 0);
}

/* Run by the next test in a process with mounts of its own. */
static void fill_tmpfs(void **state)
{
    struct journal_case *jc = *state;
    if (getenv("CF_OWN_MOUNTS") == NULL)
        skip();
    assert_int_equal(mount("none", jc->folder, "tmpfs", 0, "size=4m"), 0);
    fill_up(jc, grow_tmpfs);
    assert_int_equal(umount2(jc->folder, MNT_DETACH), 0);
}

static void again_with_own_mounts(struct journal_case *jc)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        _exit(77);
    setenv("CF_OWN_MOUNTS", "1", 1);
    setenv("CF_TEST_FILTER", "fill_tmpfs", 1);
    execl("/proc/self/exe", "journal_lmdb_test", (char *)NULL);
    _exit(78);
}

static void a_full_disk_is_survived(void **state)
{
    int code = ended(in_child(again_with_own_mounts, *state));
    if (code == 77) {
        print_message("mounting is not allowed here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

/* --- resources --- */

static long anon_kb(void)
{
    char line[200];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "RssAnon: %ld", &kb);
    if (f != NULL)
        (void)fclose(f);
    return kb;
}

/* A unit of 300 MB, and reading it, take some tens of MB at most. */
static void memory_stays_small(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    long before = anon_kb(), most = 0;
    for (int i = 0; i < 30; i++) {
        put_many(jc, jw, a, 10000, 1000);
        most = anon_kb() > most ? anon_kb() : most;
    }
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    assign_one(jc, jr, stream_name(jc, "a"), 0, 300000);
    for (int i = 0; i < 300000; i++) {
        assert_non_null(get(jc, jr));
        if (i % 50000 == 0)
            most = anon_kb() > most ? anon_kb() : most;
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(most - before, 0, 60000);
#else
    (void)before;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FRESH(a_dead_reader_is_cleared),
        ON_FRESH(a_killed_writers_unit_is_cut),
        ON_FRESH(killed_at_each_point_units_stay_whole),
        ON_FRESH(a_reader_in_another_process_is_woken),
        ON_FRESH(a_second_writer_is_told_the_pid),
        ON_FRESH(a_missing_journal_is_waited_for),
        ON_FRESH(a_file_that_is_not_ours_is_refused),
        ON_FRESH(a_file_size_limit_is_survived),
        ON_FRESH(fill_tmpfs),
        ON_FRESH(a_full_disk_is_survived),
        ON_FRESH(memory_stays_small),
    };
    if (getenv("CF_TEST_FILTER") != NULL)
        cmocka_set_test_filter(getenv("CF_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
