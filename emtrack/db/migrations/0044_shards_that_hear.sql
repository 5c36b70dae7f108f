-- Whether a shard hears anybody: a worker commits although the stream, or every gateway, is away. By the server's own clock: when the
-- last sign of a gateway came to the shard's worker through the stream. Null: its worker hears devices itself, or is of the version before.
ALTER TABLE shard_liveness ADD COLUMN heard_at timestamptz;
