-- A cursor WITH HOLD that the next tenant of the session finds
-- naive: leak
-- ours: refused MT010
-- attack
{enter beta}
DECLARE c CURSOR WITH HOLD FOR SELECT secret FROM account;
COMMIT;
{enter acme}
FETCH ALL FROM c;
