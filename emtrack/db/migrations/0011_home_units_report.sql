-- Home units report for themselves, under keys of their own.

-- Two people who live together have one home unit: each has an entry of it.
ALTER TABLE home_units DROP CONSTRAINT one_address_per_unit;
ALTER TABLE home_units ADD CONSTRAINT one_address_per_unit
    EXCLUDE USING gist (hmu_id WITH =, wearer_no WITH =, during WITH &&, recorded WITH &&);
