/*
 * Owns: the configuration of a rehearsal, made from the pipeline's: what decides which tables are moved and how a switch goes is taken over;
 * poolers, hooks, approvals, webhooks and a Kafka are not, for nobody outside may notice a rehearsal. JSON, which is YAML.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/table_filter.h"
#include "core/alloc.h"
#include "core/new_file.h"
#include "rehearsal.h"

#define TEXT_BYTES_MAX ((size_t)16 << 20)

static const char *const texts[] = {
    "schema.pg_dump",         "compare.json", "compare.text", "compare.unicode", "cutover.materialized_views",
    "cutover.unlogged_tables"};
static const char *const lists[] = {"schema.exclude", "cutover.schema_ignore"};
static const char *const numbers[] = {
    "cutover.lag_stable_ms",   "cutover.straggler_grace_ms", "cutover.pause_budget_ms",
    "cutover.drain_timeout_s", "cutover.freeze_timeout_ms",  "cutover.step_timeout_ms",
    "cutover.arm_timeout_ms",  "cutover.abort_timeout_ms",   "cutover.max_transaction_age_s",
    "cutover.prepare_workers", "capture.fence_interval_ms"};
/* All roles share this machine with the pipeline's own: what a marker takes here is no measure of what it takes there. */
#define LAG_MS_MIN INT64_C(30000)
/* Whoever keeps a switch on MariaDB from its locks may be somebody of another database: a rehearsal ends nobody's session. */
#define GRACE_MS_MARIADB INT64_C(3600000)

/* A dollar sign would be read as the beginning of a variable. */
static json_t *quoted(const char *text)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    for (; *text != '\0'; text++) {
        if (*text == '$')
            strbuf_addc(&out, '$');
        strbuf_addc(&out, *text);
    }
    json_t *ret = json_string(out.data);
    strbuf_release(&out);
    return ret;
}

/* "section.key" */
static void put(json_t *root, const char *key, json_t *value)
{
    const char *dot = strchr(key, '.');
    char section[64];
    (void)snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
    json_t *into = json_object_get(root, section);
    if (into == NULL) {
        into = json_object();
        json_object_set_new(root, section, into);
    }
    json_object_set_new(into, dot + 1, value);
}

static void put_text(json_t *root, const char *key, const char *text)
{
    put(root, key, quoted(text));
}

/* ---- which tables ---- */

/* On MariaDB another schema is another database, which is the server's and not the rehearsal's: no pattern reaches there. */
static json_t *tables_of_public(const char *const *items, size_t count)
{
    json_t *list = json_array();
    if (count == 0 || items[0][0] == '!')
        json_array_append_new(list, json_string("public.*"));
    for (size_t i = 0; i < count; i++) {
        char *item CLEANUP(free_ptr) = table_pattern_of_schema(items[i], "public");
        if (item != NULL &&
            (*item != '!' || json_array_size(list) > 0)) /* such a first one would begin from all */
            json_array_append_new(list, json_string(item));
    }
    return list;
}

/* With the rehearsal's own; empty: all. */
static json_t *tables_of(const struct rehearsal *r)
{
    size_t count;
    const char *const *items = config_list(r->cfg, "source.tables", &count);
    bool narrow = scratch_is_mariadb(r, NEW);
    json_t *list = narrow ? tables_of_public(items, count) : json_array();
    for (size_t i = 0; !narrow && i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    if (json_array_size(list) > 0 || narrow)
        json_array_append_new(list, json_sprintf("public.%s", r->written));
    return list;
}

bool settings_filter(const struct rehearsal *r, struct table_filter **ret, struct err *err)
{
    json_t *list = tables_of(r), *item;
    const char **patterns = xcalloc(json_array_size(list) + 1, sizeof *patterns);
    size_t i;
    json_array_foreach(list, i, item) patterns[i] = json_string_value(item);
    bool ok = table_filter_new(patterns, json_array_size(list), ret, err);
    free(patterns);
    json_decref(list);
    return ok;
}

static json_t *list_of(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, quoted(items[i]));
    return list;
}

static void put_tables(const struct rehearsal *r, json_t *root)
{
    json_t *list = tables_of(r), *shown = json_array(), *item;
    size_t i;
    json_array_foreach(list, i, item) json_array_append_new(shown, quoted(json_string_value(item)));
    if (json_array_size(shown) > 0)
        put(root, "source.tables", json_incref(shown));
    json_decref(shown);
    json_decref(list);
}

