-- What makes the world a protected one. For test/differential/run.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT multitenant.grant_access('differential_app', 'trusted_application');
SELECT multitenant.grant_access('differential_owner', 'migrator');
SELECT multitenant.add_signing_key('differential', 'HS256', secret_file => :'secret', max_lifetime => '1 hour');
SELECT multitenant.create_tenant('acme', number => 1, id => '00000000-0000-0000-0000-00000000000a');
SELECT multitenant.create_tenant('beta', number => 2, id => '00000000-0000-0000-0000-00000000000b');
SELECT multitenant.create_tenant('gamma', number => 3, id => '00000000-0000-0000-0000-00000000000c');
SELECT count(*) FROM unnest('{customer,orders,line,event,document,metric,journal,file,trail}'::text[]) t, multitenant.protect(('shop.' || t)::regclass);
SELECT multitenant.shared_rows('shop.template');
SELECT multitenant.share('shop.country');
SELECT multitenant.exempt('shop.change', 'for the test');
-- Every row names the tenant that wrote it, at that time: nobody may conclude anything from it later.
ALTER TABLE shop.change ADD CHECK (editor = multitenant.current_tenant_or_null());
