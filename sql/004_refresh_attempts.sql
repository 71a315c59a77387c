-- runs beside: 0.1.0

-- The write-ahead log of refreshes. Inserting an unfinished row is the claim: the unique index allows
-- one per account. There is no foreign key, because the record of a send must outlive its account.
-- Finished rows without a parked pair are pruned after ATTEMPT_DAYS.
--
-- A refresh attempt:
--
--               ┌── never sent, or proved unspent ──────────────► not_sent
--    claimed ───┤                                       ┌───────► committed    the pair is in amo_tokens
--               └── sent ("sentAt", "sendCount" + 1) ───┤
--                    ▲                                  ├───────► refused      the provider refused
--                    │ a probe reports                  │
--                    │ "alive"                          └─ unclear, or the lease ran out
--                    │                                              │ reclaimed by any replica
--                    └──────────── resolve ◄────────────────────────┘ after the settle time
--                                     ├──► committed    a stored response of this attempt was found
--                                     ├──► superseded   the account has another generation now
--                                     └──► lost         the token was spent, and no response is left
create table amo_refresh_attempts (
  id bigint generated always as identity primary key,
  integration text not null,
  "accountId" bigint not null,
  -- The fence: the generation and the refresh token that the claim was made for.
  generation bigint not null,
  "refreshTokenFingerprint" text not null,
  -- The id of the process start that owns the claim. A restarted process has another one.
  owner text not null,
  -- After this time any replica may reclaim the attempt. Renewed before every send.
  "leaseUntil" timestamptz not null,
  -- Times that the token was sent under this claim. Part of the owner check, because a process that
  -- was stopped can reclaim its own attempt.
  "sendCount" integer not null default 0,
  "claimedAt" timestamptz not null default clock_timestamp(),
  -- Time just before the last send. Null: the token was not sent.
  "sentAt" timestamptz,
  "finishedAt" timestamptz,
  -- Null: unfinished, which is the claim.
  outcome text check (outcome in ('committed', 'refused', 'not_sent', 'lost', 'superseded')),
  -- The failure code, if any. After an unclear send it is set before the attempt is finished.
  "outcomeCode" text,
  -- Fingerprint of the refresh token that this attempt received. Distinguishes its pair from
  -- another one under the same claim.
  "committedFingerprint" text,
  -- Sealed. A parked pair, which the fence rejected as displaced or too late. Stored until it is
  -- adopted or its account is removed.
  "parkedPair" text,
  -- What the claim may do. refresh: send while no breaker is open. canary: the one send through an
  -- open breaker. verdict: probe only.
  purpose text not null default 'refresh' check (purpose in ('refresh', 'canary', 'verdict')),
  -- What happened, oldest first: [{"kind", "at", "owner", "result"}]. At most 50: the first one and
  -- the newest stay. Timelines and the history check read only this.
  steps jsonb not null default '[]',
  check (("finishedAt" is null) = (outcome is null))
);
create unique index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")
  where "finishedAt" is null;
create index amo_refresh_attempts_lease on amo_refresh_attempts ("leaseUntil") where "finishedAt" is null;
create index amo_refresh_attempts_sent on amo_refresh_attempts ("refreshTokenFingerprint");
create index amo_refresh_attempts_parked on amo_refresh_attempts (id) where "parkedPair" is not null;
create index amo_refresh_attempts_finished on amo_refresh_attempts ("finishedAt")
  where "parkedPair" is null;

-- Appends a step. Called by the statements that change the attempt anyway.
create function amo_add_step(steps jsonb, kind text, owner text, result text)
returns jsonb language sql volatile as $$
  select case when jsonb_array_length(steps) < 50 then steps else steps - 1 end
    || jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
      'kind', kind, 'at', clock_timestamp(), 'owner', owner, 'result', result)))
$$;

-- Counts the sends of an integration without a response. Volatile, because a claim that waited for
-- the integration's row must count the row that the claim before it has inserted.
create function amo_unanswered(of_integration text) returns bigint language sql volatile as $$
  select count(*) from amo_refresh_attempts
  where integration = of_integration and "finishedAt" is null and purpose <> 'verdict'
    and "leaseUntil" > clock_timestamp()
$$;

-- Moves the sequence beyond every generation that may have been used, after the database may have
-- forgotten commits: the greatest in the tables, `known` from outside of the database, and a million
-- that nobody remembers. Only when the sequence is behind one of those, unless `is_certain`. The lock
-- orders replicas that do so at once: `setval` could move the sequence back.
create function amo_raise_generations(known bigint, is_certain boolean)
returns void language plpgsql as $$
declare
  used bigint;
  last bigint;
begin
  perform pg_advisory_xact_lock(7301114);
  select last_value into last from amo_generation;
  select greatest(known, last, (select max(generation) from amo_tokens),
    (select max(generation) from amo_refresh_attempts), (select max(generation) from amo_removals))
    into used;
  if is_certain or used > last then perform setval('amo_generation', used + 1000000); end if;
end
$$;
