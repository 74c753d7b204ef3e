/* Owns: the threads that replay. See players.h. */
#include "players.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"

#define LOOK_AROUND_MS   250
#define RUNS_OF_A_FAILED 3 /* a query that both sides refuse need not be asked 20 times */

struct game {
    struct players *p;
    pthread_mutex_t lock;
    size_t *order, count, at, round;
    uint64_t random;
    int64_t next_us; /* when the next statement may begin */
    atomic_bool stop;
    int stop_fd; /* eventfd: wakes those who wait */
    int done_fd;
    size_t running;
    bool failed, late;
    struct err err;
};

struct player {
    struct game *game;
    struct step_sides *sides;
    uint64_t random;
};

static void shuffle(struct game *g)
{
    for (size_t i = g->count; i > 1; i--) {
        size_t j = (size_t)shadow_random_below(&g->random, i), t = g->order[i - 1];
        g->order[i - 1] = g->order[j];
        g->order[j] = t;
    }
}

static bool is_settled(struct query_result *q)
{
    pthread_mutex_lock(&q->lock);
    bool settled = q->outcome != OUTCOME_NOT_RUN && q->outcome < OUTCOME_EQUAL && q->runs >= RUNS_OF_A_FAILED;
    pthread_mutex_unlock(&q->lock);
    return settled;
}

static bool next_job(struct game *g, size_t *ret_query, size_t *ret_variant)
{
    bool found = false;
    pthread_mutex_lock(&g->lock);
    while (!found && !atomic_load(&g->stop)) {
        if (g->at == g->count) {
            g->at = 0;
            g->round++;
            shuffle(g);
        }
        if (g->count == 0 || g->round >= g->p->rounds)
            break;
        if (clock_mono_us() >= g->p->deadline_us) {
            g->late = true;
            break;
        }
        *ret_query = g->order[g->at++];
        found = !is_settled(&g->p->result->queries[*ret_query]);
        *ret_variant = g->round % g->p->result->workload.queries[*ret_query].variant_count;
    }
    pthread_mutex_unlock(&g->lock);
    return found;
}

static bool wait_us(void *ctx, int64_t us)
{
    const struct game *g = ((struct player *)ctx)->game;
    struct pollfd fd = {.fd = g->stop_fd, .events = POLLIN};
    if (us > 0)
        (void)poll(&fd, 1, (int)(us / 1000) + 1);
    return !atomic_load(&((struct player *)ctx)->game->stop);
}

static void pace(void *ctx)
{
    struct game *g = ((struct player *)ctx)->game;
    if (g->p->interval_us == 0)
        return;
    pthread_mutex_lock(&g->lock);
    int64_t now_us = clock_mono_us(), at_us = MAX_OF(now_us, g->next_us);
    g->next_us = at_us + g->p->interval_us;
    pthread_mutex_unlock(&g->lock);
    if (at_us - now_us >= 1000)
        (void)wait_us(ctx, at_us - now_us - 1000);
}

static void end_game(struct game *g)
{
    atomic_store(&g->stop, true);
    (void)eventfd_write(g->stop_fd, 1);
}

static void *player_main(void *arg)
{
    struct player *player = arg;
    struct game *g = player->game;
    struct shadow_result *r = g->p->result;
    const struct step_rules rules = {.live = r->live,
                                     .rechecks = g->p->rechecks,
                                     .sample_max = g->p->rounds,
                                     .pause = wait_us,
                                     .pace = pace,
                                     .ctx = player};
    struct err err = ERR_INIT;
    size_t query = 0, variant = 0;
    bool ok = true;
    while (ok && next_job(g, &query, &variant))
        ok = step_run(player->sides, &rules, &r->workload.queries[query], variant, &r->queries[query],
                      &player->random, &err);
    pthread_mutex_lock(&g->lock);
    if (!ok && !g->failed) {
        g->failed = true;
        g->err = err;
    }
    g->running--;
    pthread_mutex_unlock(&g->lock);
    if (!ok)
        end_game(g);
    (void)eventfd_write(g->done_fd, 1);
    return NULL;
}

static void cancel_all(struct players *p)
{
    for (size_t i = 0; i < p->count; i++) {
        session_cancel(p->sides[i].source.session);
        session_cancel(p->sides[i].again.session);
        session_cancel(p->sides[i].target.session);
    }
}

static void tell(struct game *g)
{
    char text[120];
    pthread_mutex_lock(&g->lock);
    (void)snprintf(text, sizeof text, "shadow: round %zu of %zu, query %zu of %zu",
                   MIN_OF(g->round + 1, g->p->rounds), g->p->rounds, g->at, g->count);
    pthread_mutex_unlock(&g->lock);
    if (g->p->req->progress != NULL)
        g->p->req->progress(g->p->req->progress_ctx, text);
}

/* True: stop was asked for. */
static bool watch(struct game *g)
{
    bool stopped = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = g->done_fd, .events = POLLIN},
                                {.fd = stopped ? -1 : g->p->req->stop_fd, .events = POLLIN}};
        eventfd_t n;
        int ready = poll(fds, 2, LOOK_AROUND_MS);
        if (ready > 0 && fds[0].revents != 0)
            (void)eventfd_read(g->done_fd, &n);
        if (ready > 0 && fds[1].revents != 0) {
            stopped = true;
            end_game(g);
        }
        pthread_mutex_lock(&g->lock);
        size_t running = g->running;
        pthread_mutex_unlock(&g->lock);
        if (running == 0)
            return stopped;
        if (atomic_load(&g->stop))
            cancel_all(g->p); /* again until all have ended: one may come too early */
        tell(g);
    }
}

static void deal(struct game *g)
{
    const struct workload *w = &g->p->result->workload;
    g->order = xcalloc(w->count + 1, sizeof *g->order);
    for (size_t i = 0; i < w->count; i++) {
        if (w->queries[i].needs == NULL)
            g->order[g->count++] = i;
    }
    shuffle(g);
}

bool players_run(struct players *p, struct err *err)
{
    struct game g = {
        .p = p, .random = p->result->seed ^ UINT64_C(0x5bf03635), .err = ERR_INIT, .running = p->count};
    struct player *players = xcalloc(p->count, sizeof *players);
    pthread_t *threads = xcalloc(p->count, sizeof *threads);
    pthread_mutex_init(&g.lock, NULL);
    g.stop_fd = eventfd(0, EFD_CLOEXEC);
    g.done_fd = eventfd(0, EFD_CLOEXEC);
    if (g.stop_fd < 0 || g.done_fd < 0)
        BUG("no eventfd");
    deal(&g);
    for (size_t i = 0; i < p->count; i++) {
        players[i] = (struct player){.game = &g, .sides = &p->sides[i], .random = p->result->seed + i};
        if (pthread_create(&threads[i], NULL, player_main, &players[i]) != 0)
            BUG("no thread");
    }
    bool stopped = watch(&g);
    for (size_t i = 0; i < p->count; i++)
        pthread_join(threads[i], NULL);
    p->result->stopped_early = g.late;
    (void)close(g.stop_fd);
    (void)close(g.done_fd);
    pthread_mutex_destroy(&g.lock);
    free(g.order);
    free(players);
    free(threads);
    if (stopped)
        return err_set(err, ERR_INTERRUPTED, "stopped");
    if (g.failed)
        *err = g.err;
    return !g.failed;
}
