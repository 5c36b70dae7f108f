-- The rules of November 2026: attendance, home units that speak for longer, what a device can tell, who sent an event.

ALTER TABLE requirement_versions DROP CONSTRAINT requirement_versions_kind_check;
ALTER TABLE requirement_versions
    ADD CONSTRAINT requirement_versions_kind_check CHECK (kind IN ('EXCLUSION', 'INCLUSION', 'CURFEW', 'ATTENDANCE')),
    ADD COLUMN seen_within_ms bigint NOT NULL DEFAULT 120000 CHECK (seen_within_ms >= 0),
    ADD COLUMN rf_gap_ms bigint CHECK (rf_gap_ms > 0),         -- null: as long as a position holds
    ADD COLUMN stay_ms bigint NOT NULL DEFAULT 60000 CHECK (stay_ms > 0);

ALTER TABLE activation_versions
    ADD COLUMN evidence text[] NOT NULL DEFAULT '{POSITION,RF}' CHECK (evidence <@ '{POSITION,RF}'::text[]);

ALTER TABLE home_units
    ADD COLUMN rf_gap_ms bigint CHECK (rf_gap_ms > 0),         -- null: as the requirement has it
    ADD COLUMN call_in_ms bigint CHECK (call_in_ms > 0);       -- null: nobody said how often it calls in

ALTER TABLE device_events ADD COLUMN sent_by text;             -- the home unit that sent it; null: the device itself

ALTER TABLE settings_versions
    ADD COLUMN silence_near_m double precision NOT NULL DEFAULT 2000 CHECK (silence_near_m >= 0);

-- By which rules of judgement findings are made, and since when: what ended before stays as people were told it.
CREATE TABLE rules_in_force (
    rules text PRIMARY KEY,
    since timestamptz                                          -- null: from the first start on
);
INSERT INTO rules_in_force SELECT '1', NULL WHERE EXISTS (SELECT FROM activations);

-- When somebody asked that everybody be judged again by the rules of the day: findings that lasted after `since` follow them.
CREATE TABLE rejudgements (
    rejudgement_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    since timestamptz NOT NULL,
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL,
    done_at timestamptz
);
