-- Advisory locks are everybody's in PostgreSQL: who has taken over the login of a gateway can hold those of shards, which then nobody
-- serves, or of alerts, which makes turns wait. deploy/postgres-gateways.sql takes them from everybody; where that was not done, workers
-- know such sessions and end them, as far as the owner may.

-- Whether a role is the owner's, or may work as the worker or as pages.
CREATE FUNCTION is_of_emtrack(role oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT pg_has_role(role, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER')
        OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN ('emtrack_worker', 'emtrack_pages') AND pg_has_role(role, r.oid, 'MEMBER'))
$$;

-- Sessions of others that hold an advisory lock here. Ended, and waited for 2 s each; how many there were. Twice, as in migration 43: with
-- the rights of whoever calls it, and with the owner's.
CREATE FUNCTION end_foreign_holders() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    WITH foreign_holders AS MATERIALIZED (
        SELECT DISTINCT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND NOT is_of_emtrack(a.usesysid) AND pg_has_role(a.usesysid, 'USAGE')
    )
    SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 2000) FROM foreign_holders OFFSET 0) AS ended
$$;
REVOKE EXECUTE ON FUNCTION end_foreign_holders() FROM PUBLIC;
CREATE FUNCTION end_foreign_holders_as_owner() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$ SELECT end_foreign_holders() $$;
REVOKE EXECUTE ON FUNCTION end_foreign_holders_as_owner() FROM PUBLIC;
