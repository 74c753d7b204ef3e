/*
 * Owns: blocks of running transactions, and what their commit does. See streamed.h.
 * Failpoints: capture.stream_block, capture.stream_commit.
 *
 * Sources in the server: pgoutput.c (a Relation is sent once in a streamed transaction, and again after an invalidation or
 * the abort of a subtransaction; after the commit others rely on it), reorderbuffer.c (order of the blocks).
 */
#include "capture/stream/streamed.h"

#include <stdlib.h>
#include <string.h>

#include "capture/spill/txn_store.h"
#include "capture/stream/stream_internal.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"

/* Frames between two looks at the clock while a transaction is decoded. */
#define BREATH_FRAMES 1024
/* From this version on the server leaves out transactions in which nothing is published. */
#define SKIPS_EMPTY_VERSION 150000

/* What was said last of a table, since there are running transactions in the store. */
struct announced {
    uint32_t oid;
    bool again; /* the transaction at hand said something older */
    uint64_t number;
    char *bytes;
    size_t len;
};

struct cap_streamed {
    struct cap_txn_store *store;
    uint32_t block_xid; /* 0 = not in a block */
    uint64_t number;    /* of the last Relation */
    struct announced *announced;
    size_t announced_count, announced_cap;
};

struct cap_streamed *cap_streamed_new(const struct cap_settings *settings)
{
    struct cap_streamed *sd = xcalloc(1, sizeof *sd);
    sd->store =
        cap_txn_store_new(settings->spill_dir, settings->spill_encryption, settings->half_memory_bytes);
    return sd;
}

static void forget_announced(struct cap_streamed *sd)
{
    for (size_t i = 0; i < sd->announced_count; i++)
        free(sd->announced[i].bytes);
    sd->announced_count = 0;
}

void cap_streamed_free(struct cap_streamed *sd)
{
    if (sd == NULL)
        return;
    forget_announced(sd);
    free(sd->announced);
    cap_txn_store_free(sd->store);
    free(sd);
}

uint64_t cap_streamed_spilled(const struct cap_streamed *sd)
{
    return sd != NULL ? cap_txn_store_spilled(sd->store) : 0;
}

bool cap_streamed_in_block(const struct cap_streamed *sd)
{
    return sd->block_xid != 0;
}

/* --- what was said of tables --- */

static uint32_t relation_oid(const char *bytes, size_t len)
{
    uint32_t be = 0;
    if (len >= 1 + sizeof be)
        memcpy(&be, bytes + 1, sizeof be);
    return __builtin_bswap32(be);
}

static void remember(struct cap_streamed *sd, uint64_t number, const char *bytes, size_t len)
{
    uint32_t oid = relation_oid(bytes, len);
    size_t i = 0;
    while (i < sd->announced_count && sd->announced[i].oid != oid)
        i++;
    if (i == sd->announced_count) {
        if (i == sd->announced_cap) {
            sd->announced_cap = sd->announced_cap != 0 ? sd->announced_cap * 2 : 16;
            sd->announced = xrealloc(sd->announced, sd->announced_cap * sizeof *sd->announced);
        }
        sd->announced[sd->announced_count++] = (struct announced){.oid = oid};
    }
    struct announced *a = &sd->announced[i];
    if (a->number > number) {
        a->again = true;
        return;
    }
    a->number = number;
    a->bytes = xrealloc(a->bytes, len);
    a->len = len;
    memcpy(a->bytes, bytes, len);
}

/* What others were told since is newer than what the transaction said. */
static bool announce_again(struct cap_stream *st, struct err *err)
{
    struct cap_streamed *sd = st->streamed;
    for (size_t i = 0; i < sd->announced_count; i++) {
        struct announced *a = &sd->announced[i];
        if (a->again && !cap_decode_kept(st, a->bytes, a->len, 0, err))
            return false;
        a->again = false;
    }
    return true;
}

static void settle(struct cap_streamed *sd)
{
    if (cap_txn_store_count(sd->store) == 0)
        forget_announced(sd);
}

/* --- blocks --- */

static bool keep(struct cap_stream *st, const struct repl_frame *frame, struct err *err)
{
    struct cap_streamed *sd = st->streamed;
    const char *body = NULL;
    size_t body_len = 0;
    uint32_t xid = 0;
    char type = frame->bytes[0];
    if (type == PGOUTPUT_ORIGIN)
        return true;
    if (!pgoutput_streamed(frame->bytes, frame->len, &xid, &body, &body_len, err))
        return err_wrap(err, "lsn=" LSN_FMT, LSN_ARGS(frame->start_lsn));
    bool change = type != PGOUTPUT_RELATION && type != PGOUTPUT_TYPE;
    uint64_t tag = type == PGOUTPUT_RELATION ? ++sd->number : frame->start_lsn;
    return cap_txn_store_add(sd->store, sd->block_xid, xid, tag, type, body, body_len, change, err);
}

static bool begin_block(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    if (st->txn.open)
        return err_set(err, ERR_PROTOCOL, "a stream block of xid=%u inside of transaction xid=%u",
                       m->stream_start.xid, st->txn.xid);
    st->streamed->block_xid = m->stream_start.xid;
    return true;
}

/* --- commit --- */

