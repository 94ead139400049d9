-- A statement prepared by one tenant and executed by the session's next
-- naive: leak
-- ours: refused 26000
-- attack
{enter acme}
PREPARE my_balance AS SELECT upper('leak');
COMMIT;
{enter beta}
EXECUTE my_balance;
