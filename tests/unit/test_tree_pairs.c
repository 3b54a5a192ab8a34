/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree_pairs.h"

#include <errno.h>
#include <unistd.h>

#include "backup_example.h"
#include "bytes.h"
#include "fixture.h"
#include "tap.h"

#define FOLDER(domain_, path_) .domain = domain_, .path = path_, .mode = 040755

static struct mb_err err;

struct seen {
	struct mb_tree *trees[2];
	struct buf text; /* "<>HomeDomain/a\n": in both, in one */
	int stop_at;	 /* the visit that ends it */
	const char *skip;
};

static int add_line(struct seen *s, const char *mark, struct mb_slice a,
		    struct mb_slice b)
{
	return buf_add(&s->text, mark, strlen(mark)) ||
	       buf_add(&s->text, a.ptr, a.len) ||
	       (b.len && buf_add_u8(&s->text, '/')) ||
	       buf_add(&s->text, b.ptr, b.len) || buf_add_u8(&s->text, '\n');
}

static int enter(void *arg, struct mb_slice domain)
{
	struct seen *s = arg;

	return s->skip && mb_slice_equal(domain, mb_slice_of(s->skip)) ?
		       TREE_PAIRS_SKIP :
		       0;
}

static int visit(void *arg, const struct tree_pair *pair)
{
	struct seen *s = arg;
	char mark[3] = { '<', '>', '\0' };

	for (int i = 0; i < 2; i++) {
		if (!pair->node[i])
			mark[i] = '.';
		else if (mb_tree_is_made_up(s->trees[i], pair->node[i]))
			mark[i] = '?';
		else if (mb_tree_get_type(s->trees[i], pair->node[i]) == MB_DIR)
			mark[i] = '/';
	}
	add_line(s, mark, pair->domain, pair->path);
	return s->stop_at && --s->stop_at == 0 ? 77 : 0;
}

static int leave(void *arg, struct mb_slice domain)
{
	return add_line(arg, "end of ", domain, mb_slice_of(""));
}

static void open_tree(struct mb_backup **b, struct mb_tree **tree,
		      const struct example *list, size_t count)
{
	const char *dir = temp_dir();

	put_example(dir, list, count, false);
	if (mb_backup_open(b, dir, &err) < 0 || mb_backup_load(*b, &err) < 0 ||
	    mb_tree_open(tree, *b, MB_VIEW_DOMAINS, &err) < 0)
		abort();
}

/* Both ways; the text of the first way is checked. */
static void walk(const struct example *a, size_t a_count,
		 const struct example *b, size_t b_count, struct seen *s,
		 int want_rc, const char *want)
{
	const struct pair_visitor visitor = { enter, visit, leave, s };
	struct mb_backup *backups[2] = { NULL };
	struct crew *crew = NULL;

	open_tree(&backups[0], &s->trees[0], a, a_count);
	open_tree(&backups[1], &s->trees[1], b, b_count);
	if (crew_open(&crew) < 0)
		abort();
	CHECK_INT(tree_pairs_walk(s->trees, crew, &visitor, &err), want_rc);
	buf_add_u8(&s->text, '\0');
	CHECK_TEXT((char *)s->text.ptr, want);
	crew_free(crew);
	for (int i = 0; i < 2; i++) {
		mb_tree_free(s->trees[i]);
		mb_backup_free(backups[i]);
	}
	buf_release(&s->text);
}

#define WALK(a, b, want)                                     \
	do {                                                 \
		struct seen s = { 0 };                       \
		walk(a, COUNT(a), b, COUNT(b), &s, 0, want); \
	} while (0)

static const struct example ours[] = {
	{ FOLDER("A", "") },
	{ FOLDER("A", "both") },
	{ PUT("A", "both/1", "") },
	{ PUT("A", "both/2", "") },
	{ PUT("A", "made up/deep/x", "") },
	{ PUT("B", "only ours", "") },
};

static const struct example theirs[] = {
	{ FOLDER("A", "") },
	{ PUT("A", "a new one", "") },
	{ FOLDER("A", "both") },
	{ PUT("A", "both/2", "") },
	{ PUT("A", "both/3", "") },
	{ FOLDER("A", "made up") },
	{ PUT("A", "made up/deep/x", "") },
	{ PUT("C", "only theirs", "") },
};

CASE(each_entry_comes_once_in_the_order_of_its_name)
{
	WALK(ours, theirs,
	     "//A\n"
	     ".>A/a new one\n"
	     "//A/both\n"
	     "<.A/both/1\n"
	     "<>A/both/2\n"
	     ".>A/both/3\n"
	     "?/A/made up\n"
	     "?\?A/made up/deep\n"
	     "<>A/made up/deep/x\n"
	     "end of A\n"
	     "?.B\n"
	     "<.B/only ours\n"
	     "end of B\n"
	     ".?C\n"
	     ".>C/only theirs\n"
	     "end of C\n");
}

