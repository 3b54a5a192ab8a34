/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ls.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"

/* One entry as it is to be shown. */
struct row {
	const char *name;
	struct mb_stat st;
	struct mb_record rec;
	char sha256[2 * MB_SHA256_LEN + 1]; /* "": none */
};

static void permissions_text(char out[11], enum mb_type type, uint32_t mode)
{
	static const char letters[] = "rwxrwxrwx";

	out[0] = type == MB_DIR ? 'd' : type == MB_LINK ? 'l' : '-';
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & (0400u >> i) ? letters[i] : '-';
	out[10] = '\0';
}

static void print_text(bool detailed, const struct row *row)
{
	const struct mb_record *rec = &row->rec;
	const struct mb_stat *st = &row->st;
	char permissions[11], date[64];

	if (detailed) {
		permissions_text(permissions, st->type, st->permissions);
		format_time(date, sizeof(date), st->mtime.tv_sec);
		printf("%s %12" PRId64 " %.19s ", permissions, st->size, date);
	}
	print_name(row->name, strlen(row->name));
	if (detailed && st->type == MB_LINK) {
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

static void print_json(bool sha256, const struct row *row)
{
	const struct mb_record *rec = &row->rec;
	const struct mb_stat *st = &row->st;
	json_object *o = json_object_new_object();
	char mode[8];

	json_add_text(o, "name", row->name);
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
	if (sha256 && st->type == MB_FILE)
		json_add_text(o, "sha256", row->sha256[0] ? row->sha256 : NULL);
	json_print(o);
}

/* --- CSV: RFC 4180 -------------------------------------------------------- */

static const char *const columns =
	"name,type,domain,path,target,mode,size,mtime,ctime,birthtime,uid,gid,"
	"inode,flags,protection_class,file_id,digest,damage";

static bool needs_quotes(struct mb_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr("\",\r\n", text.ptr[i]))
			return true; /* zero bytes, too */
	return text.len &&
	       (text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ');
}

/* A zero byte, which few readers survive, as shown names have it. */
static void csv_text(struct mb_slice text)
{
	bool quotes = needs_quotes(text);

	if (quotes)
		putchar('"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"')
			putchar('"');
		if (text.ptr[i])
			putchar(text.ptr[i]);
		else
			fputs("%00", stdout);
	}
	if (quotes)
		putchar('"');
}

static void csv_field(struct mb_slice text)
{
	putchar(',');
	csv_text(text);
}

static void csv_number(uint64_t value)
{
	printf(",%" PRIu64, value);
}

/* ISO 8601, UTC; nothing for what is not recorded. */
static void csv_time(struct timespec ts)
{
	char text[48] = "";
	time_t t = ts.tv_sec;
	struct tm tm;

	if ((ts.tv_sec || ts.tv_nsec) && gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	if (!*text)
		putchar(',');
	else if (ts.tv_nsec)
		printf(",%s.%09ldZ", text, ts.tv_nsec);
	else
		printf(",%sZ", text);
}

static void csv_record(const struct mb_record *rec)
{
	char digest[2 * sizeof(rec->digest) + 1];

	csv_time(rec->mtime);
	csv_time(rec->ctime);
	csv_time(rec->birth);
	csv_number(rec->uid);
	csv_number(rec->gid);
	csv_number(rec->inode);
	csv_number(rec->bsd_flags);
	csv_number(rec->protection_class);
	csv_field(mb_slice_of(rec->file_id));
	hex_encode(digest, rec->digest, rec->digest_len);
	csv_field(mb_slice_of(digest));
	csv_field(mb_slice_of(rec->damage ? rec->damage : ""));
}

static void print_csv(bool sha256, const struct row *row)
{
	csv_text(mb_slice_of(row->name));
	csv_field(mb_slice_of(type_name(row->st.type)));
	csv_field(row->rec.domain);
	csv_field(row->rec.path);
	csv_field(row->rec.target);
	printf(",%04o,%" PRId64, row->st.permissions, row->st.size);
	if (row->st.made_up)
		fputs(",,,,,,,,,,,", stdout);
	else
		csv_record(&row->rec);
	if (sha256)
		csv_field(mb_slice_of(row->sha256));
	fputs("\r\n", stdout);
}

/* --- the body format ------------------------------------------------------ */

/*
 * Its tools cut lines at "|" and know no escape. So that each name is told,
 * and one at a time, these and control characters are written as \xNN.
 */
static void body_text(struct mb_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < 0x20 || c == 0x7f || c == '|')
			printf("\\x%02x", c);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else
			putchar(c);
	}
}

/* MD5|name|inode|mode_as_string|UID|GID|size|atime|mtime|ctime|crtime */
static void print_body(const struct row *row)
{
	const struct mb_record *rec = &row->rec;
	char permissions[11], type;

	permissions_text(permissions, row->st.type, row->st.permissions);
	type = row->st.type == MB_FILE ? 'r' : permissions[0];
	fputs("0|", stdout);
	body_text(mb_slice_of(row->name));
	if (row->st.type == MB_LINK) {
		fputs(" -> ", stdout);
		body_text(rec->target);
	}
	printf("|%" PRIu64 "|%c/%c%s|%u|%u|%" PRId64 "|0|%lld|%lld|%lld\n",
	       rec->inode, type, type, permissions + 1, rec->uid, rec->gid,
	       row->st.size, (long long)rec->mtime.tv_sec,
	       (long long)rec->ctime.tv_sec, (long long)rec->birth.tv_sec);
}

/* --- checksums ------------------------------------------------------------ */

/* As sha256sum(1) --tag writes it, and -c reads it. */
static void print_sum(const struct row *row)
{
	if (strpbrk(row->name, "\\\n"))
		putchar('\\');
	fputs("SHA256 (", stdout);
	for (const char *p = row->name; *p; p++) {
		if (*p == '\n')
			fputs("\\n", stdout);
		else if (*p == '\\')
			fputs("\\\\", stdout);
		else
			putchar(*p);
	}
	printf(") = %s\n", row->sha256);
}

/* --- all of them ---------------------------------------------------------- */

void ls_print_header(const struct ls_style *style)
{
	if (style->format == LS_CSV)
		printf("%s%s\r\n", columns, style->sha256 ? ",sha256" : "");
}

static void print_row(const struct ls_style *style, const struct row *row)
{
	switch (style->format) {
	case LS_NAMES:
	case LS_LONG:
		print_text(style->format == LS_LONG, row);
		break;
	case LS_JSON:
		print_json(style->sha256, row);
		break;
	case LS_CSV:
		print_csv(style->sha256, row);
		break;
	case LS_BODY:
		print_body(row);
		break;
	case LS_SUMS:
		if (row->sha256[0])
			print_sum(row);
		break;
	}
}

int ls_print(const struct ls_style *style, struct mb_tree *tree, uint32_t node,
	     const char *name, const uint8_t *sha256, struct mb_err *err)
{
	struct row row = { .name = name };
	int rc = 0;

	row.st.type = mb_tree_get_type(tree, node);
	if (sha256)
		hex_encode(row.sha256, sha256, MB_SHA256_LEN);
	if (style->format != LS_NAMES && style->format != LS_SUMS) {
		rc = mb_tree_stat(tree, node, &row.st, err);
		if (rc == 0)
			rc = mb_tree_record(tree, node, &row.rec, err);
	}
	if (rc >= 0)
		print_row(style, &row);
	mb_record_release(&row.rec);
	return rc < 0 ? rc : 0;
}
