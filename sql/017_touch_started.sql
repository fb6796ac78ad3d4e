-- 017: whoever touches a frontier has to find its start there, too. A failover that loses the start of a job without records leaves the
-- same epoch behind, and an idle writer would have held on to a start that nobody knows any more.

-- A sign of life of an idle writer.
CREATE OR REPLACE FUNCTION sluice.frontier_touch(the_job text, my_fence bigint, at_attempt bigint, at_epoch bigint)
	RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sluice.frontier f SET committed_at = clock_timestamp()
	WHERE f.job = the_job AND f.fence = my_fence AND f.attempt = at_attempt AND f.epoch = at_epoch AND f.cut IS NOT NULL;
	IF NOT FOUND THEN
		PERFORM sluice.frontier_refuse(the_job, my_fence);
	END IF;
END
$$;
