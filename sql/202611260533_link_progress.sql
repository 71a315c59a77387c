-- runs beside: 0.1.0

-- What became of a link (amo_connect_links), for operators who watch it.
-- When somebody opened it first. Previews in mail and chat open links, too.
alter table amo_connect_links add column "openedAt" timestamptz;
-- Why its last callback was refused before it was stored, and when. Null: none was.
alter table amo_connect_links add column problem text check (problem ~ '^[a-z_]{1,40}$');
alter table amo_connect_links add column "problemAt" timestamptz;
-- Those that people have made. The broker makes one for each account that needs a person.
create index amo_connect_links_newest on amo_connect_links ("createdAt") where "createdBy" <> 'broker';

-- When a client last read a token of an integration (amo_audit).
create index amo_audit_last_reads on amo_audit (actor, integration, at)
  where action = 'readToken' and integration is not null;

-- Refusals of the last day, by integration (amo_refresh_attempts).
create index amo_refresh_attempts_refused on amo_refresh_attempts (integration, "finishedAt")
  where "outcomeCode" is not null;
