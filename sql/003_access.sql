-- Channel amo_clients: a key, a role or a grant changed, psql included. Every replica reads the clients again.
-- keys are [{"id", "hash", "createdAt", "expiresAt"}]; hash is keyed by the deployment's root secret.
create function amo_clients_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('amo_clients', '');
  return null;
end
$$;
create trigger amo_clients_notify after insert or update or delete on amo_clients
  for each statement execute function amo_clients_notify();

-- The audit. Writers append; one sealer at a time gives each row its place in the chain, "seq", and its "mac".
-- The checks leave no room for a secret: names and words in lower case, short; numbers; nothing else.
alter table amo_audit add column seq bigint unique;
alter table amo_audit add check (actor ~ '^[a-z0-9][a-z0-9-]{0,62}$');
alter table amo_audit add check (action ~ '^[A-Za-z]{1,40}$');
alter table amo_audit add check (outcome ~ '^[a-z0-9_]{1,40}$');
alter table amo_audit add check (integration is null or integration ~ '^[a-z0-9][a-z0-9-]{0,62}$');
alter table amo_audit add check (length(detail::text) <= 1000 and not jsonb_path_exists(detail,
  '$.** ? (@.type() == "string" && !(@ like_regex "^[a-z0-9_-]{0,63}$"))'));

-- One row: the last link of the chain, and the last one that retention cut off, signed.
create table amo_audit_head (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  seq bigint not null default 0,
  mac text not null default '',
  "cutSeq" bigint not null default 0,
  "cutMac" text not null default '',
  "cutSignature" text not null default ''
);
insert into amo_audit_head default values;

-- Whoever changes what matters, psql included: actor "broker", or "database" for anybody else. A rotation is no
-- change here, the ledger has it.
create function amo_audit_change(action text, integration text, account bigint, outcome text)
returns void language sql as $$
  insert into amo_audit (actor, action, integration, "accountId", outcome)
  values (case when current_setting('application_name') like 'amo-token-broker%' then 'broker' else 'database' end,
    action, integration, account, outcome)
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
  end if;
  return null;
end
$$;
create trigger amo_tokens_audit after insert or update or delete on amo_tokens
  for each row execute function amo_tokens_audit();

create function amo_integrations_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform amo_audit_change('integrationCreated', new.name, null, new.state);
  elsif tg_op = 'DELETE' then
    perform amo_audit_change('integrationRemoved', old.name, null, old.state);
  elsif new.state <> old.state then
    perform amo_audit_change('integrationState', new.name, null, new.state);
  elsif (new."clientId", new."redirectUri", new.profile, new."sandboxOrigin", new."acceptsInstalls")
    is distinct from (old."clientId", old."redirectUri", old.profile, old."sandboxOrigin", old."acceptsInstalls")
  then
    perform amo_audit_change('integrationChanged', new.name, null, 'changed');
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
  insert into amo_audit (actor, action, outcome, detail)
  values (case when current_setting('application_name') like 'amo-token-broker%' then 'broker' else 'database' end,
    'clientChanged', case when client."revokedAt" is null then lower(tg_op) else 'revoked' end,
    jsonb_build_object('client', client.name, 'role', client.role, 'keys', jsonb_array_length(client.keys),
      'grants', jsonb_array_length(client.grants)));
  return null;
end
$$;
create trigger amo_clients_audit after insert or update or delete on amo_clients
  for each row execute function amo_clients_audit();
