/* Owns: names on MariaDB. See names.h. */
#include "maria/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/hash.h"
#include "core/utf8.h"

#define HASH_CHARS 9 /* '_' and eight digits */

static size_t char_len(const char *p)
{
    size_t len = utf8_char_len(p, strlen(p));
    return len > 0 ? len : 1;
}

/* Copies at most max_chars characters; what the server does not take becomes '_'. True if all of it is there unchanged. */
static bool copy_chars(const char *name, size_t max_chars, char *out)
{
    bool whole = true;
    size_t used = 0;
    for (; *name != '\0'; name += char_len(name)) {
        size_t len = char_len(name);
        if (used++ == max_chars) {
            whole = false;
            break;
        }
        bool fits = len <= 3 && (len > 1 || (unsigned char)*name < 0x80);
        if (fits) {
            memcpy(out, name, len);
            out += len;
        } else {
            *out++ = '_';
            whole = false;
        }
    }
    *out = '\0';
    return whole;
}

bool maria_name(const char *name, char ret[MARIA_NAME_BYTES])
{
    size_t len = strlen(name);
    bool blank_at_end = len > 0 && name[len - 1] == ' ';
    if (copy_chars(name, MARIA_NAME_CHARS, ret) && !blank_at_end)
        return false;
    (void)copy_chars(name, MARIA_NAME_CHARS - HASH_CHARS, ret);
    (void)sprintf(ret + strlen(ret), "_%08" PRIx32, (uint32_t)hash_fnv1a(HASH_FNV1A, name, len));
    return true;
}

const char *maria_database_of(const char *url_database, const char *schema)
{
    return strcmp(schema, "public") == 0 ? url_database : schema;
}

const char *maria_schema_of(const char *url_database, const char *database)
{
    return strcmp(database, url_database) == 0 ? "public" : database;
}

bool maria_is_own_table(const char *url_database, const char *database, const char *table)
{
    return strcmp(database, url_database) == 0 &&
           strncmp(table, MARIA_OWN_PREFIX, sizeof MARIA_OWN_PREFIX - 1) == 0;
}

bool maria_is_system_database(const char *database)
{
    static const char *const names[] = {"mysql", "sys", "information_schema", "performance_schema"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(names[i], database) == 0)
            return true;
    }
    return false;
}

bool maria_is_nobodys_database(const char *url_database, const char *database)
{
    return maria_is_system_database(database) ||
           (strncmp(database, MARIA_REHEARSAL_PREFIX, sizeof MARIA_REHEARSAL_PREFIX - 1) == 0 &&
            strcmp(database, url_database) != 0);
}

bool maria_lower_name(const char *name, char *ret)
{
    bool ascii = true;
    for (; *name != '\0'; name++) {
        ascii = ascii && (unsigned char)*name < 0x80;
        *ret++ = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
    }
    *ret = '\0';
    return ascii;
}
