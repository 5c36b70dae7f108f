-- Trials of changed settings, zones and timetables (decision 40): who tried what, over which time, of whom and why, and what came of it.
-- A trial is entered when it begins, after the look; what came of it is a row of its own. One without any ended with the service.
CREATE TABLE draft_runs (
    run_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ran_at timestamptz NOT NULL,
    ran_by text NOT NULL,
    door text NOT NULL,
    purpose text NOT NULL,
    reference text,
    wearer_no bigint REFERENCES wearers,  -- of one person; null: of a cohort, or of everybody
    cohort text CHECK (cohort IN ('FIXED', 'FLEX', 'FREE')),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    said text[] NOT NULL,                 -- what was tried, in words
    draft jsonb NOT NULL,                 -- and as it was judged
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CHECK (wearer_no IS NULL OR cohort IS NULL)
);
CREATE INDEX draft_runs_of_account ON draft_runs (ran_by, run_no);
CREATE INDEX draft_runs_of_wearer ON draft_runs (wearer_no) WHERE wearer_no IS NOT NULL;
CREATE TABLE draft_results (
    run_no bigint PRIMARY KEY REFERENCES draft_runs,
    ended_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('done', 'cancelled', 'failed')),
    trouble text,                         -- why it failed
    people bigint CHECK (people >= 5 OR people = 1),  -- null: too few to be told, or nothing was judged
    positions bigint,
    kinds jsonb NOT NULL,                 -- findings by kind, beside today's; of few people nothing
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);

ALTER TABLE draft_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_who_tried ON draft_runs FOR SELECT
    USING (((SELECT reads_all_looks()) OR ran_by = asking_account()) AND (wearer_no IS NULL OR is_seen(wearer_no)));
CREATE POLICY in_their_own_name ON draft_runs FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR ran_by = asking_account() AND (wearer_no IS NULL OR is_seen(wearer_no)));
CREATE POLICY no_canary ON draft_runs AS RESTRICTIVE FOR SELECT
    USING (current_user <> 'emtrack_pages' OR wearer_no IS NULL OR wearer_no NOT IN (SELECT canary_wearers()));
ALTER TABLE draft_results ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_runs_seen ON draft_results FOR SELECT
    USING (EXISTS (SELECT FROM draft_runs r WHERE r.run_no = draft_results.run_no));
CREATE POLICY of_own_runs ON draft_results FOR INSERT WITH CHECK (current_user <> 'emtrack_pages'
    OR EXISTS (SELECT FROM draft_runs r WHERE r.run_no = draft_results.run_no AND r.ran_by = asking_account()));

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('draft_runs', 1, 'draft_runs', 'r.run_no', '0',
 'r.run_no, r.ran_at, r.ran_by, r.door, r.purpose, r.reference, r.wearer_no, r.cohort, r.during, r.said, r.draft'),
('draft_results', 1, 'draft_results', 'r.run_no', '0',
 'r.run_no, r.ended_at, r.state, r.trouble, r.people, r.positions, r.kinds');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind IN ('draft_runs', 'draft_results');
