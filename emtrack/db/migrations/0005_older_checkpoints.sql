-- Checkpoints of several ages: a fact that is late by so much is judged from the newest one before it, not from the start of
-- the activation. A cache, as `checkpoints` is: without it all findings are the same, and late facts cost more.
CREATE TABLE older_checkpoints (
    activation_no bigint NOT NULL REFERENCES activations,
    fed_to timestamptz NOT NULL,
    plan_version text NOT NULL,
    checkpoint bytea NOT NULL,
    PRIMARY KEY (activation_no, fed_to)
);
