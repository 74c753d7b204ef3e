/* Owns: opening and closing everything that belongs to one run from a position of the target on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"

void apply_session_close(struct session *s)
{
    if (s == NULL)
        return;
    ahead_drop(s->run->ahead);
    stopper_watch(s->run->stopper, NULL);
    table_map_free(s->tables);
    letters_free(s->letters);
    batch_of_shard(s->run->batch, s->run->settings.shard, NULL); /* the layout is the target's */
    target_close(s->tgt);
    if (s->dec != NULL)
        s->run->settings.codec->decoder_close(s->dec);
    batch_decode_foreign(s->run->batch, NULL);
    batch_drop_by_table(s->run->batch, NULL, NULL);
    target_direct_release(&s->direct);
    journal_reader_close(s->data);
    fence_feed_close(s->feed);
    foreign_decoder_close(s->foreign);
    foreign_decoder_close(s->foreign_ahead);
    schema_store_close(s->schemas);
    free(s);
}

/* Said once, not at each connection. */
static void tell_origin(struct session *s)
{
    struct role_status *st = &s->run->status;
    const char *why = s->tgt->no_origin != NULL ? s->tgt->no_origin : "";
    if (why[0] != '\0' && strcmp(st->no_origin, why) != 0)
        log_event(
            LOG_LEVEL_WARN, "no_origin",
            "text=\"what apply writes carries no replication origin: a capture on the target cannot tell "
            "it from other changes (capture.origin): %s\"",
            why);
    (void)snprintf(st->no_origin, sizeof st->no_origin, "%s", why);
}

static bool open_target(struct session *s, struct err *err)
{
    if (!target_open(&s->run->settings.target, &s->tgt, err))
        return false;
    stopper_watch(s->run->stopper, s->tgt);
    if (s->tgt->triggers_fire)
        log_event(
            LOG_LEVEL_WARN, "triggers_fire",
            "text=\"the target's role may not set session_replication_role: triggers and foreign keys fire "
            "while rows "
            "are applied; GRANT SET ON PARAMETER session_replication_role TO that role (15 and later)\"");
    tell_origin(s);
    batch_of_shard(s->run->batch, s->run->settings.shard, s->tgt->layout);
    batch_large_parts(s->run->batch, s->tgt->triggers_fire);
    s->tables = table_map_new(s->tgt);
    if (s->run->settings.accept_lossy)
        table_map_accept_lossy(s->tables);
    const struct apply_settings *set = &s->run->settings;
    if (set->dead_letters && target_letters(s->tgt) == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "apply.on_row_error: dead_letter: this kind of target keeps none yet");
    if (set->conflicts != NULL && target_conflicts(s->tgt) == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "apply.conflicts: this kind of target cannot be written on both sides yet. Hint: take "
                       "the setting out, and let the application write the source alone");
    s->letters = letters_new(s->tgt, set->max_dead_letters);
    return target_position(s->tgt, &s->position, &s->position_found, err) &&
           letters_begin(s->letters, s->position.fence_id, err);
}

static bool open_journal(struct session *s, struct err *err)
{
    const struct apply_settings *set = &s->run->settings;
    int64_t deadline_ms = 0;
    char name[40] = "apply"; /* each shard has read up to a place of its own */
    if (set->shard.count > 1)
        (void)snprintf(name, sizeof name, "apply-%u-%u", set->shard.number, set->shard.count);
    if (!journal_reader_open(&set->journal, name, &s->data, err) ||
        !fence_feed_open(&set->journal, s->position_found ? &s->position : NULL, &s->feed, &deadline_ms,
                         err) ||
        !schema_store_open(&set->journal, &s->schemas, err))
        return err_wrap(err, "journal");
    s->source = schema_store_source(s->schemas);
    if (!set->codec->decoder_open(&s->source, &s->dec, err))
        return false;
    if (s->position.marker_kind == MARKER_COMPARE && !s->position.released) /* stopped while waiting at it */
        s->wait_until_us = clock_mono_us() + deadline_ms * 1000 - s->position.age_us;
    return !s->position_found || journal_confirm(s->data, NULL, 0, s->position.fence_offset, err);
}

/* Topics of Debezium: the same parts, but for the fences, which are made of what is read. */
static bool open_foreign(struct session *s, struct err *err)
{
    const struct foreign_settings *set = &s->run->settings.foreign;
    if (set->avro && !schema_store_open(&set->journal, &s->schemas, err))
        return err_wrap(err, "schemas");
    if (s->schemas != NULL)
        s->source = schema_store_source(s->schemas);
    s->foreign = foreign_settings_decoder(set, &s->source);
    s->foreign_ahead = foreign_settings_decoder(set, &s->source);
    batch_decode_foreign(s->run->batch, s->foreign);
    bool ok = journal_reader_open(&set->journal, NULL, &s->data, err) &&
              fence_feed_open_foreign(set, s->foreign_ahead, s->position_found ? &s->position : NULL,
                                      &s->feed, err);
    s->position.offsets = NULL; /* the target's */
    return ok || err_wrap(err, "debezium");
}

bool apply_session_open(struct apply_run *run, struct session **ret, struct err *err)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->run = run;
    batch_drop_by_table(run->batch, apply_session_direct_from, s);
    bool foreign = run->settings.foreign.on;
    if (!open_target(s, err) || !(foreign ? open_foreign(s, err) : open_journal(s, err))) {
        apply_session_close(s);
        return false;
    }
    char lsn[LSN_TEXT_MAX];
    log_event(LOG_LEVEL_INFO, "session_opened", "fence=%llu lsn=%s", (unsigned long long)s->position.fence_id,
              lsn_format(s->position.lsn, lsn));
    *ret = s;
    return true;
}
