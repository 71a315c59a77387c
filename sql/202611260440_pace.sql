-- runs beside: 0.1.0

-- Whether an operator has set the pace of this integration. Otherwise each start sets it to
-- PACE_PER_SECOND. A version without this column sets it at its start, too.
alter table amo_integrations add column "hasOwnPace" boolean not null default false;
