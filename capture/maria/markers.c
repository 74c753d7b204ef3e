/* Owns: markers on MariaDB: rows of crossfade_marker in the URL's database, and the table itself. */
#include <stdlib.h>
#include <string.h>

#include "capture/maria/maria_internal.h"
#include "core/alloc.h"
#include "core/log.h"
#include "maria/names.h"
#include "sql/embedded.h"

void maria_make_marker_table(struct cap_maria *m)
{
    struct err err = ERR_INIT;
    char *there = NULL;
    static const char look[] = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                               "TABLE_NAME = 'crossfade_marker'";
    bool ok = maria_query_text(m->sql, look, 0, &there, &err);
    if (ok && there == NULL)
        ok = maria_exec(m->sql, embedded_sql_source_mariadb_sql, &err);
    free(there);
    if (!ok) /* only those who ask need it */
        log_event(
            LOG_LEVEL_WARN, "marker_table",
            "text=\"crossfade_marker is not there and could not be made, so that nothing can be asked of "
            "capture in its stream (cutover, ping): %s\"",
            err.text);
}

static const struct datum *cell(const struct binlog_item *item, const char *name)
{
    static const struct datum null = {.state = DATUM_NULL};
    int at = table_schema_find(item->schema, name);
    return at >= 0 ? &item->after[at] : &null;
}

static void take_text(const struct binlog_item *item, const char *name, char *out, size_t out_size)
{
    const struct datum *d = cell(item, name);
    size_t len = 0;
    int at = table_schema_find(item->schema, name);
    if (d->state == DATUM_VALUE && item->schema->fields[at].phys == PHYS_STRING) {
        len = MIN_OF((size_t)d->s.len, out_size - 1);
        memcpy(out, d->s.p, len);
    }
    out[len] = '\0';
}

static enum marker_kind kind_of(const char *name)
{
    return strcmp(name, "final") == 0 ? MARKER_FINAL : strcmp(name, "ping") == 0 ? MARKER_PING : MARKER_NONE;
}

void maria_take_marker(struct cap_maria *m, const struct binlog_item *item)
{
    char pipeline[64], kind[16];
    struct cap_marker marker = {0};
    take_text(item, "pipeline", pipeline, sizeof pipeline);
    take_text(item, "kind", kind, sizeof kind);
    take_text(item, "nonce", marker.nonce, sizeof marker.nonce);
    if (strcmp(pipeline, m->session->settings->pipeline) != 0 || strcmp(kind, MARIA_MARKER_BEGUN) == 0)
        return;
    marker.kind = kind_of(kind);
    if (marker.kind == MARKER_NONE)
        log_event(LOG_LEVEL_WARN, "marker_ignored",
                  "nonce=%s text=\"kind %s is not answered on MariaDB: final and ping are\"", marker.nonce,
                  kind);
    else if (m->txn.marker.kind != MARKER_NONE)
        log_event(LOG_LEVEL_WARN, "marker_ignored", "nonce=%s text=\"one marker per transaction\"",
                  marker.nonce);
    else
        m->txn.marker = marker;
}
