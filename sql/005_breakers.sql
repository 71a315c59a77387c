-- runs beside: 0.1.0

-- Breakers stop all sends after failures. One row per platform (a sandbox counts as a platform of
-- its own), and one per integration for refusals of its configuration.
--
--    closed ── failures of several accounts ──► open ── "openUntil" is over ──► one canary is claimed
--      ▲                                         ▲                                │ probe, then one send
--      │                                         └──────── it failed: twice as long ──────┤
--      └──────────────────────────────────────────────────────── it succeeded ────────────┘
create table amo_breakers (
  -- As amo_breaker_scopes builds it: 'amocrm', 'amocrm at http://sandbox:3002', 'integration
  -- amocrm'.
  key text primary key,
  -- [{"account", "code", "isAmbiguous", "atMs"}], one per account, of the last minute.
  failures jsonb not null default '[]',
  -- Null: closed. Otherwise open until then. After that one claim may try, and postpones
  -- "openUntil" meanwhile.
  "openUntil" timestamptz,
  "openedAt" timestamptz,
  -- The code of the failure that opened it.
  reason text,
  -- Times that it opened in a row. Each time it stays open twice as long.
  openings integer not null default 0,
  "closedAt" timestamptz
);

-- The breakers that an integration depends on.
create view amo_breaker_scopes as
  select name as integration, 'platform' as scope,
    provider || coalesce(' at ' || "sandboxOrigin", '') as key
  from amo_integrations
  union all
  select name, 'integration', 'integration ' || name from amo_integrations;

-- Open breakers, once for each integration that depends on them.
create view amo_open_breakers as
  select scopes.integration, breakers.*
  from amo_breaker_scopes scopes join amo_breakers breakers using (key)
  where breakers."openUntil" is not null;
