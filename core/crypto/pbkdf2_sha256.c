/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pbkdf2_sha256.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

/*
 * The rest of the program is built for any x86-64; these functions alone may
 * use more, and run only where there is more.
 */
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE static inline __attribute__((always_inline)) WITH_SHA

#define SHA_BLOCK 64
#define LENGTH_AT (SHA_BLOCK - 8) /* in the last block, after the padding */

/* FIPS 180-4, 4.2.2 */
static const uint32_t k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The eight words of a state as the instructions have them, high to low. */
struct state {
	__m128i abef, cdgh;
};

INLINE struct state initial(void)
{
	/* FIPS 180-4, 5.3.3 */
	return (struct state){
		_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f,
			      (int)0x9b05688c),
		_mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab,
			      0x5be0cd19),
	};
}

INLINE struct state sum(struct state a, struct state b)
{
	return (struct state){ _mm_add_epi32(a.abef, b.abef),
			       _mm_add_epi32(a.cdgh, b.cdgh) };
}

INLINE struct state difference(struct state a, struct state b)
{
	return (struct state){ _mm_xor_si128(a.abef, b.abef),
			       _mm_xor_si128(a.cdgh, b.cdgh) };
}

/* The first and the last four words of a state, A and E lowest. */
INLINE __m128i words_abcd(struct state s)
{
	return _mm_shuffle_epi32(_mm_unpackhi_epi64(s.cdgh, s.abef), 0x1b);
}

INLINE __m128i words_efgh(struct state s)
{
	return _mm_shuffle_epi32(_mm_unpacklo_epi64(s.cdgh, s.abef), 0x1b);
}

INLINE __m128i k_of(unsigned round)
{
	return _mm_load_si128((const __m128i *)&k[round]);
}

/* Four rounds; @wk: message words, their constants added. */
INLINE void rounds(struct state *s, __m128i wk)
{
	s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
	s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh,
					_mm_shuffle_epi32(wk, 0x0e));
}

/*
 * The four message words that follow the sixteen in @a to @d. The instructions
 * are meant to be given the words 9 to 12 in one register. The last of those is
 * the lowest of @d, on which we would wait; but it is only added to the last of
 * the new words, after all else: so it is, later. Where msg2 takes seven cycles
 * this saves a twelfth of all time.
 */
INLINE __m128i more_words(__m128i a, __m128i b, __m128i c, __m128i d)
{
	__m128i early =
		_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_srli_si128(c, 4));

	return _mm_add_epi32(_mm_sha256msg2_epu32(early, d),
			     _mm_slli_si128(d, 12));
}

/* ---- a digest of anything: what is done once ---- */

static WITH_SHA void compress(struct state *s, const uint8_t block[SHA_BLOCK])
{
	const __m128i swap =
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	struct state now = *s;
	__m128i w[4], next;

	for (unsigned i = 0; i < 4; i++) {
		next = _mm_loadu_si128((const __m128i *)(block + 16 * i));
		w[i] = _mm_shuffle_epi8(next, swap);
	}
	for (unsigned round = 0; round < 64; round += 4) {
		rounds(&now, _mm_add_epi32(w[0], k_of(round)));
		next = more_words(w[0], w[1], w[2], w[3]);
		w[0] = w[1];
		w[1] = w[2];
		w[2] = w[3];
		w[3] = next;
	}
	*s = sum(*s, now);
	crypto_wipe(w, sizeof(w));
}

struct message {
	struct state state;
	uint8_t block[SHA_BLOCK];
	uint64_t len;
};

static WITH_SHA void message_add(struct message *m, struct view data)
{
	while (data.len) {
		size_t at = m->len % SHA_BLOCK;
		size_t n = SHA_BLOCK - at;

		n = n < data.len ? n : data.len;
		memcpy(m->block + at, data.ptr, n);
		m->len += n;
		data = view_of(data.ptr + n, data.len - n);
		if (at + n == SHA_BLOCK)
			compress(&m->state, m->block);
	}
}

static WITH_SHA struct state message_end(struct message *m)
{
	static const uint8_t padding[SHA_BLOCK] = { 0x80 };
	size_t at = m->len % SHA_BLOCK;
	uint64_t bits = 8 * m->len;
	uint8_t length[8];

	for (unsigned i = 0; i < sizeof(length); i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	/* at least one byte, and up to where the length stands */
	message_add(m, view_of(padding, (at < LENGTH_AT ? 0 : SHA_BLOCK) +
						LENGTH_AT - at));
	message_add(m, view_of(length, sizeof(length)));
	return m->state;
}

static WITH_SHA void put_state(uint8_t out[SHA256_LEN], struct state s)
{
	const __m128i swap =
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	_mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(words_abcd(s), swap));
	_mm_storeu_si128((__m128i *)(out + 16),
			 _mm_shuffle_epi8(words_efgh(s), swap));
}

/* ---- HMAC: the key's two blocks are compressed once ---- */

struct hmac {
	struct state inner, outer;
};

static WITH_SHA struct state keyed(const uint8_t key[SHA_BLOCK], uint8_t pad)
{
	struct state s = initial();
	uint8_t block[SHA_BLOCK];

	for (unsigned i = 0; i < SHA_BLOCK; i++)
		block[i] = key[i] ^ pad;
	compress(&s, block);
	crypto_wipe(block, sizeof(block));
	return s;
}

