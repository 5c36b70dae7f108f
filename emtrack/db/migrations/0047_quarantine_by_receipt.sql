-- What is in quarantine is read again by receipt: ids alone do not follow it, where several workers hand them out.
CREATE INDEX quarantine_by_receipt ON quarantine (device_no, received_at, fact_id);
DROP INDEX quarantine_in_order;
