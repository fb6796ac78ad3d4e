-- 012: the last question of an epoch's transaction: are the tables still those that were looked at when this writer began?

-- Raises: the epoch is not committed, and the writer looks at the tables again.
CREATE FUNCTION sluice.tables_changed() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'a table of this job was altered, truncated, or given a trigger or a rule since it was looked at'
		USING ERRCODE = 'SL003';
END
$$;
