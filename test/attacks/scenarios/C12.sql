-- Becoming the owner without being a member
-- naive: none, the server refuses
-- ours: refused 42501
-- attack
SET ROLE regress_mt_owner;
SET SESSION AUTHORIZATION regress_mt_owner;
{enter acme}
SELECT secret FROM account;
