/* core/ed25519 with the key pair of RFC 8410: signatures hold for what was signed and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/ed25519.h"

static const char private_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                  "-----END PRIVATE KEY-----\n";
static const char public_key[] = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
static const char other_key[] =
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="; /* RFC 8032, test 1 */

static void write_key(char path[64], const char *text, unsigned mode)
{
    strcpy(path, "/tmp/crossfade-ed25519-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static struct ed25519_key *read_key(void)
{
    char path[64];
    struct ed25519_key *key = NULL;
    struct err err = ERR_INIT;
    write_key(path, private_pem, 0600);
    if (!ed25519_read(path, &key, &err))
        fail_msg("%s", err.text);
    (void)unlink(path);
    return key;
}

static void signs(void **state)
{
    struct ed25519_key *key = read_key();
    struct err err = ERR_INIT;
    char found[ED25519_PUBLIC_MAX], signature[ED25519_SIGNATURE_MAX];
    assert_true(ed25519_public(key, found, &err));
    assert_string_equal(found, public_key);
    assert_true(ed25519_sign(key, "text", 4, signature, &err));
    assert_true(ed25519_verify(public_key, "text", 4, signature));
    assert_false(ed25519_verify(public_key, "texT", 4, signature));
    assert_false(ed25519_verify(public_key, "text", 3, signature));
    assert_false(ed25519_verify(other_key, "text", 4, signature));
    signature[0] = signature[0] == 'A' ? 'B' : 'A';
    assert_false(ed25519_verify(public_key, "text", 4, signature));
    assert_false(ed25519_verify(public_key, "text", 4, ""));
    assert_false(ed25519_verify(public_key, "text", 4, "not base64"));
    assert_false(ed25519_verify("", "text", 4, signature));
    ed25519_free(key);
}

static void public_keys(void **state)
{
    assert_true(ed25519_public_fits(public_key));
    assert_true(ed25519_public_fits(other_key));
    assert_false(ed25519_public_fits(""));
    assert_false(ed25519_public_fits("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"));
    assert_false(
        ed25519_public_fits("MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")); /* X25519 */
}

static void refuses(const char *text, unsigned mode, const char *why)
{
    char path[64];
    struct ed25519_key *key = NULL;
    struct err err = ERR_INIT;
    write_key(path, text, mode);
    assert_false(ed25519_read(path, &key, &err));
    assert_non_null(strstr(err.text, why));
    (void)unlink(path);
}

static void key_files(void **state)
{
    struct ed25519_key *key = NULL;
    struct err err = ERR_INIT;
    refuses(private_pem, 0640, "chmod 600");
    refuses(private_pem, 0604, "chmod 600");
    refuses("nothing", 0600, "Ed25519");
    assert_false(ed25519_read("/no/such/key", &key, &err));
    assert_non_null(strstr(err.text, "/no/such/key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signs), cmocka_unit_test(public_keys),
                                       cmocka_unit_test(key_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
