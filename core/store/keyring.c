/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keyring.h"

#include <errno.h>

int keyring_derive(uint8_t key[KEY_LEN], const struct keybag *bag,
		   struct view password, struct mb_err *err)
{
	uint8_t first[KEY_LEN];
	int rc = 0;

	/* which derivation is told by the tags, not by the version of iOS */
	if (bag->has_double) {
		rc = crypto_pbkdf2_sha256(
			first, password,
			view_of(bag->double_salt, sizeof(bag->double_salt)),
			bag->double_iterations);
		password = view_of(first, sizeof(first));
	}
	if (rc == 0)
		rc = crypto_pbkdf2_sha1(key, password,
					view_of(bag->salt, sizeof(bag->salt)),
					bag->iterations);
	crypto_wipe(first, sizeof(first));
	if (rc < 0)
		return mb_err_set(err, rc, "key derivation failed");
	return 0;
}

int keyring_unlock(struct keyring *ring, const struct keybag *bag,
		   const uint8_t key[KEY_LEN], struct mb_err *err)
{
	unsigned opened = 0, rejected = 0;
	uint32_t rejected_class = 0;

	keyring_wipe(ring);
	for (unsigned i = 0; i < bag->class_count; i++) {
		const struct keybag_class *class = &bag->classes[i];
		int rc;

		/*
		 * Of a class that is also wrapped by the hardware, the outer
		 * layer opens and yields something that is no key.
		 */
		if (!class->has_key || class->wrap != KEYBAG_WRAP_PASSWORD)
			continue;
		rc = crypto_unwrap(ring->keys[ring->count], key,
				   class->wrapped);
		if (rc == -EKEYREJECTED) {
			rejected++;
			rejected_class = class->number;
			continue;
		}
		if (rc < 0)
			return mb_err_set(err, rc, "cipher library failed");
		opened++;
		/* Curve25519 keys wrap what no backup has been seen to hold */
		if (class->key_type == 0)
			ring->numbers[ring->count++] = class->number;
	}
	if (rejected && !opened)
		return mb_err_set(err, -EKEYREJECTED, "wrong password");
	if (rejected)
		return mb_err_set(err, -EBADMSG,
				  "key bag: key of class %u is damaged",
				  rejected_class);
	return 0;
}

/*
 * A class that is also bound to the device takes part: its outer layer is the
 * password's, and what is inside, the hardware's own, comes along as it is.
 */
static bool has_password_layer(const struct keybag_class *class)
{
	return class->has_key && class->wrap & KEYBAG_WRAP_PASSWORD;
}

static int rewrap(struct keybag_class *class, const uint8_t old_key[KEY_LEN],
		  const uint8_t new_key[KEY_LEN])
{
	uint8_t inside[KEY_LEN];
	int rc = crypto_unwrap(inside, old_key, class->wrapped);

	if (rc == 0)
		rc = crypto_wrap(class->wrapped, new_key, inside);
	crypto_wipe(inside, sizeof(inside));
	return rc;
}

int keyring_rewrap(struct keybag *bag, const uint8_t old_key[KEY_LEN],
		   const uint8_t new_key[KEY_LEN], struct mb_err *err)
{
	struct keybag changed = *bag; /* holds nothing that is not stored */
	unsigned count = 0, rejected = 0;
	uint32_t rejected_class = 0;

	for (unsigned i = 0; i < changed.class_count; i++) {
		struct keybag_class *class = &changed.classes[i];
		int rc;

		if (!has_password_layer(class))
			continue;
		rc = rewrap(class, old_key, new_key);
		if (rc < 0 && rc != -EKEYREJECTED)
			return mb_err_set(err, rc, "cipher library failed");
		if (rc < 0) {
			rejected_class = class->number;
			rejected++;
		}
		count++;
	}
	if (!count || rejected == count)
		return mb_err_set(err, -EKEYREJECTED, "wrong password");
	if (rejected)
		return mb_err_set(err, -EBADMSG,
				  "key bag: key of class %u is damaged",
				  rejected_class);
	*bag = changed;
	return (int)count;
}

static const uint8_t *class_key(const struct keyring *ring, uint32_t number)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (ring->numbers[i] == number)
			return ring->keys[i];
	return NULL;
}

static const uint8_t *kek_of(const struct keyring *ring,
			     const struct stored_key *key, bool other)
{
	return class_key(ring, other ? key->other_class : le32_at(key->stored));
}

/* Those among the keys that are not open yet, together where one key fits. */
static void try_classes(const struct keyring *ring, struct stored_key keys[],
			unsigned count, bool other)
{
	bool tried[UNWRAP_MAX] = { false };

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *kek = kek_of(ring, &keys[i], other);
		struct unwrapping jobs[UNWRAP_MAX];
		unsigned of[UNWRAP_MAX], n = 0;

		for (unsigned j = i; kek && j < count; j++) {
			if (tried[j] || keys[j].rc == 0 || keys[j].rc == -EIO ||
			    kek_of(ring, &keys[j], other) != kek)
				continue;
			tried[j] = true;
			jobs[n].wrapped = keys[j].stored + 4;
			of[n++] = j;
		}
		if (!n)
			continue;
		crypto_unwrap_some(kek, jobs, n);
		for (unsigned j = 0; j < n; j++) {
			struct stored_key *key = &keys[of[j]];

			key->rc = jobs[j].rc == -EKEYREJECTED ? -EBADMSG :
								jobs[j].rc;
			if (key->rc == 0)
				memcpy(key->key, jobs[j].key, KEY_LEN);
			crypto_wipe(jobs[j].key, KEY_LEN);
		}
	}
}

