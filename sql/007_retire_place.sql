-- 007: retiring a checkpoint, every few seconds, finds the frontier's row by its place as an epoch does (005): through the index it
-- held the next epoch up for 30 to 70 ms once somebody had held a snapshot open for minutes.

-- place: where the writer saw the row's newest version, or thinks so.
CREATE FUNCTION sluice.fence_hold(the_job text, my_fence bigint, place tid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM sluice.frontier f WHERE f.ctid = place AND f.job = the_job AND f.fence = my_fence FOR UPDATE;
	IF NOT FOUND THEN
		PERFORM sluice.fence_hold(the_job, my_fence);
	END IF;
END
$$;

-- Names these checkpoints ([[attempt, epoch], ...]) no longer. Decisions in front of the oldest one kept are in no replay
-- any more; a partition that oldest_cut does not name is replayed from its beginning.
CREATE FUNCTION sluice.checkpoint_retire(the_job text, my_fence bigint, retired jsonb, the_topic text, oldest_cut jsonb,
	place tid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence, place);
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

DROP FUNCTION sluice.checkpoint_retire(text, bigint, jsonb, text, jsonb);
