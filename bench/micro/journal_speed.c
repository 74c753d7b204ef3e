/*
 * How fast a journal takes and gives records.
 *
 *   journal_speed URL [RECORDS] [PER_UNIT] [STREAMS] [PARTITIONS] [PROPERTY=VALUE…]
 *
 * Writes RECORDS records of 210 bytes (key 10, value 200), a fence after each PER_UNIT, then reads all back
 * by fences, then times 200 commits of one record each, and a commit to a follower's next().
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/journal.h"

static void die(const struct err *err)
{
    fprintf(stderr, "journal_speed: %s\n", err->text);
    exit(1);
}

struct run {
    struct journal_config config;
    struct journal_writer *jw;
    char fence[80];
    int fence_id;
    int *ids;
    size_t streams;
    int64_t flush_us, commit_us; /* spent in them */
    uint64_t units;
};

static void append(struct run *run, int id, uint64_t n)
{
    struct err err = ERR_INIT;
    char key[11], value[200];
    snprintf(key, sizeof key, "%010llu", (unsigned long long)n);
    memset(value, 'x', sizeof value);
    memcpy(value, &n, sizeof n);
    struct journal_record rec = {.partition = -1,
                                 .timestamp_ms = 1,
                                 .key = key,
                                 .key_len = 10,
                                 .value = value,
                                 .value_len = sizeof value};
    if (!journal_append(run->jw, id, &rec, &err))
        die(&err);
}

static void fence(struct run *run)
{
    struct err err = ERR_INIT;
    const struct journal_range *ranges;
    size_t count;
    int64_t begin = clock_mono_us();
    if (!journal_flush(run->jw, &ranges, &count, &err))
        die(&err);
    int64_t flushed = clock_mono_us();
    run->flush_us += flushed - begin;
    run->units++;
    size_t size = sizeof(struct journal_range) * count;
    struct journal_record rec = {.partition = 0,
                                 .key = run->config.pipeline,
                                 .key_len = strlen(run->config.pipeline),
                                 .value = ranges,
                                 .value_len = size};
    if (!journal_append(run->jw, run->fence_id, &rec, &err) || !journal_commit(run->jw, &err))
        die(&err);
    run->commit_us += clock_mono_us() - flushed;
}

static void say(const char *what, double value, const char *unit)
{
    printf("%-28s %12.2f %s\n", what, value, unit);
    fflush(stdout);
}

static void say_memory(void)
{
    char line[200];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "RssAnon: %ld", &kb);
    if (f != NULL)
        (void)fclose(f);
    say("  RssAnon now", (double)kb / 1024, "MiB");
}

static void write_all(struct run *run, uint64_t records, uint64_t per_unit)
{
    int64_t begin = clock_mono_us();
    for (uint64_t n = 0; n < records; n++) {
        append(run, run->ids[n % run->streams], n);
        if ((n + 1) % per_unit == 0 || n + 1 == records)
            fence(run);
    }
    double us = (double)(clock_mono_us() - begin);
    say("write", (double)records / us, "M records/s");
    say("  append, per unit", (us - (double)(run->flush_us + run->commit_us)) / (double)run->units / 1000,
        "ms");
    say("  flush, per unit", (double)run->flush_us / (double)run->units / 1000, "ms");
    say("  fence and commit, per unit", (double)run->commit_us / (double)run->units / 1000, "ms");
    say_memory();
}

static void read_all(struct run *run, uint64_t records)
{
    struct err err = ERR_INIT;
    struct journal_reader *jr;
    struct journal_record rec;
    if (!journal_reader_open(&run->config, NULL, &jr, &err))
        die(&err);
    struct journal_range *ranges = xcalloc(run->streams * (size_t)run->config.partitions, sizeof *ranges);
    char(*names)[80] = xcalloc(run->streams, sizeof *names);
    size_t count = 0;
    for (size_t s = 0; s < run->streams; s++) {
        snprintf(names[s], sizeof names[s], "%s.t%zu", run->config.topic_prefix, s);
        for (int32_t p = 0; p < run->config.partitions; p++) {
            struct journal_range *range = &ranges[count];
            *range = (struct journal_range){.stream = names[s], .partition = p};
            if (!journal_bounds(jr, names[s], p, &range->first_offset, &range->next_offset, &err))
                die(&err);
            count++;
        }
    }
    int64_t begin = clock_mono_us();
    if (!journal_assign(jr, ranges, count, &err))
        die(&err);
    uint64_t got = 0;
    enum journal_next next;
    while ((next = journal_next(jr, 10000, &rec, &err)) == JOURNAL_RECORD)
        got++;
    double us = (double)(clock_mono_us() - begin);
    if (next == JOURNAL_ERROR)
        die(&err);
    if (got < records)
        fprintf(stderr, "journal_speed: only %llu of %llu records, %d\n", (unsigned long long)got,
                (unsigned long long)records, (int)next);
    say("read", (double)got / us, "M records/s");
    say_memory();
    journal_reader_close(jr);
    free(names);
    free(ranges);
}

