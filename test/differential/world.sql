-- Tables of every shape that protect() knows, views and functions over them: the same in the database that is protected
-- and in those that hold one tenant's rows alone. Keys are unique within a tenant only. For test/differential/run.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE SCHEMA shop;
CREATE SCHEMA gen;
GRANT USAGE ON SCHEMA shop, gen TO differential_app;
GRANT USAGE, CREATE ON SCHEMA shop, gen TO differential_owner;
-- In the protected database the owner is no superuser; in the others it does not matter.
SELECT coalesce((SELECT 'differential_owner' FROM pg_extension WHERE extname = 'multitenant'), current_user) AS owner \gset
SET ROLE :owner;

-- ---- tenant columns of every type, tables of every shape ----
CREATE TABLE shop.customer (
	tenant_id uuid NOT NULL, id int NOT NULL, parent int, name text NOT NULL, mail varchar(80), rating int, born date,
	tags text[], extra jsonb, search tsvector, PRIMARY KEY (tenant_id, id));
CREATE TABLE shop.orders (
	tenant_id uuid NOT NULL, id int NOT NULL, customer_id int NOT NULL, status text NOT NULL CHECK (status IN ('open', 'paid', 'sent')),
	placed timestamp, total numeric(14, 2), gross numeric(14, 2) GENERATED ALWAYS AS (total * 2) STORED, note text,
	PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, customer_id) REFERENCES shop.customer ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE shop.line (
	tenant_id uuid NOT NULL, id int NOT NULL, order_id int, article text, amount int CHECK (amount >= 0), price numeric(14, 2),
	PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
CREATE TABLE shop.line_1 PARTITION OF shop.line FOR VALUES IN ('00000000-0000-0000-0000-00000000000a');
CREATE TABLE shop.line_2 PARTITION OF shop.line FOR VALUES IN ('00000000-0000-0000-0000-00000000000b');
CREATE TABLE shop.line_rest PARTITION OF shop.line DEFAULT;
ALTER TABLE shop.line ADD FOREIGN KEY (tenant_id, order_id) REFERENCES shop.orders ON UPDATE CASCADE ON DELETE SET NULL (order_id);
CREATE TABLE shop.event (
	tenant_id int NOT NULL, id int NOT NULL, customer_id int, happened timestamp, payload jsonb, name text, UNIQUE (tenant_id, id));
CREATE TABLE shop.event_detail (detail text, weight numeric(14, 2), UNIQUE (tenant_id, id)) INHERITS (shop.event);
CREATE TABLE shop.document (
	tenant_id text NOT NULL, id int NOT NULL, title text, body tsvector, kind text, size int,
	PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
CREATE TABLE shop.document_0 PARTITION OF shop.document FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE shop.document_1 PARTITION OF shop.document FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE shop.document_2 PARTITION OF shop.document FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE TABLE shop.metric (
	tenant_id bigint NOT NULL, id int NOT NULL, day date NOT NULL, name text, value numeric(14, 2), extra jsonb,
	PRIMARY KEY (tenant_id, id, day)) PARTITION BY LIST (tenant_id);
CREATE TABLE shop.metric_1 PARTITION OF shop.metric FOR VALUES IN (1) PARTITION BY RANGE (day);
CREATE TABLE shop.metric_1_early PARTITION OF shop.metric_1 FOR VALUES FROM (MINVALUE) TO ('2024-02-01');
CREATE TABLE shop.metric_1_late PARTITION OF shop.metric_1 FOR VALUES FROM ('2024-02-01') TO (MAXVALUE);
CREATE TABLE shop.metric_2 PARTITION OF shop.metric FOR VALUES IN (2);
CREATE TABLE shop.metric_rest PARTITION OF shop.metric DEFAULT PARTITION BY RANGE (day);
CREATE TABLE shop.metric_rest_early PARTITION OF shop.metric_rest FOR VALUES FROM (MINVALUE) TO ('2024-02-01');
CREATE TABLE shop.metric_rest_late PARTITION OF shop.metric_rest FOR VALUES FROM ('2024-02-01') TO (MAXVALUE);
CREATE TABLE shop.journal (
	tenant_id uuid NOT NULL, id int NOT NULL, day date NOT NULL, what text, amount int,
	PRIMARY KEY (tenant_id, id, day)) PARTITION BY RANGE (day);
CREATE TABLE shop.journal_1 PARTITION OF shop.journal FOR VALUES FROM (MINVALUE) TO ('2024-02-01');
CREATE TABLE shop.journal_2 PARTITION OF shop.journal FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE shop.journal_rest PARTITION OF shop.journal DEFAULT;
CREATE TABLE shop.file (
	tenant_id varchar(40) NOT NULL, id int NOT NULL, path varchar(80), size int, data jsonb, PRIMARY KEY (tenant_id, id));
CREATE TABLE shop.trail (tenant_id uuid NOT NULL, op text NOT NULL, rows int, ids bigint);
-- Rows without a tenant are everybody's; everybody's rows; a table outside tenancy that says who wrote it.
CREATE TABLE shop.template (tenant_id uuid, id int NOT NULL, title text, size int);
CREATE TABLE shop.country (id int PRIMARY KEY, code text UNIQUE, name text, population int);
CREATE TABLE shop.change (editor uuid, id int, what text);

CREATE INDEX ON shop.customer (tenant_id, lower(name));
CREATE INDEX ON shop.customer (rating);
CREATE INDEX ON shop.customer USING gin (tags);
CREATE INDEX ON shop.customer USING gin (search);
CREATE INDEX ON shop.orders (tenant_id, customer_id);
CREATE INDEX ON shop.orders (placed);
CREATE INDEX ON shop.orders (total) WHERE status = 'open';
CREATE INDEX ON shop.line (tenant_id, order_id);
CREATE INDEX ON shop.line (article text_pattern_ops);
CREATE INDEX ON shop.event USING gin (payload);
CREATE INDEX ON shop.event_detail (tenant_id, customer_id);
CREATE INDEX ON shop.document USING gin (body);
CREATE INDEX ON shop.file (size);
CREATE STATISTICS shop.orders_stats ON customer_id, status FROM shop.orders;

-- ---- triggers ----
CREATE FUNCTION shop.shorten() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.note := left(coalesce(NEW.note, '') || '!', 20); RETURN NEW; END $$;
CREATE TRIGGER shorten BEFORE INSERT OR UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.shorten();
CREATE FUNCTION shop.record() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO shop.trail (op, rows, ids) SELECT TG_TABLE_NAME || ' ' || TG_OP, count(*), sum(id) FROM changed; RETURN NULL; END $$;
CREATE TRIGGER record_insert AFTER INSERT ON shop.customer REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION shop.record();
CREATE TRIGGER record_update AFTER UPDATE ON shop.customer REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION shop.record();
CREATE TRIGGER record_delete AFTER DELETE ON shop.customer REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION shop.record();
CREATE TRIGGER record_update AFTER UPDATE ON shop.line REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION shop.record();

-- ---- views ----
CREATE VIEW shop.overview WITH (security_invoker = true) AS
	SELECT o.tenant_id, o.id, o.customer_id, o.total, c.name, (SELECT count(*)::int FROM shop.line l WHERE l.order_id = o.id) AS lines
	FROM shop.orders o JOIN shop.customer c ON c.id = o.customer_id;
CREATE VIEW shop.rated WITH (security_invoker = true, security_barrier = true) AS
	SELECT id, rating, name, born, extra FROM shop.customer WHERE rating > 2;
CREATE VIEW shop.of_owner AS SELECT id, size, path, data FROM shop.file WHERE size % 3 > 0;
CREATE VIEW shop.open_orders WITH (security_invoker = true) AS
	SELECT tenant_id, id, customer_id, status, total, note FROM shop.orders WHERE status = 'open' WITH CHECK OPTION;
CREATE VIEW shop.sized WITH (security_invoker = true, security_barrier = true) AS
	SELECT tenant_id, id, size, path FROM shop.file WHERE size > 10;

-- ---- functions ----
CREATE FUNCTION shop.orders_of(customer int) RETURNS TABLE (id int, status text, total numeric) LANGUAGE sql STABLE AS
	'SELECT id, status, total FROM shop.orders WHERE customer_id = $1';
CREATE FUNCTION shop.total_of(customer int) RETURNS numeric LANGUAGE sql STABLE AS
	'SELECT round(sum(total), 2) FROM shop.orders WHERE customer_id = $1';
CREATE FUNCTION shop.label_of(customer int) RETURNS text LANGUAGE plpgsql STABLE AS
	$$ BEGIN RETURN (SELECT name || ' ' || rating FROM shop.customer WHERE id = $1); END $$;
CREATE FUNCTION shop.is_known(customer int) RETURNS boolean LANGUAGE plpgsql STABLE AS
	$$ BEGIN PERFORM 1 FROM shop.event WHERE customer_id = $1; RETURN FOUND; END $$;
CREATE FUNCTION shop.lines_above(amount int) RETURNS TABLE (id int, article text, price numeric) LANGUAGE plpgsql STABLE AS
	$$ BEGIN RETURN QUERY SELECT l.id, l.article, l.price FROM shop.line l WHERE l.amount > $1; END $$;
CREATE FUNCTION shop.metrics_since(days int) RETURNS TABLE (id int, name text, value numeric) LANGUAGE plpgsql STABLE AS
	$$ DECLARE r record; BEGIN
		FOR r IN SELECT m.id, m.name, m.value FROM shop.metric m WHERE m.day > DATE '2024-01-01' + days LOOP
			id := r.id; name := r.name; value := r.value; RETURN NEXT;
		END LOOP; END $$;
CREATE FUNCTION shop.notes_by_owner(customer int) RETURNS TABLE (id int, note text) LANGUAGE sql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS 'SELECT id, note FROM shop.orders WHERE customer_id = $1';
CREATE FUNCTION shop.titles_by_owner(size int) RETURNS TABLE (id int, title text) LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN QUERY SELECT d.id, d.title FROM shop.document d WHERE d.size > $1; END $$;
CREATE FUNCTION shop.two_steps(customer int) RETURNS TABLE (id int, name text) LANGUAGE sql VOLATILE AS
	'SELECT count(*) FROM shop.customer; SELECT id, name FROM shop.event WHERE customer_id = $1';
CREATE FUNCTION shop.atomic(size int) RETURNS TABLE (id int, path text) LANGUAGE sql STABLE
	BEGIN ATOMIC SELECT f.id, f.path FROM shop.file f WHERE f.size > $1; END;
CREATE FUNCTION shop.dynamic(statement text) RETURNS SETOF text LANGUAGE plpgsql AS
	$$ DECLARE r record; BEGIN FOR r IN EXECUTE statement LOOP RETURN NEXT r::text; END LOOP; END $$;
CREATE FUNCTION shop.by_cursor(amount int) RETURNS SETOF text LANGUAGE plpgsql AS
	$$ DECLARE c CURSOR (a int) FOR SELECT j.id, j.what FROM shop.journal j WHERE j.amount > a; r record;
	BEGIN OPEN c(amount); LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; RETURN NEXT r::text; END LOOP; CLOSE c; END $$;
CREATE FUNCTION shop.caught(customer int) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO shop.customer (id, name) SELECT min(id), 'twice' FROM shop.customer WHERE id >= $1; RETURN 'new';
	EXCEPTION WHEN unique_violation OR not_null_violation THEN RETURN SQLSTATE || (SELECT count(*) FROM shop.customer); END $$;
CREATE FUNCTION shop.annotate(customer int, remark text) RETURNS int LANGUAGE plpgsql AS
	$$ DECLARE n int; BEGIN UPDATE shop.orders SET note = $2 WHERE customer_id = $1; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
CREATE FUNCTION shop.resize(by int) RETURNS SETOF int LANGUAGE sql AS
	'UPDATE shop.file SET size = size + $1 WHERE size % 2 = 0 RETURNING size';
CREATE FUNCTION shop.forget(customer int) RETURNS bigint LANGUAGE sql AS
	'WITH gone AS (DELETE FROM shop.event WHERE customer_id = $1 RETURNING id) SELECT count(*) FROM gone';

RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO differential_app;
