-- runs beside: 0.1.0

-- As in 202611261200_timeline.sql, with another number to go on from: the time in microseconds. A
-- million beyond what is known is not enough. Before a failover that forgets it, a primary may have
-- moved the sequence itself, and the promoted standby would come to the same numbers (T18). No server
-- gives out a generation every microsecond, so a later move begins beyond all that were given out
-- since an earlier one, on whichever server.
create or replace function amo_raise_generations(known bigint, is_certain boolean)
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
  if is_certain or used > last or amo_is_failed_over() then
    perform setval('amo_generation', greatest(used + 1000000,
      (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint));
  end if;
  update amo_timeline set timeline = amo_current_timeline(), "seenAt" = clock_timestamp()
  where amo_is_failed_over();
end
$$;
