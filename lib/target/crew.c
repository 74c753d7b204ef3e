/* Owns: how a batch is parted among writers, their threads, and the order of the two-phase commit. See crew.h. */
#include "target/crew.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "core/log.h"

#define TOKEN_MAX 48

/* Whose a transaction's rows are. A table belongs to one writer, or is split by key; it never changes hands inside of one
 * transaction: its next writer would wait for locks of the one before, and both for each other. */
enum share { SHARE_UNDECIDED = 0, SHARE_LEAD_ALONE, SHARE_ALL };
enum { OWNER_NONE = -1, OWNER_SPLIT = -2 };

struct crew_table {
    struct target_table *lead; /* the lead's; what follows is found through its `crew` */
    struct target_table *
        *forms;           /* each writer's own, index = writer; [0] is the lead's; NULL = not prepared yet */
    uint64_t transaction; /* in which `owner` was set */
    int owner;
    uint64_t name_hash;
    struct crew_table *next_shape; /* a ring: the same table, as its columns were at other times */
};

struct crew_writer {
    struct target *tgt;
    bool used; /* in this transaction */
    struct target_batch *batches;
    size_t batch_count;
    /* Of the call that its thread makes. */
    struct crew *crew;
    pthread_t thread;
    bool running, ok;
    struct err err;
};

struct crew {
    struct target *lead;
    const struct target_crew_ops *ops;
    struct crew_writer *writers; /* [0] is the lead */
    size_t count;
    size_t rows_min; /* fewer for each of them are the lead's alone */
    struct crew_table **tables;
    size_t table_count;
    enum share share;
    uint64_t transaction;
    uint64_t attempt;
    char token[TOKEN_MAX];
    bool position_found;
    bool alone;  /* until a commit succeeds: a try has failed */
    bool failed; /* something may be left prepared */
    bool fenced; /* what is prepared may be another's */
};

/* --- threads: one call of each writer at the same time --- */

typedef bool crew_call(struct crew_writer *w, struct err *err);

struct crew_job {
    struct crew_writer *writer;
    crew_call *call;
};

static void *run_job(void *arg)
{
    struct crew_job *job = arg;
    job->writer->ok = job->call(job->writer, &job->writer->err);
    return NULL;
}

/* Calls for all writers that are used; the lead's (if asked for) in the caller's thread. The first one's error is told. */
static bool call_all(struct crew *crew, bool lead_too, crew_call *call, struct err *err)
{
    struct crew_job *jobs = xcalloc(crew->count, sizeof *jobs);
    bool ok = true;
    for (size_t i = 1; i < crew->count; i++) {
        struct crew_writer *w = &crew->writers[i];
        err_clear(&w->err);
        jobs[i] = (struct crew_job){w, call};
        w->running = w->used && pthread_create(&w->thread, NULL, run_job, &jobs[i]) == 0;
        if (w->used && !w->running) /* no thread to be had: it is done here */
            (void)run_job(&jobs[i]);
    }
    if (lead_too)
        ok = call(&crew->writers[0], err);
    for (size_t i = 1; i < crew->count; i++) {
        struct crew_writer *w = &crew->writers[i];
        if (w->running && pthread_join(w->thread, NULL) != 0)
            BUG("a writer's thread cannot be joined");
        w->running = false;
        if (w->used && !w->ok && ok) {
            *err = w->err;
            ok = false;
        }
    }
    free(jobs);
    return ok;
}

/* --- which writer --- */

static uint64_t hash_datum(uint64_t hash, const struct field *f, const struct datum *value)
{
    if (value->state != DATUM_VALUE)
        return hash;
    if (f->phys == PHYS_STRING || f->phys == PHYS_BYTES)
        return hash_fnv1a(hash, value->s.p, value->s.len);
    return hash_fnv1a(hash, &value->i, sizeof value->i);
}

/* The low bits of FNV-1a of small numbers hardly differ. */
static size_t to_writer(const struct crew *crew, uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xFF51AFD7ED558CCD);
    return (size_t)((hash ^ (hash >> 33)) % crew->count);
}

