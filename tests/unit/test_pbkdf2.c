/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pbkdf2_sha256.h"

#include <errno.h>
#include <pthread.h>
#ifdef HAVE_NETTLE
#include <nettle/pbkdf2.h>
#include <nettle/sha2.h>
#endif

#include "fixture.h"
#include "tap.h"

/*
 * Each path is tested, not only the one that this processor gets; where it
 * lacks the instructions for one, a case says so.
 */
#define EACH_PATH(p)                                     \
	for (const struct pbkdf2_path *p = pbkdf2_paths; \
	     p < pbkdf2_paths + PBKDF2_PATHS; p++)       \
		if (p->usable())

static struct view bytes_view(struct bytes b)
{
	return view_of(b.ptr, b.len);
}

static void openssl(uint8_t out[KEY_LEN], struct view password,
		    struct view salt, uint32_t iterations)
{
	if (PKCS5_PBKDF2_HMAC(password.len ? (char *)password.ptr : "",
			      (int)password.len, salt.ptr, (int)salt.len,
			      (int)iterations, EVP_sha256(), KEY_LEN, out) != 1)
		abort();
}

CASE(the_instructions_that_this_processor_has_are_used)
{
	bool has = false;
	char line[8192];
	FILE *f;

	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("under valgrind the processor is another");
		return;
	}
	f = fopen("/proc/cpuinfo", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "flags", 5))
			has = strstr(line, " sha_ni") &&
			      strstr(line, " sse4_1");
	if (f)
		fclose(f);
	CHECK_INT(pbkdf2_paths[0].usable(), has);
	CHECK_TEXT(crypto_pbkdf2_path(), has ? "sha-ni" : "openssl");
	if (!has)
		SKIP("this processor has no instructions for SHA-256");
}

CASE(there_is_a_path_for_every_processor)
{
	CHECK_TEXT(pbkdf2_paths[0].name, "sha-ni");
	CHECK_TEXT(pbkdf2_paths[PBKDF2_PATHS - 1].name, "openssl");
	CHECK(pbkdf2_paths[PBKDF2_PATHS - 1].usable());
}

struct answer {
	const char *password, *salt; /* hexadecimal */
	uint32_t iterations;
	const char *key;
};

static void check_answer(const struct answer *a)
{
	struct bytes password = unhex(a->password), salt = unhex(a->salt);
	struct bytes want = unhex(a->key);
	uint8_t out[KEY_LEN];

	EACH_PATH(path)
	{
		memset(out, 0, sizeof(out));
		CHECK_INT(path->derive(out, bytes_view(password),
				       bytes_view(salt), a->iterations),
			  0);
		CHECK_AT(!memcmp(out, want.ptr, KEY_LEN), "%s, \"%s\"",
			 path->name, a->password);
	}
	CHECK_INT(crypto_pbkdf2_sha256(out, bytes_view(password),
				       bytes_view(salt), a->iterations),
		  0);
	CHECK_BYTES(out, KEY_LEN, want.ptr, want.len);
	drop(&password);
	drop(&salt);
	drop(&want);
}

/* RFC 7914, 11: the first 32 of 64 bytes */
CASE(the_answers_of_rfc_7914)
{
	static const struct answer answers[] = {
		{ "706173737764", "73616c74", 1,
		  "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" },
		{ "50617373776f7264", "4e61436c", 80000,
		  "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56" },
	};

	for (size_t i = 0; i < COUNT(answers); i++)
		check_answer(&answers[i]);
}

/* the inputs of RFC 6070, whose hash is SHA-1; the keys are by hashlib */
CASE(the_inputs_of_rfc_6070)
{
	static const struct answer answers[] = {
		{ "70617373776f7264", "73616c74", 1,
		  "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b" },
		{ "70617373776f7264", "73616c74", 2,
		  "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43" },
		{ "70617373776f7264", "73616c74", 4096,
		  "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a" },
		{ "70617373776f726450415353574f524470617373776f7264",
		  "73616c7453414c5473616c7453414c5473616c7453414c5473616c7453414c5473616c74",
		  4096,
		  "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1" },
		{ "7061737300776f7264", "7361006c74", 4096,
		  "89b69d0516f829893c696226650a86878c029ac13ee276509d5ae58b6466a724" },
		/* nothing at all */
		{ "", "", 1000,
		  "4fc58a21c100ce1835b8f9991d738b56965d14b24e1761fbdffc69ac5e0b667a" },
	};

	for (size_t i = 0; i < COUNT(answers); i++)
		check_answer(&answers[i]);
}

