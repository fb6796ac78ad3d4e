-- 008: what exactness rests on outside the log, as it was when it was first seen; asked again and compared at every attempt.
-- `name` says what, with a dot between what it is of and what it is: kafka.cluster_id, time_zone.rules, table.transactions.
CREATE TABLE sluice.remembered (
	job   text NOT NULL,
	name  text NOT NULL,
	value text NOT NULL,
	since timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (job, name)
);

-- What a person did to a job by a verb of sluicectl: accepted something that had changed, skipped records. The audit reads it.
CREATE TABLE sluice.interventions (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	job    text NOT NULL,
	verb   text NOT NULL,
	detail jsonb NOT NULL,
	at     timestamptz NOT NULL DEFAULT now()
);
