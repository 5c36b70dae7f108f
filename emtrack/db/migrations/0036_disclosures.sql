-- What was handed out of where somebody was: to whom, why, and the hash of each file (decision 38).

CREATE TABLE disclosures (
    disclosure_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    disclosed_at timestamptz NOT NULL,
    disclosed_by text NOT NULL,
    role text NOT NULL,
    door text NOT NULL,
    purpose text NOT NULL,
    reference text,
    recipient text,                       -- for whom it was made
    wearer_no bigint NOT NULL REFERENCES wearers,
    what text NOT NULL CHECK (what IN ('positions', 'report')),
    form text NOT NULL,                   -- of the file
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    known_at timestamptz NOT NULL,        -- as known at this instant
    positions bigint NOT NULL CHECK (positions >= 0),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX disclosures_of_wearer ON disclosures (wearer_no, disclosure_no);

-- Overseers read all of them, as they read looks; others those of people whom they see.
ALTER TABLE disclosures ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON disclosures FOR SELECT USING ((SELECT reads_all_looks()) OR is_seen(wearer_no));
CREATE POLICY in_their_own_name ON disclosures FOR INSERT
    WITH CHECK (current_user <> 'emtrack_pages' OR disclosed_by = asking_account() AND is_seen(wearer_no));
CREATE POLICY no_canary ON disclosures AS RESTRICTIVE FOR SELECT
    USING (current_user <> 'emtrack_pages' OR wearer_no NOT IN (SELECT canary_wearers()));

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('disclosures', 1, 'disclosures', 'r.disclosure_no', '0',
 'r.disclosure_no, r.disclosed_at, r.disclosed_by, r.role, r.door, r.purpose, r.reference, r.recipient, r.wearer_no, r.what, r.form, r.during, r.known_at, r.positions, r.size_bytes, r.sha256');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind = 'disclosures';
