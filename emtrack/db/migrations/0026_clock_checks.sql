-- What others said of the machine's clock, by which every instant of the record goes: appended, never changed.
CREATE TABLE clock_checks (
    check_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asked_at timestamptz NOT NULL,        -- by the machine's clock
    asked text NOT NULL,                  -- a server of network time, or the program that keeps the clock
    offset_s double precision,            -- how far that is ahead of us; null: it did not say
    within_s double precision,            -- by how much that may be wrong; null: not said
    trouble text,                         -- why there is no answer
    CHECK ((offset_s IS NULL) = (trouble IS NOT NULL))
);
CREATE INDEX clock_checks_by_time ON clock_checks (asked_at);
