-- Past one machine the worker is several (decision 49). Each owns shards of the wearers; what one worker knew of itself it knows of
-- each shard.

-- One row: into how many shards the wearers are divided. A wearer's is the remainder of wearer_no. It is changed only while no worker
-- and no service runs.
CREATE TABLE shard_count (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    shards bigint NOT NULL CHECK (shards BETWEEN 1 AND 256)
);
INSERT INTO shard_count (shards) VALUES (16);

-- Of each shard that a worker has owned: everything of it is judged to `alive_at`. `liveness` says the same of all of them, where one
-- process has them all; the later one counts.
CREATE TABLE shard_liveness (
    shard bigint PRIMARY KEY,
    alive_at timestamptz NOT NULL,
    changes_seen bigint NOT NULL,          -- orders up to this change are taken in
    judged_again bigint NOT NULL DEFAULT 0,-- the last rejudgement that is done in it
    committed_at timestamptz NOT NULL,     -- by the server's own clock: a worker that stands still is found by it
    is_loading boolean NOT NULL            -- its worker reads it, which takes longer than a turn
);
CREATE VIEW shards_alive AS
SELECT s.shard, greatest(l.alive_at, h.alive_at) AS alive_at, greatest(l.changes_seen, h.changes_seen) AS changes_seen
FROM shard_count n CROSS JOIN LATERAL generate_series(0, n.shards - 1) AS s (shard)
     LEFT JOIN liveness l ON true LEFT JOIN shard_liveness h ON h.shard = s.shard;

-- How far each shard is stored: the last message of the stream, and how many of its requests. In the transaction that stores them.
CREATE TABLE stream_positions (
    shard bigint NOT NULL,
    lane text NOT NULL CHECK (lane IN ('live', 'backlog')),
    stream text NOT NULL,                  -- which one: numbers begin anew in another
    message bigint NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (shard, lane)
);

-- Outages of a shard are outages of its wearers only; those of all are in `outages`.
CREATE TABLE shard_outages (
    outage_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard bigint NOT NULL,
    shards bigint NOT NULL,                -- of so many
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    cause text NOT NULL,
    recorded_at timestamptz NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    EXCLUDE USING gist (shards WITH =, shard WITH =, during WITH &&)
);
INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('shard_outages', 1, 'shard_outages', 'r.outage_no', '0', 'r.outage_no, r.shard, r.shards, r.during, r.cause, r.recorded_at');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind = 'shard_outages';

-- Two workers may need the same day at once: the second waits, and finds it made ("emdy" as bytes).
CREATE OR REPLACE FUNCTION make_positions_day(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    part text := 'positions_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(x'656d6479'::bigint);
    -- In the catalog as it is now; to_regclass may remember that there was none.
    IF NOT EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        EXECUTE format('CREATE TABLE %I (LIKE positions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
        EXECUTE format(
            'ALTER TABLE positions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
            (day::timestamp AT TIME ZONE 'UTC'), ((day + 1)::timestamp AT TIME ZONE 'UTC'));
    END IF;
END $$;
