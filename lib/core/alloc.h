/* Small fixed allocations abort when memory is out (restart from the durable position is the design). Sizes
 * decided by data go through strbuf or arena, which are bounded and fail as an err. */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include <stddef.h>

#include "core/attr.h"

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For CLEANUP(free_ptr): frees what the annotated pointer variable holds. */
void free_ptr(void *pointer_to_pointer);

#endif
