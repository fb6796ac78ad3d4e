/* common/state/files.h - folders and files that are durable, and what errno means for whoever waits for them. */
#ifndef STATE_FILES_H
#define STATE_FILES_H

#include "common/base/buffer.h"
#include "common/base/error.h"

/* errno in words: CONFIG where a person has to act (rights, not a folder), else RETRY. */
enum result file_failed(struct error *error, const char *what, const char *path);
enum result file_write(int fd, struct bytes bytes, const char *path, struct error *error) MUST_USE;
enum result folder_sync(const char *path, struct error *error) MUST_USE;
/* Like mkdir -p. All names of the path are durable afterwards, also those of folders that somebody had made and was killed before they
 * were. */
enum result folders_make(const char *path, struct error *error) MUST_USE;
/* The same where the folder's parent has been made like that already: only the last name is seen to. */
enum result folder_make(const char *path, struct error *error) MUST_USE;
/* Removes a folder with all that is in it; what cannot be removed stays. */
void folder_remove(const char *path);
/* The same with what is in it, but for one entry. */
void folder_empty(const char *path, const char *but);

#endif
