-- 006: the frontier's index is not unique. When a new version of the row goes to another page it is entered into the index, and a
-- unique one looks at every earlier version first: as many as there were epochs since somebody opened a snapshot that is still
-- held. There is one row a job all the same: rows are made under the lock of the migrations only.
ALTER TABLE sluice.frontier DROP CONSTRAINT frontier_pkey;
CREATE INDEX frontier_job ON sluice.frontier (job);

-- Without a key, a publication of all tables would refuse changes.
ALTER TABLE sluice.frontier REPLICA IDENTITY FULL;
