-- A record that shows if it was touched (decision 26), and for how long what is kept (decision 27).
--
-- Rows of facts, findings, orders, actions and looks become leaves of a Merkle tree (RFC 6962). Their hashes are made in the statement
-- that adds them, by triggers, whoever adds them; a step beside the turns puts the hashes into the tree and signs its head. A leaf is
-- sha256(0x00 || salt || canonical bytes): the salt is random and stands in the row, so that it goes with the row, and what was
-- deleted cannot be guessed from what is left. Canonical bytes are the text of a JSON array of the row's columns, with times in UTC.

-- ------------------------------------------------------------------ which rows, and what of them

-- `content`: what of a row `r` is in its leaf. `key`, `part`: how a row is found again. `closes`: the leaf says when a version ended.
-- A column that a later migration adds needs a new form of its kind: leaves say under which form they were made.
CREATE TABLE sealed_kinds (
    kind text NOT NULL,
    form bigint NOT NULL,
    of_table text NOT NULL,
    key text NOT NULL,
    part text NOT NULL DEFAULT '0',
    content text NOT NULL,
    closes boolean NOT NULL DEFAULT false,
    PRIMARY KEY (kind, form)
);

-- Hashes of rows that were added by one statement, in the order of `keys` and `parts`: what becomes leaves, once and for all.
-- `why` null: rows that were added; otherwise they were sealed again, for this reason, and their newest hash counts.
CREATE TABLE log_material (
    material_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    form bigint NOT NULL,
    why text,
    keys bigint[] NOT NULL,
    parts bigint[] NOT NULL,
    hashes bytea NOT NULL,
    key_span int8range NOT NULL,           -- of the keys
    CHECK (length(hashes) = 32 * cardinality(keys) AND cardinality(keys) = cardinality(parts) AND cardinality(keys) > 0)
);
ALTER TABLE log_material ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- they cannot be compressed
CREATE INDEX log_material_by_key ON log_material USING gist (kind, key_span);
CREATE INDEX log_material_again ON log_material (kind) WHERE why IS NOT NULL;

-- ------------------------------------------------------------------ the tree

-- Which material stands where in the tree.
CREATE TABLE log_leaves (
    material_no bigint PRIMARY KEY REFERENCES log_material,
    first_leaf bigint NOT NULL UNIQUE
);
-- Complete subtrees of 256, 65,536, … leaves.
CREATE TABLE log_nodes (
    level bigint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    node_no bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, node_no)
);
-- The public halves of keys that sign heads. `named_by`: the signature of the key before over the new one; null: of the first one, and
-- of one that was made because the one before was lost.
CREATE TABLE log_keys (
    key_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    since timestamptz NOT NULL,           -- of the machine
    entered_by text NOT NULL,
    named_by bytea
);
-- `settled`: all material up to this number is in the tree, or was rolled back.
CREATE TABLE log_heads (
    head_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size bigint NOT NULL,
    root bytea NOT NULL CHECK (length(root) = 32),
    settled bigint NOT NULL,
    signed_at timestamptz NOT NULL,       -- of the machine
    note text NOT NULL
);
CREATE INDEX log_heads_of_size ON log_heads (size);

-- ------------------------------------------------------------------ retention

-- Nothing of whom a hold is on is deleted. The newest row of a person counts.
CREATE TABLE retention_holds (
    hold_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    is_held boolean NOT NULL,
    reason text NOT NULL,
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL
);
CREATE INDEX retention_holds_of_wearer ON retention_holds (wearer_no, hold_no);
CREATE TABLE retention_runs (
    run_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    rules jsonb NOT NULL                  -- days by kind, as they were
);
-- What went in one slice: which rows, of how many people, under which rule. Numbers name nobody once the rows are gone.
CREATE TABLE retention_removals (
    removal_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_no bigint NOT NULL REFERENCES retention_runs,
    kind text NOT NULL,
    rule text NOT NULL,
    days bigint NOT NULL,
    whole_partition text,
    keys bigint[] NOT NULL,
    parts bigint[] NOT NULL,
    removed_at timestamptz NOT NULL,
    CHECK (cardinality(keys) = cardinality(parts))
);
CREATE INDEX retention_removals_of_run ON retention_removals (run_no);
CREATE INDEX retention_removals_of_kind ON retention_removals (kind);

