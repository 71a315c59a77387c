-- runs beside: 0.1.0

-- LISTEN channels. A notification of a change makes replicas drop the cached token, even if the
-- change was made in psql. Payloads contain keys and generations only.

-- amo_tokens: [integration, accountId, generation] when a column changes that a response depends
-- on. A re-sealed token keeps its generation and is not announced.
-- amo_accounts: the same, when an account appears, disappears, or changes its domain.
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

-- amo_integrations: the name, when anything but the pace bucket and the times of the mass guard
-- changes.
create function amo_integrations_notify() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and
     to_jsonb(new) - array['paceTokens', 'paceAt', 'codeTokens', 'codeAt', 'condemnedAt']
     = to_jsonb(old) - array['paceTokens', 'paceAt', 'codeTokens', 'codeAt', 'condemnedAt']
  then return null; end if;
  if tg_op = 'DELETE' then perform pg_notify('amo_integrations', old.name);
  else perform pg_notify('amo_integrations', new.name); end if;
  return null;
end
$$;
create trigger amo_integrations_notify after insert or update or delete on amo_integrations
  for each row execute function amo_integrations_notify();

-- amo_integrations: the breaker's key, when a breaker counts a failure, opens, stays open for
-- longer, or closes.
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

-- amo_deployment: the database was adopted by another deployment.
create function amo_deployment_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('amo_deployment', '');
  return null;
end
$$;
create trigger amo_deployment_notify after update of "deploymentId" on amo_deployment
  for each row execute function amo_deployment_notify();

-- amo_clients: a key, a role or a grant changed. Every replica reads all clients again.
create function amo_clients_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('amo_clients', '');
  return null;
end
$$;
create trigger amo_clients_notify after insert or update or delete on amo_clients
  for each statement execute function amo_clients_notify();
