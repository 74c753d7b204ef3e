/*
 * For apply's component tests: a small writer of journals (tables, transactions, fences, without any source),
 * the `crossfade apply` process over it, and looks into the target. One PostgreSQL server for all tests of a
 * program, one database and one LMDB journal per test. Or one MariaDB server: ac_open_mariadb.
 */
#ifndef SUPPORT_APPLY_CASE_H
#define SUPPORT_APPLY_CASE_H

#include "mariadb_server.h"
#include "pg_server.h"

#include <ctype.h>
#include <poll.h>
#include <time.h>

#include "change/codec.h"
#include "change/fence.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "journal/journal.h"
#include "journal/schema_store.h"

#define AC_TABLES    12
#define AC_COLUMNS   8
#define AC_SYSTEM_ID UINT64_C(7300000000000000001)
/* A column value that the record does not hold (unchanged TOAST). */
static const char UNSENT[] = "\001unsent";

#define AC_OK(ac, call)                                                                                      \
    do {                                                                                                     \
        if (!(call))                                                                                         \
            fail_msg("%s: %s", #call, (ac)->err.text);                                                       \
    } while (0)

struct ac_table {
    struct table_schema *schema;
    struct encoder *enc;
    int stream;
};

struct apply_case {
    struct pg_server *pg;
    PGconn *db;
    struct mariadb_server *mariadb; /* NULL: PostgreSQL is the target */
    MYSQL *my;
    char folder[64], database[64], url[200], config[100], log[100];
    const struct codec_ops *codec;
    const char *format;
    const char *always; /* of the section apply, in each configuration; NULL = nothing */
    struct journal_config journal;
    char journal_url[100];
    struct journal_writer *jw;
    struct schema_store *schemas;
    struct ac_table tables[AC_TABLES];
    size_t table_count;
    int fence_stream;
    uint64_t fence_id, attempt, system_id, order, changes;
    uint32_t xid;
    lsn_t lsn;               /* of the transaction at hand */
    bool recreated;          /* fences name offsets from 0 on */
    pid_t pid;               /* of apply; 0 = not running */
    const char *target_more; /* behind the configuration's target.url; NULL = nothing */
    struct err err;
};

/* --- the target --- */

static UNUSED void ac_sql(struct apply_case *ac, const char *sql)
{
    if (ac->mariadb != NULL) {
        mariadb_server_sql(ac->my, sql);
        return;
    }
    PGresult *res = PQexec(ac->db, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(ac->db));
    PQclear(res);
}

/* Rows as text: columns by ',', rows by ';'. In a buffer that the next call overwrites. */
static UNUSED const char *ac_rows(struct apply_case *ac, const char *sql)
{
    static char out[8192];
    size_t len = 0;
    if (ac->mariadb != NULL)
        return mariadb_server_rows(ac->my, sql, out, sizeof out);
    PGresult *res = PQexec(ac->db, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(ac->db));
    out[0] = '\0';
    for (int i = 0; i < PQntuples(res); i++) {
        for (int k = 0; k < PQnfields(res); k++) {
            const char *cell = PQgetisnull(res, i, k) ? "null" : PQgetvalue(res, i, k);
            len += (size_t)snprintf(out + len, sizeof out - len, "%s%s",
                                    k > 0   ? ","
                                    : i > 0 ? ";"
                                            : "",
                                    cell);
            assert_true(len < sizeof out);
        }
    }
    PQclear(res);
    return out;
}

static UNUSED void ac_expect(struct apply_case *ac, const char *sql, const char *want)
{
    const char *got = ac_rows(ac, sql);
    if (strcmp(got, want) != 0)
        fail_msg("%s\n  gives  %s\n  not    %s", sql, got, want);
}

/* --- the journal --- */

static UNUSED void ac_journal_open(struct apply_case *ac)
{
    char *fence = journal_fence_stream("t");
    AC_OK(ac, journal_writer_open(&ac->journal, &ac->jw, &ac->err));
    AC_OK(ac, schema_store_open(&ac->journal, &ac->schemas, &ac->err));
    AC_OK(ac, journal_stream(ac->jw, fence, STREAM_FOREVER, &ac->fence_stream, &ac->err));
    free(fence);
}

static UNUSED void ac_journal_close(struct apply_case *ac)
{
    for (size_t i = 0; i < ac->table_count; i++) {
        ac->codec->encoder_close(ac->tables[i].enc);
        table_schema_free(ac->tables[i].schema);
    }
    ac->table_count = 0;
    schema_store_close(ac->schemas);
    journal_writer_close(ac->jw);
}

static struct field ac_field(char *name, const char *type, bool key)
{
    static const struct {
        const char *type;
        enum phys phys;
        const char *source_type;
    } types[] = {{"int4", PHYS_INT32, "INT4"},        {"int8", PHYS_INT64, "INT8"},
                 {"text", PHYS_STRING, "TEXT"},       {"varchar3", PHYS_STRING, "VARCHAR"},
                 {"numeric", PHYS_STRING, "NUMERIC"}, {"json", PHYS_STRING, "JSON"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].type, type) == 0)
            return (struct field){.name = xstrdup(name),
                                  .phys = types[i].phys,
                                  .optional = !key,
                                  .key = key,
                                  .source_type = xstrdup(types[i].source_type),
                                  .source_length = strcmp(type, "varchar3") == 0 ? 3 : -1,
                                  .source_scale = -1,
                                  .semantic =
                                      strcmp(type, "json") == 0 ? xstrdup("io.debezium.data.Json") : NULL};
    }
    fail_msg("type %s", type);
    return (struct field){0};
}

