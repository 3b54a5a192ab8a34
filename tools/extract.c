/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extract.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "extract_dest.h"

static const char *const usage[] = {
	N_("usage: larder extract [options] BACKUP DEST\n"
	   "       larder extract [options] --tar FILE BACKUP\n"),
	N_("\n"
	   "Writes the files of a backup, decrypted, with their times, permissions and\n"
	   "attributes, into the folder DEST or an archive. What is in DEST already is\n"
	   "not touched. A run that was broken off is gone on with by the same command.\n"),
	N_("\n"
	   "  --view domains|device  with device its own paths, not DOMAIN/PATH\n"
	   "  --overwrite        replace files that are in the way\n"
	   "  --tar FILE         a tar archive instead; - is standard output\n"
	   "  --salvage          of a damaged backup, what there is: larder-salvage(1)\n"),
	SELECTION_HELP_TEXT,
	COMMON_HELP_TEXT,
	NULL,
};

enum { OPT_VIEW = COMMON_END, OPT_OVERWRITE, OPT_TAR, OPT_SALVAGE };

static void extract_release(struct extract *x)
{
	work_release(&x->work);
	extract_plan_release(&x->plan);
	mb_tree_free(x->tree);
	mb_backup_free(x->backup);
	selection_release(&x->wish.selection);
}

MB_DEFINE_AUTO_VALUE(struct extract, extract_release)

/* --- what is odd --------------------------------------------------------- */

bool extract_is_stopped(void)
{
	return watch_cancelled();
}

static void say_entry(struct extract *x, const char *event, uint32_t node,
		      const char *why)
{
	const size_t size = (size_t)1 << 18; /* no path is longer */
	mb_auto(free) char *path = NULL;
	char shown[300];
	json_object *o;

	mb_tree_get_path(x->tree, node, shown, sizeof(shown));
	if (!x->common.json) {
		progress_warn(x->work.progress, "%s: %s", shown, why);
		return;
	}
	path = malloc(size);
	if (path)
		mb_tree_get_path(x->tree, node, path, size);
	o = json_event(event);
	json_object_object_add(
		o, "path",
		json_text(path ? path : shown, strlen(path ? path : shown)));
	json_object_object_add(o, "message", json_text(why, strlen(why)));
	progress_event(x->work.progress, o);
}

void extract_damaged(struct extract *x, uint32_t node, const char *why)
{
	if (!mb_tree_first_report(x->tree, node))
		return;
	x->counts.damaged++;
	say_entry(x, "damaged", node, why);
}

void extract_failed(struct extract *x, uint32_t node, const char *why)
{
	x->counts.failed++;
	say_entry(x, "failed", node, why);
}

/* What can be known without reading it. */
static void look_at_file(struct extract *x, uint32_t node,
			 const struct mb_record *rec,
			 const struct mb_reader *reader)
{
	bool fatal;
	const char *damage = mb_reader_get_damage(reader, &fatal);
	int64_t size = mb_reader_get_size(reader);
	struct mb_err line;
	char path[300];

	if (rec->damage)
		extract_damaged(x, node, rec->damage);
	if (fatal)
		return; /* whoever reads it comes to that */
	if (damage && !rec->damage) {
		mb_tree_get_path(x->tree, node, path, sizeof(path));
		progress_warn(x->work.progress, "%s: %s", path, damage);
	}
	if (!rec->damage && mb_reader_get_plain_fd(reader) >= 0 &&
	    size < rec->size) {
		mb_err_set(&line, 0,
			   "payload %s is cut off: %lld bytes instead of %lld",
			   rec->file_id, (long long)size, (long long)rec->size);
		extract_damaged(x, node, line.text);
	}
}

int extract_open(struct extract *x, uint32_t node, const struct mb_record *rec,
		 struct mb_reader **reader)
{
	struct mb_err why;
	int rc = mb_reader_open(reader, x->backup, rec, &why);

	if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
		return rc;
	if (rc < 0) {
		extract_damaged(x, node, why.text);
		return 1;
	}
	look_at_file(x, node, rec, *reader);
	return 0;
}

/* --- progress ------------------------------------------------------------ */

/* A file costs about as much as so many bytes. */
#define FILE_WEIGHT 16384

static void look(void *arg, struct progress_state *state)
{
	struct extract *x = arg;
	uint64_t all, done;

	state->files = x->counts.files + x->counts.kept;
	state->bytes = x->counts.bytes + x->counts.kept_bytes;
	if (!atomic_load(&x->plan.counted))
		return;
	all = x->plan.bytes + x->plan.files * FILE_WEIGHT;
	done = state->bytes + state->files * FILE_WEIGHT;
	if (all)
		state->percent =
			done < all ?
				(unsigned)((double)done * 100 / (double)all) :
				99;
}

/* --- what is being extracted --------------------------------------------- */

/* FNV-1a: to tell things apart, not to keep anything secret. */
static void mix(uint64_t *hash, const void *ptr, size_t len)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i < len; i++)
		*hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
}

static void mix_text(uint64_t *hash, const char *text)
{
	mix(hash, text ? text : "", strlen(text ? text : "") + 1);
}

