-- The person on the alert page: who must be called, what the court ordered, what a zone is called, and which steps are to be done.
-- Nobody is judged by any of it.

-- One row is what was recorded of a person during `recorded`. Address and phones are as closed as the IOM record.
CREATE TABLE wearer_details (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    date_of_birth date,
    sex text,
    ethnicity text,
    address text,
    phones text[] NOT NULL,
    officer_name text,                    -- the responsible officer
    officer_agency text,
    officer_phone text,
    offence text,
    order_kind text,                      -- of the order of a court
    order_court text,
    order_begins date,
    order_ends date,                      -- its last day
    contacts jsonb NOT NULL CHECK (jsonb_typeof(contacts) = 'array'),
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CONSTRAINT one_detail_at_a_time EXCLUDE USING gist (wearer_no WITH =, recorded WITH &&)
);

-- What people call the zone of a requirement.
CREATE TABLE requirement_names (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    name text NOT NULL,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CONSTRAINT one_name_at_a_time EXCLUDE USING gist (wearer_no WITH =, requirement_id WITH =, recorded WITH &&)
);

-- Scripted steps (alerts/protocols.py). Versions of one scope count from 1.
CREATE TABLE protocols (
    protocol_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint REFERENCES wearers,  -- null: of everybody
    order_kind text,
    zone text,
    kind text,
    version bigint NOT NULL CHECK (version > 0),
    steps jsonb NOT NULL CHECK (jsonb_typeof(steps) = 'array'),   -- empty: it ended
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CHECK (num_nonnulls(wearer_no, order_kind, zone, kind) > 0)
);
CREATE UNIQUE INDEX one_protocol_at_a_time ON protocols (wearer_no, order_kind, zone, kind) NULLS NOT DISTINCT WHERE upper_inf(recorded);

-- That a step was done, or that it was not after all: the newest row of a step counts.
CREATE TABLE step_ticks (
    tick_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_no bigint NOT NULL REFERENCES alerts,
    protocol_no bigint REFERENCES protocols,    -- null: the steps that are shipped
    step_no bigint NOT NULL CHECK (step_no > 0),
    step_text text NOT NULL,                    -- as it was read
    is_done boolean NOT NULL,
    ticked_at timestamptz NOT NULL,
    ticked_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX step_ticks_of_alert ON step_ticks (alert_no, tick_no);
CREATE INDEX step_ticks_of_protocol ON step_ticks (protocol_no);

-- ------------------------------------------------------------------ rows (as migration 0020 has them)

ALTER TABLE wearer_details ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_open_records ON wearer_details USING (current_user <> 'emtrack_pages' OR (
    (SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))
    AND wearer_no NOT IN (SELECT closed_wearers()));
ALTER TABLE requirement_names ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON requirement_names USING ((SELECT watches())
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers())) AND wearer_no NOT IN (SELECT closed_wearers()));
ALTER TABLE protocols ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON protocols USING ((SELECT watches()) OR asking_role() IN ('officer', 'contact') AND (wearer_no IS NULL
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers())) AND wearer_no NOT IN (SELECT closed_wearers())));
ALTER TABLE step_ticks ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON step_ticks FOR SELECT
    USING ((SELECT watches()) OR EXISTS (SELECT FROM alerts a WHERE a.alert_no = step_ticks.alert_no));
CREATE POLICY in_their_own_name ON step_ticks FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR ticked_by = asking_account() AND (SELECT watches()));

-- ------------------------------------------------------------------ sealed

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('wearer_details', 1, 'wearer_details', 'r.version_no', '0',
 'r.version_no, r.wearer_no, r.date_of_birth, r.sex, r.ethnicity, r.address, r.phones, r.officer_name, r.officer_agency, r.officer_phone, '
 'r.offence, r.order_kind, r.order_court, r.order_begins, r.order_ends, r.contacts, lower(r.recorded), r.entered_by'),
('requirement_names', 1, 'requirement_names', 'r.version_no', '0',
 'r.version_no, r.wearer_no, r.requirement_id, r.name, lower(r.recorded), r.entered_by'),
('protocols', 1, 'protocols', 'r.protocol_no', '0',
 'r.protocol_no, r.wearer_no, r.order_kind, r.zone, r.kind, r.version, r.steps, lower(r.recorded), r.entered_by'),
('step_ticks', 1, 'step_ticks', 'r.tick_no', '0',
 'r.tick_no, r.alert_no, r.protocol_no, r.step_no, r.step_text, r.is_done, r.ticked_at, r.ticked_by');
INSERT INTO sealed_kinds (kind, form, of_table, key, content, closes)
SELECT k.kind || ' closed', 1, k.of_table, k.key, k.key || ', upper(r.recorded)', true
FROM sealed_kinds k WHERE k.kind IN ('wearer_details', 'requirement_names', 'protocols');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.of_table IN ('wearer_details', 'requirement_names', 'protocols', 'step_ticks');
