-- 015: who runs a job. A second coordinator of the same job (another run directory, another machine) waits, instead of ending the attempts of
-- the first one, which would end its own.

-- coordinator: its address, and from which host that is reached. process, backend: of the writer.
CREATE TABLE sluice.runners (
	job           text PRIMARY KEY,
	coordinator   text NOT NULL,
	process       text NOT NULL,
	backend       integer NOT NULL,
	backend_start timestamptz NOT NULL,
	since         timestamptz NOT NULL
);

-- Whoever else has a session here, and a sign of life: a commit or a touch (every 30 s at least) since its attempt began, or an attempt that
-- is still restoring. A machine that dies is gone with its session, a process that is stopped is not there any more after a while.
CREATE FUNCTION sluice.other_runner(the_job text, my_coordinator text) RETURNS SETOF sluice.runners LANGUAGE sql STABLE AS $$
	SELECT r.*
	FROM sluice.runners r
	JOIN pg_stat_activity a ON a.pid = r.backend AND a.backend_start = r.backend_start
	JOIN sluice.frontier f ON f.job = r.job
	WHERE r.job = the_job AND r.coordinator <> my_coordinator
		AND CASE WHEN f.committed_at > r.since THEN f.committed_at > clock_timestamp() - interval '45 seconds'
			ELSE r.since > clock_timestamp() - interval '5 minutes' END
$$;

-- For whoever has the job's lock.
CREATE FUNCTION sluice.runner_note(the_job text, the_coordinator text, the_process text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO sluice.runners (job, coordinator, process, backend, backend_start, since)
	SELECT the_job, the_coordinator, the_process, a.pid, a.backend_start, clock_timestamp()
	FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
	ON CONFLICT (job) DO UPDATE SET coordinator = excluded.coordinator, process = excluded.process, backend = excluded.backend,
		backend_start = excluded.backend_start, since = excluded.since
$$;
