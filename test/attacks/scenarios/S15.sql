-- One table restored with pg_restore -t, which leaves out row security
-- naive: leak
-- ours: refused MT007
-- setup
SET ROLE regress_mt_owner;
CREATE TABLE memo (tenant_id uuid NOT NULL, secret text);
INSERT INTO memo VALUES ('{beta}', 'SECRET-BETA');
{protect memo}
GRANT SELECT ON memo TO regress_mt_app;
RESET ROLE;
\! pg_dump -h {host} -p {port} -U postgres -Fc -t memo -f {directory}/memo.dump {database}
DROP TABLE memo;
\! pg_restore -h {host} -p {port} -U postgres -t memo -d {database} {directory}/memo.dump
-- attack
{enter acme}
SELECT secret FROM memo;
