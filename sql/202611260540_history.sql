-- runs beside: 0.1.0

-- One row: the daily verification of what the brokers recorded about refreshes (docs/operations.md,
-- "Verify the history"). A replica takes the day's run by setting "startedAt". Every replica shows
-- the result of the last one.
create table amo_history_check (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  -- When a replica began the newest run. The first one is due a day after the migration.
  "startedAt" timestamptz not null default clock_timestamp(),
  -- When the last run ended that was not broken off, and its result. Null: none has ended yet.
  "finishedAt" timestamptz,
  attempts bigint not null default 0,
  violations integer not null default 0
);
insert into amo_history_check default values;
