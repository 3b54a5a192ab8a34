/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_index.h"

#include <errno.h>

#include "fixture.h"
#include "tap.h"

static struct mb_slice slice(const char *text)
{
	return (struct mb_slice){ text, strlen(text) };
}

static int note(void *arg, struct mb_slice domain, int64_t root)
{
	struct bytes *b = arg;
	char number[40];

	add(b, domain.ptr, domain.len);
	snprintf(number, sizeof(number), ":%lld ", (long long)root);
	add_text(b, number);
	return 0;
}

static void check_domains(const struct domain_index *ix, const char *want)
{
	struct bytes b = { 0 };

	CHECK_INT(domain_index_each(ix, note, &b), 0);
	add_be(&b, 0, 1);
	CHECK_TEXT((char *)b.ptr, want);
	drop(&b);
}

CASE(nothing_is_in_an_empty_index)
{
	struct domain_index ix = { 0 };
	size_t first, count;

	domain_index_seal(&ix);
	check_domains(&ix, "");
	domain_index_range(&ix, slice("A"), &first, &count);
	CHECK_INT(count, 0);
	domain_index_release(&ix);
}

CASE(records_come_together_by_domain_and_handle_with_the_root_first)
{
	static const struct {
		const char *domain;
		int64_t handle;
		bool root;
	} in[] = {
		{ "B", 9, false }, { "A", 8, false }, { "B", 7, true },
		{ "A", 6, false }, { "AB", 5, true }, { "B", 4, false },
		{ "", 3, false },  { "A", 2, false },
	};
	static const int64_t of_b[] = { 7, 4, 9 }, of_a[] = { 2, 6, 8 };
	struct domain_index ix = { 0 };
	size_t first, count;

	for (size_t i = 0; i < COUNT(in); i++)
		CHECK_INT(domain_index_add(&ix, slice(in[i].domain),
					   in[i].handle, in[i].root),
			  0);
	domain_index_seal(&ix);
	check_domains(&ix, ":-1 A:-1 AB:5 B:7 ");
	domain_index_range(&ix, slice("B"), &first, &count);
	CHECK_INT(count, 3);
	for (size_t i = 0; i < count; i++)
		CHECK_INT(ix.entries[first + i].handle, of_b[i]);
	domain_index_range(&ix, slice("A"), &first, &count);
	CHECK_INT(count, 3);
	for (size_t i = 0; i < count; i++)
		CHECK_INT(ix.entries[first + i].handle, of_a[i]);
	domain_index_range(&ix, slice(""), &first, &count);
	CHECK_INT(count, 1);
	domain_index_range(&ix, slice("C"), &first, &count);
	CHECK_INT(count, 0);
	domain_index_range(&ix, slice("AA"), &first, &count);
	CHECK_INT(count, 0);
	domain_index_release(&ix);
}

CASE(of_several_roots_the_last_counts)
{
	struct domain_index ix = { 0 };

	domain_index_add(&ix, slice("A"), 5, true);
	domain_index_add(&ix, slice("A"), 1, false);
	domain_index_add(&ix, slice("B"), 2, true);
	domain_index_add(&ix, slice("A"), 9, true);
	domain_index_add(&ix, slice("A"), 7, true);
	domain_index_seal(&ix);
	check_domains(&ix, "A:9 B:2 ");
	domain_index_release(&ix);
}

CASE(names_may_hold_any_bytes)
{
	struct domain_index ix = { 0 };
	size_t first, count;

	domain_index_add(&ix, (struct mb_slice){ "A\0x", 3 }, 1, false);
	domain_index_add(&ix, slice("A"), 2, false);
	domain_index_add(&ix, (struct mb_slice){ "A\0y", 3 }, 3, false);
	domain_index_add(&ix, slice("\xff\xfe"), 4, false);
	domain_index_seal(&ix);
	domain_index_range(&ix, (struct mb_slice){ "A\0y", 3 }, &first, &count);
	CHECK_INT(count, 1);
	CHECK_INT(ix.entries[first].handle, 3);
	domain_index_range(&ix, slice("A"), &first, &count);
	CHECK_INT(count, 1);
	domain_index_range(&ix, slice("\xff\xfe"), &first, &count);
	CHECK_INT(count, 1);
	domain_index_release(&ix);
}

/* against counting in a table */
CASE(many_records_in_random_order)
{
	static size_t in_domain[200];
	struct domain_index ix = { 0 };
	size_t all = 0;

	for (int i = 0; i < 50000; i++) {
		unsigned d = dice() % 200;
		char name[20];

		snprintf(name, sizeof(name), "Domain-%u", d);
		if (!CHECK_INT(domain_index_add(&ix, slice(name), i, false), 0))
			break;
		in_domain[d]++;
	}
	domain_index_seal(&ix);
	for (unsigned d = 0; d < 200; d++) {
		size_t first, count;
		char name[20];

		snprintf(name, sizeof(name), "Domain-%u", d);
		domain_index_range(&ix, slice(name), &first, &count);
		CHECK_INT(count, in_domain[d]);
		for (size_t i = 1; i < count; i++)
			CHECK(ix.entries[first + i - 1].handle <
			      ix.entries[first + i].handle);
		all += count;
	}
	CHECK_INT(all, 50000);
	domain_index_release(&ix);
}

static int stop(void *arg, struct mb_slice domain, int64_t root)
{
	(void)domain, (void)root;
	return ++*(int *)arg == 2 ? -EINTR : 0;
}

CASE(a_walk_ends_when_asked_to)
{
	struct domain_index ix = { 0 };
	int calls = 0;

	domain_index_add(&ix, slice("A"), 1, false);
	domain_index_add(&ix, slice("B"), 2, false);
	domain_index_add(&ix, slice("C"), 3, false);
	domain_index_seal(&ix);
	CHECK_INT(domain_index_each(&ix, stop, &calls), -EINTR);
	CHECK_INT(calls, 2);
	domain_index_release(&ix);
}

int main(void)
{
	RUN(nothing_is_in_an_empty_index);
	RUN(records_come_together_by_domain_and_handle_with_the_root_first);
	RUN(of_several_roots_the_last_counts);
	RUN(names_may_hold_any_bytes);
	RUN(many_records_in_random_order);
	RUN(a_walk_ends_when_asked_to);
	return tap_end();
}
