-- Trackers that speak protocols of their own (decision 46): under which identifier a device is known there, and what nobody vouches for.

-- An IMEI, or what a telephone calls itself. It names a device and proves nothing. Ended and never changed, so that it stays known whose
-- it was; one that is in use is of one device, and a device has one for each protocol.
CREATE TABLE device_identifiers (
    identifier_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no bigint NOT NULL REFERENCES devices,
    protocol text NOT NULL CHECK (length(protocol) BETWEEN 1 AND 40),
    identifier text NOT NULL CHECK (length(identifier) BETWEEN 1 AND 64),
    added_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE UNIQUE INDEX one_device_of_an_identifier ON device_identifiers (protocol, identifier) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_identifier_of_a_device ON device_identifiers (device_no, protocol) WHERE ended_at IS NULL;
CREATE TRIGGER device_identifier_noted AFTER INSERT OR UPDATE OR DELETE ON device_identifiers
    FOR EACH ROW EXECUTE FUNCTION note_credential_of_device();

-- Reports behind which stands an identifier and nothing else, by fact id. It follows from `boot` of the raw report, which is under the
-- seal of the log, and is kept for as long as findings are, because a finding may rest on it when the raw report is gone.
CREATE TABLE unauthenticated_facts (
    fact_id bigint PRIMARY KEY,
    device_no bigint NOT NULL REFERENCES devices,
    received_at timestamptz NOT NULL
);
CREATE INDEX unauthenticated_facts_of_device ON unauthenticated_facts (device_no, received_at);
CREATE FUNCTION note_unauthenticated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unauthenticated_facts (fact_id, device_no, received_at) VALUES (NEW.fact_id, NEW.device_no, NEW.received_at);
    RETURN NULL;
END $$;
CREATE TRIGGER unauthenticated_noted AFTER INSERT ON raw_reports
    FOR EACH ROW WHEN (NEW.boot = -1) EXECUTE FUNCTION note_unauthenticated();

-- Those of some reports for which nobody vouches. It says nothing of anybody.
CREATE FUNCTION unauthenticated_among(fact_ids bigint[]) RETURNS SETOF bigint LANGUAGE sql STABLE PARALLEL SAFE
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.fact_id FROM unauthenticated_facts u WHERE u.fact_id = ANY ($1)
$$;
