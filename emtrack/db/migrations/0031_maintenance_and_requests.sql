-- Planned maintenance, and what people ask for: to be away, to be excused, to have an order varied.

-- Announced beforehand. It excuses no silence: only what we really could not receive is an outage (RULES.md section 8).
CREATE TABLE planned_maintenance (
    maintenance_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    during tstzrange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during) AND NOT upper_inf(during)),
    what text NOT NULL,
    withdraws bigint REFERENCES planned_maintenance,   -- a row that takes another back
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX planned_maintenance_by_end ON planned_maintenance (upper(during));
CREATE INDEX planned_maintenance_withdrawn ON planned_maintenance (withdraws) WHERE withdraws IS NOT NULL;
ALTER TABLE planned_maintenance ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_everybody ON planned_maintenance FOR SELECT USING (current_user <> 'emtrack_pages' OR asking_role() IS NOT NULL);
CREATE POLICY in_their_own_name ON planned_maintenance FOR INSERT WITH CHECK (current_user <> 'emtrack_pages'
    OR entered_by = asking_account() AND asking_role() IN ('supervisor', 'administrator'));

CREATE TABLE order_requests (
    request_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wearer_no bigint NOT NULL REFERENCES wearers,
    kind text NOT NULL CHECK (kind IN ('absence', 'excuse', 'variation')),
    asked_by text NOT NULL,               -- who asked, and how
    during tstzrange,                     -- of an absence
    finding_no bigint REFERENCES findings,  -- that is to be excused
    what text NOT NULL,
    evidence text,
    entered_at timestamptz NOT NULL,
    entered_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()),
    CHECK ((kind = 'absence') = (during IS NOT NULL) AND (kind = 'excuse') = (finding_no IS NOT NULL))
);
CREATE INDEX order_requests_of_wearer ON order_requests (wearer_no, request_no);
-- One for a request.
CREATE TABLE request_decisions (
    decision_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_no bigint NOT NULL REFERENCES order_requests,
    is_granted boolean NOT NULL,
    granted_by text NOT NULL,             -- whose decision it is: name and agency, or court
    why text NOT NULL,
    effect text NOT NULL,                 -- on orders and ledger
    decided_at timestamptz NOT NULL,
    decided_by text NOT NULL,
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
CREATE INDEX request_decisions_of_request ON request_decisions (request_no);
ALTER TABLE order_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON order_requests FOR SELECT USING ((SELECT watches())
    OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers())) AND wearer_no NOT IN (SELECT closed_wearers()));
CREATE POLICY in_their_own_name ON order_requests FOR INSERT WITH CHECK (current_user <> 'emtrack_pages' OR entered_by = asking_account()
    AND ((SELECT watches()) OR ((SELECT sees_every_agency()) OR wearer_no IN (SELECT shared_wearers()))
         AND wearer_no NOT IN (SELECT closed_wearers())));
ALTER TABLE request_decisions ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_people_seen ON request_decisions FOR SELECT
    USING ((SELECT watches()) OR EXISTS (SELECT FROM order_requests q WHERE q.request_no = request_decisions.request_no));
CREATE POLICY in_their_own_name ON request_decisions FOR INSERT WITH CHECK (current_user <> 'emtrack_pages'
    OR decided_by = asking_account() AND asking_role() IN ('officer', 'contact', 'administrator')
    AND EXISTS (SELECT FROM order_requests q WHERE q.request_no = request_decisions.request_no));

INSERT INTO sealed_kinds (kind, form, of_table, key, part, content) VALUES
('planned_maintenance', 1, 'planned_maintenance', 'r.maintenance_no', '0',
 'r.maintenance_no, r.during, r.what, r.withdraws, r.entered_at, r.entered_by'),
('order_requests', 1, 'order_requests', 'r.request_no', '0',
 'r.request_no, r.wearer_no, r.kind, r.asked_by, r.during, r.finding_no, r.what, r.evidence, r.entered_at, r.entered_by'),
('request_decisions', 1, 'request_decisions', 'r.decision_no', '0',
 'r.decision_no, r.request_no, r.is_granted, r.granted_by, r.why, r.effect, r.decided_at, r.decided_by');
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE k.kind IN ('planned_maintenance', 'order_requests', 'request_decisions');
