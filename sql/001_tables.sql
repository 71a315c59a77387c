-- Every table of the broker. Columns are camelCase and quoted, as in the amoCRM guide:
--   select "accountId", "expiresAt", "createdAt" from amo_tokens;
-- What is called "sealed" is text that only the key ring (ENCRYPTION_KEYS) can open.

-- One sequence for all accounts: a generation is never used twice, removal and re-onboarding included.
create sequence amo_generation;

-- One row: which deployment this database belongs to, and the sealed root of all keyed hashes.
create table amo_deployment (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  "deploymentId" text not null,
  "rootSecret" text not null,
  "createdAt" timestamptz not null default now()
);

create table amo_integrations (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  provider text not null check (provider in ('amocrm', 'kommo', 'custom')),
  "clientId" text not null,
  "clientSecret" text not null,
  "nextClientSecret" text,
  "redirectUri" text not null,
  profile jsonb not null default '{}',
  "sandboxOrigin" text,
  "acceptsInstalls" boolean not null default false,
  state text not null default 'running' check (state in ('running', 'paused', 'halted')),
  "stateReason" text,
  "lastErrorCode" text,
  "lastErrorAt" timestamptz,
  "envDigest" text,
  -- The pace bucket: tokens left at "paceAt", refilled at "pacePerSecond" up to "paceBurst".
  "pacePerSecond" double precision not null default 2 check ("pacePerSecond" > 0),
  "paceTokens" double precision not null default 4,
  "paceAt" timestamptz not null default now(),
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now()
);

create table amo_tokens (
  integration text not null references amo_integrations (name),
  "accountId" bigint not null check ("accountId" > 0),
  -- As the provider confirmed it. Null once another account has taken the name over.
  domain text,
  "apiDomain" text,
  kind text not null default 'oauth' check (kind in ('oauth', 'long_lived')),
  status text not null check (status in ('pending', 'active', 'reauth_required', 'disconnected')),
  -- Null: nobody expected the account; it is kept alive and handed to nobody.
  "approvedAt" timestamptz,
  "accessToken" text not null,
  "refreshToken" text,
  "refreshTokenFingerprint" text unique,
  generation bigint not null unique,
  -- When the provider issued the pair: orders two onboardings of one account.
  "issuedAt" timestamptz not null,
  "expiresAt" timestamptz not null,
  -- The promise: nothing rotates before it. Within a generation it only moves later.
  "refreshAt" timestamptz,
  -- The plan: when the scheduler tries. "refreshAt", or later after a failure, or earlier when a
  -- rotation was announced (401 reported, forced). Null: never by itself.
  "nextAttemptAt" timestamptz,
  "failedAttempts" integer not null default 0,
  "accessDeadAt" timestamptz,
  "refreshTokenExpiresAt" timestamptz,
  "lastReadAt" timestamptz,
  "lastRefreshAt" timestamptz,
  "lastErrorCode" text,
  "lastErrorAt" timestamptz,
  paused boolean not null default false,
  shadow boolean not null default false,
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now(),
  primary key (integration, "accountId"),
  unique (integration, domain),
  check (kind = 'long_lived' or ("refreshToken" is not null and "refreshTokenFingerprint" is not null))
);
create index amo_tokens_by_account on amo_tokens ("accountId");
create index amo_tokens_by_domain on amo_tokens (domain text_pattern_ops);
-- A condemned account's "nextAttemptAt" is its next look, which spends nothing.
create index amo_tokens_recheck on amo_tokens ("nextAttemptAt") where status = 'reauth_required';
create index amo_tokens_due on amo_tokens (integration, "nextAttemptAt")
  where status in ('active', 'pending') and kind = 'oauth' and not paused and not shadow;

-- The write-ahead ledger of refreshes. The claim is an insert: at most one unfinished row an account.
-- No foreign key: what was sent must be known after the account is removed.
create table amo_refresh_attempts (
  id bigint generated always as identity primary key,
  integration text not null,
  "accountId" bigint not null,
  generation bigint not null,
  "refreshTokenFingerprint" text not null,
  owner text not null,
  "leaseUntil" timestamptz not null,
  "sendCount" integer not null default 0,
  "claimedAt" timestamptz not null default clock_timestamp(),
  "sentAt" timestamptz,
  "finishedAt" timestamptz,
  outcome text check (outcome in ('committed', 'refused', 'not_sent', 'ambiguous', 'lost', 'superseded')),
  "outcomeCode" text,
  -- Of the refresh token that came of it, once committed: tells this pair from another one under the same claim.
  "committedFingerprint" text,
  "parkedPair" text,
  check (("finishedAt" is null) = (outcome is null))
);
create unique index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")
  where "finishedAt" is null;
