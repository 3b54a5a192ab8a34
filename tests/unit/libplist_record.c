/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libplist_record.h"

#include <math.h>

#define EPOCH 978307200 /* of property lists, in Unix seconds */

/* What stands behind a UID; NULL for UID 0, which is "$null". */
static plist_t behind(plist_t objects, plist_t node)
{
	for (int i = 0; i < 4 && node; i++) {
		plist_t uid = node;
		uint64_t at = 0;

		if (plist_get_node_type(node) == PLIST_DICT &&
		    plist_dict_get_size(node) == 1)
			uid = plist_dict_get_item(node, "CF$UID");
		if (!uid ||
		    (uid == node && plist_get_node_type(node) != PLIST_UID))
			return node;
		if (plist_get_node_type(uid) == PLIST_UID)
			plist_get_uid_val(uid, &at);
		else if (plist_get_node_type(uid) == PLIST_UINT)
			plist_get_uint_val(uid, &at);
		if (!at || at >= plist_array_get_size(objects))
			return NULL;
		node = plist_array_get_item(objects, (uint32_t)at);
	}
	return NULL;
}

static plist_type type_of(plist_t node)
{
	return node ? plist_get_node_type(node) : PLIST_NONE;
}

static int64_t integer(plist_t objects, plist_t node)
{
	uint64_t value = 0;
	uint8_t flag = 0;
	double real = 0;

	node = behind(objects, node);
	switch (type_of(node)) {
	case PLIST_BOOLEAN:
		plist_get_bool_val(node, &flag);
		return flag;
	case PLIST_UINT:
		plist_get_uint_val(node, &value);
		return (int64_t)value;
	case PLIST_REAL:
		plist_get_real_val(node, &real);
		return real >= -9e18 && real <= 9e18 ? (int64_t)real : 0;
	default:
		return 0;
	}
}

static struct timespec whole_and_rest(double seconds)
{
	double whole = floor(seconds);
	struct timespec ts = { 0 };

	if (!(whole >= -1e15 && whole <= 1e15))
		return ts;
	ts.tv_sec = (time_t)whole;
	ts.tv_nsec = (long)((seconds - whole) * 1e9 + 0.5);
	if (ts.tv_nsec > 999999999)
		ts.tv_nsec = 999999999;
	return ts;
}

static struct timespec date(plist_t node)
{
	int32_t sec = 0, usec = 0;

	plist_get_date_val(node, &sec, &usec);
	return (struct timespec){ (time_t)sec + EPOCH, usec * 1000L };
}

static struct timespec of_nsdate(plist_t node)
{
	plist_t inner = plist_dict_get_item(node, "NS.time");
	struct timespec ts = { 0 };
	uint64_t value = 0;
	double real = 0;

	if (type_of(inner) == PLIST_REAL) {
		plist_get_real_val(inner, &real);
	} else if (type_of(inner) == PLIST_UINT) {
		plist_get_uint_val(inner, &value);
		real = (double)(int64_t)value;
	} else {
		return ts;
	}
	ts = whole_and_rest(real);
	ts.tv_sec += EPOCH;
	return ts;
}

static struct timespec point_in_time(plist_t objects, plist_t node)
{
	struct timespec ts = { 0 };
	int64_t value;
	double real = 0;

	node = behind(objects, node);
	switch (type_of(node)) {
	case PLIST_UINT:
		value = integer(objects, node);
		if (value > INT32_MAX && value <= UINT32_MAX)
			value = (int32_t)(uint32_t)value;
		if (value >= -1000000000000000 && value <= 1000000000000000)
			ts.tv_sec = value;
		return ts;
	case PLIST_REAL:
		plist_get_real_val(node, &real);
		return whole_and_rest(real);
	case PLIST_DATE:
		return date(node);
	case PLIST_DICT:
		return of_nsdate(node);
	default:
		return ts;
	}
}