void keyring_unwrap_some(const struct keyring *ring, struct stored_key keys[],
			 unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		keys[i].rc = -ENOKEY;
	try_classes(ring, keys, count, false);
	try_classes(ring, keys, count, true);
}

int keyring_unwrap(const struct keyring *ring, uint8_t out[KEY_LEN],
		   const uint8_t stored[STORED_KEY_LEN], uint32_t other_class)
{
	struct stored_key one = { .stored = stored,
				  .other_class = other_class };

	keyring_unwrap_some(ring, &one, 1);
	if (one.rc == 0)
		memcpy(out, one.key, KEY_LEN);
	crypto_wipe(one.key, KEY_LEN);
	return one.rc;
}

int keyring_wrap(const struct keyring *ring, uint8_t stored[STORED_KEY_LEN],
		 const uint8_t key[KEY_LEN], uint32_t class_number)
{
	const uint8_t *kek = class_key(ring, class_number);

	if (!kek)
		return -ENOKEY;
	for (int i = 0; i < 4; i++)
		stored[i] = (uint8_t)(class_number >> 8 * i);
	return crypto_wrap(stored + 4, kek, key);
}

bool keyring_has(const struct keyring *ring, uint32_t class_number)
{
	return class_key(ring, class_number) != NULL;
}

/* Classes of a backup's bag: iphone-backup(5), Protection classes. */
#define CLASSES 11

/*
 * Who opens a class of a new bag (iphone-backup(5), The WRAP rule). Of files,
 * the password. Of the keychain that may move to another device, the password
 * too, but only if there is one: devices bind these classes to themselves
 * where anybody could open them. The rest is of the device alone.
 */
static uint32_t wrap_of_class(uint32_t number, bool secret)
{
	bool of_files = number >= 1 && number <= 4;
	bool movable = number >= 6 && number <= 8;

	return of_files || (movable && secret) ?
		       KEYBAG_WRAP_PASSWORD :
		       KEYBAG_WRAP_PASSWORD | KEYBAG_WRAP_DEVICE;
}

static int fill_header(struct keybag *bag, uint32_t double_iterations,
		       uint32_t iterations)
{
	/* HMCK stays zero, which devices are known to accept */
	*bag = (struct keybag){
		.version = KEYBAG_VERSION,
		.type = KEYBAG_TYPE_BACKUP,
		.iterations = iterations,
		.has_double = double_iterations > 0,
		.double_iterations = double_iterations,
	};
	if (crypto_random(bag->uuid, sizeof(bag->uuid)) < 0 ||
	    crypto_random(bag->salt, sizeof(bag->salt)) < 0 ||
	    crypto_random(bag->double_salt, sizeof(bag->double_salt)) < 0)
		return -EIO;
	return 0;
}

/*
 * A class that is also bound to a device is wrapped like any other, so that
 * the password opens its outer layer as that of a real bag. What is inside
 * looks like another device's: nobody can use it, and nobody needs to.
 */
static int add_class(struct keybag *bag, const uint8_t key[KEY_LEN],
		     uint32_t number, bool secret)
{
	struct keybag_class *class = &bag->classes[bag->class_count++];
	uint8_t class_key[KEY_LEN];
	int rc;

	class->number = number;
	class->wrap = wrap_of_class(number, secret);
	class->has_key = true;
	rc = crypto_random(class->uuid, sizeof(class->uuid));
	if (rc == 0)
		rc = crypto_random(class_key, sizeof(class_key));
	if (rc == 0)
		rc = crypto_wrap(class->wrapped, key, class_key);
	crypto_wipe(class_key, sizeof(class_key));
	return rc;
}

static int fill_bag(struct keybag *bag, uint8_t key[KEY_LEN],
		    struct view password, struct mb_err *err)
{
	int rc = keyring_derive(key, bag, password, err);

	if (rc < 0)
		return rc;
	for (uint32_t number = 1; number <= CLASSES && rc == 0; number++)
		rc = add_class(bag, key, number, password.len > 0);
	return rc < 0 ? mb_err_set(err, rc, "cipher library failed") : 0;
}

int keyring_create(struct keyring *ring, struct keybag *bag,
		   uint8_t key[KEY_LEN], struct view password,
		   uint32_t double_iterations, uint32_t iterations,
		   struct mb_err *err)
{
	int rc;

	keyring_wipe(ring);
	crypto_wipe(key, KEY_LEN);
	/* what no reader of ours would open again */
	if (!iterations || iterations > KEYBAG_ITERATIONS_MAX ||
	    double_iterations > KEYBAG_DOUBLE_ITERATIONS_MAX)
		return mb_err_set(err, -EINVAL,
				  "key bag: %u and %u iterations are not "
				  "0 to %u and 1 to %u",
				  double_iterations, iterations,
				  KEYBAG_DOUBLE_ITERATIONS_MAX,
				  KEYBAG_ITERATIONS_MAX);
	rc = fill_header(bag, double_iterations, iterations);
	if (rc < 0)
		return mb_err_set(err, rc, "cipher library failed");
	rc = fill_bag(bag, key, password, err);
	/* the ring comes out of the bag: what it opens can be opened again */
	if (rc == 0)
		rc = keyring_unlock(ring, bag, key, err);
	if (rc < 0) {
		keyring_wipe(ring);
		crypto_wipe(key, KEY_LEN);
	}
	return rc;
}

void keyring_wipe(struct keyring *ring)
{
	crypto_wipe(ring, sizeof(*ring));
	crypto_forget();
}
