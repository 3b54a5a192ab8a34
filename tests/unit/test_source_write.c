/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree_example.h"

/* ---- a new backup of it ---- */

static struct {
	const char *dir;
	int fd;
	struct mb_writer *writer;
	struct mb_writer_counts counts;
	struct mb_backup *b;
	struct mb_tree *tree;
} made;

static void leave_made(void)
{
	mb_tree_free(made.tree);
	mb_backup_free(made.b);
	mb_writer_free(made.writer);
	close(made.fd);
	memset(&made, 0, sizeof(made));
}

static void begin_made(void)
{
	struct mb_writer_wish wish = { .like = source_get_base(now.s),
				       .about = source_get_about(now.s),
				       .counts = &made.counts };

	made.dir = temp_dir();
	made.fd = open_dir(made.dir);
	CHECK_INT(mb_writer_open(&made.writer, made.fd, &wish, NULL), 0);
}

static void end_made(void)
{
	CHECK_AT(mb_writer_commit(made.writer, false, &now.err) == 0, "%s",
		 now.err.text);
	CHECK_INT(mb_backup_open(&made.b, made.dir, NULL), 0);
	CHECK_INT(mb_writer_unlock(made.writer, made.b, NULL), 0);
	CHECK_INT(mb_backup_load(made.b, NULL), 0);
	CHECK_INT(mb_tree_open(&made.tree, made.b, MB_VIEW_DOMAINS, NULL), 0);
}

/* @without: leave this entry out */
static void make(size_t without)
{
	begin_made();
	for (size_t i = 0; i < now.s->count; i++)
		if (i != without)
			CHECK_AT(source_write(now.s, i, made.writer,
					      &now.err) == 0,
				 "%s", now.err.text);
	end_made();
}

static int compare(void)
{
	return source_compare(now.s, made.b, made.tree, is_cancelled, &now.err);
}

static bool record_made(const char *path, struct mb_record *rec)
{
	uint32_t node;

	return CHECK_INT(mb_tree_walk(made.tree, path, &node, NULL), 0) &&
	       CHECK_INT(mb_tree_record(made.tree, node, rec, NULL), 0);
}

static bool holds(const char *path, const char *content)
{
	struct mb_record rec = { 0 };
	struct mb_reader *reader = NULL;
	char piece[100];
	ssize_t n = -1;

	if (record_made(path, &rec) &&
	    mb_reader_open(&reader, made.b, &rec, NULL) == 0)
		n = mb_reader_pread(reader, piece, sizeof(piece), 0);
	mb_reader_free(reader);
	mb_record_release(&rec);
	return n == (ssize_t)strlen(content) &&
	       !memcmp(piece, content, (size_t)n);
}

static int count_xattr(void *arg, struct mb_slice name, struct mb_slice value)
{
	(void)name, (void)value;
	++*(int *)arg;
	return 0;
}

static int xattrs_made(const char *path)
{
	struct mb_record rec = { 0 };
	int count = 0;

	if (record_made(path, &rec))
		mb_record_each_xattr(&rec, count_xattr, &count);
	mb_record_release(&rec);
	return count;
}

CASE(what_was_written_is_what_there_is)
{
	void (*const all[])(const char *) = {
		same_size_and_time, shorter,	      longer,
		another_mode,	    another_time,     more_attributes,
		fewer_attributes,   other_attributes, another_target,
		file_for_link,	    folder_for_file,  link_for_folder,
		new_entries,	    odd_names,	      moved_file,
		changed_places,
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);

			all[i](p.copy);
			must_scan(p.copy, NULL);
			make(SIZE_MAX);
			CHECK_AT(compare() == 0, "%zu: %s", i, now.err.text);
			leave_made();
			leave();
		}
}

