/* Files that are whole or not there. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/attr.h"
#include "core/new_file.h"

static char folder[] = "/tmp/crossfade-new-file-XXXXXX";
static char path[sizeof folder + 10], other[sizeof folder + 10];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/one", folder);
    (void)snprintf(other, sizeof other, "%s/other", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(folder);
}

static void assert_holds(const char *file, const char *expected)
{
    char found[100];
    int fd = open(file, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, found, sizeof found);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(found, expected, strlen(expected));
    assert_int_equal(close(fd), 0);
}

static bool make_private(const void *ctx, int fd)
{
    return fchmod(fd, *(const mode_t *)ctx) == 0;
}

static void test_replaces_what_was_left(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct stat st;
    const mode_t mode = 0640;
    assert_true(new_file_write(path, 0600, "first", 5, NULL, NULL, &err));
    assert_true(new_file_write(path, 0600, "2", 1, make_private, &mode, &err));
    assert_holds(path, "2");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
    assert_true(new_file_sync_folder(folder, &err));
}

static void test_follows_no_link(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_true(new_file_write(other, 0600, "kept", 4, NULL, NULL, &err));
    (void)unlink(path);
    assert_int_equal(symlink(other, path), 0);
    assert_true(new_file_write(path, 0600, "new", 3, NULL, NULL, &err));
    assert_holds(other, "kept");
    assert_holds(path, "new");
}

static bool refuse(const void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    errno = EPERM;
    return false;
}

static void test_leaves_none_that_is_not_whole(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_false(new_file_write(path, 0600, "x", 1, refuse, NULL, &err));
    assert_true(access(path, F_OK) != 0 && errno == ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(err.sys_errno, EPERM);
    struct err none = ERR_INIT;
    assert_false(new_file_write("/nowhere/at/all", 0600, "x", 1, NULL, NULL, &none));
    assert_int_equal(none.sys_errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaces_what_was_left),
        cmocka_unit_test(test_follows_no_link),
        cmocka_unit_test(test_leaves_none_that_is_not_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
