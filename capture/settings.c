/* Owns: the settings of a run, from the configuration. See capture_internal.h. */
#include <stdio.h>
#include <string.h>

#include "capture/capture_internal.h"
#include "journal/journal_settings.h"

#define BATCH_BYTES_MIN ((size_t)256 << 10)
#define BATCH_BYTES_MAX ((size_t)4 << 20)
/* Part of max_memory that one batch may take: several are under way. */
#define BATCH_MEMORY_SHARE 12

/* The option table knows no others. */
static enum cap_snapshot_mode snapshot_mode(const char *name)
{
    return strcmp(name, "never") == 0  ? SNAPSHOT_NEVER
           : strcmp(name, "only") == 0 ? SNAPSHOT_ONLY
                                       : SNAPSHOT_INITIAL;
}

static enum cap_origin origin_of(const char *name)
{
    return strcmp(name, "none") == 0            ? CAP_ORIGIN_NONE
           : strcmp(name, "not_crossfade") == 0 ? CAP_ORIGIN_NOT_CROSSFADE
                                                : CAP_ORIGIN_ANY;
}

struct type_profile cap_profile_read(const struct config *cfg)
{
    const struct type_profile_texts texts = {
        .profile = config_text(cfg, "journal.type_profile"),
        .lossy = config_text(cfg, "journal.lossy"),
        .decimal = config_text(cfg, "journal.decimal_mode"),
        .time = config_text(cfg, "journal.time_mode"),
        .interval = config_text(cfg, "journal.interval_mode"),
        .binary = config_text(cfg, "journal.binary_mode"),
        .hstore = config_text(cfg, "journal.hstore_mode"),
    };
    return type_profile_of(&texts);
}

static bool is_lean(const struct config *cfg)
{
    const char *envelope = config_text(cfg, "journal.envelope");
    if (strcmp(envelope, "auto") == 0)
        return strcmp(config_text(cfg, "journal.type_profile"), "exact") == 0;
    return strcmp(envelope, "lean") == 0;
}

static bool read_tables(const struct config *cfg, struct cap_settings *s, struct err *err)
{
    s->filters_changed_accept = strcmp(config_text(cfg, "source.filters_changed"), "accept") == 0;
    if (!table_filter_from_config(cfg, &s->filter, err) ||
        !topic_routing_from_config(cfg, &s->routing, err) || !table_rules_with_salt(cfg, &s->rules, err))
        return false;
    return !table_rules_hide(s->rules) || s->spill_encryption ||
           err_set(err, ERR_CONFIG,
                   "capture.spill_encryption: false would let values lie readable in spill_dir that "
                   "source.filters masks or leaves out: take it away");
}

bool cap_settings_read(const struct config *cfg, struct cap_settings *ret, struct err *err)
{
    struct cap_settings s = {
        .pipeline = config_text(cfg, "pipeline"),
        .source_url = config_text(cfg, "source.url"),
        .topic_prefix = config_text(cfg, "journal.topic_prefix"),
        .spill_dir = config_text(cfg, "capture.spill_dir"),
        .profile = cap_profile_read(cfg),
        .lean = is_lean(cfg),
        .codec = codec_by_name(config_text(cfg, "journal.format")),
        .snapshot_mode = snapshot_mode(config_text(cfg, "capture.snapshot")),
        .snapshot_direct = strcmp(config_text(cfg, "capture.snapshot_path"), "direct") == 0,
        .target_url = config_text(cfg, "target.url"),
        .truncate_nonempty = strcmp(config_text(cfg, "apply.on_nonempty"), "truncate") == 0,
        .unfit = config_text(cfg, "target.unfit"),
        .index_memory_bytes = config_int(cfg, "schema.index_memory"),
        .dead_letters = strcmp(config_text(cfg, "apply.on_row_error"), "dead_letter") == 0,
        .max_dead_letters = (uint64_t)config_int(cfg, "apply.max_dead_letters"),
        .max_rows_per_second = config_int(cfg, "capture.max_rows_per_second"),
        .max_source_latency_us = config_int(cfg, "capture.max_source_latency_ms") * 1000,
        .stop_on_ddl = strcmp(config_text(cfg, "capture.on_ddl"), "stop") == 0,
        .failover_slot = config_bool(cfg, "capture.failover_slot"),
        .max_retained_wal_bytes = config_int(cfg, "capture.max_retained_wal"),
        .transaction_topic = config_bool(cfg, "journal.transaction_topic"),
        .heartbeat_topic = config_bool(cfg, "journal.heartbeat_topic"),
        .message_topic = config_bool(cfg, "journal.message_topic"),
        .snapshot_workers = (int)config_int(cfg, "capture.snapshot_workers"),
        .chunk_rows = config_int(cfg, "capture.snapshot_chunk_rows"),
        .fence_interval_us = config_int(cfg, "capture.fence_interval_ms") * 1000,
        .fence_max_changes = (uint64_t)config_int(cfg, "capture.fence_max_changes"),
        .max_memory_bytes = (size_t)config_int(cfg, "capture.max_memory"),
        .streaming = strcmp(config_text(cfg, "capture.streaming"), "on") == 0,
        .origin = origin_of(config_text(cfg, "capture.origin")),
        .way_back = config_comes_from_mariadb(cfg),
        .spill_encryption = config_bool(cfg, "capture.spill_encryption"),
        .heartbeat_us = config_int(cfg, "capture.heartbeat_interval_ms") * 1000,
    };
    s.unfit_columns = config_list(cfg, "target.unfit_columns", &s.unfit_column_count);
    if (config_text(cfg, "source.standby_url") != NULL) {
        s.primary_url = s.source_url;
        s.source_url = config_text(cfg, "source.standby_url");
    }
    if (s.snapshot_direct && s.target_url == NULL)
        return err_set(err, ERR_CONFIG,
                       "capture.snapshot_path: direct: capture needs target.url to load rows into it");
    if (s.snapshot_direct && s.primary_url != NULL)
        return err_set(err, ERR_CONFIG,
                       "capture.snapshot_path: direct: rows are loaded from the primary alone; take "
                       "source.standby_url or this setting away");
    if (s.codec != NULL && config_bool(cfg, "journal.json_schemas"))
        s.codec = codec_with_schemas(s.codec);
    if (s.codec == NULL)
        return err_set(err, ERR_CONFIG, "journal.format: %s is not known",
                       config_text(cfg, "journal.format"));
    s.half_memory_bytes = s.max_memory_bytes / 2;
    s.batch_bytes = MAX_OF(BATCH_BYTES_MIN, MIN_OF(BATCH_BYTES_MAX, s.max_memory_bytes / BATCH_MEMORY_SHARE));
    journal_settings(cfg, &s.journal);
    (void)snprintf(s.slot, sizeof s.slot, "crossfade_%s", s.pipeline);
    (void)snprintf(s.publication, sizeof s.publication, "crossfade_%s", s.pipeline);
    (void)snprintf(s.application_name, sizeof s.application_name, "crossfade capture %s", s.pipeline);
    if (!read_tables(cfg, &s, err)) {
        cap_settings_release(&s);
        return false;
    }
    *ret = s;
    return true;
}

void cap_settings_release(struct cap_settings *s)
{
    table_filter_free(s->filter);
    table_rules_free(s->rules);
    topic_routing_free(s->routing);
    *s = (struct cap_settings){0};
}
