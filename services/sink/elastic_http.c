/* services/sink/elastic_http.c - see elastic_http.h. */
#include "services/sink/elastic_http.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

#include "common/base/timestamp.h"

enum {
	CONNECT_MS = 5000,
	AWAY_US = 10000000, /* a host that did not answer is left alone for so long, while others do */
	KEEP_S = 60,
	UPLOAD_BYTES = 256 * 1024,
	PACK_LEVEL = 1,
};

void http_prepare(void)
{
	CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

/* --- what all requests have in common ---------------------------------------------------------------------------- */

static void header_add(struct curl_slist **list, const char *text)
{
	*list = curl_slist_append(*list, text);
	CHECK(*list != NULL);
}

static void base64_put(struct buffer *out, const char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)(uint8_t)text[i] << 16;
		char four[4];
		bits |= i + 1 < len ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0;
		bits |= i + 2 < len ? (uint8_t)text[i + 2] : 0;
		four[0] = letters[bits >> 18];
		four[1] = letters[bits >> 12 & 63];
		four[2] = i + 1 < len ? letters[bits >> 6 & 63] : '=';
		four[3] = i + 2 < len ? letters[bits & 63] : '=';
		buffer_append(out, four, sizeof four);
	}
}

/* id:key is what the console shows; what the header wants is its encoded form. */
static void api_key_add(struct http *http)
{
	const char *key = http->settings->api_key;
	struct buffer header = {0};

	buffer_append_text(&header, "Authorization: ApiKey ");
	if (strchr(key, ':') != NULL)
		base64_put(&header, key);
	else
		buffer_append_text(&header, key);
	buffer_append(&header, "", 1);
	header_add(&http->json, (const char *)header.data);
	header_add(&http->lines, (const char *)header.data);
	explicit_bzero(header.data, header.len);
	buffer_fini(&header);
}

static enum result ca_check(const char *path, struct error *error)
{
	FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;

	if (path[0] != '\0' && file == NULL)
		return error_stop(error, STOP_PIPELINE_FILE, "sinks.elasticsearch.ca_file: cannot read %s: %m", path);
	if (file != NULL)
		(void)fclose(file);
	return RESULT_OK;
}

enum result http_open(struct http *http, const struct elasticsearch *settings, int stop_fd, struct error *error)
{
	*http = (struct http){.settings = settings, .stop_fd = stop_fd};
	if (settings->urls_len == 0)
		return error_stop(
		    error, STOP_PIPELINE_FILE, "sinks.elasticsearch.url is empty: there is nowhere to write to");
	if (ca_check(settings->ca_file, error) != RESULT_OK)
		return RESULT_CONFIG;
	http->packs = strcmp(settings->compression, "gzip") == 0;
	http->multi = curl_multi_init();
	CHECK(http->multi != NULL);
	/* An Expect would cost a round trip for every body. */
	header_add(&http->json, "Expect:");
	header_add(&http->lines, "Expect:");
	header_add(&http->json, "Content-Type: application/json");
	header_add(&http->lines, "Content-Type: application/x-ndjson");
	if (http->packs)
		header_add(&http->lines, "Content-Encoding: gzip");
	if (settings->api_key[0] != '\0') {
		api_key_add(http);
	} else if (settings->user[0] != '\0') {
		size_t room = strlen(settings->user) + strlen(settings->password) + 2;
		http->credentials = memory_new(room);
		(void)snprintf(http->credentials, room, "%s:%s", settings->user, settings->password);
	}
	return RESULT_OK;
}

void http_close(struct http *http)
{
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	curl_slist_free_all(http->json);
	curl_slist_free_all(http->lines);
	if (http->credentials != NULL)
		explicit_bzero(http->credentials, strlen(http->credentials));
	free(http->credentials);
	*http = (struct http){0};
}

/* --- one request ------------------------------------------------------------------------------------------------- */

/* The one that answered last, unless it has been away since. */
static size_t host_choose(const struct http *http)
{
	uint64_t now_us = clock_monotonic_us();
	size_t best = http->current, len = http->settings->urls_len;

	for (size_t i = 0; i < len; i++) {
		size_t host = (http->current + i) % len;
		if (http->away_until_us[host] <= now_us)
			return host;
		if (http->away_until_us[host] < http->away_until_us[best])
			best = host;
	}
	return best;
}