static size_t writer_of_row(const struct crew *crew, const struct target_table *table,
                            const struct target_row *row)
{
    const struct datum *values = row->old != NULL ? row->old : row->row;
    uint64_t hash = HASH_FNV1A;
    for (size_t i = 0; i < table->split_count; i++)
        hash = hash_datum(hash, &table->schema->fields[table->split[i]], &values[table->split[i]]);
    return to_writer(crew, hash);
}

static uint64_t hash_name(const struct target_table *table)
{
    uint64_t hash = hash_fnv1a(HASH_FNV1A, table->schema->schema, strlen(table->schema->schema) + 1);
    return hash_fnv1a(hash, table->schema->table, strlen(table->schema->table));
}

static int home_of(const struct crew *crew, const struct crew_table *ct)
{
    return (int)to_writer(crew, ct->name_hash);
}

static bool has_moves(const struct target_batch *batch)
{
    for (size_t i = 0; i < batch->row_count; i++) {
        if (batch->rows[i].op == TARGET_UPDATE && batch->rows[i].old != NULL)
            return true;
    }
    return false;
}

static bool same_table(const struct crew_table *a, const struct crew_table *b)
{
    return strcmp(a->lead->schema->table, b->lead->schema->table) == 0 &&
           strcmp(a->lead->schema->schema, b->lead->schema->schema) == 0;
}

static struct crew_table *table_of(struct crew *crew, struct target_table *lead)
{
    if (lead->crew != NULL)
        return lead->crew;
    struct crew_table *ct = xcalloc(1, sizeof *ct);
    ct->lead = lead;
    ct->forms = xcalloc(crew->count, sizeof(struct target_table *));
    ct->forms[0] = lead;
    ct->name_hash = hash_name(lead);
    ct->next_shape = ct;
    for (size_t i = 0; i < crew->table_count; i++) {
        struct crew_table *other = crew->tables[i];
        if (other->name_hash != ct->name_hash || !same_table(other, ct))
            continue;
        ct->next_shape = other->next_shape;
        other->next_shape = ct;
        break;
    }
    crew->tables = xrealloc(crew->tables, (crew->table_count + 1) * sizeof(struct crew_table *));
    crew->tables[crew->table_count++] = ct;
    lead->crew = ct;
    return ct;
}

/* Written again by one writer: the batch turned out to be one that may not be parted. */
static bool start_again(struct err *err)
{
    return err_set(err, ERR_TRANSIENT,
                   "the batch is written again by one writer: parts of it may not be written side by side");
}

/* The same table in another shape (its columns have changed inside of the batch) met another writer: neither would see the other's rows. */
static bool strays(const struct crew *crew, const struct crew_table *ct)
{
    for (const struct crew_table *other = ct->next_shape; other != ct; other = other->next_shape) {
        if (other->transaction != crew->transaction || other->owner == OWNER_NONE)
            continue;
        if (other->owner != ct->owner || ct->owner == OWNER_SPLIT)
            return true;
    }
    return false;
}

static bool settle_owner(struct crew *crew, struct crew_table *ct, const struct target_batch *batch, bool may,
                         struct err *err)
{
    bool moves = has_moves(batch);
    if (ct->transaction == crew->transaction && ct->owner != OWNER_NONE)
        return ct->owner != OWNER_SPLIT || !moves || start_again(err);
    ct->transaction = crew->transaction;
    ct->owner = !may ? 0 : ct->lead->split_count == 0 || moves ? home_of(crew, ct) : OWNER_SPLIT;
    return !strays(crew, ct) || start_again(err);
}

