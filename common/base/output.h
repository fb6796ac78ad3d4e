/* common/base/output.h - what a program prints counts only once it is written.
 *
 * Every main is: output_open, the work, and output_end with what came of it.
 *
 * Errors: a full disk, a closed stdout: words on stderr. A reader that has seen enough (| head) gets none. The exit code is EXIT_OUTPUT
 *         in both cases, unless the program has a worse one to tell.
 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

enum { EXIT_OUTPUT = 74 };

/* A standard descriptor that is closed would be that of the next file or connection: what is printed would go there. */
void output_open(void);
/* The exit code. program: its name, for words. */
int output_end(const char *program, int code);

#endif
