-- runs beside: 0.1.0

-- The timeline of an account (src/audit/account-acts.ts, src/onboarding/account-onboardings.ts).
-- Reads are counted in the audit as well, and are far more than acts.
create index amo_audit_account_acts on amo_audit (integration, "accountId", id)
  where action not in ('readToken', 'reportToken', 'showAccount', 'listAttempts', 'listReaders');
create index amo_inbox_by_account on amo_inbox (integration, "accountId", "receivedAt")
  where "accountId" is not null;
