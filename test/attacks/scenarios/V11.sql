-- A trigger that runs with its definer's rights
-- naive: leak
-- ours: refused MT007
-- setup
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
	'BEGIN RAISE NOTICE ''%'', (SELECT string_agg(secret, '' '') FROM public.account); RETURN new; END';
CREATE TRIGGER look BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION look();
-- attack
{enter acme}
INSERT INTO orders (id, tenant_id, account_id) VALUES (200, '{acme}', 1);
