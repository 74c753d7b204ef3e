/* Owns: what of the target's schema is not as the source's. See parity.h. */
#include "parity.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "parity_internal.h"
#include "side.h"

#define KEPT_MAX      ((size_t)1000)
#define DEF_BYTES_MAX ((size_t)64 << 20)

struct schema_parity {
    size_t objects, ignored, differences, kept;
    struct parity_difference list[KEPT_MAX];
};

struct object {
    const char *kind, *name, *def, *of;
};

struct judging {
    const struct config *cfg;
    const struct parity_scope *scope;
    struct schema_parity *out;
    bool same_major; /* else servers write views and rules in words of their own */
};

static int compare_objects(const void *a, const void *b)
{
    const struct object *x = a, *y = b;
    int kinds = strcmp(x->kind, y->kind);
    return kinds != 0 ? kinds : strcmp(x->name, y->name);
}

static struct object *list_objects(const struct pg_result *res)
{
    struct object *list = xcalloc((size_t)pg_rows(res) + 1, sizeof *list);
    for (int i = 0; i < pg_rows(res); i++)
        list[i] = (struct object){.kind = pg_cell(res, i, 0),
                                  .name = pg_cell(res, i, 1),
                                  .def = pg_cell(res, i, 2),
                                  .of = pg_cell(res, i, 3)};
    qsort(list, (size_t)pg_rows(res), sizeof *list, compare_objects);
    return list;
}

static bool is_named_by(const struct config *cfg, const char *key, const char *text)
{
    size_t count;
    const char *const *patterns = config_list(cfg, key, &count);
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(patterns[i], text, FNM_CASEFOLD) == 0)
            return true;
    }
    return false;
}

static void differ(struct judging *j, const struct object *o, char *why)
{
    char *text CLEANUP(free_ptr) = xasprintf("%s %s", o->kind, o->name);
    struct schema_parity *out = j->out;
    if (is_named_by(j->cfg, "schema.exclude", text) || is_named_by(j->cfg, "cutover.schema_ignore", text)) {
        out->ignored++;
    } else if (out->differences++ < KEPT_MAX) {
        out->list[out->kept++] =
            (struct parity_difference){.kind = xstrdup(o->kind), .name = xstrdup(o->name), .why = why};
        return;
    }
    free(why);
}

static bool is_renamed(const struct judging *j, const char *table)
{
    for (size_t i = 0; i < j->scope->rename_count; i++) {
        if (strcmp(j->scope->renames[i].table, table) == 0)
            return true;
    }
    return false;
}

/* The name that the target has for what a line speaks of: "column old" is "column new". Both are quoted where they have to be. */
static bool rename_facet(const struct judging *j, const char *table, const char *facet, size_t len,
                         struct strbuf *out)
{
    static const char *const kinds[] = {"column ", "default of ", "identity of "};
    for (size_t i = 0; i < j->scope->rename_count; i++) {
        const struct parity_rename *r = &j->scope->renames[i];
        for (size_t k = 0; strcmp(r->table, table) == 0 && k < ARRAY_LEN(kinds); k++) {
            size_t kind_len = strlen(kinds[k]);
            if (len != kind_len + strlen(r->from) || memcmp(facet, kinds[k], kind_len) != 0 ||
                memcmp(facet + kind_len, r->from, len - kind_len) != 0)
                continue;
            strbuf_addf(out, "%s%s", kinds[k], r->to);
            return true;
        }
    }
    return false;
}

static bool starts_with(const char *text, size_t len, const char *with)
{
    size_t with_len = strlen(with);
    return len >= with_len && memcmp(text, with, with_len) == 0;
}

/* A definition as it is compared here: without settings of storage, which a target may have of its own, and without that a constraint is not proven, which
 * is another gate's. source: renamed columns under their new names; their table's order and checks are not compared. */