/* From the lead's tables to the writer's own, which are prepared all at once when they are met first. */
static bool fill_forms(struct crew *crew, size_t writer, struct err *err)
{
    struct crew_writer *w = &crew->writers[writer];
    const struct table_schema **schemas = xcalloc(w->batch_count + 1, sizeof(struct table_schema *));
    struct target_table **made = xcalloc(w->batch_count + 1, sizeof(struct target_table *));
    size_t n = 0, next = 0;
    for (size_t i = 0; i < w->batch_count; i++) {
        const struct crew_table *ct = w->batches[i].table->crew;
        if (ct->forms[writer] == NULL)
            schemas[n++] = ct->lead->schema;
    }
    bool ok = n == 0 || w->tgt->ops->prepare(w->tgt, schemas, n, made, err);
    for (size_t i = 0; ok && i < w->batch_count; i++) {
        struct crew_table *ct = w->batches[i].table->crew;
        if (ct->forms[writer] == NULL)
            ct->forms[writer] = made[next++];
        w->batches[i].table = ct->forms[writer];
    }
    free(made);
    free(schemas);
    return ok;
}

/* --- writing --- */

static bool give(struct crew *crew, struct crew_table *ct, size_t writer, const struct target_row *rows,
                 size_t count, struct err *err)
{
    struct crew_writer *w = &crew->writers[writer];
    if (!w->used && writer > 0 && !crew->ops->begin_writer(w->tgt, crew->attempt, crew->token, err))
        return false;
    w->used = true;
    w->batches[w->batch_count++] = (struct target_batch){.table = ct->lead, .rows = rows, .row_count = count};
    return true;
}

/* `room` has place for all rows of the batch: each writer's ones come to lie together there. */
static bool split(struct crew *crew, struct crew_table *ct, const struct target_batch *batch,
                  struct target_row *room, struct err *err)
{
    size_t *starts = xcalloc(crew->count + 1, sizeof *starts);
    unsigned *whose = xcalloc(batch->row_count + 1, sizeof *whose);
    bool ok = true;
    for (size_t i = 0; i < batch->row_count; i++) {
        whose[i] = (unsigned)writer_of_row(crew, ct->lead, &batch->rows[i]);
        starts[whose[i] + 1]++;
    }
    for (size_t i = 0; i < crew->count; i++)
        starts[i + 1] += starts[i];
    for (size_t i = 0; i < batch->row_count; i++)
        room[starts[whose[i]]++] = batch->rows[i]; /* starts[w] ends as the start of w + 1 */
    for (size_t i = 0; ok && i < crew->count; i++) {
        size_t from = i > 0 ? starts[i - 1] : 0;
        ok = starts[i] == from || give(crew, ct, i, room + from, starts[i] - from, err);
    }
    free(starts);
    free(whose);
    return ok;
}

static bool part_batch(struct crew *crew, const struct target_batch *batch, bool may, struct target_row *room,
                       struct err *err)
{
    struct crew_table *ct = table_of(crew, batch->table);
    if (!settle_owner(crew, ct, batch, may && !batch->table->watched, err))
        return false;
    return ct->owner == OWNER_SPLIT ? split(crew, ct, batch, room, err)
                                    : give(crew, ct, (size_t)ct->owner, batch->rows, batch->row_count, err);
}

static bool part(struct crew *crew, const struct target_batch *batches, size_t count, struct target_row *room,
                 struct err *err)
{
    bool *may CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *may);
    if (!crew->ops->share(crew->lead, batches, count, may, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!part_batch(crew, &batches[i], may[i], room, err))
            return false;
        room += batches[i].row_count;
    }
    for (size_t i = 0; i < crew->count; i++) {
        if (!fill_forms(crew, i, err))
            return false;
    }
    return true;
}

static bool write_part(struct crew_writer *w, struct err *err)
{
    return w->batch_count == 0 ||
           w->tgt->ops->writing->write(w->tgt, TARGET_SET, w->batches, w->batch_count, err);
}

static size_t count_rows(const struct target_batch *batches, size_t count, bool *ret_truncates)
{
    size_t rows = 0;
    *ret_truncates = false;
    for (size_t i = 0; i < count; i++) {
        rows += batches[i].row_count;
        *ret_truncates = *ret_truncates || batches[i].truncate;
    }
    return rows;
}

