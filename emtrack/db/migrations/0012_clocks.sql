-- Tags whose clock is wrong: an equipment alert and no finding. least and most: how far behind the newest facts of an hour were
-- (negative: ahead).
CREATE TABLE wrong_clocks (
    alert_no bigint NOT NULL REFERENCES alerts,
    activation_no bigint NOT NULL REFERENCES activations,
    begin_at timestamptz NOT NULL,
    least_ms bigint NOT NULL,
    most_ms bigint NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (activation_no, begin_at)
);
CREATE UNIQUE INDEX one_wrong_clock ON wrong_clocks (activation_no) WHERE ended_at IS NULL;
CREATE INDEX wrong_clocks_of_alert ON wrong_clocks (alert_no, begin_at);
