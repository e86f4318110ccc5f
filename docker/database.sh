#!/bin/sh
# Of docker-compose.yml's PostgreSQL: runs once, in an empty volume.
# The gateway's role owns its database and is no superuser. The superuser is left without a
# password: it signs in at the socket inside the container, and nowhere else.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\getenv password POSTGRES_PASSWORD
CREATE ROLE llmgateway LOGIN NOSUPERUSER NOCREATEDB CREATEROLE PASSWORD :'password';
CREATE DATABASE llmgateway OWNER llmgateway;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
ALTER ROLE CURRENT_USER PASSWORD NULL;
SQL