static bool write_shared(struct crew *crew, const struct target_batch *batches, size_t count, size_t rows,
                         struct err *err)
{
    struct target_row *room = xcalloc(rows + 1, sizeof *room);
    for (size_t i = 0; i < crew->count; i++) {
        crew->writers[i].batches = xcalloc(count + 1, sizeof(struct target_batch));
        crew->writers[i].batch_count = 0;
    }
    bool ok = part(crew, batches, count, room, err) && call_all(crew, true, write_part, err);
    for (size_t i = 0; i < crew->count; i++) {
        free(crew->writers[i].batches);
        crew->writers[i].batches = NULL;
    }
    free(room);
    return ok;
}

bool crew_write(struct crew *crew, enum target_mode mode, const struct target_batch *batches, size_t count,
                struct err *err)
{
    bool truncates = false;
    size_t rows = count_rows(batches, count, &truncates);
    bool may = mode == TARGET_SET && !truncates;
    bool ok;
    if (crew->share == SHARE_UNDECIDED)
        crew->share = may && !crew->alone && crew->position_found && !crew->lead->triggers_fire &&
                              rows / crew->count >= crew->rows_min
                          ? SHARE_ALL
                          : SHARE_LEAD_ALONE;
    if (crew->share == SHARE_LEAD_ALONE)
        ok = crew->lead->ops->writing->write(crew->lead, mode, batches, count, err);
    else
        ok = may ? write_shared(crew, batches, count, rows, err) : start_again(err);
    crew->alone = crew->alone || !ok; /* also for what is tried in other ways now */
    return ok;
}

bool crew_alone(struct crew *crew, struct err *err)
{
    if (crew->share == SHARE_ALL) {
        crew->alone = true;
        return start_again(err);
    }
    crew->share = SHARE_LEAD_ALONE;
    return true;
}

/* --- begin and commit --- */

bool crew_begin(struct crew *crew, uint64_t attempt, struct err *err)
{
    static unsigned tries;
    for (size_t i = 1; i < crew->count; i++) {
        struct crew_writer *w = &crew->writers[i];
        if (w->used && !crew->ops->begin_writer(w->tgt, attempt, "", err)) /* out of what it had begun */
            return false;
        w->used = false;
    }
    crew->share = SHARE_UNDECIDED;
    crew->transaction++;
    crew->attempt = attempt;
    (void)snprintf(crew->token, sizeof crew->token, "%" PRIx64 "-%x-%x", (uint64_t)clock_wall_us(),
                   (unsigned)getpid(), ++tries);
    if (!crew->lead->ops->writing->begin(crew->lead, attempt, err))
        return false;
    if (crew->failed) {
        if (!crew->ops->recover(crew->lead, err) ||
            !crew->lead->ops->writing->begin(crew->lead, attempt, err))
            return false;
        crew->failed = false;
    }
    return true;
}

bool crew_abandon(struct crew *crew, struct err *err)
{
    return crew_begin(crew, crew->attempt, err) && crew->lead->ops->writing->abandon(crew->lead, err);
}

static bool prepare_one(struct crew_writer *w, struct err *err)
{
    return w->crew->ops->prepare_writer(w->tgt, err) && failpoint("apply.writers_prepared", err);
}

static bool commit_one(struct crew_writer *w, struct err *err)
{
    return w->crew->ops->commit_writer(w->tgt, err) && failpoint("apply.writers_committed", err);
}

/* The decision has been taken: from here on nothing may be tried again but through recover(), after a new opening. */
static bool carry_out(struct crew *crew, const struct target_position *position, struct err *err)
{
    struct err why = ERR_INIT;
    if (failpoint("apply.writers_decided", &why) && call_all(crew, false, commit_one, &why) &&
        failpoint("apply.writers_before_finish", &why) && crew->ops->finish(crew->lead, position, &why))
        return true;
    err_set(err, ERR_CONNECT, "the batch is decided, its writers are not all through: %s", why.text);
    return false;
}

/* Whether a decision that failed by chance was taken is not known here, and the same work must not be done again over one that was:
 * crew_begin() would roll the writers back. A new opening looks first. */
static bool decide(struct crew *crew, const struct target_position *position, struct err *err)
{
    if (crew->ops->decide(crew->lead, position, crew->token, err))
        return true;
    if (err_policy(err->code) == POLICY_RETRY)
        err->code = ERR_CONNECT;
    return false;
}