/* shape: "id int4 key, name text, …" */
static UNUSED struct ac_table *ac_table_in(struct apply_case *ac, const char *schema_name, const char *name,
                                           const char *shape)
{
    struct ac_table *t = &ac->tables[ac->table_count++];
    assert_true(ac->table_count <= AC_TABLES);
    struct table_schema *s = xcalloc(1, sizeof *s);
    s->topic = topic_name("t", schema_name, name);
    s->name_space = xstrdup(s->topic);
    s->schema = xstrdup(schema_name);
    s->table = xstrdup(name);
    s->fields = xcalloc(AC_COLUMNS, sizeof *s->fields);
    s->key_fields = xcalloc(AC_COLUMNS, sizeof *s->key_fields);
    s->version = 1;
    char *text = xstrdup(shape), *save = NULL;
    for (char *part = strtok_r(text, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        char column[64] = "", type[16] = "", key[8] = "";
        assert_true(sscanf(part, " %63s %15s %7s", column, type, key) >= 2);
        if (key[0] != '\0')
            s->key_fields[s->key_count++] = s->field_count;
        s->fields[s->field_count++] = ac_field(column, type, key[0] != '\0');
    }
    free(text);
    char *key_json = NULL, *value_json = NULL;
    char *key_subject = xasprintf("%s-key", s->topic), *value_subject = xasprintf("%s-value", s->topic);
    AC_OK(ac, ac->codec->schema_texts(s, &key_json, &value_json, &ac->err));
    if (key_json != NULL)
        AC_OK(ac, schema_store_register(ac->schemas, ac->jw, key_subject, ac->format, key_json,
                                        &s->key_schema_id, &ac->err));
    AC_OK(ac, schema_store_register(ac->schemas, ac->jw, value_subject, ac->format, value_json,
                                    &s->value_schema_id, &ac->err));
    AC_OK(ac, ac->codec->encoder_open(s, &t->enc, &ac->err));
    AC_OK(ac, journal_stream(ac->jw, s->topic, STREAM_DATA, &t->stream, &ac->err));
    free(key_json);
    free(value_json);
    free(key_subject);
    free(value_subject);
    t->schema = s;
    return t;
}

static UNUSED struct ac_table *ac_table(struct apply_case *ac, const char *name, const char *shape)
{
    return ac_table_in(ac, "public", name, shape);
}

/* A row from texts; NULL = null. */
struct ac_row {
    const char *v[AC_COLUMNS];
};
#define ROW(...) (&(struct ac_row){.v = {__VA_ARGS__}})

static void ac_datums(const struct ac_table *t, const struct ac_row *row, bool key_only, struct datum *out)
{
    for (size_t i = 0; i < t->schema->field_count; i++) {
        const struct field *f = &t->schema->fields[i];
        const char *v = row->v[i];
        out[i] = (struct datum){.state = DATUM_NULL};
        if (v == NULL || (key_only && !f->key))
            continue;
        out[i].state = v == UNSENT ? DATUM_UNAVAILABLE : DATUM_VALUE;
        if (v != UNSENT && f->phys == PHYS_STRING) {
            out[i].s.p = v;
            out[i].s.len = (uint32_t)strlen(v);
        } else if (v != UNSENT) {
            out[i].i = strtoll(v, NULL, 10);
        }
    }
}

static UNUSED void ac_begin(struct apply_case *ac)
{
    ac->xid++;
    ac->lsn += 0x100;
    ac->order = 0;
}

static void ac_append(struct apply_case *ac, struct ac_table *t, enum change_op op,
                      const struct ac_row *before, const struct ac_row *after, const char *header,
                      const struct ac_row *header_row)
{
    struct datum old[AC_COLUMNS], new[AC_COLUMNS], other[AC_COLUMNS];
    struct strbuf key = STRBUF_INIT(1 << 20), value = STRBUF_INIT(64 << 20), other_key = STRBUF_INIT(1 << 20);
    bool keyed = t->schema->key_count > 0;
    struct change chg = {.op = op, .schema = t->schema, .table_order = 1, .captured_us = clock_wall_us()};
    chg.source = (struct change_source){.server = "t",
                                        .database = "db",
                                        .lsn = ac->lsn,
                                        .commit_lsn = ac->lsn,
                                        .xid = ac->xid,
                                        .commit_time_us = clock_wall_us(),
                                        .snapshot = op == CHANGE_READ ? SNAPSHOT_TRUE : SNAPSHOT_FALSE};
    chg.total_order = op == CHANGE_READ ? 0 : ++ac->order;
    if (before != NULL) {
        ac_datums(t, before, keyed, old);
        chg.before = old;
        chg.before_key_only = keyed;
    }
    if (after != NULL) {
        ac_datums(t, after, false, new);
        chg.after = new;
    }
    struct journal_record rec = {.partition = -1};
    if (keyed && op != CHANGE_TRUNCATE) {
        AC_OK(ac, ac->codec->encode_key(t->enc, after != NULL ? new : old, &key, &ac->err));
        rec.key = key.data;
        rec.key_len = key.len;
    }
    AC_OK(ac, ac->codec->encode_value(t->enc, &chg, &value, &ac->err));
    rec.value = value.data;
    rec.value_len = value.len;
    unsigned char id[4] = {
        (unsigned char)(t->schema->value_schema_id >> 24), (unsigned char)(t->schema->value_schema_id >> 16),
        (unsigned char)(t->schema->value_schema_id >> 8), (unsigned char)t->schema->value_schema_id};
    if (strcmp(ac->format, "json") == 0)
        rec.headers[rec.header_count++] = (struct journal_header){HEADER_SCHEMA_ID, id, sizeof id};
    if (header != NULL && header_row == NULL) {
        rec.headers[rec.header_count++] = (struct journal_header){header, "", 0};
    } else if (header != NULL) {
        ac_datums(t, header_row, true, other);
        AC_OK(ac, ac->codec->encode_key(t->enc, other, &other_key, &ac->err));
        rec.headers[rec.header_count++] = (struct journal_header){header, other_key.data, other_key.len};
    }
    AC_OK(ac, journal_append(ac->jw, t->stream, &rec, &ac->err));
    if (op == CHANGE_DELETE && keyed) {
        rec.value = NULL;
        rec.value_len = 0;
        AC_OK(ac, journal_append(ac->jw, t->stream, &rec, &ac->err));
    }
    ac->changes++;
    strbuf_release(&key);
    strbuf_release(&value);
    strbuf_release(&other_key);
}

static UNUSED void ac_read(struct apply_case *ac, struct ac_table *t, const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_READ, NULL, row, NULL, NULL);
}

