-- 014: totals may be given more digits at any restart, not only after a clean stop: every record is judged as before, so a replay comes
-- to the same, and the checkpoint restored need not lie at the frontier.

-- replayable: nothing changed but that. Then records behind the checkpoint's cut are still judged by what was recorded before, which
-- is the same: meant_from stays. Otherwise as in 003.
CREATE FUNCTION sluice.checkpoint_rename(the_job text, my_fence bigint, old_attempt bigint, old_epoch bigint,
	new_attempt bigint, new_epoch bigint, the_fingerprint text, the_meaning text, replayable boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM sluice.fence_hold(the_job, my_fence);
	PERFORM FROM sluice.checkpoints c JOIN sluice.frontier f USING (job)
	WHERE c.job = the_job AND c.attempt = new_attempt AND c.epoch = new_epoch AND f.fingerprint = the_fingerprint;
	IF FOUND THEN
		RETURN;
	END IF;
	INSERT INTO sluice.checkpoints (job, attempt, epoch, cut, counters, sums, marks)
	SELECT the_job, new_attempt, new_epoch, c.cut, c.counters, c.sums, c.marks
	FROM sluice.checkpoints c JOIN sluice.frontier f USING (job)
	WHERE c.job = the_job AND c.attempt = old_attempt AND c.epoch = old_epoch AND (c.cut = f.cut OR replayable);
	IF NOT FOUND THEN
		RAISE EXCEPTION 'checkpoint %.% of job % is not named here, or does not lie at the frontier', old_attempt, old_epoch,
			the_job USING ERRCODE = 'SL002';
	END IF;
	DELETE FROM sluice.checkpoints c
	WHERE c.job = the_job AND (c.attempt, c.epoch) > (old_attempt, old_epoch)
		AND (c.attempt, c.epoch) <> (new_attempt, new_epoch);
	UPDATE sluice.frontier f
	SET attempt = new_attempt, epoch = new_epoch, fingerprint = the_fingerprint, meaning = the_meaning, meant_attempt = new_attempt, meant_epoch = new_epoch,
		meant_from = CASE WHEN replayable THEN f.meant_from ELSE f.cut END
	WHERE f.job = the_job;
END
$$;

DROP FUNCTION sluice.checkpoint_rename(text, bigint, bigint, bigint, bigint, bigint, text, text);
