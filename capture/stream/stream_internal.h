/* What stream.c (the loop), decode.c (messages → records) and feedback.c (what goes back to the server)
 * share. */
#ifndef CAPTURE_STREAM_INTERNAL_H
#define CAPTURE_STREAM_INTERNAL_H

#include "capture/copy/copier.h"
#include "capture/publish/meta.h"
#include "capture/stream/relation.h"
#include "capture/stream/stream.h"
#include "capture/stream/streamed.h"

struct cap_transaction {
    bool open, skip;
    bool left_out;    /* its origin is not wanted: it counts as one that changed nothing */
    lsn_t commit_lsn; /* where its commit record starts */
    int64_t commit_time_us;
    uint32_t xid;
    uint64_t total_order, serial;
    struct cap_marker marker;
    struct copy_request request; /* schema NULL = none */
};

/* How fast frames come. */
struct cap_pace {
    int64_t since_us; /* mono; begin of the window */
    unsigned frames;  /* in it */
    bool fast;        /* as the last whole window was */
};

struct cap_stream {
    struct cap_session *session;
    struct cap_pace pace;    /* for the nap of wait_for_news() */
    unsigned turn_frames;    /* since take_pace() */
    struct cap_pace backlog; /* over a longer time: for the space between fences */
    struct pgoutput *decoder;
    struct cap_relations *relations;
    struct cap_meta *meta;
    struct arena arena; /* of the message at hand */
    struct cap_transaction txn;
    struct cap_hold hold;
    struct cap_spill *held;
    struct cap_streamed *streamed; /* transactions that run */
    struct cap_batch *batch;       /* being filled */
    int64_t batch_since_us;        /* when its first transaction ended; mono, 0 = none did */
    lsn_t start_lsn;               /* transactions that committed before are in the journal */
    lsn_t slot_lsn;                /* where the stream begins: <= start_lsn */
    bool history_checked; /* what lies between the two is what the journal holds; nothing is confirmed before
                           */
    uint64_t skipped_commits;
    int64_t skipped_commit_time_us; /* of the last */
    lsn_t previous_commit_lsn, received_lsn;
    lsn_t submitted_lsn;         /* end of the last transaction that the publisher was given */
    int64_t last_commit_time_us; /* wall, of the source */
    int64_t now_us, now_wall_us; /* taken once per turn of the loop */
    struct cap_progress progress;
    lsn_t complete_lsn,
        fenced_lsn;            /* beside a copy: end of the last transaction; where its last fence stands */
    struct cap_copier *copier; /* a copy runs; NULL = it is complete */
    bool only_copy;            /* the copy is complete, and more is not wanted */
    lsn_t drain_lsn;           /* a drain ends when the stream has come to it; 0 = none was asked for */
    lsn_t seen_lsn;            /* everything that ended before it was decoded */
    char loop_told[40];        /* the pipeline whose changes were met last, and told of (origin.c) */
    bool stopped; /* a stop was asked for inside a transaction: what follows is not to be decoded */

    /* feedback.c */
    struct pg_conn *side;
    struct pg_conn *asked; /* side, or the primary of a standby: heartbeats */
    struct source_look {
        lsn_t lsn;
        int64_t asked_us; /* wall */
    } looks[2];           /* at where the source's WAL ends: the last that was answered, and the one before */
    int64_t asked_wall_us;                                                         /* the question at hand */
    int64_t last_commit_seen_us, last_status_us, last_look_us, last_idle_fence_us; /* mono */
    int64_t last_show_us, last_watch_us, watch_pause_us;                           /* mono */
    lsn_t told_lsn;
    bool asking, asking_heartbeat, heartbeat_refused, reply_wanted;
    bool commit_wanted; /* a heartbeat at once */
};

/* --- decode.c --- */
/* One pgoutput message. */
bool cap_decode(struct cap_stream *st, const struct repl_frame *frame, struct err *err) MUST_CHECK;
/* The same for one that was kept while its transaction ran; `lsn`: where the change is. BEGIN and COMMIT may be made up. */
bool cap_decode_kept(struct cap_stream *st, const void *bytes, size_t len, lsn_t lsn,
                     struct err *err) MUST_CHECK;
bool cap_take_message(struct cap_stream *st, const struct pgoutput_message *m, lsn_t lsn,
                      struct err *err) MUST_CHECK;

/* --- origin.c --- */
/* The server leaves out what capture.origin does not want; else its messages tell, for whole transactions alone. */
bool cap_origin_by_server(const struct cap_stream *st);
bool cap_origin_by_message(const struct cap_stream *st);
/* The transaction that has just begun came by this origin. */
void cap_take_origin(struct cap_stream *st, const struct pgoutput_message *m);

/* --- stream.c --- */
/* The stream has come to `lsn`: once that is start_lsn or later, the history up to there is judged. */
bool cap_stream_check_history(struct cap_stream *st, lsn_t lsn, struct err *err) MUST_CHECK;
/* Hands a batch to the publisher, waits for room (confirming meanwhile). The batch is gone in any case. */
bool cap_stream_submit(struct cap_stream *st, struct cap_batch *batch, struct err *err) MUST_CHECK;
/* A transaction ends: what that means for holds, fences and batches. */
bool cap_stream_commit(struct cap_stream *st, lsn_t commit_lsn, lsn_t commit_end_lsn, int64_t commit_time_us,
                       struct err *err) MUST_CHECK;
/* Feedback while the loop is busy with one transaction; *ret_stop: somebody wants capture to stop. */
bool cap_stream_breathe(struct cap_stream *st, bool *ret_stop, struct err *err) MUST_CHECK;
/* Called after each record: hands over or spills a full batch. */
bool cap_stream_make_room(struct cap_stream *st, struct err *err) MUST_CHECK;
/* Gives what is complete to the publisher. */
bool cap_stream_hand_over(struct cap_stream *st, struct err *err) MUST_CHECK;
/* A window of the copy has ended: what was held follows, and a fence over all. */
bool cap_stream_release(struct cap_stream *st, const struct fence_copy *place, bool complete,
                        struct err *err) MUST_CHECK;
/* Nothing is on its way to the journal. */
bool cap_stream_settled(const struct cap_stream *st);

/* --- feedback.c --- */
bool cap_feedback_open(struct cap_stream *st, struct err *err) MUST_CHECK;
/* Confirms what is durable, asks the server how far it is, sends heartbeats, shows the status: each when its
 * time has come. */
bool cap_feedback_turn(struct cap_stream *st, struct err *err) MUST_CHECK;
/* Confirms now. */
bool cap_feedback_confirm(struct cap_stream *st, struct err *err) MUST_CHECK;
/* Confirms now, and asks for a keepalive. */
bool cap_feedback_ask(struct cap_stream *st, struct err *err) MUST_CHECK;
/* The next turn sends a heartbeat, whose commit makes the source flush and send all that it has. */
void cap_feedback_want_commit(struct cap_stream *st);
bool cap_feedback_keepalive(struct cap_stream *st, const struct repl_frame *frame,
                            struct err *err) MUST_CHECK;
void cap_feedback_close(struct cap_stream *st);

#endif