static UNUSED void ac_insert(struct apply_case *ac, struct ac_table *t, const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_INSERT, NULL, row, NULL, NULL);
}

/* before: tables without key only. */
static UNUSED void ac_update(struct apply_case *ac, struct ac_table *t, const struct ac_row *before,
                             const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_UPDATE, before, row, NULL, NULL);
}

/* An update beside a copy: its row may not be there. */
static UNUSED void ac_update_copying(struct apply_case *ac, struct ac_table *t, const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_UPDATE, NULL, row, HEADER_COPYING, NULL);
}

static UNUSED void ac_delete(struct apply_case *ac, struct ac_table *t, const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_DELETE, row, NULL, NULL, NULL);
}

static UNUSED void ac_move(struct apply_case *ac, struct ac_table *t, const struct ac_row *before,
                           const struct ac_row *row)
{
    ac_append(ac, t, CHANGE_DELETE, before, NULL, HEADER_NEW_KEY, row);
    ac_append(ac, t, CHANGE_INSERT, NULL, row, HEADER_OLD_KEY, before);
}

static UNUSED void ac_truncate(struct apply_case *ac, struct ac_table *t)
{
    ac_append(ac, t, CHANGE_TRUNCATE, NULL, NULL, NULL, NULL);
}

static UNUSED void ac_fence_marked(struct apply_case *ac, enum fence_kind kind, enum marker_kind marker,
                                   const char *nonce, int64_t deadline_ms)
{
    const struct journal_range *ranges;
    size_t count, used = 0;
    struct fence_range out[AC_TABLES + 2];
    struct strbuf text = STRBUF_INIT(1 << 20);
    char *schema_stream = journal_schema_stream("t");
    AC_OK(ac, journal_flush(ac->jw, &ranges, &count, &ac->err));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(ranges[i].stream, schema_stream) != 0)
            out[used++] = (struct fence_range){.stream = xstrdup(ranges[i].stream),
                                               .partition = ranges[i].partition,
                                               .first_offset = ac->recreated ? 0 : ranges[i].first_offset,
                                               .next_offset = ranges[i].next_offset};
    }
    if (kind == FENCE_SNAPSHOT_BEGIN)
        ac->attempt++;
    struct fence f = {.format = FENCE_FORMAT,
                      .kind = kind,
                      .id = ++ac->fence_id,
                      .attempt = ac->attempt,
                      .pipeline = xstrdup("t"),
                      .source_system_id = ac->system_id,
                      .timeline = 1,
                      .lsn = ac->lsn + 0x80,
                      .commit_time_us = clock_wall_us(),
                      .written_us = clock_wall_us(),
                      .complete = kind == FENCE_STREAM,
                      .marker = {.kind = marker, .deadline_ms = deadline_ms},
                      .changes = ac->changes,
                      .transactions = 1,
                      .ranges = out,
                      .range_count = used};
    if (nonce != NULL)
        (void)snprintf(f.marker.nonce, sizeof f.marker.nonce, "%s", nonce);
    AC_OK(ac, fence_encode(&f, &text, &ac->err));
    struct journal_record rec = {
        .partition = 0, .key = "t", .key_len = 1, .value = text.data, .value_len = text.len};
    AC_OK(ac, journal_append(ac->jw, ac->fence_stream, &rec, &ac->err));
    AC_OK(ac, journal_commit(ac->jw, &ac->err));
    for (size_t i = 0; i < used; i++)
        free(out[i].stream);
    free(f.pipeline);
    free(schema_stream);
    strbuf_release(&text);
    ac->changes = 0;
}

