/*
 * What a watch asks of control tables, in the words of either dialect; parameters and columns are the same in both. $1 is the pipeline unless said
 * otherwise. Private to this module. @thread any
 */
#ifndef CUTOVER_WATCH_STATEMENTS_H
#define CUTOVER_WATCH_STATEMENTS_H

struct cutover;

enum watch_statement {
    ASK_ALIVE = 0, /* no parameter */
    ASK_LOCK,      /* → whether this session is the pipeline's watch now */
    ASK_LOAD,      /* → the state that is kept (JSON) */
    ASK_SAVE,      /* $2 the state (JSON) */
    ASK_NEWEST,    /* → of the newest record of a cutover: id, state, when (us since 1970) */
    ASK_FAILING, /* $2 since when (us since 1970) → of each level's last PASS or FAIL: how many FAILs, which, of how many */
    ASK_SHADOW,   /* $2 since when → of the last run: compared, failed, p95 of source and target (us) */
    ASK_DAMAGE,   /* → how many levels' last run has met damaged data, and what one of them says */
    ASK_DECISION, /* → the state of its decision row, on a side that has one */
    ASK_POSITION, /* → how many positions there are, the oldest commit that they stand for (us since 1970, or null) */
    WATCH_STATEMENTS
};

/* By the dialect of the side's control tables. */
const char *watch_statement(const struct cutover *side, enum watch_statement what);

#endif
