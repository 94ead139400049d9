-- A cloud's catalogue: about 200 permissions over 26 resources, and roles for the system, a tenant and a cluster.
-- For a provisioner, in a database with the extension:	psql -f basalt.sql

SELECT count(multitenant.create_permission(resource || ':' || action, initcap(replace(action, '_', ' ')) || ' ' || noun || '.'))
FROM (VALUES
	-- machines
	('vm', 'virtual machines', '{list,read,create,update,delete,start,stop,reboot,resize,migrate,console,snapshot}'),
	('vm_image', 'images of machines', '{list,read,create,update,delete,publish,import,export}'),
	('vm_template', 'templates of machines', '{list,read,create,update,delete,clone}'),
	('flavor', 'sizes of machines', '{list,read,create,update,delete}'),
	('container', 'containers', '{list,read,create,update,delete,start,stop,exec,logs}'),
	('kubernetes', 'Kubernetes clusters', '{list,read,create,update,delete,upgrade,scale,kubeconfig}'),
	-- storage
	('volume', 'volumes', '{list,read,create,update,delete,attach,detach,resize,snapshot}'),
	('snapshot', 'snapshots', '{list,read,create,update,delete,restore}'),
	('backup', 'backups', '{list,read,create,update,delete,restore,schedule,download}'),
	('bucket', 'buckets of objects', '{list,read,create,update,delete,upload,download,share}'),
	('database', 'managed databases', '{list,read,create,update,delete,restore,failover,credentials}'),
	-- network
	('network', 'networks', '{list,read,create,update,delete,attach,detach,share}'),
	('subnet', 'subnets', '{list,read,create,update,delete}'),
	('router', 'routers', '{list,read,create,update,delete,attach,detach}'),
	('load_balancer', 'load balancers', '{list,read,create,update,delete,drain}'),
	('floating_ip', 'public addresses', '{list,read,create,delete,attach,detach}'),
	('security_group', 'security groups', '{list,read,create,update,delete,attach,detach}'),
	('dns_zone', 'DNS zones', '{list,read,create,update,delete,transfer}'),
	('vpn', 'VPN tunnels', '{list,read,create,update,delete,connect,disconnect}'),
	-- hardware
	('cluster', 'clusters', '{list,read,create,update,delete,drain,rebalance,upgrade,join}'),
	('node', 'nodes', '{list,read,create,update,delete,drain,reboot,replace,firmware,console}'),
	('rack', 'racks', '{list,read,create,update,delete}'),
	('site', 'sites', '{list,read,create,update,delete}'),
	-- business
	('quota', 'quotas', '{list,read,request,approve,update}'),
	('invoice', 'invoices', '{list,read,create,approve,send,void,export,pay}'),
	('ticket', 'tickets', '{list,read,create,update,assign,close,reopen,escalate}')
	) AS v(resource, noun, actions), unnest(actions::text[]) AS a(action);

-- The whole system: assign_system_role().
SELECT multitenant.create_role_template('basalt system operator', 'Keeps the hardware running, and looks into no tenant.',
	'{cluster:*,node:*,rack:*,site:*,flavor:*,quota:approve}');
SELECT multitenant.create_role_template('basalt support', 'Answers tickets of all tenants.', '{ticket:*}');
-- A tenant.
SELECT multitenant.create_role_template('basalt reader', 'Sees everything in the tenant.', '{*:list,*:read}');
SELECT multitenant.create_role_template('basalt tenant admin', 'Everything a tenant may, its people included.',
	'{vm:*,vm_image:*,vm_template:*,container:*,kubernetes:*,volume:*,snapshot:*,backup:*,bucket:*,database:*,network:*,subnet:*,router:*,load_balancer:*,floating_ip:*,security_group:*,dns_zone:*,vpn:*,quota:request,ticket:*,member:*,role:*,scope:manage,access:*,visibility:manage,audit:read,break_glass:*}', '{basalt reader}');
SELECT multitenant.create_role_template('basalt billing clerk', 'Writes invoices.', '{invoice:list,invoice:read,invoice:create,invoice:send,invoice:export}');
SELECT multitenant.create_role_template('basalt billing approver', 'Approves what others have written.', '{invoice:list,invoice:read,invoice:approve,invoice:void}');
SELECT multitenant.exclude_role_templates('basalt billing clerk', 'basalt billing approver');
-- A cluster: assigned with its scope.
SELECT multitenant.create_role_template('basalt cluster operator', 'Runs the machines of a cluster.',
	'{vm:list,vm:read,vm:start,vm:stop,vm:reboot,vm:console,vm:migrate,volume:list,volume:read,volume:attach,volume:detach,node:list,node:read}');
SELECT multitenant.create_role_template('basalt cluster admin', 'Everything on the machines of a cluster, and who else may.',
	'{vm:*,volume:*,snapshot:*,backup:*,role:assign,role:read}', '{basalt cluster operator}');
