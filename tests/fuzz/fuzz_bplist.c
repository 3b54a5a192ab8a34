/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "bplist.h"

static void look(const struct bplist *bp, const struct bplist_obj *o)
{
	struct bplist_obj key, value;
	struct buf text = { 0 };

	fuzz_touch(o->data.ptr, o->data.len);
	if (bplist_text(o, &text) == 0) {
		MUST(o->type == BPLIST_UTF16 || text.len == o->data.len);
		MUST(o->type != BPLIST_UTF16 ||
		     utf8_valid_prefix((char *)text.ptr, text.len) == text.len);
	}
	buf_release(&text);
	for (uint64_t i = 0; i < o->count && i < 100; i++) {
		bplist_item(bp, o, i, &value);
		bplist_pair(bp, o, i, &key, &value);
	}
	bplist_lookup(bp, o, "$objects", &value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bplist_obj o;
	struct bplist bp;

	if (bplist_open(&bp, view_of(data, size)) < 0)
		return 0;
	bplist_check(&bp, 64, 20000);
	MUST(bp.count <= size);
	for (uint64_t i = 0; i < bp.count && i < 1000; i++)
		if (bplist_get(&bp, i, &o) == 0)
			look(&bp, &o);
	return 0;
}
