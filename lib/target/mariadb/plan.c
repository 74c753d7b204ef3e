/* Owns: may this field of the source go into this column, and by which function? What depends on the value is the function's to
 * say; here is refused what could never be kept. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "mariadb.h"

static const struct {
    const char *semantic;
    enum md_source source;
} semantics[] = {
    {"io.debezium.time.Date", MD_SRC_DATE},
    {"org.apache.kafka.connect.data.Date", MD_SRC_DATE},
    {"io.debezium.time.MicroTime", MD_SRC_TIME},
    {"io.debezium.time.Time", MD_SRC_TIME},
    {"org.apache.kafka.connect.data.Time", MD_SRC_TIME},
    {"io.debezium.time.MicroTimestamp", MD_SRC_TIMESTAMP},
    {"io.debezium.time.Timestamp", MD_SRC_TIMESTAMP},
    {"org.apache.kafka.connect.data.Timestamp", MD_SRC_TIMESTAMP},
    {"io.debezium.time.ZonedTimestamp", MD_SRC_TIMESTAMPTZ},
    {"io.debezium.data.Json", MD_SRC_JSON},
    {"io.debezium.data.Uuid", MD_SRC_UUID},
    {"io.debezium.data.Enum", MD_SRC_ENUM},
    {"io.debezium.data.Bits", MD_SRC_BIT},
    {"io.debezium.data.Xml", MD_SRC_TEXT},
    {"io.debezium.data.Ltree", MD_SRC_TEXT},
    {"org.apache.kafka.connect.data.Decimal", MD_SRC_NUMERIC},
    {"io.debezium.data.VariableScaleDecimal", MD_SRC_NUMERIC},
};

static const struct {
    const char *name;
    enum md_source source;
} source_types[] = {
    {"NUMERIC", MD_SRC_NUMERIC}, {"MONEY", MD_SRC_MONEY}, {"BIT", MD_SRC_BIT},     {"VARBIT", MD_SRC_BIT},
    {"INET", MD_SRC_INET},       {"CIDR", MD_SRC_INET},   {"TEXT", MD_SRC_TEXT},   {"VARCHAR", MD_SRC_TEXT},
    {"BPCHAR", MD_SRC_BPCHAR},   {"NAME", MD_SRC_TEXT},   {"CITEXT", MD_SRC_TEXT}, {"CHAR", MD_SRC_TEXT},
    {"XML", MD_SRC_TEXT},
};

static enum md_source string_source(const struct field *f)
{
    if (f->source_type == NULL)
        return MD_SRC_TEXT;
    if (f->source_type[0] == '_')
        return MD_SRC_ARRAY;
    for (size_t i = 0; i < ARRAY_LEN(source_types); i++) {
        if (strcmp(f->source_type, source_types[i].name) == 0)
            return source_types[i].source;
    }
    return MD_SRC_OTHER;
}

static enum md_source classify(const struct field *f)
{
    if (f->phys == PHYS_ARRAY)
        return MD_SRC_ARRAY;
    if (f->semantic != NULL) {
        bool is_array = f->source_type != NULL && f->source_type[0] == '_' && f->phys == PHYS_STRING;
        for (size_t i = 0; !is_array && i < ARRAY_LEN(semantics); i++) {
            if (strcmp(f->semantic, semantics[i].semantic) == 0)
                return semantics[i].source;
        }
        return is_array ? MD_SRC_ARRAY : MD_SRC_OTHER;
    }
    switch (f->phys) {
    case PHYS_BOOL:
        return MD_SRC_BOOL;
    case PHYS_INT16:
        return MD_SRC_INT2;
    case PHYS_INT32:
        return MD_SRC_INT4;
    case PHYS_INT64:
        return MD_SRC_INT8;
    case PHYS_FLOAT32:
        return MD_SRC_FLOAT4;
    case PHYS_FLOAT64:
        return MD_SRC_FLOAT8;
    case PHYS_BYTES:
        return MD_SRC_BYTES;
    case PHYS_STRING:
        return f->text_encoding != NULL && f->source_type != NULL && strcmp(f->source_type, "BYTEA") == 0
                   ? MD_SRC_BYTES
                   : string_source(f);
    default:
        return MD_SRC_OTHER;
    }
}

static bool refuse(const struct md_column *col, const char *reason, struct err *err)
{
    struct strbuf type = STRBUF_INIT(1000);
    pg_field_type_print(col->field, &type);
    err_set(err, ERR_SCHEMA, "column %s: %s of the source does not fit %s: %s", col->field->name, type.data,
            col->type_text, reason);
    strbuf_release(&type);
    return false;
}

static bool way(struct md_column *col, enum md_bind bind, md_put_fn *put)
{
    col->bind = bind;
    col->put = put;
    return true;
}

/* Decimal digits that hold every value of the integer type. */
static int digits_of(enum md_source source)
{
    return source == MD_SRC_INT2 ? 5 : source == MD_SRC_INT4 ? 10 : 19;
}

