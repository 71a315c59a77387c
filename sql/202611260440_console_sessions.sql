-- runs beside: 0.1.0

-- Sessions of the console. A session ends at "expiresAt", after 30 minutes without a visit, with
-- the key that it was opened with, or by signing out (its row is deleted).
create table amo_sessions (
  -- Keyed hash of the token in the cookie.
  hash text primary key,
  -- client: opened with the key "keyId" of the client "name". operator_key: with OPERATOR_KEY,
  -- whose keyed hash is "keyHash". person: through OpenID Connect.
  kind text not null check (kind in ('client', 'operator_key', 'person')),
  name text not null,
  role text not null check (role in ('monitor', 'operator')),
  "keyId" text,
  "keyHash" text,
  -- Keyed hash of all columns above and "expiresAt": a write to this table gives nobody more.
  mac text not null,
  "createdAt" timestamptz not null default now(),
  "expiresAt" timestamptz not null,
  -- Written at most once a minute. Polls do not count.
  "lastSeenAt" timestamptz not null default now()
);

-- One-time links that open a session. A row is deleted when its link is used.
create table amo_sign_in_links (
  -- Keyed hash of the secret part of the link.
  hash text primary key,
  -- Whose session the link opens: as in amo_sessions.
  kind text not null check (kind in ('client', 'operator_key')),
  name text not null,
  role text not null check (role in ('monitor', 'operator')),
  "keyId" text,
  "keyHash" text,
  mac text not null,
  "createdAt" timestamptz not null default now(),
  "expiresAt" timestamptz not null
);

-- Who signed in through OpenID Connect is named as the provider names them, such as
-- anna@example.com. Names of clients contain no '@'.
alter table amo_audit drop constraint amo_audit_actor_check;
alter table amo_audit add constraint amo_audit_actor_check
  check (actor ~ '^[a-z0-9][a-z0-9-]{0,62}$' or actor ~ '^[a-z0-9][a-z0-9._+-]{0,62}@[a-z0-9.-]{1,100}$') not valid;

create trigger amo_sessions_truncate after truncate on amo_sessions for each statement
  execute function amo_truncate_audit();
create trigger amo_sign_in_links_truncate after truncate on amo_sign_in_links for each statement
  execute function amo_truncate_audit();