static void host_judge(struct http *http, const struct http_request *request)
{
	bool away = request->status == 0 || request->status == 502 || request->status == 503 || request->status == 504;

	http->away_until_us[request->host] = away ? clock_monotonic_us() + AWAY_US : 0;
	if (!away)
		http->current = request->host;
}

/* Of the machine's descriptors none may reach a program that this process becomes. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)context;
	(void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_answer(char *data, size_t size, size_t count, void *context)
{
	struct http_request *request = context;
	struct bytes piece = {(const uint8_t *)data, size * count};
	size_t most = request->answer_max ? request->answer_max : HTTP_ANSWER_MAX;
	size_t room = sizeof request->text - 1 - request->text_len;
	size_t shown = piece.len < room ? piece.len : room;

	memcpy(request->text + request->text_len, data, shown);
	request->text_len += shown;
	request->text[request->text_len] = '\0';
	if (piece.len > most - request->bytes)
		return CURL_WRITEFUNC_ERROR;
	request->bytes += piece.len;
	if (request->on_piece == NULL)
		buffer_append(&request->answer, piece.data, piece.len);
	else if (!request->on_piece(request->context, piece))
		return CURL_WRITEFUNC_ERROR;
	return piece.len;
}

/* What never changes is set once: the handle and its connections are used again. */
static void easy_make(struct http *http, struct http_request *request)
{
	const struct elasticsearch *settings = http->settings;
	CURL *easy = curl_easy_init();

	CHECK(easy != NULL);
	request->easy = easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(settings->timeout_us / 1000));
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEEP_S);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BYTES);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->words);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (settings->ca_file[0] != '\0')
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
	if (http->credentials != NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERPWD, http->credentials);
	}
}

static struct bytes body_pack(struct http_request *request)
{
	z_stream stream = {0};

	/* 16 more than the window's 15: a gzip header. */
	CHECK(deflateInit2(&stream, PACK_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	buffer_clear(&request->packed);
	size_t room = deflateBound(&stream, request->body.len);
	stream.next_in = (Bytef *)(uintptr_t)request->body.data;
	stream.avail_in = (uInt)request->body.len;
	stream.next_out = buffer_reserve(&request->packed, room);
	stream.avail_out = (uInt)room;
	CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
	request->packed.len = stream.total_out;
	deflateEnd(&stream);
	return buffer_bytes(&request->packed);
}

/* Everything that an earlier request on this handle may have set otherwise. */
static void easy_set(struct http *http, struct http_request *request)
{
	CURL *easy = request->easy;
	struct bytes body = request->body;
	bool head = strcmp(request->method, "HEAD") == 0;

	if (body.data != NULL && request->lines && http->packs)
		body = body_pack(request);
	curl_easy_setopt(easy, CURLOPT_URL, (const char *)request->url.data);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->lines ? http->lines : http->json);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
	curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
	if (body.data != NULL) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)body.data); /* not copied */
	} else {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	}
	if (head)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

void http_start(struct http *http, struct http_request *request)
{
	CHECK(!request->busy);
	if (request->easy == NULL)
		easy_make(http, request);
	request->host = host_choose(http);
	request->busy = true;
	request->done = request->unsafe = request->late = false;
	request->status = 0;
	request->bytes = request->text_len = 0;
	request->text[0] = request->failure[0] = request->words[0] = '\0';
	buffer_clear(&request->answer);
	buffer_clear(&request->url);
	buffer_append_text(&request->url, http->settings->urls[request->host]);
	buffer_append(&request->url, request->path.data, request->path.len);
	buffer_append(&request->url, "", 1);
	easy_set(http, request);
	CHECK(curl_multi_add_handle(http->multi, request->easy) == CURLM_OK);
	request->started_us = clock_monotonic_us();
	request->next = http->under_way;
	http->under_way = request;
}

/* --- what comes back --------------------------------------------------------------------------------------------- */

static bool is_unsafe(CURLcode code)
{
	switch ((int)code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_USE_SSL_FAILED:
		return true;
	default:
		return false;
	}
}

