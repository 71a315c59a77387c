-- Accounts that nobody reads are refreshed monthly, and after all others: their plan lies far behind their promise.
-- A failure puts a plan off by minutes, and hours of them do not make an account idle.
create function amo_is_idle(t amo_tokens) returns boolean immutable language sql as $$
  select coalesce(t."failedAttempts" = 0 and extract(epoch from t."nextAttemptAt" - t."refreshAt") > 86400, false)
$$;
drop index amo_tokens_due;
create index amo_tokens_due on amo_tokens (integration, amo_is_idle(amo_tokens), "nextAttemptAt")
  where status in ('active', 'pending') and kind = 'oauth' and not paused and not shadow;
