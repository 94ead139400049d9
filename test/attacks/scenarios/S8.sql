-- NOTIFY reaches every tenant that listens
-- naive: leak
-- ours: refused MT010
-- attack
LISTEN news;
{enter beta}
SELECT pg_notify('news', upper('secret-beta'));
COMMIT;
SELECT 1;