/* Inline, behind a UID, or as NS.data of an object; {0} if there is none. */
static struct mb_slice data(plist_t objects, plist_t node)
{
	struct mb_slice out = { 0 };
	uint64_t len = 0;

	node = behind(objects, node);
	if (type_of(node) == PLIST_DICT)
		node = behind(objects, plist_dict_get_item(node, "NS.data"));
	if (type_of(node) == PLIST_DATA) {
		out.ptr = plist_get_data_ptr(node, &len);
		out.len = len;
		if (!out.ptr)
			out.ptr = "";
	}
	return out;
}

static struct mb_slice text(plist_t objects, plist_t node)
{
	struct mb_slice out = { 0 };
	uint64_t len = 0;

	node = behind(objects, node);
	if (type_of(node) == PLIST_STRING) {
		out.ptr = plist_get_string_ptr(node, &len);
		out.len = len;
	}
	return out;
}

static void fill_bytes(struct mb_record *rec, plist_t objects, plist_t file)
{
	struct mb_slice bytes;

	rec->target = data(objects, plist_dict_get_item(file, "TargetBytes"));
	if (!rec->target.ptr)
		rec->target =
			text(objects, plist_dict_get_item(file, "Target"));
	bytes = data(objects, plist_dict_get_item(file, "EncryptionKey"));
	if (bytes.ptr)
		rec->wrapped_key_len = 1;
	if (bytes.ptr && bytes.len == sizeof(rec->wrapped_key)) {
		memcpy(rec->wrapped_key, bytes.ptr, bytes.len);
		rec->wrapped_key_len = sizeof(rec->wrapped_key);
	}
	bytes = data(objects, plist_dict_get_item(file, "Digest"));
	if (bytes.ptr && (bytes.len == 20 || bytes.len == 32)) {
		memcpy(rec->digest, bytes.ptr, bytes.len);
		rec->digest_len = (uint8_t)bytes.len;
	}
	rec->xattrs =
		data(objects, plist_dict_get_item(file, "ExtendedAttributes"));
	if (rec->xattrs.ptr)
		rec->xattrs_form = MB_XATTRS_PLIST;
}

static void fill(struct mb_record *rec, plist_t objects, plist_t file)
{
#define INTEGER(key) integer(objects, plist_dict_get_item(file, key))
#define TIME(key) point_in_time(objects, plist_dict_get_item(file, key))
	rec->mode = (uint32_t)INTEGER("Mode");
	rec->size = INTEGER("Size");
	rec->uid = (uint32_t)INTEGER("UserID");
	rec->gid = (uint32_t)INTEGER("GroupID");
	rec->inode = (uint64_t)INTEGER("InodeNumber");
	rec->bsd_flags = (uint32_t)INTEGER("Flags");
	rec->protection_class = (uint8_t)INTEGER("ProtectionClass");
	rec->mtime = TIME("LastModified");
	rec->ctime = TIME("LastStatusChange");
	rec->birth = TIME("Birth");
#undef INTEGER
#undef TIME
	fill_bytes(rec, objects, file);
}

plist_t libplist_record(struct mb_record *rec, const void *blob, size_t len)
{
	plist_t archive = NULL, objects, top, file;

	if (len < 8 || memcmp(blob, "bplist00", 8) || len > UINT32_MAX)
		return NULL;
	plist_from_bin(blob, (uint32_t)len, &archive);
	if (type_of(archive) == PLIST_DICT) {
		objects = plist_dict_get_item(archive, "$objects");
		top = plist_dict_get_item(archive, "$top");
		if (type_of(objects) == PLIST_ARRAY &&
		    type_of(top) == PLIST_DICT) {
			file = behind(objects,
				      plist_dict_get_item(top, "root"));
			if (type_of(file) == PLIST_DICT) {
				fill(rec, objects, file);
				return archive;
			}
		}
	}
	plist_free(archive);
	return NULL;
}
