-- 013: several pipelines in one database. Each table has one owner, and each dead letter says whose it is.

-- Which job writes a table of totals or rows. dead_letters is in none of these rows: it is the one table that jobs share.
CREATE TABLE sluice.tables (
	schema text NOT NULL,
	name   text NOT NULL,
	job    text NOT NULL,
	since  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (schema, name)
);

-- The letters of before, which do not say whose they are: those jobs whose they can be read their topic, have counted letters, and
-- have passed their offset. '' where no job here can have written a letter: then it is nobody's.
CREATE FUNCTION sluice.letter_writers(the_topic text, the_partition integer, the_offset bigint) RETURNS text[]
	LANGUAGE sql STABLE AS $$
	SELECT coalesce(array_agg(f.job ORDER BY f.job), '{""}')
	FROM sluice.frontier f
	WHERE f.cut IS NOT NULL
		AND coalesce(substring(f.meaning FROM E'(?:^|\n)topic ([^\n]*)'), the_topic) = the_topic
		AND coalesce((f.counters ->> 'dead')::numeric, 0) + coalesce((f.counters ->> 'conflicts')::numeric, 0) > 0
		AND the_offset >= coalesce((f.start ->> the_partition::text)::bigint, 0)
		AND the_offset < coalesce((f.cut ->> the_partition::text)::bigint, 0)
$$;

-- Brings a table of dead letters that an older release made (or its DDL) to the shape of now: column job, and a key with it. Returns
-- what a person has to settle first, or ''. Harmless when repeated; leaves alone what is no such table.
CREATE FUNCTION sluice.letters_by_job(the_table regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	old_key CONSTANT text[] := '{offset,partition,sink,topic}';
	found record;
	undecided text;
BEGIN
	IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = the_table AND a.attname = 'job' AND a.attnotnull)
		OR (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = the_table AND NOT a.attisdropped
			AND a.attname IN ('topic', 'partition', 'offset', 'sink', 'reason')) < 5 THEN
		RETURN '';
	END IF;
	IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = the_table), 'USAGE') THEN
		RETURN format('it belongs to role %s', (SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = the_table));
	END IF;
	EXECUTE format('ALTER TABLE %s ADD COLUMN IF NOT EXISTS job text', the_table);
	EXECUTE format('UPDATE %s t SET job = w.writers[1] FROM (SELECT l.ctid AS place, '
		'sluice.letter_writers(l.topic, l."partition", l."offset") AS writers FROM %s l WHERE l.job IS NULL) w '
		'WHERE t.ctid = w.place AND cardinality(w.writers) = 1', the_table, the_table);
	EXECUTE format('SELECT format(''the letter of record %%s/%%s/%%s may be of job %%s'', topic, "partition", "offset", '
		'array_to_string(sluice.letter_writers(topic, "partition", "offset"), '' or '')) FROM %s WHERE job IS NULL '
		'LIMIT 1', the_table) INTO undecided;
	IF undecided IS NOT NULL THEN
		RETURN undecided;
	END IF;
	EXECUTE format('ALTER TABLE %s ALTER COLUMN job SET NOT NULL', the_table);
	FOR found IN
		SELECT i.indexrelid::regclass AS index, c.conname FROM pg_index i
		LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
		WHERE i.indrelid = the_table AND i.indisunique AND old_key = (
			SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest(i.indkey::int2[]) k
			JOIN pg_attribute a ON a.attrelid = the_table AND a.attnum = k)
	LOOP
		IF found.conname IS NULL THEN
			EXECUTE format('DROP INDEX %s', found.index);
		ELSE
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', the_table, found.conname);
		END IF;
	END LOOP;
	EXECUTE format('ALTER TABLE %s ADD UNIQUE (job, topic, "partition", "offset", sink)', the_table);
	RETURN '';
END
$$;

-- Ends all that schema sluice remembers of a job, whatever later versions add; its tables and letters are for the caller to empty.
-- The fence stays, and is raised: what a process of before still has in hand is refused, and no attempt has its number again.
CREATE FUNCTION sluice.job_forget(the_job text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	old_fence bigint;
	memory regclass;
BEGIN
	SELECT f.fence INTO old_fence FROM sluice.frontier f WHERE f.job = the_job FOR UPDATE;
	FOR memory IN
		SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'sluice'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'job'
	LOOP
		EXECUTE format('DELETE FROM %s WHERE job = $1', memory) USING the_job;
	END LOOP;
	IF old_fence IS NOT NULL THEN
		INSERT INTO sluice.frontier (job, fence) VALUES (the_job, old_fence + 1);
	END IF;
END
$$;
