-- Deadlines of alerts, what happens when one is missed, and how people outside the queue are told of it (decision 29).
--
-- The clock looks at an alert when `look_at` has come. Whatever changes what its deadlines go by asks for a look at once, by the
-- trigger below: whoever writes an alert need not know of the clock, and cannot forget it.

ALTER TABLE alerts
    ADD COLUMN counts_from timestamptz,        -- its deadlines count from then: raised, graver, new again
    ADD COLUMN acknowledge_by timestamptz,     -- null: the clock has not looked, or there is no such target
    ADD COLUMN contact_by timestamptz,
    ADD COLUMN authority_by timestamptz,
    ADD COLUMN deadline_rules bigint,          -- the rules they were set by; null: they must be set anew
    ADD COLUMN contacted_at timestamptz,
    ADD COLUMN authority_told_at timestamptz,
    ADD COLUMN look_at timestamptz;
UPDATE alerts SET counts_from = raised_at;
ALTER TABLE alerts ALTER COLUMN counts_from SET NOT NULL;

-- What a deployment asks of its operators. The newest row counts; an alert keeps the one it was judged by.
CREATE TABLE deadline_rules (
    rules_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rules jsonb NOT NULL,
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL
);

-- What happened to an alert by the clock, once for each time from which its deadlines count.
CREATE TABLE alert_occasions (
    alert_no bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,   -- the clock may look while retention deletes
    counts_from timestamptz NOT NULL,
    occasion text NOT NULL CHECK (occasion IN (
        'possible entry', 'raised', 'not acknowledged', 'still not acknowledged', 'no contact', 'authority not told')),
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (alert_no, counts_from, occasion)
);
-- Nobody is woken over what was open before there were deadlines.
INSERT INTO alert_occasions (alert_no, counts_from, occasion, noted_at)
SELECT alert_no, raised_at, occasion, clock_timestamp() FROM alerts
CROSS JOIN unnest(ARRAY['possible entry', 'raised', 'not acknowledged', 'still not acknowledged', 'no contact', 'authority not told'])
    AS occasion
WHERE closed_at IS NULL;
UPDATE alerts SET look_at = '-infinity' WHERE closed_at IS NULL;
CREATE INDEX alerts_to_look_at ON alerts (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX alerts_overdue ON alerts (acknowledge_by) WHERE closed_at IS NULL AND state = 'new';

CREATE FUNCTION look_at_alert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.counts_from := coalesce(NEW.counts_from, NEW.raised_at);
        NEW.look_at := '-infinity';
    ELSIF (NEW.counts_from, NEW.severity) IS DISTINCT FROM (OLD.counts_from, OLD.severity) THEN
        NEW.deadline_rules := NULL;
        NEW.look_at := '-infinity';
    ELSIF (NEW.state, NEW.closed_at, NEW.contacted_at, NEW.authority_told_at, NEW.suspended_until, NEW.incident_no) IS DISTINCT FROM
          (OLD.state, OLD.closed_at, OLD.contacted_at, OLD.authority_told_at, OLD.suspended_until, OLD.incident_no) THEN
        NEW.look_at := '-infinity';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER look_at_alert BEFORE INSERT OR UPDATE ON alerts FOR EACH ROW EXECUTE FUNCTION look_at_alert();

-- A possible entry of which people outside the centre may not be told becomes a finding, of which they are.
CREATE FUNCTION look_at_confirmed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE alerts a SET look_at = '-infinity' FROM added
    WHERE a.alert_no = added.alert_no AND EXISTS (SELECT FROM possible_entries p WHERE p.alert_no = a.alert_no);
    RETURN NULL;
END $$;
CREATE TRIGGER look_at_confirmed AFTER INSERT ON alert_occurrences
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION look_at_confirmed();

ALTER TABLE alert_actions DROP CONSTRAINT alert_actions_action_check;
ALTER TABLE alert_actions ADD CONSTRAINT alert_actions_action_check CHECK (action IN (
    'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'called', 'authority told', 'escalated', 'suspended',
    'resumed', 'closed', 'reopened'));
ALTER TABLE alert_changes DROP CONSTRAINT alert_changes_what_check;
ALTER TABLE alert_changes ADD CONSTRAINT alert_changes_what_check CHECK (what IN (
    'raised', 'occurrence', 'amended', 'withdrawn', 'acknowledged', 'unacknowledged', 'taken over', 'started', 'noted', 'called',
    'authority told', 'escalated', 'suspended', 'resumed', 'closed', 'reopened', 'grouped', 'not confirmed'));

-- ------------------------------------------------------------------ the outbox

-- Where messages may go: an administrator's list. What changes is a new row; the newest of a name that has not ended counts.
CREATE TABLE channels (
    channel_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('e-mail', 'webhook')),
    target text NOT NULL,
    secret text,                             -- of a webhook: its messages are signed with it
    account text,                            -- whose it is, while that account is on call
    severity_from bigint CHECK (severity_from BETWEEN 1 AND 4),   -- told of each new alert so grave or graver; null: of none
    is_outside boolean NOT NULL,             -- of people who are not in the centre: never told of a possible entry
    is_fallback boolean NOT NULL,            -- told what somebody on call would be told, when nobody is
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    ended_at timestamptz,
    ended_by text,
    CHECK ((kind = 'webhook') = (secret IS NOT NULL))
);
CREATE UNIQUE INDEX one_channel_of_a_name ON channels (name) WHERE ended_at IS NULL;

