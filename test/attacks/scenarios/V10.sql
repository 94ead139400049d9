-- Errors that depend on other tenants' values
-- naive: none, they are evaluated after the policy
-- leak: 22012|22P02
-- ours: filtered
-- attack
{enter acme}
SELECT count(*) FROM account WHERE 1 / (balance - 1105) < 2;
SELECT count(*) FROM account WHERE CASE WHEN email LIKE 'b%' THEN secret::int ELSE 1 END = 1;
