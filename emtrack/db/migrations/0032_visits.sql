-- Visits to people, and where tags are that nobody wears.

CREATE TABLE visits (
    visit_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    kind text NOT NULL CHECK (kind IN ('fit', 'swap', 'collect', 'inspect')),
    due_at timestamptz NOT NULL,
    why text NOT NULL,
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX visits_of_wearer ON visits (wearer_no, visit_no);
-- What came of a visit: the first row counts.
CREATE TABLE visit_results (
    result_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_no bigint NOT NULL REFERENCES visits,
    result text NOT NULL CHECK (result IN ('done', 'failed', 'cancelled')),
    fitted_tag text,
    taken_tag text,
    note text NOT NULL,
    done_at timestamptz NOT NULL,
    done_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX visit_results_of_visit ON visit_results (visit_no);
-- Where a tag or home unit is: the newest row of a device counts.
CREATE TABLE tag_moves (
    move_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text NOT NULL,
    place text NOT NULL CHECK (place IN ('in stock', 'with fitter', 'fitted', 'returned', 'faulty', 'lost')),
    note text,
    moved_at timestamptz NOT NULL,
    moved_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX tag_moves_of_device ON tag_moves (device_id, move_no);

ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON visits FOR SELECT USING ((SELECT watches())
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers())) AND wearer_no NOT IN (SELECT closed_wearers()));
CREATE POLICY in_their_own_name ON visits FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR entered_by = asking_account() AND (SELECT watches()));
ALTER TABLE visit_results ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON visit_results FOR SELECT
    USING ((SELECT watches()) OR EXISTS (SELECT FROM visits v WHERE v.visit_no = visit_results.visit_no));
CREATE POLICY in_their_own_name ON visit_results FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR done_by = asking_account() AND (SELECT watches()));
ALTER TABLE tag_moves ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_centre ON tag_moves FOR SELECT USING ((SELECT watches()));
CREATE POLICY in_their_own_name ON tag_moves FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR moved_by = asking_account() AND (SELECT watches()));

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('visits', 1, 'visits', 'r.visit_no', '0', 'r.visit_no, r.wearer_no, r.kind, r.due_at, r.why, r.entered_at, r.entered_by'),
('visit_results', 1, 'visit_results', 'r.result_no', '0',
 'r.result_no, r.visit_no, r.result, r.fitted_tag, r.taken_tag, r.note, r.done_at, r.done_by'),
('tag_moves', 1, 'tag_moves', 'r.move_no', '0', 'r.move_no, r.device_id, r.place, r.note, r.moved_at, r.moved_by');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind IN ('visits', 'visit_results', 'tag_moves');
