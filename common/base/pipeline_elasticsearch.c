/* sinks.elasticsearch: urls without their credentials, and what may not stand together. No text that may hold a secret is
 * repeated in an error. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/pipeline_draft.h"

enum { INDEX_MAX = 180, CREDENTIAL_MAX = 4096 }; /* bytes; an index has 255, its dead letters some more than it */

bool index_is_valid(const char *index)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
	size_t len = strlen(index), name = strspn(index, letters);

	if (name == 0 || len > INDEX_MAX || strchr("_-.", index[0]) != NULL || strcmp(index, "sluice-control") == 0)
		return false;
	for (const char *at = index + name; *at != '\0'; at++) {
		bool date = at[0] == '%' && at[1] != '\0' && strchr("Ymd", at[1]) != NULL;
		if (!date && strchr("_-.", *at) == NULL)
			return false;
		at += date;
	}
	/* Otherwise a date could not be told from the name in front of it. */
	return index[name] == '\0' || strchr("_-.", index[name - 1]) != NULL;
}

/* One url, split; all borrowed from the text. */
struct url {
	const char *scheme; /* "http", "https" */
	struct bytes user, password, host, path;
	uint64_t port;
};

static struct bytes span(const char *from, const char *to)
{
	return (struct bytes){(const uint8_t *)from, (size_t)(to - from)};
}

/* host, host:port, [::1]:port. The words of what is wrong, or NULL. */
static const char *authority_split(struct url *url, const char *from, const char *to)
{
	const char *end = from, *port;
	char digits[8] = "";

	if (from < to && *from == '[')
		while (end < to && *end != ']')
			end++;
	while (end < to && *end != ':')
		end++;
	url->host = span(from, end);
	for (const char *at = from; at < end; at++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._[]:", *at) == NULL)
			return "the host has a letter that is none of a host's name";
	if (from == end)
		return "there is no host";
	if (end == to)
		return NULL;
	port = end + 1;
	if (port == to || (size_t)(to - port) >= sizeof digits)
		return "the port is not a number from 1 to 65535";
	memcpy(digits, port, (size_t)(to - port));
	if (!count_parse(digits, 65535, &url->port) || url->port == 0)
		return "the port is not a number from 1 to 65535";
	return NULL;
}

/* The words of what is wrong with it, or NULL. */
static const char *url_split(struct url *url, const char *from, const char *to)
{
	const char *at = from, *slash, *sign;

	*url = (struct url){.scheme = "http", .port = 9200};
	if (to - from >= 8 && strncasecmp(from, "https://", 8) == 0) {
		*url = (struct url){.scheme = "https", .port = 443};
		at += 8;
	} else if (to - from >= 7 && strncasecmp(from, "http://", 7) == 0) {
		at += 7;
	} else if (memmem(from, (size_t)(to - from), "://", 3) != NULL) {
		return "it has to begin with http:// or https://";
	}
	/* The last @, so that one in a password is not taken for it, and nothing of a password for a host. */
	sign = memrchr(at, '@', (size_t)(to - at));
	if (sign != NULL) {
		const char *colon = memchr(at, ':', (size_t)(sign - at));
		url->user = span(at, colon ? colon : sign);
		if (colon != NULL)
			url->password = span(colon + 1, sign);
		at = sign + 1;
	}
	slash = memchr(at, '/', (size_t)(to - at));
	url->path = slash ? span(slash, to) : span(to, to);
	while (url->path.len > 0 && url->path.data[url->path.len - 1] == '/')
		url->path.len--;
	for (size_t i = 0; i < url->path.len; i++)
		if (url->path.data[i] <= ' ' || url->path.data[i] > '~' || strchr("?#", url->path.data[i]) != NULL)
			return "behind the port there may only be a path";
	return authority_split(url, at, slash ? slash : to);
}

static char *url_text(const struct url *url)
{
	struct buffer text = {0};

	buffer_printf(&text, "%s://%.*s:%u%.*s", url->scheme, (int)url->host.len, (const char *)url->host.data,
	    (unsigned)url->port, (int)url->path.len, (const char *)url->path.data);
	buffer_append(&text, "", 1);
	return (char *)text.data;
}

static int hex_digit(uint8_t letter)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = letter != '\0' ? strchr(digits, letter | 0x20) : NULL;
	return found ? (int)(found - digits) : -1;
}

/* With %40 as @; NULL where a % stands for nothing. */
static char *percent_decode(struct bytes text)
{
	char *out = memory_new(text.len + 1), *to = out;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t letter = text.data[i];
		if (letter == '%') {
			int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;
			if (high < 0 || low < 0) {
				free(out);
				return NULL;
			}
			letter = (uint8_t)(high << 4 | low);
			i += 2;
		}
		*to++ = (char)letter;
	}
	return out;
}

