-- Large objects have no tenant
-- naive: leak
-- ours: refused MT010
-- attack
{enter beta}
SELECT lo_from_bytea(4242, convert_to(secret, 'UTF8')) FROM account LIMIT 1;
COMMIT;
{enter acme}
SELECT convert_from(lo_get(4242), 'UTF8');
