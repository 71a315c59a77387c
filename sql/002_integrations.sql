-- runs beside: 0.1.0

-- One set of credentials at one platform. The integrations `amocrm` and `kommo` come from the
-- environment, the others from the API.
create table amo_integrations (
  name text primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  -- The platform: a name of src/provider/profile-table.ts, which decides hosts, URLs and encodings.
  provider text not null,
  "clientId" text not null,
  -- Sealed.
  "clientSecret" text not null,
  -- Sealed. When the provider refuses "clientSecret", the two are swapped. Null: none.
  "nextClientSecret" text,
  -- Sealed. The client secret that the provider accepted last. It proves a change of hosts. Null:
  -- none yet.
  "provenSecret" text,
  "redirectUri" text not null,
  -- Fields of the platform's profile that this integration overrides.
  profile jsonb not null default '{}',
  -- Every call goes to this sandbox. Null: the real provider. Never changes after creation.
  "sandboxOrigin" text,
  -- Whether callbacks without a connect link (installations inside the CRM) are accepted.
  "acceptsInstalls" boolean not null default false,
  -- Created by a button, for one account only (docs/provider.md, part 9).
  external boolean not null default false,
  -- Set while `external` and no code was exchanged yet. The integration is removed after this time.
  "provisionalUntil" timestamptz,
  -- running: sends. paused: an operator stopped it. halted: the mass guard stopped it; an operator
  -- resumes it.
  state text not null default 'running' check (state in ('running', 'paused', 'halted')),
  -- Why it is halted, or who paused it.
  "stateReason" text,
  -- Why the provider refuses the integration as a whole, such as a wrong client secret. Null: it
  -- does not.
  "lastErrorCode" text,
  "lastErrorAt" timestamptz,
  -- Times of the newest accounts that became reauth_required, within the window of the mass guard.
  -- Stored here, because the guard counts while it locks this row.
  "condemnedAt" timestamptz[] not null default '{}',
  -- Keyed hash of the values in the environment that were applied last. Null: not from the
  -- environment.
  "envDigest" text,
  -- The pace bucket: "paceTokens" were left at "paceAt", and "pacePerSecond" are added per second.
  -- The code caps it at max(4, 2 × "pacePerSecond") (src/claims/pace.ts). A claim takes one token.
  "pacePerSecond" double precision not null default 2 check ("pacePerSecond" > 0),
  "paceTokens" double precision not null default 4,
  "paceAt" timestamptz not null default now(),
  -- The lane of codes, a tenth of the pace, which the other lanes cannot use up (src/claims/pace.ts).
  "codeTokens" double precision not null default 2,
  "codeAt" timestamptz not null default now(),
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now()
);
