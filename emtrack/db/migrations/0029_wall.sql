-- The supervisor's wall, who is on somebody that nobody monitors, and views of the queue that people keep.

CREATE INDEX alerts_by_raised ON alerts (raised_at);
CREATE INDEX alert_actions_closing ON alert_actions (done_at) INCLUDE (alert_no, outcome) WHERE action = 'closed';

-- Who sees to somebody who is on an order and not monitored: taken, or left again. The newest row of a person counts, while the gap
-- is the same one.
CREATE TABLE gap_work (
    work_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    is_taken boolean NOT NULL,
    done_at timestamptz NOT NULL,
    done_by text NOT NULL,
    note text,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX gap_work_of_wearer ON gap_work (wearer_no, work_no);
ALTER TABLE gap_work ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON gap_work FOR SELECT USING ((SELECT watches())
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers())) AND wearer_no NOT IN (SELECT closed_wearers()));
CREATE POLICY in_their_own_name ON gap_work FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR done_by = asking_account() AND (SELECT watches()));
INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('gap_work', 1, 'gap_work', 'r.work_no', '0', 'r.work_no, r.wearer_no, r.is_taken, r.done_at, r.done_by, r.note');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind = 'gap_work';

-- A view of the queue: the address of a filter, under a name. An account's own.
CREATE TABLE saved_views (
    view_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    saved_at timestamptz NOT NULL,
    UNIQUE (account, name)
);
ALTER TABLE saved_views ENABLE ROW LEVEL SECURITY;
CREATE POLICY ones_own ON saved_views USING (current_user <> 'emtrack_pages' OR account = asking_account());
