-- Possible entries (RULES.md section 8): one position inside an exclusion zone that nothing has confirmed yet. They are alerts and no
-- findings: a row here stands for what raised the alert until it is confirmed, or turns out not to be.
CREATE TABLE possible_entries (
    alert_no bigint NOT NULL REFERENCES alerts,
    activation_no bigint NOT NULL REFERENCES activations,
    entry_no bigint NOT NULL REFERENCES requirement_entries,
    seen_at timestamptz NOT NULL,          -- the time of the position that raised it
    fact_id bigint NOT NULL,
    raised_at timestamptz NOT NULL,
    settled_at timestamptz,
    fate text CHECK (fate IN ('confirmed', 'not confirmed')),
    PRIMARY KEY (activation_no, entry_no, seen_at),
    CHECK ((fate IS NULL) = (settled_at IS NULL))
);
CREATE UNIQUE INDEX one_possible_entry ON possible_entries (activation_no, entry_no) WHERE settled_at IS NULL;
CREATE INDEX possible_entries_of_alert ON possible_entries (alert_no, raised_at);

-- An alert that is seen already is new again when the person may have entered once more.
ALTER TABLE alert_actions DROP CONSTRAINT alert_actions_action_check;
ALTER TABLE alert_actions
    ADD CONSTRAINT alert_actions_action_check CHECK (action IN ('acknowledged', 'unacknowledged', 'noted', 'closed'));
ALTER TABLE alert_changes DROP CONSTRAINT alert_changes_what_check;
ALTER TABLE alert_changes ADD CONSTRAINT alert_changes_what_check CHECK (what IN (
    'raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'unacknowledged', 'noted', 'closed', 'grouped',
    'not confirmed'));
