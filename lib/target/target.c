/* Owns: the choice of an implementation by URL, and the only way to call one. */
#include "target/target.h"

#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "target/conflicts.h"
#include "target/crew.h"
#include "target/dead_letter.h"
#include "target/target_impl.h"

static const struct {
    const char *prefix;
    const struct target_ops *ops;
} implementations[] = {
    {"postgresql://", &target_postgres}, {"postgres://", &target_postgres}, {"mariadb://", &target_mariadb},
    {"mysql://", &target_mariadb},       {"fault:", &target_fault},
};

/* NULL, with *err: none. */
static const struct target_ops *ops_of(const char *url, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(implementations); i++) {
        if (strncmp(url, implementations[i].prefix, strlen(implementations[i].prefix)) == 0)
            return implementations[i].ops;
    }
    char masked[200];
    err_set(err, ERR_CONFIG, "target.url: %s: postgresql://… or mariadb://… is expected",
            log_mask_url(url, masked, sizeof masked));
    return NULL;
}

bool target_open(const struct target_options *options, struct target **ret, struct err *err)
{
    const struct target_ops *ops = ops_of(options->url, err);
    struct target *tgt = NULL;
    if (ops == NULL || !ops->open(options, &tgt, err))
        return false;
    bool crewed =
        options->writers > 1 && ops != &target_fault; /* (the one inside of it is opened here, too) */
    if ((crewed && !crew_open(tgt, options, &tgt->crew, err)) ||
        (ops->crew != NULL && !ops->crew->recover(tgt, err))) {
        target_close(tgt);
        return false;
    }
    *ret = tgt;
    return true;
}

static const struct target_desk_ops *desk_of(const char *url, struct err *err)
{
    const struct target_ops *ops = ops_of(url, err);
    if (ops != NULL && ops->desk == NULL)
        err_set(err, ERR_UNSUPPORTED, "target.url: targets of this kind keep no dead letters yet");
    return ops != NULL ? ops->desk : NULL;
}

bool target_letters_look(const struct letters_query *query,
                         bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                         struct err *err)
{
    const struct target_desk_ops *ops = desk_of(query->url, err);
    return ops != NULL && ops->look(query, each, ctx, err);
}

bool target_letters_ask(const struct letters_query *query, const int64_t *ids, size_t count,
                        const char *request, const char *reason, int64_t *ret_count, struct err *err)
{
    const struct target_desk_ops *ops = desk_of(query->url, err);
    return ops != NULL && ops->ask(query, ids, count, request, reason, ret_count, err);
}

static const struct target_conflict_ops *conflicts_of(const char *url, struct err *err)
{
    const struct target_ops *ops = ops_of(url, err);
    if (ops != NULL && ops->conflicts == NULL)
        err_set(err, ERR_UNSUPPORTED, "target.url: targets of this kind cannot be written on both sides yet");
    return ops != NULL ? ops->conflicts : NULL;
}

bool target_conflicts_look(const struct conflicts_query *query,
                           bool (*each)(void *ctx, const struct conflict_view *view, struct err *err),
                           void *ctx, struct err *err)
{
    const struct target_conflict_ops *ops = conflicts_of(query->url, err);
    return ops != NULL && ops->look(query, each, ctx, err);
}

bool target_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                             const char *side, int64_t *ret_count, struct err *err)
{
    const struct target_conflict_ops *ops = conflicts_of(query->url, err);
    return ops != NULL && ops->answer(query, ids, count, side, ret_count, err);
}

const struct target_conflict_ops *target_conflicts(const struct target *tgt)
{
    return tgt->ops->conflicts;
}

bool target_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                    struct err *err)
{
    return tgt->ops->prepare(tgt, &schema, 1, ret, err);
}

bool target_prepare_all(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                        struct target_table **ret, struct err *err)
{
    return tgt->ops->prepare(tgt, schemas, count, ret, err);
}

