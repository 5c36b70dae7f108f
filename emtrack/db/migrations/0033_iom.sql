-- The record of the IOM programme (decision 34). A person is a row of `wearers`, with a tag or without one. Whatever the programme
-- knows of people is an entry: a version of an item of a noun. Nothing is changed and nothing deleted but by retention; a change is the
-- next version of the item. What stands in `content`, which states there are and what may follow what, stands in emtrack/iom/, a file for
-- each noun.

-- ------------------------------------------------------------------ settings

-- Rules of the proposal, reviews, mappings of codes; versioned. The newest one counts. None: the defaults of the code.
CREATE TABLE iom_settings (
    version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content jsonb NOT NULL,
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);

-- ------------------------------------------------------------------ entries

CREATE TABLE iom_entries (
    entry_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noun text NOT NULL,
    of_entry bigint,                       -- the first version of the item; null: this is the first
    item_no bigint NOT NULL GENERATED ALWAYS AS (coalesce(of_entry, entry_no)) STORED,
    version bigint NOT NULL CHECK ((version = 1) = (of_entry IS NULL)),
    wearer_no bigint REFERENCES wearers,   -- null: of nobody in particular, such as a meeting
    state text,                            -- of nouns that have states
    content jsonb NOT NULL,
    valid tstzrange,                       -- when it holds; null: of nouns that hold at no time in particular
    occurred_at timestamptz,               -- when it happened, of nouns that happen
    due_at timestamptz,                    -- when it expires, is to be done, or is looked at again
    recorded_at timestamptz NOT NULL,
    recorded_by text NOT NULL,
    agency text,                           -- of who recorded it; null: the programme itself, or the service
    system text,                           -- where it comes from, and its name there: what comes again is found by these
    record text,
    visibility text NOT NULL DEFAULT 'ALL' CHECK (visibility IN ('ALL', 'NAMED', 'OWN', 'POLICE_INTEL')),
    named text[] NOT NULL DEFAULT '{}',    -- accounts and agencies, where visibility is NAMED
    narrows boolean NOT NULL DEFAULT false,-- it is for others than the version before
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    UNIQUE (item_no, version)
);
CREATE UNIQUE INDEX iom_entries_by_record ON iom_entries (noun, system, record, version) WHERE record IS NOT NULL;
CREATE INDEX iom_entries_of_wearer ON iom_entries (wearer_no, noun, entry_no DESC);
CREATE INDEX iom_entries_due ON iom_entries (noun, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX iom_signals_that_last ON iom_entries (wearer_no) WHERE noun = 'signal' AND due_at IS NULL;
CREATE INDEX iom_entries_of_noun ON iom_entries (noun, entry_no DESC);
CREATE INDEX iom_entries_narrowed ON iom_entries (item_no) WHERE narrows;
CREATE INDEX iom_entries_recorded ON iom_entries (recorded_at);
CREATE INDEX iom_entries_of_people ON iom_entries USING gin (content jsonb_path_ops) WHERE noun = 'person';

-- Entries commit in the order of their numbers, so that who follows the record goes by "greater than the last".
CREATE FUNCTION iom_one_after_another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'696f6d'::bigint);   -- "iom"
    RETURN NULL;
END $$;
CREATE TRIGGER one_after_another BEFORE INSERT ON iom_entries FOR EACH STATEMENT EXECUTE FUNCTION iom_one_after_another();

-- A version follows the newest one that who writes it can see, of the same item, noun and person.
CREATE FUNCTION iom_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    former iom_entries;
BEGIN
    IF NEW.of_entry IS NULL THEN
        RETURN NEW;
    END IF;
    SELECT * INTO former FROM iom_entries WHERE item_no = NEW.of_entry ORDER BY version DESC LIMIT 1;
    IF former.noun IS DISTINCT FROM NEW.noun OR former.wearer_no IS DISTINCT FROM NEW.wearer_no OR former.recorded_at > NEW.recorded_at THEN
        RAISE EXCEPTION 'entry of % does not follow item %', NEW.noun, NEW.of_entry USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version <> former.version + 1 THEN
        RAISE EXCEPTION 'item % has version % by now', NEW.of_entry, former.version USING ERRCODE = 'unique_violation';
    END IF;
    NEW.narrows := (NEW.visibility, NEW.named) IS DISTINCT FROM (former.visibility, former.named);
    RETURN NEW;
