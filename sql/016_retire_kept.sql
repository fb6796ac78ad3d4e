-- 016: what makes checkpoints superfluous is named with them. Any newer one was enough before: after a failover it could be one that had been
-- given up, whose name came back, and the last checkpoint that could be restored was retired.

-- Names these checkpoints ([[attempt, epoch], ...]) no longer, while the oldest one kept is named. Decisions in front of that one are in no
-- replay any more; a partition that oldest_cut does not name is replayed from its beginning.
CREATE FUNCTION sluice.checkpoint_retire(the_job text, my_fence bigint, retired jsonb, the_topic text, oldest_cut jsonb,
	place tid, kept_attempt bigint, kept_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence, place);
	PERFORM FROM sluice.checkpoints c WHERE c.job = the_job AND c.attempt = kept_attempt AND c.epoch = kept_epoch;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'checkpoint %.% of job % is not named here, and older ones were to be retired', kept_attempt, kept_epoch, the_job
			USING ERRCODE = 'SL002';
	END IF;
	DELETE FROM sluice.checkpoints c USING jsonb_array_elements(retired) r
	WHERE c.job = the_job AND c.attempt = (r.value ->> 0)::bigint AND c.epoch = (r.value ->> 1)::bigint;
	DELETE FROM sluice.decisions d USING jsonb_each_text(oldest_cut) o
	WHERE d.job = the_job AND d.topic = the_topic AND d."partition" = o.key::integer AND d."offset" < o.value::bigint;
END
$$;

DROP FUNCTION sluice.checkpoint_retire(text, bigint, jsonb, text, jsonb, tid);
