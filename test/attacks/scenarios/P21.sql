-- Maintenance and DDL on a table that is not one's own
-- naive: none, the server refuses
-- ours: refused 42501
-- attack
CLUSTER account USING account_pkey;
REINDEX TABLE account;
CREATE INDEX ON account (secret);
CREATE STATISTICS pg_temp.s ON id, secret FROM account;
CREATE POLICY evil ON account USING (true);
DROP POLICY tenant ON account;
CREATE RULE r AS ON INSERT TO account DO ALSO NOTHING;