static WITH_SHA void hmac_init(struct hmac *hmac, struct view password)
{
	uint8_t key[SHA_BLOCK] = { 0 };

	if (password.len > SHA_BLOCK) {
		struct message m = { .state = initial() };

		message_add(&m, password);
		put_state(key, message_end(&m));
		crypto_wipe(&m, sizeof(m));
	} else if (password.len) {
		memcpy(key, password.ptr, password.len);
	}
	hmac->inner = keyed(key, 0x36);
	hmac->outer = keyed(key, 0x5c);
	crypto_wipe(key, sizeof(key));
}

/* ---- the loop ---- */

/*
 * The digest that @start goes on to when a digest and its padding follow: the
 * second block of each of HMAC's two hashes. Words 8 to 15 are always the same
 * (0x80000000, zeros, and a length of 64 + 32 bytes), so what the constants
 * add up to is known, and what would add nothing is left out.
 */
INLINE struct state digest_of_digest(struct state start, struct state digest)
{
	const __m128i end_bit = _mm_set_epi32(0, 0, 0, (int)0x80000000);
	const __m128i length =
		_mm_set_epi32(8 * (SHA_BLOCK + SHA256_LEN), 0, 0, 0);
	__m128i a = words_abcd(digest), b = words_efgh(digest), c, d;
	struct state s = start;

	rounds(&s, _mm_add_epi32(a, k_of(0)));
	rounds(&s, _mm_add_epi32(b, k_of(4)));
	rounds(&s, _mm_add_epi32(end_bit, k_of(8)));
	rounds(&s, _mm_add_epi32(length, k_of(12)));

	/* more_words(a, b, end_bit, length) and so on, without the zeros */
	a = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(a, b), length);
	rounds(&s, _mm_add_epi32(a, k_of(16)));
	b = more_words(b, end_bit, length, a);
	rounds(&s, _mm_add_epi32(b, k_of(20)));
	c = more_words(end_bit, length, a, b);
	rounds(&s, _mm_add_epi32(c, k_of(24)));
	d = more_words(length, a, b, c);
	rounds(&s, _mm_add_epi32(d, k_of(28)));

	/* written out: a loop would put them into an array */
#define SIXTEEN_ROUNDS(from)                                     \
	do {                                                     \
		a = more_words(a, b, c, d);                      \
		rounds(&s, _mm_add_epi32(a, k_of(from)));        \
		b = more_words(b, c, d, a);                      \
		rounds(&s, _mm_add_epi32(b, k_of((from) + 4)));  \
		c = more_words(c, d, a, b);                      \
		rounds(&s, _mm_add_epi32(c, k_of((from) + 8)));  \
		d = more_words(d, a, b, c);                      \
		rounds(&s, _mm_add_epi32(d, k_of((from) + 12))); \
	} while (0)
	SIXTEEN_ROUNDS(32);
	SIXTEEN_ROUNDS(48);
#undef SIXTEEN_ROUNDS
	return sum(s, start);
}

/* U2, U3 ... of RFC 8018, 5.2, from @u, which is U1; returns their sum. */
static WITH_SHA struct state iterate(const struct hmac *hmac, struct state u,
				     uint32_t iterations)
{
	struct state inner = hmac->inner, outer = hmac->outer, t = u;

	while (--iterations) {
		u = digest_of_digest(outer, digest_of_digest(inner, u));
		t = difference(t, u);
	}
	return t;
}

/* One block of PBKDF2 is all that 32 bytes take: its number is 1. */
static __attribute__((noinline)) WITH_SHA void derive(uint8_t out[KEY_LEN],
						      struct view password,
						      struct view salt,
						      uint32_t iterations)
{
	static const uint8_t block_number[4] = { 0, 0, 0, 1 };
	struct message m = { .len = SHA_BLOCK };
	struct hmac hmac;
	struct state s;

	hmac_init(&hmac, password);
	m.state = hmac.inner;
	message_add(&m, salt);
	message_add(&m, view_of(block_number, sizeof(block_number)));
	s = digest_of_digest(hmac.outer, message_end(&m));
	put_state(out, iterate(&hmac, s, iterations));
	crypto_wipe(&hmac, sizeof(hmac));
	crypto_wipe(&m, sizeof(m));
	crypto_wipe(&s, sizeof(s));
}

/* What was in registers. */
static inline void wipe_registers(void)
{
#define ZERO(n) "pxor %%xmm" #n ", %%xmm" #n "\n\t"
#define ZERO_4(a, b, c, d) ZERO(a) ZERO(b) ZERO(c) ZERO(d)
	__asm__ volatile(ZERO_4(0, 1, 2, 3) ZERO_4(4, 5, 6, 7)
				 ZERO_4(8, 9, 10, 11) ZERO_4(12, 13, 14, 15)
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			   "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			   "xmm12", "xmm13", "xmm14", "xmm15");
#undef ZERO_4
#undef ZERO
}

/*
 * What the compiler kept beside our variables in the frames of derive and of
 * what it called, among it the linker that finds a library's function.
 */
static __attribute__((noinline)) void wipe_stack(void)
{
	uint8_t frames[32 << 10]; /* a quarter would do if optimized */

	crypto_wipe(frames, sizeof(frames));
}

void pbkdf2_sha_ni(uint8_t out[KEY_LEN], struct view password, struct view salt,
		   uint32_t iterations)
{
	derive(out, password, salt, iterations);
	wipe_registers();
	wipe_stack();
}

bool pbkdf2_sha_ni_usable(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) ||
	    !(c & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

#else /* not __x86_64__ */

#include <assert.h>

bool pbkdf2_sha_ni_usable(void)
{
	return false;
}

void pbkdf2_sha_ni(uint8_t out[KEY_LEN], struct view password, struct view salt,
		   uint32_t iterations)
{
	(void)out, (void)password, (void)salt, (void)iterations;
	assert(!"the processor has no such instructions");
}

#endif
