-- Shared zone sets: many zones that any number of requirements are on. A version is never changed and never deleted: what is drawn
-- anew is a new version. Its zones stand in `zones`, each content once, so that a zone that did not change is not stored again.
CREATE TABLE zone_sets (
    set_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_id text NOT NULL UNIQUE
);

CREATE TABLE zone_set_versions (
    set_version_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    set_no bigint NOT NULL REFERENCES zone_sets,
    version text NOT NULL,                -- what people call it; the one entered last is the one that is followed
    content text NOT NULL,                -- names exactly these members
    members bigint NOT NULL CHECK (members > 0),
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    UNIQUE (set_no, version)
);
CREATE INDEX zone_set_versions_of_content ON zone_set_versions (content);

CREATE TABLE zone_set_members (
    set_version_no bigint NOT NULL REFERENCES zone_set_versions,
    zone_id text NOT NULL,
    zone_no bigint NOT NULL REFERENCES zones,
    extent box NOT NULL,                  -- longitudes and latitudes: which members lie near a place
    PRIMARY KEY (set_version_no, zone_id)
);
CREATE INDEX zone_set_members_near ON zone_set_members USING gist (set_version_no, extent);

-- A requirement has a zone of its own, or is on a version of a set: pinned to it, or following the set from version to version.
ALTER TABLE requirement_versions ALTER COLUMN zone_no DROP NOT NULL;
ALTER TABLE requirement_versions
    ADD COLUMN set_version_no bigint REFERENCES zone_set_versions,
    ADD COLUMN set_pinned boolean NOT NULL DEFAULT false,
    ADD COLUMN widen_m double precision NOT NULL DEFAULT 0 CHECK (widen_m >= 0),
    ADD CONSTRAINT one_zone_or_one_set CHECK (num_nonnulls(zone_no, set_version_no) = 1);
CREATE INDEX requirement_versions_on_set ON requirement_versions (set_version_no) WHERE set_version_no IS NOT NULL;

-- The member of a set that the finding is about; null for a requirement with a zone of its own.
ALTER TABLE finding_versions ADD COLUMN zone_id text;
