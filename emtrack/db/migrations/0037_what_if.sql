-- A look at what would have been found with other settings, zones or timetables (decision 40).
ALTER TABLE looks DROP CONSTRAINT looks_what_check;
ALTER TABLE looks ADD CONSTRAINT looks_what_check
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export', 'restricted record', 'details', 'IOM record',
                    'near', 'what if'));
