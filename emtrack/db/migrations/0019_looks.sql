-- Looks: not only at positions, and not only by pages. Whoever learns where somebody was, or what was found about somebody, stands
-- here first, committed, with a purpose.
ALTER TABLE history_views RENAME TO looks;
ALTER TABLE looks RENAME COLUMN view_no TO look_no;
ALTER TABLE looks RENAME COLUMN viewed_at TO looked_at;
ALTER TABLE looks RENAME COLUMN viewed_by TO looked_by;
ALTER TABLE looks RENAME COLUMN note TO reference;
ALTER TABLE looks ALTER COLUMN wearer_no DROP NOT NULL;   -- null: at everybody whom the one who looked may see
ALTER TABLE looks ALTER COLUMN during DROP NOT NULL;      -- null: at no time in particular
ALTER TABLE looks ADD COLUMN what text NOT NULL DEFAULT 'positions'
    CHECK (what IN ('shift', 'queue', 'findings', 'positions', 'past order', 'export'));
ALTER TABLE looks ADD COLUMN door text NOT NULL DEFAULT 'page' CHECK (door IN ('page', 'program', 'command'));
ALTER TABLE looks ALTER COLUMN what DROP DEFAULT;
ALTER TABLE looks ALTER COLUMN door DROP DEFAULT;
ALTER INDEX history_views_of_wearer RENAME TO looks_of_wearer;
CREATE INDEX looks_of_reader ON looks (looked_by, wearer_no, looked_at);
CREATE INDEX looks_at_everybody ON looks (looked_at) WHERE wearer_no IS NULL;

-- For which purpose a person works in this session; null: the person has not said it yet.
ALTER TABLE sessions ADD COLUMN purpose text;
ALTER TABLE sessions ADD COLUMN reference text;

-- Why an order was entered for a time that was past. Null: it was not, or nobody asked yet.
ALTER TABLE requirement_versions ADD COLUMN reason text;
