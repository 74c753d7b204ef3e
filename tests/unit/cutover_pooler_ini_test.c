/* PgBouncer's configuration as a text: what is read where, what is put in, and that the way back is exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/attr.h"
#include "cutover/poolers/connstr.h"
#include "cutover/poolers/ini.h"
#include "cutover/poolers/ini_file.h"

static const struct connstr target = {
    .host = (char *)"db2", .port = (char *)"5433", .dbname = (char *)"new app"};

static void redirected(const char *value, const char *expected)
{
    struct strbuf out = STRBUF_INIT(4096);
    struct err err = ERR_INIT;
    struct connstr now;
    if (expected == NULL) {
        assert_false(connstr_redirect(value, strlen(value), &target, &out, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, "s3cret"));
    } else {
        assert_true(connstr_redirect(value, strlen(value), &target, &out, &err));
        assert_string_equal(out.data, expected);
        assert_true(connstr_read(out.data, out.len, &now, &err));
        assert_true(connstr_leads_to(&now, "app", &target));
        connstr_release(&now);
    }
    strbuf_release(&out);
}

static void connection_strings(void **state)
{
    redirected("", "host=db2 port=5433 dbname='new app'");
    redirected("host=db1", "host=db2 port=5433 dbname='new app'");
    redirected("dbname=app host=db1 port=1", "dbname='new app' host=db2 port=5433");
    redirected("host = db1  user=u password='it''s =x host=no'  pool_size=5",
               "host = db2  user=u password='it''s =x host=no'  pool_size=5 port=5433 dbname='new app'");
    redirected("host='a b' host=c", "host=db2 host=db2 port=5433 dbname='new app'");
    redirected("my_host=x", "my_host=x host=db2 port=5433 dbname='new app'");
    redirected("password='s3cret", NULL);
    redirected("password=s3cret nothing", NULL);
    redirected("=s3cret", NULL);
    redirected("password=", NULL);
    redirected("password='s3cret'x=1", NULL);
    redirected("password=s3cret\thost=db1", NULL);
}

static void what_a_connection_string_says(void **state)
{
    struct connstr c;
    struct err err = ERR_INIT;
    static const char text[] = "host=/run/pg port=6000 password='it''s' user=u host=db3";
    assert_true(connstr_read(text, strlen(text), &c, &err));
    assert_string_equal(c.host, "db3");
    assert_string_equal(c.password, "it's");
    assert_null(c.dbname);
    const struct connstr there = {.host = (char *)"db3", .port = (char *)"6000", .dbname = (char *)"app"};
    assert_true(connstr_leads_to(&c, "app", &there));
    assert_false(connstr_leads_to(&c, "other", &there));
    connstr_release(&c);
}

/* The entry of this name in [databases]; false if there is none or the text does not read. */
static bool find(const char *text, const char *name, struct ini_item *ret, struct err *err)
{
    struct ini_reader r;
    struct ini_item item;
    bool in = false, found = false;
    ini_reader_init(&r, text, strlen(text));
    for (;;) {
        if (!ini_next(&r, &item, err))
            return false;
        if (item.kind == INI_END)
            return found;
        if (item.kind == INI_SECTION)
            in = ini_is_named(text, &item, "databases");
        if (item.kind == INI_ENTRY && in && ini_is_named(text, &item, name)) {
            *ret = item;
            found = true;
        }
    }
}

static void there_and_back(const char *text, const char *name, const char *expected)
{
    struct ini_item item;
    struct err err = ERR_INIT;
    struct strbuf there = STRBUF_INIT(4096), again = STRBUF_INIT(4096), back = STRBUF_INIT(4096);
    assert_true(find(text, name, &item, &err));
    assert_int_equal(item.mark.len, 0);
    ini_put(text, strlen(text), &item, "id1", "host=new", &there);
    assert_string_equal(there.data, expected);
    assert_true(find(there.data, name, &item, &err));
    assert_true(item.mark.len > 0);
    assert_int_equal(item.value.len, strlen("host=new"));
    ini_put_back(there.data, there.len, &item, &back);
    struct ini_item before, after;
    assert_true(find(text, name, &before, &err) && find(back.data, name, &after, &err));
    assert_int_equal(after.all.len, before.all.len);
    assert_memory_equal(back.data + after.all.start, text + before.all.start, before.all.len);
    assert_int_equal(after.mark.len, 0);
    /* A second cutover keeps one comment. */
    ini_put(there.data, there.len, &item, "id2", "host=newer", &again);
    assert_true(find(again.data, name, &item, &err));
    assert_null(strstr(again.data, "id1"));
    assert_int_equal(strncmp(again.data + item.before.start, there.data + item.before.start, 3), 0);
    strbuf_release(&there);
    strbuf_release(&again);
    strbuf_release(&back);
}

