/*
 * Mutated records, schemas and fences: nothing may crash, over-read or hang (run it under ASan), and whatever
 * is still taken must be a proper change: it is written again and comes back equal. Deterministic;
 * CF_FUZZ_SEED and CF_FUZZ_ROUNDS change seed and count.
 */
#include "change_fixture.h"

#include "change/fence.h"

static uint64_t rng_state;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static size_t pick(size_t below)
{
    return below == 0 ? 0 : (size_t)(rng() % below);
}

static size_t env_number(const char *name, size_t fallback)
{
    const char *text = getenv(name);
    return text != NULL ? strtoul(text, NULL, 10) : fallback;
}

static const struct column_spec columns[] = {
    {"id", PHYS_INT64, false, 1, NULL, "INT8", 19, 0},
    {"b", PHYS_BOOL, true, 0, NULL, "BOOL", 1, 0},
    {"i2", PHYS_INT16, false, 0, NULL, "INT2", 5, 0},
    {"i4", PHYS_INT32, true, 0, "io.debezium.time.Date", "DATE", 13, 0},
    {"f4", PHYS_FLOAT32, true, 0, NULL, "FLOAT4", 8, 8},
    {"f8", PHYS_FLOAT64, false, 0, NULL, "FLOAT8", 17, 17},
    {"t x", PHYS_STRING, false, 0, NULL, "TEXT", 0, 0},
    {"ot", PHYS_STRING, true, 0, NULL, "JSONB", 0, 0},
    {"y", PHYS_BYTES, true, 0, NULL, "BYTEA", 0, 0},
    {"ai", PHYS_ARRAY, true, 0, NULL, "_INT4", 10, 0},
    {"av", PHYS_ARRAY, false, 0, "io.debezium.data.VariableScaleDecimal", "_NUMERIC", 131089, 0},
    {"am", PHYS_ARRAY, true, 0, NULL, "_HSTORE", 0, 0},
    {"ae", PHYS_ARRAY, true, 0, "io.debezium.data.Enum", "_MOOD", 0, 0},
    {"p", PHYS_STRUCT, true, 0, "io.debezium.data.geometry.Point", "POINT", 0, 0},
    {"m", PHYS_MAP, true, 0, NULL, "HSTORE", 0, 0},
};
static const enum phys elements[] = {PHYS_INT32, PHYS_STRUCT, PHYS_MAP, PHYS_STRING};
#define FIRST_ARRAY 9
#define N           ARRAY_LEN(columns)

#define SEEDS 7
static struct datum full[N], sparse[N], key[N];

static struct datum body(const char *bytes, uint32_t len)
{
    return (struct datum){.state = DATUM_VALUE, .s = {bytes, len}};
}

static struct table_schema *make_fuzz_table(void)
{
    struct table_schema *t = make_table("public", "fuzz me", columns, N);
    for (size_t i = 0; i < ARRAY_LEN(elements); i++)
        t->fields[FIRST_ARRAY + i].elem = elements[i];
    t->fields[FIRST_ARRAY + 3].elem_required = true;
    t->fields[FIRST_ARRAY + 3].allowed = xstrdup("ok,x");
    return t;
}

static void make_rows(void)
{
    const struct datum values[N] = {int_datum(-77),
                                    int_datum(1),
                                    int_datum(300),
                                    int_datum(19782),
                                    float_datum(1.5),
                                    float_datum(0.1),
                                    text_datum("t\"ä"),
                                    text_datum("{\"a\":1}"),
                                    text_datum("\x01\xff\x7f"),
                                    body("\x02\x00\x02\x02\x80\x02\x00", 7),
                                    body("\x02\x02\x04\x02\x05\x00", 6),
                                    body("\x02\x02\x02\x02k\x02\x02v\x00\x00", 10),
                                    body("\x02\x04ok\x02\x02x\x00", 8),
                                    body("\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\x02\xc0\x02\x04\x01\xff\x00", 21),
                                    body("\x02\x02k\x02\x02v\x02\x02n\x00\x00", 11)};
    memcpy(full, values, sizeof values);
    memcpy(sparse, values, sizeof values);
    sparse[1].state = sparse[3].state = DATUM_NULL;
    sparse[7].state = sparse[8].state = sparse[9].state = sparse[14].state = DATUM_UNAVAILABLE;
    sparse[11].state = sparse[13].state = DATUM_NULL;
    memset(key, 0, sizeof key);
    key[0] = full[0];
}

