-- 002: checkpoints beyond the first: the start of the job stays known when checkpoint (0,0) is retired, and identities
-- are inserted, chosen and retired under the fence.

-- It never changes: like the meaning, it lies beside the row instead of being copied with every version of it.
ALTER TABLE sluice.frontier ADD COLUMN start jsonb;
ALTER TABLE sluice.frontier ALTER COLUMN start SET STORAGE EXTERNAL;
UPDATE sluice.frontier f SET start = (
	SELECT c.cut FROM sluice.checkpoints c WHERE c.job = f.job AND c.attempt = 0 AND c.epoch = 0);

CREATE OR REPLACE FUNCTION sluice.frontier_start(the_job text, my_fence bigint, start_cut jsonb, the_fingerprint text,
	the_meaning text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f
	SET cut = start_cut, start = start_cut, fingerprint = the_fingerprint, meaning = the_meaning,
		committed_at = clock_timestamp()
	WHERE f.job = the_job AND f.fence = my_fence AND f.cut IS NULL;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut) VALUES (the_job, 0, 0, start_cut);
END
$$;

-- The first statement where the frontier does not move, but must be where this writer left it until the transaction ends.
CREATE FUNCTION sluice.frontier_hold(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM sluice.frontier f
	WHERE f.job = the_job AND f.fence = my_fence AND f.attempt = at_attempt AND f.epoch = at_epoch AND f.cut IS NOT NULL
	FOR UPDATE;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
END
$$;

-- The first statement where only the fence counts.
CREATE FUNCTION sluice.fence_hold(the_job text, my_fence bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM sluice.frontier f WHERE f.job = the_job AND f.fence = my_fence FOR UPDATE;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
END
$$;

-- The epoch of a checkpoint: frontier_advance, and its identity. A failover that loses the epoch loses the identity.
CREATE FUNCTION sluice.frontier_advance_checkpoint(the_job text, my_fence bigint, from_attempt bigint,
	from_epoch bigint, to_attempt bigint, to_epoch bigint, to_cut jsonb, more jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.frontier_advance(the_job, my_fence, from_attempt, from_epoch, to_attempt, to_epoch, to_cut, more);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut) VALUES (the_job, to_attempt, to_epoch, to_cut);
END
$$;

-- A checkpoint in silence: what it covers is in the database already, so the frontier stays. Harmless when repeated.
CREATE FUNCTION sluice.checkpoint_mark(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint,
	the_attempt bigint, the_epoch bigint, the_cut jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.frontier_hold(the_job, my_fence, at_attempt, at_epoch);
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut) VALUES (the_job, the_attempt, the_epoch, the_cut)
	ON CONFLICT DO NOTHING;
END
$$;

-- This checkpoint is restored: the newer ones are branches that its history does not have.
CREATE FUNCTION sluice.checkpoint_choose(the_job text, my_fence bigint, the_attempt bigint, the_epoch bigint)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence);
	PERFORM FROM sluice.checkpoints c WHERE c.job = the_job AND c.attempt = the_attempt AND c.epoch = the_epoch;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'checkpoint %.% of job % is not named here (any more)', the_attempt, the_epoch, the_job
			USING ERRCODE = 'SL002';
	END IF;
	DELETE FROM sluice.checkpoints c
	WHERE c.job = the_job AND (c.attempt, c.epoch) > (the_attempt, the_epoch);
END
$$;

-- Names these checkpoints ([[attempt, epoch], ...]) no longer. Decisions in front of the oldest one kept are in no replay
-- any more; a partition that oldest_cut does not name is replayed from its beginning.
CREATE FUNCTION sluice.checkpoint_retire(the_job text, my_fence bigint, retired jsonb, the_topic text, oldest_cut jsonb)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence);
	-- A failover may have lost the very checkpoint that makes these superfluous: then they are all that is left.
	PERFORM FROM sluice.checkpoints c WHERE c.job = the_job AND (c.attempt, c.epoch) > ALL (
		SELECT (r.value ->> 0)::bigint, (r.value ->> 1)::bigint FROM jsonb_array_elements(retired) r);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no checkpoint of job % is named here that is newer than those to be retired', the_job
			USING ERRCODE = 'SL002';
	END IF;
	DELETE FROM sluice.checkpoints c USING jsonb_array_elements(retired) r
	WHERE c.job = the_job AND c.attempt = (r.value ->> 0)::bigint AND c.epoch = (r.value ->> 1)::bigint;
	DELETE FROM sluice.decisions d USING jsonb_each_text(oldest_cut) o
	WHERE d.job = the_job AND d.topic = the_topic AND d."partition" = o.key::integer AND d."offset" < o.value::bigint;
END
$$;
