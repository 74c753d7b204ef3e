/* Owns: reading who may approve what. See approvers.h. */
#include "config/approvers.h"

#include <stdlib.h>
#include <string.h>

#include "config/fields.h"
#include "core/alloc.h"
#include "core/ed25519.h"

#define OPTION "cutover.approvers"

static const char *const kinds[APPROVAL_KINDS] = {
    [APPROVAL_CONFIRM] = "confirm",
    [APPROVAL_TICKET] = "ticket",
    [APPROVAL_SECOND_PERSON] = "second_person",
    [APPROVAL_BACKUP] = "backup",
    [APPROVAL_REHEARSAL] = "rehearsal",
};

const char *approval_kind_name(enum approval_kind kind)
{
    return kinds[kind];
}

enum approval_kind approval_kind_parse(const char *name)
{
    int kind = 0;
    while (kind < APPROVAL_KINDS && strcmp(kinds[kind], name) != 0)
        kind++;
    return (enum approval_kind)kind;
}

/* "none" is what is wanted where nothing is named; beside a kind it takes nothing away. */
bool approval_kind_fits(const char *name)
{
    return approval_kind_parse(name) != APPROVAL_KINDS || strcmp(name, "none") == 0;
}

bool approval_is_wanted(const struct config *cfg, enum approval_kind kind)
{
    size_t count = 0;
    const char *const *names = config_list(cfg, "cutover.approval", &count);
    for (size_t i = 0; i < count; i++) {
        if (approval_kind_parse(names[i]) == kind)
            return true;
    }
    return false;
}

bool approval_is_on(const struct config *cfg)
{
    for (int kind = 0; kind < APPROVAL_KINDS; kind++) {
        if (approval_is_wanted(cfg, (enum approval_kind)kind))
            return true;
    }
    return false;
}

static void release(struct approver *a)
{
    free(a->name);
    free(a->key);
    for (size_t i = 0; i < a->user_count; i++)
        free(a->users[i]);
    free(a->users);
    *a = (struct approver){0};
}

static bool read_fields(const struct fields *f, struct approver *a)
{
    static const char a_name[] = "a name for the audit log", a_key[] =
                                                                 "a public key of kind Ed25519: the line of "
                                                                 "base64 that `openssl pkey -pubout` writes";
    if (!fields_known(f, "name|key|users") || !fields_text(f, "name", a_name, &a->name) ||
        !fields_text(f, "key", a_key, &a->key) ||
        !fields_texts(f, "users", "names of users of the operating system or of the database", &a->users,
                      &a->user_count))
        return false;
    if (a->name == NULL)
        return fields_refuse(f, "name", NULL, a_name);
    if (a->key == NULL || !ed25519_public_fits(a->key))
        return fields_refuse(f, "key", fields_find(f, "key"), a_key);
    return true;
}

static bool read_one(const char *text, struct approver *ret, struct err *err)
{
    struct yaml_node *root = NULL;
    *ret = (struct approver){0};
    if (!yaml_parse(OPTION, text, strlen(text), &root, err))
        return false;
    struct fields f = {OPTION, "", root, err};
    bool ok = read_fields(&f, ret);
    yaml_free(root);
    if (!ok)
        release(ret);
    return ok;
}

bool approver_check(const char *text, struct err *err)
{
    struct approver one;
    if (!read_one(text, &one, err))
        return false;
    release(&one);
    return true;
}

/* A second person with the first one's key would be none. */
static bool is_new(const struct approver *all, size_t count, struct err *err)
{
    const struct approver *last = &all[count - 1];
    for (size_t i = 0; i + 1 < count; i++) {
        if (strcmp(all[i].name, last->name) == 0)
            return err_set(err, ERR_CONFIG, OPTION ": %s is there twice", last->name);
        if (strcmp(all[i].key, last->key) == 0)
            return err_set(err, ERR_CONFIG, OPTION ": %s and %s have the same key", all[i].name, last->name);
    }
    return true;
}

bool approvers_read(const struct config *cfg, struct approver **ret, size_t *ret_count, struct err *err)
{
    size_t count = 0, done = 0;
    bool ok = true;
    const char *const *texts = config_list(cfg, OPTION, &count);
    struct approver *all = xcalloc(count + 1, sizeof *all);
    for (; ok && done < count; done++)
        ok = read_one(texts[done], &all[done], err) && is_new(all, done + 1, err);
    if (!ok) {
        approvers_free(all, done);
        return false;
    }
    *ret = all;
    *ret_count = count;
    return true;
}

void approvers_free(struct approver *approvers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        release(&approvers[i]);
    free(approvers);
}
