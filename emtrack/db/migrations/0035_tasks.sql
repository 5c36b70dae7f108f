-- Under which name what is ours leaves this deployment. One that has a key of the log is named after it already.
CREATE TABLE iom_deployment (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name text NOT NULL
);
INSERT INTO iom_deployment (name)
SELECT coalesce((SELECT encode(substring(public_key FOR 4), 'hex') FROM log_keys ORDER BY key_no LIMIT 1),
                encode(substring(uuid_send(gen_random_uuid()) FOR 4), 'hex'));

-- Tasks that are open, and when the clock looks at each; null: not before something changes. A trigger keeps it, so that no door can
-- forget it.
CREATE TABLE iom_open_tasks (
    item_no bigint PRIMARY KEY,
    look_at timestamptz
);
CREATE INDEX iom_open_tasks_due ON iom_open_tasks (look_at) WHERE look_at IS NOT NULL;
INSERT INTO iom_open_tasks SELECT item_no, due_at FROM iom_now WHERE noun = 'task' AND state IN ('NEW', 'ACCEPTED');

-- Who is on the agenda of a meeting.
CREATE INDEX iom_lines_of_meeting ON iom_entries (((content ->> 'meeting')::bigint)) WHERE noun = 'line';

CREATE FUNCTION iom_task_is_watched() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.state IN ('NEW', 'ACCEPTED') THEN
        INSERT INTO iom_open_tasks VALUES (NEW.item_no, NEW.due_at) ON CONFLICT (item_no) DO UPDATE SET look_at = excluded.look_at;
    ELSE
        DELETE FROM iom_open_tasks WHERE item_no = NEW.item_no;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER task_is_watched AFTER INSERT ON iom_entries FOR EACH ROW WHEN (NEW.noun = 'task') EXECUTE FUNCTION iom_task_is_watched();
