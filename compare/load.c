/* Owns: the questions to the servers about their load. See load.h. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "pg/standbys.h"
#include "postgres/postgres.h"

#define LOOK_EVERY_US INT64_C(250000)

/* Every role sees what databases have worked (active_time, since PostgreSQL 14), but of other roles' backends only one with
 * pg_read_all_stats whether they work. Statements in a transaction that goes on, as ours are, are not in active_time. */
static const char load_sql[] =
    "SELECT (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
    "          AND application_name NOT LIKE 'crossfade%' AND pid <> pg_backend_pid()),"
    "       (SELECT coalesce(sum(active_time), 0)::bigint FROM pg_stat_database),"
    "       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')";

double load_add(struct load *load, const struct load_sample *sample)
{
    if (load->sample_count == LOAD_SAMPLES)
        memmove(load->samples, load->samples + 1, (--load->sample_count) * sizeof *load->samples);
    load->samples[load->sample_count++] = *sample;
    const struct load_sample *first = &load->samples[0];
    size_t recent = MIN_OF(load->sample_count, (size_t)LOAD_RECENT);
    int64_t sum = 0;
    for (size_t i = load->sample_count - recent; i < load->sample_count; i++)
        sum += load->samples[i].active;
    if (sample->all_seen)
        return (double)sum / (double)recent;
    int64_t took_us = sample->at_us - first->at_us;
    return took_us > 0 ? (double)(sample->worked_ms - first->worked_ms) * 1000.0 / (double)took_us : 0;
}

bool load_settled(const struct load *load)
{
    size_t count = load->sample_count;
    return count >= (count > 0 && load->samples[count - 1].all_seen ? LOAD_RECENT : LOAD_SAMPLES);
}

static bool look_at_activity(struct load *load, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(load->session[SIDE_SOURCE], load_sql, 0, NULL, &res, err))
        return err_wrap(err, "source: its load");
    const struct load_sample sample = {.at_us = clock_mono_us(),
                                       .active = rowset_int64(res, 0, 0),
                                       .worked_ms = rowset_int64(res, 0, 1),
                                       .all_seen = rowset_bool(res, 0, 2)};
    load->figures.active = load_add(load, &sample);
    return true;
}

static bool look_at_latency(struct load *load, struct err *err)
{
    int64_t ignored = 0, begin_us = clock_mono_us();
    if (!session_int64(load->session[SIDE_SOURCE], "SELECT count(*) FROM pg_catalog.pg_namespace", 0, NULL,
                       &ignored, err))
        return err_wrap(err, "source: its latency");
    load->figures.latency_us = clock_mono_us() - begin_us;
    return true;
}

static bool look_at_standbys(struct load *load, struct err *err)
{
    load->figures.replica_late = false;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        lsn_t written = 0, replayed = 0;
        if (load->standbys[side].max_us == 0)
            continue;
        if (!pg_standbys(session_postgres_conn(load->session[side]), &written, &replayed, err))
            return err_wrap(err, "%s: compare.max_replica_lag_ms", side_name(side));
        standby_lag_note(&load->standbys[side], written, replayed, clock_mono_us());
        load->figures.replica_late = load->figures.replica_late || load->standbys[side].late;
    }
    return true;
}

bool load_look(struct load *load, struct err *err)
{
    int64_t now_us = clock_mono_us();
    if (load->looked_us != 0 && now_us - load->looked_us < LOOK_EVERY_US)
        return true;
    load->looked_us = now_us;
    return look_at_activity(load, err) && (!load->probe_latency || look_at_latency(load, err)) &&
           look_at_standbys(load, err);
}

bool load_open(const struct load_request *req, struct load **ret, struct err *err)
{
    struct load *load = xcalloc(1, sizeof *load);
    load->probe_latency = req->probe_latency;
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (dialect_of_url(req->url[side]) == DIALECT_POSTGRES)
            load->standbys[side].max_us = req->max_replica_lag_us;
        bool needed = side == SIDE_SOURCE || load->standbys[side].max_us > 0;
        if (needed &&
            !session_open(req->url[side], side_name(side), req->pipeline, &load->session[side], err)) {
            load_close(load);
            return false;
        }
    }
    if (!load_look(load, err)) {
        load_close(load);
        return false;
    }
    *ret = load;
    return true;
}

void load_close(struct load *load)
{
    if (load == NULL)
        return;
    session_close(load->session[SIDE_SOURCE]);
    session_close(load->session[SIDE_TARGET]);
    free(load);
}
