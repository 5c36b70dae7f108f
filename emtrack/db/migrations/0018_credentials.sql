-- Credentials have a life: they expire, are rotated and revoked, and each step is on record. All their times are of the machine, not
-- of an emulated clock. Null in `expires_at`: it does not expire.

-- ------------------------------------------------------------------ what is on record of them

-- Who did what to which credential: appended, never changed. Logins and failures are in account_events.
CREATE TABLE credential_events (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL,
    subject text NOT NULL CHECK (subject IN ('account', 'token', 'device')),
    name text NOT NULL,                   -- of the account or token; the id of the device
    what text NOT NULL,
    detail text,
    done_by text NOT NULL
);
CREATE INDEX credential_events_of_name ON credential_events (name, event_no);

-- What a running service must hear of: read by transaction, never by number (as `alert_changes`), so that none is missed.
CREATE TABLE credential_changes (
    change_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    device_no bigint,                     -- whose keys changed
    event_no bigint,                      -- of `credential_events`, for the log of events
    account_event_no bigint               -- of `account_events`, likewise
);
CREATE INDEX credential_changes_by_transaction ON credential_changes (written_by);

CREATE FUNCTION note_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credential_changes DEFAULT VALUES;
    RETURN NULL;
END $$;
CREATE FUNCTION note_credential_of_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO credential_changes (device_no) VALUES (OLD.device_no);
    ELSE
        INSERT INTO credential_changes (device_no) VALUES (NEW.device_no);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION note_credential_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credential_changes (event_no) VALUES (NEW.event_no);
    RETURN NULL;
END $$;
CREATE FUNCTION note_account_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credential_changes (account_event_no) VALUES (NEW.event_no);
    RETURN NULL;
END $$;
CREATE TRIGGER account_event_noted AFTER INSERT ON account_events
    FOR EACH ROW WHEN (NEW.what IN ('added', 'new password', 'disabled')) EXECUTE FUNCTION note_account_event();
CREATE TRIGGER event_noted AFTER INSERT ON credential_events FOR EACH ROW EXECUTE FUNCTION note_credential_event();

-- ------------------------------------------------------------------ accounts and sessions

ALTER TABLE users
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN must_change boolean NOT NULL DEFAULT false;    -- an administrator set the password: its owner chooses another first
ALTER TABLE sessions
    ADD COLUMN session_no bigint GENERATED ALWAYS AS IDENTITY UNIQUE,   -- what it is called on pages and in commands
    ADD COLUMN begun_from text NOT NULL DEFAULT 'not recorded',         -- the address
    ADD COLUMN browser text NOT NULL DEFAULT 'not recorded',
    -- What is still to be done before anything else: the code of the second factor, a password of one's own, a second factor.
    ADD COLUMN needs text CHECK (needs IN ('code', 'password', 'second factor'));
CREATE TRIGGER user_noted AFTER UPDATE OF disabled_at, expires_at, role, must_change ON users
    FOR EACH ROW EXECUTE FUNCTION note_credential();
CREATE TRIGGER session_noted AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note_credential();

-- A time-based code (RFC 6238). It must be worked out again, so that the secret is kept as it is.
CREATE TABLE second_factors (
    user_no bigint PRIMARY KEY REFERENCES users,
    secret text NOT NULL,
    set_at timestamptz,                   -- null: not confirmed by a code yet
    last_step bigint NOT NULL DEFAULT 0   -- of 30 s: no code of this one or an earlier is taken again
);
CREATE TABLE recovery_codes (
    user_no bigint NOT NULL REFERENCES users,
    code_hash bytea NOT NULL,             -- SHA-256 of a random code of 80 bits
    used_at timestamptz,
    PRIMARY KEY (user_no, code_hash)
);

-- Whom an identity provider means by a subject: bound at the first login, because names there may be given to somebody else.
CREATE TABLE provider_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_no bigint NOT NULL REFERENCES users,
    bound_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_no, issuer)
);

-- ------------------------------------------------------------------ tokens and keys

ALTER TABLE tokens
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN former_hash bytea UNIQUE,  -- after a rotation the one before is good until `former_until`
    ADD COLUMN former_until timestamptz;
CREATE TRIGGER token_noted AFTER UPDATE OR DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION note_credential();
ALTER TABLE device_keys
    ADD COLUMN key_no bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN expires_at timestamptz;
CREATE TRIGGER device_key_noted AFTER INSERT OR UPDATE OR DELETE ON device_keys
    FOR EACH ROW EXECUTE FUNCTION note_credential_of_device();

-- Ed25519 keys with which devices sign requests: the public halves.
CREATE TABLE signing_keys (
    key_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_no bigint NOT NULL REFERENCES devices,
    public_key bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    added_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX signing_keys_of_device ON signing_keys (device_no);
CREATE TRIGGER signing_key_noted AFTER INSERT OR UPDATE OR DELETE ON signing_keys
    FOR EACH ROW EXECUTE FUNCTION note_credential_of_device();

-- ------------------------------------------------------------------ signed reports

-- A request whose signature was right: the bytes that were signed, so that anybody can check it again. Its reports are those of the
-- fact ids from `request_no` to `last_fact`: one row a request, because a row a report would cost as much as the report itself.
CREATE TABLE signed_requests (
    request_no bigint PRIMARY KEY,        -- the fact id of its first report
    last_fact bigint NOT NULL,
    device_no bigint NOT NULL REFERENCES devices,
    key_no bigint NOT NULL REFERENCES signing_keys,
    boot bigint NOT NULL,
    received_at timestamptz NOT NULL,
    signature bytea NOT NULL,
    reports bytea NOT NULL                -- exactly as they stood in the request
);
-- Reports that a signed request brought and that have a fact id elsewhere: they were stored before, without a signature.
CREATE TABLE signed_reports (
    fact_id bigint PRIMARY KEY,
    request_no bigint NOT NULL REFERENCES signed_requests
);
-- Whether a report is of the higher grade.
CREATE FUNCTION is_signed(fact_id bigint) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM signed_reports r WHERE r.fact_id = $1)
        OR coalesce((SELECT q.last_fact >= $1 FROM signed_requests q WHERE q.request_no <= $1 ORDER BY q.request_no DESC LIMIT 1), false)
$$;
CREATE INDEX integrity_events_of_fact ON integrity_events (fact_id);