static bool commit_shared(struct crew *crew, const struct target_position *position, struct err *err)
{
    crew->failed = true;
    return call_all(crew, false, prepare_one, err) && failpoint("apply.writers_before_decision", err) &&
           decide(crew, position, err) && carry_out(crew, position, err);
}

static bool others_used(const struct crew *crew)
{
    for (size_t i = 1; i < crew->count; i++) {
        if (crew->writers[i].used)
            return true;
    }
    return false;
}

bool crew_commit(struct crew *crew, const struct target_position *position, struct err *err)
{
    bool ok = others_used(crew) ? commit_shared(crew, position, err)
                                : crew->lead->ops->writing->commit(crew->lead, position, err);
    crew->alone = !ok;
    if (!ok) {
        crew->fenced = crew->fenced || err->code == ERR_FENCED;
        return false;
    }
    crew->failed = false;
    crew->position_found = true;
    for (size_t i = 1; i < crew->count; i++)
        crew->writers[i].used = false;
    return true;
}

void crew_saw_position(struct crew *crew, bool found)
{
    crew->position_found = found;
}

/* --- life --- */

bool crew_open(struct target *lead, const struct target_options *options, struct crew **ret, struct err *err)
{
    if (lead->ops->crew == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "apply.writers: this kind of target takes one writer only: set it to 1");
    struct crew *crew = xcalloc(1, sizeof *crew);
    crew->lead = lead;
    crew->ops = lead->ops->crew;
    crew->count = options->writers;
    crew->rows_min = options->writer_rows;
    crew->writers = xcalloc(crew->count, sizeof *crew->writers);
    for (size_t i = 0; i < crew->count; i++)
        crew->writers[i].crew = crew;
    crew->writers[0].tgt = lead;
    bool ok = true;
    for (size_t i = 1; ok && i < crew->count; i++)
        ok = crew->ops->open_writer(options, (unsigned)i, &crew->writers[i].tgt, err);
    if (!ok) {
        crew_close(crew);
        if (err->code != ERR_UNSUPPORTED)
            return false;
        log_event(LOG_LEVEL_WARN, "writers_alone", "text=\"%s\"", err->text);
        err_clear(err);
        *ret = NULL;
        return true;
    }
    for (size_t i = 1; i < crew->count && lead->no_origin == NULL; i++)
        lead->no_origin = crew->writers[i].tgt->no_origin;
    if (lead->triggers_fire)
        log_event(
            LOG_LEVEL_WARN, "writers_idle",
            "text=\"apply.writers: foreign keys and triggers fire on the target: one writer writes all\"");
    *ret = crew;
    return true;
}

/* Nothing may follow this session for a long time: what it left prepared would hold its locks. One try, when the writers' connections are
 * closed; the lead's still has the lock, or is broken. The next opening does what this cannot. */
static void settle_last(struct crew *crew)
{
    struct err why = ERR_INIT;
    if (crew->lead->ops->writing->begin(crew->lead, crew->attempt, &why) && /* rolls back */
        crew->ops->recover(crew->lead, &why))
        return;
    log_event(LOG_LEVEL_WARN, "prepared_left",
              "text=\"transactions may be left prepared, the next start of apply settles them: %s\"",
              why.text);
}

void crew_close(struct crew *crew)
{
    if (crew == NULL)
        return;
    for (size_t i = 1; i < crew->count; i++) {
        if (crew->writers[i].tgt != NULL)
            crew->writers[i].tgt->ops->close(crew->writers[i].tgt);
    }
    if (crew->failed && !crew->fenced)
        settle_last(crew);
    for (size_t i = 0; i < crew->table_count; i++) {
        free(crew->tables[i]->forms);
        free(crew->tables[i]);
    }
    free(crew->tables);
    free(crew->writers);
    free(crew);
}

void crew_cancel(struct crew *crew)
{
    for (size_t i = 1; i < crew->count; i++)
        crew->writers[i].tgt->ops->cancel(crew->writers[i].tgt);
}
