-- The life of an alert: new, acknowledged, in progress, closed (alerts/life.py). Every move is appended to alert_actions; what is here
-- is where it stands, so that the queue need not read them all.
ALTER TABLE alerts
    ADD COLUMN state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'acknowledged', 'in progress')),
    ADD COLUMN owner text,                 -- who acknowledged it, or took it over since
    ADD COLUMN escalated_at timestamptz,
    ADD COLUMN suspended_until timestamptz,  -- nobody is notified of it until then; it stands in the queue all the same
    ADD COLUMN reopen_at timestamptz;      -- closed while it lasted: then it is looked at again
UPDATE alerts a SET state = 'acknowledged', owner = (
    SELECT done_by FROM alert_actions x WHERE x.alert_no = a.alert_no AND x.action = 'acknowledged' ORDER BY action_no DESC LIMIT 1)
WHERE (SELECT action FROM alert_actions x WHERE x.alert_no = a.alert_no AND x.action IN ('acknowledged', 'unacknowledged')
       ORDER BY action_no DESC LIMIT 1) = 'acknowledged';
CREATE INDEX alerts_to_reopen ON alerts (reopen_at) WHERE reopen_at IS NOT NULL;
CREATE INDEX alerts_not_acknowledged ON alerts (severity, raised_at, alert_no) WHERE closed_at IS NULL AND state = 'new';

ALTER TABLE alert_actions DROP CONSTRAINT alert_actions_action_check;
ALTER TABLE alert_actions ADD CONSTRAINT alert_actions_action_check CHECK (action IN (
    'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'escalated', 'suspended', 'resumed', 'closed', 'reopened'));
ALTER TABLE alert_actions ADD COLUMN until_at timestamptz;     -- of a suspension
ALTER TABLE alert_changes DROP CONSTRAINT alert_changes_what_check;
ALTER TABLE alert_changes ADD CONSTRAINT alert_changes_what_check CHECK (what IN (
    'raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'escalated',
    'suspended', 'resumed', 'closed', 'reopened', 'grouped', 'not confirmed'));

-- Whether what an alert is about goes on.
CREATE FUNCTION alert_lasts(alert_no bigint) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (SELECT FROM alert_occurrences o CROSS JOIN LATERAL newest_version(o.finding_no) v
                   WHERE o.alert_no = $1 AND v.change <> 'withdrawn' AND v.end_at IS NULL)
        OR EXISTS (SELECT FROM possible_entries p WHERE p.alert_no = $1 AND p.settled_at IS NULL)
        OR EXISTS (SELECT FROM unit_silences s WHERE s.alert_no = $1 AND s.end_at IS NULL)
        OR EXISTS (SELECT FROM wrong_clocks c WHERE c.alert_no = $1 AND c.ended_at IS NULL)
        OR EXISTS (SELECT FROM network_silences s CROSS JOIN LATERAL newest_version(s.finding_no) v
                   WHERE s.incident_no = $1 AND v.change <> 'withdrawn' AND v.end_at IS NULL)
$$;
