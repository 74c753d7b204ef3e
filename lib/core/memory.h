/*
 * This process's memory as the system sees it. The allocator keeps what a large transaction or a wide copy has freed, so that a role
 * would stay as large as its largest moment for weeks; what it does not use is given back here.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stdint.h>

/* Sets how much the allocator keeps of what is freed. Before the first thread. */
void memory_init(void);
/* Anonymous resident memory of this process in bytes; 0 = not known (proc(5), RssAnon). @thread any */
uint64_t memory_anon_bytes(void);
/* Gives free memory back to the system where there is much more than after the last time. To be called in each turn of a role's loop: looks every ten
 * seconds, and is a clock's reading else. @thread the loop's */
void memory_tidy(void);

#endif
