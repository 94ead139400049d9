-- The same with UPDATE pg_settings
-- naive: none, a setting that no library has defined is not in the view
-- ours: filtered
-- attack
{enter acme}
UPDATE pg_settings SET setting = '{beta}' WHERE name = '{context}';
SELECT secret FROM account;
