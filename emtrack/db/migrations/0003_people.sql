-- People: the IOM record of wearers, the accounts of those who work here, and who looked at what for which purpose.

-- ------------------------------------------------------------------ the IOM record

-- One row is what was recorded of a wearer's IOM record during `recorded`. It orders the queue and explains it; it never
-- changes a finding.
CREATE TABLE iom_versions (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    pnc text,
    crn text,
    nomis text,
    ecins text,
    cohort text CHECK (cohort IN ('FIXED', 'FLEX', 'FREE')),
    mappa_category bigint CHECK (mappa_category BETWEEN 1 AND 4),
    mappa_level bigint CHECK (mappa_level BETWEEN 1 AND 3),
    pathways text[] NOT NULL,
    agencies text[] NOT NULL,
    lead_officer text,
    lead_agency text,
    recorded tstzrange NOT NULL,
    entered_by text NOT NULL,
    CONSTRAINT one_iom_record_at_a_time EXCLUDE USING gist (wearer_no WITH =, recorded WITH &&)
);

-- Every RAG grade that a person was given. The newest by `since` is the one that holds.
CREATE TABLE rag_grades (
    grade_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    grade text NOT NULL CHECK (grade IN ('RED', 'AMBER', 'GREEN')),
    since timestamptz NOT NULL,
    reason text,
    graded_by text,
    recorded_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    UNIQUE (wearer_no, since)
);

-- What stood in wearers.iom before this migration: taken over where it has the form of today, and kept whole beside it.
ALTER TABLE wearers RENAME COLUMN iom TO iom_before_0003;
INSERT INTO iom_versions (wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies, recorded, entered_by)
SELECT wearer_no, iom_before_0003 ->> 'pnc', iom_before_0003 ->> 'crn', iom_before_0003 ->> 'nomis', iom_before_0003 ->> 'ecins',
       CASE WHEN iom_before_0003 ->> 'cohort' IN ('FIXED', 'FLEX', 'FREE') THEN iom_before_0003 ->> 'cohort' END,
       CASE WHEN iom_before_0003 ->> 'mappa_category' ~ '^[1-4]$' THEN (iom_before_0003 ->> 'mappa_category')::bigint END,
       CASE WHEN iom_before_0003 ->> 'mappa_level' ~ '^[1-3]$' THEN (iom_before_0003 ->> 'mappa_level')::bigint END,
       '{}', '{}', tstzrange(now(), NULL), 'migration 0003'
FROM wearers WHERE jsonb_typeof(iom_before_0003) = 'object';
INSERT INTO rag_grades (wearer_no, grade, since, reason, recorded_at, entered_by)
SELECT wearer_no, iom_before_0003 ->> 'rag', '-infinity', 'recorded before grades had a history', now(), 'migration 0003'
FROM wearers WHERE iom_before_0003 ->> 'rag' IN ('RED', 'AMBER', 'GREEN');

-- ------------------------------------------------------------------ accounts

CREATE TABLE users (
    user_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('operator', 'officer', 'administrator')),
    password_hash text NOT NULL,          -- argon2id, with its parameters and salt
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    disabled_at timestamptz
);

-- Logins of today. Times are of the machine, not of an emulated clock: a session guards a real browser.
CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY,       -- SHA-256 of a random cookie of 256 bits
    user_no bigint NOT NULL REFERENCES users,
    form_key text NOT NULL,               -- stands in every form: a post without it comes from elsewhere
    began_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Logins, failures, new passwords: appended, with the time of the machine.
CREATE TABLE account_events (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL,
    name text NOT NULL,
    what text NOT NULL CHECK (what IN ('added', 'new password', 'disabled', 'logged in', 'failed', 'logged out')),
    done_by text NOT NULL
);
CREATE INDEX account_events_of_name ON account_events (name, happened_at);

-- ------------------------------------------------------------------ who looked at where somebody was

-- Committed before any position is handed out. An alert is a purpose of its own.
CREATE TABLE history_views (
    view_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    viewed_at timestamptz NOT NULL,
    viewed_by text NOT NULL,
    role text NOT NULL,
    wearer_no bigint NOT NULL REFERENCES wearers,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    purpose text NOT NULL,
    note text,
    alert_no bigint REFERENCES alerts
);
CREATE INDEX history_views_of_wearer ON history_views (wearer_no, viewed_at);
