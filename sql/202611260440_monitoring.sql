-- runs beside: 0.1.0

-- Accounts in use whose refresh is late: few, unless refreshes do not work. Metrics count those
-- whose token has a tenth of its life left (src/monitoring/database-snapshot.ts).
create index amo_tokens_late on amo_tokens (integration, amo_is_idle(amo_tokens), "refreshAt")
  where status = 'active' and kind = 'oauth' and not paused and not shadow;

-- Access tokens that the provider refused within the time that readers were promised.
create table amo_broken_promises (
  integration text not null,
  "accountId" bigint not null,
  generation bigint primary key,
  -- When the provider refused the access token.
  "deadAt" timestamptz not null default clock_timestamp(),
  -- When a refresh of the same grant worked: it is alive, so somebody has rotated the token. Null:
  -- not yet, or the customer has revoked the grant, which breaks no promise.
  "confirmedAt" timestamptz
);

-- The end of the promise, as src/pairs/plan.ts computes it: before the planned rotation, and
-- earlier when a rotation was announced.
create function amo_promise_end(t amo_tokens) returns timestamptz language sql stable as $$
  select planned - least(interval '30 seconds', (t."expiresAt" - planned) / 5)
  from (select least(t."refreshAt", t."nextAttemptAt") as planned) plan
$$;

create function amo_tokens_dead_early() returns trigger language plpgsql as $$
begin
  if clock_timestamp() < amo_promise_end(old) then
    insert into amo_broken_promises (integration, "accountId", generation)
      values (old.integration, old."accountId", old.generation) on conflict do nothing;
  end if;
  return null;
end
$$;
create trigger amo_tokens_dead_early after update on amo_tokens for each row
  when (old."accessDeadAt" is null and new."accessDeadAt" is not null
    and new.generation = old.generation and old."refreshAt" is not null and not old.shadow)
  execute function amo_tokens_dead_early();

-- A new consent leaves "lastRefreshAt" as it is.
create function amo_tokens_grant_alive() returns trigger language plpgsql as $$
begin
  update amo_broken_promises set "confirmedAt" = clock_timestamp()
    where generation = old.generation and "confirmedAt" is null;
  return null;
end
$$;
create trigger amo_tokens_grant_alive after update on amo_tokens for each row
  when (old."accessDeadAt" is not null and new.generation <> old.generation
    and new."lastRefreshAt" is distinct from old."lastRefreshAt")
  execute function amo_tokens_grant_alive();
