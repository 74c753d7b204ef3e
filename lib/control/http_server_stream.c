/*
 * Pages and streams beside the figures. A stream that has nothing to send is suspended, and resumed by http_server_wake(); one whose client does not take
 * what it was sent is ended by the server's idle timeout: libmicrohttpd counts no time for suspended connections, and all for the others.
 */
#include "control/http_server_stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "core/alloc.h"

#define BLOCK_BYTES   ((size_t)8 << 10)
#define OUT_BYTES_MAX ((size_t)4 << 20)

struct stream {
    struct http_streams *all;
    struct MHD_Connection *conn;
    void *client;
    struct strbuf out;
    size_t sent; /* of out */
    bool suspended;
};

struct http_streams {
    pthread_mutex_t lock; /* open, suspended, ending */
    const struct http_pages *pages;
    struct stream *open[HTTP_STREAMS_MAX];
    bool ending;
};

struct http_streams *http_streams_new(const struct http_pages *pages)
{
    struct http_streams *s = xcalloc(1, sizeof *s);
    if (pthread_mutex_init(&s->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    s->pages = pages;
    return s;
}

void http_streams_free(struct http_streams *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Under the lock. */
static void resume_all(struct http_streams *s)
{
    for (size_t i = 0; i < HTTP_STREAMS_MAX; i++) {
        struct stream *stream = s->open[i];
        if (stream == NULL || !stream->suspended)
            continue;
        stream->suspended = false;
        MHD_resume_connection(stream->conn);
    }
}

void http_streams_wake(struct http_streams *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    resume_all(s);
    pthread_mutex_unlock(&s->lock);
}

void http_streams_end(struct http_streams *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    resume_all(s);
    pthread_mutex_unlock(&s->lock);
}

/* Suspended under the lock, so that a wake comes before (then there is something to send) or after. */
static bool rest(struct stream *stream)
{
    struct http_streams *s = stream->all;
    pthread_mutex_lock(&s->lock);
    bool goes_on = !s->ending;
    strbuf_clear(&stream->out);
    stream->sent = 0;
    if (goes_on) {
        s->pages->stream_next(stream->client, &stream->out);
        if (stream->out.len == 0) {
            stream->suspended = true;
            MHD_suspend_connection(stream->conn);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    struct stream *stream = ctx;
    (void)pos;
    if (stream->sent == stream->out.len && !rest(stream))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (stream->out.failed) /* half an event: better none, the browser comes again */
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = stream->out.len - stream->sent;
    n = n < max ? n : max;
    memcpy(buf, stream->out.data + stream->sent, n);
    stream->sent += n;
    return (ssize_t)n;
}

static void close_stream(void *ctx)
{
    struct stream *stream = ctx;
    struct http_streams *s = stream->all;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < HTTP_STREAMS_MAX; i++) {
        if (s->open[i] == stream)
            s->open[i] = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    s->pages->stream_close(stream->client);
    strbuf_release(&stream->out);
    free(stream);
}

/* NULL: there are enough. */
static struct stream *open_stream(struct http_streams *s, struct MHD_Connection *conn)
{
    struct stream *stream = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < HTTP_STREAMS_MAX && stream == NULL && !s->ending; i++) {
        if (s->open[i] != NULL)
            continue;
        stream = xcalloc(1, sizeof *stream);
        stream->all = s;
        stream->conn = conn;
        strbuf_init(&stream->out, OUT_BYTES_MAX);
        s->open[i] = stream;
    }
    pthread_mutex_unlock(&s->lock);
    if (stream != NULL)
        stream->client = s->pages->stream_open(s->pages->ctx);
    return stream;
}

static enum MHD_Result queue(struct MHD_Connection *conn, unsigned status, const char *type,
                             const char *policy, struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (policy != NULL)
        (void)MHD_add_response_header(response, "Content-Security-Policy", policy);
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "10");
    enum MHD_Result queued = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer_stream(struct http_streams *s, struct MHD_Connection *conn)
{
    static char enough[] = "as many look on as this role serves: try again later\n";
    struct stream *stream = open_stream(s, conn);
    if (stream == NULL)
        return queue(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", NULL,
                     MHD_create_response_from_buffer(strlen(enough), enough, MHD_RESPMEM_PERSISTENT));
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream, close_stream);
    if (response == NULL)
        close_stream(stream);
    return queue(conn, MHD_HTTP_OK, "text/event-stream", NULL, response);
}

bool http_streams_take(struct http_streams *s, struct MHD_Connection *conn, const char *path,
                       enum MHD_Result *ret)
{
    if (s == NULL)
        return false;
    struct http_page page = {0};
    const char *after = MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "after");
    if (strcmp(path, s->pages->stream_path) == 0) {
        *ret = answer_stream(s, conn);
        return true;
    }
    if (!s->pages->get(s->pages->ctx, path, after != NULL ? strtoull(after, NULL, 10) : 0, &page))
        return false;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(page.body), page.body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(page.body);
    *ret = queue(conn, MHD_HTTP_OK, page.type, page.policy, response);
    return true;
}
