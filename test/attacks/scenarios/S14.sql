-- pg_dump as the application
-- naive: none, the server refuses, or filters with --enable-row-security
-- ours: filtered
-- attack
\! pg_dump -h {host} -p {port} -U regress_mt_app -a -t account {database}
\! pg_dump -h {host} -p {port} -U regress_mt_app -a -t account --enable-row-security {database}
