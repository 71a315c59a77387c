-- The other ways in, and the way out.

-- An account that an operator removed: a pair of it, in whatever answer, copy or disk it comes back, is dropped up to this
-- generation. Without it a refresh that was under way would be parked, and its pair be kept for ever.
create table amo_removals (
  integration text not null,
  "accountId" bigint not null,
  generation bigint not null,
  "removedAt" timestamptz not null default clock_timestamp(),
  -- When the copies outside of this database were removed; null: that is still to be done.
  "clearedAt" timestamptz,
  primary key (integration, "accountId")
);

-- Made by a button, in one account alone (provider page, part 9). Provisional until the code that follows is exchanged;
-- after "provisionalUntil" it is removed.
alter table amo_integrations add column external boolean not null default false;
alter table amo_integrations add column "provisionalUntil" timestamptz;

-- A link for a button that creates the integration has none until the provider has sent its secrets.
-- external: {"provider", "redirectUri", "sandboxOrigin", "profile"} of the integration to be made.
alter table amo_connect_links alter column integration drop not null;
alter table amo_connect_links add column external jsonb;
alter table amo_connect_links add column "secretsAt" timestamptz;
alter table amo_connect_links add check (integration is not null or external is not null);
-- Of the page that opened the link in a window of its own, and is told how it ended.
alter table amo_connect_links add column "openerOrigin" text;

-- Codes that the provider's server is to bring for a login and an API key (provider page, part 6).
create table amo_exchanges (
  id uuid primary key default gen_random_uuid(),
  integration text not null,
  domain text not null,
  -- Keyed: of integration, domain and login. The provider takes one in five minutes.
  "userHash" text not null,
  "createdBy" text not null,
  "createdAt" timestamptz not null default clock_timestamp(),
  -- Set when the provider refused; otherwise the inbox has how it ended.
  outcome text,
  "finishedAt" timestamptz
);
create index amo_exchanges_by_user on amo_exchanges ("userHash", "createdAt");
alter table amo_inbox add column "exchangeId" uuid;
create index amo_inbox_by_exchange on amo_inbox ("exchangeId") where "exchangeId" is not null;
create index amo_inbox_by_time on amo_inbox ("receivedAt");
