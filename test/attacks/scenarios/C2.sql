-- The same with set_config(), in the statement that reads
-- naive: leak
-- ours: refused 42501
-- attack
{enter acme}
SELECT set_config('{context}', '{beta}', false), a.secret FROM account a;
ROLLBACK;
SELECT set_config('{context}', '{beta}', false);
SELECT secret FROM account;
