-- Home units report for themselves, under keys of their own.

-- Two people who live together have one home unit: each has an entry of it.
ALTER TABLE home_units DROP CONSTRAINT one_address_per_unit;
ALTER TABLE home_units ADD CONSTRAINT one_address_per_unit
    EXCLUDE USING gist (hmu_id WITH =, wearer_no WITH =, during WITH &&, recorded WITH &&);

-- When a home unit was heard last: kept in memory while the service runs, and here for its next start.
CREATE TABLE unit_calls (
    device_no bigint PRIMARY KEY REFERENCES devices,
    heard_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A home unit that does not call in is one alert, of the unit, that lists the people who depend on it.
ALTER TABLE alerts ADD COLUMN home_unit text;
ALTER TABLE alerts DROP CONSTRAINT of_a_person_or_a_network;
ALTER TABLE alerts ADD CONSTRAINT of_a_person_a_network_or_a_home_unit CHECK (num_nonnulls(wearer_no, network, home_unit) = 1);
DROP INDEX one_open_alert;
CREATE UNIQUE INDEX one_open_alert ON alerts (wearer_no, kind, requirement_id) NULLS NOT DISTINCT
    WHERE closed_at IS NULL AND wearer_no IS NOT NULL;
CREATE UNIQUE INDEX one_open_alert_of_a_unit ON alerts (home_unit) WHERE closed_at IS NULL AND home_unit IS NOT NULL;

-- The silences of home units, each an occurrence of an alert.
CREATE TABLE unit_silences (
    silence_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    home_unit text NOT NULL,
    since timestamptz NOT NULL,             -- nothing was received after it
    alert_no bigint NOT NULL REFERENCES alerts,
    begin_at timestamptz NOT NULL,          -- by then it should have called in
    end_at timestamptz                      -- null: it lasts
);
CREATE UNIQUE INDEX one_silence_at_a_time ON unit_silences (home_unit) WHERE end_at IS NULL;
CREATE INDEX unit_silences_of_alert ON unit_silences (alert_no);

-- Whom an alert lists that is of no single person. Who is listed stays listed.
CREATE TABLE alert_people (
    alert_no bigint NOT NULL REFERENCES alerts,
    wearer_no bigint NOT NULL REFERENCES wearers,
    added_at timestamptz NOT NULL,
    PRIMARY KEY (alert_no, wearer_no)
);
CREATE INDEX alert_people_of_wearer ON alert_people (wearer_no);
