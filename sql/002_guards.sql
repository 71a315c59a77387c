-- The guards of I10: what stops the broker before it spends or condemns more than a handful of accounts.

-- What a claim may do. 'refresh': send, while no breaker is open. 'canary': the one send through an open breaker.
-- 'verdict': nothing but a probe.
alter table amo_refresh_attempts add column purpose text not null default 'refresh'
  check (purpose in ('refresh', 'canary', 'verdict'));

-- Sends of an integration that are not answered yet. Volatile on purpose: each call looks anew, so that a claim that
-- waited for the integration's row counts what the one before it has just claimed.
create function amo_unanswered(of_integration text) returns bigint language sql volatile as $$
  select count(*) from amo_refresh_attempts
  where integration = of_integration and "finishedAt" is null and purpose <> 'verdict'
    and "leaseUntil" > clock_timestamp()
$$;

-- When the newest condemnations were, as far back as the mass guard looks: counted on the row that is locked for it.
alter table amo_integrations add column "condemnedAt" timestamptz[] not null default '{}';

-- One row a platform (the sandbox is one of its own), and one an integration for refusals of its configuration.
create table amo_breakers (
  key text primary key,
  -- [{"account", "code", "isAmbiguous", "atMs"}], one an account, of the last minute.
  failures jsonb not null default '[]',
  -- Null: closed. Open until then; from then on one claim may try, and moves it on while it does.
  "openUntil" timestamptz,
  "openedAt" timestamptz,
  -- The failure that opened it.
  reason text,
  -- How often it was opened in a row: each time it stays open for twice as long.
  openings integer not null default 0,
  "closedAt" timestamptz
);

-- Which breakers an integration stands behind.
create view amo_breaker_scopes as
  select name as integration, 'platform' as scope,
    provider || coalesce(' at ' || "sandboxOrigin", '') as key
  from amo_integrations
  union all
  select name, 'integration', 'integration ' || name from amo_integrations;

create view amo_open_breakers as
  select scopes.integration, breakers.*
  from amo_breaker_scopes scopes join amo_breakers breakers using (key)
  where breakers."openUntil" is not null;

-- Channel amo_integrations, too, when a breaker counts a failure, opens, stays open for longer, or closes.
create function amo_breakers_notify() returns trigger language plpgsql as $$
begin
  if (new."openUntil", new.failures) is distinct from (old."openUntil", old.failures) then
    perform pg_notify('amo_integrations', new.key);
  end if;
  return null;
end
$$;
create trigger amo_breakers_notify after update on amo_breakers
  for each row execute function amo_breakers_notify();

-- The same channel when somebody condemns: only a change of state is news.
create or replace function amo_integrations_notify() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and
     (to_jsonb(new) - 'paceTokens' - 'paceAt' - 'condemnedAt') = (to_jsonb(old) - 'paceTokens' - 'paceAt' - 'condemnedAt')
  then return null; end if;
  if tg_op = 'DELETE' then perform pg_notify('amo_integrations', old.name);
  else perform pg_notify('amo_integrations', new.name); end if;
  return null;
end
$$;

-- Channel amo_deployment: the database was adopted by another deployment.
create function amo_deployment_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('amo_deployment', '');
  return null;
end
$$;
create trigger amo_deployment_notify after update of "deploymentId" on amo_deployment
  for each row execute function amo_deployment_notify();
