/* Owns: a session on MariaDB: what it needs of the source, where it begins, its end. See maria.h. */
#include "capture/maria/maria.h"

#include <stdlib.h>
#include <string.h>

#include "capture/maria/maria_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "core/log.h"
#include "maria/binlog/checks.h"

#define HEARTBEAT_MS 100
#define FIRST_LSN    1 /* 0 stands for none */

/* --- settings --- */

static bool check_settings(const struct cap_settings *s, struct err *err)
{
    const struct {
        bool set;
        const char *key;
    } missing[] = {
        {table_rules_there(s->rules), "source.filters"},
        {s->primary_url != NULL, "source.standby_url"},
        {s->snapshot_direct, "capture.snapshot_path: direct"},
        {s->origin == CAP_ORIGIN_NONE, "capture.origin: none"},
        {s->transaction_topic, "journal.transaction_topic"},
        {s->heartbeat_topic, "journal.heartbeat_topic"},
        {s->message_topic, "journal.message_topic"},
    };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        if (missing[i].set)
            return err_set(err, ERR_CONFIG, "%s is not there for a source that is MariaDB: take it away",
                           missing[i].key);
    }
    return true;
}

/* --- the source --- */

static void note_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text)
{
    struct err *err = ctx;
    if (verdict == BINLOG_CHECK_FAIL && !err_is_set(err))
        err_set(err, ERR_CONFIG, "source: %s", text);
    else if (verdict == BINLOG_CHECK_WARN)
        log_event(LOG_LEVEL_WARN, "source_setting", "setting=%s text=\"%s\"", name, text);
}

static bool check_source(struct cap_maria *m, struct err *err)
{
    struct err bad = ERR_INIT;
    if (!binlog_check(m->sql, note_check, &bad, err))
        return err_wrap(err, "source");
    if (err_is_set(&bad))
        *err = bad;
    return !err_is_set(&bad);
}

/* Taking over the journal fences whoever writes there. Who is alive stays. */
static bool lock_pipeline(struct cap_maria *m, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *got = NULL;
    strbuf_adds(&sql, "SELECT GET_LOCK(CONCAT('crossfade capture ', SHA1(CONCAT(DATABASE(), '\\n', ");
    maria_quote_literal(&sql, m->session->settings->pipeline);
    strbuf_adds(&sql, "))), 0)");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(m->sql, sql.data, 0, &got, err);
    strbuf_release(&sql);
    if (ok && (got == NULL || strcmp(got, "1") != 0))
        ok = err_set(err, ERR_BUSY, "another capture of pipeline %s is connected to the source",
                     m->session->settings->pipeline);
    free(got);
    return ok;
}

static bool open_source(struct cap_maria *m, struct err *err)
{
    const struct cap_settings *s = m->session->settings;
    if (!maria_open_as(s->source_url, s->application_name, &m->sql, err))
        return err_wrap(err, "source");
    m->database = maria_database(m->sql);
    /* The lock is held by an idle session. */
    return maria_exec(m->sql, "SET SESSION wait_timeout = 31536000, SESSION idle_transaction_timeout = 0",
                      err) &&
           lock_pipeline(m, err) && check_source(m, err);
}

static bool check_identity(const struct cap_session *s, struct err *err)
{
    return !s->position.any || s->position.gtid != NULL ||
           err_set(
               err, ERR_IDENTITY,
               "the journal was not written from MariaDB, the source is: check source.url, or start a new "
               "pipeline with an empty journal");
}

/* --- beginning --- */

/* The fence with which the stream begins; `gtid`: behind which. */
static bool begin_stream(struct cap_maria *m, struct journal_writer *jw, struct schema_store *schemas,
                         char *gtid, struct err *err)
{
    struct cap_session *s = m->session;
    struct fence_copy place = {.there = true};
    free(s->position.gtid);
    free(s->position.gtid_from);
    s->position.gtid = gtid;
    s->position.gtid_from = NULL;
    s->position.lsn = MAX_OF(s->position.lsn, FIRST_LSN);
    s->position.complete = false;
    cap_start_publisher(s, jw, schemas, false);
    return cap_publisher_begin_copy(s->publisher, s->position.lsn, &place, err) &&
           failpoint("capture.snapshot_begun", err);
}

static bool complete_copy(struct cap_maria *m, struct err *err)
{
    struct cap_session *s = m->session;
    struct cap_batch *batch = cap_publisher_batch(s->publisher);
    batch->copy_fence = (struct cap_copy_fence){
        .wanted = true, .complete = true, .lsn = s->position.lsn, .commit_time_us = clock_wall_us()};
    return maria_submit(m, batch, err);
}

