/* What commands that compare share: progress on stderr, and lists that were given. */
#ifndef CLI_COMPARE_PROGRESS_H
#define CLI_COMPARE_PROGRESS_H

#include "cli.h"
#include "compare/compare.h"

/* Progress goes to stderr: one line that is redrawn on a terminal, else a line now and then while a fence is
 * slow or a server is spared. */
struct compare_talker {
    bool redraw, drawn;
    int64_t told_us;
};

void compare_talker_init(struct compare_talker *talker);
/* For compare_request.progress; ctx: the talker. */
void compare_talker_show(void *ctx, const struct compare_progress *p);
void compare_talker_clear(const struct compare_talker *talker);

/* All values of a flag that may be repeated; the caller frees the array alone. */
const char **compare_given(const struct cli *cli, const char *flag, size_t *ret_count);

#endif
