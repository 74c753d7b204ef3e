/* What the files of the foreign feed share: foreign.c (reading), foreign_seen.c (what came before), foreign_ends.c (the
 * transaction topic), foreign_cut.c (fences), foreign_state.c (settings and what is kept in the target). */
#ifndef APPLY_FOREIGN_INTERNAL_H
#define APPLY_FOREIGN_INTERNAL_H

#include "apply/foreign.h"

/* Place of a partition's last change in the source's order, and how far a snapshot's rows have come in it. */
struct place {
    uint64_t major, minor;
    uint64_t transaction; /* as the source tells it; 0 = not told */
    uint64_t gtid_domain, gtid_order;
    uint64_t identity; /* a hash of place, table, key and kind */
    uint64_t content; /* keyless tables of a binlog: a hash of table, kind and rows; not kept in the target */
    uint64_t ordinal; /* in its transaction, as this run of the connector counts; 0 = not told */
    int64_t time_us;  /* commit time; 0 = no streamed change seen */
    uint64_t ties;    /* changes at this very place */
    uint64_t begun;   /* hash of the table whose snapshot rows came last */
    bool shown;       /* rows of the snapshot that holds now have come */
    bool closed;      /* the last one of that table, too */
};

/* A change that a partition has brought. */
struct remembered {
    uint64_t identity, transaction, offset;
    uint64_t content; /* 0 = not told */
};

struct truncate {
    uint64_t identity, offset;
    size_t part;
};

/* A run of the connector's snapshot: rows of an earlier one are worth nothing. */
struct snapshot {
    uint64_t major, minor; /* where in the source's log; PostgreSQL: and the number of its transaction */
    int64_t time_us;
    uint64_t attempt;
    uint64_t from_fence; /* it holds from there on; UINT64_MAX: that fence is still to be cut */
};

enum verdict { VERDICT_NEW = 0, VERDICT_BEFORE, VERDICT_UNKNOWN };

/* Records in a row that belong to one transaction and table; of several ones those without changes (tombstones, heartbeats)
 * as well. */
struct segment {
    uint64_t transaction;   /* 0 = of none */
    const char *collection; /* interned; NULL = no change in it */
    uint64_t changes;
    uint64_t next; /* offset behind its last record */
    struct place place;
    lsn_t newest;
    int64_t time_us;
    bool streamed; /* not of a snapshot, or its last row */
    int halves;    /* departures minus arrivals of key changes */
};

struct gap {
    uint64_t first, next; /* records that came before */
};

struct part {
    char *topic;
    int32_t partition;
    bool ends;      /* of the transaction topic */
    bool paused;    /* enough is read ahead of it */
    bool forgot;    /* changes before those of the memory are not remembered */
    bool exhausted; /* the memory cannot hold more of them */
    struct remembered *memory;
    size_t memory_count, memory_cap;
    size_t again;        /* memory[again] is what must come next; memory_count: something new may */
    uint64_t oldest;     /* offset from which on changes are remembered */
    uint64_t warm_until; /* records below are read for the memory alone */
    struct place before_warm;
    struct place first; /* of what is remembered, or earlier */
    const char *known;  /* the last table whose name was held against the topic's */
    uint64_t server;    /* that committed what was seen last; 0 = not told */
    int shrunk;         /* so often it ended before what was read of it */
    int64_t read_us;    /* mono; when it gave its last record */
    uint64_t scan;      /* next offset to be read */
    uint64_t cut;       /* next offset behind the last fence handed out */
    uint64_t taken;     /* as the target has it */
    struct place seen, at_taken;
    struct segment *segments; /* [head, head + count) */
    size_t head, count, cap;
    struct gap *gaps;
    size_t gap_count, gap_cap;
};

struct end {
    uint64_t transaction, domain, order;
    bool restarted;  /* the connector was started again inside of it: less is counted than there is */
    bool maybe_old;  /* its number does not rise: it may be one that is written again */
    int64_t seen_us; /* mono */
    int64_t end_us;
    uint64_t next; /* offset behind it in the transaction topic */
    struct foreign_count *counts;
    size_t count_count;
};

/* How far a fence brings one partition. */
struct mark {
    bool anew; /* the place is none, whatever it was */
    uint64_t fence_id;
    size_t part;
    uint64_t next;
    struct place place;
    uint64_t domain, order; /* of the transaction topic */
};

#define DOMAINS_MAX 64
#define ENDED_MAX   4096
#define LATE_MAX    16

/* A transaction whose END is still to come: so many BEGINs. */
struct begun {
    uint64_t transaction;
    int begins;
};
#define BEGUN_MAX 64

/* The last transaction of a domain. */
struct domain {
    uint64_t id, order;
};

struct domains {
    struct domain items[DOMAINS_MAX];
    size_t count;
};

