-- The record: who is monitored by what, under which orders, what was received, and what was found.
--
-- Every time is timestamptz, every counter and id bigint. Facts and findings are never changed or deleted: what is
-- learned later is a new row. Orders are bitemporal: `during` / `valid` is when they hold, `recorded` is when we
-- held them to be so; a change closes `recorded` of the old row and adds a new one.
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Ids are handed out in blocks of a thousand, so that a writer knows the ids of its rows before it writes them.
CREATE SEQUENCE fact_id_blocks INCREMENT BY 1000;
CREATE SEQUENCE finding_no_blocks INCREMENT BY 1000;

-- ------------------------------------------------------------------ the deployment

-- One row: the clock that this database was made under. Real and emulated time never mix in one record.
CREATE TABLE deployment (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    clock_start timestamptz,              -- null: real time
    clock_rate double precision NOT NULL DEFAULT 1 CHECK (clock_rate > 0),
    clock_anchor timestamptz NOT NULL     -- the real time at which an emulated clock stood at clock_start
);

-- One row, committed in every turn: we were alive at, and everything was judged to, this instant.
CREATE TABLE liveness (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    first_ready_at timestamptz NOT NULL,
    alive_at timestamptz NOT NULL,
    changes_seen bigint NOT NULL DEFAULT 0   -- orders up to this change are taken in
);

-- Times at which we could not receive (RULES.md section 8); they do not count as silence of a device.
CREATE TABLE outages (
    outage_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    cause text NOT NULL,
    recorded_at timestamptz NOT NULL,
    EXCLUDE USING gist (during WITH &&)
);

CREATE TABLE settings_versions (
    settings_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    timezone text NOT NULL,
    max_gap_ms bigint NOT NULL CHECK (max_gap_ms > 0),
    unknown_limit_ms bigint NOT NULL CHECK (unknown_limit_ms >= 0),
    silence_buffer_ms bigint NOT NULL CHECK (silence_buffer_ms >= 0),
    EXCLUDE USING gist (recorded WITH &&)
);

-- Every change of orders, in the order of commit (changes are made one at a time, under one lock).
CREATE TABLE order_changes (
    change_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    what text NOT NULL,
    wearer_no bigint,                     -- null: everybody (settings)
    detail jsonb NOT NULL
);

-- ------------------------------------------------------------------ people, devices, orders

CREATE TABLE wearers (
    wearer_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_id text NOT NULL UNIQUE,
    name text,
    iom jsonb
);

CREATE TABLE devices (
    device_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text NOT NULL UNIQUE,
    added_at timestamptz NOT NULL
);

CREATE TABLE device_keys (
    key_hash bytea PRIMARY KEY,           -- SHA-256 of a random key of 256 bits
    device_no bigint NOT NULL REFERENCES devices,
    label text NOT NULL,
    added_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX device_keys_of_device ON device_keys (device_no);

CREATE TABLE activations (
    activation_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    activation_id text NOT NULL UNIQUE,
    entered_at timestamptz NOT NULL       -- silence starts no earlier
);

CREATE TABLE activation_versions (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    activation_no bigint NOT NULL REFERENCES activations,
    device_no bigint NOT NULL REFERENCES devices,
    wearer_no bigint NOT NULL REFERENCES wearers,
    during tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during)),
    report_interval_ms bigint NOT NULL CHECK (report_interval_ms > 0),
    network text,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_wearer_per_device EXCLUDE USING gist (device_no WITH =, during WITH &&, recorded WITH &&),
    CONSTRAINT one_version_at_a_time EXCLUDE USING gist (activation_no WITH =, recorded WITH &&)
);
CREATE INDEX activation_versions_of_wearer ON activation_versions (wearer_no);

-- A geometry is stored once, whoever uses it: `version` names its content (RULES.md section 7).
CREATE TABLE zones (
    zone_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version text NOT NULL UNIQUE,
    geometry jsonb NOT NULL               -- GeoJSON, or {"type": "Circle", "centre", "radius_m"}
);

CREATE TABLE requirement_entries (
    entry_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    valid_from timestamptz NOT NULL,
    UNIQUE (wearer_no, requirement_id, valid_from)
);

CREATE TABLE requirement_versions (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_no bigint NOT NULL REFERENCES requirement_entries,
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('EXCLUSION', 'INCLUSION', 'CURFEW')),
    valid tstzrange NOT NULL CHECK (NOT isempty(valid) AND NOT lower_inf(valid)),
    zone_no bigint NOT NULL REFERENCES zones,
    timetable jsonb,                      -- null: always
    buffer_m double precision NOT NULL CHECK (buffer_m >= 0),
    confirm_points bigint NOT NULL CHECK (confirm_points >= 1),
    confirm_ms bigint NOT NULL CHECK (confirm_ms >= 0),
    grace_ms bigint NOT NULL CHECK (grace_ms >= 0),
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_entry_at_a_time
        EXCLUDE USING gist (wearer_no WITH =, requirement_id WITH =, valid WITH &&, recorded WITH &&)
);

CREATE TABLE home_units (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hmu_id text NOT NULL,
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_address_per_unit EXCLUDE USING gist (hmu_id WITH =, during WITH &&, recorded WITH &&)
);
CREATE INDEX home_units_of_wearer ON home_units (wearer_no);

CREATE TABLE absences (
    absence_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    reason text NOT NULL,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_absence_at_a_time EXCLUDE USING gist (wearer_no WITH =, during WITH &&, recorded WITH &&)
);

-- ------------------------------------------------------------------ what was received

