/* Owns: the JSON form of a repair's result. See repair.h. */
#include <jansson.h>

#include "compare/repair/repair.h"
#include "core/alloc.h"

static json_t *by_kind(const uint64_t counts[DIFF_CHANGED + 1])
{
    json_t *object = json_object();
    for (enum compare_kind kind = DIFF_MISSING; kind <= DIFF_CHANGED; kind++)
        json_object_set_new(object, compare_kind_name(kind), json_integer((json_int_t)counts[kind]));
    return object;
}

static json_t *table_json(const struct repair_table *t)
{
    return json_pack("{s:s, s:s, s:o, s:b, s:o, s:I, s:s?, s:s?}", "schema", t->schema, "table", t->table,
                     "found", by_kind(t->found), "more", (int)t->more, "repaired", by_kind(t->repaired),
                     "left_alone", (json_int_t)t->left_alone, "refused", t->refused, "note", t->note);
}

char *repair_json(const struct repair_request *req, const struct repair_result *r)
{
    char lsn[LSN_TEXT_MAX];
    json_t *tables = json_array();
    for (size_t i = 0; i < r->table_count; i++)
        json_array_append_new(tables, table_json(&r->tables[i]));
    json_t *all = json_pack("{s:s, s:b, s:b, s:I, s:s, s:s?, s:s, s:I, s:s, s:s?, s:o}", "way",
                            req->way == REPAIR_JOURNAL ? "journal" : "sql", "executed", (int)req->execute,
                            "delete_extra", (int)req->delete_extra, "rounds", (json_int_t)r->rounds, "before",
                            compare_verdict_name(r->before), "after",
                            r->after != VERDICT_UNKNOWN ? compare_verdict_name(r->after) : NULL, "reason",
                            r->reason, "fence_id", (json_int_t)r->fence_id, "lsn", lsn_format(r->lsn, lsn),
                            "file", req->way == REPAIR_SQL ? req->file : NULL, "tables", tables);
    char *text = all != NULL ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    return text != NULL ? text : xstrdup("{}");
}
