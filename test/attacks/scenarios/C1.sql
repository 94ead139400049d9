-- The attacker sets the tenant himself, with SET
-- naive: leak
-- ours: refused 42501
-- attack
SET {context} = '{beta}';
SELECT secret FROM account;
