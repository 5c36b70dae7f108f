-- A list of tonight's curfews shows addresses and phones: a look of its own kind.
ALTER TABLE looks DROP CONSTRAINT looks_what_check;
ALTER TABLE looks ADD CONSTRAINT looks_what_check
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export', 'restricted record', 'details'));