CASE(what_was_edited_is_in_the_new_backup)
{
	struct pair p = make_pair(true, true);
	struct mb_record rec = { 0 };

	put_text(p.copy, "HomeDomain/a.txt", "edited");
	put_text(p.copy, "NewDomain/new", "new");
	set_text(in(p.copy, "NewDomain/new"), OURS "birthtime", "1234567890");
	set_times(in(p.copy, "NewDomain/new"), EXAMPLE_TIME - 7);
	chmod(in(p.copy, "NewDomain/new"), 04711);
	fewer_attributes(p.copy);
	set_text(in(p.copy, "HomeDomain/Library"), "user.com.example.dir", "d");
	set_text(in(p.copy, "HomeDomain/Library"), "user.%larder.x", "escaped");
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK(holds("HomeDomain/a.txt", "edited"));
	CHECK(holds("HomeDomain/b.txt", "the second file"));
	CHECK(holds("NewDomain/new", "new"));
	CHECK_INT(xattrs_made("HomeDomain/b.txt"), 0);
	CHECK_INT(xattrs_made("HomeDomain/Library"), 2);
	/* ours are no attributes of the phone */
	CHECK_INT(xattrs_made("NewDomain/new"), 0);
	if (record_made("NewDomain/new", &rec)) {
		CHECK_INT(rec.mode, 0104711);
		CHECK_INT(rec.mtime.tv_sec, EXAMPLE_TIME - 7);
		CHECK_INT(rec.birth.tv_sec, 1234567890);
		CHECK_INT(rec.uid, 501);
		CHECK_INT(rec.protection_class, 3);
		CHECK_INT(rec.wrapped_key_len, 44);
	}
	if (record_made("HomeDomain/a.txt", &rec)) {
		CHECK_INT(rec.protection_class, 4);
		CHECK_INT(rec.birth.tv_sec, EXAMPLE_TIME - 1);
		/* no more a name of the same file as the others */
		CHECK(rec.inode > 7);
	}
	if (record_made("HomeDomain/b.txt", &rec))
		CHECK(rec.inode > 7);
	if (record_made("HomeDomain/Library/deep", &rec))
		CHECK_INT(rec.inode, 7);
	mb_record_release(&rec);
	leave_made();
	leave();
}

/* a file system that has no attributes has lost none */
CASE(attributes_that_a_copy_lost_are_those_of_the_backup)
{
	struct pair p = make_pair(false, false);

	put_text(p.copy, "HomeDomain/b.txt", "edited");
	must_scan(p.copy, NULL);
	CHECK_TEXT(edits(), "changed HomeDomain/b.txt\n");
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK_INT(xattrs_made("HomeDomain/b.txt"), 1);
	leave_made();
	leave();
}

CASE(attributes_that_a_device_does_not_keep_are_left_out_and_told)
{
	struct pair p = make_pair(false, true);
	char large[3000];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	put_text(p.copy, "HomeDomain/new", "x");
	set_text(in(p.copy, "HomeDomain/new"), "user.large", large);
	put_text(p.copy, "HomeDomain/new2", "x");
	set_text(in(p.copy, "HomeDomain/new2"), "user.caf\xe9", "x");
	set_text(in(p.copy, "HomeDomain/new2"), "user.good", "x");
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_AT(compare() == 0, "%s", now.err.text);
	CHECK_INT(xattrs_made("HomeDomain/new"), 0);
	CHECK_INT(xattrs_made("HomeDomain/new2"), 1);
	CHECK(strstr(said(&now.odd), "new: "));
	CHECK(strstr(said(&now.odd), "new2: "));
	leave_made();
	leave();
}

CASE(golden_backups_are_written_and_compared)
{
	static const char *const shapes[] = { "db-plain", "db-encrypted",
					      "db-ios10", "mbdb-plain",
					      "mbdb-encrypted" };

	for (size_t i = 0; i < COUNT(shapes); i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s/backup", GOLDEN, shapes[i]);
		must_scan(path, NULL);
		CHECK_TEXT(edits(), "");
		make(SIZE_MAX);
		CHECK_AT(compare() == 0, "%s: %s", shapes[i], now.err.text);
		leave_made();
		leave();
	}
}

