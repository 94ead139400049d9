-- Signing keys: adding, revoking, what makes one unusable; copied databases. The tokens are of the year 2020: whoever gets
-- as far as MT003 has passed signature, key, audience and lifetime. HS256 needs a file and is tested with live servers.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION multitenant;
CREATE ROLE regress_mt_app;
CREATE ROLE regress_mt_migrator;
SELECT multitenant.grant_access('regress_mt_migrator', 'migrator');
SELECT multitenant.create_tenant('alpha', id => '00000000-0000-0000-0000-0000000000a1');
SELECT multitenant.create_tenant('It''s "b"', id => '00000000-0000-0000-0000-0000000000b1');
\set ed '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA5K6XFIztW3c68X/knCZGcFDxIALOQeC11oXySYEvcVk=\n-----END PUBLIC KEY-----\n'
\set ec '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExNx4/zW5t31nUGeBYMCaPVGbDbD0\nNLbnmaOeQfj6kfckrC71amDn+Jzyie9/BBrELTa6TZrgD5j/psU5IEZ5aQ==\n-----END PUBLIC KEY-----\n'
\set ec384 '-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEoOvLxHAVlTObObzlbybHv0rQp51GQWF9\nckhCjIMcx0Da4es5AaG/w8PowCBpZ2gYSRFlX6gvJ4/ht71pwMBubDk7cqG3/et/\n7kLW3JcyI+AeQs8RekI+J1YgNgc635Ma\n-----END PUBLIC KEY-----\n'
\set rsa '-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAw88EairjjOTEgDjn0m7f\nDEo1kAyvXXYj1j47EkzhQH+tin5Hde0CYtocnR+LtPyeLryQLMU9+PZBt2hzqjvr\n9OnOKyqNvN/bbNw209/isy/3n83x0wtcGGVADfar0Jj0faH3FRkW69K088Ex2E0s\n5fOI18mEQLbMTDrHa6rvAv3fU7HBCb9c95SyPG8JMvaz0BGF5wq06HrLhBQMQUus\nu8ME4GUSf4w6OKiFOSGPxHEztCLgC8CVQuB0B/ElCRAroG3qe5GIcLGkenDrhAZs\nz2umo6yFaFD8IQuVFwMpnID6ngfUXGUZzWxDIqelks1YZtRiuX6/mlTtnueiqxbY\n8QIDAQAB\n-----END PUBLIC KEY-----\n'
\set rsa1024 '-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC2qLqn2KEvCScFRkG1AeiJmgiM\nmhlalBh0DfouBeHCdgYC9748MuMx+amJM9T+2LpXKALcOikHY+IARrO4B+lRBwNY\nqAUJfzsrO07LzOqHnsOncRuiy/2oBwbY82+PNW2pLyZhpwhdQNzgDUNUxcSiF8L1\nUebtaH4qsHRihF09PwIDAQAB\n-----END PUBLIC KEY-----\n'
-- signed with the private key of :ed, kid "ed" where nothing else is said
\set expired eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyJ9.ShMIaJDGXJQalYbZJgtzJxBww76MdRzxMDZ9nwPq6UsISG1RUMEMXTNokQriLKatGRfkigd32LvuyqtlxeohDQ
\set wrong_signature eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyJ9.ShMIaJDGXJQalYbZJgtzJxBww76MdRzxMDZ9nwPq6UsISG1RUMEMXTNokQriLKatGRfkigd32LvuyqtlxeAAAA
\set too_long eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzcxMDEsImp0aSI6InN0YXRpYyJ9.sa10MpgK3T24685dpEJunrylcpPi3UL4_N2h9LLtoQUjYMEvpSXoFyi5Ox8b5Ka8rFhif7mdlXtYcj_orbpxBw
\set elsewhere eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6ImVsc2V3aGVyZSIsImlhdCI6MTU3NzgzNjgwMCwiZXhwIjoxNTc3ODM2ODYwLCJqdGkiOiJzdGF0aWMifQ.Gczp0LJBANAh0W7Hjcaw6-Wh_p1QqOeQk_m24_xUfgEJ7SMZ_1A_Lh1RHInFfIPN-YxYgiGDn_elAlmGd4hzDQ
\set supervised eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyIsImtpbmQiOiJzdXBlcnZpc2VkIn0.r9A1kNGAJQ4_Mzox1daIbS-sc9g47PEPkGSmnQtW-2t9FBiJ5hJtr5SK-YBel8Ugvi_hspM-D6NG0SgLCx1VCg
\set key_early eyJhbGciOiJFZERTQSIsImtpZCI6ImVhcmx5IiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyJ9.mxgCWDyVyMhxdbYxgvtE9oVDOI5sszNUTpkWqpAY82oCzs1d6gemgRehYEReGSRV01G88JSIl3mAHA_BRrE_Bw
\set key_roles eyJhbGciOiJFZERTQSIsImtpZCI6InJvbGVzIiwidHlwIjoiSldUIn0.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyJ9.3V82HJGaBy9AKl9QgreFLNPfnZK-ZNN8lluAih-x1DHeFEa0h9FZUaEKjKWPs2ux_XZIp8-Wmm_YQ047r7eADQ
\set key_unknown eyJhbGciOiJFZERTQSIsImtpZCI6Im5vYm9keSIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJhbHBoYSIsImF1ZCI6WyJjb250cmliX3JlZ3Jlc3Npb24iXSwiaWF0IjoxNTc3ODM2ODAwLCJleHAiOjE1Nzc4MzY4NjAsImp0aSI6InN0YXRpYyJ9.ku83kSKtmlY0mrqzJBtCA1A3-ibSlqTtLMDEnh_DgHBsFu9ru6rPg9r830f-qCXjgHgfjY2KNl2O9VECp-nlDg

