-- Who may see what, by rows. The service has three roles in the database: the one that owns it and migrates, `emtrack_worker`, which
-- writes what was received and judged, and `emtrack_pages`, which answers people and programs. Privileges of the last two on tables
-- stand in emtrack/db/rights.py. What is here goes by rows, for `emtrack_pages`: its sessions say for whom they ask
-- (emtrack/db/identity.py), and who says nothing sees nothing.

-- ------------------------------------------------------------------ accounts belong to agencies

ALTER TABLE users ADD COLUMN agency text;    -- null: of the programme itself, which sees every agency's people
ALTER TABLE tokens ADD COLUMN agency text;
ALTER TABLE users DROP CONSTRAINT users_role_check;
ALTER TABLE users ADD CONSTRAINT users_role_check
    CHECK (role IN ('operator', 'supervisor', 'officer', 'contact', 'auditor', 'administrator'));
ALTER TABLE tokens DROP CONSTRAINT tokens_role_check;
ALTER TABLE tokens ADD CONSTRAINT tokens_role_check
    CHECK (role IN ('operator', 'supervisor', 'officer', 'contact', 'auditor', 'administrator'));

-- ------------------------------------------------------------------ records that not everybody may open

-- While it is recorded: named accounts and agencies may not open the record (excluded), or nobody else may (restricted).
CREATE TABLE access_limits (
    limit_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    kind text NOT NULL CHECK (kind IN ('excluded', 'restricted')),
    accounts text[] NOT NULL,
    agencies text[] NOT NULL,
    reason text NOT NULL,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_limit_of_a_kind EXCLUDE USING gist (wearer_no WITH =, kind WITH =, recorded WITH &&)
);

-- An operator who works an alert of a restricted person opens the record all the same; a supervisor is told, and says that it was seen.
ALTER TABLE looks DROP CONSTRAINT looks_what_check;
ALTER TABLE looks ADD CONSTRAINT looks_what_check
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export', 'restricted record'));
CREATE INDEX looks_at_restricted_records ON looks (looked_at) WHERE what = 'restricted record';
CREATE TABLE record_openings (
    look_no bigint PRIMARY KEY REFERENCES looks,
    wearer_no bigint NOT NULL REFERENCES wearers,
    account text NOT NULL,
    ends_at timestamptz NOT NULL          -- of the machine, as sessions are timed: an emulated hour guards nothing
);
CREATE INDEX record_openings_of_account ON record_openings (account, wearer_no);
CREATE TABLE restricted_looks_seen (
    look_no bigint PRIMARY KEY REFERENCES looks,
    seen_at timestamptz NOT NULL,
    seen_by text NOT NULL
);

-- ------------------------------------------------------------------ whom a session sees

-- For whom the session asks; null: it did not say.
CREATE FUNCTION asking_account() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('emtrack.account', true), '') $$;
CREATE FUNCTION asking_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('emtrack.role', true), '') $$;
CREATE FUNCTION asking_agency() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('emtrack.agency', true), '') $$;

-- The program itself, or staff of the centre: they watch over everybody.
CREATE FUNCTION watches() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT current_user <> 'emtrack_pages' OR asking_role() IN ('operator', 'supervisor', 'administrator') $$;
-- An officer of the programme itself.
CREATE FUNCTION sees_every_agency() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT asking_role() IN ('officer', 'contact') AND asking_agency() IS NULL $$;
-- Who reads how others looked.
CREATE FUNCTION reads_all_looks() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT current_user <> 'emtrack_pages' OR asking_role() IN ('supervisor', 'auditor', 'administrator') $$;

-- People whose IOM record names the agency of the session. With the rights of the owner: the record itself may be hidden.
CREATE FUNCTION shared_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 500
AS $$
    SELECT wearer_no FROM iom_versions
    WHERE upper_inf(recorded) AND asking_role() IN ('officer', 'contact')
          AND (asking_agency() = ANY (agencies) OR asking_agency() = lead_agency)
$$;
-- People whose record is closed to the account of the session, unless they opened it with a reason, not long ago.
CREATE FUNCTION closed_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$
    SELECT l.wearer_no FROM access_limits l
    WHERE upper_inf(l.recorded)
          AND (l.kind = 'excluded') = (asking_account() = ANY (l.accounts) OR coalesce(asking_agency() = ANY (l.agencies), false))
          AND NOT EXISTS (
              SELECT FROM record_openings o WHERE o.wearer_no = l.wearer_no AND o.account = asking_account() AND o.ends_at > now())
$$;

-- ------------------------------------------------------------------ people, without what a restriction hides

-- Whom pages and programs see: everybody's reference to who may work with them, and the name where the record is open. The view has
-- the rights of its owner, so it says itself whose rows it gives.
CREATE VIEW people WITH (security_barrier) AS
SELECT w.wearer_no, w.wearer_id, CASE WHEN c.is_closed THEN NULL ELSE w.name END AS name, c.is_closed
FROM wearers w CROSS JOIN LATERAL (SELECT w.wearer_no IN (SELECT closed_wearers()) AS is_closed) c
WHERE (SELECT watches()) OR (SELECT sees_every_agency()) OR w.wearer_no IN (SELECT shared_wearers());

-- ------------------------------------------------------------------ rows

