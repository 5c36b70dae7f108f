#!/bin/sh
# The owner of the database, and the roles in which the service works (docs/database.md). Runs once, when the cluster is made.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set password="$EMTRACK_PASSWORD" <<'SQL'
CREATE ROLE emtrack LOGIN PASSWORD :'password';
CREATE ROLE emtrack_worker NOLOGIN BYPASSRLS;
CREATE ROLE emtrack_pages NOLOGIN;
CREATE ROLE emtrack_gateway NOLOGIN;
GRANT emtrack_worker, emtrack_pages, emtrack_gateway TO emtrack;
CREATE DATABASE emtrack OWNER emtrack ENCODING 'UTF8' TEMPLATE template0;
SQL
