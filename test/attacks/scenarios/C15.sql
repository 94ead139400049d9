-- A cursor of one tenant fetched under another
-- naive: leak
-- ours: refused MT005
-- attack
{enter acme}
DECLARE c CURSOR FOR SELECT secret FROM account;
{set beta}
FETCH ALL FROM c;
