-- Positions once more, packed by device and hour, so that who was near a place is asked of thousands of rows and not of millions
-- (decision 50). A copy, made beside the turns of hours that are over; where it is missing or late, `positions` is read.

-- Hours that are packed, or about to be: from then on whatever comes late is marked.
CREATE TABLE packed_hours (
    hour timestamptz PRIMARY KEY,
    form bigint NOT NULL,                 -- of heads and bodies; of another form: made again
    is_ready boolean NOT NULL DEFAULT false
);
CREATE TABLE packed_positions (
    hour timestamptz NOT NULL,
    device_no bigint NOT NULL,
    head bytea NOT NULL,                  -- where the device was within the hour, in bounds (geofence/nearness/hours.py)
    body bytea NOT NULL,                  -- its positions, in the order of time
    PRIMARY KEY (hour, device_no) INCLUDE (head)
) WITH (toast_tuple_target = 8160);       -- an hour of a position each minute stays in its row
ALTER TABLE packed_positions ALTER COLUMN head SET STORAGE PLAIN, ALTER COLUMN body SET STORAGE EXTERNAL;

-- Of which devices and hours something was stored or deleted since, or while they were packed: read what is stored, until they are
-- packed again.
CREATE TABLE packed_late (
    late_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL,
    device_no bigint NOT NULL
);
CREATE INDEX packed_late_of_hour ON packed_late (hour, device_no);

-- What is live is newer than every hour that is packed: one comparison a row. That there is a trigger with a table of what is new has
-- COPY insert row by row (decision 50 says what that costs).
CREATE FUNCTION mark_packed_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO packed_late (hour, device_no)
    SELECT DISTINCT p.hour, c.device_no
    FROM changed c JOIN packed_hours p ON p.hour = date_bin('1 hour', c.fix_time, '2000-01-01T00:00:00Z'::timestamptz)
    WHERE c.fix_time < (SELECT max(hour) + interval '1 hour' FROM packed_hours);
    RETURN NULL;
END $$;
CREATE TRIGGER mark_packed_late AFTER INSERT ON positions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_packed_late();
-- What is deleted is deleted here in the same transaction: it waits for the slice that is packed just now, which may have read it, and
-- the next slice waits for it (`UNPACKING_LOCK` in emtrack/db/locks.py).
CREATE FUNCTION unpack_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'656d7570'::bigint);
    WITH gone AS (
        SELECT DISTINCT p.hour, c.device_no
        FROM changed c JOIN packed_hours p ON p.hour = date_bin('1 hour', c.fix_time, '2000-01-01T00:00:00Z'::timestamptz)
    ), unpacked AS (
        DELETE FROM packed_positions k USING gone g WHERE k.hour = g.hour AND k.device_no = g.device_no
    )
    INSERT INTO packed_late (hour, device_no) SELECT hour, device_no FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER unpack_deleted AFTER DELETE ON positions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION unpack_deleted();

-- A row is of whoever wore the device for all of its hour.
ALTER TABLE packed_positions ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON packed_positions USING ((SELECT watches()) OR EXISTS (
    SELECT FROM activation_versions v WHERE v.device_no = packed_positions.device_no AND upper_inf(v.recorded)
    AND v.during @> tstzrange(packed_positions.hour, packed_positions.hour + interval '1 hour')));