-- Activations whose facts were deleted, or are about to be: nobody judges them any more, and what was found stays as it was told.
CREATE TABLE judgement_ended (
    activation_no bigint PRIMARY KEY REFERENCES activations,
    run_no bigint NOT NULL REFERENCES retention_runs
);
-- Looks are kept for longer than alerts: the number of an alert says what was looked at when the alert is gone, too.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT conname FROM pg_constraint
                WHERE conrelid = 'looks'::regclass AND confrelid = 'alerts'::regclass AND contype = 'f'
    LOOP
        EXECUTE format('ALTER TABLE looks DROP CONSTRAINT %I', name);
    END LOOP;
END $$;

-- ------------------------------------------------------------------ kinds of today

-- All columns of a table but its salt, as they stand in a leaf. That a version ended is a leaf of its own.
CREATE FUNCTION columns_in_leaf(name text) RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT string_agg(CASE WHEN a.attname = 'recorded' THEN 'lower(r.recorded)'
                           WHEN a.atttypid = 'box'::regtype THEN format('r.%I::text', a.attname)
                           ELSE format('r.%I', a.attname) END, ', ' ORDER BY a.attnum)
    FROM pg_attribute a
    WHERE a.attrelid = name::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'salt'
$$;
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('raw_reports', 'r.fact_id', '0'), ('positions', 'r.fact_id', 'r.device_no'), ('future_positions', 'r.fact_id', 'r.device_no'),
        ('device_events', 'r.fact_id', 'r.device_no'), ('quarantine', 'r.fact_id', '0'), ('quarantine_releases', 'r.fact_id', '0'),
        ('integrity_events', 'r.fact_id', 'r.device_no'), ('signed_requests', 'r.request_no', '0'), ('outages', 'r.outage_no', '0'),
        ('findings', 'r.finding_no', '0'), ('finding_versions', 'r.finding_no', 'r.version'), ('atv_lines', 'r.line_no', '0'),
        ('order_changes', 'r.change_no', '0'), ('activations', 'r.activation_no', '0'), ('activation_versions', 'r.version_no', '0'),
        ('requirement_versions', 'r.version_no', '0'), ('home_units', 'r.version_no', '0'), ('absences', 'r.absence_no', '0'),
        ('settings_versions', 'r.settings_no', '0'), ('zones', 'r.zone_no', '0'), ('zone_set_versions', 'r.set_version_no', '0'),
        ('zone_set_members', 'r.set_version_no', 'hashtextextended(r.zone_id, 0)'),
        ('iom_versions', 'r.version_no', '0'), ('rag_grades', 'r.grade_no', '0'), ('access_limits', 'r.limit_no', '0'),
        ('alert_actions', 'r.alert_no', 'r.action_no'), ('looks', 'r.look_no', '0'), ('record_openings', 'r.look_no', '0'),
        ('restricted_looks_seen', 'r.look_no', '0'), ('credential_events', 'r.event_no', '0'), ('account_events', 'r.event_no', '0'),
        ('log_keys', 'r.key_no', '0'), ('retention_holds', 'r.hold_no', '0'), ('retention_runs', 'r.run_no', '0'),
        ('retention_removals', 'r.removal_no', '0')) AS t (name, key, part)
    LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())', wanted.name);
        INSERT INTO sealed_kinds (kind, form, of_table, key, part, content)
        VALUES (wanted.name, 1, wanted.name, wanted.key, wanted.part, columns_in_leaf(wanted.name));
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = wanted.name::regclass AND attname = 'recorded') THEN
            INSERT INTO sealed_kinds (kind, form, of_table, key, content, closes)
            VALUES (wanted.name || ' closed', 1, wanted.name, wanted.key, wanted.key || ', upper(r.recorded)', true);
        END IF;
    END LOOP;
