-- What is in quarantine of a device is read again by receipt, some of it at a time. Ids alone do not follow it, where several workers hand
-- them out.
CREATE INDEX quarantine_by_receipt ON quarantine (device_no, received_at, fact_id);
DROP INDEX quarantine_of_device;
