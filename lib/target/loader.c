/* Owns: what of a direct load is the same on every kind of target. */
#include "target/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "target/loader_impl.h"
#include "target/target_impl.h"

/* --- what implementations use --- */

void loader_base(struct loader *ld, const struct loader_ops *ops, const struct loader_options *options)
{
    *ld = (struct loader){.ops = ops,
                          .pipeline = xstrdup(options->pipeline),
                          .owner = xstrdup(options->owner),
                          .attempt = options->attempt,
                          .source_system_id = options->source_system_id,
                          .begin_lsn = options->begin_lsn,
                          .truncate_nonempty = options->truncate_nonempty,
                          .index_memory_bytes = options->index_memory_bytes};
}

void loader_base_release(struct loader *ld)
{
    free(ld->pipeline);
    free(ld->owner);
}

bool loader_places_ready(const struct loader *ld, const struct loader_place *places, size_t count,
                         unsigned *ret_shards, bool *ret_ready, struct err *err)
{
    unsigned shards = count > 0 ? target_shards_in(places[0].shard) : 1;
    *ret_ready = count == shards;
    *ret_shards = shards;
    for (size_t i = 0; i < count; i++) {
        bool this_journal = places[i].lsn >= ld->begin_lsn;
        if (ld->source_system_id != 0 && places[i].source_system_id != ld->source_system_id)
            return err_set(err, ERR_IDENTITY,
                           "the target was filled from source system %llu, the source is %llu: use the right "
                           "source, or an empty target with a new pipeline name",
                           (unsigned long long)places[i].source_system_id,
                           (unsigned long long)ld->source_system_id);
        if (this_journal && places[i].attempt > ld->attempt)
            return err_set(err, ERR_FENCED,
                           "apply has come to a later attempt than %llu: another capture runs",
                           (unsigned long long)ld->attempt);
        /* While a load runs apply waits: a complete copy is one of another journal. */
        *ret_ready = *ret_ready && this_journal && !places[i].complete && places[i].attempt == ld->attempt &&
                     target_shards_in(places[i].shard) == shards;
    }
    return true;
}

bool loader_too_many_places(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "capture.snapshot_path: direct goes with %d shards of apply at most: take fewer, or set "
                   "capture.snapshot_path: journal",
                   LOADER_PLACES_MAX);
}

void loader_shard_of(unsigned shards, const char *schema, const char *name, char ret[32])
{
    (void)snprintf(ret, 32, "%u/%u", target_shard_of(shards, schema, name), shards);
}

bool loader_too_many_letters(const struct loader_letter *letter, struct err *err)
{
    return err_set(
        err, ERR_SQL,
        "table=%s.%s lsn=" LSN_FMT ": the target has refused %llu rows, as many as "
        "apply.max_dead_letters allows. Hint: mend the target (or raise it) and start capture again. "
        "The last one: %s",
        letter->of->schema, letter->of->name, LSN_ARGS(letter->lsn), (unsigned long long)letter->max,
        letter->why->text);
}

bool loader_taken_over(struct err *err)
{
    return err_set(err, ERR_FENCED, "another capture has taken the direct load over");
}

void loader_upper_write(struct strbuf *sb, const struct loader_chunk *chunk)
{
    for (size_t i = 0; chunk->upper != NULL && i < chunk->upper_count; i++)
        strbuf_addf(sb, "%zu:%s,", strlen(chunk->upper[i]), chunk->upper[i]);
}

bool loader_upper_read(const char *text, struct loader_chunk *chunk)
{
    size_t left = strlen(text);
    while (left > 0) {
        char *after;
        unsigned long long len = strtoull(text, &after, 10);
        left -= (size_t)(after - text);
        if (left < 2 || *after != ':' || len > left - 2 || after[1 + len] != ',')
            return false;
        chunk->upper = xrealloc(chunk->upper, (chunk->upper_count + 1) * sizeof *chunk->upper);
        chunk->upper[chunk->upper_count++] = xstrndup(after + 1, (size_t)len);
        text = after + len + 2;
        left -= (size_t)len + 2;
    }
    return chunk->upper_count > 0;
}

void loader_chunk_release(struct loader_chunk *chunk)
{
    for (size_t i = 0; chunk->upper != NULL && i < chunk->upper_count; i++)
        free(chunk->upper[i]);
    free(chunk->upper);
    *chunk = (struct loader_chunk){0};
}

void target_direct_release(struct target_direct *d)
{
    for (size_t i = 0; i < d->table_count; i++) {
        free(d->tables[i].schema);
        free(d->tables[i].name);
    }
    free(d->tables);
    *d = (struct target_direct){0};
}

static int compare_names(const void *a, const void *b)
{
    const struct target_direct_table *x = a, *y = b;
    int order = strcmp(x->schema, y->schema);
    return order != 0 ? order : strcmp(x->name, y->name);
}

lsn_t target_direct_from(const struct target_direct *d, const char *schema, const char *name)
{
    const struct target_direct_table key = {.schema = (char *)schema, .name = (char *)name};
    const struct target_direct_table *t =
        d->table_count == 0 ? NULL
                            : bsearch(&key, d->tables, d->table_count, sizeof *d->tables, compare_names);
    return t != NULL ? t->from_lsn : 0;
}

bool target_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret, struct err *err)
{
    *ret = (struct target_direct){0};
    if (tgt->ops->direct_look == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "capture.snapshot_path: direct: targets of this kind cannot be loaded directly yet");
    if (!tgt->ops->direct_look(tgt, attempt, ret, err))
        return false;
    if (ret->table_count > 0)
        qsort(ret->tables, ret->table_count, sizeof *ret->tables, compare_names);
    return true;
}

