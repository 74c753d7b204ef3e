/* Owns: what stands for it that the two sides were equal, what a way back would be made of, and where the audit chain stood. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/reverse.h"
#include "core/clock.h"
#include "cutover/back.h"
#include "cutover/dossier/dossier_internal.h"

static json_t *verdict_json(const struct dossier *d, const struct rowset *rs)
{
    if (rowset_rows(rs) == 0)
        return json_null();
    json_t *j = json_object();
    dossier_put(j, "verdict", json_text(rowset_cell(rs, 0, 0)));
    dossier_put(j, "scope", dossier_say(d, rowset_cell(rs, 0, 1)));
    dossier_put(j, "finished_at", json_text(rowset_cell(rs, 0, 2)));
    dossier_put(j, "age_s", json_integer(rowset_int64(rs, 0, 3)));
    dossier_put(j, "lsn", json_text_or_null(rowset_cell(rs, 0, 4)));
    dossier_put(j, "level", json_text_or_null(rowset_cell(rs, 0, 5)));
    dossier_put(j, "tables", json_integer(rowset_int64(rs, 0, 6)));
    dossier_put(j, "rows", json_integer(rowset_int64(rs, 0, 7)));
    dossier_put(j, "differences", json_integer(rowset_int64(rs, 0, 8)));
    return j;
}

/* The newest one, "passed" or "last" before a time, or "after" it; its age is that at the time, by the target's clock. */
static bool put_verdict(struct dossier *d, json_t *into, const char *key, const char *which, int64_t at_us,
                        struct err *err)
{
    char at[ISO_TIME_MAX];
    const char *params[] = {d->co.pipeline, at_us > 0 ? clock_iso(at_us, at) : NULL, which};
    ROWSET_AUTO rs = NULL;
    bool there = false;
    if (!store_bool(&d->co, STORE_VERDICTS_THERE, 0, NULL, &there, err))
        return false;
    if (!there) { /* cleanup took them away */
        dossier_put(into, key, json_null());
        return true;
    }
    if (!store_ask(&d->co, STORE_VERDICT_NEAR, 3, params, &rs, err))
        return false;
    dossier_put(into, key, verdict_json(d, rs));
    return true;
}

bool dossier_verdicts(struct dossier *d, struct err *err)
{
    json_t *j = json_object();
    dossier_put(d->doc, "verdicts", j);
    dossier_put(j, "after", json_null());
    return (put_verdict(d, j, "before", "passed", d->began_us, err) &&
            put_verdict(d, j, "last_before", "last", d->began_us, err) &&
            (d->ended_us == 0 || put_verdict(d, j, "after", "after", d->ended_us, err))) ||
           err_wrap(err, "verdicts of comparisons");
}

/* --- the way back --- */

static bool put_reverse_maria(struct dossier *d, json_t *j, struct err *err)
{
    struct back back;
    struct err none = ERR_INIT;
    bool there = false;
    if (!back_of(&d->co, &back, &none)) /* it cannot be turned round */
        return true;
    bool ok = back_is_set_up(&back, &there, err);
    back_release(&back);
    dossier_put(j, "there", json_boolean(there));
    return ok;
}

/* What would carry changes of the target back: a capture's slot on it. */
static bool put_reverse(struct dossier *d, json_t *j, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char other[64];
    const char *params[] = {other};
    json_t *slots = json_array();
    dossier_put(j, "slots", slots);
    dossier_put(j, "there", json_false());
    if (d->co.target == NULL) /* MariaDB has no slots */
        return put_reverse_maria(d, j, err);
    config_other_pipeline(d->co.cfg, other);
    if (!pg_query(d->co.target,
                  "SELECT slot_name, active FROM pg_catalog.pg_replication_slots WHERE slot_type = 'logical'"
                  " AND NOT temporary AND database = current_database() AND slot_name = 'crossfade_' || $1",
                  1, params, &res, err))
        return err_wrap(err, "replication slots of the target");
    for (int i = 0; i < pg_rows(res); i++)
        json_array_append_new(slots, json_pack("{s:o, s:b}", "name", json_text(pg_cell(res, i, 0)), "active",
                                               pg_cell_bool(res, i, 1)));
    dossier_put(j, "there", json_boolean(pg_rows(res) > 0));
    return true;
}

/* Of the old source: how many of its tables refuse writers. null: it cannot be asked. */
static void put_closed(struct dossier *d, json_t *j)
{
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    bool ok = d->source_away[0] == '\0' && d->co.source != NULL &&
              pg_query(d->co.source,
                       "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgname = '" FREEZE_TRIGGER
                       "' AND tgparentid = 0",
                       0, NULL, &res, &failed);
    dossier_put(j, "source_tables_closed", ok ? json_integer(pg_cell_int64(res, 0, 0)) : json_null());
}

static void put_window(struct dossier *d, json_t *j)
{
    char text[ISO_TIME_MAX];
    bool done = strcmp(dossier_text(d->doc, "outcome"), "done") == 0 && d->ended_us > 0;
    int64_t end_us = d->ended_us + config_int(d->co.cfg, "cutover.rollback_window") * 1000000;
    dossier_put(j, "window_ends_at", done ? json_text(clock_iso(end_us, text)) : json_null());
}

bool dossier_rollback(struct dossier *d, struct err *err)
{
    json_t *j = json_object();
    dossier_put(d->doc, "rollback", j);
    put_window(d, j);
    put_closed(d, j);
    return put_reverse(d, j, err);
}

/* --- the audit chain --- */

bool dossier_audit(struct dossier *d, struct err *err)
{
    struct audit_mark last, anchor = {0};
    struct err failed = ERR_INIT;
    struct audit *audit = trail_audit(&d->co, err);
    if (audit == NULL || !audit_last(audit, &last, err))
        return false;
    bool known = d->source_away[0] == '\0' && d->co.source != NULL &&
                 audit_anchor_get(d->co.source, d->co.pipeline, &anchor, &failed) && anchor.seq > 0;
    dossier_put(d->doc, "audit",
                json_pack("{s:I, s:o, s:o, s:o}", "seq", (json_int_t)last.seq, "hash",
                          json_text_or_null(last.seq > 0 ? last.hash : ""), "anchor_seq",
                          known ? json_integer(anchor.seq) : json_null(), "anchor_hash",
                          known ? json_text(anchor.hash) : json_null()));
    return true;
}