static void mix_list(uint64_t *hash, struct mb_backup *backup,
		     enum mb_plist which)
{
	int64_t len = 0, off = 0;
	mb_auto(close) int fd = mb_backup_open_plist(backup, which, &len);
	char piece[4096];
	ssize_t n;

	while (fd >= 0 && off < len &&
	       (n = pread_full(fd, piece, sizeof(piece), off)) > 0) {
		mix(hash, piece, (size_t)n);
		off += n;
	}
}

/* The manifest itself, for copies that lack the lists. */
static void mix_manifest(uint64_t *hash, struct mb_backup *backup)
{
	static const char *const names[] = { "Manifest.db", "Manifest.mbdb" };

	for (size_t i = 0; i < 2; i++) {
		struct stat st = { 0 };

		beneath_stat(mb_backup_get_fd(backup), names[i], &st);
		mix(hash, &st.st_size, sizeof(st.st_size));
		mix(hash, &st.st_mtim, sizeof(st.st_mtim));
	}
}

static void mix_pattern(void *arg, int option, const char *text)
{
	mix(arg, &option, sizeof(option));
	mix_text(arg, text);
}

/* This version of this backup, and what is wanted of it. */
static void format_what(char out[64], struct extract *x)
{
	uint64_t backup = UINT64_C(0xcbf29ce484222325), wish = backup;

	mix_text(&backup, mb_backup_get_info(x->backup)->udid);
	mix_list(&backup, x->backup, MB_PLIST_MANIFEST);
	mix_list(&backup, x->backup, MB_PLIST_STATUS);
	mix_manifest(&backup, x->backup);
	mix(&wish, &x->wish.view, sizeof(x->wish.view));
	mix(&wish, &x->common.salvage, sizeof(x->common.salvage));
	selection_each(&x->wish.selection, mix_pattern, &wish);
	snprintf(out, 64, "backup %016" PRIx64 " selection %016" PRIx64, backup,
		 wish);
}

/* --- the work ------------------------------------------------------------ */

static int load(struct extract *x, struct mb_err *err)
{
	int rc = load_backup(x->backup, &x->common, err);

	if (rc == 0)
		rc = mb_tree_open(&x->tree, x->backup, x->wish.view, err);
	if (rc == 0)
		rc = work_begin(&x->work, &x->common, look, x, err);
	if (rc < 0)
		return rc;
	mb_backup_on_note(x->backup, work_note, &x->work);
	progress_begin(x->work.progress, "reading");
	return extract_plan_make(&x->plan, x->tree, &x->wish.selection,
				 extract_is_stopped, err);
}

static int fill_folder(struct extract *x, struct extract_dest *dest,
		       struct mb_err *err)
{
	char what[64];
	int rc;

	format_what(what, x);
	rc = extract_dest_begin(dest, what, x->wish.overwrite, err);
	if (rc < 0)
		return rc;
	if (!dest->fresh && !dest->resumed && !x->wish.overwrite) {
		rc = extract_check(x, dest, err);
		if (rc < 0) {
			extract_dest_finish(dest);
			return rc;
		}
	}
	if (dest->resumed)
		progress_note(x->work.progress,
			      "going on with what was begun in %s", dest->path);
	rc = extract_dest_mark(dest, what, x->wish.overwrite, err);
	if (rc < 0)
		return rc;
	progress_begin(x->work.progress, "extracting");
	rc = extract_files(x, dest, err);
	if (rc < 0)
		return rc;
	/* a part is not to pass for the whole, nor a folder of other things */
	if (x->plan.all && dest->fresh)
		extract_dest_describe(dest, mb_backup_get_info(x->backup),
				      x->wish.view == MB_VIEW_DEVICE,
				      EXTRACT_MODE(07777));
	extract_dest_finish(dest);
	return 0;
}

static int into_folder(struct extract *x, struct mb_err *err)
{
	struct extract_dest dest;
	int rc = extract_dest_find(&dest, x->wish.dest, x->backup, err);

	if (rc == 0)
		rc = load(x, err);
	if (rc == 0)
		rc = fill_folder(x, &dest, err);
	if (x->work.progress)
		progress_end(x->work.progress);
	extract_dest_release(&dest);
	return rc;
}

static int into_archive(struct extract *x, struct mb_err *err)
{
	int rc = load(x, err);

	if (rc == 0) {
		progress_begin(x->work.progress, "extracting");
		rc = extract_tar(x, err);
	}
	if (x->work.progress)
		progress_end(x->work.progress);
	return rc;
}

static int extract(struct extract *x, struct mb_err *err)
{
	int rc = open_backup(&x->backup, x->wish.backup, &x->common, err);

	if (rc < 0)
		return rc;
	return x->wish.tar ? into_archive(x, err) : into_folder(x, err);
}

/* --- after --------------------------------------------------------------- */

