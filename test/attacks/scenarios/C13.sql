-- Turning row_security off
-- naive: none, the server refuses
-- ours: refused 42501
-- attack
{enter acme}
SET row_security = off;
SELECT secret FROM account;
