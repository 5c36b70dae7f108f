-- Sessions that a worker ends. Who works in a role by SET ROLE sees nothing of other sessions, and may end none: they are the owner's,
-- who logged in. So each is there twice: with the rights of whoever calls it, for roles with a login of their own, and with the
-- owner's. Either passes over what it may not end.

-- Workers that stand still: the server waits for the client, and none of its shards was committed for `still_s` (`loads_s` while it
-- reads one). Ended, and waited for 2 s each; how many there were.
CREATE FUNCTION end_standing_still(worker_lock bigint, shard_locks bigint, still_s float8, loads_s float8) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    WITH held AS MATERIALIZED (
        SELECT l.pid, l.mode, l.objsubid, l.classid::bigint AS high, l.objid::bigint AS low FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), still AS MATERIALIZED (
        SELECT w.pid FROM held w JOIN pg_stat_activity a USING (pid)
             LEFT JOIN held s ON s.pid = w.pid AND s.objsubid = 2 AND s.high = shard_locks
             LEFT JOIN shard_liveness h ON h.shard = s.low
        WHERE w.objsubid = 1 AND w.mode = 'ShareLock' AND (w.high << 32) + w.low = worker_lock
          AND w.pid <> pg_backend_pid() AND pg_has_role(a.usesysid, 'USAGE') AND (a.state LIKE 'idle%' OR a.wait_event_type = 'Client')
          AND a.state_change < clock_timestamp() - make_interval(secs => still_s)
        GROUP BY w.pid
        HAVING coalesce(max(h.committed_at), '-infinity') < clock_timestamp()
            - make_interval(secs => CASE WHEN bool_or(h.is_loading) THEN loads_s ELSE still_s END)
    )
    SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 2000) FROM still OFFSET 0) AS ended
$$;
REVOKE EXECUTE ON FUNCTION end_standing_still(bigint, bigint, float8, float8) FROM PUBLIC;

-- Sessions of a name of the caller's own process that hold a lock although it gave them up. Ended, and waited for 5 s each.
CREATE FUNCTION end_former_sessions(held_lock bigint, of_name text) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    WITH former AS MATERIALIZED (
        SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND (l.classid::bigint << 32) + l.objid::bigint = held_lock
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND a.application_name = of_name AND of_name LIKE 'emtrack %' AND a.pid <> pg_backend_pid()
          AND pg_has_role(a.usesysid, 'USAGE')
    )
    SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 5000) FROM former OFFSET 0) AS ended
$$;
REVOKE EXECUTE ON FUNCTION end_former_sessions(bigint, text) FROM PUBLIC;

CREATE FUNCTION end_standing_still_as_owner(worker_lock bigint, shard_locks bigint, still_s float8, loads_s float8) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT end_standing_still(worker_lock, shard_locks, still_s, loads_s) $$;
REVOKE EXECUTE ON FUNCTION end_standing_still_as_owner(bigint, bigint, float8, float8) FROM PUBLIC;
CREATE FUNCTION end_former_sessions_as_owner(held_lock bigint, of_name text) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT end_former_sessions(held_lock, of_name) $$;
REVOKE EXECUTE ON FUNCTION end_former_sessions_as_owner(bigint, text) FROM PUBLIC;
