/* What the files of this role share: the settings of a run, and the session (everything that is opened anew
 * after an error). */
#ifndef CAPTURE_CAPTURE_INTERNAL_H
#define CAPTURE_CAPTURE_INTERNAL_H

#include "capture/copy/request_queue.h"
#include "capture/publish/publisher.h"
#include "capture/spill/spill.h"
#include "capture/stream/hold.h"
#include "config/config.h"
#include "config/table_filter.h"
#include "config/table_rules.h"
#include "config/topic_routing.h"
#include "control/desk.h"
#include "control/status.h"
#include "pg/conn.h"
#include "pg/replication.h"
#include "pg/source.h"
#include "pg/types/profile.h"

enum cap_snapshot_mode { SNAPSHOT_INITIAL = 0, SNAPSHOT_NEVER, SNAPSHOT_ONLY };

/* From the configuration; lives as long as capture_run(). */
enum cap_origin { CAP_ORIGIN_ANY = 0, CAP_ORIGIN_NOT_CROSSFADE, CAP_ORIGIN_NONE };

struct cap_settings {
    const char *pipeline, *topic_prefix, *spill_dir;
    const char *source_url;  /* what is read: the primary or a standby */
    const char *primary_url; /* of that standby; NULL = source_url is all there is */
    const struct codec_ops *codec;
    struct type_profile profile;
    bool lean; /* struct table_schema has it */
    struct table_filter *filter;
    struct table_rules *rules;   /* source.filters */
    bool filters_changed_accept; /* other rules than the copy's are taken */
    struct topic_routing *routing;
    struct journal_config journal;
    char slot[72], publication[72], application_name[64];
    enum cap_snapshot_mode snapshot_mode;
    bool snapshot_direct;   /* rows of the first copy do not go by the journal (direct/direct.h) */
    const char *target_url; /* … but there; else NULL */
    bool truncate_nonempty; /* … in place of what is there */
    const char *unfit;      /* … where its columns cannot hold a value */
    const char *const *unfit_columns;
    int64_t index_memory_bytes; /* … for its keys */
    bool dead_letters;          /* … where rows that it refuses are kept */
    uint64_t max_dead_letters;
    size_t unfit_column_count;
    bool stop_on_ddl;
    _Atomic int64_t max_rows_per_second;   /* of a copy; 0 = no limit */
    _Atomic int64_t max_source_latency_us; /* 0 = no limit */
    bool failover_slot;
    _Atomic int64_t max_retained_wal_bytes; /* 0 = no limit but the server's */
    bool transaction_topic, heartbeat_topic, message_topic;
    int snapshot_workers;
    int64_t chunk_rows;
    int64_t fence_interval_us, heartbeat_us;
    uint64_t fence_max_changes;
    size_t max_memory_bytes;
    size_t half_memory_bytes; /* for what is held back, and as much for transactions that run */
    bool streaming;           /* large transactions are taken while they run */
    enum cap_origin origin;   /* which changes are wanted, by how they came to the source */
    bool way_back;         /* MariaDB: the source is what a pipeline leads to (config_comes_from_mariadb()) */
    bool spill_encryption; /* of what goes to spill_dir */
    struct tally *tally;   /* the board's; NULL: nothing is counted */
    size_t batch_bytes;    /* a batch is handed over when it has grown to this */
};

/* What is left of a fence for looking back. */
struct cap_past_fence {
    lsn_t lsn;
    uint64_t transactions;
};

/* Where the journal stands (recover.h). */
struct cap_position {
    bool any;      /* there is at least one fence */
    bool complete; /* no copy is at hand */
    lsn_t lsn;
    int64_t commit_time_us;
    uint64_t attempt;       /* of the last copy; 0 = none */
    struct fence_copy copy; /* of the last fence */
    struct cap_fence_base base;
    char *gtid, *gtid_from;      /* of the last fence, of a MariaDB source; NULL = none */
    struct cap_hold hold;        /* cuts that were answered */
    struct cap_past_fence *past; /* the last fences of this attempt, oldest first */
    size_t past_count;
};

