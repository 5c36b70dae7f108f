-- The canary (decision 30): a person and a tag of nobody, whose strap is cut each minute, so that somebody notices when an alert would
-- not arrive. Marked here; in no count, ledger, queue, wall, page or export.

ALTER TABLE wearers ADD COLUMN is_canary boolean NOT NULL DEFAULT false;
ALTER TABLE channels ADD COLUMN is_canary boolean NOT NULL DEFAULT false;

CREATE FUNCTION canary_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 1
AS $$ SELECT wearer_no FROM wearers WHERE is_canary $$;
CREATE FUNCTION canary_channels() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$ SELECT channel_no FROM channels WHERE is_canary $$;
CREATE INDEX canaries ON wearers (wearer_no) WHERE is_canary;

-- Pages and programs do not know that it is there. What hangs on an alert, a finding or an activation of its is reached through those.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['wearers', 'activation_versions', 'requirement_entries', 'requirement_versions', 'home_units', 'absences',
                                'alerts', 'alert_people', 'atv_lines', 'iom_versions', 'rag_grades', 'order_changes', 'looks']
    LOOP
        EXECUTE format('CREATE POLICY no_canary ON %1$I AS RESTRICTIVE FOR SELECT USING (current_user <> ''emtrack_pages'''
                       ' OR wearer_no IS NULL OR wearer_no NOT IN (SELECT canary_wearers()))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['alert_changes', 'alert_actions']
    LOOP
        EXECUTE format('CREATE POLICY no_canary ON %1$I AS RESTRICTIVE FOR SELECT USING (current_user <> ''emtrack_pages'''
                       ' OR EXISTS (SELECT FROM alerts a WHERE a.alert_no = %1$I.alert_no))', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['messages', 'deliveries']
    LOOP
        EXECUTE format('CREATE POLICY no_canary ON %I AS RESTRICTIVE FOR SELECT USING (current_user <> ''emtrack_pages'''
                       ' OR channel_no IS NULL OR channel_no NOT IN (SELECT canary_channels()))', name);
    END LOOP;
    EXECUTE 'CREATE POLICY no_canary ON channels AS RESTRICTIVE FOR SELECT USING (current_user <> ''emtrack_pages'' OR NOT is_canary)';
END $$;
CREATE FUNCTION canary_activations() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$ SELECT activation_no FROM activation_versions WHERE wearer_no IN (SELECT wearer_no FROM wearers WHERE is_canary) $$;
CREATE POLICY no_canary ON findings AS RESTRICTIVE FOR SELECT USING (
    current_user <> 'emtrack_pages' OR activation_no NOT IN (SELECT canary_activations()));
CREATE OR REPLACE VIEW people WITH (security_barrier) AS
SELECT w.wearer_no, w.wearer_id, CASE WHEN c.is_closed THEN NULL ELSE w.name END AS name, c.is_closed
FROM wearers w CROSS JOIN LATERAL (SELECT w.wearer_no IN (SELECT closed_wearers()) AS is_closed) c
WHERE NOT (w.is_canary AND current_user = 'emtrack_pages')
  AND ((SELECT watches()) OR (SELECT sees_every_agency()) OR w.wearer_no IN (SELECT shared_wearers()));

-- Each time it sang, or did not: written by the process that listens.
CREATE TABLE canary_beats (
    beat_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sent_at timestamptz NOT NULL,            -- of the machine, as all times here
    arrived_at timestamptz,
    trouble text,
    CHECK ((arrived_at IS NULL) = (trouble IS NOT NULL))
);
CREATE INDEX canary_beats_arrived ON canary_beats (sent_at) WHERE arrived_at IS NOT NULL;