-- One attempt after another to bring messages of a channel together to their target.
CREATE TABLE deliveries (
    delivery_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,   -- the same at each attempt: who got it twice can tell
    channel_no bigint REFERENCES channels,                        -- null: there was nobody to tell
    made_at timestamptz NOT NULL,
    next_try_at timestamptz,                                      -- null: nothing is tried any more
    tries bigint NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    given_up_at timestamptz,
    last_error text,
    seen_at timestamptz,                     -- somebody knows that it did not arrive, and has seen to it
    seen_by text
);
CREATE INDEX deliveries_to_try ON deliveries (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX deliveries_failing ON deliveries (made_at) WHERE delivered_at IS NULL AND seen_at IS NULL;
CREATE TABLE messages (
    message_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_no bigint REFERENCES channels,
    key text NOT NULL,                       -- what it is about, so that nobody is told twice of one thing
    fields jsonb NOT NULL,                   -- numbers, words and times; never a name, a place or a coordinate
    made_at timestamptz NOT NULL,
    delivery_no bigint REFERENCES deliveries
);
CREATE UNIQUE INDEX one_message_of_a_thing ON messages (coalesce(channel_no, 0), key);
CREATE INDEX messages_waiting ON messages (channel_no) WHERE delivery_no IS NULL;
CREATE INDEX messages_of_delivery ON messages (delivery_no);

-- Who is on call. `level` 1 is told first.
CREATE TABLE rota_shifts (
    shift_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    level bigint NOT NULL CHECK (level IN (1, 2)),
    during tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during)),
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    ended_at timestamptz,                    -- taken back: it counts no more from then on
    ended_by text
);
CREATE INDEX rota_shifts_during ON rota_shifts USING gist (during) WHERE ended_at IS NULL;

ALTER TABLE channels ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_centre ON channels USING ((SELECT watches()) OR asking_role() = 'auditor');
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_centre ON deliveries USING ((SELECT watches()) OR asking_role() = 'auditor');
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_centre ON messages USING ((SELECT watches()) OR asking_role() = 'auditor');
ALTER TABLE rota_shifts ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_centre ON rota_shifts USING ((SELECT watches()) OR asking_role() = 'auditor');
ALTER TABLE alert_occasions ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON alert_occasions
    USING ((SELECT watches()) OR EXISTS (SELECT FROM alerts a WHERE a.alert_no = alert_occasions.alert_no));
