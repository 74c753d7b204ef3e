/* Transactions that run: what comes back at their commit, whatever was spilled, and what aborts take out. Judged against a
 * model that keeps each frame with the subtransactions it depends on. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/spill/spill_file.h"
#include "capture/spill/txn_store.h"

#define KIB ((size_t)1024)

static char dir[] = "/tmp/crossfade-test-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir); /* no file is left */
}

static void add(struct cap_txn_store *store, uint32_t top, uint32_t xid, const char *body)
{
    struct err err = ERR_INIT;
    assert_true(cap_txn_store_add(store, top, xid, xid, 'I', body, strlen(body), true, &err));
}

static void abort_of(struct cap_txn_store *store, uint32_t top, uint32_t xid)
{
    struct err err = ERR_INIT;
    assert_true(cap_txn_store_abort(store, top, xid, &err));
}

/* The bodies of a transaction, one behind the other; it is taken out. */
static char *taken(struct cap_txn_store *store, uint32_t top)
{
    struct cap_stored_txn *txn = cap_txn_store_take(store, top);
    struct cap_stored_frame frame;
    struct err err = ERR_INIT;
    char *all = calloc(1, 8 * KIB);
    assert_non_null(all);
    if (txn == NULL)
        return all;
    uint64_t frames = 0;
    for (; cap_stored_next(txn, &frame, &err); frames++) {
        assert_int_equal(frame.bytes[0], 'I');
        strncat(all, frame.bytes + 1, frame.len - 1);
    }
    assert_false(err_is_set(&err));
    assert_int_equal(frames, cap_stored_changes(txn));
    cap_stored_txn_free(txn);
    return all;
}

static void expect(struct cap_txn_store *store, uint32_t top, const char *text)
{
    char *all = taken(store, top);
    assert_string_equal(all, text);
    free(all);
}

static void aborts_take_out_what_is_theirs(void **state)
{
    (void)state;
    struct cap_txn_store *store = cap_txn_store_new(dir, true, 1024 * KIB);
    add(store, 10, 10, "a");
    add(store, 20, 21, "other");
    add(store, 10, 12, "b");
    add(store, 10, 13, "c");
    abort_of(store, 10, 13);
    add(store, 10, 12, "d");
    add(store, 10, 10, "e");
    add(store, 10, 14, "f");
    abort_of(store, 10, 14);
    abort_of(store, 10, 14); /* again, and one that never wrote */
    abort_of(store, 10, 15);
    add(store, 10, 16, "g");
    expect(store, 10, "abdeg");
    expect(store, 10, "");
    abort_of(store, 20, 20);
    assert_int_equal(cap_txn_store_count(store), 0);
    assert_int_equal(cap_txn_store_memory(store), 0);
    abort_of(store, 99, 99);
    cap_txn_store_free(store);
}

/* A child writes first, then its parent; the parent's end takes both, in whatever order the server tells it. */
static void a_child_before_its_parent(void **state)
{
    (void)state;
    for (int order = 0; order < 3; order++) {
        struct cap_txn_store *store = cap_txn_store_new(dir, true, 1024 * KIB);
        add(store, 10, 10, "a");
        add(store, 10, 12, "child ");
        add(store, 10, 11, "parent ");
        if (order != 1)
            abort_of(store, 10, 11);
        if (order != 2)
            abort_of(store, 10, 12);
        if (order == 1)
            abort_of(store, 10, 11);
        add(store, 10, 10, "z");
        expect(store, 10, "az");
        cap_txn_store_free(store);
    }
}

static void ids_wrap_around(void **state)
{
    (void)state;
    struct cap_txn_store *store = cap_txn_store_new(dir, true, 1024 * KIB);
    add(store, UINT32_MAX - 2, UINT32_MAX - 2, "a");
    add(store, UINT32_MAX - 2, UINT32_MAX, "b");
    add(store, UINT32_MAX - 2, 3, "c");
    add(store, UINT32_MAX - 2, 4, "d");
    abort_of(store, UINT32_MAX - 2, 4);
    add(store, UINT32_MAX - 2, 5, "e");
    abort_of(store, UINT32_MAX - 2, 3);
    expect(store, UINT32_MAX - 2, "ab");
    cap_txn_store_free(store);
}

