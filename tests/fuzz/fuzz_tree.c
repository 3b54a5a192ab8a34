/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

#include "mb/tree.h"

#define NODES_MAX 3000

static void look(struct mb_tree *tree, uint32_t node)
{
	struct mb_record rec = { 0 };
	struct mb_reader *reader;
	char path[200], piece[64];
	struct mb_stat st;

	MUST(strlen(mb_tree_get_name(tree, node)) <= 255);
	mb_tree_get_path(tree, node, path, sizeof(path));
	fuzz_touch(path, strlen(path));
	if (mb_tree_stat(tree, node, &st, NULL) == 0)
		MUST(st.size >= 0 && st.type == mb_tree_get_type(tree, node));
	if (mb_tree_record(tree, node, &rec, NULL) >= 0) {
		fuzz_touch(rec.domain.ptr, rec.domain.len);
		fuzz_touch(rec.path.ptr, rec.path.len);
	}
	mb_record_release(&rec);
	if (mb_tree_open_file(tree, node, &reader, NULL) == 0) {
		struct mb_stat open;

		MUST(mb_tree_stat_open(tree, node, reader, &open, NULL) == 0);
		MUST(open.size == st.size && open.type == st.type &&
		     open.permissions == st.permissions);
		mb_reader_pread(reader, piece, sizeof(piece), 0);
		mb_reader_free(reader);
	}
}

/* folders in a queue: a path can be deep */
static void walk(struct mb_tree *tree)
{
	static uint32_t queue[NODES_MAX];
	size_t count = 1;

	queue[0] = MB_ROOT;
	for (size_t at = 0; at < count; at++) {
		uint32_t dir = queue[at], first, n, found;

		look(tree, dir);
		if (mb_tree_children(tree, dir, &first, &n, NULL) < 0)
			continue;
		for (uint32_t i = first; i < first + n; i++) {
			const char *name = mb_tree_get_name(tree, i);

			MUST(mb_tree_get_parent(tree, i) == dir);
			MUST(i == first ||
			     strcmp(mb_tree_get_name(tree, i - 1), name) < 0);
			MUST(!strchr(name, '/') && *name);
			if (i - first < 20)
				MUST(mb_tree_lookup(tree, dir, name,
						    strlen(name), &found,
						    NULL) == 0 &&
				     found == i);
			if (count < NODES_MAX)
				queue[count++] = i;
		}
	}
}

/* a Manifest.mbdb as a whole backup, in both views */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mb_backup *backup;
	struct mb_tree *tree;
	struct mb_err err;

	fuzz_put("Manifest.mbdb", data, size);
	if (mb_backup_open(&backup, fuzz_dir(), &err) < 0)
		return 0;
	if (mb_backup_load(backup, &err) == 0)
		for (int view = 0; view < 2; view++)
			if (mb_tree_open(&tree, backup, view, &err) == 0) {
				walk(tree);
				mb_tree_free(tree);
			}
	mb_backup_free(backup);
	return 0;
}
