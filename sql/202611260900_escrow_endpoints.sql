-- runs beside: 0.1.0

-- The escrow also gets endpoints and labels of accounts, and rows that were sealed under another
-- key: their older images would need a key that nobody has any more.
create or replace function amo_escrow_change() returns trigger language plpgsql as $$
declare
  was jsonb := case when tg_op = 'INSERT' then null else to_jsonb(old) end;
  is_now jsonb := case when tg_op = 'DELETE' then null else to_jsonb(new) end;
  changed jsonb := coalesce(is_now, was);
begin
  if not exists (select from amo_escrow where "isOn") then return null; end if;
  -- Columns of the running state are not worth an image.
  if is_now - tg_argv = was - tg_argv then return null; end if;
  insert into amo_escrow_changes (relation, name, "accountId")
  values (tg_table_name,
    case tg_table_name when 'amo_endpoints' then changed->>'id'
      else coalesce(changed->>'integration', changed->>'name') end,
    coalesce((changed->>'accountId')::bigint, 0));
  return null;
end
$$;

drop trigger amo_tokens_escrow on amo_tokens;
create trigger amo_tokens_escrow after insert or delete or update of
  generation, status, domain, "approvedAt", paused, shadow, kind, "refreshToken" on amo_tokens
  for each row execute function amo_escrow_change('lastReadAt', 'checkedAt', 'suspectAt', 'updatedAt');
create trigger amo_endpoints_escrow after insert or update or delete on amo_endpoints
  for each row execute function amo_escrow_change('failingSince', 'lastSuccessAt', 'lastErrorCode',
    'updatedAt');
create trigger amo_account_labels_escrow after insert or update or delete on amo_account_labels
  for each row execute function amo_escrow_change('updatedAt');

create or replace function amo_escrow_snapshot(of_segment bigint) returns void language sql as $$
  insert into amo_escrow_changes (relation, name) select 'amo_integrations', name from amo_integrations;
  insert into amo_escrow_changes (relation, name) select 'amo_clients', name from amo_clients;
  insert into amo_escrow_changes (relation, name) select 'amo_endpoints', id from amo_endpoints;
  insert into amo_escrow_changes (relation, name, "accountId")
    select 'amo_removals', integration, "accountId" from amo_removals;
  insert into amo_escrow_changes (relation, name, "accountId")
    select 'amo_tokens', integration, "accountId" from amo_tokens;
  insert into amo_escrow_changes (relation, name, "accountId")
    select 'amo_account_labels', integration, "accountId" from amo_account_labels;
  insert into amo_escrow_changes (relation, name) values ('snapshot', of_segment);
$$;

-- The next broker begins a snapshot that has the new tables.
delete from amo_escrow_changes where relation = 'snapshot';
update amo_escrow set "snapshotSegment" = 0, "pendingSegment" = 0 where "isOn";