/* --- at random, against a model --- */

#define TXNS   5
#define DEPTH  6
#define FRAMES 4000

struct model {
    uint32_t top, xids[DEPTH]; /* of the savepoints that are open; 0 = has none yet */
    int depth;
    size_t starts[DEPTH]; /* frames when they began */
    uint32_t *numbers;
    size_t count;
};

static uint32_t next_xid;

/* A savepoint that writes needs an id, and all around it need theirs first. */
static uint32_t writer(struct model *m)
{
    uint32_t xid = m->top;
    for (int i = 0; i < m->depth; i++) {
        if (m->xids[i] == 0)
            m->xids[i] = next_xid++;
        xid = m->xids[i];
    }
    return xid;
}

static void write_one(struct cap_txn_store *store, struct model *m, uint32_t number, char *body)
{
    struct err err = ERR_INIT;
    size_t len = 4 + (number % 97 == 0 ? 60 * KIB : (size_t)number % 700);
    memcpy(body, &number, 4);
    assert_true(cap_txn_store_add(store, m->top, writer(m), number, 'U', body, len, true, &err));
    m->numbers[m->count++] = number;
}

static void roll_back(struct cap_txn_store *store, struct model *m)
{
    int to = rand() % m->depth;
    for (int i = to; i < m->depth; i++) { /* the order is the server's own business */
        int which = rand() % 2 == 0 ? i : m->depth - 1 - (i - to);
        if (m->xids[which] != 0)
            abort_of(store, m->top, m->xids[which]);
    }
    for (int i = to; i < m->depth; i++) {
        if (m->xids[i] != 0)
            abort_of(store, m->top, m->xids[i]);
    }
    m->count = m->starts[to];
    m->depth = to;
}

static void start(struct model *m)
{
    m->top = next_xid++;
    m->depth = 0;
    m->count = 0;
}

static void finish(struct cap_txn_store *store, struct model *m)
{
    struct cap_stored_txn *txn = cap_txn_store_take(store, m->top);
    struct cap_stored_frame frame;
    struct err err = ERR_INIT;
    size_t i = 0;
    if (txn != NULL) {
        assert_int_equal(cap_stored_changes(txn), m->count);
        for (; cap_stored_next(txn, &frame, &err); i++) {
            uint32_t number = 0;
            assert_true(frame.len >= 5);
            memcpy(&number, frame.bytes + 1, 4);
            assert_int_equal(number, m->numbers[i]);
            assert_int_equal(frame.tag, number);
        }
    }
    assert_false(err_is_set(&err));
    assert_int_equal(i, m->count);
    cap_stored_txn_free(txn);
}

static void run_model(bool encrypt, size_t max_memory)
{
    struct cap_txn_store *store = cap_txn_store_new(dir, encrypt, max_memory);
    struct model models[TXNS] = {0};
    char *body = calloc(1, 64 * KIB);
    for (int i = 0; i < TXNS; i++) {
        models[i].numbers = calloc(FRAMES, sizeof(uint32_t));
        start(&models[i]);
    }
    for (uint32_t number = 1; number <= FRAMES; number++) {
        struct model *m = &models[rand() % TXNS];
        int what = rand() % 100;
        if (what < 70) {
            write_one(store, m, number, body);
        } else if (what < 85 && m->depth < DEPTH) {
            m->starts[m->depth] = m->count;
            m->xids[m->depth++] = 0;
        } else if (what < 92 && m->depth > 0) {
            roll_back(store, m);
        } else if (what < 94 && m->depth > 0) { /* released: the rows are the parent's, and go with it */
            m->depth--;
        } else if (what >= 98) {
            finish(store, m);
            start(m);
        }
        assert_true(cap_txn_store_memory(store) <= max_memory + 80 * KIB);
    }
    for (int i = 0; i < TXNS; i++) {
        finish(store, &models[i]);
        free(models[i].numbers);
    }
    assert_int_equal(cap_txn_store_memory(store), 0);
    free(body);
    cap_txn_store_free(store);
}