static bool decode_frame(struct cap_stream *st, const struct cap_stored_frame *f, struct err *err)
{
    if (f->bytes[0] == PGOUTPUT_RELATION)
        remember(st->streamed, f->tag, f->bytes, f->len);
    return cap_decode_kept(st, f->bytes, f->len, f->tag, err);
}

static bool decode_all(struct cap_stream *st, struct cap_stored_txn *txn, struct err *err)
{
    struct cap_stored_frame frame;
    uint64_t frames = 0;
    while (!st->stopped && cap_stored_next(txn, &frame, err)) {
        if (!decode_frame(st, &frame, err) ||
            (++frames % BREATH_FRAMES == 0 && !cap_stream_breathe(st, &st->stopped, err)))
            return false;
    }
    return !err_is_set(err);
}

/* The transaction as it would have come behind its commit. */
static bool decode_transaction(struct cap_stream *st, struct cap_stored_txn *txn,
                               const struct pgoutput_message *end, struct err *err)
{
    const struct pgoutput_message begin = {.type = PGOUTPUT_BEGIN,
                                           .begin = {.final_lsn = end->stream_commit.commit_lsn,
                                                     .commit_time_us = end->stream_commit.commit_time_us,
                                                     .xid = end->stream_commit.xid}};
    const struct pgoutput_message commit = {.type = PGOUTPUT_COMMIT,
                                            .commit = {.commit_lsn = end->stream_commit.commit_lsn,
                                                       .commit_end_lsn = end->stream_commit.commit_end_lsn,
                                                       .commit_time_us = end->stream_commit.commit_time_us}};
    if (!cap_take_message(st, &begin, 0, err) || (txn != NULL && !decode_all(st, txn, err)))
        return false;
    return st->stopped || cap_take_message(st, &commit, 0, err);
}

/* Nothing of it is published: the server would not have told of it at all. What it said of tables counts. */
static bool pass_over(struct cap_stream *st, struct cap_stored_txn *txn, const struct pgoutput_message *end,
                      struct err *err)
{
    if (txn != NULL && !decode_all(st, txn, err))
        return false;
    st->seen_lsn = MAX_OF(st->seen_lsn, end->stream_commit.commit_end_lsn);
    return true;
}

static bool end_transaction(struct cap_stream *st, const struct pgoutput_message *end, struct err *err)
{
    if (!failpoint("capture.stream_commit", err))
        return false;
    struct cap_stored_txn *txn = cap_txn_store_take(st->streamed->store, end->stream_commit.xid);
    uint64_t changes = txn != NULL ? cap_stored_changes(txn) : 0;
    bool empty = changes == 0 && pg_server_version(st->session->stream) >= SKIPS_EMPTY_VERSION;
    bool ok = empty ? pass_over(st, txn, end, err) : decode_transaction(st, txn, end, err);
    cap_stored_txn_free(txn);
    ok = ok && announce_again(st, err);
    settle(st->streamed);
    if (ok)
        log_event(LOG_LEVEL_DEBUG, "streamed_commit", "xid=%u lsn=" LSN_FMT " changes=%llu",
                  end->stream_commit.xid, LSN_ARGS(end->stream_commit.commit_lsn),
                  (unsigned long long)changes);
    return ok;
}

static bool take_control(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    struct cap_streamed *sd = st->streamed;
    switch (m->type) {
    case PGOUTPUT_STREAM_START:
        return begin_block(st, m, err);
    case PGOUTPUT_STREAM_COMMIT:
        return end_transaction(st, m, err);
    case PGOUTPUT_STREAM_ABORT: {
        bool ok = cap_txn_store_abort(sd->store, m->stream_abort.xid, m->stream_abort.sub_xid, err);
        settle(sd);
        return ok;
    }
    default: /* a Stop without its Start */
        return err_set(err, ERR_PROTOCOL, "the end of a stream block without its begin");
    }
}

static bool end_block(struct cap_stream *st, struct err *err)
{
    st->streamed->block_xid = 0;
    return failpoint("capture.stream_block", err);
}

bool cap_streamed_take(struct cap_stream *st, const struct repl_frame *frame, bool *ret_taken,
                       struct err *err)
{
    struct cap_streamed *sd = st->streamed;
    struct pgoutput_message m;
    char type = frame->len > 0 ? frame->bytes[0] : '\0';
    *ret_taken = true;
    if (sd->block_xid != 0 && type == PGOUTPUT_STREAM_STOP && frame->len == 1)
        return end_block(st, err);
    if (sd->block_xid != 0 && type != '\0')
        return keep(st, frame, err);
    if (type == PGOUTPUT_STREAM_START || type == PGOUTPUT_STREAM_STOP || type == PGOUTPUT_STREAM_COMMIT ||
        type == PGOUTPUT_STREAM_ABORT) {
        if (!pgoutput_decode(st->decoder, frame->bytes, frame->len, &m, err) || !take_control(st, &m, err))
            return err_wrap(err, "lsn=" LSN_FMT, LSN_ARGS(frame->start_lsn));
        return true;
    }
    if (type == PGOUTPUT_RELATION && cap_txn_store_count(sd->store) > 0)
        remember(sd, ++sd->number, frame->bytes, frame->len);
    *ret_taken = false;
    return true;
}