create index amo_refresh_attempts_lease on amo_refresh_attempts ("leaseUntil") where "finishedAt" is null;
create index amo_refresh_attempts_sent on amo_refresh_attempts ("refreshTokenFingerprint");
create index amo_refresh_attempts_parked on amo_refresh_attempts (id) where "parkedPair" is not null;
create index amo_refresh_attempts_finished on amo_refresh_attempts ("finishedAt")
  where "parkedPair" is null;

-- Callbacks and hooks as they came; a code is sealed, its fingerprint unique for ever. The pair that a code
-- brought is kept here, sealed, until the account that it belongs to is confirmed and stored.
create table amo_inbox (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('callback', 'disconnect', 'secrets')),
  origin text not null check (origin in ('consent', 'install', 'exchange', 'manual', 'hook')),
  integration text not null,
  fingerprint text not null unique,
  secret text,
  pair text,
  "pairSentAt" timestamptz,
  referer text,
  "linkId" uuid,
  "receivedAt" timestamptz not null default now(),
  owner text,
  "leaseUntil" timestamptz,
  "presentedAt" timestamptz,
  "nextAttemptAt" timestamptz not null default now(),
  "finishedAt" timestamptz,
  outcome text,
  "accountId" bigint,
  domain text,
  check (("finishedAt" is null) = (outcome is null))
);
create index amo_inbox_open on amo_inbox ("nextAttemptAt") where "finishedAt" is null;

create table amo_connect_links (
  id uuid primary key default gen_random_uuid(),
  "tokenHash" text not null unique,
  integration text not null references amo_integrations (name) on delete cascade,
  mode text not null check (mode in ('popup', 'post_message')),
  "expectedAccount" text,
  "createdBy" text not null,
  "createdAt" timestamptz not null default now(),
  "expiresAt" timestamptz not null,
  "usedAt" timestamptz,
  "usedByAccountId" bigint
);

-- keys: [{"hash", "hint", "createdAt", "expiresAt"}], two while one is being replaced.
-- grants: [{"integration", "accountId"}], accountId null for every account of the integration.
create table amo_clients (
  name text primary key,
  role text not null check (role in ('reader', 'monitor', 'operator')),
  keys jsonb not null default '[]',
  grants jsonb not null default '[]',
  "revokedAt" timestamptz,
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now()
);

create table amo_audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  action text not null,
  integration text,
  "accountId" bigint,
  generation bigint,
  outcome text not null,
  times integer not null default 1,
  detail jsonb not null default '{}',
  -- The chain, written afterwards by the one sealer.
  mac text
);
create index amo_audit_unsealed on amo_audit (id) where mac is null;
create index amo_audit_by_account on amo_audit (integration, "accountId", id);

-- Channel amo_tokens: [integration, accountId, generation] when a column changes that an answer
-- depends on, psql included. A re-sealed token keeps its generation and wakes nobody.
-- Channel amo_accounts: the same, when an account appears, goes, or changes its domain.
create function amo_tokens_notify() returns trigger language plpgsql as $$
declare
  account amo_tokens;
begin
  if tg_op = 'DELETE' then account := old; else account := new; end if;
  if tg_op = 'UPDATE' and
     (new.generation, new.status, new.kind, new.domain, new."apiDomain", new."expiresAt",
      new."refreshAt", new."nextAttemptAt", new."accessDeadAt", new."lastErrorCode", new.paused, new.shadow)
     is not distinct from
     (old.generation, old.status, old.kind, old.domain, old."apiDomain", old."expiresAt",
      old."refreshAt", old."nextAttemptAt", old."accessDeadAt", old."lastErrorCode", old.paused, old.shadow)
  then return null; end if;
  perform pg_notify('amo_tokens',
    json_build_array(account.integration, account."accountId", account.generation)::text);
  if tg_op <> 'UPDATE' or new.domain is distinct from old.domain then
    perform pg_notify('amo_accounts',
      json_build_array(account.integration, account."accountId", account.generation)::text);
  end if;
  return null;
end
$$;
create trigger amo_tokens_notify after insert or update or delete on amo_tokens
  for each row execute function amo_tokens_notify();

-- Channel amo_integrations: the name, when anything but the pace bucket changes.
create function amo_integrations_notify() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and
     (to_jsonb(new) - 'paceTokens' - 'paceAt') = (to_jsonb(old) - 'paceTokens' - 'paceAt')
  then return null; end if;
  if tg_op = 'DELETE' then perform pg_notify('amo_integrations', old.name);
  else perform pg_notify('amo_integrations', new.name); end if;
  return null;
end
$$;
create trigger amo_integrations_notify after insert or update or delete on amo_integrations
  for each row execute function amo_integrations_notify();
