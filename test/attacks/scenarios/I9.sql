-- A unique key over all tenants answers which values exist
-- naive: leak
-- leak: 23505
-- ours: filtered
-- attack
{enter acme}
INSERT INTO account (id, tenant_id, email) VALUES (201, '{acme}', 'b1@example.org');
INSERT INTO account (id, tenant_id, email) VALUES (101, '{acme}', 'new@example.org');
