-- runs beside: 0.1.0

-- The escrow (ESCROW_URL, docs/operations.md) is a second place outside of this database. It gets
-- the newest image of each row that a restored backup would lack: pairs, integrations, clients and
-- removals. Refresh tokens rotate daily, so without it a backup of last night holds dead tokens.

-- One row: whether changes are recorded, and who appends them.
create table amo_escrow (
  "onlyRow" boolean primary key default true check ("onlyRow"),
  -- Set by the first broker that starts with ESCROW_URL, and reset by `amo-broker escrow off`.
  "isOn" boolean not null default false,
  -- The number of the newest segment. Segments before "snapshotSegment" are not needed.
  segment bigint not null default 0,
  -- The newest segment with a line in it. If it is missing in the escrow, a new snapshot is made.
  "writtenSegment" bigint not null default 0,
  -- Where the newest complete snapshot begins, and the one that is being written. 0: none.
  "snapshotSegment" bigint not null default 0,
  "pendingSegment" bigint not null default 0,
  -- Lines since the newest complete snapshot began. Compaction starts when they outgrow it.
  lines bigint not null default 0,
  "snapshotLines" bigint not null default 0,
  -- Ids of the encryption keys that the segments are sealed under, and those from "pendingSegment"
  -- on.
  "keyIds" text[] not null default '{}',
  "pendingKeyIds" text[] not null default '{}',
  -- The replica that appends until the lease ends.
  owner text,
  "leaseUntil" timestamptz,
  "appendedAt" timestamptz
);
insert into amo_escrow default values;

-- Rows whose newest image is not in the escrow yet. Written by the transaction that changes the
-- row.
create table amo_escrow_changes (
  id bigint generated always as identity primary key,
  -- The table, or `snapshot`: everything before this change is in the escrow from the segment on
  -- that `name` names.
  relation text not null,
  -- The primary key: the name, or integration and account id.
  name text not null,
  "accountId" bigint not null default 0,
  "changedAt" timestamptz not null default clock_timestamp()
);

create function amo_escrow_change() returns trigger language plpgsql as $$
declare
  was jsonb := case when tg_op = 'INSERT' then null else to_jsonb(old) end;
  is_now jsonb := case when tg_op = 'DELETE' then null else to_jsonb(new) end;
  changed jsonb := coalesce(is_now, was);
begin
  if not exists (select from amo_escrow where "isOn") then return null; end if;
  -- Columns of the running state are not worth an image.
  if is_now - tg_argv = was - tg_argv then return null; end if;
  insert into amo_escrow_changes (relation, name, "accountId")
  values (tg_table_name, coalesce(changed->>'integration', changed->>'name'),
    coalesce((changed->>'accountId')::bigint, 0));
  return null;
end
$$;
create trigger amo_tokens_escrow after insert or delete or update of
  generation, status, domain, "approvedAt", paused, shadow, kind on amo_tokens
  for each row execute function amo_escrow_change('lastReadAt', 'checkedAt', 'suspectAt', 'updatedAt');
create trigger amo_removals_escrow after insert or delete or update of generation on amo_removals
  for each row execute function amo_escrow_change('clearedAt');
create trigger amo_integrations_escrow after insert or update or delete on amo_integrations
  for each row execute function amo_escrow_change('paceTokens', 'paceAt', 'codeTokens', 'codeAt',
    'condemnedAt', 'lastErrorCode', 'lastErrorAt', 'updatedAt');
create trigger amo_clients_escrow after insert or update or delete on amo_clients
  for each row execute function amo_escrow_change('updatedAt');

-- Records every row again, so that the segment that begins now needs none before it.
create function amo_escrow_snapshot(of_segment bigint) returns void language sql as $$
  insert into amo_escrow_changes (relation, name) select 'amo_integrations', name from amo_integrations;
  insert into amo_escrow_changes (relation, name) select 'amo_clients', name from amo_clients;
  insert into amo_escrow_changes (relation, name, "accountId")
    select 'amo_removals', integration, "accountId" from amo_removals;
  insert into amo_escrow_changes (relation, name, "accountId")
    select 'amo_tokens', integration, "accountId" from amo_tokens;
  insert into amo_escrow_changes (relation, name) values ('snapshot', of_segment);
$$;

-- The pair comes from a backup or the escrow, and a newer one may exist. The provider is asked
-- about it before it is sent. Reset by the next pair.
alter table amo_tokens add column "isRestored" boolean not null default false;
