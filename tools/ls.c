/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mb/tree.h"
#include "tool.h"
#include "tree_walk.h"

static const char usage[] =
	"usage: larder ls [-lR] [--passfile FILE] [--json] [--salvage] BACKUP\n"
	"                 [DOMAIN[/PATH]]\n"
	"\n"
	"Lists the domains of a backup, or what is in a folder of a domain.\n"
	"\n"
	"  -l, --long         permissions, size, time and target too\n"
	"  -R, --recursive    everything below, by its path\n"
	"  --salvage          of a damaged backup, what there is: larder-salvage(1)\n" COMMON_HELP_TEXT;

enum { LS_SALVAGE = COMMON_END };

struct listing {
	struct mb_tree *tree;
	const struct common *common;
	bool detailed;
	bool recursive;
};

static const char *type_name(enum mb_type type)
{
	switch (type) {
	case MB_DIR:
		return "folder";
	case MB_LINK:
		return "link";
	default:
		return "file";
	}
}

static void permissions_text(char out[11], enum mb_type type, uint32_t mode)
{
	static const char letters[] = "rwxrwxrwx";

	out[0] = type == MB_DIR ? 'd' : type == MB_LINK ? 'l' : '-';
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & (0400u >> i) ? letters[i] : '-';
	out[10] = '\0';
}

static void print_text(const struct listing *l, const char *name,
		       const struct mb_stat *st, const struct mb_record *rec)
{
	char permissions[11], date[64];

	if (l->detailed) {
		permissions_text(permissions, st->type, st->permissions);
		format_time(date, sizeof(date), st->mtime.tv_sec);
		printf("%s %12" PRId64 " %.19s ", permissions, st->size, date);
	}
	print_name(name, strlen(name));
	if (l->detailed && st->type == MB_LINK) {
		fputs(" -> ", stdout);
		print_name(rec->target.ptr, rec->target.len);
	}
	putchar('\n');
}

static json_object *json_time(struct timespec ts)
{
	char text[48];

	if (!ts.tv_nsec)
		return json_object_new_int64(ts.tv_sec);
	snprintf(text, sizeof(text), "%.9f",
		 (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
	return json_object_new_double_s(
		(double)ts.tv_sec + (double)ts.tv_nsec / 1e9, text);
}

static void print_json(const char *name, const struct mb_stat *st,
		       const struct mb_record *rec)
{
	json_object *o = json_object_new_object();
	char mode[8];

	json_add_text(o, "name", name);
	json_add_text(o, "type", type_name(st->type));
	if (rec->domain.ptr)
		json_object_object_add(
			o, "domain",
			json_text(rec->domain.ptr, rec->domain.len));
	if (rec->domain.ptr)
		json_object_object_add(o, "path",
				       json_text(rec->path.ptr, rec->path.len));
	snprintf(mode, sizeof(mode), "%04o", st->permissions);
	json_add_text(o, "mode", mode);
	json_object_object_add(o, "size", json_object_new_int64(st->size));
	if (!st->made_up) {
		json_object_object_add(o, "mtime", json_time(st->mtime));
		json_object_object_add(o, "ctime", json_time(st->ctime));
		json_object_object_add(o, "birthtime", json_time(st->birth));
		json_object_object_add(o, "uid",
				       json_object_new_int64(rec->uid));
		json_object_object_add(o, "gid",
				       json_object_new_int64(rec->gid));
		json_object_object_add(
			o, "protection_class",
			json_object_new_int(rec->protection_class));
		json_add_text(o, "file_id",
			      rec->file_id[0] ? rec->file_id : NULL);
	}
	if (st->type == MB_LINK)
		json_object_object_add(
			o, "target",
			json_text(rec->target.ptr, rec->target.len));
	if (rec->damage)
		json_add_text(o, "damage", rec->damage);
	json_print(o);
}

static int list_entry(const struct listing *l, uint32_t node, const char *name,
		      struct mb_err *err)
{
	struct mb_record rec = { 0 };
	struct mb_stat st = { 0 };
	int rc = 0;

	st.type = mb_tree_get_type(l->tree, node);
	if (l->detailed || l->common->json) {
		rc = mb_tree_stat(l->tree, node, &st, err);
		if (rc == 0)
			rc = mb_tree_record(l->tree, node, &rec, err);
	}
	if (rc >= 0 && l->common->json)
		print_json(name, &st, &rec);
	else if (rc >= 0)
		print_text(l, name, &st, &rec);
	mb_record_release(&rec);
	return rc < 0 ? rc : 0;
}

/* For the nodes below the folder that is listed, and not for itself. */
struct listed {
	const struct listing *listing;
	uint32_t folder;
	struct mb_err *err;
};

static int list_node(void *arg, uint32_t node)
{
	static char path[1 << 18];
	const struct listed *listed = arg;
	const struct listing *l = listed->listing;
	const char *name = mb_tree_get_name(l->tree, node);
	int rc;

	if (node == listed->folder)
		return 0;
	if (l->recursive) {
		mb_tree_get_path(l->tree, node, path, sizeof(path));
		name = path;
	}
	rc = list_entry(l, node, name, listed->err);
	return rc == 0 && !l->recursive ? TREE_WALK_SKIP : rc;
}

static int list(const struct listing *l, uint32_t node, struct mb_err *err)
{
	struct listed listed = { l, node, err };
	const struct tree_visitor visitor = { .enter = list_node,
					      .arg = &listed };

	if (mb_tree_get_type(l->tree, node) != MB_DIR)
		return list_entry(l, node, mb_tree_get_name(l->tree, node),
				  err);
	return tree_walk(l->tree, node, &visitor, err);
}

static int list_backup(struct listing *l, const char *path, const char *where,
		       struct mb_err *err)
{
	mb_auto(mb_backup_free) struct mb_backup *b = NULL;
	uint32_t node;
	int rc;

	rc = open_loaded(&b, path, l->common, err);
	if (rc == 0)
		rc = mb_tree_open(&l->tree, b, MB_VIEW_DOMAINS, err);
	if (rc < 0)
		return rc;
	rc = mb_tree_walk(l->tree, where, &node, err);
	if (rc == -ENOENT || rc == -ENOTDIR) /* a backup, without this entry */
		rc = mb_err_set(err, -EINVAL, "%s: no such entry in the backup",
				where);
	if (rc == 0)
		rc = list(l, node, err);
	mb_tree_free(l->tree);
	return rc;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "long", no_argument, NULL, 'l' },
		{ "recursive", no_argument, NULL, 'R' },
		{ "salvage", no_argument, NULL, LS_SALVAGE },
		COMMON_OPTIONS,
		{ 0 }
	};
	struct common c = { 0 };
	struct listing l = { .common = &c };
	struct mb_err err;
	int option, rc;

	while ((option = getopt_long(argc, argv, "hlR", options, NULL)) != -1) {
		if (option == 'l')
			l.detailed = true;
		else if (option == 'R')
			l.recursive = true;
		else if (option == LS_SALVAGE)
			c.salvage = true;
		else if (!common_option(&c, &cmd_ls, option, optarg))
			return usage_error(&cmd_ls, NULL);
	}
	if (argc - optind != 1 && argc - optind != 2)
		return usage_error(
			&cmd_ls,
			"ls takes a BACKUP and at most one DOMAIN[/PATH]");
	rc = list_backup(&l, argv[optind],
			 argc - optind == 2 ? argv[optind + 1] : "", &err);
	return rc < 0 ? fail(rc, &err) : finish_output();
}

const struct command cmd_ls = {
	.name = "ls",
	.summary = "list domains, or the files of one",
	.usage = usage,
	.run = run,
};
