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

-- place: where the writer saw the row's newest version, or thinks so; the way to the next one is returned. new_sums: NULL: not known.
-- Counters are added modulo 2^64: `digest` is not a count of anything.
CREATE FUNCTION sluice.frontier_advance(the_job text, my_fence bigint, from_attempt bigint, from_epoch bigint,
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, new_sums jsonb, place tid) RETURNS tid LANGUAGE plpgsql AS $$
DECLARE
	new_place tid;
BEGIN
	FOR look IN 1..2 LOOP
		UPDATE sluice.frontier f
		SET attempt = to_attempt, epoch = to_epoch, cut = to_cut, committed_at = clock_timestamp(), sums = new_sums,
			counters = f.counters || (
				SELECT coalesce(jsonb_object_agg(m.key,
					mod(coalesce((f.counters ->> m.key)::numeric, 0) + m.value::numeric, 18446744073709551616)), '{}')
				FROM jsonb_each_text(more) m)
		WHERE f.ctid = place AND f.job = the_job AND f.fence = my_fence AND f.attempt = from_attempt AND f.epoch = from_epoch
			AND f.cut IS NOT NULL
		RETURNING f.ctid INTO new_place;
		IF FOUND THEN
			RETURN new_place;
		END IF;
		SELECT f.ctid INTO place FROM sluice.frontier f WHERE f.job = the_job FOR UPDATE;
	END LOOP;
	PERFORM sluice.frontier_refuse(the_job, my_fence);
	RETURN NULL;
END
$$;

CREATE FUNCTION sluice.frontier_advance_checkpoint(the_job text, my_fence bigint, from_attempt bigint, from_epoch bigint,
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, new_sums jsonb, place tid) RETURNS tid LANGUAGE plpgsql AS $$
BEGIN
	place := sluice.frontier_advance(
		the_job, my_fence, from_attempt, from_epoch, to_attempt, to_epoch, to_cut, more, new_sums, place);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums)
	SELECT the_job, to_attempt, to_epoch, to_cut, f.counters, f.sums FROM sluice.frontier f WHERE f.ctid = place;
	RETURN place;
END
$$;

DROP FUNCTION sluice.frontier_advance_checkpoint(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb, tid);
DROP FUNCTION sluice.frontier_advance(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb, tid);

-- A checkpoint in silence: what it covers is in the database already, so the frontier stays. Harmless when repeated.
CREATE FUNCTION sluice.checkpoint_mark(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint,
	the_attempt bigint, the_epoch bigint, the_cut jsonb, the_counters jsonb, the_sums jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.frontier_hold(the_job, my_fence, at_attempt, at_epoch);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums)
	VALUES (the_job, the_attempt, the_epoch, the_cut, the_counters, the_sums)
	ON CONFLICT DO NOTHING;
END
$$;

DROP FUNCTION sluice.checkpoint_mark(text, bigint, bigint, bigint, bigint, bigint, jsonb);

-- What an epoch wrote is counted by the server, and compared with what was sent before it is committed (services/sink/postgres_written.h).
-- Of each table two numbers: rows inserted or updated, and rows deleted; before: as the transaction began; sent: NULL: any number. Raises
-- for the first that differs.
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
		IF found <> sent[i] THEN
			RAISE EXCEPTION 'table %: % rows were sent to be %, but PostgreSQL counts %', the_tables[(i + 1) / 2]::regclass,
				sent[i], CASE WHEN is_deleted THEN 'deleted' ELSE 'written' END, found USING ERRCODE = 'SL004';
		END IF;
	END LOOP;
	RETURN true;
END
$$;
