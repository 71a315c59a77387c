-- runs beside: 0.1.0

-- Accounts in use, by when their token was last known to be alive: by a check, a newer pair, or the
-- connection. Idle accounts, of which a large fleet has many, are not checked. The version before
-- reads more rows without amo_tokens_checked, and finds the same account.
create index amo_tokens_unchecked on amo_tokens
  (integration, greatest("checkedAt", "lastRefreshAt", "createdAt"))
  where status = 'active' and kind = 'oauth' and not paused and not shadow
    and "accessDeadAt" is null and not amo_is_idle(amo_tokens);
create index amo_tokens_suspect on amo_tokens (integration, "suspectAt") where "suspectAt" is not null;
drop index amo_tokens_checked;
