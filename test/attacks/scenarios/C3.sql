-- The same as a startup option
-- naive: leak
-- ours: refused connection
-- options: -c {context}={beta}
-- attack
SELECT secret FROM account;