/* the worked example, and what hashcat's and john's tests are made of */
CASE(the_answers_of_backups)
{
	static const struct answer answers[] = {
		{ "636f727265637420686f727365",
		  "404142434445464748494a4b4c4d4e4f50515253", 2000,
		  "d384d68bde8d627d2791298758a950548c941449026f08b3b6d967d63add2672" },
		{ "77726f6e67", "404142434445464748494a4b4c4d4e4f50515253",
		  2000,
		  "a4ad2b52db271752d5049ac69c12357093c15ef38adde2f13c359df88073a69d" },
		{ "70c3a4737377c3b67264",
		  "404142434445464748494a4b4c4d4e4f50515253", 2000,
		  "af68202f3e0bd63397b88fee69da675e4f910cacbda67d44d482d289ba57ba60" },
		{ "68617368636174", "99fafc983e732998adb9fadc162a2e382143f115",
		  1000,
		  "9cc8d5a8d95a97a42b32441226c36939138d7d75dd1994360161dc2aaad32a3e" },
		{ "383535363332353338383538323131",
		  "c77a159b325d10efee51a1c05701ef63fb85b599", 1000,
		  "d2e5cb8817b8d2b5bcb4c6923cbfd8c4094cd2c3f9fd704b32768975b3548622" },
		{ "31", "46de5e844e0ee1c81d2cca6acefb77789c1a7cd0", 1000,
		  "3925d5a992949e99d98761f041cbaaea0467e2edc64acf34268982ea7129c0cb" },
	};

	for (size_t i = 0; i < COUNT(answers); i++)
		check_answer(&answers[i]);
}

/* john's "test123" and pyiosbackup's "0000" */
CASE(as_many_iterations_as_devices_ask_for)
{
	static const struct answer answers[] = {
		{ "74657374313233", "66f159e15f3ddbbdd4057f8babef7ad4472fac10",
		  10000000,
		  "f4e8b819495eeeb6dfd63a8f60150561c0b0feb12d5d7424d4738d8416563eb2" },
		{ "30303030", "0000000000000000000000000000000000000000",
		  10000000,
		  "1e8bf0bd2f08aca606dfcf6b3ab19a3307f12cfc15c787b10eb7f5ecb957b987" },
	};
	uint8_t out[KEY_LEN];

	if (getenv("LARDER_TEST_QUICK")) {
		SKIP("LARDER_TEST_QUICK is set, and this takes seconds");
		return;
	}
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct bytes password = unhex(answers[i].password);
		struct bytes salt = unhex(answers[i].salt);
		struct bytes want = unhex(answers[i].key);

		CHECK_INT(crypto_pbkdf2_sha256(out, bytes_view(password),
					       bytes_view(salt),
					       answers[i].iterations),
			  0);
		CHECK_BYTES(out, KEY_LEN, want.ptr, want.len);
		drop(&password);
		drop(&salt);
		drop(&want);
	}
}

typedef void derivation(uint8_t out[KEY_LEN], struct view password,
			struct view salt, uint32_t iterations);

static void check_against(derivation *judge, struct view password,
			  struct view salt, uint32_t iterations)
{
	uint8_t want[KEY_LEN], out[KEY_LEN];

	judge(want, password, salt, iterations);
	EACH_PATH(path)
	{
		memset(out, 0, sizeof(out));
		CHECK_INT(path->derive(out, password, salt, iterations), 0);
		CHECK_AT(!memcmp(out, want, KEY_LEN),
			 "%s, password of %zu, salt of %zu, %u iterations",
			 path->name, password.len, salt.len, iterations);
	}
}

static void check_at_random(derivation *judge)
{
	int rounds = getenv("LARDER_TEST_QUICK") ? 200 : 5000;

	for (int i = 0; i < rounds; i++) {
		struct bytes password = { 0 }, salt = { 0 };

		add_noise(&password, dice() % 201);
		add_noise(&salt, dice() % 101);
		check_against(judge, bytes_view(password), bytes_view(salt),
			      1 + dice() % 50);
		drop(&password);
		drop(&salt);
	}
}

CASE(what_is_drawn_at_random_agrees_with_openssl)
{
	check_at_random(openssl);
}

#ifdef HAVE_NETTLE
static void nettle(uint8_t out[KEY_LEN], struct view password, struct view salt,
		   uint32_t iterations)
{
	nettle_pbkdf2_hmac_sha256(password.len, password.ptr, iterations,
				  salt.len, salt.ptr, KEY_LEN, out);
}
#endif

CASE(what_is_drawn_at_random_agrees_with_nettle)
{
#ifdef HAVE_NETTLE
	check_at_random(nettle);
#else
	SKIP("built without nettle");
#endif
}