static void make_seeds(const struct rig *rig, struct change seeds[SEEDS])
{
    make_rows();
    seeds[0] = make_change(rig, CHANGE_INSERT, NULL, full);
    seeds[1] = make_change(rig, CHANGE_UPDATE, NULL, sparse);
    seeds[2] = make_change(rig, CHANGE_UPDATE, full, full);
    seeds[3] = make_change(rig, CHANGE_DELETE, sparse, NULL);
    seeds[4] = make_change(rig, CHANGE_DELETE, key, NULL);
    seeds[4].before_key_only = true;
    seeds[5] = make_change(rig, CHANGE_READ, NULL, full);
    seeds[5].source.snapshot = SNAPSHOT_TRUE;
    seeds[6] = make_change(rig, CHANGE_TRUNCATE, NULL, NULL);
}

/* One to four changes of these bytes; the result is malloc'd at its exact size, so that over-reads are seen.
 */
static char *mutate(const char *bytes, size_t len, size_t *ret_len)
{
    static const unsigned char nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, '"',
                                          '\\', '{',  '}',  '[',  '-',  '9',  'e'};
    char *text = xmalloc(len + 16);
    memcpy(text, bytes, len);
    for (size_t n = 1 + pick(4); n != 0 && len != 0; n--) {
        size_t at = pick(len);
        switch (pick(7)) {
        case 0:
            text[at] = (char)(text[at] ^ (1 << pick(8)));
            break;
        case 1:
            text[at] = (char)nasty[pick(sizeof nasty)];
            break;
        case 2:
            text[at] = (char)rng();
            break;
        case 3: /* cut off */
            len = at;
            break;
        case 4: /* take out */
            memmove(text + at, text + at + 1, len - at - 1);
            len--;
            break;
        case 5: { /* put in: at most four times, the room is there */
            memmove(text + at + 1, text + at, len - at);
            text[at] = (char)nasty[pick(sizeof nasty)];
            len++;
            break;
        }
        case 6: { /* copy a piece over another */
            size_t from = pick(len), count = pick(MIN_OF(len - at, len - from) + 1);
            memmove(text + at, text + from, count);
            break;
        }
        default:
            break;
        }
    }
    char *exact = malloc(len + (len == 0));
    assert_non_null(exact);
    memcpy(exact, text, len);
    free(text);
    *ret_len = len;
    return exact;
}

/* A change that was taken can be written again and is the same then. */
static void assert_proper(struct rig *rig, struct change *chg)
{
    struct change back;
    struct err err = ERR_INIT;
    struct arena arena;
    chg->schema = rig->table;
    if (chg->op == CHANGE_READ || chg->source.snapshot != SNAPSHOT_FALSE) {
        chg->source.commit_lsn = chg->source.lsn; /* snapshot rows have no transaction to say more */
        chg->total_order = chg->op == CHANGE_READ ? 0 : chg->total_order;
        chg->table_order = chg->op == CHANGE_READ ? 0 : chg->table_order;
    }
    strbuf_clear(&rig->out);
    if (!rig->ops->encode_value(rig->enc, chg, &rig->out, &err))
        fail_msg("%s", err.text);
    arena_init(&arena, 4096, 1 << 20);
    if (!rig->ops->decode_value(rig->dec, rig->table->topic, rig->table->value_schema_id, rig->out.data,
                                rig->out.len, &arena, &back, &err))
        fail_msg("%s", err.text);
    assert_change(chg, &back);
    arena_release(&arena);
}

