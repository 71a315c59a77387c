-- runs beside: 0.1.0

-- When the account got its present status. The clean-up of dead accounts goes by it.
alter table amo_tokens add column "statusSince" timestamptz not null default now();
update amo_tokens set "statusSince" = coalesce("lastErrorAt", "updatedAt") where status <> 'active';
create function amo_tokens_status_since() returns trigger language plpgsql as $$
begin
  new."statusSince" = clock_timestamp();
  return new;
end
$$;
create trigger amo_tokens_status_since before update on amo_tokens for each row
  when (old.status <> new.status) execute function amo_tokens_status_since();

-- What operators call an account, such as the customer's name. It goes with its account.
create table amo_account_labels (
  integration text not null,
  "accountId" bigint not null,
  label text not null check (length(label) between 1 and 120),
  -- For the search: the label split into words by src/accounts/label-words.ts, independently of the
  -- locale of the database. Empty after a change in psql.
  words tsvector not null default '',
  "updatedAt" timestamptz not null default clock_timestamp(),
  primary key (integration, "accountId"),
  foreign key (integration, "accountId") references amo_tokens (integration, "accountId")
    on delete cascade
);
create index amo_account_labels_words on amo_account_labels using gin (words);

create function amo_account_labels_audit() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    perform amo_audit_change('accountLabel', old.integration, old."accountId", 'removed');
  elsif tg_op = 'INSERT' or new.label <> old.label then
    perform amo_audit_change('accountLabel', new.integration, new."accountId", 'changed');
  end if;
  return null;
end
$$;
create trigger amo_account_labels_audit after insert or update or delete on amo_account_labels
  for each row execute function amo_account_labels_audit();
create trigger amo_account_labels_truncate after truncate on amo_account_labels
  for each statement execute function amo_truncate_audit();

-- Changes of the number of accounts. A row is added by the transaction that changes an account, so
-- every snapshot has the number that fits amo_tokens. Nothing waits here: rows are only inserted,
-- and amo_fold_account_changes replaces them by their sum.
create table amo_account_changes (
  integration text not null,
  status text not null,
  accounts bigint not null
);

-- The number of accounts of each integration and status. Costs the same however many there are.
create view amo_account_counts as
  select integration, status, sum(accounts)::bigint as accounts
  from amo_account_changes group by integration, status having sum(accounts) <> 0;

create function amo_count_new_accounts() returns trigger language plpgsql as $$
begin
  insert into amo_account_changes
    select integration, status, count(*) from added group by integration, status;
  return null;
end
$$;
create trigger amo_tokens_count_new after insert on amo_tokens
  referencing new table as added for each statement execute function amo_count_new_accounts();

create function amo_count_gone_accounts() returns trigger language plpgsql as $$
begin
  insert into amo_account_changes
    select integration, status, -count(*) from gone group by integration, status;
  return null;
end
$$;
create trigger amo_tokens_count_gone after delete on amo_tokens
  referencing old table as gone for each statement execute function amo_count_gone_accounts();

-- Most updates are refreshes, which change neither column: the condition then costs no call. A
-- transition table would copy both versions of each row, tokens included.
create function amo_count_moved_account() returns trigger language plpgsql as $$
begin
  insert into amo_account_changes
    values (old.integration, old.status, -1), (new.integration, new.status, 1);
  return null;
end
$$;
create trigger amo_tokens_count_moved after update on amo_tokens for each row
  when (old.status <> new.status or old.integration <> new.integration)
  execute function amo_count_moved_account();

-- A truncation waits for all other writers, so that their changes are visible here.
create function amo_count_no_accounts() returns trigger language plpgsql as $$
begin
  insert into amo_account_changes select integration, status, -accounts from amo_account_counts;
  return null;
end
$$;
create trigger amo_tokens_count_none after truncate on amo_tokens
  for each statement execute function amo_count_no_accounts();

-- Replaces the changes by their sum. Does nothing while another replica does it.
create function amo_fold_account_changes() returns void language plpgsql as $$
begin
  if not pg_try_advisory_xact_lock(7301115) then return; end if;
  if not exists (select from amo_account_changes group by integration, status
    having count(*) > 1 or sum(accounts) = 0) then return; end if;
  with folded as (
    delete from amo_account_changes returning *
  )
  insert into amo_account_changes
    select integration, status, sum(accounts) from folded
    group by integration, status having sum(accounts) <> 0;
end
$$;

-- Corrects the numbers after changes that no trigger saw (session_replication_role, a restore of
-- single tables). One snapshot has both the accounts and their number. Reads all accounts.
create function amo_recount_accounts() returns void language plpgsql as $$
begin
  if not pg_try_advisory_xact_lock(7301115) then return; end if;
  insert into amo_account_changes
    select integration, status, coalesce(found.accounts, 0) - coalesce(known.accounts, 0)
    from (select integration, status, count(*) as accounts from amo_tokens
      group by integration, status) found
    full join amo_account_counts known using (integration, status)
    where coalesce(found.accounts, 0) <> coalesce(known.accounts, 0);
end
$$;

-- Lists of accounts (src/accounts/list-keys.ts). Each order and filter is a range of one index for
-- every integration and status, or for every integration and failure.
create index amo_tokens_by_status on amo_tokens (status, integration, "accountId");
create index amo_tokens_by_plan on amo_tokens
  (integration, status, (coalesce("nextAttemptAt", 'infinity')), "accountId");
create index amo_tokens_by_expiry on amo_tokens (integration, status, "expiresAt", "accountId");
create index amo_tokens_failed on amo_tokens (integration, "lastErrorCode", "accountId")
  where "lastErrorCode" is not null;
create index amo_tokens_failed_by_plan on amo_tokens
  (integration, "lastErrorCode", (coalesce("nextAttemptAt", 'infinity')), "accountId")
  where "lastErrorCode" is not null;
create index amo_tokens_failed_by_expiry on amo_tokens
  (integration, "lastErrorCode", "expiresAt", "accountId") where "lastErrorCode" is not null;
create index amo_tokens_shadow on amo_tokens (integration, "accountId") where shadow;
create index amo_tokens_paused on amo_tokens (integration, "accountId") where paused;
-- Accounts with a warning (src/accounts/expiry-watch.ts).
create index amo_tokens_ending on amo_tokens ("refreshTokenExpiresAt")
  where kind = 'oauth' and status in ('active', 'pending') and not shadow;
create index amo_tokens_ending_long_lived on amo_tokens ("expiresAt")
  where kind = 'long_lived' and status in ('active', 'pending') and not shadow;
-- The search for the first digits of an id.
create index amo_tokens_by_id_text on amo_tokens (("accountId"::text) text_pattern_ops);
create index amo_tokens_dead on amo_tokens (status, "statusSince") where status <> 'active';

-- The clients that read the token of an account.
create index amo_audit_readers on amo_audit (integration, "accountId", actor, at)
  where action = 'readToken' and "accountId" is not null;
-- The timeline of an account.
create index amo_refresh_attempts_by_account on amo_refresh_attempts
  (integration, "accountId", id);

perform amo_recount_accounts();
