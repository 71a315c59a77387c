-- runs beside: 0.1.0

-- Consents that were refused before their code was stored (amo_connect_links), the newest first.
create index amo_connect_links_refused on amo_connect_links ("problemAt") where problem is not null;

-- Filters of the audit (amo_audit). What most rows have is found without an index.
create index amo_audit_by_actor on amo_audit (actor, id);
create index amo_audit_by_action on amo_audit (action, id) where action <> 'readToken';
create index amo_audit_by_outcome on amo_audit (outcome, id) where outcome <> 'done';
create index amo_audit_by_account_id on amo_audit ("accountId", id) where "accountId" is not null;
create index amo_audit_by_time on amo_audit (at, id);
