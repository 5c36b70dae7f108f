-- Alerts: cases that a person must look at. A finding is an occurrence of an alert; one alert is open at a time for a
-- wearer, kind and requirement (RULES.md section 8). What people do to an alert is appended, with who and when.
CREATE SEQUENCE alert_no_blocks INCREMENT BY 1000;

CREATE TABLE alerts (
    alert_no bigint PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    activation_no bigint NOT NULL REFERENCES activations,
    kind text NOT NULL,
    requirement_id text,
    code text,
    severity bigint NOT NULL CHECK (severity BETWEEN 1 AND 4),
    raised_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL,         -- of its first occurrence: raised_at - known_at is how late it is
    previous_alert_no bigint REFERENCES alerts,
    closed_at timestamptz                  -- set once, with the action 'closed'
);
CREATE UNIQUE INDEX one_open_alert ON alerts (wearer_no, kind, requirement_id) NULLS NOT DISTINCT WHERE closed_at IS NULL;
CREATE INDEX alerts_in_queue ON alerts (severity, raised_at, alert_no) WHERE closed_at IS NULL;
CREATE INDEX alerts_of_wearer ON alerts (wearer_no, raised_at);

CREATE TABLE alert_occurrences (
    finding_no bigint PRIMARY KEY REFERENCES findings,
    alert_no bigint NOT NULL REFERENCES alerts,
    added_at timestamptz NOT NULL
);
CREATE INDEX occurrences_of_alert ON alert_occurrences (alert_no);

-- Findings that become alerts when they are old enough, or when their activation speaks again.
CREATE TABLE alert_timers (
    finding_no bigint PRIMARY KEY REFERENCES findings,
    due_at timestamptz NOT NULL
);
CREATE INDEX alert_timers_due ON alert_timers (due_at);

CREATE TABLE alert_actions (
    alert_no bigint NOT NULL REFERENCES alerts,
    action_no bigint NOT NULL,
    done_at timestamptz NOT NULL,
    done_by text NOT NULL,
    action text NOT NULL CHECK (action IN ('acknowledged', 'noted', 'closed')),
    outcome text,
    note text,
    PRIMARY KEY (alert_no, action_no)
);

-- What changed, for feeds. Ids are taken before their transactions commit, so that a lower one can appear later: readers
-- go by `written_by` (the transaction) up to the oldest one that still runs.
CREATE TABLE alert_changes (
    change_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    alert_no bigint NOT NULL REFERENCES alerts,
    what text NOT NULL CHECK (what IN ('raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'noted', 'closed')),
    changed_at timestamptz NOT NULL
);
CREATE INDEX alert_changes_in_order ON alert_changes (written_by, change_no);

-- Tokens of programs that read and act over HTTP. Kept as SHA-256 of a random token of 256 bits.
CREATE TABLE tokens (
    token_hash bytea PRIMARY KEY,
    name text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('operator', 'officer', 'administrator')),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL,
    revoked_at timestamptz
);
