-- Variables that a trusted language keeps in a pooled session
-- needs: plperl
-- naive: leak
-- ours: lint trusted_pl_shared_state
-- setup
CREATE EXTENSION plperl;
CREATE FUNCTION keep(text) RETURNS void LANGUAGE plperl AS '$_SHARED{"secret"} = $_[0];';
-- attack
CREATE FUNCTION pg_temp.steal() RETURNS text LANGUAGE plperl AS 'return $_SHARED{"secret"};';
{enter beta}
SELECT keep(secret) FROM account LIMIT 1;
COMMIT;
{enter acme}
SELECT pg_temp.steal();
