/* Owns: libpg_query, and what a statement's tree says about it. See sqlparse.h. */
#include "sqlparse/sqlparse.h"

#include <pg_query.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "sqlparse_internal.h"

#define SHORT_TEXT  8192 /* is parsed on the caller's stack: 0.6 MiB at most */
#define LARGE_STACK ((size_t)256 << 20)

/* Functions whose effect outlives a read-only transaction, or leaves the database; "x*" is a prefix. */
static const char *const acting[] = {"nextval",
                                     "setval",
                                     "dblink*",
                                     "lo_*",
                                     "lowrite",
                                     "loread",
                                     "pg_advisory_*",
                                     "pg_try_advisory_*",
                                     "pg_terminate_backend",
                                     "pg_cancel_backend",
                                     "pg_reload_conf",
                                     "pg_rotate_logfile",
                                     "pg_switch_wal",
                                     "pg_create_restore_point",
                                     "pg_logical_*",
                                     "pg_create_*",
                                     "pg_drop_replication_slot",
                                     "pg_replication_*",
                                     "pg_copy_*",
                                     "pg_notify",
                                     "pg_stat_reset*",
                                     "pg_stat_statements_reset",
                                     "set_config",
                                     "pg_file_*",
                                     "pg_read_*",
                                     "pg_ls_*",
                                     "pg_stat_file",
                                     "pg_wal_replay_*",
                                     "pg_promote",
                                     "pg_start_backup",
                                     "pg_stop_backup",
                                     "pg_backup_*",
                                     "pg_import_system_collations",
                                     "query_to_xml*",
                                     "cursor_to_xml*",
                                     "txid_current",
                                     "pg_current_xact_id",
                                     "pg_export_snapshot",
                                     "pg_sync_replication_slots",
                                     "pg_log_*",
                                     "pg_prewarm",
                                     "autoprewarm_*",
                                     "pg_truncate_visibility_map",
                                     "heap_force_*",
                                     "brin_*summarize_*",
                                     "gin_clean_pending_list",
                                     "pg_restore_*_stats",
                                     "pg_clear_*_stats",
                                     "ts_stat",
                                     "crosstab*",
                                     "connectby",
                                     "xpath_table"};
static const char *const by_order[] = {"array_agg",       "string_agg",       "json_agg", "jsonb_agg",
                                       "json_object_agg", "jsonb_object_agg", "xmlagg"};
static const char *const by_window[] = {"row_number",  "ntile",      "lag",      "lead",
                                        "first_value", "last_value", "nth_value"};
static const char *const by_clock[] = {
    "now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "age"};
static const char *const by_chance[] = {"random", "gen_random_uuid", "uuid_generate_*", "gen_salt",
                                        "gen_random_bytes"};
static const char *const by_server[] = {"version",           "current_database",
                                        "current_setting",   "inet_*",
                                        "pg_backend_pid",    "pg_postmaster_start_time",
                                        "pg_*size*",         "pg_relation_*",
                                        "pg_current_*",      "pg_last_*",
                                        "pg_is_in_recovery", "pg_conf_load_time",
                                        "pg_my_temp_schema", "txid_*"};

static bool fits(const char *pattern, const char *name)
{
    for (; *pattern != '\0' && *pattern != '*'; pattern++, name++) {
        if (*pattern != *name)
            return false;
    }
    if (*pattern == '\0')
        return *name == '\0';
    if (pattern[1] == '\0')
        return true;
    for (; *name != '\0'; name++) {
        if (fits(pattern + 1, name))
            return true;
    }
    return false;
}

static bool among(const char *const *patterns, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (fits(patterns[i], name))
            return true;
    }
    return false;
}

#define AMONG(list, name) among(list, ARRAY_LEN(list), name)

const char *sql_node(const json_t *wrapped, json_t **ret_body)
{
    void *it = json_is_object(wrapped) ? json_object_iter((json_t *)wrapped) : NULL;
    if (it == NULL)
        return NULL;
    if (ret_body != NULL)
        *ret_body = json_object_iter_value(it);
    return json_object_iter_key(it);
}

json_t *sql_node_of(const json_t *wrapped, const char *type)
{
    json_t *body = NULL;
    const char *found = sql_node(wrapped, &body);
    return found != NULL && strcmp(found, type) == 0 ? body : NULL;
}

const char *sql_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

const char *sql_last_name(const json_t *list, const char **ret_before)
{
    size_t n = json_array_size(list);
    *ret_before = n > 1 ? sql_text_of(sql_node_of(json_array_get(list, n - 2), "String"), "sval") : "";
    return n > 0 ? sql_text_of(sql_node_of(json_array_get(list, n - 1), "String"), "sval") : "";
}

