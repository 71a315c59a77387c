-- runs beside: 0.1.0

-- One sequence for all accounts: no generation is ever used twice, not even after an account was
-- removed and onboarded again.
create sequence amo_generation;

-- One account of one integration, with its current token pair. Only src/pairs/ writes the columns
-- of the pair.
--
-- Status of an account ("approvedAt" decides between active and pending):
--
--   (new) ── expected: connect link, import, API key ───────────► active
--   (new) ── not expected ──────────────────────────────────────► pending
--   pending ── approved by an operator ─────────────────────────► active
--   active, pending ── the pair is dead: a permanent refusal, ──► reauth_required
--                      and a probe that does not say "alive"
--   active, pending ── disconnect hook, and a "dead" probe ─────► disconnected
--   reauth_required ── a late commit, a parked or stored ───────► active or pending
--                      response, or a probe that says "alive"
--   any ── a new consent or import ─────────────────────────────► active or pending
--
-- A removed account has no row here. amo_removals remembers it.
create table amo_tokens (
  integration text not null references amo_integrations (name),
  "accountId" bigint not null check ("accountId" > 0),
  -- The account's host, as the provider confirmed it. Null: the host belongs to another account
  -- now.
  domain text,
  -- The host for API calls, where it differs from `domain`.
  "apiDomain" text,
  -- oauth: refreshed here. long_lived: an access token without a refresh token; it ends at
  -- "expiresAt".
  kind text not null default 'oauth' check (kind in ('oauth', 'long_lived')),
  status text not null check (status in ('pending', 'active', 'reauth_required', 'disconnected')),
  -- When the account was expected or approved. Null: its token is kept alive and not served.
  "approvedAt" timestamptz,

  -- The pair: the columns up to "issuedAt" change together, and only where `generation` and
  -- "refreshTokenFingerprint" are still the ones that the writer read.

  -- Sealed.
  "accessToken" text not null,
  -- Sealed. Null for long_lived.
  "refreshToken" text,
  -- Keyed hash of the refresh token. Identifies a token in attempts and comparisons without
  -- revealing it.
  "refreshTokenFingerprint" text unique,
  generation bigint not null unique,
  -- When the provider issued the pair, by its own clock if that is within ten minutes of ours. Orders
  -- two onboardings of one account, and nothing else.
  "issuedAt" timestamptz not null,
  -- When the access token ends.
  "expiresAt" timestamptz not null,
  -- The promise to readers: no scheduled rotation starts before it. Fixed within a generation. Null
  -- for long_lived.
  "refreshAt" timestamptz,
  -- When the broker learned that the provider refuses the access token before "expiresAt". From
  -- then on the token is not served.
  "accessDeadAt" timestamptz,
  -- When the refresh token ends unless it is used (three months).
  "refreshTokenExpiresAt" timestamptz,

  -- The plan: when the scheduler tries next. Equal to "refreshAt", except that it is later after a
  -- failure and for an idle account, and earlier when a rotation was announced (reported 401,
  -- forced). For reauth_required: the next probe. Null: never.
  "nextAttemptAt" timestamptz,
  -- Failures in a row: the exponent of the backoff. For reauth_required: the number of probes.
  "failedAttempts" integer not null default 0,
  -- Precise to six hours, so that reads rarely write.
  "lastReadAt" timestamptz,
  "lastRefreshAt" timestamptz,
  -- When the access token was last checked in the background.
  "checkedAt" timestamptz,
  -- When a check found both tokens refused. A second one, a minute later, is believed.
  "suspectAt" timestamptz,
  -- Why the last attempt failed. Null: it did not.
  "lastErrorCode" text,
  "lastErrorAt" timestamptz,
  -- An operator stopped refreshes of this account. Its token is served while it lives.
  paused boolean not null default false,
  -- Another service refreshes the pair. It is served here and never refreshed.
  shadow boolean not null default false,
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now(),
  primary key (integration, "accountId"),
  unique (integration, domain),
  check (kind = 'long_lived' or ("refreshToken" is not null and "refreshTokenFingerprint" is not null))
);

-- Returns whether the plan is more than a day after the promise, as for idle accounts, which are
-- refreshed monthly and after all others. A plan that a failure has postponed does not count.
create function amo_is_idle(t amo_tokens) returns boolean immutable language sql as $$
  select coalesce(t."failedAttempts" = 0 and extract(epoch from t."nextAttemptAt" - t."refreshAt") > 86400, false)
$$;

-- Returns the id of the key that a value is sealed under. With the indexes the key check visits
-- each key and not each row.
create function amo_key_id(sealed text) returns text immutable parallel safe language sql as $$
  select case when sealed ~ '^[A-Za-z0-9_-]{1,32}\.' then split_part(sealed, '.', 1) else 'unreadable' end
$$;

create index amo_tokens_checked on amo_tokens (integration, "checkedAt" nulls first)
  where status = 'active' and kind = 'oauth';
create index amo_tokens_by_account on amo_tokens ("accountId");
create index amo_tokens_by_domain on amo_tokens (domain text_pattern_ops);
create index amo_tokens_recheck on amo_tokens ("nextAttemptAt") where status = 'reauth_required';
create index amo_tokens_due on amo_tokens (integration, amo_is_idle(amo_tokens), "nextAttemptAt")
  where status in ('active', 'pending') and kind = 'oauth' and not paused and not shadow;
create index amo_tokens_access_key on amo_tokens (amo_key_id("accessToken"));
create index amo_tokens_refresh_key on amo_tokens (amo_key_id("refreshToken")) where "refreshToken" is not null;

-- Accounts that an operator removed. A pair of such an account that comes back (a late response, a
-- copy, a parked pair) is dropped up to this generation. Without this row it would be parked and
-- kept for ever.
create table amo_removals (
  integration text not null,
  "accountId" bigint not null,
  -- The newest generation that existed when the account was removed.
  generation bigint not null,
  "removedAt" timestamptz not null default clock_timestamp(),
  -- When the copies outside this database were removed. Null: not yet.
  "clearedAt" timestamptz,
  primary key (integration, "accountId")
);