END $$;
CREATE TRIGGER follows BEFORE INSERT ON iom_entries FOR EACH ROW EXECUTE FUNCTION iom_follows();

-- What holds now: of each item the newest version.
CREATE VIEW iom_now WITH (security_invoker) AS
SELECT e.* FROM iom_entries e
WHERE NOT EXISTS (SELECT FROM iom_entries n WHERE n.item_no = e.item_no AND n.version = e.version + 1);

-- ------------------------------------------------------------------ imports, and how far the service has read

CREATE TABLE iom_imports (
    import_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,                    -- of the file, or of the request
    imported_at timestamptz NOT NULL,
    imported_by text NOT NULL
);
-- What was refused or not wholly understood, as it was given.
CREATE TABLE iom_import_rows (
    import_no bigint NOT NULL REFERENCES iom_imports,
    row_no bigint NOT NULL,
    what text NOT NULL CHECK (what IN ('refused', 'not understood')),
    why text NOT NULL,
    given jsonb NOT NULL,
    PRIMARY KEY (import_no, row_no)
);
-- Silences that may come to last for so long that they are a signal, and when.
CREATE TABLE iom_silences (
    finding_no bigint PRIMARY KEY,
    look_at timestamptz NOT NULL
);
CREATE INDEX iom_silences_due ON iom_silences (look_at);
CREATE TABLE iom_cursors (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

-- ------------------------------------------------------------------ two records of one person

-- People whose records are merged now, with the record that both are read under; that one is in it, too.
CREATE FUNCTION merged_people(OUT wearer_no bigint, OUT group_no bigint) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$
    WITH merges AS (
        SELECT DISTINCT ON (item_no) m.wearer_no, (content ->> 'into')::bigint AS group_no, state
        FROM iom_entries m WHERE noun = 'merge' ORDER BY item_no, version DESC)
    SELECT m.wearer_no, m.group_no FROM merges m WHERE state = 'MERGED'
    UNION SELECT m.group_no, m.group_no FROM merges m WHERE state = 'MERGED'
$$;
-- As before, and of a person who has two records whoever shares one shares both.
CREATE OR REPLACE FUNCTION shared_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 500
AS $$
    WITH direct AS (
        SELECT wearer_no FROM iom_versions
        WHERE upper_inf(recorded) AND asking_role() IN ('officer', 'contact')
              AND (asking_agency() = ANY (agencies) OR asking_agency() = lead_agency))
    SELECT wearer_no FROM direct
    UNION ALL
    SELECT p.wearer_no FROM merged_people() p
    WHERE p.group_no IN (SELECT q.group_no FROM merged_people() q JOIN direct d USING (wearer_no))
$$;
-- As before, and a restriction of one record holds for both.
CREATE FUNCTION restricted_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$
    SELECT l.wearer_no FROM access_limits l
    WHERE upper_inf(l.recorded)
          AND (l.kind = 'excluded') = (asking_account() = ANY (l.accounts) OR coalesce(asking_agency() = ANY (l.agencies), false))
          AND NOT EXISTS (
              SELECT FROM record_openings o WHERE o.wearer_no = l.wearer_no AND o.account = asking_account() AND o.ends_at > now())
$$;
CREATE OR REPLACE FUNCTION closed_wearers() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$
    WITH direct AS (SELECT r AS wearer_no FROM restricted_wearers() r)
    SELECT wearer_no FROM direct
    UNION ALL
    SELECT p.wearer_no FROM merged_people() p
    WHERE p.group_no IN (SELECT q.group_no FROM merged_people() q JOIN direct d USING (wearer_no))
$$;

-- ------------------------------------------------------------------ rows

CREATE FUNCTION reads_iom() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT asking_role() IS NULL AND current_user <> 'emtrack_pages'
             OR asking_role() IN ('operator', 'supervisor', 'officer', 'contact', 'administrator') $$;
CREATE FUNCTION reads_police_intelligence() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT coalesce((SELECT CASE WHEN content ? 'police_agencies' THEN content -> 'police_agencies' ? asking_agency() END
                     FROM iom_settings ORDER BY version_no DESC LIMIT 1), asking_agency() = 'Police', false)
$$;
-- Whether the session may read what is for some only: staff of the centre are no exception.
CREATE FUNCTION may_read_entry(visibility text, named text[], agency text, recorded_by text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT visibility = 'ALL' OR recorded_by = asking_account()
        OR visibility = 'OWN' AND agency IS NOT DISTINCT FROM asking_agency()
        OR visibility = 'NAMED' AND (asking_account() = ANY (named) OR coalesce(asking_agency() = ANY (named), false))
        OR visibility = 'POLICE_INTEL' AND reads_police_intelligence()
$$;
-- Versions of which a later one is for others than the session: it does not see them either, as if they still held. What is newer than
-- the last one that it may not read is judged by itself.
CREATE FUNCTION narrowed_entries() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp ROWS 10
AS $$
    SELECT e.entry_no FROM iom_entries e JOIN (
        SELECT item_no, max(version) AS version FROM iom_entries
        WHERE narrows AND NOT may_read_entry(visibility, named, agency, recorded_by) GROUP BY item_no) last USING (item_no)
    WHERE e.version < last.version
$$;
-- Somebody of whom nothing is known yet: no tag, no requirement, no record. Who enters somebody new shares them with their agency.
CREATE FUNCTION is_new_person(person bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT NOT EXISTS (SELECT FROM iom_versions WHERE wearer_no = person) AND NOT EXISTS (SELECT FROM iom_entries WHERE wearer_no = person)
       AND NOT EXISTS (SELECT FROM activation_versions WHERE wearer_no = person)
       AND NOT EXISTS (SELECT FROM requirement_versions WHERE wearer_no = person)
$$;

-- Enters somebody new, whom the session cannot see before they are shared; the number, or null where the reference is taken.
CREATE FUNCTION new_person(reference text, name text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    INSERT INTO wearers (wearer_id, name) SELECT reference, $2 WHERE reads_iom() ON CONFLICT (wearer_id) DO NOTHING RETURNING wearer_no
$$;
REVOKE EXECUTE ON FUNCTION new_person(text, text) FROM PUBLIC;

ALTER TABLE iom_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_open_records ON iom_entries FOR SELECT USING (current_user <> 'emtrack_pages' OR (
    CASE WHEN wearer_no IS NULL THEN (SELECT reads_iom())
         ELSE ((SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))
              AND wearer_no NOT IN (SELECT closed_wearers()) END
    AND (visibility = 'ALL' OR may_read_entry(visibility, named, agency, recorded_by))
    AND entry_no NOT IN (SELECT narrowed_entries())));
CREATE POLICY in_their_own_name ON iom_entries FOR INSERT WITH CHECK (current_user <> 'emtrack_pages' OR (
    recorded_by = asking_account() AND agency IS NOT DISTINCT FROM asking_agency()
    AND asking_role() IN ('officer', 'contact', 'administrator')   -- staff of the centre read the record and add nothing to it
    AND CASE WHEN wearer_no IS NULL THEN true
             ELSE ((SELECT watches()) OR (SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))
                  AND wearer_no NOT IN (SELECT closed_wearers()) END));
CREATE POLICY new_people ON iom_versions FOR INSERT
    WITH CHECK (asking_role() IN ('officer', 'contact') AND asking_agency() = ANY (agencies) AND is_new_person(wearer_no));
ALTER TABLE iom_settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_readers ON iom_settings FOR SELECT USING ((SELECT reads_iom()));
CREATE POLICY of_administrators ON iom_settings FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR asking_role() = 'administrator' AND recorded_by = asking_account());
ALTER TABLE iom_imports ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_importers ON iom_imports
    USING (current_user <> 'emtrack_pages' OR asking_role() = 'administrator' OR imported_by = asking_account() AND (SELECT reads_iom()))
    WITH CHECK (current_user <> 'emtrack_pages' OR imported_by = asking_account() AND (SELECT reads_iom()));
ALTER TABLE iom_import_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_importers ON iom_import_rows
    USING (current_user <> 'emtrack_pages' OR EXISTS (SELECT FROM iom_imports i WHERE i.import_no = iom_import_rows.import_no));

-- ------------------------------------------------------------------ the log

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
    ('iom_entries', 1, 'iom_entries', 'r.entry_no', '0',
     'r.entry_no, r.noun, r.of_entry, r.version, r.wearer_no, r.state, r.content, r.valid, r.occurred_at, r.due_at, r.recorded_at, '
     'r.recorded_by, r.agency, r.system, r.record, r.visibility, r.named, r.narrows, r.item_no'),
    ('iom_settings', 1, 'iom_settings', 'r.version_no', '0', 'r.version_no, r.content, r.recorded_at, r.recorded_by');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE kind IN ('iom_entries', 'iom_settings');

-- ------------------------------------------------------------------ looks

ALTER TABLE looks DROP CONSTRAINT looks_what_check;
ALTER TABLE looks ADD CONSTRAINT looks_what_check
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export', 'restricted record', 'details', 'IOM record'));

-- ------------------------------------------------------------------ what stood in the record before

-- `iom_versions` and `rag_grades` stay, as what the queue of alerts sorts by and what sharing goes by. They follow from entries from now
-- on. What they hold becomes entries, as known when it was recorded there.
INSERT INTO iom_entries (noun, version, wearer_no, content, recorded_at, recorded_by)
SELECT 'person', 1, wearer_no, jsonb_strip_nulls(jsonb_build_object(
           'identifiers', (SELECT coalesce(jsonb_agg(jsonb_build_object('scheme', scheme, 'given', given)), '[]')
                           FROM (VALUES ('PNC', pnc), ('CRN', crn), ('NOMS', nomis), ('ECINS', ecins)) AS t (scheme, given)
                           WHERE given IS NOT NULL),
           'agencies', to_jsonb(agencies), 'lead_officer', lead_officer, 'lead_agency', lead_agency)),
       lower(recorded), entered_by
FROM iom_versions WHERE upper_inf(recorded) ORDER BY version_no;
INSERT INTO iom_entries (noun, version, wearer_no, state, content, valid, recorded_at, recorded_by)
SELECT 'membership', 1, wearer_no, 'OPEN', jsonb_strip_nulls(jsonb_build_object('cohort', cohort, 'lead_agency', lead_agency,
                                                                         'lead_officer', lead_officer)),
       tstzrange((SELECT min(lower(b.recorded)) FROM iom_versions b WHERE b.wearer_no = i.wearer_no), NULL), lower(recorded), entered_by
FROM iom_versions i WHERE upper_inf(recorded) AND cohort IS NOT NULL ORDER BY version_no;
INSERT INTO iom_entries (noun, version, wearer_no, system, record, content, occurred_at, recorded_at, recorded_by)
SELECT 'assessment', 1, wearer_no, 'orders', wearer_id, jsonb_strip_nulls(jsonb_build_object('mappa_category', mappa_category, 'mappa_level', mappa_level,
                                                                 'needs', to_jsonb(pathways))),
       lower(recorded), lower(recorded), entered_by
FROM iom_versions JOIN wearers USING (wearer_no)
WHERE upper_inf(recorded) AND (mappa_category IS NOT NULL OR mappa_level IS NOT NULL OR pathways <> '{}')
ORDER BY version_no;
INSERT INTO iom_entries (noun, version, wearer_no, content, occurred_at, recorded_at, recorded_by)
SELECT 'grade', 1, wearer_no, jsonb_strip_nulls(jsonb_build_object('grade', grade, 'reason', reason, 'graded_by', graded_by)),
       CASE WHEN isfinite(since) THEN since END, recorded_at, entered_by
FROM rag_grades ORDER BY grade_no;