static void refuse(struct sql_statement *st, const char *what, const char *name)
{
    st->kind = SQL_WRITE;
    if (st->why == NULL)
        st->why = xasprintf("%s%.60s", what, name);
}

static void look_at_call(struct sql_statement *st, const json_t *call)
{
    const char *before = "", *name = sql_last_name(json_object_get(call, "funcname"), &before);
    bool own_order = json_array_size(json_object_get(call, "agg_order")) > 0;
    if (AMONG(acting, name))
        refuse(st, "function ", name);
    if (AMONG(by_clock, name))
        st->open |= OPEN_CLOCK;
    if (AMONG(by_chance, name))
        st->open |= OPEN_CHANCE;
    if (AMONG(by_server, name))
        st->open |= OPEN_SERVER;
    if ((AMONG(by_order, name) && !own_order) || AMONG(by_window, name))
        st->open |= OPEN_ORDER;
}

static void look_at_table(struct sql_statement *st, const json_t *table)
{
    const char *schema = sql_text_of(table, "schemaname"), *name = sql_text_of(table, "relname");
    if (strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0 ||
        strcmp(schema, "crossfade") == 0 || (*schema == '\0' && strncmp(name, "pg_", 3) == 0))
        st->catalog = true;
}

static void look_at_select(struct sql_statement *st, const json_t *select, bool top)
{
    const json_t *distinct = json_object_get(select, "distinctClause");
    if (json_array_size(json_object_get(select, "lockingClause")) > 0)
        refuse(st, "SELECT … FOR UPDATE or SHARE", "");
    if (json_object_get(select, "intoClause") != NULL)
        refuse(st, "SELECT INTO", "");
    /* plain DISTINCT is one empty object; DISTINCT ON has expressions */
    if (json_array_size(distinct) > 0 && json_object_size(json_array_get(distinct, 0)) > 0)
        st->open |= OPEN_ORDER;
    if (!top &&
        (json_object_get(select, "limitCount") != NULL || json_object_get(select, "limitOffset") != NULL))
        st->open |= OPEN_ORDER;
}

static void look_at(struct sql_statement *st, const char *type, const json_t *body, bool top)
{
    static const char *const writing[] = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"};
    if (AMONG(writing, type))
        refuse(st, "WITH that changes data", "");
    else if (strcmp(type, "SelectStmt") == 0)
        look_at_select(st, body, top);
    else if (strcmp(type, "FuncCall") == 0)
        look_at_call(st, body);
    else if (strcmp(type, "RangeVar") == 0)
        look_at_table(st, body);
    else if (strcmp(type, "RangeTableSample") == 0)
        st->open |= OPEN_CHANCE;
    else if (strcmp(type, "SQLValueFunction") == 0)
        st->open |=
            strstr(sql_text_of(body, "op"), "TIME") != NULL || strstr(sql_text_of(body, "op"), "DATE") != NULL
                ? OPEN_CLOCK
                : OPEN_SERVER;
}

/* larg and rarg of a UNION hang below their parent without a node of their own. */
static void walk(struct sql_statement *st, const json_t *tree, bool top)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_array(tree)) {
        json_array_foreach((json_t *)tree, i, value) walk(st, value, false);
        return;
    }
    json_object_foreach((json_t *)tree, key, value)
    {
        if (json_is_object(value)) {
            if (strcmp(key, "larg") == 0 || strcmp(key, "rarg") == 0)
                look_at(st, "SelectStmt", value, false);
            else
                look_at(st, key, value, top);
        }
        if (json_is_object(value) || json_is_array(value))
            walk(st, value, false);
    }
}

static void add_order_key(struct sql_statement *st, const json_t *node)
{
    struct sql_order_key *key = &st->order[st->order_count++];
    const json_t *constant = sql_node_of(node, "A_Const"), *column = sql_node_of(node, "ColumnRef");
    const char *before = "";
    if (constant != NULL)
        key->position = (int)json_integer_value(json_object_get(json_object_get(constant, "ival"), "ival"));
    else if (column != NULL)
        key->name = xstrdup(sql_last_name(json_object_get(column, "fields"), &before));
}

/* Whether an item of the select list may stand under the key's name in the output without being the column that the qualified key
 * (t.a) means: `b AS a`, u.a, u.*. */
static bool hides_key(const json_t *item, const json_t *key_fields)
{
    const json_t *fields = json_object_get(sql_node_of(json_object_get(item, "val"), "ColumnRef"), "fields");
    const char *alias = sql_text_of(item, "name"), *table = "", *key_table = "";
    const char *key = sql_last_name(key_fields, &key_table), *name = sql_last_name(fields, &table);
    if (*alias == '\0' && fields != NULL && *name == '\0') /* a star */
        return json_array_size(fields) > 1 && strcmp(table, key_table) != 0;
    return strcmp(*alias != '\0' ? alias : name, key) == 0 && json_equal(fields, key_fields) != 1;
}

