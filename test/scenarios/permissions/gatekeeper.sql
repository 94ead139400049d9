-- A gateway's permissions and four roles, each with everything of the one below: templates for every tenant.
-- For a provisioner, in a database with the extension:	psql -f gatekeeper.sql

SELECT count(multitenant.create_permission(resource || ':' || action, initcap(action) || ' ' || noun || '.'))
FROM (VALUES
	('dashboard', 'the dashboard', '{read}'),
	('device', 'devices behind the gateway', '{read,register,restart,retire}'),
	('connection', 'connections', '{read,allow,close}'),
	('rule', 'firewall rules', '{read,create,update,delete}'),
	('alert', 'alerts', '{read,acknowledge,silence}'),
	('incident', 'incidents', '{read,create,update,close}'),
	('threat_list', 'lists of threats', '{read,update}'),
	('certificate', 'certificates', '{read,issue,revoke}'),
	('gateway', 'gateways', '{read,enroll,configure,retire}'),
	('report', 'reports', '{read,export}')
	) AS v(resource, noun, actions), unnest(actions::text[]) AS a(action);

SELECT multitenant.create_role_template('gatekeeper viewer', 'Sees what the gateways report.',
	'{dashboard:read,device:read,connection:read,alert:read,report:read,gateway:read}');
SELECT multitenant.create_role_template('gatekeeper network operator', 'Runs devices and connections.',
	'{device:register,device:restart,connection:allow,connection:close,rule:read,alert:acknowledge}', '{gatekeeper viewer}');
SELECT multitenant.create_role_template('gatekeeper security analyst', 'Investigates, and changes rules.',
	'{rule:create,rule:update,rule:delete,alert:silence,incident:*,threat_list:*,report:export,audit:read}', '{gatekeeper network operator}');
SELECT multitenant.create_role_template('gatekeeper admin', 'Runs the gateways of a client and its people.',
	'{gateway:*,device:*,certificate:*,member:*,role:*,scope:manage,access:*,visibility:manage,break_glass:*}', '{gatekeeper security analyst}');
