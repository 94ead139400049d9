-- The same kept with ALTER ROLE
-- naive: none, servers from 15 on let roles keep no setting that no library has defined
-- ours: refused MT010
-- attack
ALTER ROLE regress_mt_app SET {context} = '{beta}';
\c
SELECT secret FROM account;
