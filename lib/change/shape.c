/* The decoders' cache: schema id → shapes (one per topic), kept until the decoder closes. */
#include "change/shape.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct shape_slot {
    uint32_t id;
    struct shape *first;
    UT_hash_handle hh;
};

struct decoder *decoder_new(const struct schema_source *schemas, shape_parse_fn *parse,
                            void (*plan_free)(void *plan))
{
    struct decoder *dec = xcalloc(1, sizeof *dec);
    *dec = (struct decoder){.schemas = *schemas, .parse = parse, .plan_free = plan_free};
    return dec;
}

static void shape_free(struct decoder *dec, struct shape *shape)
{
    if (shape->plan != NULL)
        dec->plan_free(shape->plan);
    table_schema_free(shape->table);
    free(shape->server);
    free(shape->database);
    free(shape);
}

void decoder_free(struct decoder *dec)
{
    if (dec == NULL)
        return;
    struct shape_slot *slot, *next_slot;
    HASH_ITER(hh, dec->slots, slot, next_slot)
    {
        HASH_DEL(dec->slots, slot);
        for (struct shape *s = slot->first, *next; s != NULL; s = next) {
            next = s->next;
            shape_free(dec, s);
        }
        free(slot);
    }
    free(dec);
}

static struct shape_slot *slot_for(struct decoder *dec, uint32_t id)
{
    struct shape_slot *slot;
    HASH_FIND(hh, dec->slots, &id, sizeof id, slot);
    if (slot == NULL) {
        slot = xcalloc(1, sizeof *slot);
        slot->id = id;
        HASH_ADD(hh, dec->slots, id, sizeof slot->id, slot);
    }
    return slot;
}

/* How many shapes of this topic are known: the next one's version is one more. */
static uint32_t count_versions(const struct decoder *dec, const char *topic)
{
    uint32_t count = 0;
    for (const struct shape_slot *slot = dec->slots; slot != NULL; slot = slot->hh.next) {
        for (const struct shape *s = slot->first; s != NULL; s = s->next)
            count += strcmp(s->table->topic, topic) == 0;
    }
    return count;
}

/* Ids are only numbers: a registry that is not the one that a record was written with may have another table's
 * schema under its id, and the bytes may even fit. Ours tell which topic they were made for. */
static bool is_of_topic(const struct shape *shape, const char *topic, struct err *err)
{
    char *name_space CLEANUP(free_ptr) = topic_name_space(topic);
    return shape->table->shared_id != NULL || strcmp(name_space, shape->table->name_space) == 0 ||
           err_set(
               err, ERR_PROTOCOL,
               "the registry has a schema of %s under this id: it is not the registry that the record was "
               "written with; mend journal.registry and start again: nothing was skipped",
               shape->table->name_space);
}

static bool shape_load(struct decoder *dec, const char *topic, uint32_t id, struct shape **ret,
                       struct err *err)
{
    const char *text = NULL;
    if (!dec->schemas.lookup(dec->schemas.ctx, id, &text, err))
        return err_wrap(err, "topic=%s schema=%u", topic, id);
    struct shape *shape = xcalloc(1, sizeof *shape);
    if (!dec->parse(topic, text, shape, err) ||
        (dec->schemas.shared && shape->has_hints && !is_of_topic(shape, topic, err))) {
        shape_free(dec, shape);
        return err_wrap(err, "topic=%s schema=%u", topic, id);
    }
    shape->id = id;
    shape->table->value_schema_id = id;
    shape->table->version = count_versions(dec, topic) + 1;
    struct shape_slot *slot = slot_for(dec, id);
    shape->next = slot->first;
    slot->first = shape;
    *ret = shape;
    return true;
}

bool decoder_shape(struct decoder *dec, const char *topic, uint32_t id, struct shape **ret, struct err *err)
{
    struct shape *shape = dec->last;
    if (shape != NULL && shape->id == id && strcmp(shape->table->topic, topic) == 0) {
        *ret = shape;
        return true;
    }
    struct shape_slot *slot;
    HASH_FIND(hh, dec->slots, &id, sizeof id, slot);
    shape = slot != NULL ? slot->first : NULL;
    while (shape != NULL && strcmp(shape->table->topic, topic) != 0)
        shape = shape->next;
    if (shape == NULL && !shape_load(dec, topic, id, &shape, err))
        return false;
    dec->last = shape;
    *ret = shape;
    return true;
}
