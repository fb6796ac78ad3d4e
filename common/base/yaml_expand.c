#include "common/base/yaml_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VARIABLE_NAME_MAX = 128, FILE_NAME_MAX = 4095 };

static bool is_variable_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return name[0] != '\0' && (name[0] < '0' || name[0] > '9') && strspn(name, letters) == strlen(name);
}

/* Appends the text of an ordinary file. What it holds is a secret: no message may quote it. */
static enum result put_file(const char *path, struct buffer *out, struct error *error)
{
	enum result result = RESULT_OK;
	/* Not blocking: a named pipe at this place must not hang the start. */
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	if (file < 0 || fstat(file, &status) != 0) {
		result = error_set(error, RESULT_CONFIG, "cannot read file '%.256s': %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(status.st_mode)) {
		result = error_set(error, RESULT_CONFIG, "'%.256s' is not an ordinary file", path);
		goto out;
	}
	size_t before = out->len;
	for (;;) {
		ssize_t count = read(file, buffer_reserve(out, 4096), 4096);
		if (count < 0) {
			result =
			    error_set(error, RESULT_CONFIG, "cannot read file '%.256s': %s", path, strerror(errno));
			goto out;
		}
		if (count == 0)
			break;
		out->len += (size_t)count;
		if (out->len > YAML_VALUE_MAX) {
			result = error_set(error, RESULT_CONFIG, "file '%.256s' is too long", path);
			goto out;
		}
	}
	size_t len = out->len - before;
	if (len > 0 && memchr(out->data + before, '\0', len) != NULL)
		result = error_set(error, RESULT_CONFIG, "file '%.256s' holds a NUL", path);
	if (len > 0 && out->data[out->len - 1] == '\n')
		out->len--;
	if (len > 1 && out->data[out->len - 1] == '\r')
		out->len--;
out:
	if (file >= 0)
		(void)close(file);
	return result;
}

/* inside is what stands between ${ and }, len bytes. */
static enum result put_reference(const char *inside, size_t len, struct buffer *out, struct error *error)
{
	char name[FILE_NAME_MAX + 1];
	const char *colon = memchr(inside, ':', len);
	size_t name_len = colon ? (size_t)(colon - inside) : len;
	size_t rest_len = colon ? len - name_len - 1 : 0;

	if (colon != NULL && name_len == 4 && memcmp(inside, "file", 4) == 0) {
		if (rest_len == 0 || rest_len > FILE_NAME_MAX)
			return error_set(error, RESULT_CONFIG, "${file:...} needs the name of a file");
		memcpy(name, colon + 1, rest_len);
		name[rest_len] = '\0';
		return put_file(name, out, error);
	}
	if (name_len > VARIABLE_NAME_MAX)
		return error_set(error, RESULT_CONFIG, "the name of a variable is too long");
	memcpy(name, inside, name_len);
	name[name_len] = '\0';
	if (!is_variable_name(name))
		return error_set(error, RESULT_CONFIG, "'%s' cannot be the name of a variable", name);
	const char *value = getenv(name);
	if (value != NULL)
		buffer_append_text(out, value);
	else if (colon != NULL)
		buffer_append(out, colon + 1, rest_len);
	else
		return error_set(error, RESULT_CONFIG,
		    "the environment variable %s is not set, and there is no default: ${%s:default}", name, name);
	return RESULT_OK;
}

enum result text_expand(const char *text, struct buffer *out, struct error *error)
{
	enum result result = RESULT_OK;
	while (result == RESULT_OK && *text != '\0' && out->len <= YAML_VALUE_MAX) {
		const char *start = strstr(text, "${");
		if (start == NULL) {
			buffer_append_text(out, text);
			break;
		}
		buffer_append(out, text, (size_t)(start - text));
		bool literal = start[2] == '{';
		const char *inside = start + (literal ? 3 : 2);
		const char *end = strstr(inside, literal ? "}}" : "}");
		if (end == NULL)
			return error_set(error, RESULT_CONFIG, "${ without its }; a literal one is written ${{...}}");
		if (literal) {
			buffer_append_text(out, "${");
			buffer_append(out, inside, (size_t)(end - inside));
			buffer_append_text(out, "}");
			text = end + 2;
		} else {
			result = put_reference(inside, (size_t)(end - inside), out, error);
			text = end + 1;
		}
	}
	return result;
}