/* --- the way to an implementation --- */

static const struct loader_ops *ops_for(const char *url)
{
    static const struct {
        const char *scheme;
        const struct loader_ops *ops;
    } all[] = {{"postgres://", &loader_postgres},
               {"postgresql://", &loader_postgres},
               {"mariadb://", &loader_mariadb},
               {"mysql://", &loader_mariadb}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strncmp(url, all[i].scheme, strlen(all[i].scheme)) == 0)
            return all[i].ops;
    }
    return NULL;
}

bool loader_open(const struct loader_options *options, struct loader **ret, struct err *err)
{
    const struct loader_ops *ops = ops_for(options->url);
    if (ops == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "capture.snapshot_path: direct: rows can be loaded directly into PostgreSQL and "
                       "MariaDB alone; take the setting away");
    return ops->open(options, ret, err) || err_wrap(err, "target");
}

void loader_close(struct loader *ld)
{
    if (ld == NULL)
        return;
    loader_base_release(ld);
    ld->ops->close(ld);
}

void loader_cancel(struct loader *ld)
{
    ld->ops->cancel(ld);
}

bool loader_takes_rows(const struct loader *ld)
{
    return ld->ops->chunks->put_row != NULL;
}

bool loader_ready(struct loader *ld, bool *ret_ready, struct err *err)
{
    struct loader_place *places CLEANUP(free_ptr) = xcalloc(LOADER_PLACES_MAX, sizeof *places);
    size_t count = 0;
    unsigned shards = 0;
    return (ld->ops->places(ld, places, &count, err) &&
            loader_places_ready(ld, places, count, &shards, ret_ready, err)) ||
           err_wrap(err, "target");
}

bool loader_claim(struct loader *ld, bool *ret_done, struct err *err)
{
    return ld->ops->claim(ld, ret_done, err) || err_wrap(err, "target: direct load");
}

bool loader_finish(struct loader *ld, struct err *err)
{
    return ld->ops->finish(ld, err) || err_wrap(err, "target: direct load");
}

void loader_seen_release(struct loader_seen *seen)
{
    for (size_t i = 0; i < seen->chunk_count; i++)
        loader_chunk_release(&seen->chunks[i]);
    free(seen->chunks);
    *seen = (struct loader_seen){0};
}

bool loader_look(struct loader *ld, const struct loader_table *const *tables, size_t count,
                 struct loader_seen *ret, struct err *err)
{
    BUG_UNLESS(count <= LOADER_TABLES);
    for (size_t i = 0; i < count; i++)
        ret[i] = (struct loader_seen){0};
    if (count == 0 || ld->ops->tables->look(ld, tables, count, ret, err))
        return true;
    for (size_t i = 0; i < count; i++)
        loader_seen_release(&ret[i]);
    return err_wrap(err, "target");
}

bool loader_begin_tables(struct loader *ld, const struct loader_table *const *tables, size_t count,
                         struct err *err)
{
    BUG_UNLESS(count <= LOADER_TABLES);
    return count == 0 || ld->ops->tables->begin(ld, tables, count, err) || err_wrap(err, "target");
}

bool loader_end_tables(struct loader *ld, const struct loader_table *const *tables, size_t count,
                       struct err *err)
{
    BUG_UNLESS(count <= LOADER_TABLES);
    return count == 0 || ld->ops->tables->end(ld, tables, count, err) || err_wrap(err, "target");
}

bool loader_plan(struct loader *ld, const struct loader_chunk *chunk, struct err *err)
{
    return ld->ops->chunks->plan(ld, chunk, err) || err_wrap(err, "target: direct load");
}

bool loader_begin(struct loader *ld, const struct loader_table *const *tables, size_t count, struct err *err)
{
    BUG_UNLESS(count <= LOADER_TABLES);
    return ld->ops->chunks->begin(ld, tables, count, err) || err_wrap(err, "target");
}

bool loader_start(struct loader *ld, const struct loader_table *t, enum loader_form form, struct err *err)
{
    return ld->ops->chunks->start(ld, t, form, err) ||
           err_wrap(err, "target: table=%s.%s", t->schema, t->name);
}

bool loader_put(struct loader *ld, const void *bytes, size_t len, struct err *err)
{
    BUG_UNLESS(ld->ops->chunks->put != NULL);
    return ld->ops->chunks->put(ld, bytes, len, err) || err_wrap(err, "target");
}

bool loader_put_row(struct loader *ld, const struct datum *row, lsn_t lsn, struct err *err)
{
    BUG_UNLESS(ld->ops->chunks->put_row != NULL);
    return ld->ops->chunks->put_row(ld, row, lsn, err) || err_wrap(err, "target");
}

bool loader_stop(struct loader *ld, int64_t *ret_rows, struct err *err)
{
    return ld->ops->chunks->stop(ld, ret_rows, err) || err_wrap(err, "target: direct load");
}

bool loader_save(struct loader *ld, struct err *err)
{
    return ld->ops->chunks->save(ld, err) || err_wrap(err, "target: direct load");
}

bool loader_restore(struct loader *ld, struct err *err)
{
    return ld->ops->chunks->restore(ld, err) || err_wrap(err, "target: direct load");
}

bool loader_hold(struct loader *ld, const struct loader_letter *letter, struct err *err)
{
    return ld->ops->chunks->hold(ld, letter, err) || err_wrap(err, "target: direct load");
}

bool loader_end(struct loader *ld, const struct loader_chunk *chunks, size_t count, lsn_t lsn,
                struct err *err)
{
    BUG_UNLESS(count > 0 && (count == 1 || !chunks[0].noted));
    return ld->ops->chunks->end(ld, chunks, count, lsn, err) || err_wrap(err, "target: direct load");
}
