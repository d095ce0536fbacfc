#!/bin/sh
# Run once by the postgres image, when it has made an empty database: makes the two roles of db/roles.sql.
set -eu

# \getenv, so that no password stands on a command line.
psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv owner_password MINUTEBOOK_OWNER_PASSWORD
\getenv app_password MINUTEBOOK_APP_PASSWORD
\i /etc/minutebook/roles.sql
SQL
