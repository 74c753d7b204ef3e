/* Owns: the rate of reading. See pace.h. */
#include "pace.h"

#include <stddef.h>
#include <time.h>

#include "core/clock.h"

#define NAP_US      INT64_C(20000)
#define DEBT_US     INT64_C(3600000000) /* more than an hour is not waited for */
#define REST_US     INT64_C(600000000) /* for the sake of a busy source: no more than ten minutes for one chunk */
#define FREE_US     INT64_C(1000000) /* a run that reads no longer than this rests for nobody */
#define BUSY_ACTIVE 0.5 /* others' backends that work on average: from there on a source is busy */

bool pace_shares(const struct pace_limits *limits)
{
    return limits->busy_percent > 0 && limits->busy_percent < 100;
}

bool pace_init(struct pace *pace, const struct pace_limits *limits, const struct load_request *servers,
               struct err *err)
{
    struct load *load = NULL;
    bool look = pace_shares(limits) || limits->max_load > 0 || limits->max_latency_us > 0 ||
                limits->max_replica_lag_us > 0;
    if (look && !load_open(servers, &load, err))
        return false;
    *pace = (struct pace){.limits = *limits, .load = load};
    pthread_mutex_init(&pace->lock, NULL);
    return true;
}

void pace_destroy(struct pace *pace)
{
    load_close(pace->load);
    pthread_mutex_destroy(&pace->lock);
    pace->load = NULL;
}

enum compare_wait pace_reason(const struct pace *pace, const struct load_figures *figures, int64_t now_us)
{
    const struct pace_limits *limits = &pace->limits;
    if (limits->max_replica_lag_us > 0 && figures->replica_late)
        return WAIT_REPLICA_LAG;
    if (limits->max_load > 0 && figures->active > (double)limits->max_load)
        return WAIT_SOURCE_LOAD;
    if (limits->max_latency_us > 0 && figures->latency_us > limits->max_latency_us)
        return WAIT_SOURCE_LATENCY;
    if (now_us < pace->rest_us && figures->active >= BUSY_ACTIVE)
        return WAIT_SOURCE_BUSY;
    return now_us < pace->free_us ? WAIT_ROWS_PER_SECOND : WAIT_NONE;
}

bool pace_look(struct pace *pace, enum compare_wait *ret, struct err *err)
{
    static const struct load_figures idle = {0};
    pthread_mutex_lock(&pace->lock);
    bool ok = pace->load == NULL || load_look(pace->load, err);
    *ret = pace_reason(pace, pace->load != NULL ? &pace->load->figures : &idle, clock_mono_us());
    pthread_mutex_unlock(&pace->lock);
    return ok;
}

bool pace_settled(struct pace *pace)
{
    pthread_mutex_lock(&pace->lock);
    bool ret = pace->load == NULL || load_settled(pace->load);
    pthread_mutex_unlock(&pace->lock);
    return ret;
}

bool pace_wait(struct pace *pace, const atomic_bool *stop, struct err *err)
{
    enum compare_wait why = WAIT_NONE;
    bool ok = true;
    while (!atomic_load(stop) && (ok = pace_look(pace, &why, err)) && why != WAIT_NONE) {
        int64_t begin_us = clock_mono_us();
        atomic_store(&pace->waits_for, (int)why);
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)NAP_US * 1000}, NULL);
        atomic_fetch_add(&pace->waited_us[why], clock_mono_us() - begin_us);
    }
    atomic_store(&pace->waits_for, WAIT_NONE);
    return ok;
}

void pace_spend(struct pace *pace, uint64_t rows)
{
    if (pace->limits.rows_per_s <= 0)
        return;
    pthread_mutex_lock(&pace->lock);
    int64_t now_us = clock_mono_us();
    double cost_us = (double)rows * 1e6 / (double)pace->limits.rows_per_s;
    pace->free_us =
        (pace->free_us > now_us ? pace->free_us : now_us) + (int64_t)(cost_us < DEBT_US ? cost_us : DEBT_US);
    pthread_mutex_unlock(&pace->lock);
}

static int64_t rest_for(const struct pace *pace, int64_t read_us)
{
    return read_us * (100 - pace->limits.busy_percent) / pace->limits.busy_percent;
}

/* On an idle source nothing is owed: it would be asked for when others come. */
void pace_took_at(struct pace *pace, double others_active, int64_t took_us, int64_t now_us)
{
    int64_t before_us = pace->read_us;
    pace->read_us += took_us;
    if (!pace_shares(&pace->limits) || pace->read_us <= FREE_US || others_active < BUSY_ACTIVE)
        return;
    int64_t for_us = before_us < FREE_US ? pace->read_us - FREE_US : took_us;
    int64_t later_us = MIN_OF(for_us, MAX_OF(pace->limits.burst_us - pace->burst_us, 0));
    pace->burst_us += later_us;
    pace->owed_us += rest_for(pace, later_us);
    int64_t rest_us = rest_for(pace, for_us - later_us);
    if (rest_us == 0)
        return;
    pace->rest_us =
        (pace->rest_us > now_us ? pace->rest_us : now_us) + (rest_us < REST_US ? rest_us : REST_US);
}

void pace_took(struct pace *pace, int64_t took_us)
{
    pthread_mutex_lock(&pace->lock);
    pace_took_at(pace, pace->load != NULL ? pace->load->figures.active : 0, took_us, clock_mono_us());
    pthread_mutex_unlock(&pace->lock);
}
