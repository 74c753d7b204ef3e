/* ${credential:NAME}: what comes out of the file, and what is refused without showing it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/expand.h"

static char folder[] = "/tmp/crossfade-credential-XXXXXX";

static void put(const char *name, const char *bytes, size_t len)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void gives(const char *text, const char *want)
{
    struct err err = ERR_INIT;
    char *got = NULL;
    if (!expand_variables(text, &got, &err))
        fail_msg("%s: refused: %s", text, err.text);
    assert_string_equal(got, want);
    free(got);
}

static void refused(const char *text, const char *part)
{
    struct err err = ERR_INIT;
    char *got = NULL;
    if (expand_variables(text, &got, &err))
        fail_msg("%s: accepted: %s", text, got);
    if (strstr(err.text, part) == NULL)
        fail_msg("%s: \"%s\" is not in: %s", text, part, err.text);
    assert_null(strstr(err.text, "hunter2"));
}

static void test_values(void **state)
{
    (void)state;
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    put("source-password", "p@ss/w:rd %\xc3\xa9\n", 14);
    put("two", "a\n\n", 3);
    put("empty", "", 0);
    put("dollar", "${HOME}$$", 9);
    gives("${credential:source-password}", "p@ss/w:rd %\xc3\xa9");
    gives("postgresql://me:${credential-url:source-password}@h/d",
          "postgresql://me:p%40ss%2Fw%3Ard%20%25%C3%A9@h/d");
    gives("${credential:two}", "a\n"); /* one newline belongs to the file */
    gives("<${credential:empty}>", "<>");
    gives("${credential:empty:-x}${credential:none:-y}${credential-url:none:-}", "xy");
    gives("${credential:dollar}", "${HOME}$$"); /* what comes out is not looked at again */
    setenv("CF_TEST_VARIABLE", "v", 1);
    gives("${CF_TEST_VARIABLE}$${CF_TEST_VARIABLE}", "v${CF_TEST_VARIABLE}");
}

static void test_refused(void **state)
{
    (void)state;
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    refused("${credential:none}", "credential none is not there");
    refused("${credential:../etc/passwd}", "expected a file's name");
    refused("${credential:.}", "expected a file's name");
    refused("${credential:}", "expected ${VAR}");
    refused("${credential:a", "without \"}\"");
    refused("${credential:a:b}", "expected ${VAR}");
    put("binary", "hunter2\0x", 9);
    refused("${credential:binary}", "expected a text");
    char *large = malloc(40000);
    assert_non_null(large);
    memset(large, 'x', 40000);
    put("large", large, 40000);
    free(large);
    refused("${credential:large}", "at most 32768 bytes");
    unsetenv("CREDENTIALS_DIRECTORY");
    refused("${credential:two}", "$CREDENTIALS_DIRECTORY (not set");
    gives("${credential:two:-z}", "z");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"source-password", "two", "empty", "dollar", "binary", "large"};
    char path[200];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
