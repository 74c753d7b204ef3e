/* What the verbs of `crossfade journal` share: the journal as an unregistered reader sees it, and the target's position. */
#ifndef CLI_JOURNAL_LOOK_H
#define CLI_JOURNAL_LOOK_H

#include "cli.h"
#include "core/lsn.h"
#include "journal/journal.h"

struct stream_list {
    struct journal_stream_info *infos;
    size_t count;
};

/* Where apply stands, by crossfade.position of the target. */
struct applied {
    bool known;           /* false: `why` says why not */
    uint64_t fence_id;    /* 0 = nothing is applied yet */
    uint64_t next_offset; /* of the fence stream: the first fence that is not applied */
    lsn_t lsn;
    char why[1200];
};

struct look {
    const struct cli *cli;
    struct journal_config config;
    struct journal_reader *reader;
    struct stream_list streams;           /* by name */
    int64_t from, last, count, partition; /* flags; -1 = not given */
    bool has_lsn;
    lsn_t from_lsn;
};

/* Reads the flags. False: was told, exit code CLI_EXIT_USAGE. */
bool look_flags(struct look *look);
/* Refuses a journal whose last fence is of a newer version: what it means, and what stands beside it, is not ours to tell. */
bool look_open(struct look *look, struct err *err) MUST_CHECK;
void look_release(struct look *look);
/* The stream of this name, with or without the prefix; says so and gives NULL if there is none. */
const struct journal_stream_info *look_find(const struct look *look, const char *name);
/* Asks the target, for some seconds at most. False: a newer version has worked there. */
bool look_applied(const struct look *look, struct applied *ret, struct err *err) MUST_CHECK;

/* The verbs: exit codes. */
int journal_list_streams(struct look *look);
int journal_print_stream(struct look *look, const struct journal_stream_info *info, bool follow, bool fences);
int journal_run_verify(struct look *look);

#endif
