-- runs beside: 0.1.0

-- Services, monitoring and operators that may call the internal API.
create table amo_clients (
  -- The audit uses these names for other actors.
  name text primary key check (name not in ('operator', 'broker', 'database', 'nobody', 'system')),
  role text not null check (role in ('reader', 'monitor', 'operator')),
  -- [{"id", "hash", "createdAt", "expiresAt"}], two while a key is being replaced. id: public part
  -- of the key. hash: keyed hash of the client's name and the key. "expiresAt" null: valid until it
  -- is revoked.
  keys jsonb not null default '[]',
  -- [{"integration", "accountId"}]. "accountId" null: every account of the integration.
  grants jsonb not null default '[]',
  -- Keyed hash of name, role, keys and grants. The keys of a row that it does not fit are refused,
  -- so that a write to this table gives nobody more than the broker gave.
  mac text not null,
  "revokedAt" timestamptz,
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now()
);

-- The audit log. Writers append rows. Later one sealer at a time gives each row its place in a
-- chain of MACs. The checks allow only short lower-case words and numbers, so that no secret fits.
create table amo_audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  -- Name of a client, 'operator' (OPERATOR_KEY), 'nobody' (no valid key), or 'database' (a trigger
  -- below).
  actor text not null check (actor ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  -- The API's operation id, or the change that a trigger below recorded.
  action text not null check (action ~ '^[A-Za-z]{1,40}$'),
  integration text check (integration is null or integration ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  "accountId" bigint,
  generation bigint,
  outcome text not null check (outcome ~ '^[a-z0-9_]{1,40}$'),
  -- Reads are counted: one row represents this number of reads.
  times integer not null default 1,
  detail jsonb not null default '{}' check (length(detail::text) <= 1000 and not jsonb_path_exists(detail,
    '$.** ? (@.type() == "string" && !(@ like_regex "^[a-z0-9_-]{0,63}$"))')),
  -- The place in the chain, and the MAC over this row and the MAC before it. Null: not sealed yet.
  seq bigint unique,
  mac text
);
create index amo_audit_unsealed on amo_audit (id) where mac is null;
create index amo_audit_by_account on amo_audit (integration, "accountId", id);

-- One row: the newest link of the chain, and the signed last link that retention has removed.
create table amo_audit_head (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  seq bigint not null default 0,
  mac text not null default '',
  "cutSeq" bigint not null default 0,
  "cutMac" text not null default '',
  "cutSignature" text not null default ''
);
insert into amo_audit_head default values;

-- The triggers record changes by anybody, psql included, with the actor 'database'. An act of an
-- operator has a second row with its actor, written by the same transaction. `user` is the role that
-- PostgreSQL authenticated. `session` is only a claim: 'broker' if the connection names itself so.
-- The columns that a rotation changes are not covered; the ledger of refreshes has them. The sealing
-- of a value under another key is covered, too.
create function amo_audit_change(
  action text, integration text, account bigint, outcome text, detail jsonb default '{}')
returns void language sql as $$
  insert into amo_audit (actor, action, integration, "accountId", outcome, detail)
  values ('database', action, integration, account, outcome, detail || jsonb_build_object(
    'user', left(regexp_replace(lower(session_user::text), '[^a-z0-9_-]', '_', 'g'), 63),
    'session', case when current_setting('application_name') like 'amo-token-broker%'
      then 'broker' else 'other' end))
$$;

create function amo_tokens_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform amo_audit_change('accountCreated', new.integration, new."accountId", new.status);
  elsif tg_op = 'DELETE' then
    perform amo_audit_change('accountRemoved', old.integration, old."accountId", old.status);
  else
    if new.status <> old.status then
      perform amo_audit_change('accountStatus', new.integration, new."accountId", new.status);
    end if;
    if new.domain is distinct from old.domain then
      perform amo_audit_change('accountDomain', new.integration, new."accountId",
        case when new.domain is null then 'lost' else 'moved' end);
    end if;
    if new.paused <> old.paused then
      perform amo_audit_change('accountPaused', new.integration, new."accountId",
        case when new.paused then 'paused' else 'resumed' end);
    end if;
    if new.shadow <> old.shadow then
      perform amo_audit_change('accountShadow', new.integration, new."accountId",
        case when new.shadow then 'shadow' else 'ended' end);
    end if;
    if (new.integration, new."accountId", new."apiDomain", new.kind, new."approvedAt", new."createdAt")
      is distinct from
      (old.integration, old."accountId", old."apiDomain", old.kind, old."approvedAt", old."createdAt")
    then
      perform amo_audit_change('accountChanged', new.integration, new."accountId", 'changed');
    end if;
    -- A rotation and an import bring a new generation, and sealing again brings another key.
    if new.generation = old.generation and (
      new."refreshTokenFingerprint" is distinct from old."refreshTokenFingerprint"
      or amo_is_replaced(new."accessToken", old."accessToken")
      or amo_is_replaced(new."refreshToken", old."refreshToken"))
    then
      perform amo_audit_change('accountTokens', new.integration, new."accountId", 'replaced');
    end if;
  end if;
  return null;
end
$$;

-- Whether a sealed value was replaced by another one under the same key.
create function amo_is_replaced(value text, old_value text) returns boolean immutable language sql as $$
  select value is distinct from old_value
    and (value is null or old_value is null or amo_key_id(value) = amo_key_id(old_value))
$$;

create trigger amo_tokens_audit after insert or update or delete on amo_tokens
  for each row execute function amo_tokens_audit();

create function amo_integrations_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform amo_audit_change('integrationCreated', new.name, null, new.state);
  elsif tg_op = 'DELETE' then
    perform amo_audit_change('integrationRemoved', old.name, null, old.state);
  else
    if (new.state, new."stateReason") is distinct from (old.state, old."stateReason") then
      perform amo_audit_change('integrationState', new.name, null, new.state);
    end if;
    if (new."clientSecret", new."nextClientSecret")
      is distinct from (old."clientSecret", old."nextClientSecret")
    then
      perform amo_audit_change('integrationSecret', new.name, null,
        case when amo_is_replaced(new."clientSecret", old."clientSecret")
          or amo_is_replaced(new."nextClientSecret", old."nextClientSecret")
          then 'replaced' else 'resealed' end);
    end if;
    if (new.name, new.provider, new."clientId", new."redirectUri", new.profile, new."sandboxOrigin",
        new."acceptsInstalls", new.external, new."provisionalUntil", new."envDigest",
        new."pacePerSecond", new."createdAt")
      is distinct from
       (old.name, old.provider, old."clientId", old."redirectUri", old.profile, old."sandboxOrigin",
        old."acceptsInstalls", old.external, old."provisionalUntil", old."envDigest",
        old."pacePerSecond", old."createdAt")
    then
      perform amo_audit_change('integrationChanged', new.name, null, 'changed');
    end if;
  end if;
  return null;
end
$$;
create trigger amo_integrations_audit after insert or update or delete on amo_integrations
  for each row execute function amo_integrations_audit();

create function amo_clients_audit() returns trigger language plpgsql as $$
declare
  client amo_clients;
begin
  if tg_op = 'DELETE' then client := old; else client := new; end if;
  perform amo_audit_change('clientChanged', null, null,
    case when client."revokedAt" is null then lower(tg_op) else 'revoked' end,
    jsonb_build_object('client', client.name, 'role', client.role, 'keys', jsonb_array_length(client.keys),
      'grants', jsonb_array_length(client.grants)));
  return null;
end
$$;
create trigger amo_clients_audit after insert or update or delete on amo_clients
  for each row execute function amo_clients_audit();

create function amo_deployment_audit() returns trigger language plpgsql as $$
begin
  perform amo_audit_change('deploymentChanged', null, null, case
    when tg_op = 'UPDATE' and new."deploymentId" <> old."deploymentId" then 'adopted'
    when tg_op = 'UPDATE' and new."rootSecret" <> old."rootSecret" then 'root_secret'
    else lower(tg_op) end);
  return null;
end
$$;
create trigger amo_deployment_audit after insert or update or delete on amo_deployment
  for each row execute function amo_deployment_audit();

create function amo_truncate_audit() returns trigger language plpgsql as $$
begin
  perform amo_audit_change('tableTruncated', null, null, 'truncated',
    jsonb_build_object('table', tg_table_name));
  return null;
end
$$;
do $$
declare
  truncated text;
begin
  for truncated in
    select tablename from pg_tables
    where schemaname = current_schema() and tablename like 'amo\_%' and tablename <> 'amo_schema'
  loop
    execute format('create trigger %I after truncate on %I for each statement
      execute function amo_truncate_audit()', truncated || '_truncate', truncated);
  end loop;
end
$$;
