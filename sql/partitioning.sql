/*
 * partitioning.sql
 *	  Splitting a protected table by tenant: the table becomes the partition that most tenants share.
 *
 * A table cannot become a partitioned one. So partition_by_tenant() gives its name to a new, partitioned table and
 * attaches the old one as the DEFAULT partition: no row is copied. What belongs to the table and not to its rows is made
 * again on the new one from the catalog's own text, taken down while it still names the table. Whatever hangs on the
 * table and is not known here is refused by name before anything is done.
 *
 * What happens to new tenants is a member of the label of the partitioned table: it follows renames and dumps.
 *
 * Security: as in table.sql.
 */

-- ---------------------------------------------------------------------------------------------------------------
-- What the catalog says
-- ---------------------------------------------------------------------------------------------------------------

-- Is the table partitioned by the list of its tenants?
CREATE FUNCTION multitenant._is_partitioned_by_tenant(rel regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p
				   JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = (p.partattrs::int2[])[0]
				   WHERE p.partrelid = rel AND p.partstrat = 'l' AND a.attname = multitenant._tenant_column(rel))
$$;

-- A name in the schema of the table that neither a relation or type there nor "taken" has: the stem, clipped, and the tail.
CREATE FUNCTION multitenant._free_relation_name(rel regclass, stem text, tail text, taken text[]) RETURNS name
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	head text := stem;
	suffix text := tail;
	attempt int := 0;
BEGIN
	LOOP
		WHILE octet_length(head || suffix) > 63 LOOP
			IF head = '' THEN
				suffix := left(suffix, -1);
			ELSE
				head := left(head, -1);
			END IF;
		END LOOP;
		EXIT WHEN NOT head || suffix = ANY (taken) AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_class r ON r.oid = rel
			WHERE c.relnamespace = r.relnamespace AND c.relname = head || suffix
			UNION ALL SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class r ON r.oid = rel
			WHERE t.typnamespace = r.relnamespace AND t.typname = head || suffix);
		attempt := attempt + 1;
		head := stem;
		suffix := tail || attempt;
	END LOOP;
	RETURN head || suffix;
END
$$;

-- Columns in their order, without those that are gone; with_generated: also those that the server computes.
CREATE FUNCTION multitenant._live_columns(rel regclass, with_generated boolean) RETURNS name[]
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND (with_generated OR a.attgenerated = '')
$$;

-- Options as they are written between the parentheses of WITH and SET.
CREATE FUNCTION multitenant._option_list(options text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('%I = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ' ORDER BY n)
	FROM unnest(options) WITH ORDINALITY AS u(o, n)
$$;

-- Tenants' keys of a table: unique indexes that are whole and not a leftover of plan().
CREATE FUNCTION multitenant._own_indexes(rel regclass)
RETURNS TABLE(index_oid oid, index_name name, con_oid oid, is_primary boolean, is_unique boolean, has_tenant boolean)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid, c.relname, k.oid, i.indisprimary, i.indisunique,
		multitenant._tenant_column(rel) = ANY (multitenant._key_columns(i.indexrelid))
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = rel AND k.contype IN ('p', 'u', 'x')
	WHERE i.indrelid = rel AND c.relname !~ '^multitenant_staged_'
	ORDER BY i.indisprimary DESC, c.relname
$$;

-- Foreign keys that have to be made again because the table that they refer to changes, and the commands for it;
-- comment_command is NULL without a comment.
CREATE FUNCTION multitenant._incoming_references(rel regclass)
RETURNS TABLE(con oid, con_name name, child regclass, is_self boolean, drop_command text, add_command text, comment_command text)
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT k.oid, k.conname, k.conrelid::regclass, k.conrelid = rel,
		format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname),
		format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)),
		(SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, k.conrelid::regclass, d.remark)
		 FROM (SELECT obj_description(k.oid, 'pg_constraint')) AS d(remark) WHERE d.remark IS NOT NULL)
	FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = rel AND k.conparentid = 0
	ORDER BY k.conrelid::regclass::text COLLATE "C", k.conname
$$;

