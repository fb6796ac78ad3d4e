-- 009: what a replay has to come to. A checkpoint keeps the frontier's counters as they were there, and both keep what all totals add up
-- to (common/state/sums.h). NULL: a row of before this migration; it is not compared, and the frontier's is set by the next epoch.
--
-- counted_from_start: counters and sums of this job are complete, for it has begun since.

ALTER TABLE sluice.frontier ADD COLUMN sums jsonb;
ALTER TABLE sluice.frontier ADD COLUMN counted_from_start boolean NOT NULL DEFAULT false;
ALTER TABLE sluice.frontier ALTER COLUMN sums SET STORAGE MAIN;
ALTER TABLE sluice.checkpoints ADD COLUMN counters jsonb;
ALTER TABLE sluice.checkpoints ADD COLUMN sums jsonb;

CREATE OR REPLACE FUNCTION sluice.frontier_start(the_job text, my_fence bigint, start_cut jsonb, the_fingerprint text,
	the_meaning text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f
	SET cut = start_cut, start = start_cut, fingerprint = the_fingerprint, meaning = the_meaning, counters = '{}', sums = '{}',
		counted_from_start = true, committed_at = clock_timestamp()
	WHERE f.job = the_job AND f.fence = my_fence AND f.cut IS NULL;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums)
	VALUES (the_job, 0, 0, start_cut, '{}', '{}');
END
$$;

-- What an epoch wrote is counted by the server, and compared with what was sent before it is committed (services/sink/postgres_written.h).
-- Of each table two numbers: rows inserted or updated, and rows deleted, of which fewer are right, too; before: as the transaction began.
-- Raises for the first that differs.
CREATE FUNCTION sluice.rows_differ(the_tables oid[], before bigint[], sent bigint[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	is_deleted boolean;
	found bigint;
BEGIN
	FOR i IN 1..array_length(sent, 1) LOOP
		is_deleted := i % 2 = 0;
		found := CASE WHEN is_deleted THEN pg_stat_get_xact_tuples_deleted(the_tables[i / 2])
			ELSE pg_stat_get_xact_tuples_inserted(the_tables[(i + 1) / 2])
				+ pg_stat_get_xact_tuples_updated(the_tables[(i + 1) / 2]) END - before[i];
		IF found > sent[i] OR found < sent[i] AND NOT is_deleted THEN
			RAISE EXCEPTION 'table %: % rows were sent to be %, but PostgreSQL counts %', the_tables[(i + 1) / 2]::regclass,
				sent[i], CASE WHEN is_deleted THEN 'deleted' ELSE 'written' END, found USING ERRCODE = 'SL004';
		END IF;
	END LOOP;
	RETURN true;
END
$$;