-- adding
SELECT multitenant.add_signing_key('ed', 'EdDSA', :'ed');
SELECT multitenant.add_signing_key('A-Z_0.9~', 'ES256', public_key => :'ec', kinds => '{tenant,supervised,system}', max_lifetime => '24 hours');
SELECT multitenant.add_signing_key(repeat('k', 64), 'RS256', :'rsa', tenants => '{alpha,"It''s \"b\"",00000000-0000-0000-0000-0000000000a1}');
SELECT multitenant.add_signing_key('roles', 'EdDSA', :'ed', roles => '{regress_mt_migrator,"It''s \"x\""}', tenants => '{}', max_lifetime => '1 second');
SELECT multitenant.add_signing_key('early', 'EdDSA', :'ed', not_before => '2020-01-01 00:00+00', not_after => '2021-01-01 00:00+00');
SELECT left(kid, 10), algorithm, kinds, tenants, roles, max_lifetime, not_before IS NULL, not_after IS NULL, revoked_at, secret_file
	FROM multitenant.signing_key ORDER BY kid;
SELECT count(*) FROM multitenant.installation;

-- refused: the name
SELECT multitenant.add_signing_key('ed', 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('with space', 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('', 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key(repeat('k', 65), 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key(NULL, 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
-- the key
SELECT multitenant.add_signing_key('k', NULL, :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'none', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'eddsa', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS512', secret_file => '/nonexistent/secret'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', ''); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', 'not PEM'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed' || :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'rsa'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'RS256', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'ES256', :'ec384'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'RS256', :'rsa1024'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', :'rsa'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', secret_file => 'relative/secret'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', secret_file => '/nonexistent/secret'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', secret_file => '/'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', secret_file => '/dev/null'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'HS256', secret_file => '/etc/passwd'); \echo :LAST_ERROR_SQLSTATE
-- one source, no more
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', '/nonexistent/secret'); \echo :LAST_ERROR_SQLSTATE
-- what it may vouch for
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', kinds => '{}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', kinds => '{tenant,root}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', kinds => NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', kinds => '{tenant,NULL}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', tenants => '{alpha,NULL}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', tenants => '{alpha,nobody}'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', max_lifetime => '0'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', max_lifetime => '24 hours 1 second'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', max_lifetime => '-5 minutes'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', max_lifetime => '1000 years'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed', max_lifetime => NULL); \echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM multitenant.signing_key WHERE kid = 'k';

-- tokens
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.authenticate(:'expired'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'wrong_signature'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'expired' || 'A'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'expired' || ' '); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(replace(:'expired', '.', '..')); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'key_unknown'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(repeat('x', 100000)); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'elsewhere'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'too_long'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'supervised'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'key_early'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'key_roles'); \echo :LAST_ERROR_SQLSTATE
SET SESSION AUTHORIZATION regress_mt_migrator;
SELECT multitenant.authenticate(:'key_roles'); \echo :LAST_ERROR_SQLSTATE
SELECT state FROM multitenant.context;
RESET SESSION AUTHORIZATION;

-- revoking; the first reason stays
SELECT multitenant.revoke_signing_key('ed', 'leaked');
SELECT multitenant.revoke_signing_key('ed', 'again');
SELECT multitenant.revoke_signing_key('nobody "x"'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_signing_key(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT kid, revoked_at IS NOT NULL, revoked_reason FROM multitenant.signing_key WHERE revoked_at IS NOT NULL;
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.authenticate(:'expired'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'wrong_signature'); \echo :LAST_ERROR_SQLSTATE

-- superusers only
SET SESSION AUTHORIZATION regress_mt_migrator;
SELECT multitenant.add_signing_key('k', 'EdDSA', 'x'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.revoke_signing_key('ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.adopt_clone(true); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._check_signing_key('EdDSA', 'x', NULL); \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.signing_key; \echo :LAST_ERROR_SQLSTATE
SELECT * FROM multitenant.installation; \echo :LAST_ERROR_SQLSTATE
UPDATE multitenant.signing_key SET revoked_at = NULL; \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;

-- a copy of another database: every credential is refused until it is adopted
SELECT multitenant.add_signing_key('ed2', 'EdDSA', :'ed');
UPDATE multitenant.installation SET database_name = 'elsewhere';
SET SESSION AUTHORIZATION regress_mt_app;
SELECT multitenant.authenticate(:'expired'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.authenticate(:'wrong_signature'); \echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT multitenant.add_signing_key('k', 'EdDSA', :'ed'); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant.adopt_clone(NULL); \echo :LAST_ERROR_SQLSTATE
SELECT multitenant._is_copy();
SELECT multitenant.adopt_clone(false);
SELECT count(*) FROM multitenant.signing_key WHERE revoked_at IS NULL;
UPDATE multitenant.installation SET system_identifier = '1';
SELECT multitenant.adopt_clone(true);
SELECT count(*) FROM multitenant.signing_key WHERE revoked_at IS NULL;
SELECT count(*), count(*) FILTER (WHERE h.system_identifier = i.system_identifier AND h.database_name = i.database_name)
	FROM multitenant.installation i, multitenant._here() h;

-- recorded, without anything secret
SELECT event, left(object, 10), outcome, session_role = current_user, detail FROM multitenant.audit_event
	WHERE event LIKE 'key.%' AND event <> 'key.adopt_clone' ORDER BY at;

DROP EXTENSION multitenant;
DROP ROLE regress_mt_app, regress_mt_migrator;