static void as_the_model_says(void **state)
{
    (void)state;
    unsigned seed = getenv("CF_SEED") != NULL ? (unsigned)atoi(getenv("CF_SEED")) : (unsigned)getpid();
    print_message("CF_SEED=%u\n", seed);
    srand(seed);
    next_xid = 1000;
    for (int round = 0; round < 10; round++)
        run_model(round % 2 == 0, (round < 2 ? 16 : 1 + (size_t)round) * 100 * KIB);
}

/* --- the file --- */

static void spills_the_largest(void **state)
{
    (void)state;
    struct cap_txn_store *store = cap_txn_store_new(dir, true, 1024 * KIB);
    static char row[1000];
    struct err err = ERR_INIT;
    add(store, 20, 20, "small");
    for (int i = 0; i < 3000; i++)
        assert_true(cap_txn_store_add(store, 10, 10, 1, 'I', row, sizeof row, true, &err));
    assert_true(cap_txn_store_spilled(store) > 1500 * KIB);
    assert_true(cap_txn_store_memory(store) <= 1024 * KIB);
    struct cap_stored_txn *small = cap_txn_store_take(store, 20);
    cap_stored_txn_free(small);
    abort_of(store, 10, 10);
    assert_int_equal(cap_txn_store_memory(store), 0);
    cap_txn_store_free(store);
}

static void no_folder_is_an_error(void **state)
{
    (void)state;
    struct cap_txn_store *store = cap_txn_store_new("/nonexistent", true, 1);
    struct err err = ERR_INIT;
    static char row[10000];
    assert_true(cap_txn_store_add(store, 10, 10, 1, 'I', row, sizeof row, true, &err));
    assert_false(cap_txn_store_add(store, 10, 10, 1, 'I', row, sizeof row, true, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "capture.spill_dir"));
    cap_txn_store_free(store);
}

static int file_of_ours(void)
{
    for (int fd = 3; fd < 64; fd++) {
        char link[64], path[256];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n > 0) {
            path[n] = '\0';
            if (strstr(path, "crossfade-spill-") != NULL)
                return fd;
        }
    }
    return -1;
}

static void a_file_gives_back_what_was_written_or_says_no(void **state)
{
    (void)state;
    for (int encrypt = 0; encrypt < 2; encrypt++) {
        struct cap_spill_file *f = cap_spill_file_new(dir, encrypt != 0);
        struct cap_spill_block one, two;
        struct err err = ERR_INIT;
        static char text[200000], back[sizeof text];
        memset(text, 'p', sizeof text);
        assert_true(cap_spill_file_write(f, text, sizeof text, &one, &err));
        assert_true(cap_spill_file_write(f, "two", 3, &two, &err));
        assert_true(cap_spill_file_read(f, &two, back, &err));
        assert_memory_equal(back, "two", 3);
        assert_true(cap_spill_file_read(f, &one, back, &err));
        assert_memory_equal(back, text, sizeof text);
        int fd = file_of_ours();
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, back, 100, 1000), 100);
        assert_true(encrypt != 0 ? memcmp(back, text, 100) != 0 : memcmp(back, text, 100) == 0);
        assert_int_equal(pwrite(fd, "x", 1, 100000), 1);
        assert_false(cap_spill_file_read(f, &one, back, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_non_null(strstr(err.text, "damaged"));
        assert_true(cap_spill_file_read(f, &two, back, &err));
        assert_int_equal(ftruncate(fd, (off_t)sizeof text + 1), 0);
        assert_false(cap_spill_file_read(f, &two, back, &err));
        assert_non_null(strstr(err.text, "cut short"));
        assert_true(cap_spill_file_cut(f, 0, &err));
        assert_true(cap_spill_file_write(f, "new", 3, &two, &err));
        assert_true(cap_spill_file_read(f, &two, back, &err));
        assert_memory_equal(back, "new", 3);
        cap_spill_file_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aborts_take_out_what_is_theirs),
        cmocka_unit_test(a_child_before_its_parent),
        cmocka_unit_test(ids_wrap_around),
        cmocka_unit_test(as_the_model_says),
        cmocka_unit_test(spills_the_largest),
        cmocka_unit_test(no_folder_is_an_error),
        cmocka_unit_test(a_file_gives_back_what_was_written_or_says_no),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
