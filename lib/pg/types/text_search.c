/*
 * Owns: the text form of tsvector and tsquery. Wire forms:
 *
 * - tsvector: int32 count; count × (lexeme NUL, uint16 positions, positions × uint16, weight in the top 2
 * bits)
 * - tsquery: int32 count; items in prefix order, right operand first. A value: byte 1, byte weights, byte
 *   prefix, lexeme NUL. An operator: byte 2, byte kind (1 not, 2 and, 3 or, 4 phrase: int16 distance follows)
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

enum { OPERATOR_NOT = 1, OPERATOR_AND, OPERATOR_OR, OPERATOR_PHRASE };

static bool lexeme(struct text_out *t, struct wire_in *in)
{
    const unsigned char *end = in->left > 0 ? memchr(in->p, 0, in->left) : NULL;
    if (end == NULL)
        return text_bad(t, "lexeme");
    strbuf_addc(t->out, '\'');
    for (; in->p < end; in->p++, in->left--) {
        if (*in->p == '\'' || *in->p == '\\')
            strbuf_addc(t->out, (char)*in->p);
        strbuf_addc(t->out, (char)*in->p);
    }
    strbuf_addc(t->out, '\'');
    (void)wire_u8(in);
    return true;
}

bool text_tsvector(struct text_out *t, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_addc(t->out, ' ');
        if (!lexeme(t, in))
            return false;
        uint32_t positions = wire_u16(in);
        for (uint32_t n = 0; n < positions && !in->failed; n++) {
            unsigned v = wire_u16(in), weight = v >> 14;
            strbuf_addf(t->out, "%c%u", n == 0 ? ':' : ',', v & 0x3fff);
            if (weight > 0)
                strbuf_addc(t->out, (char)('D' - weight));
        }
    }
    return true;
}

struct query_item {
    struct wire_in value; /* of an operatorerand: from its weights on */
    int left; /* of an operatorerator with two operands: index of the left one; the right one follows it */
    unsigned char op; /* 0 = operand */
    uint16_t distance;
};

static void read_item(struct wire_in *in, struct query_item *item)
{
    unsigned kind = wire_u8(in);
    *item = (struct query_item){.value = *in};
    if (kind == 1) {
        (void)wire_u16(in);
        const unsigned char *end = in->left > 0 ? memchr(in->p, 0, in->left) : NULL;
        if (end == NULL)
            in->failed = true;
        else
            (void)wire_bytes(in, (size_t)(end - in->p) + 1);
        return;
    }
    item->op = wire_u8(in);
    if (kind != 2 || item->op < OPERATOR_NOT || item->op > OPERATOR_PHRASE)
        in->failed = true;
    if (item->op == OPERATOR_PHRASE)
        item->distance = wire_u16(in);
}

/* Finds the left operands: from the end, each item knows where the tree below it ends. */
static bool link_items(struct query_item *items, int *ends, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        int end = i + 1;
        if (items[i].op != 0 && end < count) {
            end = ends[end];
            if (items[i].op != OPERATOR_NOT) {
                items[i].left = end;
                end = end < count ? ends[end] : count + 1;
            }
        } else if (items[i].op != 0) {
            end = count + 1;
        }
        if (end > count)
            return false;
        ends[i] = end;
    }
    return ends[0] == count;
}

static bool operand(struct text_out *t, struct wire_in in)
{
    unsigned weights = wire_u8(&in), prefix = wire_u8(&in);
    if (!lexeme(t, &in))
        return false;
    if (weights != 0 || prefix != 0)
        strbuf_addc(t->out, ':');
    if (prefix != 0)
        strbuf_addc(t->out, '*');
    for (unsigned bit = 8, c = 'A'; bit > 0; bit >>= 1, c++) {
        if ((weights & bit) != 0)
            strbuf_addc(t->out, (char)c);
    }
    return true;
}

static int priority(unsigned op_)
{
    static const int table[] = {
        [OPERATOR_NOT] = 4, [OPERATOR_AND] = 2, [OPERATOR_OR] = 1, [OPERATOR_PHRASE] = 3};
    return table[op_];
}

/* `right_of`: the operator whose right operand this is, or 0. The server drops the parentheses of a & (b &
 * c), which then reads back as (a & b) & c: another value, though with the same meaning. */
static bool query_tree(struct text_out *t, const struct query_item *items, int at, int parent,
                       unsigned right_of, int depth)
{
    const struct query_item *item = &items[at];
    if (item->op == 0)
        return operand(t, item->value);
    if (depth > TSQUERY_DEPTH_MAX)
        return err_set(t->err, ERR_UNSUPPORTED, "a tsquery is nested deeper than %d", TSQUERY_DEPTH_MAX);
    int own = priority(item->op);
    bool parentheses = own < parent || (item->op == right_of && (t->exact || right_of == OPERATOR_PHRASE));
    if (parentheses)
        strbuf_adds(t->out, "( ");
    if (item->op == OPERATOR_NOT) {
        strbuf_addc(t->out, '!');
        if (!query_tree(t, items, at + 1, own, 0, depth + 1))
            return false;
    } else {
        if (!query_tree(t, items, item->left, own, 0, depth + 1))
            return false;
        if (item->op == OPERATOR_PHRASE && item->distance != 1)
            strbuf_addf(t->out, " <%d> ", (int16_t)item->distance);
        else
            strbuf_adds(t->out, item->op == OPERATOR_PHRASE ? " <-> "
                                : item->op == OPERATOR_AND  ? " & "
                                                            : " | ");
        if (!query_tree(t, items, at + 1, own, item->op, depth + 1))
            return false;
    }
    if (parentheses)
        strbuf_adds(t->out, " )");
    return true;
}

bool text_tsquery(struct text_out *t, struct wire_in *in)
{
    uint32_t count = wire_u32(in);
    if (count == 0)
        return true;
    if (in->failed || count > in->left / 2) /* an item takes two bytes at least */
        return text_bad(t, "tsquery");
    struct query_item *items = calloc(count, sizeof *items);
    int *ends = calloc(count, sizeof *ends);
    bool ok = items != NULL && ends != NULL;
    if (!ok)
        err_set(t->err, ERR_NO_MEMORY, "a tsquery of %u items", count);
    for (uint32_t i = 0; ok && i < count; i++)
        read_item(in, &items[i]);
    if (ok && (in->failed || !link_items(items, ends, (int)count)))
        ok = text_bad(t, "tsquery");
    ok = ok && query_tree(t, items, 0, 0, 0, 0);
    free(items);
    free(ends);
    return ok;
}
