\set aid random((:branch - 1) * 100000 + 1, :branch * 100000)
\set tid random((:branch - 1) * 10 + 1, :branch * 10)
\set delta random(-5000, 5000)
BEGIN\; SELECT multitenant.authenticate(':token');
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :branch;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :branch, :aid, :delta, CURRENT_TIMESTAMP);
COMMIT;
