-- Takes from everybody what a login that was taken over could hold workers up with, although it may write nothing: advisory locks, large
-- objects and temporary tables. emtrack's own roles keep what they need. As a superuser, once, in the database (docs/scale.md):
--     psql --username postgres --file postgres-gateways.sql
-- where it has another name than emtrack, with that in the next line. Again after the database was restored into another cluster.
\connect emtrack
DO $$
DECLARE
    owner regrole := (SELECT datdba FROM pg_database WHERE datname = current_database());
    function regprocedure;
    role regrole;
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR function IN
        SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
            AND (proname LIKE 'pg\_advisory\_%' OR proname LIKE 'pg\_try\_advisory\_%' OR proname LIKE 'lo\_%'
                 OR proname IN ('loread', 'lowrite'))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
        FOR role IN
            SELECT oid FROM pg_roles WHERE oid = owner OR (rolname IN ('emtrack_worker', 'emtrack_pages') AND function::text LIKE '%advisory%')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', function, role);
        END LOOP;
    END LOOP;
END $$;
