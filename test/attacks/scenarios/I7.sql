-- currtid2() follows the versions of a hidden row
-- naive: leak
-- ours: refused MT010
-- setup
UPDATE account SET balance = balance + 1 WHERE id = 101;
-- attack
{enter acme}
SELECT upper('leak') FROM generate_series(1, 20) i WHERE currtid2('account', format('(0,%s)', i)::tid) <> format('(0,%s)', i)::tid;