/* "public.t.c=decimal(9,2)" */
static void put_types(const struct rehearsal *r, json_t *root)
{
    size_t count;
    const char *const *items = config_list(r->cfg, "types", &count);
    json_t *types = json_object();
    for (size_t i = 0; i < count; i++) {
        char *name CLEANUP(free_ptr) = xstrndup(items[i], strcspn(items[i], "="));
        json_object_set_new(types, name, quoted(items[i] + strlen(name) + 1));
    }
    if (count > 0)
        json_object_set_new(root, "types", types);
    else
        json_decref(types);
}

static void take_over(const struct rehearsal *r, json_t *root)
{
    put_tables(r, root);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (config_text(r->cfg, texts[i]) != NULL)
            put_text(root, texts[i], config_text(r->cfg, texts[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        put(root, numbers[i], json_integer((json_int_t)config_int(r->cfg, numbers[i])));
    if (scratch_is_mariadb(r, NEW))
        put(root, "cutover.straggler_grace_ms", json_integer(GRACE_MS_MARIADB));
    put(root, "cutover.max_lag_ms",
        json_integer((json_int_t)MAX_OF(config_int(r->cfg, "cutover.max_lag_ms"), LAG_MS_MIN)));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        size_t count;
        const char *const *items = config_list(r->cfg, lists[i], &count);
        if (count > 0)
            put(root, lists[i], list_of(items, count));
    }
}

/* One that is free now; should somebody take it first, a role says so and the rehearsal ends. */
static bool free_ports(int *ret, size_t count, struct err *err)
{
    int fds[ROLES];
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (ok && (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&at, sizeof at) != 0 ||
                   getsockname(fds[i], (struct sockaddr *)&at, &len) != 0))
            ok = err_set_errno(err, errno, "no free port on 127.0.0.1");
        ret[i] = ntohs(at.sin_port);
    }
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    return ok;
}

static bool put_listen(json_t *root, struct err *err)
{
    static const char *const keys[ROLES] = {"capture.listen", "apply.listen", "reverse.capture_listen",
                                            "reverse.apply_listen"};
    int ports[ROLES];
    if (!free_ports(ports, ROLES, err))
        return false;
    for (size_t i = 0; i < ROLES; i++)
        put(root, keys[i], json_sprintf("127.0.0.1:%d", ports[i]));
    return true;
}

static bool write_file(const char *path, json_t *root, struct err *err)
{
    char *text CLEANUP(free_ptr) = json_dumps(root, JSON_INDENT(2));
    return text != NULL ? new_file_write(path, 0600, text, strlen(text), NULL, NULL, err)
                        : err_set(err, ERR_DATA, "%s: a setting is no text in UTF-8", path);
}

static json_t *common(const struct rehearsal *r)
{
    json_t *root = json_object();
    json_object_set_new(root, "pipeline", json_string(r->own_pipeline));
    put(root, "journal.url", json_sprintf("lmdb:%s/journal", r->folder));
    take_over(r, root);
    return root;
}

static bool write_main(const struct rehearsal *r, struct err *err)
{
    json_t *root = common(r);
    put_text(root, "source.url", r->sides[OLD].scratch_url);
    put_text(root, "target.url", r->sides[NEW].scratch_url);
    put_types(r, root);
    put_text(root, "capture.origin", "not_crossfade");
    put(root, "capture.heartbeat_interval_ms", json_integer(500));
    put_text(root, "cutover.reverse", "required");
    put_text(root, "cutover.grants", "ignore");
    put(root, "compare.report_dir", json_sprintf("%s/reports", r->folder));
    put(root, "capture.spill_dir", json_sprintf("%s", r->folder));
    bool ok = put_listen(root, err) && write_file(r->config_file, root, err);
    json_decref(root);
    return ok;
}

/* By which the scratch database beside the source gets the source's definitions. */
static bool write_seed(const struct rehearsal *r, struct err *err)
{
    json_t *root = common(r);
    put_text(root, "source.url", r->sides[OLD].url);
    put_text(root, "target.url", r->sides[OLD].scratch_url);
    bool ok = write_file(r->seed_file, root, err);
    json_decref(root);
    return ok;
}

bool settings_write(struct rehearsal *r, struct err *err)
{
    return write_main(r, err) && write_seed(r, err);
}