-- What was found and where somebody was: staff of the centre watch over everybody, whatever is closed; officers see those who are
-- shared with their agency and not closed to them.
CREATE FUNCTION evidence_rows(wearer_no text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$
    SELECT format('(SELECT watches()) OR ((SELECT sees_every_agency()) OR %1$s IN (SELECT shared_wearers()))'
                  ' AND (%1$s IS NULL OR %1$s NOT IN (SELECT closed_wearers()))', $1)
$$;
DO $$
DECLARE
    name text;
BEGIN
    -- Tables with a wearer.
    FOREACH name IN ARRAY ARRAY['activation_versions', 'requirement_entries', 'requirement_versions', 'home_units', 'absences',
                                'alerts', 'alert_people', 'atv_lines']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_people_seen ON %I USING (%s)', name, evidence_rows(name || '.wearer_no'));
    END LOOP;
    -- Tables of one activation, finding or alert: seen by whoever sees that.
    FOREACH name IN ARRAY ARRAY['findings', 'possible_entries', 'wrong_clocks']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_people_seen ON %1$I USING ((SELECT watches()) OR EXISTS ('
                       'SELECT FROM activation_versions v WHERE v.activation_no = %1$I.activation_no))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['finding_versions', 'presence_notes', 'network_silences']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_people_seen ON %1$I USING ((SELECT watches()) OR EXISTS ('
                       'SELECT FROM findings f WHERE f.finding_no = %1$I.finding_no))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['alert_occurrences', 'alert_changes', 'unit_silences']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_people_seen ON %1$I USING ((SELECT watches()) OR EXISTS ('
                       'SELECT FROM alerts a WHERE a.alert_no = %1$I.alert_no))', name);
    END LOOP;
    -- What a device sent is the wearer's while an activation says so.
    FOR name IN SELECT unnest(ARRAY['positions', 'future_positions', 'device_events'])
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_people_seen ON %1$I USING ((SELECT watches()) OR EXISTS ('
                       'SELECT FROM activation_versions v WHERE v.device_no = %1$I.device_no AND v.during @> %1$I.%2$I))',
                       name, CASE name WHEN 'device_events' THEN 'event_time' ELSE 'fix_time' END);
    END LOOP;
    -- The IOM record is closed to whom it is closed to, staff of the centre among them.
    FOREACH name IN ARRAY ARRAY['iom_versions', 'rag_grades']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY of_open_records ON %1$I USING (current_user <> ''emtrack_pages'' OR ('
                       '(SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))'
                       ' AND wearer_no NOT IN (SELECT closed_wearers()))', name);
    END LOOP;
END $$;
DROP FUNCTION evidence_rows(text);

-- The reference of a person is seen as `people` has it. Who enters orders for somebody new adds a row.
ALTER TABLE wearers ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON wearers USING ((SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()));
CREATE POLICY new_people ON wearers FOR INSERT WITH CHECK (true);

-- What people do is theirs: nobody writes in the name of another.
ALTER TABLE alert_actions ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON alert_actions FOR SELECT
    USING ((SELECT watches()) OR EXISTS (SELECT FROM alerts a WHERE a.alert_no = alert_actions.alert_no));
CREATE POLICY in_their_own_name ON alert_actions FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR done_by = asking_account() AND (SELECT watches()));
ALTER TABLE looks ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON looks FOR SELECT USING (
    (SELECT reads_all_looks()) OR looked_by = asking_account() OR (SELECT watches())
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))
       AND (wearer_no IS NULL OR wearer_no NOT IN (SELECT closed_wearers())));
CREATE POLICY in_their_own_name ON looks FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR looked_by = asking_account());
ALTER TABLE record_openings ENABLE ROW LEVEL SECURITY;
CREATE POLICY in_their_own_name ON record_openings
    USING (current_user <> 'emtrack_pages' OR account = asking_account() AND (SELECT watches()));
ALTER TABLE restricted_looks_seen ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_supervisors ON restricted_looks_seen FOR SELECT USING ((SELECT reads_all_looks()));
CREATE POLICY in_their_own_name ON restricted_looks_seen FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR seen_by = asking_account() AND asking_role() IN ('supervisor', 'administrator'));
ALTER TABLE access_limits ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_administrators ON access_limits USING (current_user <> 'emtrack_pages' OR asking_role() = 'administrator');
-- Who enters an order must know the newest change, whoever it concerned, so that the record never steps back.
CREATE FUNCTION last_order_change(OUT change_no bigint, OUT changed_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT coalesce(max(c.change_no), 0), max(c.changed_at) FROM order_changes c $$;
ALTER TABLE order_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON order_changes FOR SELECT
    USING ((SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()));
CREATE POLICY in_their_own_name ON order_changes FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR changed_by = asking_account());

-- Whether a report is of the higher grade says nothing of where anybody was; what was signed does, and pages do not read it.
ALTER FUNCTION is_signed(bigint) SECURITY DEFINER SET search_path = public, pg_temp;

-- ------------------------------------------------------------------ partitions

-- The day's partition is made with the rights of the owner, by whoever may call this. A partition is reached through its parent only.
ALTER FUNCTION make_positions_day(date) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION make_positions_day(date) FROM PUBLIC;

-- Which rights the run-time roles were given (emtrack/db/rights.py).
CREATE TABLE rights_in_force (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fingerprint text NOT NULL
);