CASE(a_tree_of_nobodys_is_written_and_compared)
{
	const char *dir = temp_dir();

	put_text(dir, "HomeDomain/a/b", "content");
	must_scan(dir, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	CHECK(holds("HomeDomain/a/b", "content"));
	leave_made();
	leave();
}

/* ---- the judge ---- */

CASE(each_entry_that_is_missing_is_found)
{
	struct pair p = make_pair(false, true);

	put_text(p.copy, "HomeDomain/new", "x");
	for (size_t i = 0; i < COUNT(sample) + 1; i++) {
		must_scan(p.copy, NULL);
		make(i);
		CHECK_INT(compare(), -EIO);
		CHECK(strstr(now.err.text, "is missing"));
		leave_made();
		leave();
	}
}

CASE(an_entry_too_many_is_found)
{
	struct pair p = make_pair(false, true);
	struct mb_entry more = { .domain = mb_slice_of("HomeDomain"),
				 .path = mb_slice_of("more"),
				 .type = MB_DIR };

	must_scan(p.copy, NULL);
	begin_made();
	for (size_t i = 0; i < now.s->count; i++)
		CHECK_INT(source_write(now.s, i, made.writer, NULL), 0);
	CHECK_INT(mb_writer_add(made.writer, &more, NULL), 0);
	end_made();
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/more: should not be there"));
	leave_made();
	leave();
}

static void edit_content(const char *path)
{
	struct stat st;
	FILE *f;

	stat(path, &st);
	f = fopen(path, "r+");
	fputs("X", f);
	fclose(f);
	utimensat(AT_FDCWD, path, (struct timespec[]){ st.st_atim, st.st_mtim },
		  0);
}

static void edit_mode(const char *path)
{
	chmod(path, 0111);
}

static void edit_time(const char *path)
{
	set_times(path, EXAMPLE_TIME + 99);
}

static void edit_attributes(const char *path)
{
	set_text(path, "user.more", "x");
}

static void edit_size(const char *path)
{
	struct stat st;

	stat(path, &st);
	CHECK_INT(truncate(path, st.st_size + 1), 0);
	utimensat(AT_FDCWD, path, (struct timespec[]){ st.st_atim, st.st_mtim },
		  0);
}

/* what is written is not what the tree then has */
CASE(every_difference_is_found)
{
	static const struct {
		void (*edit)(const char *path);
		const char *what;
	} all[] = {
		{ edit_content, "HomeDomain/new: its content differs" },
		{ edit_size, "HomeDomain/new: its content differs" },
		{ edit_mode, "HomeDomain/new: its record differs" },
		{ edit_time, "HomeDomain/new: its record differs" },
		{ edit_attributes, "HomeDomain/new: its attributes differ" },
	};

	for (size_t i = 0; i < COUNT(all); i++)
		for (int encrypted = 0; encrypted < 2; encrypted++) {
			struct pair p = make_pair(encrypted, true);

			put_text(p.copy, "HomeDomain/new", "some content");
			must_scan(p.copy, NULL);
			make(SIZE_MAX);
			CHECK_INT(compare(), 0);
			all[i].edit(in(p.copy, "HomeDomain/new"));
			CHECK_INT(compare(), -EIO);
			CHECK_AT(strstr(now.err.text, all[i].what), "%s",
				 now.err.text);
			leave_made();
			leave();
		}
}

CASE(a_target_that_differs_is_found)
{
	struct pair p = make_pair(false, true);
	struct timespec times[2] = { { .tv_sec = EXAMPLE_TIME },
				     { .tv_sec = EXAMPLE_TIME } };
	char path[300], folder[280];
	struct timespec before[2];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s/HomeDomain", p.copy);
	snprintf(path, sizeof(path), "%s/HomeDomain/new", p.copy);
	CHECK_INT(symlink("one", path), 0);
	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	/* the folder stays as it is: its time is not what is to be found */
	CHECK_INT(stat(folder, &st), 0);
	before[0] = st.st_atim;
	before[1] = st.st_mtim;
	unlink(path);
	CHECK_INT(symlink("two", path), 0);
	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
	CHECK_INT(utimensat(AT_FDCWD, folder, before, 0), 0);
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "its target differs"));
	leave_made();
	leave();
}