static bool plan_integer(struct md_column *col, struct err *err)
{
    static const enum md_type least[] = {
        [MD_SRC_INT2] = MD_SMALLINT, [MD_SRC_INT4] = MD_INT, [MD_SRC_INT8] = MD_BIGINT};
    if (col->type >= MD_TINYINT && col->type <= MD_BIGINT) {
        if (col->is_unsigned)
            return refuse(col, "an unsigned column has no negative numbers", err);
        if (col->type < least[col->source])
            return refuse(col, "it is too small for some of its values", err);
        return way(col, MD_BIND_INT, md_put_int);
    }
    if (col->type == MD_DECIMAL && !col->is_unsigned && col->precision - col->scale >= digits_of(col->source))
        return way(col, MD_BIND_INT, md_put_int);
    if (col->type == MD_DOUBLE && col->source != MD_SRC_INT8 && !col->is_unsigned &&
        strchr(col->type_text, '(') == NULL)
        return way(col, MD_BIND_INT, md_put_int);
    return refuse(col, "it cannot hold every value exactly", err);
}

static bool plan_float(struct md_column *col, struct err *err)
{
    if (col->is_unsigned || strchr(col->type_text, '(') != NULL) /* double(10,0) rounds, too */
        return refuse(col, "an unsigned column, or one with a number of digits, does not hold every value",
                      err);
    if (col->type == MD_DOUBLE)
        return way(col, MD_BIND_DOUBLE, md_put_float);
    if (col->type == MD_FLOAT && col->source == MD_SRC_FLOAT4)
        return way(col, MD_BIND_FLOAT, md_put_float);
    return refuse(col, "it does not hold every value exactly", err);
}

static bool plan_time(struct md_column *col, struct err *err)
{
    if (col->source == MD_SRC_DATE && col->type == MD_DATE)
        return way(col, MD_BIND_TEXT, md_put_date);
    if (col->source == MD_SRC_TIME && col->type == MD_TIME)
        return way(col, MD_BIND_TEXT, md_put_time);
    if ((col->source == MD_SRC_TIMESTAMP || col->source == MD_SRC_TIMESTAMPTZ) && col->type == MD_DATETIME)
        return way(col, MD_BIND_TEXT, md_put_datetime);
    if (col->source == MD_SRC_TIMESTAMPTZ && col->type == MD_TIMESTAMP)
        return way(col, MD_BIND_TEXT, md_put_datetime);
    return refuse(col, "it is another kind of time", err);
}

