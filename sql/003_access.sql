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
