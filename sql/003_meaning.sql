-- 003: after a clean stop a job goes on with a pipeline file of another meaning, where that touches no state.

-- The checkpoint, and its cut, behind which records are judged by the meaning that is recorded; NULL: it was so from the start.
ALTER TABLE sluice.frontier ADD COLUMN meant_attempt bigint NOT NULL DEFAULT 0;
ALTER TABLE sluice.frontier ADD COLUMN meant_epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE sluice.frontier ADD COLUMN meant_from jsonb;
ALTER TABLE sluice.frontier ALTER COLUMN meant_from SET STORAGE EXTERNAL;

-- The checkpoint restored gets a new name with the new meaning. Only where nothing would be replayed; and those before it are
-- restored no more: a replay from them would judge by the new meaning what was judged by the old. They stay named until
-- they are retired, for a failover that loses this change. The frontier moves to the new name, as if it were an empty epoch: so
-- the next commit notices such a failover. Harmless when repeated.
CREATE FUNCTION sluice.checkpoint_rename(the_job text, my_fence bigint, old_attempt bigint, old_epoch bigint,
	new_attempt bigint, new_epoch bigint, the_fingerprint text, the_meaning text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence);
	PERFORM FROM sluice.checkpoints c JOIN sluice.frontier f USING (job)
	WHERE c.job = the_job AND c.attempt = new_attempt AND c.epoch = new_epoch AND f.fingerprint = the_fingerprint;
	IF FOUND THEN
		RETURN;
	END IF;
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut)
	SELECT the_job, new_attempt, new_epoch, c.cut
	FROM sluice.checkpoints c JOIN sluice.frontier f USING (job)
	WHERE c.job = the_job AND c.attempt = old_attempt AND c.epoch = old_epoch AND c.cut = f.cut;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'checkpoint %.% of job % is not named here, or does not lie at the frontier', old_attempt, old_epoch,
			the_job USING ERRCODE = 'SL002';
	END IF;
	DELETE FROM sluice.checkpoints c
	WHERE c.job = the_job AND (c.attempt, c.epoch) > (old_attempt, old_epoch)
		AND (c.attempt, c.epoch) <> (new_attempt, new_epoch);
	UPDATE sluice.frontier f
	SET attempt = new_attempt, epoch = new_epoch, fingerprint = the_fingerprint, meaning = the_meaning, meant_attempt = new_attempt, meant_epoch = new_epoch,
		meant_from = f.cut
	WHERE f.job = the_job;
END
$$;
