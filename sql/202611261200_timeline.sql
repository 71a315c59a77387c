-- runs beside: 0.1.0

-- One row: the timeline of PostgreSQL for which the generations were last made safe. A promoted standby
-- may lack the newest commits, and then gives out their generations again.
create table amo_timeline (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  -- Grows with every promotion. Null: the server does not show it.
  timeline integer,
  -- When it was first seen. Null: at the time of this migration.
  "seenAt" timestamptz
);

-- The timeline of the server; null where the role may not see it.
create function amo_current_timeline() returns integer language plpgsql volatile as $$
begin
  return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int;
exception when others then
  return null;
end
$$;
insert into amo_timeline (timeline) values (amo_current_timeline());

-- Whether the server was promoted, and the generations are not made safe since.
create function amo_is_failed_over() returns boolean language sql volatile as $$
  select coalesce((select timeline <> amo_current_timeline() from amo_timeline), false)
$$;

-- As in 004_refresh_attempts.sql. The first call on a new timeline is certain, and records it. The lock
-- is held until the transaction ends, so a second call sees the record.
create or replace function amo_raise_generations(known bigint, is_certain boolean)
returns void language plpgsql as $$
declare
  used bigint;
  last bigint;
begin
  perform pg_advisory_xact_lock(7301114);
  select last_value into last from amo_generation;
  select greatest(known, last, (select max(generation) from amo_tokens),
    (select max(generation) from amo_refresh_attempts), (select max(generation) from amo_removals))
    into used;
  if is_certain or used > last or amo_is_failed_over() then
    perform setval('amo_generation', used + 1000000);
  end if;
  update amo_timeline set timeline = amo_current_timeline(), "seenAt" = clock_timestamp()
  where amo_is_failed_over();
end
$$;

-- The next generation. A response in flight may be the first commit on a promoted standby, before any
-- replica has noticed the failover.
create function amo_next_generation() returns bigint language plpgsql volatile as $$
begin
  if amo_is_failed_over() then perform amo_raise_generations(0, false); end if;
  return nextval('amo_generation');
end
$$;
