-- One line per property of everything that belongs to the extension, in a stable order and without OIDs or names that
-- the server makes up; two installations are the same if and only if these lines are the same.  Run with psql -X -A -t.
--
-- The walk is by dependency: members of the extension and what hangs on them (columns, constraints, indexes, triggers).
SET search_path = '';

WITH member AS (
	SELECT d.classid, d.objid
	FROM pg_catalog.pg_depend d
	JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'multitenant'
),
relation AS (
	SELECT c.* FROM pg_catalog.pg_class c JOIN member m ON m.classid = 'pg_catalog.pg_class'::regclass AND m.objid = c.oid
),
-- what may carry a comment: the members and the parts of the tables
comments AS (
	SELECT m.classid, m.objid FROM member m
	UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint k JOIN relation r ON r.oid = k.conrelid
	UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, t.oid FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
	UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, p.oid FROM pg_catalog.pg_policy p JOIN relation r ON r.oid = p.polrelid
	UNION ALL SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index i JOIN relation r ON r.oid = i.indrelid
),
-- the owner is whoever installed it: in privileges it reads as "owner"
acl AS (
	SELECT m.classid, m.objid, 0 AS sub, a.grantor, a.grantee, a.privilege_type, a.is_grantable, o.owner
	FROM member m
	JOIN LATERAL (
		SELECT COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl, p.proowner AS owner FROM pg_catalog.pg_proc p
			WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = m.objid
		UNION ALL
		SELECT COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner)), c.relowner FROM pg_catalog.pg_class c
			WHERE m.classid = 'pg_catalog.pg_class'::regclass AND c.oid = m.objid
		UNION ALL
		SELECT COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), n.nspowner FROM pg_catalog.pg_namespace n
			WHERE m.classid = 'pg_catalog.pg_namespace'::regclass AND n.oid = m.objid
		UNION ALL
		SELECT COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner)), t.typowner FROM pg_catalog.pg_type t
			WHERE m.classid = 'pg_catalog.pg_type'::regclass AND t.oid = m.objid
	) o ON true
	CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
	UNION ALL
	SELECT 'pg_catalog.pg_class'::regclass, r.oid, c.attnum, a.grantor, a.grantee, a.privilege_type, a.is_grantable, r.relowner
	FROM relation r
	JOIN pg_catalog.pg_attribute c ON c.attrelid = r.oid
	CROSS JOIN LATERAL pg_catalog.aclexplode(c.attacl) a
),
line(object, property, value) AS (
	-- the list of members itself
	SELECT i.type || ' ' || i.identity, 'member', ''
	FROM member m CROSS JOIN LATERAL pg_catalog.pg_identify_object(m.classid, m.objid, 0) i

	UNION ALL
	SELECT 'extension', x.property, x.value
	FROM pg_catalog.pg_extension e
	CROSS JOIN LATERAL (VALUES ('schema', e.extnamespace::regnamespace::text), ('version', e.extversion), ('relocatable', e.extrelocatable::text)) x(property, value)
	WHERE e.extname = 'multitenant'

	-- what pg_dump saves of the tables' rows
	UNION ALL
	SELECT 'extension', 'config ' || c.oid::regclass, u.condition
	FROM pg_catalog.pg_extension e
	CROSS JOIN LATERAL ROWS FROM (unnest(e.extconfig), unnest(e.extcondition)) AS u(relation, condition)
	JOIN pg_catalog.pg_class c ON c.oid = u.relation
	WHERE e.extname = 'multitenant'

	-- functions: the definition says body, volatility, strictness, security, cost and settings
	UNION ALL
	SELECT 'function ' || p.oid::regprocedure, x.property, x.value
	FROM pg_catalog.pg_proc p
	JOIN member m ON m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = p.oid
	CROSS JOIN LATERAL (VALUES
		('definition', CASE WHEN p.prokind IN ('f', 'p', 'w') THEN pg_catalog.pg_get_functiondef(p.oid) END),
		('attributes', pg_catalog.concat_ws(' ', p.prokind, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.procost, p.prorows,
			p.prosupport::text, p.proconfig::text, p.probin)))
		x(property, value)

	UNION ALL
	SELECT 'relation ' || r.oid::regclass, x.property, x.value
	FROM relation r
	CROSS JOIN LATERAL (VALUES
		('attributes', pg_catalog.concat_ws(' ', r.relkind, r.relpersistence, r.relreplident, r.reloptions::text)),
		('row security', pg_catalog.concat_ws(' ', r.relrowsecurity, r.relforcerowsecurity)),
		('definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid) END),
		('sequence', (SELECT pg_catalog.concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
			FROM pg_catalog.pg_sequence s WHERE s.seqrelid = r.oid)))
		x(property, value)

	-- columns by name and place among the living ones: an upgrade that adds a column may not put it elsewhere
	-- (the option pg_attver is a stamp of the server's own, another for each column)
	UNION ALL
	SELECT 'column ' || r.oid::regclass || '.' || pg_catalog.quote_ident(a.attname), 'attributes',
		pg_catalog.concat_ws(' ', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute b
			WHERE b.attrelid = r.oid AND b.attnum > 0 AND b.attnum <= a.attnum AND NOT b.attisdropped),
			pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END, 'storage', a.attstorage, 'compression', a.attcompression,
			'statistics', a.attstattarget, 'identity', a.attidentity, 'generated', a.attgenerated, a.attcollation::regcollation::text,
			(SELECT pg_catalog.array_agg(o ORDER BY o) FROM pg_catalog.unnest(a.attoptions) x(o) WHERE o !~ '^pg_attver=')::text, 'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid))
	FROM relation r
	JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum

	UNION ALL
	SELECT 'constraint ' || pg_catalog.quote_ident(k.conname) || ' on ' || r.oid::regclass, 'definition',
		pg_catalog.concat_ws(' ', pg_catalog.pg_get_constraintdef(k.oid), 'validated', k.convalidated)
	FROM relation r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid

	UNION ALL
	SELECT 'domain constraint ' || pg_catalog.quote_ident(k.conname) || ' on ' || t.oid::regtype, 'definition', pg_catalog.pg_get_constraintdef(k.oid)
	FROM pg_catalog.pg_constraint k
	JOIN pg_catalog.pg_type t ON t.oid = k.contypid
	JOIN member m ON m.classid = 'pg_catalog.pg_type'::regclass AND m.objid = t.oid

	UNION ALL
	SELECT 'index ' || i.indexrelid::regclass, 'definition', pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'replica', i.indisreplident)
	FROM relation r JOIN pg_catalog.pg_index i ON i.indrelid = r.oid

	UNION ALL
	SELECT 'trigger ' || pg_catalog.quote_ident(t.tgname) || ' on ' || r.oid::regclass, 'definition', pg_catalog.concat_ws(' ', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)
	FROM relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal

	UNION ALL
	SELECT 'rule ' || pg_catalog.quote_ident(w.rulename) || ' on ' || r.oid::regclass, 'definition', pg_catalog.concat_ws(' ', pg_catalog.pg_get_ruledef(w.oid), w.ev_enabled)
	FROM relation r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'

	UNION ALL
	SELECT 'policy ' || pg_catalog.quote_ident(p.polname) || ' on ' || r.oid::regclass, 'definition',
		pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive, (SELECT pg_catalog.array_agg(x.role::regrole::text ORDER BY x.role::regrole::text) FROM pg_catalog.unnest(p.polroles) x(role)),
			'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
	FROM relation r JOIN pg_catalog.pg_policy p ON p.polrelid = r.oid

	UNION ALL
	SELECT 'type ' || t.oid::regtype, 'attributes', pg_catalog.concat_ws(' ', t.typtype, t.typcategory, t.typlen, t.typbyval, t.typnotnull, t.typdefault,
		CASE WHEN t.typbasetype <> 0 THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
		(SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
		(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ',' ORDER BY a.attnum)
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
	FROM pg_catalog.pg_type t JOIN member m ON m.classid = 'pg_catalog.pg_type'::regclass AND m.objid = t.oid

	UNION ALL
	SELECT 'event trigger ' || pg_catalog.quote_ident(v.evtname), 'attributes', pg_catalog.concat_ws(' ', v.evtevent, v.evtfoid::regprocedure, v.evtenabled, v.evttags::text)
	FROM pg_catalog.pg_event_trigger v JOIN member m ON m.classid = 'pg_catalog.pg_event_trigger'::regclass AND m.objid = v.oid

	UNION ALL
	SELECT i.type || ' ' || i.identity, 'privilege',
		pg_catalog.concat_ws(' ', a.privilege_type, 'to', CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = a.owner THEN 'owner' ELSE a.grantee::regrole::text END,
			CASE WHEN a.is_grantable THEN 'with grant option' END)
	FROM acl a CROSS JOIN LATERAL pg_catalog.pg_identify_object(a.classid, a.objid, a.sub) i

	UNION ALL
	SELECT i.type || ' ' || i.identity, 'comment', d.description
	FROM comments c
	JOIN pg_catalog.pg_description d ON d.classoid = c.classid AND d.objoid = c.objid
	CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) i

	UNION ALL
	SELECT i.type || ' ' || i.identity, 'security label ' || l.provider, l.label
	FROM member m
	JOIN pg_catalog.pg_seclabel l ON l.classoid = m.classid AND l.objoid = m.objid
	CROSS JOIN LATERAL pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) i

	UNION ALL
	SELECT 'default privileges', COALESCE(d.defaclnamespace::regnamespace::text, ''), pg_catalog.concat_ws(' ', d.defaclobjtype, d.defaclacl::text)
	FROM pg_catalog.pg_default_acl d WHERE d.defaclnamespace = 'multitenant'::regnamespace
)
SELECT object || ' | ' || property || ' | ' || pg_catalog.replace(value, E'\n', '\n')
FROM line WHERE value IS NOT NULL
ORDER BY object COLLATE "C", property COLLATE "C", value COLLATE "C";
