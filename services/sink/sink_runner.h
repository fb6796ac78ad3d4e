/* services/sink/sink_runner.h - for whom a writer writes.
 *
 * One coordinator runs a job. A fence decides between attempts, whoever makes them: two coordinators would end each other's for ever. So a
 * writer looks before it raises the fence: where that of another coordinator is at work, it says so and tries again, and takes over
 * when that one has ended or fallen silent. Nothing rests on this but peace: two that overlook each other are decided by the fence.
 */
#ifndef SINK_RUNNER_H
#define SINK_RUNNER_H

enum { RUNNER_NAME_MAX = 256 };

struct sink_runner {
	char coordinator[RUNNER_NAME_MAX]; /* its address, and of which host; see main.c */
	char process[192]; /* for people */
};

#endif
