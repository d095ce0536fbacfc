-- Run once, as a superuser, in a database made for Minutebook, before the first migration.
--
-- minutebook_owner  migrates: owns the tables and the functions that append and make partitions.
-- minutebook_app    serves: may read, and execute the owner's functions; nothing else.
--
-- psql -v owner_password=... -v app_password=... -f db/roles.sql minutebook
create role minutebook_owner login password :'owner_password';
create role minutebook_app login password :'app_password';

-- No temporary tables, and no functions in the schema of a session: neither role has a use for them.
do $$ begin
  execute format('revoke temporary on database %I from public', current_database());
end $$;

grant create, usage on schema public to minutebook_owner;
grant usage on schema public to minutebook_app;

-- Whatever the owner makes from here on, partitions to come included.
alter default privileges for role minutebook_owner in schema public grant select on tables to minutebook_app;
alter default privileges for role minutebook_owner in schema public grant execute on functions to minutebook_app;