/* Done, or taken back. */
static void request_leave(struct http *http, struct http_request *request)
{
	struct http_request **at = &http->under_way;

	request->busy = false;
	curl_multi_remove_handle(http->multi, request->easy);
	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
}

/* libcurl's words name hosts, ports and times, and no credentials: these are in no url. */
static void request_end(struct http *http, struct http_request *request, CURLcode code)
{
	request_leave(http, request);
	request->done = true;
	if (code == CURLE_OK) {
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
	} else {
		request->unsafe = is_unsafe(code);
		request->late = code == CURLE_OPERATION_TIMEDOUT;
		(void)snprintf(request->failure, sizeof request->failure, "%s",
		    code == CURLE_WRITE_ERROR   ? "an answer that is none of Elasticsearch's, or too long"
		    : request->words[0] != '\0' ? request->words
		                                : curl_easy_strerror(code));
	}
	http->last_status = request->status;
	host_judge(http, request);
}

/* Whether any request is done. */
static bool messages_take(struct http *http)
{
	CURLMsg *message;
	bool any = false;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		char *request = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result; /* the message goes with the handle */
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		request_end(http, (struct http_request *)request, code);
		any = true;
	}
	return any;
}

void http_push(struct http *http)
{
	int running;

	CHECK(curl_multi_perform(http->multi, &running) == CURLM_OK);
}

static const struct http_request *request_oldest(const struct http *http)
{
	const struct http_request *oldest = http->under_way;

	while (oldest != NULL && oldest->next != NULL)
		oldest = oldest->next;
	return oldest;
}

/* Here all requests pass. */
static void silence_look(struct http *http)
{
	const struct http_request *oldest = request_oldest(http);
	struct elastic_silence silence = {.where = http->settings->urls[http->current], .status = http->last_status};
	char what[128];

	if (oldest != NULL) {
		const uint8_t *query = memchr(oldest->path.data, '?', oldest->path.len);
		size_t len = query != NULL ? (size_t)(query - oldest->path.data) : oldest->path.len;
		(void)snprintf(what, sizeof what, "%s %.*s", oldest->method, (int)len, (const char *)oldest->path.data);
		silence.where = http_where(http, oldest);
		silence.since_us = oldest->started_us;
		silence.what = what;
	}
	elastic_wait_look(&http->wait, &silence);
}

bool http_wait(struct http *http, int timeout_ms)
{
	struct curl_waitfd stop = {.fd = http->stop_fd, .events = CURL_WAIT_POLLIN};
	int running;

	CHECK(curl_multi_perform(http->multi, &running) == CURLM_OK);
	if (messages_take(http)) {
		timeout_ms = 0;
	} else {
		const struct http_request *oldest = request_oldest(http);
		timeout_ms = elastic_wait_ms(&http->wait, oldest != NULL ? oldest->started_us : 0, timeout_ms);
	}
	CHECK(curl_multi_poll(http->multi, &stop, 1, timeout_ms, NULL) == CURLM_OK);
	if (stop.revents != 0)
		http->stopped = true;
	CHECK(curl_multi_perform(http->multi, &running) == CURLM_OK);
	(void)messages_take(http);
	silence_look(http);
	return !http->stopped;
}

void http_cancel(struct http *http, struct http_request *request)
{
	if (request->busy)
		request_leave(http, request);
}

bool http_finish(struct http *http, struct http_request *request)
{
	while (!request->done) {
		if (!http_wait(http, 1000)) {
			http_cancel(http, request);
			return false;
		}
		if (http->meanwhile != NULL)
			http->meanwhile(http->context);
	}
	return true;
}

bool http_do(struct http *http, struct http_request *request)
{
	http_start(http, request);
	return http_finish(http, request);
}

void http_request_fini(struct http_request *request)
{
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	buffer_fini(&request->path);
	buffer_fini(&request->answer);
	buffer_fini(&request->url);
	buffer_fini(&request->packed);
	*request = (struct http_request){0};
}

const char *http_where(const struct http *http, const struct http_request *request)
{
	return http->settings->urls[request->host];
}

void http_put_escaped(struct buffer *path, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text != '\0'; text++)
		if (strchr(plain, *text) != NULL)
			buffer_append(path, text, 1);
		else
			buffer_printf(path, "%%%02X", (uint8_t)*text);
}