size_t target_prepare_part(const struct table_schema *const *schemas, size_t count, size_t most,
                           size_t fields)
{
    size_t n = 0;
    for (size_t sum = 0; n < count && n < most; n++) {
        sum += schemas[n]->field_count;
        if (n > 0 && sum > fields)
            break;
    }
    return n;
}

bool target_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    return tgt->crew != NULL ? crew_begin(tgt->crew, attempt, err)
                             : tgt->ops->writing->begin(tgt, attempt, err);
}

bool target_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches, size_t count,
                  struct err *err)
{
    BUG_UNLESS(mode != TARGET_MODE_UNKNOWN && (mode != TARGET_RESET || count == 0));
    return tgt->crew != NULL ? crew_write(tgt->crew, mode, batches, count, err)
                             : tgt->ops->writing->write(tgt, mode, batches, count, err);
}

bool target_commit(struct target *tgt, const struct target_position *position, struct err *err)
{
    return tgt->crew != NULL ? crew_commit(tgt->crew, position, err)
                             : tgt->ops->writing->commit(tgt, position, err);
}

bool target_abandon(struct target *tgt, struct err *err)
{
    return tgt->crew != NULL ? crew_abandon(tgt->crew, err) : tgt->ops->writing->abandon(tgt, err);
}

bool target_position(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err)
{
    if (!tgt->ops->position(tgt, ret, ret_found, err))
        return false;
    if (tgt->crew != NULL)
        crew_saw_position(tgt->crew, *ret_found);
    return true;
}

bool target_save(struct target *tgt, struct err *err)
{
    return (tgt->crew == NULL || crew_alone(tgt->crew, err)) && tgt->ops->narrow->save(tgt, err);
}

bool target_restore(struct target *tgt, struct err *err)
{
    return tgt->ops->narrow->restore(tgt, err);
}

bool target_settle(struct target *tgt, bool constraints, struct err *err)
{
    return (tgt->crew == NULL || crew_alone(tgt->crew, err)) &&
           tgt->ops->narrow->settle(tgt, constraints, err);
}

bool target_standbys(struct target *tgt, uint64_t *ret_written, uint64_t *ret_replayed, struct err *err)
{
    if (tgt->ops->standbys == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "apply.max_replica_lag_ms: targets of this kind do not tell how far their "
                       "standbys are");
    return tgt->ops->standbys(tgt, ret_written, ret_replayed, err);
}

bool target_verdict(struct target *tgt, struct target_verdict *ret, struct err *err)
{
    return tgt->ops->verdict != NULL ? tgt->ops->verdict(tgt, ret, err)
                                     : err_set(err, ERR_UNSUPPORTED, "targets of this kind keep no verdicts");
}

const struct target_letters_ops *target_letters(const struct target *tgt)
{
    return tgt->ops->letters;
}

void target_cancel(struct target *tgt)
{
    tgt->ops->cancel(tgt);
    if (tgt->crew != NULL)
        crew_cancel(tgt->crew);
}

void target_close(struct target *tgt)
{
    if (tgt == NULL)
        return;
    crew_close(tgt->crew);
    tgt->ops->close(tgt);
}

bool target_find_key(const struct table_schema *schema, size_t column_count,
                     size_t (*field_of)(const void *tab, size_t column), const void *tab, size_t **ret_key,
                     struct err *err)
{
    size_t *key = xcalloc(schema->key_count + 1, sizeof *key);
    for (size_t i = 0; i < schema->key_count; i++) {
        size_t column = 0;
        while (column < column_count && field_of(tab, column) != schema->key_fields[i])
            column++;
        if (column == column_count) {
            free(key);
            return err_set(err, ERR_SCHEMA, "table=%s.%s: a column of the key is generated on the target: %s",
                           schema->schema, schema->table, schema->fields[schema->key_fields[i]].name);
        }
        key[i] = column;
    }
    *ret_key = key;
    return true;
}
