/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "find_inside.h"
#include "fixture.h"
#include "remembered.h"
#include "tap.h"

static struct found example(uint64_t ino, const char *device, int64_t date)
{
	return (struct found){
		.path = strdup("/srv/backup"),
		.device_name = strdup(device),
		.udid = strdup(""),
		.date = date,
		.bytes = 1234,
		.dev = 1,
		.ino = ino,
		.kind = FOUND_KEPT,
		.sized = true,
	};
}

CASE(what_is_found_comes_through_a_pipe)
{
	struct found one = example(7, "Anna's iPhone", 5), other;
	struct buf bytes = { 0 };

	CHECK_INT(found_encode(&bytes, &one), 0);
	CHECK_INT(found_decode(&other, view_of(bytes.ptr, bytes.len)), 0);
	CHECK_TEXT(other.path, "/srv/backup");
	CHECK_TEXT(other.device_name, "Anna's iPhone");
	CHECK_TEXT(other.udid, "");
	CHECK(!other.ios && !other.problem && !other.product_type);
	CHECK_INT(other.date, 5);
	CHECK_INT(other.bytes, 1234);
	CHECK_INT(other.kind, FOUND_KEPT);
	CHECK(other.sized && !other.encrypted);
	found_release(&one);
	found_release(&other);
	buf_release(&bytes);
}

CASE(what_is_cut_off_on_the_way_is_refused)
{
	struct found one = example(7, "Anna's iPhone", 5), other;
	struct buf bytes = { 0 };

	CHECK_INT(found_encode(&bytes, &one), 0);
	for (size_t len = 0; len < bytes.len; len++) {
		int rc = found_decode(&other, view_of(bytes.ptr, len));

		CHECK_AT(rc == -EBADMSG, "%zu", len);
		CHECK_AT(!other.path, "%zu", len);
	}
	found_release(&one);
	buf_release(&bytes);
}

CASE(a_kind_that_does_not_exist_is_refused)
{
	struct found one = example(7, "Anna's iPhone", 5), other;
	struct buf bytes = { 0 };

	one.kind = FOUND_OTHER + 1;
	CHECK_INT(found_encode(&bytes, &one), 0);
	CHECK_INT(found_decode(&other, view_of(bytes.ptr, bytes.len)),
		  -EBADMSG);
	found_release(&one);
	buf_release(&bytes);
}

CASE(one_folder_is_listed_once)
{
	struct found_list list = { 0 };

	for (uint64_t ino = 1; ino <= 3; ino++) {
		for (int i = 0; i < 2; i++) {
			struct found f = example(ino, "x", 0);

			CHECK_INT(found_list_add(&list, &f), 0);
			CHECK(!f.path);
		}
	}
	CHECK_INT(list.count, 3);
	found_list_release(&list);
}

CASE(they_are_sorted_by_device_and_date)
{
	static const struct {
		const char *device;
		int64_t date;
		bool problem;
	} in[] = { { "Ben", 3, false },
		   { "Anna", 1, false },
		   { "Aaron", 9, true },
		   { "Anna", 2, false } };
	struct found_list list = { 0 };

	for (size_t i = 0; i < COUNT(in); i++) {
		struct found f = example(i, in[i].device, in[i].date);

		if (in[i].problem)
			f.problem = strdup("damaged");
		CHECK_INT(found_list_add(&list, &f), 0);
	}
	found_list_sort(&list);
	CHECK_INT(list.items[0].date, 2);
	CHECK_INT(list.items[1].date, 1);
	CHECK_INT(list.items[2].date, 3);
	CHECK_INT(list.items[3].date, 9);
	found_list_release(&list);
}

CASE(only_disks_and_shares_are_looked_through_unasked)
{
	static const struct {
		const char *path, *type;
		bool disk, pseudo;
	} all[] = {
		{ "/", "ext4", false, false },
		{ "/home", "ext4", true, false },
		{ "/boot/efi", "vfat", false, false },
		{ "/media/anna/WINDOWS", "fuseblk", true, false },
		{ "/mnt/share", "cifs", true, false },
		{ "/srv", "nfs4", true, false },
		{ "/run/user/1000/gvfs", "fuse.gvfsd-fuse", true, false },
		{ "/run/user/1000/doc", "fuse.portal", false, true },
		{ "/run/user/1000", "tmpfs", false, false },
		{ "/mnt/memory", "tmpfs", true, false },
		{ "/mnt/auto", "autofs", false, true },
		{ "/mnt/phone", "fuse.larderfs", false, true },
		{ "/mntx", "tmpfs", false, false },
		{ "/proc/sys/fs/binfmt_misc", "binfmt_misc", false, true },
		{ "/snap/core/1", "squashfs", false, true },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct mount_line line = { .path = (char *)all[i].path,
					   .type = (char *)all[i].type };

		CHECK_AT(place_is_disk(&line) == all[i].disk, "%s",
			 all[i].path);
		CHECK_AT(place_is_pseudo(&line) == all[i].pseudo, "%s",
			 all[i].path);
	}
}

CASE(the_mounting_user_is_in_the_options)
{
	static const struct {
		const char *options;
		uid_t uid;
	} all[] = {
		{ "ro,user_id=1000,group_id=100", 1000 },
		{ "user_id=0", 0 },
		{ "rw,xuser_id=7", (uid_t)-1 },
		{ "", (uid_t)-1 },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		struct mount_line line = { .options = (char *)all[i].options };

		CHECK_AT(mount_get_user(&line) == all[i].uid, "%s",
			 all[i].options);
	}
}

CASE(times_to_remember_for)
{
	static const struct {
		const char *text;
		unsigned seconds; /* 0: none */
	} all[] = {
		{ "1", 1 },
		{ "90s", 90 },
		{ "30m", 1800 },
		{ "8h", 28800 },
		{ "2d", 172800 },
		{ "30d", 2592000 },
		{ "login", UINT_MAX },
		{ "", 0 },
		{ "0", 0 },
		{ "-1", 0 },
		{ "+1", 0 },
		{ " 1", 0 },
		{ "1 h", 0 },
		{ "1hh", 0 },
		{ "1w", 0 },
		{ "31d", 0 },
		{ "2592001", 0 },
		{ "18446744073709551617", 0 },
	};

	for (size_t i = 0; i < COUNT(all); i++) {
		unsigned seconds = 0;
		bool good = remembered_parse(all[i].text, &seconds);

		CHECK_AT(good == (all[i].seconds != 0), "%s", all[i].text);
		CHECK_AT(seconds == all[i].seconds, "%s", all[i].text);
	}
}

int main(void)
{
	RUN(what_is_found_comes_through_a_pipe);
	RUN(what_is_cut_off_on_the_way_is_refused);
	RUN(a_kind_that_does_not_exist_is_refused);
	RUN(one_folder_is_listed_once);
	RUN(they_are_sorted_by_device_and_date);
	RUN(only_disks_and_shares_are_looked_through_unasked);
	RUN(the_mounting_user_is_in_the_options);
	RUN(times_to_remember_for);
	return tap_end();
}
