/* services/coordinator/coordinator.h - owns a job: who takes part, what is restored, when a barrier is injected, what is
 * committed. It moves no data and knows neither Kafka nor PostgreSQL. Each job has one of its own; they share a process and its
 * control link.
 *
 * Deterministic: events and ticks in, commands out through its port. main.c and tests/sim drive it.
 */
#ifndef COORDINATOR_H
#define COORDINATOR_H

#include "common/base/pipeline.h"
#include "common/runtime/topology.h"
#include "common/state/checkpoint_store.h"
#include "proto/frame.h"

struct coordinator;

struct coordinator_port {
	void (*command)(
	    struct coordinator_port *, const char *worker, uint64_t attempt, enum frame_kind kind, const void *body);
	/* The job is over: commands that are queued should still leave. */
	void (*stop)(struct coordinator_port *, int code, const char *why);
};

struct coordinator_config {
	const struct pipeline *pipeline;
	const char *zone_rules; /* of the pipeline's time zone: time_zone_rules */
	const char *job; /* <pipeline job>/totals */
	struct topology topology; /* of the job */
	struct checkpoint_store *store;
	struct coordinator_port *port;
	uint32_t expected_ingest, expected_aggregators; /* processes to wait for; 0: two quiet seconds decide */
};

struct coordinator *coordinator_new(const struct coordinator_config *config, uint64_t now_us);
void coordinator_free(struct coordinator *coordinator);

/* It has a handler. */
bool coordinator_hears(enum frame_kind kind);
void coordinator_on_event(
    struct coordinator *coordinator, const char *worker, const struct frame *event, uint64_t now_us);
void coordinator_on_lost(struct coordinator *coordinator, const char *worker, const char *why, uint64_t now_us);
void coordinator_on_tick(struct coordinator *coordinator, uint64_t now_us);
/* A clean stop: a last checkpoint, behind which nothing is read; then everybody ends with 0, see coordinator_port. */
void coordinator_stop(struct coordinator *coordinator, uint64_t now_us);
/* A checkpoint as soon as one is possible: a wish, whose number is in the next report. Not for a job that takes none. */
void coordinator_checkpoint(struct coordinator *coordinator, uint64_t now_us);
/* The one that is under way, or was the last; 0: none has begun. */
uint64_t coordinator_attempt(const struct coordinator *coordinator);
/* When on_tick wants to be called; 0: not before something happens. */
uint64_t coordinator_wake_us(const struct coordinator *coordinator);
/* Texts and lists are the arena's or the coordinator's: encode it at once. */
void coordinator_report(const struct coordinator *coordinator, struct arena *arena, struct frame_status_report *report);

#endif
