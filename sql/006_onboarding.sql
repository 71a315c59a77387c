-- runs beside: 0.1.0

-- Links that an administrator of an account opens to connect it.
create table amo_connect_links (
  id uuid primary key default gen_random_uuid(),
  -- Keyed hash of the token in the link's URL.
  "tokenHash" text not null unique,
  -- Null: the link belongs to a button, and the provider has not sent the secrets of its
  -- integration yet.
  integration text references amo_integrations (name) on delete cascade,
  -- How the consent page is opened.
  mode text not null check (mode in ('popup', 'post_message')),
  -- Id or subdomain that the link is for. Null: any account.
  "expectedAccount" text,
  -- Name of the client that asked for the link.
  "createdBy" text not null,
  "createdAt" timestamptz not null default now(),
  "expiresAt" timestamptz not null,
  "usedAt" timestamptz,
  "usedByAccountId" bigint,
  -- {"provider", "redirectUri", "sandboxOrigin", "profile", "mac"} of the integration that a button
  -- creates. The mac covers the others, because they decide where the provider's secrets go. Null:
  -- no button.
  external jsonb,
  -- When the provider sent the secrets of that integration.
  "secretsAt" timestamptz,
  -- Origin of the page that opened the link in a window and gets the result by postMessage. Null:
  -- none.
  "openerOrigin" text,
  check (integration is not null or external is not null)
);

-- Callbacks and disconnect hooks as they arrived. A code is presented once: "presentedAt" is set
-- before it is sent. The pair that it was exchanged for stays here until the account is confirmed
-- and stored.
create table amo_inbox (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('callback', 'disconnect')),
  -- consent: a connect link. install: inside the CRM. exchange: an API key. manual: a code by hand.
  -- hook: a disconnect hook.
  origin text not null check (origin in ('consent', 'install', 'exchange', 'manual', 'hook')),
  integration text not null,
  -- Keyed hash of the code (of a hook: its account and minute). When the row is removed, that of a
  -- code moves to amo_known_codes, so that none is taken twice.
  fingerprint text not null unique,
  -- Sealed. The code. Null once it was exchanged or has ended; null for hooks.
  secret text,
  -- Sealed. The pair that the code was exchanged for. Null once it is stored with its account.
  pair text,
  -- When the code was sent that the pair came from.
  "pairSentAt" timestamptz,
  -- Host of the account as the callback named it. Not yet confirmed.
  referer text,
  "linkId" uuid,
  -- Keyed hash of the browser that brought the code, or of its network where no cookie names one.
  -- Null where no browser is involved.
  "browserHash" text,
  -- The row of amo_exchanges that asked for this code.
  "exchangeId" uuid,
  "receivedAt" timestamptz not null default now(),
  -- The process start that works on it, and until when. Null: none.
  owner text,
  "leaseUntil" timestamptz,
  -- Set before the code is sent: a code that may have been sent is never sent again.
  "presentedAt" timestamptz,
  "nextAttemptAt" timestamptz not null default now(),
  "finishedAt" timestamptz,
  -- How it ended (src/onboarding/outcomes.ts). Null: not finished.
  outcome text,
  -- The account that it belongs to, once confirmed. For hooks: the account that was named.
  "accountId" bigint,
  domain text,
  check (("finishedAt" is null) = (outcome is null))
);
create index amo_inbox_open on amo_inbox ("nextAttemptAt") where "finishedAt" is null;
-- An exchange brings one code.
create unique index amo_inbox_by_exchange on amo_inbox ("exchangeId") where "exchangeId" is not null;
create index amo_inbox_by_link on amo_inbox ("linkId", "receivedAt") where "linkId" is not null;
create index amo_inbox_by_time on amo_inbox ("receivedAt");

-- Keyed hashes of the codes of removed rows (src/onboarding/retention.ts).
create table amo_known_codes (
  fingerprint text primary key
);

-- Requests to the provider for a code in exchange for a login and an API key (docs/provider.md,
-- part 6). The provider's server delivers the code to the callback.
create table amo_exchanges (
  id uuid primary key default gen_random_uuid(),
  integration text not null,
  domain text not null,
  -- Keyed hash of integration, domain and login. The provider accepts one request per user in five
  -- minutes.
  "userHash" text not null,
  "createdBy" text not null,
  "createdAt" timestamptz not null default clock_timestamp(),
  -- Set when the provider refused. Otherwise the row in amo_inbox has the outcome.
  outcome text,
  "finishedAt" timestamptz
);
create index amo_exchanges_by_user on amo_exchanges ("userHash", "createdAt");
