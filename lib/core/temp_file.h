/*
 * A temporary file without a name, in $TMPDIR, else in /var/tmp (file-hierarchy(7): what may be large and need not be in memory). It
 * goes away with its last descriptor or mapping, whatever becomes of the process.
 */
#ifndef CORE_TEMP_FILE_H
#define CORE_TEMP_FILE_H

#include "core/err.h"

/* *ret: the caller closes it. */
bool temp_file_open(int *ret, struct err *err) MUST_CHECK;
/* Where they go, for messages. */
const char *temp_file_folder(void);

#endif