/* where a block ends, where padding takes another, where a key is hashed */
CASE(every_length_up_to_three_blocks)
{
	struct bytes b = { 0 };

	add_noise(&b, 400);
	for (size_t len = 0; len <= 200; len++) {
		check_against(openssl, view_of(b.ptr, len),
			      view_of(b.ptr + 200, 20), 2);
		check_against(openssl, view_of(b.ptr, 13),
			      view_of(b.ptr + 200, len), 1);
	}
	drop(&b);
}

CASE(every_number_of_iterations_up_to_300)
{
	struct bytes b = { 0 };

	add_noise(&b, 40);
	for (uint32_t i = 1; i <= 300; i++)
		check_against(openssl, view_of(b.ptr, 20),
			      view_of(b.ptr + 20, 20), i);
	drop(&b);
}

CASE(a_password_and_a_salt_of_a_megabyte)
{
	struct bytes b = { 0 };

	add_noise(&b, 1 << 20);
	check_against(openssl, bytes_view(b), view_of(b.ptr, 20), 3);
	check_against(openssl, view_of(b.ptr, 20), bytes_view(b), 3);
	drop(&b);
}

CASE(no_password_and_no_salt_may_be_null)
{
	check_against(openssl, view_of(NULL, 0), view_of("salt", 4), 10);
	check_against(openssl, view_of("password", 8), view_of(NULL, 0), 10);
}

/* nothing needs to be aligned, and nothing beside the key is written */
CASE(bytes_may_lie_anywhere)
{
	struct bytes b = { 0 };
	uint8_t room[KEY_LEN + 32], want[KEY_LEN];

	add_noise(&b, 300);
	for (size_t at = 0; at < 16; at++) {
		struct view password = view_of(b.ptr + at, 70);
		struct view salt = view_of(b.ptr + 100 + at, 80);

		openssl(want, password, salt, 5);
		EACH_PATH(path)
		{
			memset(room, 0xa5, sizeof(room));
			CHECK_INT(path->derive(room + at, password, salt, 5),
				  0);
			CHECK_BYTES(room + at, KEY_LEN, want, KEY_LEN);
			for (size_t i = 0; i < sizeof(room); i++)
				CHECK_AT(room[i] == 0xa5 ||
						 (i >= at && i < at + KEY_LEN),
					 "%s at %zu", path->name, i);
		}
	}
	drop(&b);
}

CASE(impossible_derivations_are_errors_on_every_path)
{
	static const uint8_t zero[KEY_LEN];
	struct view text = view_of("text", 4), huge = view_of("", SIZE_MAX);
	uint8_t out[KEY_LEN] = { 0 };

	EACH_PATH(path)
	{
		CHECK_INT(path->derive(out, text, text, 0), -EIO);
		CHECK_INT(path->derive(out, text, text, UINT32_MAX), -EIO);
		CHECK_INT(path->derive(out, huge, text, 1), -EIO);
		CHECK_INT(path->derive(out, text, huge, 1), -EIO);
	}
	CHECK_BYTES(out, KEY_LEN, zero, KEY_LEN);
}

/* ---- what stays behind ---- */

#define STACK_LEN (256 << 10)

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif

struct secret_work {
	struct view password, salt;
	uint32_t iterations;
	uint8_t out[KEY_LEN];
	uint8_t vectors[16 * 16]; /* what was in registers afterwards */
};

static void *derive_on_own_stack(void *arg)
{
	struct secret_work *work = arg;

	pbkdf2_sha_ni(work->out, work->password, work->salt, work->iterations);
#ifdef __x86_64__
#define KEEP(n)                                   \
	__asm__ volatile("movdqu %%xmm" #n ", %0" \
			 : "=m"(*(uint8_t(*)[16])(work->vectors + 16 * n)))
	KEEP(0);
	KEEP(1);
	KEEP(2);
	KEEP(3);
	KEEP(4);
	KEEP(5);
	KEEP(6);
	KEEP(7);
	KEEP(8);
	KEEP(9);
	KEEP(10);
	KEEP(11);
	KEEP(12);
	KEEP(13);
	KEEP(14);
	KEEP(15);
#undef KEEP
#endif
	return NULL;
}

/* Four bytes of a secret, in the order of bytes or of a register. */
static bool is_within(const uint8_t *where, size_t len, const uint8_t *four)
{
	const uint8_t turned[4] = { four[3], four[2], four[1], four[0] };

	return memmem(where, len, four, 4) || memmem(where, len, turned, 4);
}