/* Where the stream will begin: at a snapshot of all rows, or now. */
static bool find_beginning(struct cap_maria *m, struct maria_copy **ret_copy, char **ret_gtid,
                           struct err *err)
{
    if (m->session->settings->snapshot_mode != SNAPSHOT_NEVER)
        return maria_copy_open(m, ret_copy, ret_gtid, err);
    if (!maria_query_text(m->sql, "SELECT @@global.gtid_binlog_pos", 0, ret_gtid, err))
        return false;
    if (*ret_gtid == NULL)
        *ret_gtid = xstrdup("");
    return true;
}

static bool begin_anew(struct cap_maria *m, struct journal_writer *jw, struct schema_store *schemas,
                       struct err *err)
{
    char *gtid = NULL;
    struct maria_copy *copy = NULL;
    cap_status_show(m->session, PHASE_SNAPSHOT);
    if (!find_beginning(m, &copy, &gtid, err) || !maria_prepared_none(m, err)) {
        maria_copy_close(copy);
        free(gtid);
        schema_store_close(schemas);
        journal_writer_close(jw);
        return false;
    }
    bool ok = begin_stream(m, jw, schemas, gtid, err);
    if (ok)
        status_board_set_ready(m->session->board);
    m->session->progressed = m->session->progressed || ok;
    ok = ok && (copy == NULL || maria_copy_run(copy, err)) && complete_copy(m, err) &&
         (!m->session->settings->way_back || cap_publisher_drain(m->session->publisher, err));
    maria_copy_close(copy);
    return ok;
}

/* --- the stream --- */

static bool stream(struct cap_maria *m, struct err *err)
{
    const struct cap_settings *s = m->session->settings;
    const struct cap_position *pos = &m->session->position;
    const struct binlog_options options = {.url = s->source_url,
                                           .program = s->application_name,
                                           .topic_prefix = s->topic_prefix,
                                           .position = pos->gtid_from != NULL ? pos->gtid_from : pos->gtid,
                                           .heartbeat_ms = HEARTBEAT_MS,
                                           .wanted = maria_wanted,
                                           .wanted_ctx = m};
    m->lsn = pos->lsn;
    m->commit_time_us = pos->commit_time_us;
    if (!gtid_list_parse(pos->gtid, &m->done, err) || !binlog_open(&options, &m->binlog, err))
        return err_wrap(err, "source");
    log_event(LOG_LEVEL_INFO, "stream_begin", "gtid=%s lsn=" LSN_FMT, options.position, LSN_ARGS(m->lsn));
    cap_publisher_progress(m->session->publisher, &m->progress);
    cap_status_show(m->session, PHASE_STREAMING);
    return maria_loop(m, err);
}

static bool run(struct cap_maria *m, struct err *err)
{
    struct cap_session *s = m->session;
    struct journal_writer *jw = NULL;
    struct schema_store *schemas = NULL;
    if (!open_source(m, err) || !cap_open_journal(s, &jw, &schemas, err))
        return false;
    s->identity.system_id =
        hash_fnv1a(HASH_FNV1A, "mariadb", 7) >> 1; /* which server it is, its GTIDs tell */
    if (!check_identity(s, err)) {
        schema_store_close(schemas);
        journal_writer_close(jw);
        return false;
    }
    maria_make_marker_table(m);
    if (!maria_way_back_look(m, err)) {
        schema_store_close(schemas);
        journal_writer_close(jw);
        return false;
    }
    if (!cap_position_streams(&s->position)) {
        if (!begin_anew(m, jw, schemas, err))
            return false;
    } else {
        cap_start_publisher(s, jw, schemas, true);
    }
    if (!maria_way_back_note(m, err))
        return false;
    if (s->settings->snapshot_mode == SNAPSHOT_ONLY)
        return cap_publisher_drain(s->publisher, err);
    return stream(m, err);
}

bool cap_maria_session(struct cap_session *s, struct err *err)
{
    struct cap_maria m = {.session = s};
    cap_status_begin(s);
    if (!check_settings(s->settings, err))
        return false;
    m.held =
        cap_spill_new(s->settings->spill_dir, s->settings->spill_encryption, s->settings->half_memory_bytes);
    strbuf_init(&m.position, MARIA_TEXT_MAX);
    bool ok = run(&m, err);
    binlog_close(m.binlog);
    charsets_close(m.sets);
    maria_close(m.sql);
    cap_batch_free(m.batch);
    cap_spill_free(m.held);
    maria_prepared_free(&m);
    maria_tables_free(&m);
    gtid_list_release(&m.done);
    strbuf_release(&m.position);
    return ok;
}