static void fuzz_records(const char *format)
{
    struct rig rig;
    struct change seeds[SEEDS];
    char *texts[SEEDS];
    size_t lens[SEEDS], taken = 0, rounds = env_number("CF_FUZZ_ROUNDS", 200000);
    rig_open(&rig, format, make_fuzz_table());
    make_seeds(&rig, seeds);
    for (size_t i = 0; i < SEEDS; i++) {
        rig_encode(&rig, &seeds[i]);
        lens[i] = rig.out.len;
        texts[i] = xmalloc(lens[i]);
        memcpy(texts[i], rig.out.data, lens[i]);
    }
    for (size_t n = 0; n < rounds; n++) {
        struct change chg;
        struct err err = ERR_INIT;
        size_t seed = n % SEEDS, len;
        char *bytes = mutate(texts[seed], lens[seed], &len);
        if (rig_decode_bytes(&rig, bytes, len, &chg, &err)) {
            taken++;
            assert_proper(&rig, &chg);
        } else {
            assert_true(err.code == ERR_PROTOCOL || err.code == ERR_NO_MEMORY);
            assert_true(err.text[0] != '\0');
        }
        free(bytes);
    }
    print_message("%s: %zu of %zu mutated records were still proper\n", format, taken, rounds);
    assert_true(taken != 0 && taken < rounds);
    for (size_t i = 0; i < SEEDS; i++)
        free(texts[i]);
    rig_close(&rig);
}

static void mutated_avro_records(void **state)
{
    fuzz_records("avro");
}

static void mutated_json_records(void **state)
{
    fuzz_records("json");
}

struct one_schema {
    const char *text;
};

static bool lookup_one(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    *ret_json = ((struct one_schema *)ctx)->text;
    return true;
}

/* Real records against mutated schemas: the plan may be anything, the record never fits it by right. */
static void fuzz_schemas(const char *format)
{
    struct rig rig;
    struct change seeds[SEEDS];
    size_t rounds = env_number("CF_FUZZ_ROUNDS", 200000) / 20;
    rig_open(&rig, format, make_fuzz_table());
    make_seeds(&rig, seeds);
    for (size_t n = 0; n < rounds; n++) {
        struct change chg;
        struct err err = ERR_INIT;
        struct decoder *dec;
        size_t len;
        char *bytes = mutate(rig.value_json, strlen(rig.value_json), &len);
        struct one_schema schema = {.text = xstrndup(bytes, len)};
        struct schema_source source = {.ctx = &schema, .lookup = lookup_one};
        assert_true(rig.ops->decoder_open(&source, &dec, &err));
        rig_encode(&rig, &seeds[n % SEEDS]);
        arena_clear(&rig.arena);
        if (!rig.ops->decode_value(dec, "t.s.x", 8, rig.out.data, rig.out.len, &rig.arena, &chg, &err))
            assert_true(err.text[0] != '\0');
        rig.ops->decoder_close(dec);
        free((char *)schema.text);
        free(bytes);
    }
    rig_close(&rig);
}

static void mutated_avro_schemas(void **state)
{
    fuzz_schemas("avro");
}

static void mutated_json_schemas(void **state)
{
    fuzz_schemas("json");
}

static void mutated_fences(void **state)
{
    struct fence_range range = {
        .stream = (char *)"shop.public.a", .partition = 3, .first_offset = 5, .next_offset = 9};
    struct fence fence = {.kind = FENCE_STREAM,
                          .id = 9,
                          .attempt = 1,
                          .pipeline = (char *)"shop",
                          .source_system_id = 7,
                          .timeline = 1,
                          .lsn = 77,
                          .marker = {.kind = MARKER_PING, .nonce = "abc"},
                          .ranges = &range,
                          .range_count = 1};
    struct strbuf sb = STRBUF_INIT(1 << 16), again = STRBUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    assert_true(fence_encode(&fence, &sb, &err));
    for (size_t n = 0; n < env_number("CF_FUZZ_ROUNDS", 200000) / 4; n++) {
        struct fence back;
        size_t len;
        char *bytes = mutate(sb.data, sb.len, &len);
        if (fence_decode(bytes, len, &back, &err)) {
            strbuf_clear(&again);
            if (!fence_encode(&back, &again, &err))
                fail_msg("%s", err.text);
            fence_release(&back);
        }
        free(bytes);
    }
    strbuf_release(&sb);
    strbuf_release(&again);
}

int main(void)
{
    rng_state = env_number("CF_FUZZ_SEED", 20261121) | 1;
    print_message("CF_FUZZ_SEED=%llu\n", (unsigned long long)rng_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutated_avro_records), cmocka_unit_test(mutated_json_records),
        cmocka_unit_test(mutated_avro_schemas), cmocka_unit_test(mutated_json_schemas),
        cmocka_unit_test(mutated_fences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
