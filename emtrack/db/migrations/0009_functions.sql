-- What statements say again and again. All are plain SQL that the planner puts in the place of the call (STABLE, one SELECT).
-- Parameters go by number: a name would stand for a column of the same name.

-- Milliseconds since 1970. Nothing finer is stored.
CREATE FUNCTION epoch_ms(timestamptz) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM $1) * 1000)::bigint $$;

-- What is to be shown of a finding: its newest version; no row for a finding that does not exist.
CREATE FUNCTION newest_version(finding_no bigint) RETURNS SETOF finding_versions LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$ SELECT * FROM finding_versions v WHERE v.finding_no = $1 ORDER BY v.version DESC LIMIT 1 $$;

-- The same as it was recorded up to an instant.
CREATE FUNCTION version_known_at(finding_no bigint, instant timestamptz) RETURNS SETOF finding_versions
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT * FROM finding_versions v WHERE v.finding_no = $1 AND v.recorded_at <= $2 ORDER BY v.version DESC LIMIT 1
$$;