-- Views whose query names the table itself; views over those views need nothing.
CREATE FUNCTION multitenant._direct_views(rel regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid::regclass FROM pg_catalog.pg_class c
	WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND EXISTS (
		SELECT FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
			ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
		WHERE r.ev_class = c.oid AND r.rulename = '_RETURN' AND d.refclassid = 'pg_catalog.pg_class'::regclass
		  AND d.refobjid = rel)
	ORDER BY c.oid::regclass::text COLLATE "C"
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Preconditions
-- ---------------------------------------------------------------------------------------------------------------

-- What keeps the guard from enforcing the table as one of tenants; NULL if it does.
CREATE FUNCTION multitenant._why_not_protected(rel regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN p.class IS DISTINCT FROM 'tenant' OR p.mode IS DISTINCT FROM 'enforce' OR p.is_intact IS NOT TRUE
		THEN coalesce(p.finding, format('Its class is %s.', coalesce(p.class, 'unprotected'))) END
	FROM multitenant._protection(rel) p
$$;

-- What cannot be carried over to a partitioned table, each with what to do about it.
CREATE FUNCTION multitenant._partition_obstacles(rel regclass) RETURNS TABLE(obstacle text, remedy text)
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH t AS (SELECT * FROM pg_catalog.pg_class c WHERE c.oid = rel), con AS (
		SELECT k.*, format('constraint %I', k.conname) AS what, multitenant._is_enforced(k) AS is_enforced
		FROM pg_catalog.pg_constraint k WHERE k.conrelid = rel
	)
	SELECT 'it is unlogged', 'Make it a logged table: ALTER TABLE .. SET LOGGED.' FROM t WHERE t.relpersistence = 'u'
	UNION ALL
	SELECT 'it is a table of a type', 'Take it off: ALTER TABLE .. NOT OF.' FROM t WHERE t.reloftype <> 0
	UNION ALL
	SELECT format('it inherits from, or is inherited by, %s', x.other), 'End the inheritance: ALTER TABLE .. NO INHERIT.'
	FROM (SELECT i.inhparent::regclass AS other FROM pg_catalog.pg_inherits i WHERE i.inhrelid = rel
		  UNION ALL SELECT i.inhrelid::regclass FROM pg_catalog.pg_inherits i WHERE i.inhparent = rel) AS x
	UNION ALL
	SELECT con.what || ' is not validated', 'Validate it: ALTER TABLE .. VALIDATE CONSTRAINT.'
	FROM con WHERE NOT con.convalidated AND con.is_enforced
	UNION ALL
	SELECT con.what || ' is not enforced', 'Drop it.' FROM con WHERE NOT con.is_enforced
	UNION ALL
	SELECT con.what || ' is not inherited', 'Make it again without NO INHERIT.'
	FROM con WHERE con.connoinherit AND con.contype IN ('c', 'n')
	UNION ALL
	SELECT con.what || ' is an exclusion constraint', 'Drop it; it compares rows of all partitions.' FROM con WHERE con.contype = 'x'
	UNION ALL
	SELECT format('foreign key %I of %s is not validated', k.conname, k.conrelid::regclass),
		'Validate it: ALTER TABLE .. VALIDATE CONSTRAINT.'
	FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = rel AND k.conrelid <> rel AND NOT k.convalidated
	UNION ALL
	SELECT format('foreign key %I of %s does not have the tenant in it', k.conname, k.conrelid::regclass),
		'Protect that table, or drop the key: only keys with the tenant in them reach across partitions.'
	FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = rel
	  AND NOT multitenant._tenant_column(rel) = ANY (multitenant._column_names(rel, k.confkey))
	UNION ALL
	SELECT format('index %I is not valid', c.relname), 'REINDEX or drop it.'
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = rel AND NOT i.indisvalid AND c.relname !~ '^multitenant_staged_'
	UNION ALL
	SELECT r.note, 'Put the tenant column into it, or drop it: a unique key of a partitioned table contains the partition key.'
	FROM multitenant._own_indexes(rel) i
	CROSS JOIN LATERAL multitenant._key_rule(rel, i.index_oid) AS r(handling, note)
	WHERE i.is_unique AND NOT i.has_tenant AND r.handling = 'keep'
	UNION ALL
	SELECT format('rule %I', r.rulename), 'Drop it, or make a trigger of it.' FROM pg_catalog.pg_rewrite r WHERE r.ev_class = rel
	UNION ALL
	SELECT format('trigger %I has transition tables for each row', g.tgname), 'Make it FOR EACH STATEMENT.'
	FROM pg_catalog.pg_trigger g WHERE g.tgrelid = rel AND g.tgtype & 1 = 1
	  AND (g.tgoldtable IS NOT NULL OR g.tgnewtable IS NOT NULL)
	UNION ALL
	SELECT format('security label of provider %s', s.provider), 'Take it away, and set it on the partitioned table afterwards.'
	FROM pg_catalog.pg_seclabel s WHERE s.objoid = rel AND s.classoid = 'pg_catalog.pg_class'::regclass
	  AND s.provider <> 'multitenant'
	UNION ALL
	SELECT format('publication %I', p.pubname), 'Take the table out of it and add it again afterwards; let it publish via the '
		'partition root (publish_via_partition_root), or subscribers need the partitions.'
	FROM pg_catalog.pg_publication p WHERE NOT p.pubviaroot AND (p.puballtables OR EXISTS (
		SELECT FROM pg_catalog.pg_publication_namespace n JOIN t ON n.pnnspid = t.relnamespace WHERE n.pnpubid = p.oid))
	UNION ALL
	-- Everything else that knows the table by its number. What is handled: indexes, constraints, defaults, policies and
	-- triggers of its own, its sequences and statistics, foreign keys, plain views.
	SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0),
		CASE WHEN d.classid = 'pg_catalog.pg_publication_rel'::regclass
			THEN 'Take the table out of the publication and add it again afterwards, with publish_via_partition_root.'
			ELSE 'It would go on with the shared partition alone: drop it, and make it again afterwards.' END
	FROM pg_catalog.pg_depend d, t
	WHERE ((d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = rel)
		OR (d.refclassid = 'pg_catalog.pg_type'::regclass
			AND d.refobjid IN (t.reltype, (SELECT y.typarray FROM pg_catalog.pg_type y WHERE y.oid = t.reltype))))
	  AND NOT CASE d.classid
		WHEN 'pg_catalog.pg_class'::regclass THEN d.deptype IN ('a', 'i')
		WHEN 'pg_catalog.pg_type'::regclass THEN d.deptype = 'i'
		WHEN 'pg_catalog.pg_attrdef'::regclass THEN d.refclassid = 'pg_catalog.pg_class'::regclass
		WHEN 'pg_catalog.pg_statistic_ext'::regclass THEN true
		WHEN 'pg_catalog.pg_constraint'::regclass THEN EXISTS (
			SELECT FROM pg_catalog.pg_constraint k WHERE k.oid = d.objid AND (k.conrelid = rel OR k.contype = 'f'))
		WHEN 'pg_catalog.pg_trigger'::regclass THEN EXISTS (
			SELECT FROM pg_catalog.pg_trigger g WHERE g.oid = d.objid AND (g.tgrelid = rel OR g.tgisinternal))
		WHEN 'pg_catalog.pg_policy'::regclass THEN EXISTS (
			SELECT FROM pg_catalog.pg_policy p WHERE p.oid = d.objid AND p.polrelid = rel)
		WHEN 'pg_catalog.pg_rewrite'::regclass THEN d.refclassid = 'pg_catalog.pg_class'::regclass AND EXISTS (
			SELECT FROM pg_catalog.pg_rewrite r WHERE r.oid = d.objid
			AND (r.ev_class = rel OR (r.rulename = '_RETURN' AND r.ev_class IN (SELECT multitenant._direct_views(rel)))))
		ELSE false END
	UNION ALL
	SELECT format('it belongs to extension %I', e.extname), 'Leave it to the extension.'
	FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
	WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = rel AND d.deptype = 'e'
$$;

-- As _unique_rule(), for a table that is to be partitioned: no primary key may stay without the tenant.
CREATE FUNCTION multitenant._key_rule(rel regclass, index_oid oid, OUT handling text, OUT note text)
LANGUAGE plpgsql STABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	index_name name := (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = index_oid);
	holder text := multitenant._holder_of(index_oid, ARRAY(SELECT r.con FROM multitenant._incoming_references(rel) r));
BEGIN
	handling := 'keep';
	IF EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = index_oid AND (i.indisreplident OR i.indisclustered)) THEN
		note := format('unique index %I without the tenant is its replica identity or cluster order', index_name);
	ELSIF holder IS NOT NULL THEN
		note := format('unique index %I without the tenant: %s depends on it', index_name, holder);
	ELSIF EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = index_oid AND k.contype IN ('p', 'u')
				  AND multitenant._is_temporal(k)) THEN
		note := format('key %I without the tenant compares periods', index_name);
	ELSE
		handling := 'convert';
		note := 'unique within a tenant from now on: a partitioned table can have no other key';
	END IF;
