-- 005: an epoch finds the frontier's row by its place. While somebody holds a snapshot open, PostgreSQL keeps every version of the
-- row, and a look through the index walks over all of them.

-- place: where the writer saw the row's newest version, or thinks so; the way to the next one is returned.
CREATE FUNCTION sluice.frontier_advance(the_job text, my_fence bigint, from_attempt bigint, from_epoch bigint,
	to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, place tid) RETURNS tid LANGUAGE plpgsql AS $$
DECLARE
	new_place tid;
BEGIN
	FOR look IN 1..2 LOOP
		UPDATE sluice.frontier f
		SET attempt = to_attempt, epoch = to_epoch, cut = to_cut, committed_at = clock_timestamp(),
			counters = f.counters || (
				SELECT coalesce(jsonb_object_agg(m.key, coalesce((f.counters ->> m.key)::numeric, 0) + m.value::numeric), '{}')
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

CREATE FUNCTION sluice.frontier_advance_checkpoint(the_job text, my_fence bigint, from_attempt bigint,
	from_epoch bigint, to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb, place tid) RETURNS tid LANGUAGE plpgsql AS $$
BEGIN
	place := sluice.frontier_advance(the_job, my_fence, from_attempt, from_epoch, to_attempt, to_epoch, to_cut, more, place);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut) VALUES (the_job, to_attempt, to_epoch, to_cut);
	RETURN place;
END
$$;

DROP FUNCTION sluice.frontier_advance_checkpoint(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb);
DROP FUNCTION sluice.frontier_advance(text, bigint, bigint, bigint, bigint, bigint, jsonb, jsonb);
