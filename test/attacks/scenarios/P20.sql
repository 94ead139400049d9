-- COPY, the server's files and programs
-- naive: none, the server filters COPY and refuses the rest
-- ours: refused 42501
-- attack
{enter acme}
COPY account TO STDOUT;
COPY account TO PROGRAM 'cat';
ROLLBACK;
SELECT pg_read_file('postgresql.conf');
CREATE EXTENSION dblink;