/* A column of the output may bear the name of a qualified key and be another one: SELECT b AS a, or u.a, … ORDER BY t.a. */
static void forget_hidden_keys(struct sql_statement *st, const json_t *select)
{
    const json_t *sort = json_object_get(select, "sortClause"), *target;
    size_t t;
    for (size_t i = 0; i < st->order_count; i++) {
        const json_t *by =
            sql_node_of(json_object_get(sql_node_of(json_array_get(sort, i), "SortBy"), "node"), "ColumnRef");
        const json_t *fields = json_object_get(by, "fields");
        bool hidden = false;
        if (st->order[i].name == NULL || json_array_size(fields) < 2)
            continue;
        json_array_foreach(json_object_get(select, "targetList"), t, target) hidden =
            hidden || hides_key(sql_node_of(target, "ResTarget"), fields);
        if (hidden) {
            free(st->order[i].name);
            st->order[i].name = NULL;
        }
    }
}

/* from: where the statement begins in the text that was parsed. */
static struct sql_amount amount_of(const json_t *node, const char *text, size_t from)
{
    struct sql_amount amount = {.given = node != NULL};
    const json_t *constant = sql_node_of(node, "A_Const"), *cast;
    while ((cast = sql_node_of(node, "TypeCast")) != NULL)
        node = json_object_get(cast, "arg");
    if (constant != NULL && json_object_get(constant, "ival") != NULL) {
        size_t at = (size_t)json_integer_value(json_object_get(constant, "location"));
        amount.at = at >= from && at - from < strlen(text) ? at - from : 0;
        amount.len = strspn(text + amount.at, "0123456789");
    } else if (constant != NULL && json_is_true(json_object_get(constant, "isnull"))) {
        amount.given = false; /* LIMIT ALL */
    }
    amount.param = (size_t)json_integer_value(json_object_get(sql_node_of(node, "ParamRef"), "number"));
    return amount;
}

static void look_at_order(struct sql_statement *st, const json_t *select, size_t from)
{
    const json_t *sort = json_object_get(select, "sortClause"), *item;
    size_t i, n = json_array_size(sort);
    st->ordered = n > 0;
    st->limit = amount_of(json_object_get(select, "limitCount"), st->text, from);
    st->offset = amount_of(json_object_get(select, "limitOffset"), st->text, from);
    st->limited = st->limit.given || st->offset.given;
    st->order = n > 0 ? xcalloc(n, sizeof *st->order) : NULL;
    json_array_foreach((json_t *)sort, i, item)
        add_order_key(st, json_object_get(sql_node_of(item, "SortBy"), "node"));
    forget_hidden_keys(st, select);
}