/* What is not a column of text. */
static bool plan_typed(struct md_column *col, struct err *err)
{
    switch (col->source) {
    case MD_SRC_BOOL:
        if (col->type == MD_TINYINT || col->type == MD_BIT)
            return way(col, MD_BIND_INT, md_put_bool);
        break;
    case MD_SRC_INT2:
    case MD_SRC_INT4:
    case MD_SRC_INT8:
        return plan_integer(col, err);
    case MD_SRC_FLOAT4:
    case MD_SRC_FLOAT8:
        return plan_float(col, err);
    case MD_SRC_NUMERIC:
    case MD_SRC_MONEY:
    case MD_SRC_OTHER: /* a domain over numeric, say: each value is looked at */
        if (col->type == MD_DECIMAL && !col->is_unsigned)
            return way(col, MD_BIND_DECIMAL, md_put_decimal);
        break;
    case MD_SRC_BYTES:
        if (col->type == MD_BINARY || col->type == MD_VARBINARY || col->type == MD_BLOB)
            return way(col, MD_BIND_BYTES, md_put_bytes);
        break;
    case MD_SRC_DATE:
    case MD_SRC_TIME:
    case MD_SRC_TIMESTAMP:
    case MD_SRC_TIMESTAMPTZ:
        return plan_time(col, err);
    case MD_SRC_UUID:
        if (col->type == MD_UUID)
            return way(col, MD_BIND_TEXT, md_put_uuid);
        if ((col->type == MD_BINARY || col->type == MD_VARBINARY) && col->max_bytes == 16)
            return way(col, MD_BIND_BYTES, md_put_uuid_bytes);
        break;
    case MD_SRC_BIT:
        if (col->type == MD_BIT &&
            strcmp(col->field->source_type != NULL ? col->field->source_type : "", "VARBIT") != 0 &&
            col->field->source_length == col->precision)
            return way(col, MD_BIND_INT, md_put_bit);
        if (col->type == MD_BIT)
            return refuse(col, "only bit(n) goes into a bit(n) of the same length", err);
        break;
    case MD_SRC_INET:
        if (col->type == MD_INET4 || col->type == MD_INET6)
            return way(col, MD_BIND_TEXT, md_put_inet);
        break;
    default:
        break;
    }
    return refuse(col, "there is no exact way from one to the other", err);
}

/* Text that is ASCII whatever the value: any character set will do. */
static bool is_ascii(const struct md_column *col)
{
    switch (col->source) {
    case MD_SRC_JSON:
    case MD_SRC_ARRAY:
    case MD_SRC_BPCHAR:
    case MD_SRC_ENUM:
    case MD_SRC_TEXT:
    case MD_SRC_OTHER:
        return false;
    default:
        return true;
    }
}

static bool plan_text(struct md_column *col, struct err *err)
{
    if (!col->utf8mb4 && !is_ascii(col))
        return refuse(
            col, "its character set is not utf8mb4 (ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4)", err);
    if (col->key && !col->exact_order && !is_ascii(col))
        return refuse(
            col,
            "its collation takes different texts for equal, and it is part of the key: use utf8mb4_bin or "
            "utf8mb4_nopad_bin",
            err);
    if (col->type == MD_ENUM)
        return way(col, MD_BIND_TEXT, md_put_enum);
    if (col->source == MD_SRC_ARRAY && col->json)
        return way(col, MD_BIND_TEXT, md_put_array);
    if (col->json && col->source != MD_SRC_JSON)
        return refuse(col, "only json, jsonb and arrays go into a json column; others into longtext", err);
    return way(col, MD_BIND_TEXT, md_put_text);
}

/* Is the datum's own string PostgreSQL's text form? See pg/types/read.h. */
static bool is_plain_text(const struct md_column *col)
{
    const struct field *f = col->field;
    if (f->phys != PHYS_STRING || f->text_encoding != NULL || f->decimal_precision != 0)
        return false;
    switch (col->source) {
    case MD_SRC_NUMERIC:
    case MD_SRC_UUID:
    case MD_SRC_JSON:
    case MD_SRC_BPCHAR:
    case MD_SRC_ENUM:
    case MD_SRC_TEXT:
        return true;
    case MD_SRC_BIT:
    case MD_SRC_INET:
    case MD_SRC_ARRAY:
    case MD_SRC_OTHER:
        return f->semantic == NULL;
    case MD_SRC_MONEY: /* hundredths, which is what a decimal takes; as text it has a currency sign */
        return col->type == MD_DECIMAL;
    default:
        return false;
    }
}

bool md_plan(struct md_target *mt, struct md_column *col, struct err *err)
{
    col->source = classify(col->field);
    col->plain_text = is_plain_text(col);
    if (!pg_writer_plan(col->field, col->source == MD_SRC_BYTES ? PG_OID_BYTEA : PG_OID_TEXT, -1, mt->types,
                        NULL, &col->text, err))
        return false;
    switch (col->type) {
    case MD_CHAR:
    case MD_VARCHAR:
    case MD_TEXT:
    case MD_ENUM:
        return plan_text(col, err);
    case MD_TYPE_UNKNOWN:
        return refuse(col, "this type is not written here", err);
    default:
        return plan_typed(col, err);
    }
}

void md_column_release(struct md_column *col)
{
    for (size_t i = 0; i < col->label_count; i++)
        free(col->labels[i]);
    free(col->labels);
    free(col->type_text);
}
