/* See credential.h; systemd.exec(5), "Credentials", says who makes the directory and what names are. */
#include "config/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

#define CREDENTIAL_BYTES_MAX ((size_t)32 << 10)

static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-.";
static const char url_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-.~";

static void add_encoded(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr(url_letters, *text) != NULL)
            strbuf_addc(out, *text);
        else
            strbuf_addf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* The whole file, or -1 with errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;
    while (n != 0 && len < size) {
        n = read(fd, buf + len, size - len);
        if (n < 0 && errno != EINTR)
            return -1;
        len += n > 0 ? (size_t)n : 0;
        n = n < 0 ? 1 : n;
    }
    return (ssize_t)len;
}

static bool read_file(const char *path, char *buf, bool *ret_missing, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT) {
        *ret_missing = true;
        return true;
    }
    ssize_t len = fd >= 0 ? read_all(fd, buf, CREDENTIAL_BYTES_MAX + 1) : -1;
    int read_errno = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return err_set_errno(err, read_errno, "credential %s cannot be read", path);
    if ((size_t)len > CREDENTIAL_BYTES_MAX || memchr(buf, '\0', (size_t)len) != NULL)
        return err_set(err, ERR_CONFIG, "credential %s: expected a text of at most %zu bytes", path,
                       CREDENTIAL_BYTES_MAX);
    len -= len > 0 && buf[len - 1] == '\n';
    buf[len] = '\0';
    return true;
}

bool credential_add(const char *name, bool in_url, struct strbuf *out, bool *ret_missing, struct err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    size_t len = strlen(name);
    if (len == 0 || strspn(name, name_letters) != len || name[0] == '.')
        return err_set(err, ERR_CONFIG,
                       "found credential \"%s\", expected a file's name (letters, digits, - _ .)", name);
    *ret_missing = folder == NULL || *folder == '\0';
    if (*ret_missing)
        return true;
    char *path = xasprintf("%s/%s", folder, name);
    char *text = xmalloc(CREDENTIAL_BYTES_MAX + 2);
    bool good = read_file(path, text, ret_missing, err);
    if (good && !*ret_missing) {
        if (in_url)
            add_encoded(out, text);
        else
            strbuf_adds(out, text);
    }
    explicit_bzero(text, CREDENTIAL_BYTES_MAX + 2);
    free(text);
    free(path);
    return good;
}
