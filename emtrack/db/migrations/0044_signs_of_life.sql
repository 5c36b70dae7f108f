-- Whether a shard hears anybody: a worker commits although the stream, or every gateway, is away. By the server's own clock: when the
-- last sign of a gateway came to the shard's worker through the stream. Null: its worker hears devices itself, or is of the version before.
ALTER TABLE shard_liveness ADD COLUMN heard_at timestamptz;

-- Sessions that hold an advisory lock and stand still: the server has waited for `still_s` for the client. Ended, and waited for 2 s each;
-- how many there were. Twice, as in migration 43: with the rights of whoever calls it, and with the owner's.
CREATE FUNCTION end_holders_standing_still(held_lock bigint, still_s float8) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    WITH still AS MATERIALIZED (
        SELECT DISTINCT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND (l.classid::bigint << 32) + l.objid::bigint = held_lock
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND a.pid <> pg_backend_pid() AND pg_has_role(a.usesysid, 'USAGE') AND (a.state LIKE 'idle%' OR a.wait_event_type = 'Client')
          AND a.state_change < clock_timestamp() - make_interval(secs => still_s)
    )
    SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 2000) FROM still OFFSET 0) AS ended
$$;
REVOKE EXECUTE ON FUNCTION end_holders_standing_still(bigint, float8) FROM PUBLIC;
CREATE FUNCTION end_holders_standing_still_as_owner(held_lock bigint, still_s float8) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT end_holders_standing_still(held_lock, still_s) $$;
REVOKE EXECUTE ON FUNCTION end_holders_standing_still_as_owner(bigint, float8) FROM PUBLIC;
