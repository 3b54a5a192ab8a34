/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay FOLDER|FILE...: gives each file to the target, as a fuzzer would.
 * That all of them are survived is the test.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned replayed;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t size;
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	/* of its exact length, so that reading past the end shows */
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	MUST(data);
	size = fread(data, 1, (size_t)st.st_size, f);
	fclose(f);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	replayed++;
	return 0;
}

static int replay(const char *path)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort), rc = 0;

	if (count < 0)
		return replay_file(path);
	for (int i = 0; i < count; i++) {
		char below[4096];

		snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			rc |= replay_file(below);
		free(names[i]);
	}
	free(names);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= replay(argv[i]);
	if (!replayed)
		fprintf(stderr, "nothing to replay\n");
	return rc || !replayed;
}
