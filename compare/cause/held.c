/* Owns: conflicts and dead letters of a table, and whose they are. See held.h. */
#include "cause/held.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cause/target_look.h"
#include "control.h"
#include "core/alloc.h"

static const struct cause_ops *ops_of(const struct session *target)
{
    return session_dialect(target) == DIALECT_MARIADB ? &cause_mariadb : &cause_postgres;
}

static bool read_if_there(struct session *target, const char *table, const char *sql,
                          const char *const params[3], int count, struct rowset **ret, struct err *err)
{
    int64_t there = 0;
    if (!session_int64(target, control_of(target)->table_there, 1, &table, &there, err))
        return false;
    return there == 0 || session_ask(target, sql, count, params, ret, err);
}

bool held_read(struct session *target, const char *pipeline, const struct plan_table *pt, struct held *ret,
               struct err *err)
{
    ROWSET_AUTO loads = NULL;
    ROWSET_AUTO passed = NULL;
    const struct cause_ops *ops = ops_of(target);
    const char *params[] = {pipeline, pt->out.schema, pt->out.table};
    struct held held = {0};
    if (read_if_there(target, "conflict", ops->conflicts, params, 3, &held.conflicts, err) &&
        read_if_there(target, "dead_letter", ops->dead_letters, params, 3, &held.letters, err) &&
        read_if_there(target, "direct_load", ops->direct_loads, params, 1, &loads, err) &&
        read_if_there(target, "verdict", ops->passed, params, 1, &passed, err)) {
        if (passed != NULL && rowset_rows(passed) > 0 &&
            lsn_parse(rowset_cell(passed, 0, 1), &held.passed.lsn))
            held.passed.fence_id = (uint64_t)rowset_int64(passed, 0, 0);
        held.direct = loads != NULL && rowset_int64(loads, 0, 0) > 0;
        *ret = held;
        return true;
    }
    held_release(&held);
    (void)!session_recover(target, NULL); /* what is broken shows with the next statement */
    return false;
}

void held_release(struct held *held)
{
    rowset_free(held->conflicts);
    rowset_free(held->letters);
    *held = (struct held){0};
}

static bool is_time(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789-: .+")] == '\0';
}

/* Behind the zeros that end a fraction, and its point if nothing is left of it. */
static const char *skip_zeros(const char *text, const char *at)
{
    const char *point = memchr(text, '.', (size_t)(at - text) + 1);
    if (point == NULL)
        return at;
    at += *at == '.';
    return at + strspn(at, "0");
}

/* JSON has times with a T, zones with their minutes, and on MariaDB all digits of a second. */
static bool same_text(const char *json, const char *key)
{
    const char *at = json;
    if (!is_time(key))
        return strcmp(json, key) == 0;
    while (*at != '\0' && (*at == *key || (*at == 'T' && *key == ' ')))
        at++, key++;
    if (*key == '\0')
        at = strcmp(at, ":00") == 0 ? "" : skip_zeros(json, at);
    return *key == '\0' && *at == '\0';
}

static bool same_value(const json_t *value, const char *key)
{
    if (json_is_string(value))
        return same_text(json_string_value(value), key);
    if (json_is_boolean(value))
        return strcmp(json_is_true(value) ? "true" : "false", key) == 0;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    bool same = text != NULL &&
                (strcmp(text, key) == 0 || (json_is_real(value) && strtod(text, NULL) == strtod(key, NULL)));
    free(text);
    return same;
}

static bool is_key(const char *json, const struct plan_table *pt, const char *const *key)
{
    json_t *object = json_loads(json, 0, NULL);
    bool same = json_is_object(object);
    for (size_t k = 0; same && k < pt->key_count; k++)
        same = same_value(json_object_get(object, pt->keys[k].name), key[k]);
    json_decref(object);
    return same;
}

/* The newest of a row counts: what was decided for the source does not keep the target from it. */
char *held_conflict(const struct held *held, const struct plan_table *pt, const char *const *key)
{
    const struct rowset *res = held->conflicts;
    for (int row = 0; res != NULL && row < rowset_rows(res); row++) {
        if (!is_key(rowset_cell(res, row, 5), pt, key))
            continue;
        const char *state = rowset_cell(res, row, 1), *decision = rowset_cell(res, row, 3);
        bool open = strcmp(state, "open") == 0;
        if (!open && strcmp(decision, "target") != 0)
            return NULL;
        return xasprintf("conflict %s (%s, %s) lsn=%s", rowset_cell(res, row, 0), rowset_cell(res, row, 2),
                         open ? "open" : "decided for the target", rowset_cell(res, row, 4));
    }
    return NULL;
}

char *held_letter(const struct held *held, const char *topic, const struct wanted_row *row)
{
    const struct rowset *res = held->letters;
    for (int i = 0; res != NULL && row != NULL && i < rowset_rows(res); i++) {
        for (size_t k = 0; k < row->image_count; k++) {
            const struct record_place *at = &row->images[k].at;
            if (rowset_int64(res, i, 2) == at->partition && (uint64_t)rowset_int64(res, i, 3) == at->offset &&
                strcmp(rowset_cell(res, i, 1), topic) == 0)
                return xasprintf("dead letter %s sqlstate=%s topic=%s partition=%d offset=%" PRIu64
                                 " lsn=" LSN_FMT,
                                 rowset_cell(res, i, 0), rowset_cell(res, i, 4), topic, (int)at->partition,
                                 at->offset, LSN_ARGS(at->lsn));
        }
    }
    return NULL;
}