/* The first copy is done: the stream must go on at pos->lsn, come what may. */
bool cap_position_streams(const struct cap_position *pos);

/* Of a snapshot that others can take: held by a transaction on `conn` (direct/direct.h). */
struct cap_direct_snapshot {
    struct pg_conn *conn; /* NULL = none */
    char name[64];
    lsn_t lsn; /* it holds exactly the transactions that committed before */
};

/* The tables of the publication, read once per session. */
struct cap_tables {
    struct source_table *items;
    size_t count;
};

struct cap_shapes;
struct cap_relations;
struct cap_copier;
struct cap_feedback;
struct cap_asked;

struct cap_session {
    const struct cap_settings *settings;
    struct cap_asked *asked; /* of the run */
    struct status_board *board;
    struct role_status *status; /* of the run: survives sessions. @thread owner */
    int stop_fd;
    struct pg_conn *sql;      /* catalog queries, setup; idle otherwise */
    struct pg_conn *stream;   /* replication */
    bool standby;             /* what is read cannot be written */
    struct pg_conn *primary;  /* of the standby; NULL = not known, or it is no standby */
    struct pg_conn *timeline; /* asks a standby for its timeline (standby.h); NULL = not yet, or it is none */
    struct repl_identity identity;
    struct cap_position position;
    lsn_t slot_lsn; /* what the slot has confirmed, <= position.lsn */
    struct cap_tables tables;
    bool direct;                                /* the copy at hand is a direct load */
    lsn_t direct_lsn;                           /* … which began here; 0 = not known */
    struct cap_direct_snapshot direct_snapshot; /* … and this its snapshot; none: it finds one */
    struct cap_request_queue queue;
    bool again; /* the session has ended well, to begin anew with what was asked for */
    struct cap_publisher *publisher;
    struct cap_shapes *shapes; /* of the tables, as the journal has them (shapes.h) */
    bool *whole_only; /* of the run: the server failed at streaming a transaction: it is not asked to again */
    lsn_t *
        part_lsn; /* of the run: a copy that goes on writes a fence exactly here, behind it a table's shape changes; 0 = none */
    bool altered;    /* a table has another shape on the source than the journal knows yet */
    bool progressed; /* something became durable in this session: backoff starts over */
};

/* settings.c. Texts belong to cfg; the rest goes with cap_settings_release(). */
bool cap_settings_read(const struct config *cfg, struct cap_settings *ret, struct err *err) MUST_CHECK;
void cap_settings_release(struct cap_settings *s);
struct type_profile cap_profile_read(const struct config *cfg);
/* A connection to the source without time limits of its own (idle, statement, lock), and with row security
 * off: a hidden row must be an error, never a gap. @thread any */
bool cap_connect(const struct cap_settings *settings, bool replication, struct pg_conn **ret,
                 struct err *err) MUST_CHECK;
/* The same to another server. @thread any */
bool cap_connect_to(const struct cap_settings *settings, const char *url, bool replication,
                    struct pg_conn **ret, struct err *err) MUST_CHECK;
/* The journal's writer, and where it stands (s->position, s->shapes): from here on no other capture of this pipeline writes. */
bool cap_open_journal(struct cap_session *s, struct journal_writer **ret_jw,
                      struct schema_store **ret_schemas, struct err *err) MUST_CHECK;
/* goes_on: at the last fence, with the copy that it belongs to. Takes jw and schemas over. */
void cap_start_publisher(struct cap_session *s, struct journal_writer *jw, struct schema_store *schemas,
                         bool goes_on);
/* True if an orderly stop was asked for. */
bool cap_stop_asked(const struct cap_session *s);
/* Copies what the publisher has done into the status and shows it. */
void cap_status_show(struct cap_session *s, enum role_phase phase);
/* At the beginning of a session: "starting", or still "retrying", which it is until the session works. */
void cap_status_begin(struct cap_session *s);

#endif
