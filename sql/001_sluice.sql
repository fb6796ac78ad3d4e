-- 001: what Sluice itself has to remember, in a schema of its own.
--
-- Applied once, in one transaction, by `sluicectl init` and by every sink writer at its start. Never changed after a
-- release: the next change is the next number.

DO $$
BEGIN
	-- Not IF NOT EXISTS: that asks for the right to create schemas even where there is nothing to create.
	IF to_regnamespace('sluice') IS NULL THEN
		CREATE SCHEMA sluice;
	END IF;
END
$$;

CREATE TABLE sluice.migrations (
	version    integer PRIMARY KEY,
	applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row a job. `fence` is raised by recovery, strictly; (attempt, epoch) is the epoch last committed and is changed by
-- a commit only. A cut that is NULL: the job has never been started.
--
-- The row changes many times a second: half of each page stays free for the next versions, and the text of the pipeline
-- file's meaning lies beside the row instead of being copied with every version of it.
CREATE TABLE sluice.frontier (
	job          text PRIMARY KEY,
	fence        bigint NOT NULL DEFAULT 0,
	attempt      bigint NOT NULL DEFAULT 0,
	epoch        bigint NOT NULL DEFAULT 0,
	cut          jsonb,
	counters     jsonb NOT NULL DEFAULT '{}',
	fingerprint  text,
	meaning      text,
	committed_at timestamptz
) WITH (fillfactor = 50, toast_tuple_target = 128);
ALTER TABLE sluice.frontier
	ALTER COLUMN cut SET STORAGE MAIN,
	ALTER COLUMN counters SET STORAGE MAIN,
	ALTER COLUMN meaning SET STORAGE EXTERNAL;

-- Identities of the checkpoints that may be restored; the files are elsewhere. (0,0) is the start.
CREATE TABLE sluice.checkpoints (
	job        text NOT NULL,
	attempt    bigint NOT NULL,
	epoch      bigint NOT NULL,
	cut        jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (job, attempt, epoch)
);

-- Records whose fate depended on arrival, decided once. `epoch` is for people.
CREATE TABLE sluice.decisions (
	job         text NOT NULL,
	topic       text NOT NULL,
	"partition" integer NOT NULL,
	"offset"    bigint NOT NULL,
	verdict     text NOT NULL,
	epoch       text NOT NULL,
	PRIMARY KEY (job, topic, "partition", "offset")
);

-- Why a guarded change found no row. Always raises: an UPDATE of no row is no error to PostgreSQL, but it is one to us.
CREATE FUNCTION sluice.frontier_refuse(the_job text, my_fence bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	now_at sluice.frontier;
BEGIN
	SELECT * INTO now_at FROM sluice.frontier WHERE job = the_job;
	IF now_at.fence IS DISTINCT FROM my_fence THEN
		RAISE EXCEPTION 'the fence of job % is at %, this writer has %', the_job, now_at.fence, my_fence
			USING ERRCODE = 'SL001', DETAIL = coalesce(now_at.fence::text, '');
	END IF;
	RAISE EXCEPTION 'the frontier of job % is at %.%, which is not the epoch that this writer left', the_job,
		now_at.attempt, now_at.epoch USING ERRCODE = 'SL002';
END
$$;

-- The first statement of an epoch's transaction: compare with fence and predecessor, then move.
CREATE FUNCTION sluice.frontier_advance(the_job text, my_fence bigint, from_attempt bigint, from_epoch bigint,
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f
	SET attempt = to_attempt, epoch = to_epoch, cut = to_cut, committed_at = clock_timestamp(),
		counters = f.counters || (
			SELECT coalesce(jsonb_object_agg(m.key, coalesce((f.counters ->> m.key)::numeric, 0) + m.value::numeric), '{}')
			FROM jsonb_each_text(more) m)
	WHERE f.job = the_job AND f.fence = my_fence AND f.attempt = from_attempt AND f.epoch = from_epoch
		AND f.cut IS NOT NULL;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
END
$$;

-- The start, once: the cut that was resolved, what the pipeline file meant, and checkpoint (0,0).
CREATE FUNCTION sluice.frontier_start(the_job text, my_fence bigint, start_cut jsonb, the_fingerprint text,
	the_meaning text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f
	SET cut = start_cut, fingerprint = the_fingerprint, meaning = the_meaning, committed_at = clock_timestamp()
	WHERE f.job = the_job AND f.fence = my_fence AND f.cut IS NULL;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut) VALUES (the_job, 0, 0, start_cut);
END
$$;

-- A sign of life of an idle writer.
CREATE FUNCTION sluice.frontier_touch(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f SET committed_at = clock_timestamp()
	WHERE f.job = the_job AND f.fence = my_fence AND f.attempt = at_attempt AND f.epoch = at_epoch;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
END
$$;
