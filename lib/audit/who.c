/* Owns: who runs this process, for the rows. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/store.h"
#include "core/alloc.h"
#include "core/utf8.h"

#define PASSWD_BYTES 16384

void audit_who(char ret_user[AUDIT_NAME_MAX], char ret_host[AUDIT_NAME_MAX])
{
    struct passwd entry, *found = NULL;
    char *buffer = xcalloc(1, PASSWD_BYTES);
    uid_t uid = getuid();
    if (getpwuid_r(uid, &entry, buffer, PASSWD_BYTES, &found) == 0 && found != NULL)
        (void)snprintf(ret_user, AUDIT_NAME_MAX, "%s", found->pw_name);
    else
        (void)snprintf(ret_user, AUDIT_NAME_MAX, "uid %lu", (unsigned long)uid);
    free(buffer);
    if (gethostname(ret_host, AUDIT_NAME_MAX) != 0)
        ret_host[0] = '\0';
    ret_host[AUDIT_NAME_MAX - 1] = '\0';
    utf8_make_valid(ret_user);
    utf8_make_valid(ret_host);
}