END $$;
DROP FUNCTION columns_in_leaf(text);

-- ------------------------------------------------------------------ leaves are made where rows are added

-- The canonical bytes of a row `r` of a kind, as an expression. A row keeps its salt; what says that it ended has the same.
CREATE FUNCTION content_of(k sealed_kinds) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT format('convert_to(json_build_array(%L, %s)::text, ''UTF8'')', k.kind || '/' || k.form, k.content) $$;
CREATE FUNCTION leaf_of(k sealed_kinds) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT format('sha256(''\x00''::bytea || r.salt || %s)', content_of(k)) $$;

-- (Re)makes the trigger of a kind. The text of values must not depend on who adds them: its settings are those of the function.
CREATE FUNCTION seal_rows_of(k sealed_kinds) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
    name text := 'seal_' || replace(k.kind, ' ', '_');
BEGIN
    EXECUTE format($body$
        CREATE OR REPLACE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
        SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET extra_float_digits = '1' SET bytea_output = 'hex' SET intervalstyle = 'postgres'
        AS $trigger$
        BEGIN
            INSERT INTO log_material (kind, form, keys, parts, hashes, key_span)
            SELECT %2$L, %3$s, array_agg(%4$s), array_agg((%5$s)::bigint), string_agg(%6$s, ''::bytea), int8range(min(%4$s), max(%4$s), '[]')
            FROM %7$s HAVING count(*) > 0;
            RETURN NULL;
        END $trigger$ $body$,
        name, k.kind, k.form, k.key, k.part, leaf_of(k),
        CASE WHEN k.closes THEN format('added r JOIN before b ON %s = %s AND upper_inf(b.recorded) AND NOT upper_inf(r.recorded)',
                                       k.key, replace(k.key, 'r.', 'b.')) ELSE 'added r' END);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %I REFERENCING NEW TABLE AS added%s FOR EACH STATEMENT EXECUTE FUNCTION %I()',
                   name, CASE WHEN k.closes THEN 'UPDATE' ELSE 'INSERT' END, k.of_table,
                   CASE WHEN k.closes THEN ' OLD TABLE AS before' ELSE '' END, name);
END $make$;

-- What stood in the record before this migration is sealed as it stands.
CREATE FUNCTION seal_what_is_there(k sealed_kinds) RETURNS void LANGUAGE plpgsql
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET extra_float_digits = '1' SET bytea_output = 'hex' SET intervalstyle = 'postgres' AS $there$
BEGIN
    EXECUTE format(
        'INSERT INTO log_material (kind, form, keys, parts, hashes, key_span)
         SELECT %L, %s, array_agg(key), array_agg(part), string_agg(hash, ''''::bytea), int8range(min(key), max(key), ''[]'')
         FROM (SELECT %s AS key, (%s)::bigint AS part, %s AS hash, row_number() OVER (ORDER BY %s) / 1000 AS chunk FROM %I r %s) t GROUP BY chunk',
        k.kind, k.form, k.key, k.part, leaf_of(k), k.key, k.of_table, CASE WHEN k.closes THEN 'WHERE NOT upper_inf(r.recorded)' ELSE '' END);
END $there$;
SELECT seal_what_is_there(k), seal_rows_of(k) FROM sealed_kinds k ORDER BY kind;
DROP FUNCTION seal_what_is_there(sealed_kinds);

-- A row is found by its number when it must be proved: ids go up as rows are added.
CREATE INDEX raw_reports_by_fact ON raw_reports USING brin (fact_id) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX positions_by_fact ON positions USING brin (fact_id) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX future_positions_by_fact ON future_positions USING brin (fact_id) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX device_events_by_fact ON device_events USING brin (fact_id) WITH (pages_per_range = 16, autosummarize = on);