END
$$;

CREATE FUNCTION multitenant._check_partitioning(rel regclass, strategy text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_text text;
	found_hint text;
	other regclass;
BEGIN
	PERFORM multitenant._check_table(rel);
	PERFORM multitenant._require('isolation', 'partitioning a table');
	IF strategy IS NULL OR strategy NOT IN ('shared', 'dedicated') THEN
		RAISE EXCEPTION 'unknown strategy "%"', strategy
			USING ERRCODE = '22023', HINT = 'The strategies are shared and dedicated: where the rows of new tenants go.';
	ELSIF multitenant.current_tenant_or_null() IS NOT NULL THEN
		RAISE EXCEPTION 'a tenant''s transaction cannot partition a table'
			USING ERRCODE = '55000', HINT = 'Call this in a transaction without a tenant: every tenant''s rows are concerned.';
	ELSIF (SELECT c.relkind = 'p' FROM pg_catalog.pg_class c WHERE c.oid = rel) THEN
		RAISE EXCEPTION 'table % is partitioned already', rel
			USING ERRCODE = '55000', HINT = CASE WHEN multitenant._is_partitioned_by_tenant(rel)
				THEN 'Say what happens to new tenants with multitenant.set_partition_strategy().'
				ELSE 'Only an ordinary table can be partitioned by tenant; its partitions can then be partitioned further.' END;
	END IF;
	found_text := multitenant._why_not_protected(rel);
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'table % is not a protected table of class tenant', rel
			USING ERRCODE = '55000', DETAIL = found_text,
				  HINT = format('Protect it with multitenant.protect(%L), or mend it with multitenant.repair(%L).', rel, rel);
	END IF;
	SELECT string_agg(o.obstacle, '; ' ORDER BY o.obstacle COLLATE "C"), min(o.remedy COLLATE "C") INTO found_text, found_hint
	FROM multitenant._partition_obstacles(rel) o;
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'table % cannot be partitioned as it is', rel
			USING ERRCODE = '55000', DETAIL = format('In the way: %s.', found_text), HINT = found_hint;
	END IF;
	-- What is changed elsewhere is changed with the rights of its owner, which the caller must have.
	SELECT x.other INTO other FROM (
		SELECT r.child FROM multitenant._incoming_references(rel) r WHERE NOT r.is_self
		UNION ALL SELECT v FROM multitenant._direct_views(rel) v) AS x(other)
	WHERE NOT multitenant._is_owner(x.other) ORDER BY x.other::text COLLATE "C" LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'must be owner of %, which refers to %', other, rel
			USING ERRCODE = '42501', HINT = 'Run this as a superuser, or as a role that has the rights of all the owners.';
	END IF;
	PERFORM multitenant._check_trust(r.child, rel) FROM multitenant._incoming_references(rel) r WHERE NOT r.is_self;
	PERFORM multitenant._check_trust(rel, k.confrelid) FROM pg_catalog.pg_constraint k
	WHERE k.conrelid = rel AND k.contype = 'f' AND k.conparentid = 0 AND k.confrelid <> rel;
END
$$;

-- Refuses what would read a large table under the lock.
CREATE FUNCTION multitenant._check_partition_scans(steps multitenant._step[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	s record;
BEGIN
	SELECT x.scans, x.command, x.preparation INTO s FROM unnest(steps) x
	WHERE x.command IS NOT NULL AND x.scans IS NOT NULL AND multitenant._is_large(x.scans) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'table % is too large to be read under a lock', s.scans
			USING ERRCODE = '55000',
				  DETAIL = format('It has about %s rows; the command is: %s', multitenant._estimated_rows(s.scans), s.command),
				  HINT = format('Run this first, outside a transaction: %s', array_to_string(s.preparation, '; '));
	END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- What belongs to the table and not to its rows
-- ---------------------------------------------------------------------------------------------------------------

-- Statistics targets and options of columns, for the table that is called "target".
CREATE FUNCTION multitenant._column_setting_commands(rel regclass, target text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT w.command FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL (VALUES
		(CASE WHEN a.attstattarget >= 0 THEN
			format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', target, a.attname, a.attstattarget) END),
		(format('ALTER TABLE %s ALTER COLUMN %I SET (', target, a.attname)
			-- (some servers keep a stamp of their own there)
			|| multitenant._option_list(ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE o !~ '^pg_')) || ')')) AS w(command)
	WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND w.command IS NOT NULL
	ORDER BY a.attnum
$$;

-- The privileges on a table or sequence, for the one that is called "target"; those that the creator's default
-- privileges would add are taken away first.
CREATE FUNCTION multitenant._grant_commands(rel regclass, target text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	WITH t AS (
		SELECT c.*, CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
			CASE WHEN c.relkind = 'S' THEN 'S'::"char" ELSE 'r' END AS acl_kind
		FROM pg_catalog.pg_class c WHERE c.oid = rel
	), g AS (
		SELECT 0 AS attnum, NULL::name AS column_name, x.* FROM t CROSS JOIN LATERAL aclexplode(t.relacl) x
		UNION ALL
		SELECT a.attnum, a.attname, x.* FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
		WHERE a.attrelid = rel AND NOT a.attisdropped
	), named AS (
		SELECT g.*, CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS role FROM g
	)
	SELECT w.command FROM (
		SELECT 1 AS n, r.role AS sort, format('REVOKE ALL ON %s %s FROM %s', t.kind, target, r.role) AS command
		FROM t CROSS JOIN LATERAL (
			SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS role
			FROM pg_catalog.pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) x
			WHERE d.defaclrole = t.relowner AND d.defaclobjtype = t.acl_kind AND d.defaclnamespace IN (0, t.relnamespace)
			  AND x.grantee <> t.relowner
			UNION
			-- An owner who took something away from himself.
			SELECT quote_ident(pg_get_userbyid(t.relowner)) WHERE t.relacl IS NOT NULL AND EXISTS (
				SELECT FROM aclexplode(acldefault(t.acl_kind, t.relowner)) d WHERE NOT EXISTS (
					SELECT FROM aclexplode(t.relacl) h WHERE h.grantee = t.relowner AND h.privilege_type = d.privilege_type))
		) AS r
		UNION ALL
		SELECT 2, x.role, format('GRANT %s ON %s %s TO %s%s',
			string_agg(x.privilege_type || coalesce(' (' || quote_ident(x.column_name) || ')', ''), ', ' ORDER BY x.privilege_type, x.attnum),
			t.kind, target, x.role, CASE WHEN x.is_grantable AND x.grantee <> t.relowner THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM t, named x
		WHERE x.grantee <> t.relowner OR EXISTS (
			SELECT FROM aclexplode(acldefault(t.acl_kind, t.relowner)) d WHERE t.relacl IS NOT NULL AND NOT EXISTS (
				SELECT FROM aclexplode(t.relacl) h WHERE h.grantee = t.relowner AND h.privilege_type = d.privilege_type))
		GROUP BY t.kind, x.role, x.grantee, t.relowner, x.is_grantable
	) AS w ORDER BY w.n, w.sort COLLATE "C", w.command COLLATE "C"
$$;

-- Comments on the table and on what is made again with it.
CREATE FUNCTION multitenant._comment_commands(rel regclass, target text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT w.command FROM (
		SELECT 1, a.attnum::int, NULL::name, format('COMMENT ON %s IS %L', CASE WHEN d.objsubid = 0 THEN 'TABLE ' || target
			ELSE format('COLUMN %s.%I', target, a.attname) END, d.description)
		FROM pg_catalog.pg_description d
		LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = d.objsubid AND d.objsubid > 0
		WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = rel
		UNION ALL
		SELECT 2, 0, k.conname, format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, target, d.description)
		FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_description d
			ON d.classoid = 'pg_catalog.pg_constraint'::regclass AND d.objoid = k.oid
		WHERE k.conrelid = rel AND k.conparentid = 0
		UNION ALL
		SELECT 3, 0, c.relname, format('COMMENT ON INDEX %I.%I IS %L', c.relnamespace::regnamespace::name, c.relname, d.description)
		FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_description d
			ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = c.oid
		WHERE i.indrelid = rel
		UNION ALL
		SELECT 4, 0, g.tgname, format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, target, d.description)
		FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_description d
			ON d.classoid = 'pg_catalog.pg_trigger'::regclass AND d.objoid = g.oid
		WHERE g.tgrelid = rel AND NOT g.tgisinternal
		UNION ALL
		SELECT 5, 0, p.polname, format('COMMENT ON POLICY %I ON %s IS %L', p.polname, target, d.description)
		FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_description d
			ON d.classoid = 'pg_catalog.pg_policy'::regclass AND d.objoid = p.oid
		WHERE p.polrelid = rel
	) AS w(n, m, name, command) ORDER BY w.n, w.m, w.name
$$;

-- Triggers of the table's own, as they were made, and whether they fire.
CREATE FUNCTION multitenant._trigger_commands(rel regclass, target text) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT w.command FROM pg_catalog.pg_trigger g CROSS JOIN LATERAL (VALUES
		(1, pg_get_triggerdef(g.oid)),
		(2, CASE WHEN g.tgenabled <> 'O' THEN format('ALTER TABLE %s %s TRIGGER %I', target,
			CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname) END)
	) AS w(n, command)
	WHERE g.tgrelid = rel AND NOT g.tgisinternal AND w.command IS NOT NULL ORDER BY g.tgname, w.n
$$;

-- One policy as it would be written for the table that is called "target".
CREATE FUNCTION multitenant._policy_command(policy oid, target text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, target,
			CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			(SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY n)
			 FROM unnest(p.polroles) WITH ORDINALITY AS u(r, n)))
		|| coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
		|| coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
	FROM pg_catalog.pg_policy p WHERE p.oid = policy
$$;

-- The sequence of an identity column, from where it stands. The sequence itself goes with the old column.
CREATE FUNCTION multitenant._identity_commands(rel regclass, target text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	i record;
	next_value text;
BEGIN
	FOR i IN SELECT a.attname, a.attidentity, s.*, c.oid::regclass AS seq FROM pg_catalog.pg_attribute a
			 JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'i'
				AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
			 JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
			 JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
			 WHERE a.attrelid = rel AND a.attidentity <> '' ORDER BY a.attnum LOOP
		next_value := multitenant._query_as_owner(i.seq, format(
			'SELECT CASE WHEN is_called THEN last_value::numeric + %s ELSE last_value END FROM %s', i.seqincrement, i.seq));
		IF next_value::numeric NOT BETWEEN i.seqmin AND i.seqmax THEN
			IF NOT i.seqcycle THEN
				RAISE EXCEPTION 'the identity column % of table % has no value left', quote_ident(i.attname), rel
					USING ERRCODE = '55000', HINT = format('Give its sequence %s another MAXVALUE or MINVALUE.', i.seq);
			END IF;
			next_value := CASE WHEN i.seqincrement > 0 THEN i.seqmin ELSE i.seqmax END;
		END IF;
		RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s INCREMENT BY %s '
						   'MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s)', target, i.attname,
						   CASE i.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, i.seq, i.seqincrement, i.seqmin,
						   i.seqmax, i.seqstart, i.seqcache, CASE WHEN i.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END);
		IF next_value::numeric <> i.seqstart THEN
			RETURN NEXT format('ALTER TABLE %s ALTER COLUMN %I RESTART WITH %s', target, i.attname, next_value);
		END IF;
		RETURN QUERY SELECT * FROM multitenant._grant_commands(i.seq, i.seq::text);
	END LOOP;
END
$$;

-- Of what unprotect() has to give back, that which a table keeps that is partitioned by tenant: keys without the tenant
-- are none that it could have. What is said of views and indexes goes with the name of the table.
CREATE FUNCTION multitenant._partition_label(rel regclass, kinds text[], members jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL UNSAFE STRICT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'tenant' || coalesce(' ' || nullif(
		((multitenant._label_json(rel) - 'undo')
		 || CASE WHEN u.kept IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('undo', u.kept) END || members)::text, '{}'), '')
	FROM (SELECT jsonb_agg(e.entry ORDER BY e.n)
		  FROM jsonb_path_query(multitenant._label_json(rel), '$.undo[*]') WITH ORDINALITY AS e(entry, n)
		  WHERE e.entry ->> 'kind' = ANY (kinds)) AS u(kept)
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Making the table partitioned
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION multitenant._partition_step(command text, lock_level text, target regclass) RETURNS multitenant._step
LANGUAGE sql IMMUTABLE PARALLEL SAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
	SELECT ROW(command, lock_level, true, NULL, NULL, target, NULL, NULL)::multitenant._step
$$;

-- All steps. Texts are taken from the catalog before the first of them: they name the table, and so the partitioned one
-- once that has the name.
CREATE FUNCTION multitenant._partition_steps(rel regclass, strategy text) RETURNS SETOF multitenant._step
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	t record;
	parent text := rel::text;
	shared_name name;
	shared text;
	tenant_column name := multitenant._tenant_column(rel);
	taken text[];
	new_name name;
	r record;
	keyed record;
	exclusive constant text := 'ACCESS EXCLUSIVE';
BEGIN
	SELECT c.relname, n.nspname, c.reltablespace, c.relreplident, c.relowner, s.spcname INTO t FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
	WHERE c.oid = rel;
	shared_name := multitenant._free_relation_name(rel, t.relname, '_shared_tenants', '{}');
	shared := format('%I.%I', t.nspname, shared_name);
	taken := ARRAY[shared_name];

	-- Keys: those of others out of the way, our own with the tenant in them.
	FOR r IN SELECT * FROM multitenant._incoming_references(rel) LOOP
		RETURN NEXT (r.drop_command, exclusive, true, 'added again below, on the partitioned table', NULL, rel, NULL, NULL)::multitenant._step;
	END LOOP;
	FOR r IN SELECT i.*, k.note FROM multitenant._own_indexes(rel) i CROSS JOIN LATERAL multitenant._key_rule(rel, i.index_oid) k
			 WHERE i.is_unique AND NOT i.has_tenant LOOP
		RETURN QUERY SELECT * FROM multitenant._convert_steps(r.index_oid, tenant_column, rel, r.note);
	END LOOP;

	-- What the old table gives up.
	RETURN QUERY SELECT (multitenant._partition_step(format('DROP TRIGGER %I ON %s', g.tgname, parent), exclusive, rel)).*
		FROM pg_catalog.pg_trigger g WHERE g.tgrelid = rel AND NOT g.tgisinternal ORDER BY g.tgname;
	RETURN QUERY SELECT (multitenant._partition_step(format('DROP POLICY %I ON %s', p.polname, parent), exclusive, rel)).*
		FROM pg_catalog.pg_policy p WHERE p.polrelid = rel AND NOT p.polname = ANY (multitenant._policy_names()) ORDER BY p.polname;
	RETURN QUERY SELECT (multitenant._partition_step(format('ALTER TABLE %s ALTER COLUMN %I DROP IDENTITY', parent, a.attname),
		exclusive, rel)).* FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attidentity <> '' ORDER BY a.attnum;
	RETURN QUERY SELECT (multitenant._partition_step(format('REVOKE ALL ON TABLE %s FROM %s CASCADE', parent, x.role), exclusive, rel)).*
		FROM (SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS role
			  FROM (SELECT c.relacl FROM pg_catalog.pg_class c WHERE c.oid = rel
					UNION ALL SELECT a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND NOT a.attisdropped) AS acl(list)
			  CROSS JOIN LATERAL aclexplode(acl.list) g WHERE g.grantee <> t.relowner) AS x ORDER BY x.role COLLATE "C";
	FOR r IN SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
			 WHERE i.indrelid = rel ORDER BY c.relname LOOP
		new_name := multitenant._free_relation_name(rel, shared_name || '_' || CASE WHEN starts_with(r.relname, t.relname || '_')
			THEN substr(r.relname, length(t.relname) + 2) ELSE r.relname END, '', taken);
		taken := taken || new_name::text;
		RETURN NEXT multitenant._partition_step(format('ALTER INDEX %I.%I RENAME TO %I', t.nspname, r.relname, new_name),
			'SHARE UPDATE EXCLUSIVE', rel);
	END LOOP;
	RETURN NEXT (format('ALTER TABLE %s RENAME TO %I', parent, shared_name), exclusive, true,
				 'from here on it is a partition; row triggers see its name in TG_TABLE_NAME', NULL, rel, NULL, NULL)::multitenant._step;

	-- The partitioned table.
	RETURN NEXT multitenant._partition_step(format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING '
		'CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING STATISTICS) PARTITION BY LIST (%I)%s', parent, shared,
		tenant_column, coalesce(' TABLESPACE ' || quote_ident(t.spcname), '')), 'ACCESS SHARE', rel);
	RETURN QUERY SELECT (multitenant._partition_step(format('ALTER SEQUENCE %s OWNED BY %s.%I', c.oid::regclass, parent, a.attname),
		'SHARE ROW EXCLUSIVE', rel)).*
		FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
		JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = d.refobjsubid
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
		  AND d.refobjid = rel AND d.deptype = 'a' ORDER BY a.attnum, c.relname;
	RETURN QUERY SELECT (multitenant._partition_step(x, exclusive, rel)).* FROM multitenant._identity_commands(rel, parent) x;
	RETURN QUERY SELECT (multitenant._partition_step(x, exclusive, rel)).* FROM multitenant._column_setting_commands(rel, parent) x;
	FOR keyed IN SELECT i.*, k.contype FROM multitenant._own_indexes(rel) i LEFT JOIN pg_catalog.pg_constraint k ON k.oid = i.con_oid LOOP
		RETURN NEXT multitenant._partition_step(CASE
			WHEN keyed.con_oid IS NOT NULL THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s', parent, keyed.index_name, CASE
				WHEN keyed.has_tenant THEN pg_get_constraintdef(keyed.con_oid)
				ELSE multitenant._unique_definition(keyed.index_oid, tenant_column || multitenant._key_columns(keyed.index_oid)) END)
			WHEN keyed.is_unique AND NOT keyed.has_tenant THEN format('CREATE UNIQUE INDEX %I %s', keyed.index_name,
				multitenant._unique_index_definition(keyed.index_oid, tenant_column, true))
			ELSE pg_get_indexdef(keyed.index_oid) END, 'SHARE', rel);
	END LOOP;
	RETURN QUERY SELECT (multitenant._partition_step(x, exclusive, rel)).* FROM multitenant._grant_commands(rel, parent) x;
	RETURN QUERY SELECT (multitenant._partition_step(format('ALTER TABLE %s ADD CONSTRAINT %I %s', parent, k.conname,
		pg_get_constraintdef(k.oid)), 'SHARE ROW EXCLUSIVE', rel)).*
		FROM pg_catalog.pg_constraint k WHERE k.conrelid = rel AND k.contype = 'f' AND k.conparentid = 0 AND k.confrelid <> rel
		ORDER BY k.conname;

	-- Its protection, before a row is in it.
	RETURN QUERY SELECT (multitenant._partition_step(multitenant._policy_command(p.oid, parent), exclusive, rel)).*
		FROM pg_catalog.pg_policy p WHERE p.polrelid = rel ORDER BY p.polpermissive, p.polname;
	RETURN NEXT multitenant._partition_step(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', parent),
		exclusive, rel);
	RETURN NEXT multitenant._partition_step(format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS ''tenant_column''', parent,
		tenant_column), 'SHARE UPDATE EXCLUSIVE', rel);
	IF multitenant._labelled_scope(rel) IS NOT NULL THEN
		RETURN NEXT multitenant._partition_step(format('SECURITY LABEL FOR multitenant ON COLUMN %s.%I IS ''scope_column''', parent,
			multitenant._labelled_scope(rel)), 'SHARE UPDATE EXCLUSIVE', rel);
	END IF;
	RETURN NEXT multitenant._partition_step(format('SECURITY LABEL FOR multitenant ON TABLE %s IS %L', parent,
		multitenant._partition_label(rel, '{not_null,default,row_security,index,view}', jsonb_build_object('new_tenants', strategy))),
		'SHARE UPDATE EXCLUSIVE', rel);
	IF multitenant._partition_label(rel, '{not_null,default,row_security}', '{}') <> multitenant._label(rel) THEN
		RETURN NEXT multitenant._partition_step(format('SECURITY LABEL FOR multitenant ON TABLE %s IS %L', shared,
			multitenant._partition_label(rel, '{not_null,default,row_security}', '{}')), 'SHARE UPDATE EXCLUSIVE', rel);
	END IF;
	RETURN QUERY SELECT (multitenant._partition_step(x, 'SHARE ROW EXCLUSIVE', rel)).* FROM multitenant._trigger_commands(rel, parent) x;
	RETURN NEXT multitenant._partition_step(format('ALTER TABLE %s ATTACH PARTITION %s DEFAULT', parent, shared), exclusive, rel);
	IF t.relreplident <> 'd' THEN
		RETURN NEXT multitenant._partition_step(format('ALTER TABLE %s REPLICA IDENTITY %s', parent, CASE t.relreplident
			WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE format('USING INDEX %I', (
				SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
				WHERE i.indrelid = rel AND i.indisreplident)) END), exclusive, rel);
	END IF;

	-- What refers to it.
	RETURN QUERY SELECT (multitenant._partition_step(format('CREATE OR REPLACE VIEW %s %sAS %s', v.v,
		coalesce('WITH (' || multitenant._option_list(c.reloptions) || ') ', ''), rtrim(pg_get_viewdef(v.v), ';')), exclusive, rel)).*
		FROM multitenant._direct_views(rel) AS v(v) JOIN pg_catalog.pg_class c ON c.oid = v.v;
	FOR r IN SELECT * FROM multitenant._incoming_references(rel) LOOP
		RETURN NEXT (r.add_command, 'SHARE ROW EXCLUSIVE', true, 'its rows have not changed and are not read again',
					 NULL, rel, NULL, NULL)::multitenant._step;
		IF r.comment_command IS NOT NULL AND NOT r.is_self THEN
			RETURN NEXT multitenant._partition_step(r.comment_command, 'SHARE UPDATE EXCLUSIVE', rel);
		END IF;
	END LOOP;
	RETURN QUERY SELECT (multitenant._partition_step(x, 'SHARE UPDATE EXCLUSIVE', rel)).* FROM multitenant._comment_commands(rel, parent) x;
END
$$;

CREATE FUNCTION multitenant.partition_by_tenant(table_name regclass, strategy text DEFAULT 'shared', dry_run boolean DEFAULT false)
RETURNS TABLE(step int, command text, lock_level text, in_transaction boolean, note text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	steps multitenant._step[];
	s multitenant._step;
	former text;
	references_again text[];
BEGIN
	PERFORM multitenant._check_partitioning(table_name, strategy);
	steps := ARRAY(SELECT p FROM multitenant._partition_steps(table_name, strategy) p);
	IF NOT dry_run THEN
		PERFORM multitenant._check_partition_scans(steps);
		-- What was looked at could have changed until now, an identity's sequence above all.
		PERFORM multitenant._run_as_owner(table_name, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', table_name));
		PERFORM multitenant._check_partitioning(table_name, strategy);
		steps := ARRAY(SELECT p FROM multitenant._partition_steps(table_name, strategy) p);
	END IF;
	former := table_name::text;
	references_again := ARRAY(SELECT r.add_command FROM multitenant._incoming_references(table_name) r);
	step := 0;
	FOREACH s IN ARRAY steps LOOP
		IF s.command IS NOT NULL AND NOT dry_run THEN
			IF starts_with(s.command, 'CREATE TABLE ') THEN
				PERFORM multitenant._run_as_owner(table_name, s.command);
			ELSIF s.command = ANY (references_again) THEN
				PERFORM multitenant._add_checked_reference(s.command);
			ELSE
				PERFORM multitenant._execute_step(s);
			END IF;
		END IF;
		step := step + 1;
		command := s.command;
		lock_level := s.lock_level;
		in_transaction := s.in_transaction;
		note := s.note;
		RETURN NEXT;
	END LOOP;
	IF NOT dry_run THEN
		PERFORM multitenant._assert_intact(table_name);
		PERFORM multitenant._assert_intact(former::regclass);
	END IF;
END
$$;

COMMENT ON FUNCTION multitenant.partition_by_tenant(regclass, text, boolean) IS
'Makes a protected table a partitioned one, one list of tenants for each partition. The table itself becomes the partition that tenants share (DEFAULT, named TABLE_shared_tenants); no row is copied. isolate_tenant() moves single tenants out of it.
table_name: an ordinary table of class tenant, of the caller, intact. strategy: what new tenants get: shared (default), nothing of their own, or dedicated, a partition each (isolate_new_tenants() makes it). dry_run: print the steps, execute none.
Columns, defaults, identity, keys, indexes, foreign keys both ways, triggers, policies, privileges, comments, statistics and plain views are carried over; unique keys without the tenant get it as their first column. What cannot be carried over is refused by name before anything is done.
Returns the steps as protect() does; a row without a command is something left to do. One transaction, the table locked (ACCESS EXCLUSIVE) until its end; tables are read only for keys that are made anew, and then only up to multitenant.maximum_inline_rows.
Profile migrator. Errors: 42501 not that profile, or not the owner of the table, a view over it or a table that refers to it; 42809, 22023 no table of the application, unknown strategy; 55000 not protected, partitioned already, something in the way (see DETAIL), an identity column without values left, too large to be read under the lock.';

-- The last word on what was done: the guard itself finds nothing missing.
CREATE FUNCTION multitenant._assert_intact(rel regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_text text := multitenant._why_not_protected(rel);
BEGIN
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'the protection of table % would not be intact', rel
			USING ERRCODE = '55000', DETAIL = found_text, HINT = 'Nothing was changed; please report this.';
	END IF;
END
$$;

-- A table that partition_by_tenant() has made, or anybody else by the same column.
CREATE FUNCTION multitenant._check_partitioned(rel regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_text text;
BEGIN
	PERFORM multitenant._check_table(rel);
	PERFORM multitenant._require('isolation', 'partitioning a table');
	PERFORM multitenant._check_tree(rel);
	IF NOT multitenant._is_partitioned_by_tenant(rel) THEN
		RAISE EXCEPTION 'table % is not partitioned by tenant', rel
			USING ERRCODE = '55000', HINT = format('Call multitenant.partition_by_tenant(%L) first.', rel);
	END IF;
	found_text := multitenant._why_not_protected(rel);
	IF found_text IS NOT NULL THEN
		RAISE EXCEPTION 'the protection of table % is not intact', rel
			USING ERRCODE = '55000', DETAIL = found_text,
				  HINT = format('Mend it with multitenant.repair(%L).', rel);
	END IF;
END
$$;

CREATE FUNCTION multitenant.set_partition_strategy(table_name regclass, strategy text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM multitenant._check_partitioned(table_name);
	IF strategy IS NULL OR strategy NOT IN ('shared', 'dedicated') THEN
		RAISE EXCEPTION 'unknown strategy "%"', strategy
			USING ERRCODE = '22023', HINT = 'The strategies are shared and dedicated: where the rows of new tenants go.';
	END IF;
	PERFORM multitenant._set_label(table_name, 'tenant '
		|| (multitenant._label_json(table_name) || jsonb_build_object('new_tenants', strategy))::text);
END
$$;

COMMENT ON FUNCTION multitenant.set_partition_strategy(regclass, text) IS
'Says what new tenants get in a table that is partitioned by tenant: shared, nothing of their own, or dedicated, a partition each (isolate_new_tenants() makes it).
Profile migrator. Errors: 42501; 22023 unknown strategy; 55000 not partitioned by tenant, or not intact.';
