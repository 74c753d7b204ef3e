/*
 * Files that are whole or not there: written beside under another name, brought to disk, and then named by the caller (rename, link). @thread any
 */
#ifndef CORE_NEW_FILE_H
#define CORE_NEW_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/err.h"

/* Owner, mode, attributes, before the file is brought to disk. False: errno says why. */
typedef bool new_file_dress(const void *ctx, int fd);

/* One with these bytes, on disk, of this mode (less umask); what had that name (of a process that was killed) goes away, links are not followed.
 * dress: NULL = nothing more. False: there is none; *err names the path. */
bool new_file_write(const char *path, mode_t mode, const void *bytes, size_t len, new_file_dress *dress,
                    const void *ctx, struct err *err) MUST_CHECK;
/* What was named in a folder is so after a power failure. */
bool new_file_sync_folder(const char *folder, struct err *err) MUST_CHECK;

#endif
