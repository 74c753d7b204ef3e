/*
 * A file for what does not fit into memory: blocks, each sealed when it is written and checked when it is read (AES-256-GCM).
 * The key is random, of this file alone, and only in memory: on disk the bytes are worth nothing (`encrypt` false: they are
 * readable there, the seal remains). The file is made by the first write and has no name: it vanishes with the process.
 *
 * Disk full is ERR_NO_SPACE; a block that does not come back as it was written is ERR_IO. Nothing in here is
 * worth keeping beyond a session: the source sends it again.
 * @thread: the owner of the file
 */
#ifndef CAPTURE_SPILL_FILE_H
#define CAPTURE_SPILL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"

/* Where a block is, and its seal. */
struct cap_spill_block {
    off_t at;
    size_t len;
    uint64_t number; /* of the seal; never twice in a file */
    uint8_t tag[16];
};

struct cap_spill_file;

struct cap_spill_file *cap_spill_file_new(const char *dir, bool encrypt);
void cap_spill_file_free(struct cap_spill_file *f); /* NULL allowed */
/* Behind what was written last. */
bool cap_spill_file_write(struct cap_spill_file *f, const void *bytes, size_t len,
                          struct cap_spill_block *ret, struct err *err) MUST_CHECK;
/* Into `out`, which has room for block->len bytes. */
bool cap_spill_file_read(struct cap_spill_file *f, const struct cap_spill_block *block, void *out,
                         struct err *err) MUST_CHECK;
/* Forgets what was written at `at` and behind it: the space goes back. */
bool cap_spill_file_cut(struct cap_spill_file *f, off_t at, struct err *err) MUST_CHECK;

#endif
