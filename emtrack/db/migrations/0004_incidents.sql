-- Platform incidents (RULES.md section 8): many tags of one network fall silent at once. One alert lists the people; their
-- own alerts are grouped under it, and come back to the queue if it is closed while they still last.
ALTER TABLE alerts ALTER COLUMN wearer_no DROP NOT NULL, ALTER COLUMN activation_no DROP NOT NULL;
ALTER TABLE alerts ADD COLUMN network text;
ALTER TABLE alerts ADD COLUMN incident_no bigint REFERENCES alerts;
ALTER TABLE alerts ADD CONSTRAINT of_a_person_or_a_network CHECK ((wearer_no IS NULL) = (network IS NOT NULL));
DROP INDEX one_open_alert;
CREATE UNIQUE INDEX one_open_alert ON alerts (wearer_no, kind, requirement_id) NULLS NOT DISTINCT
    WHERE closed_at IS NULL AND network IS NULL;
CREATE UNIQUE INDEX one_open_incident ON alerts (network) WHERE closed_at IS NULL AND network IS NOT NULL;
CREATE INDEX alerts_of_incident ON alerts (incident_no) WHERE incident_no IS NOT NULL;

ALTER TABLE alert_changes DROP CONSTRAINT alert_changes_what_check;
ALTER TABLE alert_changes ADD CONSTRAINT alert_changes_what_check CHECK (what IN
    ('raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'noted', 'closed', 'grouped'));

-- When tags of a network fell silent: what incidents are recognised by. It follows from the findings.
CREATE TABLE network_silences (
    finding_no bigint PRIMARY KEY REFERENCES findings,
    network text NOT NULL,
    activation_no bigint NOT NULL REFERENCES activations,
    begin_at timestamptz NOT NULL
);
CREATE INDEX network_silences_in_order ON network_silences (network, begin_at);
INSERT INTO network_silences (finding_no, network, activation_no, begin_at)
SELECT f.finding_no, a.network, f.activation_no, v.begin_at
FROM findings f
JOIN activation_versions a ON a.activation_no = f.activation_no AND upper_inf(a.recorded)
CROSS JOIN LATERAL (SELECT * FROM finding_versions WHERE finding_no = f.finding_no ORDER BY version DESC LIMIT 1) v
WHERE f.kind = 'NO_COMMUNICATION' AND a.network IS NOT NULL AND v.change <> 'withdrawn';
