-- 004: a choice moves the frontier, as if by an empty epoch (attempt, 0): the next commit notices a failover that lost the choice
-- but kept the fence. Otherwise the newer names that it erased would be back, and one day a branch would be restored that
-- knows less than what was committed since.

CREATE OR REPLACE FUNCTION sluice.checkpoint_choose(the_job text, my_fence bigint, the_attempt bigint, the_epoch bigint)
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
	UPDATE sluice.frontier f SET attempt = my_fence, epoch = 0 WHERE f.job = the_job;
END
$$;
