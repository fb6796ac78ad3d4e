#include "common/base/settings.h"

#include <string.h>
#include <strings.h>

/* --- values ---------------------------------------------------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit durations[] = {
    {"d", UINT64_C(86400000000)},
    {"h", UINT64_C(3600000000)},
    {"m", 60000000},
    {"s", 1000000},
    {"ms", 1000},
    {"us", 1},
};
static const struct unit sizes[] = {
    {"GiB", 1 << 30},
    {"GB", 1000000000},
    {"MiB", 1 << 20},
    {"MB", 1000000},
    {"KiB", 1 << 10},
    {"kB", 1000},
    {"B", 1},
    {"", 1},
};
#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

bool count_parse(const char *text, uint64_t most, uint64_t *count)
{
	*count = 0;
	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(*count, 10, count) ||
		    __builtin_add_overflow(*count, (uint64_t)(*text - '0'), count))
			return false;
	return *text == '\0' && *count <= most;
}

static bool unit_parse(const char *text, const struct unit *units, size_t units_len, uint64_t *value)
{
	char digits[24];
	size_t len = strspn(text, "0123456789");
	if (len >= sizeof digits)
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!count_parse(digits, UINT64_MAX, value))
		return false;
	for (size_t i = 0; i < units_len; i++)
		if (strcasecmp(text + len, units[i].name) == 0)
			return !__builtin_mul_overflow(*value, units[i].factor, value);
	return false;
}

bool duration_parse(const char *text, uint64_t *us)
{
	return unit_parse(text, durations, LENGTH(durations), us);
}

bool size_parse(const char *text, uint64_t *bytes)
{
	return unit_parse(text, sizes, LENGTH(sizes), bytes);
}

static void unit_print(uint64_t value, const struct unit *units, struct buffer *out)
{
	while (value % units->factor != 0)
		units++; /* a unit of 1 ends every table */
	buffer_printf(out, "%llu%s", (unsigned long long)(value / units->factor), units->name);
}

void duration_print(uint64_t us, struct buffer *out)
{
	if (us == 0)
		buffer_append_text(out, "0s");
	else
		unit_print(us, durations, out);
}

void size_print(uint64_t bytes, struct buffer *out)
{
	if (bytes == 0)
		buffer_append_text(out, "0");
	else
		unit_print(bytes, sizes, out);
}

/* --- suggestions ----------------------------------------------------------------------------------------------- */

static size_t least_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
	return strncasecmp(&a, &b, 1) == 0;
}

size_t text_distance(const char *a, const char *b)
{
	enum { LETTERS = 64 };
	size_t a_len = strlen(a), b_len = strlen(b);
	if (a_len >= LETTERS || b_len >= LETTERS)
		return SIZE_MAX;
	size_t table[LETTERS][LETTERS]; /* [i][j]: from the first i letters of a to the first j of b */
	for (size_t i = 0; i <= a_len; i++)
		for (size_t j = 0; j <= b_len; j++) {
			if (i == 0 || j == 0) {
				table[i][j] = i + j;
				continue;
			}
			size_t change = same_letter(a[i - 1], b[j - 1]) ? 0 : 1;
			table[i][j] =
			    least_of(table[i - 1][j - 1] + change, least_of(table[i - 1][j], table[i][j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
				table[i][j] = least_of(table[i][j], table[i - 2][j - 2] + 1);
		}
	return table[a_len][b_len];
}

/* --- texts -------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";
	return text[0] != '\0' && text[0] != '-' && text[0] != '.' && strcmp(text, "null") != 0 &&
	       strspn(text, safe) == strlen(text);
}

/* Length of the character at text where YAML wants it escaped although it is not ASCII: C1 controls, the line and
 * paragraph separators, the byte order mark and the two that are no characters; else 0. */
static size_t rare_character(const unsigned char *text, unsigned *code)
{
	if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f) {
		*code = text[1];
		return 2;
	}
	if ((text[0] == 0xe2 || text[0] == 0xef) && (text[1] & 0xc0) == 0x80 && (text[2] & 0xc0) == 0x80) {
		*code = (text[0] & 15U) << 12 | (text[1] & 63U) << 6 | (text[2] & 63U);
		if (*code == 0x2028 || *code == 0x2029 || *code == 0xfeff || *code >= 0xfffe)
			return 3;
	}
	return 0;
}

/* One character of a text in double quotes; returns its length. */
static size_t print_character(const char *text, struct buffer *out)
{
	unsigned code;
	size_t rare = rare_character((const unsigned char *)text, &code);
	if (rare > 0) {
		buffer_printf(out, "\\u%04x", code);
		return rare;
	}
	if (*text == '"' || *text == '\\')
		buffer_printf(out, "\\%c", *text);
	else if ((unsigned char)*text < 0x20 || *text == 0x7f)
		buffer_printf(out, "\\x%02x", (unsigned char)*text);
	else
		buffer_append(out, text, 1);
	return 1;
}

void yaml_print_text(const char *text, struct buffer *out)
{
	if (is_plain(text)) {
		buffer_append_text(out, text);
		return;
	}
	buffer_append_text(out, "\"");
	bool in_reference = false; /* between a literal ${ and its } */
	while (*text != '\0') {
		if (!in_reference && strncmp(text, "${", 2) == 0 && strchr(text, '}') != NULL) {
			buffer_append_text(out, "${{");
			in_reference = true;
			text += 2;
		} else if (in_reference && *text == '}') {
			buffer_append_text(out, "}}");
			in_reference = false;
			text++;
		} else {
			text += print_character(text, out);
		}
	}
	buffer_append_text(out, "\"");
}
