-- Whoever deletes an alert or a finding asks who refers to it: without an index the whole table was read for each, under the locks that
-- turns wait for (retention).
CREATE INDEX alert_changes_of_alert ON alert_changes (alert_no);
CREATE INDEX alerts_after_another ON alerts (previous_alert_no) WHERE previous_alert_no IS NOT NULL;
CREATE INDEX order_requests_of_finding ON order_requests (finding_no) WHERE finding_no IS NOT NULL;