static void entries(void **state)
{
    there_and_back("[databases]\napp = host=old\n", "app",
                   "[databases]\n;crossfade-before id1 app = host=old\napp = host=new\n");
    there_and_back("# c\n[pgbouncer]\napp = 1\n[databases]\n  app=host=old  \r\nother = host=x\n", "app",
                   "# c\n[pgbouncer]\napp = 1\n[databases]\n  ;crossfade-before id1 "
                   "app=host=old\napp=host=new  \r\nother = host=x\n");
    there_and_back("[databases] app = host=old", "app",
                   "[databases] \n;crossfade-before id1 app = host=old\napp = host=new");
    there_and_back("[databases]\n\"my \"\"app\"\t=\thost=old ; no comment\n;x\n", "my \"app",
                   "[databases]\n;crossfade-before id1 \"my \"\"app\"\t=\thost=old ; no comment\n\"my "
                   "\"\"app\"\t=\thost=new\n;x\n");
    there_and_back(
        "[databases]\napp = host=first\napp = host=old\n[users]\napp = pool_mode=session\n", "app",
        "[databases]\napp = host=first\n;crossfade-before id1 app = host=old\napp = host=new\n[users]\napp = "
        "pool_mode=session\n");
}

static void what_pgbouncer_refuses(void **state)
{
    static const char *const texts[] = {"[databases\napp = x\n", "[databases]\napp host=x\n",
                                        "[databases]\n\"app = x\n", "[databases]\na/b = x\n",
                                        "[databases]\n%includefile\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct ini_item item;
        struct err err = ERR_INIT;
        assert_false(find(texts[i], "app", &item, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, i == 0 ? "line 1" : "line 2"));
    }
}

/* A comment of ours that somebody has moved away from its entry is a comment. */
static void a_mark_belongs_to_the_entry_behind_it(void **state)
{
    struct ini_item item;
    struct err err = ERR_INIT;
    assert_true(
        find("[databases]\n;crossfade-before id b = host=z\na = host=x\nb = host=y\n", "b", &item, &err));
    assert_int_equal(item.mark.len, 0);
    assert_true(find("[databases]\n;crossfade-before id\nb = host=y\n", "b", &item, &err));
    assert_int_equal(item.mark.len, 0);
}

/* --- files --- */

static char folder[] = "/tmp/crossfade-ini-XXXXXX";

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static char *write_file(const char *name, const char *text)
{
    char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static void assert_file(const char *path, const char *expected)
{
    char text[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    assert_string_equal(text, expected);
}

static void included_files(void **state)
{
    struct ini_entry entry;
    struct err err = ERR_INIT;
    char *deep = write_file("deep.ini", "app = host=deep\n[users]\n");
    char *all = xasprintf("[databases]\napp = host=top\n%%include %s\napp = host=of_users\n", deep);
    char *top = write_file("top.ini", all);
    char *near = write_file("near.ini", "[databases]\n%include deep.ini  \n");
    char *loop = write_file("loop.ini", "[databases]\n%include loop.ini\n");
    char *star = write_file("star.ini", "[databases]\n* = host=x\n");
    assert_true(
        ini_entry_find(top, "app", &entry, &err)); /* the last one counts; what follows is of [users] */
    assert_string_equal(entry.path, deep);
    assert_string_equal(entry.now.host, "deep");
    ini_entry_release(&entry);
    assert_true(ini_entry_find(near, "app", &entry, &err));
    assert_string_equal(entry.path, deep);
    ini_entry_release(&entry);
    assert_false(ini_entry_find(loop, "app", &entry, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    err_clear(&err);
    assert_false(ini_entry_find(star, "app", &entry, &err));
    assert_non_null(strstr(err.text, "an entry of its own"));
    err_clear(&err);
    assert_false(ini_entry_find("/nowhere/p.ini", "app", &entry, &err));
    assert_int_equal(err.code, ERR_IO);
    free(deep);
    free(all);
    free(top);
    free(near);
    free(loop);
    free(star);
}

static void a_file_is_replaced_at_once(void **state)
{
    struct ini_entry entry;
    struct err err = ERR_INIT;
    struct stat before, after;
    struct strbuf text = STRBUF_INIT(4096);
    char *path = write_file("p.ini", "[databases]\napp = host=old\n"), *link_path = path_of("link.ini");
    char *new_path = path_of("p.ini.crossfade-new");
    free(write_file("p.ini.crossfade-new", "of one that was killed"));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_true(ini_entry_find(link_path, "app", &entry, &err) && ini_entry_writable(&entry, &err));
    strbuf_adds(&text, "new text\n");
    assert_true(ini_entry_replace(&entry, &text, &err));
    assert_file(path, "new text\n");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_true(after.st_ino != before.st_ino);
    assert_int_equal(lstat(link_path, &after), 0);
    assert_true(S_ISLNK(after.st_mode));
    assert_int_equal(access(new_path, F_OK), -1);
    /* Somebody else was quicker. */
    assert_false(ini_entry_replace(&entry, &text, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(access(new_path, F_OK), -1);
    ini_entry_release(&entry);
    strbuf_release(&text);
    free(path);
    free(link_path);
    free(new_path);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"deep.ini", "top.ini", "near.ini", "loop.ini",
                                        "star.ini", "p.ini",   "link.ini"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = path_of(names[i]);
        (void)unlink(path);
        free(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_strings),
        cmocka_unit_test(what_a_connection_string_says),
        cmocka_unit_test(entries),
        cmocka_unit_test(what_pgbouncer_refuses),
        cmocka_unit_test(a_mark_belongs_to_the_entry_behind_it),
        cmocka_unit_test(included_files),
        cmocka_unit_test(a_file_is_replaced_at_once),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