struct foreign_feed {
    const struct foreign_settings *set;
    struct foreign_decoder *dec;
    struct journal_reader *reader;
    struct arena arena;
    struct part *parts;
    size_t part_count, part_cap;
    size_t told_parts; /* of the last fence */
    bool assigned;
    bool warms; /* only what is read for the memory is assigned */
    int64_t listed_us;
    char **names; /* interned texts */
    size_t name_count, name_cap;
    struct end *ends; /* [end_head, end_head + end_count) */
    size_t end_head, end_count, end_cap;
    struct end *alone; /* in the order of arrival: of changes that have no END */
    size_t alone_count, alone_cap;
    uint64_t last_alone; /* transaction; 0 = none yet */
    struct begun begun[BEGUN_MAX];
    size_t begun_count;
    uint64_t ended[ENDED_MAX]; /* a ring: transactions whose END was seen */
    size_t ended_at;
    uint64_t late[LATE_MAX];      /* a ring: restarted ones, of which more may come */
    uint64_t late_from[LATE_MAX]; /* the fence that makes it so */
    size_t late_at;
    struct truncate *truncates;
    size_t truncate_count;
    struct snapshot *snapshots;
    size_t snapshot_count;
    bool reset_due;        /* what is on the target goes */
    int64_t oldest_end_us; /* of ENDs that count something; 0 = none */
    size_t look_at;        /* the partition to be looked at next */
    int64_t idle_since_us; /* mono; 0 = not idle */
    struct mark *marks;    /* [mark_head, …) */
    size_t mark_head, mark_count, mark_cap;
    struct domains domains, domains_taken;
    char *connector, *server; /* NULL = not seen yet */
    uint64_t last_id, taken_id;
    lsn_t lsn;
    int64_t commit_us;
    bool complete;
    bool streamed;                         /* the snapshot's end was seen */
    uint64_t complete_from, streamed_from; /* since which fence */
    bool idle;                             /* all is read that is there */
    int64_t waiting_since_us,
        halves_since_us; /* mono; 0 = not for records of a transaction whose end is there; for the other
                                                  half of a key change */
    int64_t told_us;
    char notice[500];
    char *state;
};

/* foreign.c */
const char *foreign_intern(struct foreign_feed *feed, const char *text);
struct part *foreign_part_add(struct foreign_feed *feed, const char *topic, int32_t partition, uint64_t from);
struct part *foreign_part_find(const struct foreign_feed *feed, const char *topic, int32_t partition);
/* Without its reader. */
struct foreign_feed *foreign_feed_new(const struct foreign_settings *set, struct foreign_decoder *dec,
                                      uint64_t fence_id);
/* Takes one record in. */
bool foreign_scan(struct foreign_feed *feed, const struct journal_record *rec, struct err *err) MUST_CHECK;

/* foreign_seen.c */
/* Was this change delivered before? VERDICT_UNKNOWN: it stands before what is remembered. Keeps the place of what is new. */
bool foreign_seen(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev, uint64_t offset,
                  enum verdict *ret, struct err *err) MUST_CHECK;
/* Records from `back` before `until` (but not before first) on are read for the memory alone, until `until`. */
void foreign_warm(const struct foreign_feed *feed, struct part *p, uint64_t first, uint64_t until,
                  uint64_t back);
/* They were: the last one must be what the place was taken from. *ret_further: they may be repeated ones alone, and what
 * lies before is to be read as well. */
bool foreign_warmed(struct part *p, bool *ret_further, struct err *err) MUST_CHECK;
/* The snapshot that holds at this fence; NULL = none. */
const struct snapshot *foreign_snapshot(const struct foreign_feed *feed, uint64_t fence_id);
void foreign_snapshot_add(struct foreign_feed *feed, const struct snapshot *snap);
/* A transaction that ended then must be of the stream behind the snapshot. */
bool foreign_end_fits(const struct foreign_feed *feed, int64_t end_us, struct err *err) MUST_CHECK;

/* foreign_ends.c */
/* A BEGIN or END of the transaction topic. remember: for what it says of later ones alone. */
bool foreign_ends_add(struct foreign_feed *feed, const struct foreign_event *ev, uint64_t next, bool remember,
                      struct err *err) MUST_CHECK;
void foreign_alone_add(struct foreign_feed *feed, const struct foreign_event *ev);
/* Of a transaction that was cut already, though the connector was started again inside of it? */
bool foreign_is_late(const struct foreign_feed *feed, uint64_t transaction);
void foreign_late_add(struct foreign_feed *feed, uint64_t transaction, uint64_t from_fence);
/* Is this table, as an END names it, one whose records are read? */
bool foreign_is_read(const struct foreign_feed *feed, const char *collection);
/* Where the records of a table are must be known, to know what an END stands for. */
bool foreign_check_topic(struct foreign_feed *feed, struct part *p, const char *collection,
                         struct err *err) MUST_CHECK;

/* foreign_cut.c */
/* The next fence of what was read; *ret_ready false: nothing may be cut yet. */
bool foreign_cut(struct foreign_feed *feed, struct fence *ret, bool *ret_ready, struct err *err) MUST_CHECK;

/* foreign_state.c */
/* The last transaction of this domain; false: there is no room for another one. */
bool foreign_domain(struct domains *all, uint64_t id, struct domain **ret);
bool foreign_state_read(struct foreign_feed *feed, const char *text, struct err *err) MUST_CHECK;

#endif