CASE(names_that_are_shown_alike_are_told_apart)
{
	static const struct example a[] = {
		{ PUT("A", "x/", "") },	   /* "x%2F" */
		{ PUT("A", "x%2F", "") },  /* "x%2F%2" */
		{ PUT("A", "x!", "") },	   /* before both, as recorded */
		{ PUT("A", "..", "") },	   /* "%2E%2E" */
		{ PUT("A/b", "y/z", "") }, /* "A%2Fb" */
		{ PUT("A%2Fb", "q", "") }, /* "A%2Fb%2" */
	};
	static const struct example b[] = {
		{ PUT("A", "x%2F", "") }, /* shown so */
		{ PUT("A", "x", "") },
		{ PUT("A", "%2E%2E", "") },
		{ PUT("A%2Fb", "q", "") },
	};

	WALK(a, b,
	     "?\?A\n"
	     ".>A/%2E%2E\n"
	     "<.A/..\n"
	     ".>A/x\n"
	     "<.A/x!\n"
	     "<>A/x%2F\n"
	     "<.A/x/\n"
	     "end of A\n"
	     "?\?A%2Fb\n"
	     "<>A%2Fb/q\n"
	     "end of A%2Fb\n"
	     "?.A/b\n"
	     "?.A/b/y\n"
	     "<.A/b/y/z\n"
	     "end of A/b\n");
}

CASE(folders_without_a_record_have_the_names_that_the_paths_below_have)
{
	static const struct example a[] = {
		{ PUT("A", "%/a/%/%2F/x", "") },
		{ PUT("A", "%/a/%/%2F/y//z", "") },
		{ PUT("A", "%/a/%%/%3/x", "") },
		{ PUT("A", "%/b/%/x", "") },
	};
	static const struct example b[] = {
		{ PUT("A", "%/a/%///x", "") }, /* "%2F%2F" */
		{ PUT("A", "%/a/%/%2F/x", "") },
		{ FOLDER("A", "%/a/%/%2F/y") },
	};

	WALK(a, b,
	     "?\?A\n"
	     "?\?A/%\n"
	     "?\?A/%/a\n"
	     "?\?A/%/a/%\n"
	     "?\?A/%/a/%/%2F\n"
	     "<>A/%/a/%/%2F/x\n"
	     "?/A/%/a/%/%2F/y\n"
	     "<.A/%/a/%/%2F/y//z\n"
	     ".>A/%/a/%///x\n"
	     "?.A/%/a/%%\n"
	     "?.A/%/a/%%/%3\n"
	     "<.A/%/a/%%/%3/x\n"
	     "?.A/%/b\n"
	     "?.A/%/b/%\n"
	     "<.A/%/b/%/x\n"
	     "end of A\n");
}

CASE(a_folder_and_a_file_of_one_path_find_their_like)
{
	static const struct example file[] = { { PUT("A", "t", "") } };
	static const struct example folder[] = { { PUT("A", "t/below", "") } };
	static const struct example both[] = {
		{ PUT("A", "t", "") }, /* "t%file" */
		{ PUT("A", "t/below", "") },
	};

	WALK(file, folder,
	     "?\?A\n"
	     "<?A/t\n"
	     ".>A/t/below\n"
	     "end of A\n");
	WALK(file, both,
	     "?\?A\n"
	     "<>A/t\n"
	     ".?A/t\n"
	     ".>A/t/below\n"
	     "end of A\n");
	WALK(both, folder,
	     "?\?A\n"
	     "<.A/t\n"
	     "?\?A/t\n"
	     "<>A/t/below\n"
	     "end of A\n");
	WALK(both, both,
	     "?\?A\n"
	     "<>A/t\n"
	     "?\?A/t\n"
	     "<>A/t/below\n"
	     "end of A\n");
}

CASE(a_domain_can_be_left_out)
{
	struct seen s = { .skip = "A" };

	walk(ours, COUNT(ours), theirs, COUNT(theirs), &s, 0,
	     "?.B\n"
	     "<.B/only ours\n"
	     "end of B\n"
	     ".?C\n"
	     ".>C/only theirs\n"
	     "end of C\n");
}

CASE(another_result_ends_it)
{
	struct seen s = { .stop_at = 3 };

	walk(ours, COUNT(ours), theirs, COUNT(theirs), &s, 77,
	     "//A\n"
	     ".>A/a new one\n"
	     "//A/both\n");
}

int main(void)
{
	RUN(each_entry_comes_once_in_the_order_of_its_name);
	RUN(names_that_are_shown_alike_are_told_apart);
	RUN(folders_without_a_record_have_the_names_that_the_paths_below_have);
	RUN(a_folder_and_a_file_of_one_path_find_their_like);
	RUN(a_domain_can_be_left_out);
	RUN(another_result_ends_it);
	return tap_end();
}
