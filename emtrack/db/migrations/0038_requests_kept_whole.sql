-- A request of a tag that brings nothing but what is new is kept once, as it came (decision 42). Report n of it, from 0, has the fact id
-- request_no + n. Requests of one device and boot lie apart in their numbers and ascend.
CREATE TABLE raw_requests (
    request_no bigint PRIMARY KEY,         -- the fact id of its first report
    reports bigint NOT NULL CHECK (reports > 0),
    device_no bigint NOT NULL,
    boot bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL CHECK (last_seq >= first_seq),
    received_at timestamptz NOT NULL,
    content_type text NOT NULL CHECK (content_type IN ('application/json', 'application/msgpack')),
    body bytea NOT NULL,                   -- the request's bytes
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX raw_requests_by_number ON raw_requests (device_no, boot, last_seq) INCLUDE (first_seq);
-- Where the server can, long bodies are compressed by the faster method.
DO $$ BEGIN
    ALTER TABLE raw_requests ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;

INSERT INTO sealed_kinds (kind, form, of_table, key, content) VALUES
('raw_requests', 1, 'raw_requests', 'r.request_no',
 'r.request_no, r.reports, r.device_no, r.boot, r.first_seq, r.last_seq, r.received_at, r.content_type, encode(sha256(r.body), ''hex'')');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE kind = 'raw_requests';