static void print_summary(struct extract *x)
{
	const struct extract_counts *n = &x->counts;
	json_object *o = json_event("finished");

	json_add_text(o, x->wish.tar ? "archive" : "folder",
		      x->wish.tar ? x->wish.tar : x->wish.dest);
	json_add_count(o, "files", n->files);
	json_add_count(o, "folders", n->folders);
	json_add_count(o, "links", n->links);
	json_add_count(o, "bytes", n->bytes);
	json_add_count(o, "kept", n->kept);
	json_add_count(o, "damaged", n->damaged);
	json_add_count(o, "failed", n->failed);
	progress_add_seconds(x->work.progress, o);
	progress_event(x->work.progress, o);
}

static void say_summary(struct extract *x)
{
	const struct extract_counts *n = &x->counts;
	/* where the archive goes, nothing else may */
	FILE *to = x->wish.tar && !strcmp(x->wish.tar, "-") ? stderr : stdout;
	char bytes[32], took[32];

	format_bytes(bytes, sizeof(bytes), n->bytes);
	format_duration(took, sizeof(took), progress_seconds(x->work.progress));
	fprintf(to,
		_("%" PRIuFAST64 " files, %s, %" PRIuFAST64
		  " folders, %" PRIuFAST64 " links"),
		n->files, bytes, n->folders, n->links);
	if (n->kept)
		fprintf(to, _("; %" PRIuFAST64 " were there already"), n->kept);
	fprintf(to, "; %s\n", took);
}

/* The exit status of what has come to its end. */
static int judge(struct extract *x)
{
	const struct extract_counts *n = &x->counts;
	struct mb_err err;
	int rc;

	if (!n->failed && !n->damaged)
		return finish_output();
	if (n->failed)
		rc = mb_err_set(
			&err, -EIO,
			ngettext("%" PRIuFAST64 " entry could not be made",
				 "%" PRIuFAST64 " entries could not be made",
				 n->failed),
			n->failed);
	else
		rc = mb_err_set(&err, -EBADMSG,
				ngettext("%" PRIuFAST64 " entry is damaged",
					 "%" PRIuFAST64 " entries are damaged",
					 n->damaged),
				n->damaged);
	return progress_fail(x->work.progress, &x->common, rc, &err);
}

/* --- options ------------------------------------------------------------- */

/* 1: taken; 0: another; -1: wrong, which has been said */
static int take_option(struct extract_wish *wish, int option, const char *value)
{
	switch (option) {
	case OPT_VIEW:
		if (!strcmp(value, "device")) {
			wish->view = MB_VIEW_DEVICE;
		} else if (!strcmp(value, "domains")) {
			wish->view = MB_VIEW_DOMAINS;
		} else {
			usage_error(&cmd_extract,
				    "--view takes \"domains\" or \"device\"");
			return -1;
		}
		return 1;
	case OPT_OVERWRITE:
		wish->overwrite = true;
		return 1;
	case OPT_TAR:
		wish->tar = value;
		return 1;
	default:
		return selection_option(&wish->selection, &cmd_extract, option,
					value);
	}
}

static int check_tar(const struct extract *x)
{
	if (!x->wish.tar || strcmp(x->wish.tar, "-"))
		return 0;
	if (x->common.json)
		return usage_error(
			&cmd_extract,
			"--json and --tar - want the same standard output");
	if (isatty(STDOUT_FILENO))
		return usage_error(&cmd_extract,
				   "an archive is not for a terminal");
	return 0;
}

/* Returns 0, or an exit status. */
static int parse(struct extract *x, int argc, char **argv)
{
	static const struct option options[] = {
		{ "view", required_argument, NULL, OPT_VIEW },
		{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
		{ "tar", required_argument, NULL, OPT_TAR },
		{ "salvage", no_argument, NULL, OPT_SALVAGE },
		SELECTION_OPTIONS,
		COMMON_OPTIONS,
		{ 0 }
	};
	int option, taken;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		taken = take_option(&x->wish, option, optarg);
		if (taken < 0)
			return EXIT_USAGE;
		if (option == OPT_SALVAGE)
			x->common.salvage = true;
		else if (!taken && !common_option(&x->common, &cmd_extract,
						  option, optarg))
			return usage_error(&cmd_extract, NULL);
	}
	if (argc - optind != (x->wish.tar ? 1 : 2))
		return usage_error(
			&cmd_extract,
			x->wish.tar ?
				"extract --tar takes a BACKUP and nothing else" :
				N_("extract takes a BACKUP and a DEST"));
	x->wish.backup = argv[optind];
	x->wish.dest = x->wish.tar ? NULL : argv[optind + 1];
	return check_tar(x);
}

static int run(int argc, char **argv)
{
	mb_auto(extract_release) struct extract x = { 0 };
	struct mb_err err;
	int rc = parse(&x, argc, argv);

	if (rc)
		return rc;
	rc = extract(&x, &err);
	if (rc < 0)
		return progress_fail(x.work.progress, &x.common, rc, &err);
	if (x.common.json)
		print_summary(&x);
	else if (!x.common.quiet)
		say_summary(&x);
	return judge(&x);
}

const struct command cmd_extract = {
	.name = "extract",
	.summary =
		N_("write the files of a backup into a folder or an archive"),
	.usage = usage,
	.run = run,
};