static char *worded(const struct judging *j, const struct object *o, bool renamed, bool source)
{
    struct strbuf out = STRBUF_INIT(DEF_BYTES_MAX);
    for (const char *at = o->def; *at != '\0';) {
        size_t len = strcspn(at, "\n"), facet = strcspn(at, "\t");
        bool drop = starts_with(at + 1, len - 1, "options\t") ||
                    (renamed && (starts_with(at + 1, len - 1, "order of columns\t") ||
                                 starts_with(at + 1, len - 1, "check ")));
        size_t kept = len;
        if (len > 10 && memcmp(at + len - 10, " NOT VALID", 10) == 0)
            kept -= 10;
        if (!drop) {
            strbuf_add(&out, at, 1);
            if (!renamed || !source || facet > len || !rename_facet(j, o->name, at + 1, facet - 1, &out))
                strbuf_add(&out, at + 1, facet - 1);
            strbuf_add(&out, at + facet, kept - facet);
            strbuf_addc(&out, '\n');
        }
        at += len + (at[len] == '\n');
    }
    return strbuf_detach(&out);
}

static bool is_compared(const struct judging *j, const struct object *o)
{
    if (strcmp(o->kind, "view") == 0 || strcmp(o->kind, "rule") == 0 || strcmp(o->kind, "extension") == 0)
        return j->same_major;
    return o->of[0] == '\0' || !is_renamed(j, o->of);
}

static void on_both(struct judging *j, const struct object *source, const struct object *target)
{
    if (!is_compared(j, source))
        return;
    bool renamed = is_renamed(j, source->name);
    char *ours CLEANUP(free_ptr) = worded(j, source, renamed, true),
               *theirs CLEANUP(free_ptr) = worded(j, target, renamed, false);
    char *why = definition_difference(ours, theirs);
    if (why != NULL)
        differ(j, source, why);
}

/* What the target alone has may refuse, or change, what the source takes; an index, a view, a function more does neither. */
static void on_target_alone(struct judging *j, const struct object *o)
{
    static const char *const harmful[] = {"table constraint", "trigger", "rule", "policy"};
    bool harms = strcmp(o->kind, "index") == 0 && strstr(o->def, "CREATE UNIQUE ") != NULL;
    for (size_t i = 0; i < ARRAY_LEN(harmful); i++)
        harms = harms || strcmp(o->kind, harmful[i]) == 0;
    if (harms)
        differ(j, o, xstrdup("only the target has it"));
}

static void judge(struct judging *j, const struct pg_result *source, const struct pg_result *target)
{
    struct object *ours = list_objects(source), *theirs = list_objects(target);
    size_t s = 0, t = 0, s_end = (size_t)pg_rows(source), t_end = (size_t)pg_rows(target);
    while (s < s_end || t < t_end) {
        int order = s == s_end ? 1 : t == t_end ? -1 : compare_objects(&ours[s], &theirs[t]);
        if (order < 0)
            differ(j, &ours[s], xstrdup("the target does not have it"));
        else if (order > 0)
            on_target_alone(j, &theirs[t]);
        else
            on_both(j, &ours[s], &theirs[t]);
        s += order <= 0;
        t += order >= 0;
    }
    j->out->objects = s_end;
    free(ours);
    free(theirs);
}

bool schema_parity_read(const struct config *cfg, struct pg_conn *source, struct pg_conn *target,
                        struct schema_parity **ret, struct err *err)
{
    struct parity_scope scope;
    PG_RESULT_AUTO ours = NULL;
    PG_RESULT_AUTO theirs = NULL;
    if (!parity_scope_read(cfg, source, &scope, err))
        return false;
    bool ok =
        parity_read_source(source, &scope, &ours, err) && parity_read_target(target, &scope, &theirs, err);
    if (ok) {
        struct judging j = {.cfg = cfg,
                            .scope = &scope,
                            .out = xcalloc(1, sizeof *j.out),
                            .same_major =
                                pg_server_version(source) / 10000 == pg_server_version(target) / 10000};
        judge(&j, ours, theirs);
        *ret = j.out;
    }
    parity_scope_release(&scope);
    return ok;
}

void schema_parity_free(struct schema_parity *parity)
{
    for (size_t i = 0; parity != NULL && i < parity->kept; i++) {
        free((char *)parity->list[i].kind);
        free((char *)parity->list[i].name);
        free((char *)parity->list[i].why);
    }
    free(parity);
}

size_t schema_parity_objects(const struct schema_parity *parity)
{
    return parity->objects;
}

size_t schema_parity_ignored(const struct schema_parity *parity)
{
    return parity->ignored;
}

size_t schema_parity_differences(const struct schema_parity *parity)
{
    return parity->differences;
}

const struct parity_difference *schema_parity_difference(const struct schema_parity *parity, size_t i)
{
    return i < parity->kept ? &parity->list[i] : NULL;
}
