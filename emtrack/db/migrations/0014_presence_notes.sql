-- A violation is shown as lasting while a report in time can still say that it does, though presence is not known any more.

-- From an instant on: since when it is not known whether a finding lasts; null: it is known, or its end is a version.
CREATE TABLE presence_notes (
    finding_no bigint NOT NULL REFERENCES findings,
    noted_at timestamptz NOT NULL,
    unknown_since timestamptz,
    PRIMARY KEY (finding_no, noted_at)
);

-- What was noted last up to an instant.
CREATE FUNCTION unknown_since_at(finding_no bigint, instant timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT n.unknown_since FROM presence_notes n WHERE n.finding_no = $1 AND n.noted_at <= $2 ORDER BY n.noted_at DESC LIMIT 1
$$;
