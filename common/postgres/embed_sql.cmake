# Writes the files sql/NNN_*.sql as a C table: cmake -DSQL_DIR=... -DOUT=... -P embed_sql.cmake
file(GLOB files ${SQL_DIR}/[0-9][0-9][0-9]_*.sql)
list(SORT files)
set(texts "")
set(rows "")
foreach(file ${files})
  get_filename_component(name ${file} NAME)
  string(SUBSTRING ${name} 0 3 number)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  string(APPEND texts "static const char sql_${number}[] = {\n${bytes}0};\n")
  math(EXPR version "1${number} - 1000")
  string(APPEND rows "\t{${version}, \"${name}\", sql_${number}},\n")
endforeach()
file(WRITE ${OUT} "/* Generated from sql/ by embed_sql.cmake. */
#include \"common/postgres/postgres_schema.h\"

${texts}
const struct migration migrations[] = {
${rows}};
const size_t migrations_len = sizeof migrations / sizeof migrations[0];
")
