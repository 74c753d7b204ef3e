/* What the kernel knows of this process, for /metrics. @thread any */
#ifndef CONTROL_PROCESS_H
#define CONTROL_PROCESS_H

#include <stdint.h>

struct process_numbers {
    uint64_t resident_bytes, open_fds, max_fds; /* 0 = not known */
    double cpu_s;                               /* -1 = not known */
    double started_s;                           /* wall; 0 = not known */
};

void process_look(struct process_numbers *ret);

#endif