/* NULL: it is the same as what is there already, or has been put there. */
static const char *credentials_take(struct elasticsearch *to, const struct url *url)
{
	const char *wrong = NULL;
	char *user, *password;

	if (url->user.data == NULL)
		return NULL;
	user = percent_decode(url->user);
	password = percent_decode(url->password);
	if (user == NULL || password == NULL) {
		wrong = "in user and password, a % has to be followed by two hexadecimal digits (a % itself is %25)";
	} else if (user[0] == '\0') {
		wrong = "there is an @, and no user in front of it";
	} else if (to->user[0] == '\0' && to->password[0] == '\0') {
		free(to->user);
		free(to->password);
		to->user = user;
		to->password = password;
		return NULL;
	} else if (strcmp(to->user, user) != 0 || strcmp(to->password, password) != 0) {
		wrong = "another user or password stands elsewhere; one is for all hosts";
	}
	free(user);
	free(password);
	return wrong;
}

/* The words of what is wrong, or NULL. */
static const char *url_take(struct elasticsearch *to, const char *from, const char *end)
{
	struct url url;
	const char *wrong = url_split(&url, from, end);

	if (wrong == NULL)
		wrong = credentials_take(to, &url);
	if (wrong != NULL)
		return wrong;
	char *text = url_text(&url);
	for (size_t i = 0; i < to->urls_len; i++)
		if (strcmp(to->urls[i], text) == 0) {
			free(text);
			return NULL;
		}
	if (to->urls_len == ELASTICSEARCH_HOSTS_MAX) {
		free(text);
		return "there are more hosts than 16";
	}
	to->urls[to->urls_len++] = text;
	return NULL;
}

/* All of a list; afterwards it says the same without credentials. */
static const char *list_take(struct elasticsearch *to, char **list)
{
	const char *wrong = NULL, *at = *list;
	struct buffer clean = {0};

	while (wrong == NULL && *at != '\0') {
		at += strspn(at, " ,\t\n");
		size_t len = strcspn(at, " ,\t\n"), before = to->urls_len;
		if (len > 0)
			wrong = url_take(to, at, at + len);
		if (to->urls_len > before)
			buffer_printf(&clean, "%s%s", clean.len > 0 ? "," : "", to->urls[before]);
		at += len;
	}
	buffer_append(&clean, "", 1);
	if (wrong != NULL) {
		buffer_fini(&clean);
		return wrong;
	}
	explicit_bzero(*list, strlen(*list));
	free(*list);
	*list = (char *)clean.data;
	return NULL;
}

/* What may stand in a header. */
static bool is_printable(const char *text, bool ascii)
{
	for (const char *at = text; *at != '\0'; at++)
		if ((uint8_t)*at < ' ' || *at == 0x7f || (ascii && ((uint8_t)*at > '~' || *at == ' ')))
			return false;
	return strlen(text) <= CREDENTIAL_MAX;
}

static const char *credentials_check(const struct elasticsearch *settings, const char **key)
{
	*key = "api_key";
	if (!is_printable(settings->api_key, true))
		return "there is a letter in it that no API key has";
	if (settings->api_key[0] != '\0' && settings->user[0] != '\0')
		return "there is a user as well; expected one of them";
	*key = "user";
	if (!is_printable(settings->user, false) || strchr(settings->user, ':') != NULL)
		return "there is a letter in it that no user's name has";
	*key = "password";
	if (!is_printable(settings->password, false))
		return "there is a letter in it that no password has";
	if (settings->password[0] != '\0' && settings->user[0] == '\0')
		return "there is no user that it belongs to; set sinks.elasticsearch.user";
	return NULL;
}

enum result read_elasticsearch(struct pipeline_draft *draft, const struct yaml_node *root, struct error *error)
{
	struct elasticsearch *settings = &draft->pipeline.sinks.elasticsearch;
	const struct yaml_node *section = yaml_member(yaml_member(root, "sinks"), "elasticsearch");
	const char *key = "url", *wrong = list_take(settings, &settings->url);

	if (wrong == NULL && settings->urls_len > 1)
		wrong = "there is more than one; the others go into hosts";
	if (wrong == NULL) {
		key = "hosts";
		wrong = list_take(settings, &settings->hosts);
	}
	if (wrong == NULL)
		wrong = credentials_check(settings, &key);
	/* Two pipelines that say nothing of it do not meet. */
	if (settings->index == NULL)
		settings->index = text_clone(draft->pipeline.record.table);
	if (wrong == NULL && settings->urls_len > 0 && !index_is_valid(settings->index)) {
		key = "index";
		wrong =
		    "the name in record.table, which is the default, cannot be that of an index; expected another one";
	}
	if (wrong == NULL)
		return RESULT_OK;
	/* A user may have come out of the url: then there is no such key. */
	const struct yaml_node *node = yaml_member(section, key);
	return yaml_error(node ? node : section, error, "%s%s%s", node ? "" : key, node ? "" : ": ", wrong);
}
