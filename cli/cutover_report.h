/* The report of a cutover: crossfade cutover report, and --report of the other verbs. */
#ifndef CLI_CUTOVER_REPORT_H
#define CLI_CUTOVER_REPORT_H

#include "cli.h"
#include "cutover/cutover.h"

/* Whether --report, if it is given, names a place that can be; else it is said, and *ret_code is set. */
bool cutover_report_place_fits(const struct cli *cli, int *ret_code);
/* Writes it where --report says; malloc'd: the file, NULL if none was asked for, or with *err. now, failed: what the verb has come to. */
char *cutover_report_write(const struct cli *cli, const struct cutover_report *now, const struct err *failed,
                           struct err *err);
/* The verb: of the cutover that is named, NULL = the newest. Returns the exit code. */
int cutover_report_verb(struct cli *cli, const char *id);

#endif