static void check_nowhere(const char *what, const uint8_t *secret, size_t len,
			  const uint8_t *stack, const struct secret_work *work)
{
	for (size_t at = 0; at < len; at += 4) {
		CHECK_AT(!is_within(stack, STACK_LEN, secret + at),
			 "%s, on the stack", what);
		CHECK_AT(!is_within(work->vectors, sizeof(work->vectors),
				    secret + at),
			 "%s, in a register", what);
	}
}

/* RFC 2104: the block that a hash begins with, and the state after it. */
static void check_pad(const char *what, uint8_t pad, const uint8_t *stack,
		      const struct secret_work *work)
{
	size_t len = work->password.len & ~(size_t)3;
	uint8_t block[64];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < work->password.len; i++)
		block[i] ^= work->password.ptr[i];
	check_nowhere(what, block, len, stack, work);
#ifdef HAVE_NETTLE
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, sizeof(block), block);
	check_nowhere(what, (uint8_t *)ctx.state, sizeof(ctx.state), stack,
		      work);
#endif
}

static void look_behind(struct secret_work *work, uint8_t *stack)
{
	uint8_t first[KEY_LEN], before[KEY_LEN], last[KEY_LEN];

	check_nowhere("the password", work->password.ptr,
		      work->password.len & ~(size_t)3, stack, work);
	check_pad("the inner key", 0x36, stack, work);
	check_pad("the outer key", 0x5c, stack, work);
	openssl(first, work->password, work->salt, 1);
	check_nowhere("the first U", first, KEY_LEN, stack, work);
	openssl(before, work->password, work->salt, work->iterations - 1);
	check_nowhere("the sum but one", before, KEY_LEN, stack, work);
	openssl(last, work->password, work->salt, work->iterations);
	CHECK_BYTES(work->out, KEY_LEN, last, KEY_LEN);
	check_nowhere("the sum", last, KEY_LEN, stack, work);
	for (int i = 0; i < KEY_LEN; i++)
		last[i] ^= before[i];
	check_nowhere("the last U", last, KEY_LEN, stack, work);
}

CASE(nothing_stays_on_the_stack_or_in_registers)
{
	struct bytes noise = { 0 };
	struct secret_work work = { .iterations = 100 };
	pthread_attr_t attr;
	pthread_t thread;
	uint8_t *stack;

	if (!pbkdf2_paths[0].usable()) {
		SKIP("this processor has no instructions for SHA-256");
		return;
	}
#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer has variables elsewhere");
	return;
#endif
	stack = aligned_alloc(4096, STACK_LEN);
	if (!stack)
		abort();
	memset(stack, 0, STACK_LEN);
	add_noise(&noise, 80);
	work.password = view_of(noise.ptr, 60);
	work.salt = view_of(noise.ptr + 60, 20);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK_LEN);
	if (CHECK(!pthread_create(&thread, &attr, derive_on_own_stack, &work)))
		pthread_join(thread, NULL);
	look_behind(&work, stack);
	pthread_attr_destroy(&attr);
	free(stack);
	drop(&noise);
}

/* ---- several at once ---- */

static void *derive_often(void *arg)
{
	bool *good = arg;
	uint8_t want[KEY_LEN], out[KEY_LEN];

	openssl(want, view_of("password", 8), view_of("salt", 4), 500);
	*good = true;
	for (int i = 0; i < 50; i++)
		EACH_PATH(path)
	*good &= path->derive(out, view_of("password", 8), view_of("salt", 4),
			      500) == 0 &&
		 !memcmp(out, want, KEY_LEN);
	return NULL;
}

CASE(four_threads_at_once)
{
	pthread_t threads[4];
	bool good[4] = { false };

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, derive_often, &good[i]))
			abort();
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		CHECK_AT(good[i], "thread %d", i);
	}
}

int main(void)
{
	/* first: the first call of a library's function finds it, with all
	 * registers saved on the stack meanwhile */
	RUN(nothing_stays_on_the_stack_or_in_registers);
	RUN(the_instructions_that_this_processor_has_are_used);
	RUN(there_is_a_path_for_every_processor);
	RUN(the_answers_of_rfc_7914);
	RUN(the_inputs_of_rfc_6070);
	RUN(the_answers_of_backups);
	RUN(as_many_iterations_as_devices_ask_for);
	RUN(what_is_drawn_at_random_agrees_with_openssl);
	RUN(what_is_drawn_at_random_agrees_with_nettle);
	RUN(every_length_up_to_three_blocks);
	RUN(every_number_of_iterations_up_to_300);
	RUN(a_password_and_a_salt_of_a_megabyte);
	RUN(no_password_and_no_salt_may_be_null);
	RUN(bytes_may_lie_anywhere);
	RUN(impossible_derivations_are_errors_on_every_path);
	RUN(four_threads_at_once);
	return tap_end();
}
