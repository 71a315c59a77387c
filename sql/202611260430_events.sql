-- runs beside: 0.1.0

-- What happened, for webhooks, messages and the stream (docs/events.md). The transaction that
-- changes a state inserts the event, by the triggers below, psql included. Rows contain names,
-- numbers and code words; no secret and no text of a stranger fits. Texts are made when an event is
-- shown.
--
-- A new event has no position, because the order of insertion is not the order of commits. One
-- sequencer at a time gives positions to committed events and creates their deliveries in the same
-- transaction. Readers and deliveries use only positions, so that no later commit can appear behind
-- a reader.
create table amo_events (
  -- Identifies the event everywhere. Repeated deliveries have the same id.
  id uuid primary key default gen_random_uuid(),
  -- The order of insertion. Of one account it is the order of commits, because its row was locked.
  inserted bigint generated always as identity unique,
  type text not null check (type ~ '^[a-z_]{1,30}\.[a-z_]{1,30}$'),
  at timestamptz not null default clock_timestamp(),
  -- It happened while PostgreSQL could not be written to, and was inserted later.
  delayed boolean not null default false,
  integration text check (integration ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  "accountId" bigint,
  domain text check (domain ~ '^[a-z0-9.-]{1,253}$'),
  generation bigint,
  -- The state after the change.
  state text check (state ~ '^[a-z_]{1,40}$'),
  -- Why, as a code.
  reason text check (reason ~ '^[a-z0-9_]{1,40}$'),
  -- What else belongs to the type: docs/events.md lists it.
  detail jsonb not null default '{}' check (length(detail::text) <= 1000 and not jsonb_path_exists(detail,
    '$.** ? (@.type() == "string" && !(@ like_regex "^[a-zA-Z0-9_.:/ -]{0,255}$"))')),
  -- Only this endpoint gets the event. Null: every endpoint whose filter it passes.
  "endpointId" uuid,
  -- Prevents that several replicas report the same fact. Null: the event is a change of a row.
  "dedupeKey" text unique,
  -- Set by the sequencer, without gaps within a batch, growing for ever. Null: not sequenced yet.
  position bigint unique,
  -- The number of the event among those of its account, from 1. Set with the position.
  "accountSequence" bigint
);
create index amo_events_unsequenced on amo_events (inserted) where position is null;
create index amo_events_by_account on amo_events (integration, "accountId", "accountSequence")
  where "accountId" is not null;
create index amo_events_by_type on amo_events (type, integration, at);

-- One row: the greatest position. The transaction that has locked it is the sequencer.
create table amo_event_head (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  position bigint not null default 0
);
insert into amo_event_head default values;

-- Where events are delivered.
create table amo_endpoints (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  kind text not null check (kind in ('webhook', 'telegram', 'slack')),
  -- Sealed. The URL that messages are sent to. For Telegram and Slack it holds the secret.
  target text not null,
  -- The origin of the target. Lists, errors and spans show only this.
  origin text not null,
  -- Sealed. The secret of a webhook. Null for the other kinds.
  "signingSecret" text,
  -- Sealed. The secret before it. Signatures with it are sent, too, until "previousUntil".
  "previousSecret" text,
  "previousUntil" timestamptz,
  -- The language of the messages.
  language text not null default 'en' check (language in ('en', 'ru', 'uk', 'es')),
  -- Types of events that are delivered. Null: all.
  types text[],
  -- Integrations whose events are delivered. Events of no integration are delivered always. Null:
  -- all.
  integrations text[],
  -- Whether many accounts of one integration, and an account that keeps changing, are one message.
  grouped boolean not null default true,
  state text not null default 'active' check (state in ('active', 'disabled')),
  -- Why it is disabled, as a code.
  "disabledReason" text,
  -- Since when no delivery has succeeded. Null: the last one did.
  "failingSince" timestamptz,
  "lastSuccessAt" timestamptz,
  -- Why the last delivery failed, as a code. Null: it did not.
  "lastErrorCode" text,
  "createdBy" text not null,
  "createdAt" timestamptz not null default now(),
  "updatedAt" timestamptz not null default now()
);

-- Messages on their way to an endpoint. The sequencer inserts them; senders take those that are due
-- under a lease.
create table amo_deliveries (
  id bigint generated always as identity primary key,
  "endpointId" uuid not null references amo_endpoints (id) on delete cascade,
  -- The id that the receiver sees: of a single one the event's id. It stays when it is repeated.
  "messageId" uuid not null,
  -- group: accounts of one integration that have to be authorized again. flapping: changes of one
  -- account that keeps changing.
  kind text not null default 'single' check (kind in ('single', 'group', 'flapping')),
  -- The events that the message reports, the oldest first.
  "eventIds" uuid[] not null,
  integration text,
  -- Null for a group.
  "accountId" bigint,
  -- Earlier deliveries of the same accounts. While one of them is pending with fewer than three
  -- failed attempts, this one waits.
  "afterIds" bigint[] not null default '{}',
  -- grouped: it was merged into another row and is never sent.
  state text not null default 'pending'
    check (state in ('pending', 'delivered', 'failed', 'cancelled', 'grouped')),
  -- Failed attempts.
  attempts integer not null default 0,
  "nextAttemptAt" timestamptz not null default clock_timestamp(),
  -- The claim of a sender, and until when. Events are added to a row only while it has no lease and
  -- no failed attempt.
  owner text,
  "leaseUntil" timestamptz,
  "lastStatus" integer,
  -- Why the last attempt failed, as a code.
  "lastError" text,
  -- [{"at", "status", "code", "ms", "excerpt"}], the newest 20 attempts.
  history jsonb not null default '[]',
  "createdAt" timestamptz not null default clock_timestamp(),
  "finishedAt" timestamptz,
  unique ("endpointId", "messageId")
);
create index amo_deliveries_due on amo_deliveries ("endpointId", "nextAttemptAt") where state = 'pending';
create index amo_deliveries_open on amo_deliveries ("endpointId", integration, "accountId")
  where state = 'pending';
create index amo_deliveries_by_endpoint on amo_deliveries ("endpointId", id);
create index amo_deliveries_by_event on amo_deliveries using gin ("eventIds");

-- Returns the text as a code word, so that an event can always be inserted: a failing trigger would
-- make the change itself impossible.
create function amo_event_word(value text) returns text immutable language sql as $$
  select nullif(left(regexp_replace(lower(value), '[^a-z0-9_]', '_', 'g'), 40), '')
$$;

create function amo_event_domain(value text) returns text immutable language sql as $$
  select case when lower(value) ~ '^[a-z0-9.-]{1,253}$' then lower(value) end
$$;

-- account.*: an account appears, disappears, or changes its status.
create function amo_tokens_event() returns trigger language plpgsql as $$
declare
  account amo_tokens;
  kind text;
begin
  if tg_op = 'DELETE' then account := old; else account := new; end if;
  if tg_op = 'UPDATE' and new.status = old.status then return null; end if;
  kind := case
    when tg_op = 'DELETE' then 'account.removed'
    when new.status = 'reauth_required' then 'account.reauth_required'
    when new.status = 'disconnected' then 'account.disconnected'
    when tg_op = 'UPDATE' and old.status = 'reauth_required' then 'account.recovered'
    when new.status = 'pending' then 'account.pending'
    else 'account.connected' end;
  insert into amo_events (type, integration, "accountId", domain, generation, state, reason)
  values (kind, account.integration, account."accountId", amo_event_domain(account.domain), account.generation,
    case when tg_op = 'DELETE' then 'removed' else account.status end,
    case when kind = 'account.reauth_required' then amo_event_word(account."lastErrorCode") end);
  return null;
end
$$;
create trigger amo_tokens_event after insert or delete or update of status on amo_tokens
  for each row execute function amo_tokens_event();

-- amo_invalidated: [integration, accountId, generation] when services must drop a token before its
-- use_until: the provider refuses it, a rotation inside the promise is announced or was made, or
-- the account is disconnected or removed. It is not stored.
create function amo_tokens_invalidated() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and not coalesce(
    (new."accessDeadAt" is not null and (old."accessDeadAt" is null or new.generation <> old.generation))
    or (new.status = 'disconnected' and old.status <> 'disconnected')
    or (new.generation = old.generation and new."failedAttempts" = 0
      and new."nextAttemptAt" < least(new."refreshAt", old."nextAttemptAt"))
    or (new.generation <> old.generation
      and least(old."refreshAt", old."nextAttemptAt") > clock_timestamp()), false)
  then return null; end if;
  perform pg_notify('amo_invalidated',
    json_build_array(old.integration, old."accountId", old.generation)::text);
  return null;
end
$$;
create trigger amo_tokens_invalidated after update or delete on amo_tokens
  for each row execute function amo_tokens_invalidated();

-- integration.*: it stops or continues, or the provider refuses its client or accepts it again.
create function amo_integrations_event() returns trigger language plpgsql as $$
begin
  if new.state <> old.state and (new.state = 'running' or old.state = 'running') then
    insert into amo_events (type, integration, state, reason)
    values (case when new.state = 'running' then 'integration.resumed' else 'integration.halted' end,
      new.name, new.state, case new.state when 'halted' then 'mass_guard' else 'operator' end);
  end if;
  if new."lastErrorCode" is not null and new."lastErrorCode" is distinct from old."lastErrorCode" then
    insert into amo_events (type, integration, state, reason)
    values ('integration.client_rejected', new.name, new.state, amo_event_word(new."lastErrorCode"));
  elsif new."lastErrorCode" is null and old."lastErrorCode" is not null and new.state = 'running' then
    insert into amo_events (type, integration, state, reason)
    values ('integration.resumed', new.name, new.state, 'client_accepted');
  end if;
  return null;
end
$$;
create trigger amo_integrations_event after update of state, "lastErrorCode" on amo_integrations
  for each row execute function amo_integrations_event();

-- breaker.*: it opens or closes. A breaker of a platform belongs to no integration.
create function amo_breakers_event() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    if new."openUntil" is null then return null; end if;
  elsif (new."openUntil" is null) = (old."openUntil" is null) then return null; end if;
  insert into amo_events (type, integration, state, reason, detail)
  values (case when new."openUntil" is null then 'breaker.closed' else 'breaker.opened' end,
    substring(new.key from '^integration ([a-z0-9][a-z0-9-]{0,62})$'),
    case when new."openUntil" is null then 'closed' else 'open' end,
    amo_event_word(new.reason),
    jsonb_build_object('breaker', left(regexp_replace(new.key, '[^a-zA-Z0-9_.:/ -]', '_', 'g'), 255)));
  return null;
end
$$;
create trigger amo_breakers_event after insert or update of "openUntil" on amo_breakers
  for each row execute function amo_breakers_event();

-- onboarding.failed: a callback that somebody waits for has failed. One without a link whose
-- account was never confirmed may come from anybody and is no event.
create function amo_inbox_event() returns trigger language plpgsql as $$
begin
  if new.kind <> 'callback' or new."finishedAt" is null
    or new.outcome in ('connected', 'pending', 'superseded')
    or (new.origin = 'install' and new."accountId" is null)
  then return null; end if;
  insert into amo_events (type, integration, "accountId", domain, state, reason, detail)
  values ('onboarding.failed', new.integration, new."accountId", amo_event_domain(new.domain), 'failed',
    amo_event_word(new.outcome), jsonb_build_object('onboarding', new.id));
  return null;
end
$$;
create trigger amo_inbox_failed after insert on amo_inbox
  for each row when (new."finishedAt" is not null) execute function amo_inbox_event();
create trigger amo_inbox_fails after update of "finishedAt" on amo_inbox
  for each row when (old."finishedAt" is null and new."finishedAt" is not null)
  execute function amo_inbox_event();

-- The provider refused to send a code for an API key.
create function amo_exchanges_event() returns trigger language plpgsql as $$
begin
  insert into amo_events (type, integration, domain, state, reason, detail)
  values ('onboarding.failed', new.integration, amo_event_domain(new.domain), 'failed',
    amo_event_word(new.outcome), jsonb_build_object('onboarding', new.id));
  return null;
end
$$;
create trigger amo_exchanges_fails after update of outcome on amo_exchanges
  for each row when (old.outcome is null and new.outcome is not null)
  execute function amo_exchanges_event();

-- endpoint.disabled: the other endpoints report it.
create function amo_endpoints_event() returns trigger language plpgsql as $$
begin
  insert into amo_events (type, state, reason, detail)
  values ('endpoint.disabled', 'disabled', amo_event_word(new."disabledReason"),
    jsonb_build_object('endpoint', new.name));
  return null;
end
$$;
create trigger amo_endpoints_event after update of state on amo_endpoints
  for each row when (new.state = 'disabled' and old.state <> 'disabled')
  execute function amo_endpoints_event();

create function amo_endpoints_audit() returns trigger language plpgsql as $$
declare
  endpoint amo_endpoints;
begin
  if tg_op = 'DELETE' then endpoint := old; else endpoint := new; end if;
  if tg_op = 'UPDATE' and (new.id, new.name, new.kind, new.origin, new.language, new.types, new.integrations,
      new.grouped, new.state)
    is not distinct from (old.id, old.name, old.kind, old.origin, old.language, old.types, old.integrations,
      old.grouped, old.state)
    and not amo_is_replaced(new.target, old.target)
    and not amo_is_replaced(new."signingSecret", old."signingSecret")
  then return null; end if;
  perform amo_audit_change('endpointChanged', null, null, lower(tg_op),
    jsonb_build_object('endpoint', endpoint.name, 'kind', endpoint.kind, 'state', endpoint.state));
  return null;
end
$$;
create trigger amo_endpoints_audit after insert or update or delete on amo_endpoints
  for each row execute function amo_endpoints_audit();

create trigger amo_events_truncate after truncate on amo_events
  for each statement execute function amo_truncate_audit();
create trigger amo_endpoints_truncate after truncate on amo_endpoints
  for each statement execute function amo_truncate_audit();
create trigger amo_deliveries_truncate after truncate on amo_deliveries
  for each statement execute function amo_truncate_audit();

-- amo_events: an event waits for its position. amo_deliveries: a delivery is due.
create function amo_events_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify(tg_table_name, '');
  return null;
end
$$;
create trigger amo_events_notify after insert on amo_events
  for each statement execute function amo_events_notify();
create trigger amo_deliveries_notify after insert on amo_deliveries
  for each statement execute function amo_events_notify();

-- amo_sequenced: the greatest position. Positions that a restored or promoted server has forgotten
-- are not used again.
create function amo_event_head_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('amo_sequenced', new.position::text);
  return null;
end
$$;
create trigger amo_event_head_notify after update on amo_event_head
  for each row execute function amo_event_head_notify();

-- A database that was restored and adopted may have forgotten positions that readers know.
create function amo_event_head_skip() returns trigger language plpgsql as $$
begin
  update amo_event_head set position = position + 1000000;
  return null;
end
$$;
create trigger amo_event_head_skip after update of "deploymentId" on amo_deployment
  for each row execute function amo_event_head_skip();
