/* services/sluicectl/audit_http.c - see audit_http.h. */
#include "services/sluicectl/audit_http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRY_AGAIN_MS = 200, WORDS_BYTES = 300 };

/* --- opening --------------------------------------------------------------------------------------------------- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct http *http = context;
	size_t len = size * count;
	if (len > HTTP_ANSWER_BYTES - http->answer.len)
		return 0;
	buffer_append(&http->answer, bytes, len);
	return len;
}

static void add_header(struct http *http, const char *line)
{
	struct curl_slist *headers = curl_slist_append(http->headers, line);
	if (headers == NULL)
		panic("libcurl is out of memory");
	http->headers = headers;
}

static void encode_base64(struct buffer *out, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = 0;
		char four[4];
		for (size_t j = 0; j < 3; j++)
			group = group << 8 | (i + j < len ? (uint8_t)text[i + j] : 0);
		for (size_t j = 0; j < 4; j++)
			four[j] = i + j <= len ? digits[group >> (18 - 6 * j) & 63] : '=';
		buffer_append(out, four, sizeof four);
	}
}

/* id:key has to be encoded; what is encoded has no colon. */
static void set_api_key(struct http *http, const char *key)
{
	struct buffer line = {0};
	buffer_append_text(&line, "Authorization: ApiKey ");
	if (strchr(key, ':') != NULL)
		encode_base64(&line, key);
	else
		buffer_append_text(&line, key);
	buffer_append(&line, "", 1);
	add_header(http, (const char *)line.data);
	explicit_bzero(line.data, line.len);
	buffer_fini(&line);
}

static void set_credentials(struct http *http)
{
	const struct elasticsearch *settings = http->settings;
	if (settings->api_key[0] != '\0') {
		set_api_key(http, settings->api_key);
	} else if (settings->user[0] != '\0') {
		(void)curl_easy_setopt(http->curl, CURLOPT_USERNAME, settings->user);
		(void)curl_easy_setopt(http->curl, CURLOPT_PASSWORD, settings->password);
		(void)curl_easy_setopt(http->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	}
}

enum result http_open(struct http *http, const struct elasticsearch *settings, struct error *error)
{
	*http = (struct http){.settings = settings};
	if (settings->urls_len == 0)
		return error_set(
		    error, RESULT_CONFIG, "sinks.elasticsearch has no url: there is no search job to audit");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (http->curl = curl_easy_init()) == NULL)
		panic("libcurl is out of memory");
	CURL *curl = http->curl;
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->trouble);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)HTTP_CONNECT_S);
	(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)HTTP_STALL_S);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
	if (settings->ca_file[0] != '\0')
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca_file);
	add_header(http, "Content-Type: application/json");
	add_header(http, "Expect:");
	set_credentials(http);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
	return RESULT_OK;
}

void http_close(struct http *http)
{
	if (http->curl != NULL)
		curl_easy_cleanup(http->curl);
	curl_slist_free_all(http->headers);
	buffer_fini(&http->url);
	buffer_fini(&http->answer);
	*http = (struct http){0};
}

/* --- asking ---------------------------------------------------------------------------------------------------- */

void http_encode(struct buffer *out, const char *text)
{
	for (; *text != '\0'; text++) {
		bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
		             (*text >= 'A' && *text <= 'Z') || strchr("-._~", *text) != NULL;
		if (plain)
			buffer_append(out, text, 1);
		else
			buffer_printf(out, "%%%02X", (unsigned)(uint8_t)*text);
	}
}

static CURLcode ask_host(struct http *http, const char *method, const char *path, struct bytes body)
{
	CURL *curl = http->curl;
	buffer_clear(&http->url);
	buffer_clear(&http->answer);
	http->status = 0;
	http->trouble[0] = '\0';
	buffer_printf(&http->url, "%s%s", http->settings->urls[http->host], path);
	buffer_append(&http->url, "", 1);
	(void)curl_easy_setopt(curl, CURLOPT_URL, (const char *)http->url.data);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	if (body.data != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)body.data);
	}
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	CURLcode code = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http->status);
	return code;
}

static bool is_for_good(CURLcode code)
{
	return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
	       code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_WRITE_ERROR;
}

static bool is_busy(long status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

static enum result fault(const struct http *http, CURLcode code, struct error *error)
{
	const char *name = http->settings->urls[http->host];
	enum result result;
	if (code == CURLE_WRITE_ERROR)
		result = error_set(error, RESULT_CONFIG, "Elasticsearch: %s: an answer of more than %d MiB", name,
		    HTTP_ANSWER_BYTES >> 20);
	else if (code != CURLE_OK)
		result = error_set(error, is_for_good(code) ? RESULT_CONFIG : RESULT_RETRY, "Elasticsearch: %s: %s",
		    name, http->trouble[0] ? http->trouble : curl_easy_strerror(code));
	else
		result = error_set(error, is_busy(http->status) ? RESULT_RETRY : RESULT_CONFIG,
		    "Elasticsearch: %s: status %ld%s: %.*s", name, http->status,
		    http->status == 401   ? " (user, password or API key are not accepted)"
		    : http->status == 403 ? " (a privilege is missing: read and maintenance of the indices)"
		                          : "",
		    http->answer.len < WORDS_BYTES ? (int)http->answer.len : WORDS_BYTES,
		    http->answer.len > 0 ? (const char *)http->answer.data : "");
	return result;
}

/* It would be taken for one that is empty, or for a request that is wrong. error.index names it. */
static bool is_closed(struct http *http, struct bytes *name)
{
	static const char type[] = "\"index_closed_exception\"", before[] = "\"index\":\"";
	const char *at, *end;

	buffer_append(&http->answer, "", 1);
	http->answer.len--; /* not of the answer */
	const char *text = (const char *)http->answer.data;
	if (http->status < 400 || strstr(text, type) == NULL || (at = strstr(text, before)) == NULL)
		return false;
	at += sizeof before - 1;
	if ((end = strchr(at, '"')) == NULL)
		return false;
	*name = (struct bytes){(const uint8_t *)at, (size_t)(end - at)};
	return true;
}

enum result http_ask(struct http *http, const char *method, const char *path, struct bytes body,
    enum http_repeat repeat, struct error *error)
{
	CURLcode code = CURLE_OK;
	size_t hosts = http->settings->urls_len;
	size_t tries = repeat == HTTP_ONCE ? 1 : HTTP_TRIES * hosts;
	for (size_t i = 0; i < tries; i++) {
		if (i > 0)
			http->host = (http->host + 1) % hosts;
		if (i > 0 && i % hosts == 0) {
			long wait_ms = (long)TRY_AGAIN_MS << (i / hosts);
			struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000};
			(void)nanosleep(&wait, NULL);
		}
		code = ask_host(http, method, path, body);
		if ((code == CURLE_OK && !is_busy(http->status)) || is_for_good(code))
			break;
	}
	if (code != CURLE_OK || is_busy(http->status) || http->status == 401 || http->status == 403)
		return fault(http, code, error);
	struct bytes name;
	if (is_closed(http, &name))
		return error_set(error, RESULT_CONFIG,
		    "Elasticsearch: %s: index %.*s is closed: POST /%.*s/_open opens it again; then run again",
		    http->settings->urls[http->host], (int)name.len, (const char *)name.data, (int)name.len,
		    (const char *)name.data);
	return RESULT_OK;
}