static void *follow(void *arg)
{
    struct run *run = arg;
    struct err err = ERR_INIT;
    struct journal_reader *jr;
    struct journal_record rec;
    struct journal_range range = {.stream = run->fence, .next_offset = JOURNAL_FOLLOW};
    uint64_t first;
    if (!journal_reader_open(&run->config, NULL, &jr, &err) ||
        !journal_bounds(jr, run->fence, 0, &first, &range.first_offset, &err) ||
        !journal_assign(jr, &range, 1, &err))
        die(&err);
    double sum = 0;
    int64_t sent;
    for (int i = 0; i < 200; i++) {
        enum journal_next next = journal_next(jr, 10000, &rec, &err);
        if (next == JOURNAL_ERROR)
            die(&err);
        if (next != JOURNAL_RECORD || rec.value_len != sizeof sent)
            break;
        memcpy(&sent, rec.value, sizeof sent);
        sum += (double)(clock_mono_us() - sent);
    }
    say("append to follower", sum / 200 / 1000, "ms mean");
    journal_reader_close(jr);
    return NULL;
}

static void commits(struct run *run)
{
    pthread_t thread;
    struct err err = ERR_INIT;
    pthread_create(&thread, NULL, follow, run);
    usleep(1000000); /* the follower is up by then */
    int64_t begin = clock_mono_us();
    for (int i = 0; i < 200; i++) {
        append(run, run->ids[0], (uint64_t)i);
        int64_t now = clock_mono_us();
        struct journal_record rec = {.partition = 0,
                                     .key = run->config.pipeline,
                                     .key_len = strlen(run->config.pipeline),
                                     .value = &now,
                                     .value_len = sizeof now};
        if (!journal_append(run->jw, run->fence_id, &rec, &err) || !journal_commit(run->jw, &err))
            die(&err);
    }
    say("commit of one record", (double)(clock_mono_us() - begin) / 200 / 1000, "ms mean");
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr,
                "usage: journal_speed URL [RECORDS] [PER_UNIT] [STREAMS] [PARTITIONS] [PROPERTY=VALUE…]\n");
        return 2;
    }
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
    uint64_t per_unit = argc > 3 ? strtoull(argv[3], NULL, 10) : 50000;
    struct err err = ERR_INIT;
    char prefix[40];
    snprintf(prefix, sizeof prefix, "speed-%ld", (long)getpid());
    struct run run = {.streams = argc > 4 ? strtoull(argv[4], NULL, 10) : 1};
    run.config = (struct journal_config){.url = argv[1],
                                         .pipeline = "speed",
                                         .topic_prefix = prefix,
                                         .replication_factor = 1,
                                         .retention_ms = -1};
    run.config.partitions = argc > 5 ? atoi(argv[5]) : 1;
    if (argc > 6)
        run.config.kafka_properties = (const char *const *)argv + 6;
    snprintf(run.fence, sizeof run.fence, "%s.fence", prefix);
    run.ids = xcalloc(run.streams, sizeof *run.ids);
    if (!journal_writer_open(&run.config, &run.jw, &err) ||
        !journal_stream(run.jw, run.fence, STREAM_FOREVER, &run.fence_id, &err))
        die(&err);
    for (size_t s = 0; s < run.streams; s++) {
        char name[80];
        snprintf(name, sizeof name, "%s.t%zu", prefix, s);
        if (!journal_stream(run.jw, name, STREAM_DATA, &run.ids[s], &err))
            die(&err);
    }
    write_all(&run, records, per_unit);
    read_all(&run, records);
    read_all(&run, records);
    commits(&run);
    journal_writer_close(run.jw);
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    say("cpu",
        (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
            (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
        "s");
    free(run.ids);
    return 0;
}
