/* What the files of the foreign feed share: foreign.c (reading), foreign_cut.c (fences), foreign_state.c (settings and
 * what is kept in the target). */
#ifndef APPLY_FOREIGN_INTERNAL_H
#define APPLY_FOREIGN_INTERNAL_H

#include "apply/foreign.h"

/* Place of a partition's last change in the source's order. */
struct place {
    uint64_t major, minor;
    int64_t time_us; /* commit time; 0 = no change seen */
    uint64_t ties;   /* changes at this very place */
};

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
    bool ends;    /* of the transaction topic */
    bool paused;  /* enough is read ahead of it */
    bool rewound; /* the connector has begun again behind `seen`; ties_left of that place are still to come */
    uint64_t ties_left;
    uint64_t scan;  /* next offset to be read */
    uint64_t cut;   /* next offset behind the last fence handed out */
    uint64_t taken; /* as the target has it */
    struct place seen, at_taken;
    struct segment *segments; /* [head, head + count) */
    size_t head, count, cap;
    struct gap *gaps;
    size_t gap_count, gap_cap;
};

struct end {
    uint64_t transaction, domain, order;
    int64_t end_us;
    uint64_t next; /* offset behind it in the transaction topic */
    struct foreign_count *counts;
    size_t count_count;
};

/* How far a fence brings one partition. */
struct mark {
    uint64_t fence_id;
    size_t part;
    uint64_t next;
    struct place place;
    uint64_t domain, order; /* of the transaction topic */
};

#define DOMAINS_MAX 64

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
    bool assigned;
    int64_t listed_us;
    char **names; /* interned texts */
    size_t name_count, name_cap;
    struct end *ends; /* [end_head, end_head + end_count) */
    size_t end_head, end_count, end_cap;
    struct end *alone; /* in the order of arrival: of changes that have no END */
    size_t alone_count, alone_cap;
    uint64_t last_alone;   /* transaction; 0 = none yet */
    int64_t idle_since_us; /* mono; 0 = not idle */
    struct mark *marks;    /* [mark_head, …) */
    size_t mark_head, mark_count, mark_cap;
    struct domains domains, domains_taken;
    char *connector, *server; /* NULL = not seen yet */
    uint64_t last_id, taken_id;
    lsn_t lsn;
    int64_t commit_us;
    bool complete;
    bool streamed; /* the snapshot's end was seen */
    bool idle;     /* all is read that is there */
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

/* foreign_cut.c */
/* The next fence of what was read; *ret_ready false: nothing may be cut yet. */
bool foreign_cut(struct foreign_feed *feed, struct fence *ret, bool *ret_ready, struct err *err) MUST_CHECK;

/* foreign_state.c */
/* The last transaction of this domain; false: there is no room for another one. */
bool foreign_domain(struct domains *all, uint64_t id, struct domain **ret);
bool foreign_state_read(struct foreign_feed *feed, const char *text, struct err *err) MUST_CHECK;

#endif
