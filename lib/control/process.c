/* Owns: this process in /proc. See process.h. */
#include "control/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (dir == NULL)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count > 0 ? count - 1 : 0; /* the folder itself */
}

/* Seconds since 1970 at which the machine was started; 0 = not known. */
static double boot_time_s(void)
{
    char line[256];
    unsigned long long seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "btime %llu", &seconds) != 1)
        continue;
    (void)fclose(file);
    return (double)seconds;
}

/* Fields of /proc/self/stat behind the name, which may hold anything: 22 starttime (ticks since boot), 24 rss (pages). */
static void look_at_stat(struct process_numbers *ret)
{
    char text[1024];
    unsigned long long started = 0, pages = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return;
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    const char *rest = strrchr(text, ')');
    double boot_s = boot_time_s();
    if (rest == NULL || sscanf(rest + 1,
                               " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                               "%llu %*s %llu",
                               &started, &pages) != 2)
        return;
    ret->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (boot_s > 0)
        ret->started_s = boot_s + (double)started / (double)sysconf(_SC_CLK_TCK);
}

void process_look(struct process_numbers *ret)
{
    struct rusage usage;
    struct rlimit limit;
    *ret = (struct process_numbers){.cpu_s = -1, .open_fds = count_fds()};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        ret->max_fds = limit.rlim_cur;
    look_at_stat(ret);
}
