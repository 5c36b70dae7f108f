-- What is in quarantine of a device is read again in the order in which it was received, some of it at a time.
CREATE INDEX quarantine_in_order ON quarantine (device_no, fact_id);
DROP INDEX quarantine_of_device;
