-- Who was near a place: an index to find out, and what came of it (decision 34).

-- One minute of each five, of everybody: between two such positions, of which the circles lie far enough away, nobody can have been at a
-- place, and nothing else of them need be read. Which minutes does not depend on the device, so that a row is enough to know.
CREATE INDEX positions_sampled ON positions (fix_time) INCLUDE (device_no, lat_deg, lon_deg, precision_m, mechanism)
    WHERE date_part('epoch', fix_time - '1970-01-01 00:00:00+00'::timestamptz)::bigint % 300 < 60;

-- A look at everybody, of whom those who were near are named, and at each of them.
ALTER TABLE looks DROP CONSTRAINT looks_what_check;
ALTER TABLE looks ADD CONSTRAINT looks_what_check
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export', 'restricted record', 'details', 'IOM record',
                    'near'));

-- A question, as it was asked and for which purpose, and how many people came under which grade. One that found nobody is kept too.
CREATE TABLE near_runs (
    run_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ran_at timestamptz NOT NULL,
    ran_by text NOT NULL,
    door text NOT NULL,
    purpose text NOT NULL,
    reference text,
    asked text NOT NULL CHECK (asked IN ('place', 'pair', 'person', 'everybody')),
    label text,                           -- what happened there, as the crime's reference
    lat_deg double precision CHECK (lat_deg BETWEEN -90 AND 90),
    lon_deg double precision CHECK (lon_deg BETWEEN -180 AND 180),
    radius_m double precision NOT NULL CHECK (radius_m > 0),  -- of the place, or how near people are to each other
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    rules jsonb NOT NULL,                 -- version and thresholds of the algorithm
    counts jsonb NOT NULL,                -- people by grade
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CHECK ((asked = 'place') = (lat_deg IS NOT NULL) AND (lat_deg IS NULL) = (lon_deg IS NULL))
);
CREATE INDEX near_runs_of_account ON near_runs (ran_by, run_no);
-- Who is named by it, and on what that rests.
CREATE TABLE near_people (
    result_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_no bigint NOT NULL REFERENCES near_runs,
    wearer_no bigint NOT NULL REFERENCES wearers,
    other_wearer_no bigint REFERENCES wearers,  -- near whom; null: near the place
    grade text NOT NULL CHECK (grade IN ('INSIDE', 'PROBABLY', 'NOT_EXCLUDED')),
    probability double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    fact_id bigint,                       -- the position that it rests on; null: none lies in the window
    fix_time timestamptz,
    distance_m double precision,
    fix_radius_m double precision,
    possible tstzrange,                   -- when the person can have been there
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    UNIQUE NULLS NOT DISTINCT (run_no, wearer_no, other_wearer_no)
);
CREATE INDEX near_people_of_wearer ON near_people (wearer_no, result_no);
CREATE INDEX near_people_of_other ON near_people (other_wearer_no, result_no);
-- What a person makes of a result: the newest row counts; none: it was not assessed.
CREATE TABLE near_assessments (
    assessment_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    result_no bigint NOT NULL REFERENCES near_people,
    is_relevant boolean NOT NULL,
    why text NOT NULL,
    assessed_at timestamptz NOT NULL,
    assessed_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX near_assessments_of_result ON near_assessments (result_no, assessment_no);

-- A run is of who asked: its counts are those of the people whom that account sees. Overseers read them all.
ALTER TABLE near_runs ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_who_asked ON near_runs FOR SELECT USING ((SELECT reads_all_looks()) OR ran_by = asking_account());
CREATE POLICY in_their_own_name ON near_runs FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR ran_by = asking_account());
ALTER TABLE near_people ENABLE ROW LEVEL SECURITY;
-- Both whom a row names must be seen.
CREATE FUNCTION is_seen(wearer_no bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT watches() OR (sees_every_agency() OR $1 IN (SELECT shared_wearers())) AND $1 NOT IN (SELECT closed_wearers())
$$;
CREATE POLICY of_people_seen ON near_people FOR SELECT
    USING (is_seen(wearer_no) AND (other_wearer_no IS NULL OR is_seen(other_wearer_no)));
CREATE POLICY of_own_runs ON near_people FOR INSERT WITH CHECK (current_user <> 'emtrack_pages'
    OR is_seen(wearer_no) AND (other_wearer_no IS NULL OR is_seen(other_wearer_no))
       AND EXISTS (SELECT FROM near_runs r WHERE r.run_no = near_people.run_no AND r.ran_by = asking_account()));
CREATE POLICY no_canary ON near_people AS RESTRICTIVE FOR SELECT
    USING (current_user <> 'emtrack_pages' OR wearer_no NOT IN (SELECT canary_wearers())
           AND (other_wearer_no IS NULL OR other_wearer_no NOT IN (SELECT canary_wearers())));
ALTER TABLE near_assessments ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON near_assessments FOR SELECT
    USING (EXISTS (SELECT FROM near_people p WHERE p.result_no = near_assessments.result_no));
CREATE POLICY in_their_own_name ON near_assessments FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR assessed_by = asking_account()
                AND EXISTS (SELECT FROM near_people p WHERE p.result_no = near_assessments.result_no));

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('near_runs', 1, 'near_runs', 'r.run_no', '0',
 'r.run_no, r.ran_at, r.ran_by, r.door, r.purpose, r.reference, r.asked, r.label, r.lat_deg, r.lon_deg, r.radius_m, r.during, r.rules, r.counts'),
('near_people', 1, 'near_people', 'r.result_no', '0',
 'r.result_no, r.run_no, r.wearer_no, r.other_wearer_no, r.grade, r.probability, r.fact_id, r.fix_time, r.distance_m, r.fix_radius_m, r.possible'),
('near_assessments', 1, 'near_assessments', 'r.assessment_no', '0',
 'r.assessment_no, r.result_no, r.is_relevant, r.why, r.assessed_at, r.assessed_by');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind IN ('near_runs', 'near_people', 'near_assessments');
