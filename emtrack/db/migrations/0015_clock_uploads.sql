-- What the uploads of the last hour said of the clock of each tag: kept in memory while the service runs, and here for its next start.
CREATE TABLE clock_uploads (
    activation_no bigint PRIMARY KEY REFERENCES activations,
    newest_at timestamptz NOT NULL,         -- when the newest of them came
    uploads bytea NOT NULL                  -- MessagePack, as `alerts/clocks.py` has them
) WITH (fillfactor = 50);
