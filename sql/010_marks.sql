-- 010: the last record in front of a cut is remembered, by partition: {"0": "11:00c0ffee00c0ffee"} is its offset, and a hash of Kafka's
-- timestamp, key and payload. Whoever reads the topic next reads it again, and knows by it whether this is still the same log.

-- It changes with every epoch: like the cut it stays in the row.
ALTER TABLE sluice.frontier ADD COLUMN marks jsonb NOT NULL DEFAULT '{}';
ALTER TABLE sluice.frontier ALTER COLUMN marks SET STORAGE MAIN;
ALTER TABLE sluice.checkpoints ADD COLUMN marks jsonb NOT NULL DEFAULT '{}';

-- Moves the frontier. place: where the writer saw the row's newest version, or thinks so; the way to the next one is returned. new_sums:
-- NULL: not known. Counters are added modulo 2^64: `digest` is not a count of anything.
CREATE FUNCTION sluice.frontier_advance(the_job text, my_fence bigint, from_attempt bigint, from_epoch bigint,
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, new_sums jsonb, place tid,
	to_marks jsonb) RETURNS tid LANGUAGE plpgsql AS $$
DECLARE
	new_place tid;
BEGIN
	FOR look IN 1..2 LOOP
		UPDATE sluice.frontier f
		SET attempt = to_attempt, epoch = to_epoch, cut = to_cut, marks = to_marks, committed_at = clock_timestamp(), sums = new_sums,
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
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, new_sums jsonb, place tid,
	to_marks jsonb) RETURNS tid LANGUAGE plpgsql AS $$
BEGIN
	place := sluice.frontier_advance(
		the_job, my_fence, from_attempt, from_epoch, to_attempt, to_epoch, to_cut, more, new_sums, place, to_marks);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums, marks)
	SELECT the_job, to_attempt, to_epoch, to_cut, f.counters, f.sums, f.marks FROM sluice.frontier f WHERE f.ctid = place;
	RETURN place;
END
$$;

DROP FUNCTION sluice.frontier_advance_checkpoint(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb, tid);
DROP FUNCTION sluice.frontier_advance(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb, tid);

-- A checkpoint in silence: what it covers is in the database already, so the frontier stays. Harmless when repeated.
CREATE FUNCTION sluice.checkpoint_mark(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint,
	the_attempt bigint, the_epoch bigint, the_cut jsonb, the_counters jsonb, the_sums jsonb,
	the_marks jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.frontier_hold(the_job, my_fence, at_attempt, at_epoch);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums, marks)
	VALUES (the_job, the_attempt, the_epoch, the_cut, the_counters, the_sums, the_marks)
	ON CONFLICT DO NOTHING;
END
$$;

DROP FUNCTION sluice.checkpoint_mark(text, bigint, bigint, bigint, bigint, bigint, jsonb);

-- Facts ({"kafka.cluster_id": "..."}) are remembered from now on. Only for whoever has the fence.
CREATE FUNCTION sluice.facts_remember(the_job text, my_fence bigint, facts jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence);
	INSERT INTO sluice.remembered (job, name, value)
	SELECT the_job, n.key, n.value FROM jsonb_each_text(facts) n
	ON CONFLICT (job, name) DO UPDATE SET value = excluded.value, since = now();
END
$$;