-- Each report once, as it came. The same (device, boot, seq) with another digest is an integrity event.
CREATE TABLE raw_reports (
    device_no bigint NOT NULL REFERENCES devices,
    boot bigint NOT NULL,
    seq bigint NOT NULL,
    digest bytea NOT NULL,
    fact_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    body bytea NOT NULL,                  -- MessagePack of the report, keys sorted
    PRIMARY KEY (device_no, boot, seq, digest)
);

-- Positions are joined to a wearer on device AND activation interval, when they are read. No DEFAULT partition:
-- `make_positions_day` makes one for each day before it is needed.
CREATE TABLE positions (
    fact_id bigint NOT NULL,
    device_no bigint NOT NULL,
    fix_time timestamptz NOT NULL,
    mechanism text NOT NULL CHECK (mechanism IN ('RF', 'GPS', 'WIFI', 'LBS')),
    lat_deg double precision NOT NULL CHECK (lat_deg BETWEEN -90 AND 90),
    lon_deg double precision NOT NULL CHECK (lon_deg BETWEEN -180 AND 180),
    precision_m double precision,         -- as reported; null, zero or negative: not known
    received_at timestamptz NOT NULL,
    recorded_time timestamptz,
    uploaded_time timestamptz,
    speed_kmh real,
    direction_deg real,
    satellites bigint,
    hdop real,
    CONSTRAINT position_once UNIQUE NULLS NOT DISTINCT
        (device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m)
) PARTITION BY RANGE (fix_time);

-- Makes the partition of one UTC day if it is missing. ATTACH takes a lock that readers and writers do not feel.
CREATE FUNCTION make_positions_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'positions_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE positions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
        EXECUTE format(
            'ALTER TABLE positions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
            (day::timestamp AT TIME ZONE 'UTC'), ((day + 1)::timestamp AT TIME ZONE 'UTC'));
    END IF;
END $$;

-- Positions of more than 300 s ahead of their receipt: kept, communication, never evidence.
CREATE TABLE future_positions (LIKE positions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);

CREATE TABLE device_events (
    fact_id bigint NOT NULL,
    device_no bigint NOT NULL,
    event_time timestamptz NOT NULL,
    type text NOT NULL,
    hmu_id text,                          -- the home unit that it names
    received_at timestamptz NOT NULL,
    CONSTRAINT event_once UNIQUE NULLS NOT DISTINCT (device_no, event_time, type, hmu_id)
);

-- What could not be used, with its reason. It stays here; a report that an activation entered later makes usable is
-- released by a row in quarantine_releases.
CREATE TABLE quarantine (
    fact_id bigint PRIMARY KEY,
    device_no bigint NOT NULL REFERENCES devices,
    received_at timestamptz NOT NULL,
    boot bigint,
    seq bigint,
    reason text NOT NULL,
    action text NOT NULL,
    body bytea NOT NULL                   -- the report (MessagePack), or a whole request that could not be read
);
CREATE INDEX quarantine_of_device ON quarantine (device_no, reason);

CREATE TABLE quarantine_releases (
    fact_id bigint PRIMARY KEY REFERENCES quarantine,
    released_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('stored', 'duplicate'))
);

-- Signs that a device or a sender cannot be trusted.
CREATE TABLE integrity_events (
    fact_id bigint NOT NULL,
    device_no bigint NOT NULL REFERENCES devices,
    noticed_at timestamptz NOT NULL,
    what text NOT NULL
);

-- Conservation, for each device: received = stored + duplicates + refused.
CREATE TABLE device_counts (
    device_no bigint PRIMARY KEY REFERENCES devices,
    received bigint NOT NULL,
    stored bigint NOT NULL,
    duplicates bigint NOT NULL,
    refused bigint NOT NULL,
    CHECK (received = stored + duplicates + refused)
) WITH (fillfactor = 70);

-- ------------------------------------------------------------------ what was found

CREATE TABLE findings (
    finding_no bigint PRIMARY KEY,
    activation_no bigint NOT NULL REFERENCES activations,
    entry_no bigint REFERENCES requirement_entries,
    kind text NOT NULL,
    device_reason text,
    home_unit text,
    period_start timestamptz
);
CREATE INDEX findings_of_activation ON findings (activation_no);

-- A finding is what its newest version says; earlier ones are what people were shown.
CREATE TABLE finding_versions (
    finding_no bigint NOT NULL REFERENCES findings,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    change text NOT NULL CHECK (change IN ('new', 'amended', 'withdrawn')),
    why text NOT NULL,
    begin_at timestamptz NOT NULL,
    end_at timestamptz,
    known_at timestamptz NOT NULL,
    reason text,
    within_grace boolean NOT NULL,
    requirement_id text,
    evidence bigint[] NOT NULL,           -- fact ids
    facts_hash text NOT NULL,
    decided_under jsonb NOT NULL,         -- versions of rules, settings, requirement and geometry
    PRIMARY KEY (finding_no, version)
);
CREATE INDEX finding_versions_recorded ON finding_versions (recorded_at);

-- Checkpoints of the judgement: a cache. Everything in them follows from the facts and the orders.
CREATE TABLE checkpoints (
    activation_no bigint PRIMARY KEY REFERENCES activations,
    plan_version text NOT NULL,
    fed_to timestamptz,                   -- null: no fact
    checkpoint bytea NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE silence_progress (
    activation_no bigint PRIMARY KEY REFERENCES activations,
    heard_at timestamptz NOT NULL,
    gap_end_at timestamptz
) WITH (fillfactor = 50);

-- A judgement that failed: its activation is judged again, and somebody must look.
CREATE TABLE judgement_faults (
    fault_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    activation_no bigint NOT NULL REFERENCES activations,
    noticed_at timestamptz NOT NULL,
    error text NOT NULL
);
