-- The ledger of accumulated time violations (ATV): minutes of CURFEW findings, over an order. Only ever added to: a finding that
-- is amended reverses its old line and brings a new one, an excuse is a line with who and why.
ALTER TABLE settings_versions
    ADD COLUMN atv_threshold_ms bigint CHECK (atv_threshold_ms > 0),   -- null: no alert
    ADD COLUMN atv_counts_grace boolean NOT NULL DEFAULT false;

CREATE TABLE atv_lines (
    line_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    finding_no bigint NOT NULL REFERENCES findings,
    recorded_at timestamptz NOT NULL,
    what text NOT NULL CHECK (what IN ('counted', 'reversed', 'excused')),
    amount_ms bigint NOT NULL CHECK (amount_ms <> 0),
    entered_by text NOT NULL,             -- 'the record' for lines that follow from findings
    why text NOT NULL
);
CREATE INDEX atv_lines_of_order ON atv_lines (wearer_no, requirement_id, line_no);
CREATE INDEX atv_lines_of_finding ON atv_lines (finding_no);

-- When an order would reach its threshold if the violation that lasts goes on.
CREATE TABLE atv_timers (
    wearer_no bigint NOT NULL REFERENCES wearers,
    requirement_id text NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (wearer_no, requirement_id)
);
CREATE INDEX atv_timers_due ON atv_timers (due_at);

-- Findings from before this ledger.
INSERT INTO atv_lines (wearer_no, requirement_id, finding_no, recorded_at, what, amount_ms, entered_by, why)
SELECT e.wearer_no, v.requirement_id, f.finding_no, v.recorded_at, 'counted',
       (extract(epoch FROM v.end_at - v.begin_at) * 1000)::bigint, 'the record', 'found before the ledger began'
FROM findings f JOIN requirement_entries e USING (entry_no)
CROSS JOIN LATERAL (SELECT * FROM finding_versions WHERE finding_no = f.finding_no ORDER BY version DESC LIMIT 1) v
WHERE f.kind = 'CURFEW' AND v.change <> 'withdrawn' AND v.end_at > v.begin_at AND NOT v.within_grace
ORDER BY v.recorded_at, f.finding_no;