static UNUSED void ac_fence(struct apply_case *ac, enum fence_kind kind)
{
    ac_fence_marked(ac, kind, MARKER_NONE, NULL, 0);
}

/* --- apply --- */

static UNUSED void ac_write_config(struct apply_case *ac, const char *more)
{
    FILE *f = fopen(ac->config, "w");
    assert_non_null(f);
    fprintf(f,
            "pipeline: t\nsource: { url: \"postgresql://localhost/none\" }\ntarget: { url: \"%s\"%s }\n"
            "journal: { url: \"%s\", format: %s, topic_prefix: t }\n"
            "apply: { listen: \"127.0.0.1:0\"%s%s%s%s }\nlog: { level: debug }\n",
            ac->url, ac->target_more != NULL ? ac->target_more : "", ac->journal_url, ac->format,
            more[0] != '\0' ? ", " : "", more, ac->always != NULL ? ", " : "",
            ac->always != NULL ? ac->always : "");
    assert_int_equal(fclose(f), 0);
}

static UNUSED void ac_start(struct apply_case *ac, const char *failpoint)
{
    const char *binary = getenv("CF_BINARY");
    assert_non_null(binary);
    assert_int_equal(ac->pid, 0);
    ac->pid = fork();
    assert_true(ac->pid >= 0);
    if (ac->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(ac->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    if (failpoint != NULL)
        setenv("CROSSFADE_FAILPOINT", failpoint, 1);
    execl(binary, binary, "-c", ac->config, "apply", (char *)NULL);
    _exit(127);
}

static void ac_show_log(struct apply_case *ac)
{
    char line[2000];
    FILE *f = fopen(ac->log, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        fputs(line, stderr);
    if (f != NULL)
        fclose(f);
}

/* Waits for the end; its exit code, or 1000 + signal. */
/* 10 ms each. */
#define AC_EXIT_TRIES 18000

static UNUSED int ac_wait_exit(struct apply_case *ac)
{
    int status = 0;
    for (int tries = 0; waitpid(ac->pid, &status, WNOHANG) != ac->pid; tries++) {
        if (tries == AC_EXIT_TRIES) {
            ac_show_log(ac);
            fail_msg("apply has not ended");
        }
        (void)poll(NULL, 0, 10);
    }
    ac->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static UNUSED void ac_stop(struct apply_case *ac)
{
    kill(ac->pid, SIGTERM);
    int code = ac_wait_exit(ac);
    if (code != 0) {
        ac_show_log(ac);
        fail_msg("exit code %d", code);
    }
}

static UNUSED bool ac_position_is(struct apply_case *ac, uint64_t fence_id)
{
    char want[32];
    (void)snprintf(want, sizeof want, "%llu", (unsigned long long)fence_id);
    if (ac->mariadb != NULL)
        return mariadb_server_is(ac->my, "SELECT fence_id FROM crossfade_position WHERE pipeline = 't'",
                                 want);
    PGresult *res = PQexec(ac->db, "SELECT fence_id FROM crossfade.position WHERE pipeline = 't'");
    bool same = PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 &&
                strcmp(PQgetvalue(res, 0, 0), want) == 0;
    PQclear(res);
    return same;
}

/* Until apply has committed the newest fence; fails when it ends before. */
static UNUSED void ac_wait(struct apply_case *ac)
{
    int64_t until = clock_mono_us() + 60 * 1000000;
    while (!ac_position_is(ac, ac->fence_id)) {
        int status;
        bool ended = waitpid(ac->pid, &status, WNOHANG) == ac->pid;
        if (ended || clock_mono_us() > until) {
            ac_show_log(ac);
            fail_msg("%s", ended ? "apply has ended" : "apply does not reach the fence");
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static UNUSED bool ac_log_has(struct apply_case *ac, const char *text);
/* Until apply has said so. */
static UNUSED void ac_wait_log(struct apply_case *ac, const char *text)
{
    int64_t until = clock_mono_us() + 60 * 1000000;
    while (!ac_log_has(ac, text)) {
        if (clock_mono_us() > until) {
            ac_show_log(ac);
            fail_msg("apply does not say: %s", text);
        }
        (void)poll(NULL, 0, 10);
    }
}

static UNUSED bool ac_log_has(struct apply_case *ac, const char *text)
{
    char line[3000];
    bool found = false;
    FILE *f = fopen(ac->log, "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, text) != NULL;
    if (f != NULL)
        fclose(f);
    return found;
}

/* apply halts with this code and names all of these texts (NULL-terminated). */
static UNUSED void ac_expect_halt(struct apply_case *ac, int code, const char *const *texts)
{
    int got = ac_wait_exit(ac);
    if (got != code) {
        ac_show_log(ac);
        fail_msg("exit code %d, not %d", got, code);
    }
    for (; *texts != NULL; texts++) {
        if (!ac_log_has(ac, *texts)) {
            ac_show_log(ac);
            fail_msg("the log does not name %s", *texts);
        }
    }
}
#define HALTS(ac, code, ...) ac_expect_halt(ac, code, (const char *const[]){__VA_ARGS__, NULL})

/* --- life --- */

static void ac_open_rest(struct apply_case *ac, const char *format)
{
    static unsigned serial;
    memset(ac, 0, sizeof *ac);
    ac->format = format;
    ac->codec = codec_by_name(format);
    ac->system_id = AC_SYSTEM_ID;
    ac->lsn = 0x1000000;
    (void)snprintf(ac->folder, sizeof ac->folder, "/tmp/cf-apply-XXXXXX");
    assert_non_null(mkdtemp(ac->folder));
    (void)snprintf(ac->config, sizeof ac->config, "%s/crossfade.yaml", ac->folder);
    (void)snprintf(ac->log, sizeof ac->log, "%s/apply.log", ac->folder);
    (void)snprintf(ac->journal_url, sizeof ac->journal_url, "lmdb:%s/journal", ac->folder);
    (void)snprintf(ac->database, sizeof ac->database, "t%u", ++serial);
    ac->journal = (struct journal_config){.url = ac->journal_url,
                                          .pipeline = "t",
                                          .topic_prefix = "t",
                                          .partitions = 1,
                                          .replication_factor = 1,
                                          .retention_ms = 3600000};
    ac_journal_open(ac);
}

static UNUSED void ac_open(struct apply_case *ac, struct pg_server *pg, const char *format)
{
    char admin[200];
    ac_open_rest(ac, format);
    ac->pg = pg;
    (void)snprintf(ac->url, sizeof ac->url, "postgresql://postgres@127.0.0.1:%d/%s", pg->port, ac->database);
    (void)snprintf(admin, sizeof admin, "CREATE DATABASE %s", ac->database);
    ac->db = PQconnectdb(pg->url);
    ac_sql(ac, admin);
    PQfinish(ac->db);
    ac->db = PQconnectdb(ac->url);
    ac_sql(ac, "SET client_min_messages = warning");
    ac_write_config(ac, "");
}

/* As the role that apply needs, with rights on its database alone. */
static UNUSED void ac_open_mariadb(struct apply_case *ac, struct mariadb_server *server, const char *format)
{
    ac_open_rest(ac, format);
    ac->mariadb = server;
    ac->my = mariadb_server_database(server, ac->database);
    (void)snprintf(ac->url, sizeof ac->url, "mariadb://crossfade:p%%40ss@127.0.0.1:%d/%s", server->port,
                   ac->database);
    ac_write_config(ac, "");
}

static UNUSED void ac_close(struct apply_case *ac)
{
    if (ac->pid > 0) {
        kill(ac->pid, SIGKILL);
        (void)ac_wait_exit(ac);
    }
    ac_journal_close(ac);
    PQfinish(ac->db);
    if (ac->my != NULL)
        mysql_close(ac->my);
    nftw(ac->folder, pg_server_remove, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
