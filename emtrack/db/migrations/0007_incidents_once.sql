-- A silence belongs to the incident that it was part of, whether or not its person had an open alert before: an incident that was
-- closed is not raised again for the same silences.
ALTER TABLE network_silences ADD COLUMN incident_no bigint REFERENCES alerts;
UPDATE network_silences s SET incident_no = a.incident_no
FROM alert_occurrences o JOIN alerts a USING (alert_no) WHERE o.finding_no = s.finding_no AND a.incident_no IS NOT NULL;
CREATE INDEX network_silences_of_incident ON network_silences (incident_no) WHERE incident_no IS NOT NULL;

CREATE INDEX curfew_findings_of_entry ON findings (entry_no) WHERE kind = 'CURFEW';
CREATE INDEX alerts_closed ON alerts (closed_at DESC, alert_no DESC) WHERE closed_at IS NOT NULL;
