-- Orders of some people, and the versions of an entry, are found by their number. Until now only the constraints knew them, and whoever
-- asked about a few read those of everybody.
CREATE INDEX requirement_versions_of_wearer ON requirement_versions (wearer_no);
CREATE INDEX requirement_versions_of_entry ON requirement_versions (entry_no);
CREATE INDEX absences_of_wearer ON absences (wearer_no);
-- Whoever enters orders asks when the last change was made.
CREATE INDEX order_changes_by_time ON order_changes (changed_at);