/* "InsertStmt" → "INSERT": what people call it, as far as that is plain. */
static char *statement_name(const char *type)
{
    size_t len = strlen(type);
    if (strcmp(type, "TransactionStmt") == 0 || strcmp(type, "VariableSetStmt") == 0)
        return xstrdup(strcmp(type, "TransactionStmt") == 0 ? "a transaction's begin or end" : "SET");
    if (len > 4 && strcmp(type + len - 4, "Stmt") == 0)
        len -= 4;
    char *name = xstrndup(type, len);
    for (char *p = name; *p != '\0'; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    return name;
}

static bool is_write(const char *type)
{
    static const char *const writes[] = {
        "InsertStmt", "UpdateStmt",  "DeleteStmt", "MergeStmt",  "TruncateStmt", "CopyStmt",
        "Create*",    "Alter*",      "Drop*",      "CallStmt",   "DoStmt",       "RefreshMatViewStmt",
        "IndexStmt",  "ViewStmt",    "Grant*",     "VacuumStmt", "LockStmt",     "NotifyStmt",
        "RenameStmt", "ReindexStmt", "ClusterStmt"};
    return AMONG(writes, type);
}

static bool read_statement(const json_t *raw, const char *text, struct sql_statement *st)
{
    size_t len = strlen(text), from = (size_t)json_integer_value(json_object_get(raw, "stmt_location"));
    size_t long_ = (size_t)json_integer_value(json_object_get(raw, "stmt_len"));
    const json_t *tree = json_object_get(raw, "stmt");
    json_t *body = NULL;
    const char *type = sql_node(tree, &body);
    from = MIN_OF(from, len);
    from += strspn(text + from, " \t\r\n");
    long_ = long_ == 0 ? len - from
                       : MIN_OF(long_ - MIN_OF(long_, from - (size_t)json_integer_value(
                                                                 json_object_get(raw, "stmt_location"))),
                                len - from);
    st->text = xstrndup(text + from, long_);
    if (type == NULL)
        return false;
    st->kind = strcmp(type, "SelectStmt") == 0 || strcmp(type, "VariableShowStmt") == 0 ? SQL_READ
               : is_write(type)                                                         ? SQL_WRITE
                                                                                        : SQL_OTHER;
    if (st->kind != SQL_READ) {
        st->why = statement_name(type);
        return true;
    }
    if (strcmp(type, "VariableShowStmt") == 0)
        st->open |= OPEN_SERVER;
    walk(st, tree, true);
    look_at_order(st, body, from);
    return sql_find_params(tree, st);
}

static void set_fingerprint(struct sql_statement *st)
{
    PgQueryFingerprintResult r = pg_query_fingerprint(st->text);
    if (r.error == NULL && r.fingerprint_str != NULL)
        (void)snprintf(st->fingerprint, sizeof st->fingerprint, "%s", r.fingerprint_str);
    pg_query_free_fingerprint_result(r);
}

struct parsing {
    const char *text;
    PgQueryParseResult result;
};

static void *parse_there(void *arg)
{
    struct parsing *p = arg;
    p->result = pg_query_parse(p->text);
    return NULL;
}

/* The library walks a tree by recursion, without bounds: 1+1+1+… of 130 kB is the end of a stack of 8 MiB. A long text gets a stack
 * of its own, which holds SQL_TEXT_MAX of the deepest there is (two bytes a level, 150 bytes of stack; pages are taken when touched). */
static bool parse_long(const char *text, PgQueryParseResult *ret)
{
    struct parsing p = {.text = text};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    bool ok = pthread_attr_setstacksize(&attr, LARGE_STACK) == 0 &&
              pthread_create(&thread, &attr, parse_there, &p) == 0;
    pthread_attr_destroy(&attr);
    if (ok)
        pthread_join(thread, NULL);
    *ret = p.result;
    return ok;
}

bool sql_parse(const char *text, struct sql_script *ret, struct err *err)
{
    PgQueryParseResult r = {0};
    size_t len = strlen(text);
    if (len > SQL_TEXT_MAX)
        return err_set(err, ERR_DATA, "longer than 1 MiB");
    if (len <= SHORT_TEXT)
        r = pg_query_parse(text);
    else if (!parse_long(text, &r))
        return err_set(err, ERR_NO_MEMORY, "no memory for the parser's stack");
    json_t *root = r.error == NULL ? json_loads(r.parse_tree, 0, NULL) : NULL;
    const json_t *raws = json_object_get(root, "stmts");
    bool syntax = r.error != NULL, ok = root != NULL;
    struct sql_script script = {0};
    pg_query_free_parse_result(r);
    script.statements = xcalloc(json_array_size(raws) + 1, sizeof *script.statements);
    for (size_t i = 0; ok && i < json_array_size(raws); i++) {
        struct sql_statement *st = &script.statements[script.count++];
        ok = read_statement(json_array_get(raws, i), text, st);
        if (ok && st->kind == SQL_READ)
            set_fingerprint(st);
    }
    json_decref(root);
    if (!ok) {
        sql_script_release(&script);
        return err_set(err, ERR_DATA, syntax ? "does not parse" : "too deep or too many parameters");
    }
    *ret = script;
    return true;
}

void sql_statement_release(struct sql_statement *st)
{
    for (size_t i = 0; i < st->order_count; i++)
        free(st->order[i].name);
    for (size_t i = 0; i < st->param_count; i++) {
        for (size_t t = 0; t < st->params[i].table_count; t++) {
            free(st->params[i].tables[t].schema);
            free(st->params[i].tables[t].name);
        }
        free(st->params[i].tables);
        free(st->params[i].column);
    }
    free(st->params);
    free(st->order);
    free(st->why);
    free(st->text);
    *st = (struct sql_statement){0};
}

void sql_script_release(struct sql_script *script)
{
    for (size_t i = 0; i < script->count; i++)
        sql_statement_release(&script->statements[i]);
    free(script->statements);
    *script = (struct sql_script){0};
}

char *sql_in_own_words(const char *text)
{
    char *words = NULL;
    PgQueryProtobufParseResult tree = pg_query_parse_protobuf(text);
    if (tree.error == NULL) {
        PgQueryDeparseResult said = pg_query_deparse_protobuf(tree.parse_tree);
        if (said.error == NULL && said.query != NULL)
            words = xstrdup(said.query);
        pg_query_free_deparse_result(said);
    }
    pg_query_free_protobuf_parse_result(tree);
    return words;
}

const char *sql_open_text(unsigned open)
{
    if (open & OPEN_CHANCE)
        return "chance (random(), TABLESAMPLE)";
    if (open & OPEN_CLOCK)
        return "the clock";
    if (open & OPEN_SERVER)
        return "the server itself";
    return open & OPEN_ORDER ? "an order that it does not give" : "";
}