CASE(a_payload_that_is_lost_on_the_way_is_found)
{
	struct pair p = make_pair(true, true);

	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	unlink(in(made.dir, example_payload("HomeDomain", "a.txt")));
	CHECK_INT(compare(), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/a.txt"));
	leave_made();
	leave();
}

CASE(what_was_damaged_before_may_be_so_in_the_new_one)
{
	struct pair p = make_pair(true, true);

	unlink(in(p.backup, example_payload("HomeDomain", "a.txt")));
	must_scan(p.backup, NULL);
	make(SIZE_MAX);
	CHECK_INT(compare(), 0);
	leave_made();
	leave();
}

CASE(an_entry_that_becomes_another_meanwhile)
{
	struct pair p = make_pair(false, true);
	const struct source_entry *e;
	size_t number;

	put_text(p.copy, "HomeDomain/new", "x");
	put_text(p.copy, "HomeDomain/gone", "x");
	must_scan(p.copy, NULL);
	begin_made();
	unlink(in(p.copy, "HomeDomain/new"));
	mkfifo(in(p.copy, "HomeDomain/new"), 0600);
	unlink(in(p.copy, "HomeDomain/gone"));
	e = entry_of("HomeDomain", "new");
	number = (size_t)(e - now.s->entries);
	CHECK_INT(source_write(now.s, number, made.writer, &now.err), -EIO);
	CHECK(strstr(now.err.text, "HomeDomain/new"));
	e = entry_of("HomeDomain", "gone");
	number = (size_t)(e - now.s->entries);
	CHECK(source_write(now.s, number, made.writer, &now.err) < 0);
	CHECK(strstr(now.err.text, "HomeDomain/gone"));
	leave_made();
	leave();
}

CASE(a_comparison_can_be_cancelled)
{
	struct pair p = make_pair(false, true);

	must_scan(p.copy, NULL);
	make(SIZE_MAX);
	now.cancelled = true;
	CHECK_INT(compare(), -ECANCELED);
	leave_made();
	leave();
}

/* ---- a tree in the view of a device ---- */

CASE(a_copy_of_the_view_of_a_device)
{
	struct pair p = make_pair(false, true);
	const char *dir = temp_dir();
	struct mb_tree *tree;
	struct mb_backup *b;
	uint32_t node;
	char path[300];

	/* where a mount would show HomeDomain */
	CHECK_INT(mb_backup_open(&b, p.backup, NULL), 0);
	CHECK_INT(mb_backup_load(b, NULL), 0);
	CHECK_INT(mb_tree_open(&tree, b, MB_VIEW_DEVICE, NULL), 0);
	CHECK_INT(mb_tree_find(tree, mb_slice_of("HomeDomain"),
			       mb_slice_of("a.txt"), &node, NULL),
		  0);
	mb_tree_get_path(tree, node, path, sizeof(path));
	mb_tree_free(tree);
	mb_backup_free(b);
	put_text(dir, path, "edited");
	*strrchr(path, '/') = '\0';
	strcat(path, "/new");
	put_text(dir, path, "new");
	set_text(dir, OURS "source", p.backup);
	set_text(dir, OURS "view", "device");
	must_scan(dir, NULL);
	CHECK(strstr(edits(), "changed HomeDomain/a.txt\n"));
	CHECK(strstr(edits(), "added HomeDomain/new\n"));
	make(SIZE_MAX);
	CHECK_AT(compare() == 0, "%s", now.err.text);
	CHECK(holds("HomeDomain/a.txt", "edited"));
	leave_made();
	leave();
}

int main(void)
{
	RUN(trees_need_a_file_system_with_attributes_of_users);
	if (tap.skip)
		return tap_end();
	RUN(what_was_written_is_what_there_is);
	RUN(what_was_edited_is_in_the_new_backup);
	RUN(attributes_that_a_copy_lost_are_those_of_the_backup);
	RUN(attributes_that_a_device_does_not_keep_are_left_out_and_told);
	RUN(golden_backups_are_written_and_compared);
	RUN(a_tree_of_nobodys_is_written_and_compared);
	RUN(each_entry_that_is_missing_is_found);
	RUN(an_entry_too_many_is_found);
	RUN(every_difference_is_found);
	RUN(a_target_that_differs_is_found);
	RUN(a_payload_that_is_lost_on_the_way_is_found);
	RUN(what_was_damaged_before_may_be_so_in_the_new_one);
	RUN(an_entry_that_becomes_another_meanwhile);
	RUN(a_comparison_can_be_cancelled);
	RUN(a_copy_of_the_view_of_a_device);
	return tap_end();
}
